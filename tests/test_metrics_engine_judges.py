"""GPTScore, G-Eval and LLM-Eval: worked examples, what they ask, and verdicts that cannot be read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import UNASSIGNED, Dialogue, Persona, Turn
from synthesis.engine import Reply, Request, Token
from synthesis.engines.openai import OpenAI
from synthesis.engines.scripted import Scripted
from synthesis.engines.tgi import Tgi
from synthesis.errors import ReadingError, Unsupported, UserError
from synthesis.metric import Scorer
from synthesis.metrics import geval, gptscore
from synthesis.metrics.geval import GEval
from synthesis.metrics.gptscore import GptScore
from synthesis.metrics.judging import masses, shown
from synthesis.metrics.llm_eval import LlmEval, marks
from tests import toy_language_model as toy
from tests.fake_tgi import FakeTgi
from tests.serving import serving
from tests.vectors import Dawdling

TALK = Dialogue("d", (Turn("Bo", "Hi."), Turn("Ada", "Hello."), Turn("Bo", "I ski.")))


def top(**likeliest: float) -> Reply:
    """A reply whose first token might have been these; an underscore stands for a leading space."""
    tokens = tuple(Token(-1, text.replace("_", " "), math.log(p)) for text, p in likeliest.items())
    return Reply(tokens[0].text, "length", 9, 1, tokens[:1], (), (tokens,))


def asked(request: Request) -> str:
    return request.prompt if request.prompt is not None else request.messages[-1][1]


def lacking(feature: Callable[[Request], Any], otherwise: Callable[[Request], Any]) -> Scripted:
    """An endpoint that lacks something."""

    def reply(request: Request) -> Any:
        return Unsupported("http://x: not here") if feature(request) else otherwise(request)

    return Scripted(reply)


def without_top(otherwise: Callable[[Request], Any]) -> Scripted:
    return lacking(lambda request: request.top_n_tokens is not None, otherwise)


# ---- what a judge is shown ------------------------------------------------------------------------------------------


def test_what_is_shown() -> None:
    assert shown(TALK, "dialogue") == "Conversation:\nBo: Hi.\nAda: Hello.\nBo: I ski."
    assert shown(TALK, "turn") == "Conversation so far:\nBo: Hi.\nAda: Hello.\n\nReply:\nBo: I ski."
    assert shown(Dialogue("d", TALK.turns[:1]), "turn") == "Reply:\nBo: Hi."
    profiles = (Persona("1", ("I knit.", "I sing.")), Persona("2", ("I ski.",)))
    given = Dialogue("d", TALK.turns, profiles, document="Snow falls.")
    head = "Document:\nSnow falls.\n\nProfiles:\nAda: I knit. I sing.\nBo: I ski.\n\nConversation:\n"
    assert shown(given, "dialogue").startswith(head)
    assert "Profiles" not in shown(Dialogue("d", TALK.turns[:1], profiles), "dialogue")  # whose would they be?
    assert "Profiles" not in shown(Dialogue("d", TALK.turns, profiles, notes=(UNASSIGNED,)), "dialogue")


def test_casing_and_leading_space_are_aside() -> None:
    tokens = [
        Token(at, text, math.log(0.1)) for at, text in enumerate(["Yes", " yes", "▁YES", "ĠYes", "Yesterday", "no"])
    ]
    assert masses(tokens, ("yes", "no")) == pytest.approx({"yes": 0.4, "no": 0.1})
    assert masses([], ("yes", "no")) == {"yes": 0, "no": 0}
    with pytest.raises(ReadingError, match="'Yes' has no log-probability"):
        masses([Token(1, "Yes", None)], ("yes",))


# ---- GPTScore -------------------------------------------------------------------------------------------------------

FORMS: list[tuple[Literal["normalised", "published"], str, float]] = [
    ("normalised", "gptscore_depth", 0.75 / 0.95),
    ("published", "gptscore_published_depth", 0.75),
]


@pytest.mark.parametrize(("form", "name", "value"), FORMS)
async def test_gptscore_worked_example(form: Literal["normalised", "published"], name: str, value: float) -> None:
    metric = GptScore(Scripted(lambda _: top(Yes=0.6, _yes=0.15, No=0.2, Well=0.04)), form=form)
    found = await metric.score(TALK)
    assert found[name] == pytest.approx(value)
    assert found[name.replace("depth", "share")] == pytest.approx(0.95)
    assert list(found) == list(metric.about)
    assert len(found) == 10 + 1


async def test_gptscore_asks_every_question_of_the_dialogue() -> None:
    engine = Scripted(lambda _: top(Yes=0.5, No=0.5))
    await GptScore(engine, top_n=3).score(TALK)
    for request, question in zip(engine.requests, gptscore.DIALOGUE.values(), strict=True):
        assert asked(request).startswith(f"Conversation:\n{TALK.text()}\n\nQuestion: {question} ")
        assert (request.max_new_tokens, request.top_n_tokens, request.temperature) == (1, 3, None)
        assert (request.stage, request.role, request.conversation) == ("gptscore", "critic", "d")
    turn = Scripted(lambda _: top(Yes=0.5, No=0.5))
    assert list(await GptScore(turn, level="turn").score(TALK)) == [
        *(f"gptscore_{name}" for name in gptscore.TURN),
        "gptscore_share",
    ]
    assert "Reply:\nBo: I ski." in asked(turn.requests[0])


async def test_gptscore_from_a_prompts_probabilities() -> None:
    """P(Yes) = exp(-2) and P(No) = exp(-1) after the context, whose own tokens do not matter."""

    def read(request: Request) -> Reply:
        text, ending = asked(request), {" Yes": -2.0, " No": -1.0}
        context = (Token(1, "Question", None), Token(2, "...", -9.0))
        last = tuple(Token(3, end, value) for end, value in ending.items() if text.endswith(end))
        return Reply("", "length", 3, 1, prefill=context + last)

    engine = without_top(read)
    found = await GptScore(engine).score(TALK)
    assert found["gptscore_depth"] == pytest.approx(math.exp(-2) / (math.exp(-2) + math.exp(-1)))
    assert found["gptscore_share"] == pytest.approx(math.exp(-2) + math.exp(-1))
    prompts = [asked(request) for request in engine.requests if request.decoder_input_details]
    assert len(prompts) == 3 * 10
    assert prompts[0].endswith("Bo: I ski.\n\nAnswer:")
    published = await GptScore(Scripted(read), form="published", how="prompt").score(TALK)
    assert published["gptscore_published_depth"] == pytest.approx(math.exp(-2))


async def test_gptscore_of_another_answer_is_an_error() -> None:
    with pytest.raises(ReadingError, match=r"gptscore: 0.3 of the probability is on the scale.*'Well', 'Yes'"):
        await GptScore(Scripted(lambda _: top(Well=0.6, Yes=0.3))).score(TALK)
    with pytest.raises(ReadingError, match="expected the likeliest first tokens"):
        await GptScore(Scripted(lambda _: "Yes")).score(TALK)


async def test_gptscore_without_any_probabilities_names_what_has_them() -> None:
    async with FakeTgi(dialects=("openai",)) as server, ClientSession() as session:
        engine = OpenAI(server.url, session=session)
        with pytest.raises(Unsupported, match=r"gptscore needs prompt log-probabilities.*the tgi dialect have it"):
            await GptScore(engine, how="prompt").score(TALK)
    with pytest.raises(Unsupported, match="gptscore needs top_n_tokens: http://x: not here"):
        await GptScore(without_top(toy.read), how="tokens").score(TALK)


# ---- G-Eval ---------------------------------------------------------------------------------------------------------


async def test_geval_worked_example() -> None:
    reply = top(**{"3": 0.6, "2": 0.2, "_3": 0.1, "The": 0.1})
    metric = GEval(Scripted(lambda _: reply))
    found = await metric.score(TALK)
    assert found == {
        **{f"geval_{name}": pytest.approx(2.5 / 0.9) for name in ("engaging", "natural", "coherent", "grounded")},
        "geval_share": pytest.approx(0.9),
    }
    assert list(found) == list(metric.about)


async def test_geval_by_samples() -> None:
    """Marks 3, 2, 3 and 1 are 2.25; each sample has a seed of its own and is hot; there is no share."""
    said = iter(["3", "Score: 2", " 3.", "1 (dull)"] * 4)
    engine = without_top(lambda _: next(said))
    found = await GEval(engine, samples=4).score(TALK)
    assert found == {f"geval_{name}": 2.25 for name in geval.CRITERIA}
    sampled = [request for request in engine.requests if request.top_n_tokens is None]
    assert {request.temperature for request in sampled} == {1.0}
    assert len({request.seed for request in sampled}) == 16


async def test_geval_samples_are_the_same_whoever_answers_first() -> None:
    def mark(request: Request) -> str:
        assert request.seed is not None
        return str(request.seed % 3 + 1)

    wanted = await GEval(Scripted(mark), how="samples").score(TALK)
    for seed in (1, 2):
        assert await GEval(Dawdling(Scripted(mark), seed), how="samples").score(TALK) == wanted
    other = Dialogue("e", TALK.turns)
    assert await GEval(Scripted(mark), how="samples").score(other) != wanted


async def test_geval_off_the_scale_is_an_error() -> None:
    with pytest.raises(ReadingError, match=r"geval: 0\.4 of the probability is on the scale, expected at least 0\.5"):
        await GEval(Scripted(lambda _: top(**{"4": 0.6, "3": 0.4}))).score(TALK)
    with pytest.raises(ReadingError, match="geval: 0 of the probability is on the scale"):
        await GEval(Scripted(lambda _: top(Well=0.9)), least_share=0).score(TALK)
    with pytest.raises(ReadingError, match=r"geval: expected a reply .* from 1 to 3, got 'Fine.' \(after 3 tries\)"):
        await GEval(Scripted(lambda _: "Fine."), how="samples").score(TALK)
    with pytest.raises(Unsupported, match="geval needs top_n_tokens"):
        await GEval(without_top(lambda _: "3"), how="tokens").score(TALK)


@pytest.mark.parametrize("text", ["4", "0", "2.5", "2,5", "23", "-", "three", "", "I would say 2"])
def test_no_mark(text: str) -> None:
    with pytest.raises(ReadingError):
        geval.mark(text, 1, 3)


@pytest.mark.parametrize("text", ["2", " 2", "**2**", "Score: 2", "2.", "2/3", "2 - dull", "Answer: 2, since"])
def test_a_mark(text: str) -> None:
    assert geval.mark(text, 1, 3) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": (3, 3)}, "the lower one first"),
        ({"scale": (-1, 3)}, "from 0 up"),
        ({"scale": (1, 10)}, "several digits"),
        ({"samples": 0}, "samples must be at least 1"),
    ],
)
def test_geval_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GEval(Scripted([]), **fields)


async def test_geval_on_another_scale_says_so() -> None:
    engine = Scripted(lambda _: "7")
    metric = GEval(engine, scale=(0, 10), how="samples", samples=1, level="turn")
    assert (await metric.score(TALK))["geval_natural"] == 7
    assert "a whole number from 0 (" in asked(engine.requests[0])
    assert "how well the reply holds" in asked(engine.requests[0])
    assert metric.about["geval_natural"].endswith("; 0 to 10, higher is better")


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0.01, 1))
def test_an_expected_mark_is_on_the_scale_and_does_not_depend_on_what_is_off_it(
    marks: list[float], other: float
) -> None:
    import asyncio

    def expected(weights: dict[str, float]) -> float:
        total = sum(weights.values())
        reply = top(**{text: weight / total for text, weight in weights.items()})
        found = asyncio.run(GEval(Scripted(lambda _: reply), least_share=0.0).score(TALK))
        return found["geval_natural"]

    weights = dict(zip("123", marks, strict=True))
    assert 1 <= expected(weights) <= 3
    assert expected(weights | {"Well": other}) == pytest.approx(expected(weights))


# ---- LLM-Eval -------------------------------------------------------------------------------------------------------

MARKS = {"content": 80, "grammar": 95, "relevance": 90, "appropriateness": 85}


async def test_llm_eval_worked_example() -> None:
    engine = Scripted(["I would rather not.", "```json\n" + json.dumps(MARKS) + "\n```"])
    metric = LlmEval(engine)
    found = await metric.score(TALK)
    assert found == {f"llm_eval_{name}": float(mark) for name, mark in MARKS.items()}
    assert list(found) == list(metric.about)
    first, second = engine.requests
    assert first.grammar is not None
    assert first.grammar.kind == "json"
    assert (first.temperature, first.seed) == (None, None)
    assert second.temperature == 0.7
    assert asked(first).startswith(f"Conversation:\n{TALK.text()}\n\nMark the conversation from 0")


@pytest.mark.parametrize(
    "given",
    [
        {**MARKS, "content": 101},
        {**MARKS, "content": -1},
        {**MARKS, "content": 80.5},
        {**MARKS, "content": "80"},
        {**MARKS, "content": True},
        {**MARKS, "content": None},
        {**MARKS, "style": 4},
        {"content": 80},
        [80, 95, 90, 85],
    ],
)
def test_marks_that_are_not_four_whole_numbers(given: Any) -> None:
    with pytest.raises(ReadingError):
        marks(json.dumps(given))


async def test_llm_eval_without_a_grammar_names_the_metric() -> None:
    with pytest.raises(Unsupported, match="llm_eval needs a JSON grammar: http://x"):
        await LlmEval(lacking(lambda request: request.grammar is not None, lambda _: "")).score(TALK)


# ---- all, and over the wire -----------------------------------------------------------------------------------------


async def test_a_dialogue_without_turns_has_no_numbers() -> None:
    engine = Scripted([])
    scorers: list[Scorer] = [GptScore(engine), GEval(engine), LlmEval(engine)]
    assert [await scorer.score(Dialogue("d", ())) for scorer in scorers] == [{}, {}, {}]


async def test_over_the_wire() -> None:
    """A model of random weights has no view: what is held to a form has its range, what is not cannot be read."""
    async with serving() as served:
        engine = Tgi(served.url, session=served.session)
        found = await GptScore(engine, how="prompt").score(TALK)
        assert len(found) == 11
        assert all(0 < value < 1 for value in found.values())
        marked = await LlmEval(engine).score(TALK)
        assert len(marked) == 4
        assert all(0 <= value <= 100 for value in marked.values())
        with pytest.raises(ReadingError, match=r"geval: .* of the probability is on the scale"):
            await GEval(engine).score(TALK)


async def test_a_server_that_shows_fewer_likeliest_tokens_is_told_by_flag() -> None:
    async with serving("--max-top-n-tokens", "2") as served:
        engine = Tgi(served.url, session=served.session)
        with pytest.raises(Unsupported, match=r"geval needs top_n_tokens: .* higher --max-top-n-tokens"):
            await GEval(engine, how="tokens").score(TALK)
        found = await GptScore(engine).score(TALK)  # goes to the prompt's probabilities
        assert 0 <= found["gptscore_depth"] <= 1
