"""Scores of a dialogue model: held-out material, perplexity, first tries, verdicts, formats, and the page."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cards.__main__ import main as cards_main
from synthesis import reading
from synthesis.asking import ask
from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.embedded_model import SHIPPED
from synthesis.engine import Grammar, Info, Reply, Request, Token
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, Outage, ReadingError, Unreachable, UserError
from synthesis.likelihood import Likelihood
from synthesis.metrics import identification
from synthesis.recipe import rng_for
from tests.clerk import clerk
from tests.fake_tgi import FakeTgi
from tests.held_out_part import PART, PROFILES, TALK
from training.embedded import talks
from training.embedded.row import held_out as is_held_out
from training.embedded.talks import Told
from training.scores import first_try, formats, held_out, perplexity, report
from training.scores.__main__ import main
from training.scores.held_out import Part
from training.scores.perplexity import Measured

INFO = Info("clerk", "tgi")


def corpus(folder: Path, dialogues: int = 400) -> Path:
    """As many casual dialogues, of which 2 % are held out."""
    said = [["AB"[at % 2], text] for at, text in enumerate(TALK)]
    more = ("I swim in the lake.", "I paint boats."), ("I repair clocks.", "I sing in a choir.")
    path = folder / "dialogues.jsonl.gz"
    with gzip.open(path, "wt") as lines:
        for number in range(dialogues):
            own = f"I live at number {number}."
            profile = {f"persona_{at + 1}": [*PROFILES[at], *more[at], own] for at in (0, 1)}
            row = {"source": "spc" if number % 2 else "sgd", "messages": said, "cond": profile if number % 2 else {}}
            lines.write(json.dumps(row) + "\n")
    return path


# ---- what is held out -----------------------------------------------------------------------------------------------


def test_only_dialogues_that_no_training_reads_are_taken(tmp_path: Path) -> None:
    found = held_out.read(corpus(tmp_path), 0)
    assert found.told == tuple(each for each in talks.told(corpus(tmp_path)) if is_held_out(each.id))
    assert {each.source for each in found.told} == {"spc", "sgd"}
    assert {each.id for each in found.parts} <= {each.id for each in found.told if each.source == "spc"}
    part = found.parts[0]
    assert part == held_out.read(corpus(tmp_path), 0).parts[0]
    assert list(part.dialogue().profiles) == ["User 1", "User 2"]
    assert part.dialogue().profiles["User 2"].traits == part.profiles[1]


def test_a_corpus_of_which_nothing_is_held_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of its 0 held-out dialogues"):
        held_out.read(corpus(tmp_path, 1), 0)


def test_every_source_is_drawn_from_alike() -> None:
    parts = [Part(f"{source}-{at}", source, PROFILES, TALK) for source in ("a", "b") for at in range(9)]
    parts.append(Part("c-0", "c", PROFILES, TALK))
    assert Counter(each.source for each in held_out.drawn(parts, 7, 0)) == {"a": 3, "b": 3, "c": 1}
    assert held_out.drawn(parts, 7, 0) == held_out.drawn(parts, 7, 0)
    assert len({each.id for each in held_out.drawn(parts, 50, 0)}) == 19


# ---- perplexity -----------------------------------------------------------------------------------------------------


def test_perplexity_and_bits_by_hand() -> None:
    # 4 + 2 tokens, 6 ln 2 + 6 ln 2 nats: 2 bits a token over 12 + 4 characters
    measured = [
        Measured("a", 12, Likelihood(-6 * math.log(2), 4)),
        Measured("b", 4, Likelihood(-6 * math.log(2), 2)),
        Measured("b", 99, None),
    ]
    found = perplexity.facts(measured)
    assert found["all"]["perplexity"] == pytest.approx(4)
    assert found["all"]["bits_per_character"] == pytest.approx(12 / 16)
    assert found["b"]["perplexity"] == pytest.approx(8)
    assert found["b"] | {"perplexity": 0, "bits_per_character": 0} == {
        **{"perplexity": 0, "bits_per_character": 0, "texts": 1, "tokens": 2, "too_long": 1}
    }
    assert perplexity.facts([Measured("a", 9, None)])["all"]["perplexity"] is None


def prefilled(request: Request) -> Reply:
    """A token for each character of what the model would see, each with probability 1/2."""
    text = request.prompt or "".join(f"<{role}>{said}" for role, said in request.messages)
    if len(text) > 6000:
        raise ContextOverflow("too long")
    if request.messages and request.messages[-1][0] == "user":
        text += "<assistant>"
    tokens = tuple(Token(ord(sign), sign, math.log(0.5) if at else None) for at, sign in enumerate(text))
    return Reply("", "length", len(tokens), 1, prefill=tokens)


async def test_of_a_chat_the_answer_alone_counts_and_of_a_transcript_all_of_it() -> None:
    async def engine(request: Request) -> Reply:
        return prefilled(request)

    [chat] = await perplexity.of_chat(engine, [PART], 0)
    assert chat.found
    assert chat.found.tokens == chat.characters > sum(map(len, TALK))
    assert chat.found.logprob == pytest.approx(chat.characters * math.log(0.5))
    told = [Told(f"star-{at}", "star", (("user", f"Number {at}."), ("wizard", "Yes.")), {}) for at in range(9)]
    texts = await perplexity.of_text(engine, told, 3, 0)
    assert [each.characters for each in texts] == [len("User: Number 1.\nWizard: Yes.")] * 3
    assert all(each.found and each.found.tokens == each.characters - 1 for each in texts)


async def test_long_transcripts_are_cut_between_lines_and_what_does_not_fit_is_told() -> None:
    seen: list[str] = []

    async def engine(request: Request) -> Reply:
        seen.append(request.prompt or "")
        raise ContextOverflow("too long")

    told = [Told("star-1", "star", tuple(("user", f"Line {at} " + 90 * "x") for at in range(40)), {})]
    [found] = await perplexity.of_text(engine, told, 3, 0)
    assert found.found is None
    assert len(seen[0]) <= perplexity.LONGEST
    assert seen[0].endswith("x")


# ---- first tries ----------------------------------------------------------------------------------------------------


def parts(count: int) -> list[Part]:
    return [Part(f"spc-{at}", "spc", PROFILES, TALK) for at in range(count)]


async def test_a_dialogue_is_written_once_and_no_critic_is_asked() -> None:
    engine = Scripted(clerk)
    tries = await first_try.written(engine, parts(3), 0)
    assert [request.stage for request in engine.requests] == ["generation"] * 3
    assert len({request.seed for request in engine.requests}) == 3
    assert all("- User 1: I own a telescope." in request.messages[0][1] for request in engine.requests)
    assert [(each.reason, each.dialogue and each.dialogue.id) for each in tries] == [
        (None, f"spc-{n}") for n in range(3)
    ]
    assert (await first_try.written(Scripted(clerk), parts(3), 0)) == tries


@pytest.mark.parametrize(
    ("reply", "reason", "read"),
    [
        ("Here you are!", "reading", False),
        ("User 1: Hello.\nUser 2: Hello.", "structure", True),
        (Reply("User 1: Hello.\nUser 2: Hel", "length", 9, 9), "generation", True),
    ],
    ids=["no turns", "too few", "cut off"],
)
async def test_why_a_first_try_fails(reply: Reply | str, reason: str, read: bool) -> None:
    [found] = await first_try.written(Scripted([reply]), [PART], 0)
    assert (found.reason or "").partition(":")[0] == reason
    assert (found.dialogue is not None) == read
    assert first_try.hygiene([found], 0)["dropped"] == {reason: 1}
    assert first_try.hygiene([found], 0)["unreadable"] == (not read)


def test_variety_is_compared_at_equal_lengths() -> None:
    one = Dialogue("a", (Turn("User 1", "One, two three."), Turn("User 2", "Four five")))
    other = Dialogue("b", (Turn("User 1", "A b"), Turn("User 2", "c d"), Turn("User 1", "e f g")))
    cut = [[turn.text for turn in each.turns] for each in first_try.alike(one, other)]
    assert cut == [["one two three", "four five"], ["a b", "c d", "e"]]


async def test_identification_and_hygiene_of_model_and_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences about the same number have the same vector, others are at right angles."""

    def encode(texts: Sequence[str], encoder: str) -> Any:
        return np.stack([np.eye(8, dtype=np.float32)[int(text.rsplit(maxsplit=1)[-1].strip("."))] for text in texts])

    monkeypatch.setattr(identification, "encode", encode)
    tries = []
    for at in range(2):
        mine, yours = 2 * at, 2 * at + 1
        part = Part(f"p-{at}", "spc", ((f"I am {mine}.",), (f"I am {yours}.",)), (f"So {mine}", f"So {yours}"))
        said = (f"So {mine}", f"So {yours}") if at else ("So 7", f"So {yours}")  # one of four speaks of nothing known
        tries.append(
            first_try.Try(part, part.dialogue([Turn(f"User {n}", text) for n, text in enumerate(said, 1)]), None)
        )
    found = await first_try.facts(tries, 0)
    assert found["model"]["identification"]["profile_accuracy"] == 3 / 4
    assert found["human"]["identification"]["profile_accuracy"] == 1
    assert found["model"]["identification"]["profile_accuracy_chance"] == 1 / 4
    assert found["model"]["hygiene"] == {"value": 1, "low": 1, "high": 1}
    assert found["human"]["hygiene"]["value"] == 0
    assert found["human"]["dropped"] == {"structure": 2}
    assert found["model"]["words"] == found["human"]["words"] == 8


# ---- formats --------------------------------------------------------------------------------------------------------


async def test_first_tries_are_told_from_later_ones() -> None:
    """Read at once; read at the second try; never read: 3 first tries, of which 2 fail, and 3 that came after."""
    engine = formats.Counting(Scripted(["Yes", "Hm", "Yes", "Hm", "Hm", "Hm"]), "toy", free=False)
    request = Request("judging", 4, prompt="Well?", grammar=Grammar("regex", "Yes|No"))
    with formats.hearing(engine) as again:
        for at in range(2):
            await ask(engine, request, reading.verdict, rng_for(0, str(at)))
        with pytest.raises(ReadingError):
            await ask(engine, request, reading.verdict, rng_for(0, "2"))
    assert list(engine.first_tries(again)) == [(("judging", True), 3, 2)]


async def test_without_grammar_a_held_call_is_asked_freely_and_still_counts_as_held() -> None:
    plain = Scripted(["Yes"])
    engine = formats.Counting(plain, "toy", free=True)
    await engine(Request("judging", 4, prompt="Well?", grammar=Grammar("regex", "Yes|No")))
    assert plain.requests[0].grammar is None
    assert engine.answered == {("judging", True): 1}


async def test_what_nobody_reads_does_not_count() -> None:
    engine = formats.Counting(Scripted(["x"]), "spc", free=False)
    assert (await engine(Request("faithfulness", 1, prompt="Well?", decoder_input_details=True))).text == "x"
    assert not engine.answered


async def test_the_generator_of_spc_is_read_where_nobody_asks_again() -> None:
    lines = ["User 1: Hi.\nUser 2: Hi.", "Hi.", Reply("User 1: Hi.\nUser 2: H", "length", 1, 1)]
    engine = formats.Counting(Scripted(lines), "spc", free=False)
    for _ in lines:
        await engine(Request("generation", 9, prompt="Write."))
    assert list(engine.first_tries(Counter())) == [(("generation", False), 3, 2)]


async def test_a_recipe_is_run_and_its_calls_are_counted() -> None:
    strayed: list[Request] = []

    def straying(request: Request) -> str | Reply:
        if not strayed:
            strayed.append(request)
            return "Sure! Here is the conversation."
        return clerk(request)

    found = await formats.ran(formats.Form("solid_rl"), Scripted(straying), INFO, 6, 0, free=False)
    assert found.calls == {("one step", True): (6, 1)}
    assert found.counts["seeds"] == 6
    assert 0 < len(found.kept) <= formats.SAMPLES
    facts = formats.facts([found, await formats.ran(found.form, Scripted(clerk), INFO, 4, 0, free=True)])
    assert facts["solid_rl"]["stages"]["one step"] == {
        "grammar": {"replies": 6, "read": 5},
        "free": {"replies": 4, "read": 4},
    }
    assert facts["solid_rl"]["grammar"] == {"replies": 6, "read": 5}


def test_calls_that_are_never_held_count_once() -> None:
    """They are the same in both runs: 3 of 4, of which the run without grammars asks again for all."""
    calls = {("held", True): (2, 1), ("never", False): (4, 1)}
    runs = [formats.Ran(formats.Form("solid"), free, calls, {}, ()) for free in (False, True)]
    found = formats.facts(runs)["solid"]
    assert found["stages"]["never"] == {"free": {"replies": 4, "read": 3}}
    assert found["grammar"] == {"replies": 2, "read": 1}
    assert found["free"] == {"replies": 6, "read": 4}


def test_samples_come_from_runs_with_grammar_form_by_form() -> None:
    def of(kept: str, free: bool) -> formats.Ran:
        return formats.Ran(formats.Form("solid"), free, {}, {}, tuple(Dialogue(name, ()) for name in kept))

    found = formats.samples([of("ab", False), of("xyz", True), of("cdefg", False), of("h", False)])
    assert "".join(each.id for each in found["solid"]) == "abcde"


async def test_a_run_that_unreadable_replies_stop_is_told_and_one_without_endpoint_is_an_error() -> None:
    form = formats.Form("solid_rl", {"entities": "none", "types": "ask", "type_count": "1"})
    found = await formats.ran(form, Scripted(lambda request: ""), INFO, 2, 0, free=False)
    assert found.calls == {("types", False): (1, 1)}
    assert found.stopped
    assert found.stopped.startswith("ReadingError: types")
    assert not found.kept

    def gone(request: Request) -> Exception:
        return Outage("nobody is there") if request.stage != "still there" else Unreachable("nobody")

    with pytest.raises(Unreachable):
        await formats.ran(form, Scripted(gone), INFO, 2, 0, free=False)


@pytest.mark.parametrize("form", formats.FORMS, ids=str)
def test_every_form_is_one_that_its_recipe_has(form: formats.Form) -> None:
    from synthesis.command import recipe_class
    from synthesis.recipe import make

    assert make(recipe_class(form.recipe), "laptop", form.fields).name == form.recipe


# ---- the command ----------------------------------------------------------------------------------------------------


async def test_the_whole_command_over_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMS", (formats.Form("solid"), formats.Form("luas")))
    out, file = tmp_path / "scores", corpus(tmp_path)
    async with FakeTgi() as server:
        (tmp_path / "first.json").write_text("null")
        command = ["--corpus", str(file), "--endpoint", server.url, "--out", str(out), "--quick"]
        command += ["--first", str(tmp_path / "first.json")]
        await asyncio.to_thread(main, command)
    facts = json.loads((out / "scores.json").read_text())
    assert facts["about"]["sizes"] == {"texts": 1, "dialogues": 6, "verdicts": 4, "runs": 2}
    assert facts["perplexity"]["text"]["all"]["texts"] == 2
    assert facts["persona_chat"]["model"]["hygiene"]["value"] == 0  # the server says words by chance
    assert set(facts["formats"]) == {"solid", "luas"}
    page = (out / "embedded.md").read_text()
    assert "| passes all hygiene at first try | 0 % [0, 0] | – |" in page
    result = json.loads((out / "result.json").read_text())
    assert result["scores"]["hygiene at first try"] == 0
    people = facts["persona_chat"]["human"]
    assert result["beside"]["people"]["self-BLEU"] == people["self_bleu"]
    again = report.rows(facts)
    report.write(facts, json.loads((out / "samples.json").read_text()), facts, out / "both.md")
    assert f"| distinct-2 | {again['distinct-2']} | {again['distinct-2']} |" in (out / "both.md").read_text()


# ---- page and card --------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "about": {
        **{
            "model": "parley-embedded",
            "corpus": "c.jsonl.gz",
            "seed": 0,
            "quick": False,
            "threads": 1,
            "minutes": 2.5,
        },
        "sizes": {"texts": 1, "dialogues": 2, "verdicts": 3, "runs": 4},
    },
    "perplexity": {
        form: {"all": {"perplexity": 8.0, "bits_per_character": 1.5, "texts": 3, "tokens": 60, "too_long": 0}}
        for form in ("text", "chat")
    },
    "persona_chat": {
        who: {
            **{"dialogues": 10, "unreadable": 1, "dropped": {"length": 2}, "words": 300, "distinct_2": share},
            **{"hygiene": {"value": share, "low": 0.5, "high": 1.0}, "self_bleu": None, "identification": {}},
        }
        for who, share in (("model", 0.8), ("human", 0.9))
    },
    "verdicts": {"shuffled turns": {"auc": 0.75, "low": 0.5, "high": 0.875, "dialogues": 9, "unreadable": 1}},
    "formats": {
        "solid": {
            **{"grammar": {"replies": 4, "read": 4}, "free": {"replies": 0, "read": 0}},
            "stages": {"turn": {"grammar": {"replies": 4, "read": 4}}},
            "outcomes": [{"form": "solid", "grammar": True, "stopped": "ReadingError: a | b"}],
        }
    },
}


def test_the_page_says_what_the_numbers_say(tmp_path: Path) -> None:
    chat = FACTS["persona_chat"]
    first = FACTS | {"persona_chat": chat | {"model": chat["model"] | {"distinct_2": 0.25}}, "formats": {}}
    row = to_json(PART.dialogue())
    report.write(FACTS, {"solid": [row], "luas": []}, first, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    for line in (
        "| passes all hygiene at first try | 80 % [50, 100] | 80 % [50, 100] | 90 % [50, 100] | at least 90 % |",
        "| distinct-2 | 0.8 | 0.25 | 0.9 | within 25 % of 0.9 |",
        "| AUC, shuffled turns | 0.75 [0.50, 0.88] | 0.75 [0.50, 0.88] |  | at least 0.75 |",
        "| read with grammar, solid | 100 % | – |  | 100 % |",
        "| read without grammar, solid | – | – |  | at least 80 % |",
        "| solid | turn | 100 % | 4 | – | – | – | – |",
        "| solid | yes | – | – | – | – | ReadingError: a \\| b |",
        "User 1: Hello there, do you like chess?",
        "### luas\n\nIt kept none.",
    ):
        assert line in page, line
    assert "quick" not in page


def test_the_card_shows_first_model_and_people_beside(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    first = FACTS | {"persona_chat": {"model": FACTS["persona_chat"]["human"], "human": {}}}
    path.write_text(json.dumps(report.result(FACTS, first)))
    given_ = ["model", str(SHIPPED / "facts.json"), "--result", str(path), "--out", str(tmp_path / "README.md")]
    assert cards_main(given_) == 0
    card = (tmp_path / "README.md").read_text()
    assert "| measure | value | examples | first model | people |" in card
    assert "| distinct-2 | 0.8 | 10 | 0.9 | 0.9 |" in card
    assert "| AUC shuffled turns | 0.75 | 9 | 0.75 | – |" in card
    head = card.partition("\n---\n")[0]
    assert "value: 0.8" in head
    assert "value: 0.9" not in head, "scores of others are no scores of the model"
