"""Groundedness in a document, by numbers worked out by hand: by words, by a cross-encoder, by an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError
from synthesis.metric import Scorer
from synthesis.metrics.groundedness import DocumentOverlap, GroundednessByEngine, GroundednessByNli
from synthesis.words import sentences
from tests.tiny_cross_encoder import make_cross_encoder


def talk(*texts: str, document: str | None = None) -> Dialogue:
    """A dialogue in which User 1 and User 2 take turns."""
    turns = tuple(Turn(f"User {1 + index % 2}", text) for index, text in enumerate(texts))
    return Dialogue("d", turns, document=document)


TOWER = talk("Does the tower open early?", "The tower opens at ten.", document="The tower opens at nine.")


# ---- words ----------------------------------------------------------------------------------------------------------


async def test_overlap_with_the_document() -> None:
    # tower open earl | tower open ten, of which the document has tower and open
    found = await DocumentOverlap().score(TOWER)
    assert found == {
        "document_overlap": pytest.approx(2 / 3),
        "document_overlap_lowest": pytest.approx(2 / 3),
        "unsupported_words": pytest.approx(2 / 6),
    }
    assert found.keys() == DocumentOverlap.about.keys()


async def test_which_turns_are_judged() -> None:
    dialogue = talk("Dragons?", "The tower opens.", "Ten dragons live there.", document="The tower opens at ten.")
    # dragon 0/1 | tower open 2/2 | ten dragon liv 1/3
    assert await DocumentOverlap().score(dialogue) == {
        "document_overlap": pytest.approx((0 + 1 + 1 / 3) / 3),
        "document_overlap_lowest": 0,
        "unsupported_words": pytest.approx(2 / 6),  # the first dragon, and liv: the second was said before
    }
    assert (await DocumentOverlap("turn").score(dialogue))["document_overlap"] == pytest.approx(1 / 3)
    assert (await DocumentOverlap("turn").score(dialogue))["unsupported_words"] == pytest.approx(1 / 3)
    assert (await DocumentOverlap(speaker="User 2").score(dialogue))["document_overlap"] == 1
    assert await DocumentOverlap("turn", speaker="User 2").score(dialogue) == {}


async def test_what_cannot_be_had_is_absent() -> None:
    assert await DocumentOverlap().score(talk("The tower opens.")) == {}
    assert await DocumentOverlap().score(talk("Oh, is it?", "!", document="The tower opens.")) == {}


@given(st.lists(st.text(alphabet="ab cd", max_size=9), max_size=4), st.text(alphabet="ab cd", max_size=12))
async def test_overlaps_are_shares(texts: list[str], document: str) -> None:
    found = await DocumentOverlap().score(talk(*texts, document=document))
    assert all(0 <= value <= 1 for value in found.values())
    if found:
        assert found["document_overlap_lowest"] <= found["document_overlap"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It opens. Does it? Yes!", ["It opens.", "Does it?", "Yes!"]),
        ("Dr. Low met Mrs. Fry at St. Ives. Rain fell", ["Dr. Low met Mrs. Fry at St. Ives.", "Rain fell"]),
        ("One\n\n two … three", ["One", "two …", "three"]),
        (" \n ", []),
        ("3.5 miles", ["3.5 miles"]),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert sentences(text) == found


# ---- NLI ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_cross_encoder(tmp_path_factory.mktemp("nli") / "m", contradicting=["never"], entailing=["nine"]))


async def test_a_sentence_takes_the_best_of_the_document(nli: str) -> None:
    document = "It never rains. The gate is green."
    dialogue = talk("Does it open at nine?", "The tower opens at nine. The moat is deep.", document=document)
    # the question claims nothing; "nine" is entailed by the gate, not by the rain; the moat by neither
    found = await GroundednessByNli(nli).score(dialogue)
    assert found["grounded_nli"] == pytest.approx((1 + 0) / 2, abs=0.01)
    assert found.keys() == GroundednessByNli.about.keys()
    never = talk("The tower opens at nine.", document="It never rains.")
    assert (await GroundednessByNli(nli).score(never))["grounded_nli"] == pytest.approx(0, abs=0.01)
    assert await GroundednessByNli(nli, speaker="User 1").score(dialogue) == {}
    assert await GroundednessByNli(nli).score(talk("The tower opens at nine.")) == {}


# ---- an engine ------------------------------------------------------------------------------------------------------


def last(request: Request) -> str:
    return request.messages[0][1].partition("Next turn:\n")[2].partition("\n")[0]


async def test_the_share_of_supported_turns() -> None:
    texts = ("Hi.", "The tower opens at ten.", "Thanks.", "It is tall.")
    engine = Scripted(lambda request: json.dumps({"supported": "no" if "ten" in last(request) else "yes"}))
    dialogue = talk(*texts, document="The tower opens at nine and is tall.")
    found = await GroundednessByEngine(engine).score(dialogue)
    assert found == {"grounded_engine": 3 / 4}
    assert found.keys() == GroundednessByEngine.about.keys()
    first, *_, final = (request.messages[0][1] for request in engine.requests)
    assert "Conversation:\n(nothing was said before)\n\nNext turn:\nUser 1: Hi.\n" in first
    assert "User 1: Thanks.\n\nNext turn:\nUser 2: It is tall.\n" in final
    assert {request.role for request in engine.requests} == {"critic"}


async def test_a_turn_is_one_request() -> None:
    engine = Scripted(['{"supported": "no"}'])
    assert await GroundednessByEngine(engine, "turn").score(TOWER) == {"grounded_engine": 0}
    assert last(engine.requests[0]) == "User 2: The tower opens at ten."


async def test_without_a_document_nobody_is_asked() -> None:
    assert await GroundednessByEngine(Scripted([])).score(talk("Hi.", "Hi.")) == {}


@pytest.mark.parametrize("reply", ["Yes.", "{}", '{"supported": "maybe"}', '{"supported": true}', '["yes"]'])
async def test_a_verdict_that_cannot_be_read_is_an_error(reply: str) -> None:
    with pytest.raises(ReadingError, match="groundedness"):
        await GroundednessByEngine(Scripted(lambda request: reply), "turn").score(TOWER)


def test_every_scorer_is_one(tmp_path: Path) -> None:
    scorers: list[Scorer] = [DocumentOverlap(), GroundednessByNli(str(tmp_path)), GroundednessByEngine(Scripted([]))]
    assert len({name for scorer in scorers for name in scorer.about}) == 5
