"""FED: both forms by hand, the defect of the published one, and what the conditional one does not depend on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from random import Random
from statistics import correlation, fmean
from typing import Literal
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Reply, Request, Token
from synthesis.engines.scripted import Scripted
from synthesis.errors import UserError
from synthesis.metric import averaged, scored
from synthesis.metrics import fed
from synthesis.metrics.fed import Fed, Followups
from tests import toy_language_model as toy
from tests.vectors import Dawdling

ONE_EACH = {"likeable": Followups(("Good.",), ("Bad.",))}


def talk(*texts: str, name: str = "d") -> Dialogue:
    return Dialogue(name, tuple(Turn(("Ada", "Bo")[at % 2], text) for at, text in enumerate(texts)))


def reader(*logprobs: float, followups: Mapping[str, tuple[float, ...]]) -> Scripted:
    """Reads any dialogue as tokens with `logprobs` after a first one, and follow-ups as theirs."""

    def read(request: Request) -> Reply:
        text = request.prompt or ""
        ends = [each for each in followups if text.endswith(each)]
        values = [None, *logprobs, *(followups[ends[0]] if ends else ())]
        own = len(logprobs) + 1
        tokens = [
            Token(at if at < own else crc32(f"{ends[0]}{at}".encode()), f"<{at}>", value)
            for at, value in enumerate(values)
        ]
        return Reply("", "length", len(tokens), 1, prefill=tuple(tokens))

    return Scripted(read)


WORKED: list[tuple[Literal["conditional", "published"], str, float]] = [
    ("conditional", "fed_likeable", (2 + 4) / 2 - (1 + 2) / 2),
    ("published", "fed_published_likeable", (3 + 6) / 5 - (3 + 3) / 5),
]


@pytest.mark.parametrize(("form", "name", "value"), WORKED)
async def test_the_worked_example(form: Literal["conditional", "published"], name: str, value: float) -> None:
    engine = reader(-1.0, -1.0, -1.0, followups={"Good.": (-1.0, -2.0), "Bad.": (-2.0, -4.0)})
    found = await Fed(engine, form=form, followups=ONE_EACH).score(talk("Hi.", "Hello."))
    assert found == {name: pytest.approx(value)}
    assert value == pytest.approx({"conditional": 1.5, "published": 0.6}[form])


async def test_several_followups_are_averaged_and_a_side_without_any_counts_nothing() -> None:
    engine = reader(-1.0, followups={"A.": (-1.0,), "B.": (-4.0,), "C.": (-0.5, -1.5)})
    sets = {
        "both": Followups(("C.",), ("A.", "B.")),
        "negative": Followups(negative=("A.", "B.")),
        "positive": Followups(positive=("C.",)),
    }
    found = await Fed(engine, followups=sets).score(talk("Hi."))
    assert found == {"fed_both": 2.5 - 1, "fed_negative": 2.5, "fed_positive": -1}
    published = await Fed(engine, form="published", followups=sets).score(talk("Hi."))
    assert published["fed_published_negative"] == pytest.approx(((1 + 1) / 2 + (1 + 4) / 2) / 2)


async def test_what_is_asked() -> None:
    """Each different follow-up once, said by whoever's turn it is, and the dialogue alone once."""
    sets = {"a": Followups(("Good.",), ("Bad.",)), "b": Followups(negative=("Bad.", "Worse."))}
    engine = Scripted(toy.read)
    await Fed(engine, followups=sets).score(talk("Hi.", "Hello.", "Bye."))
    head = "Ada: Hi.\nBo: Hello.\nAda: Bye.\nBo:"
    assert [request.prompt for request in engine.requests] == [head, f"{head} Good.", f"{head} Bad.", f"{head} Worse."]
    assert {(request.stage, request.role, request.conversation) for request in engine.requests} == {
        ("fed", "critic", "d")
    }
    published = Scripted(toy.read)
    await Fed(published, form="published", followups=sets).score(talk("Hi."))
    assert [request.prompt for request in published.requests] == [
        f"Ada: Hi.\nAda: {said}" for said in ("Good.", "Bad.", "Worse.")
    ]


def test_who_speaks_next() -> None:
    def after(*speakers: str) -> str:
        return fed.next_speaker([Turn(speaker, "Hm.") for speaker in speakers])

    assert after("Ada", "Bo") == "Ada"
    assert after("Ada", "Bo", "Cy", "Cy") == "Bo"
    assert after("Ada") == "Ada"


async def test_every_quality_of_its_level_has_a_number_and_a_meaning() -> None:
    for level in ("dialogue", "turn"):
        for form in ("conditional", "published"):
            metric = Fed(Scripted(toy.read), level=level, form=form)
            found = await metric.score(talk("Do you cook?", "I bake bread."))
            assert list(found) == list(metric.about)
            one_sided = [name for name, meaning in metric.about.items() if "minus" not in meaning]
            assert len(one_sided) == {"dialogue": 6, "turn": 5}[level]
            assert all("defect" in metric.about[name] for name in one_sided) == (form == "published")
            assert all(found[name] > 0 for name in one_sided)
    assert await Fed(Scripted(toy.read)).score(Dialogue("d", ())) == {}


def test_followups_are_different_sentences() -> None:
    said = [
        text for sets in (fed.DIALOGUE, fed.TURN) for each in sets.values() for text in each.positive + each.negative
    ]
    assert len(said) == len(set(said))
    assert all(re.fullmatch(r"[A-Z].*[.!?]", text) for text in said)


def test_a_quality_without_followups_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="fed: quality 'odd' has no follow-ups"):
        Fed(Scripted([]), followups={"odd": Followups()})


def word_reader(request: Request) -> Reply:
    """Reads word by word; a word of n letters has log-probability -n / 4, so that dialogues differ in their loss."""
    words = re.findall(r"\S+", request.prompt or "")
    tokens = [Token(crc32(word.encode()), word, -len(word) / 4 if at else None) for at, word in enumerate(words)]
    return Reply("", "length", len(tokens), 1, prefill=tuple(tokens))


def conversations() -> list[Dialogue]:
    """Sixty dialogues of 40 to 160 words, each with words of a typical length of its own."""
    rng = Random(4)
    made = []
    for number in range(60):
        size, turns = rng.uniform(2, 12), rng.randint(8, 16)
        texts = [
            " ".join("x" * max(1, round(rng.gauss(size, 1))) for _ in range(rng.randint(5, 10))) for _ in range(turns)
        ]
        made.append(talk(*texts, name=str(number)))
    return made


async def test_published_one_sided_qualities_are_the_dialogues_own_loss() -> None:
    """The defect that is not to be copied: they correlate almost fully with it, and with one another."""
    dialogues = conversations()
    loss = [fmean(len(word) / 4 for word in dialogue.text().split()[1:]) for dialogue in dialogues]
    published = await scored(Fed(Scripted(word_reader), form="published"), dialogues)
    one_sided = [f"fed_published_{name}" for name, each in fed.DIALOGUE.items() if not each.positive]
    assert len(one_sided) == 6
    columns = [[each[name] for each in published] for name in one_sided]
    assert all(correlation(loss, column) > 0.995 for column in columns)
    assert all(correlation(columns[0], column) > 0.995 for column in columns[1:])


async def test_conditional_qualities_are_not() -> None:
    """Here the follow-ups' words are as likely after any dialogue, so no dialogue scores otherwise than another."""
    found = await scored(Fed(Scripted(word_reader)), conversations())
    for name, mean in averaged(found).items():
        assert [each[name] for each in found] == pytest.approx([mean] * len(found))


LOGPROBS = st.lists(st.floats(-20, -0.001), min_size=1, max_size=20)


@given(LOGPROBS, LOGPROBS)
def test_what_the_dialogue_costs_does_not_matter(likely: list[float], unlikely: list[float]) -> None:
    """Conditional scores are those of the follow-ups alone, however likely and long the dialogue before them is."""
    followups = {"Good.": (-1.0, -2.0), "Bad.": (-2.0, -4.0)}
    found = [
        asyncio.run(Fed(reader(*each, followups=followups), followups=ONE_EACH).score(talk("Hi.")))
        for each in (likely, unlikely)
    ]
    assert found == [{"fed_likeable": pytest.approx(1.5)}] * 2


async def test_who_answers_first_does_not_matter() -> None:
    dialogues = [talk("Hi.", f"Number {at}.", name=str(at)) for at in range(4)]
    wanted = await scored(Fed(Scripted(toy.read)), dialogues)
    for seed in (1, 2):
        assert await scored(Fed(Dawdling(Scripted(toy.read), seed)), dialogues) == wanted
