"""Seeds of solid: the name filter and the released one beside it, entities of a file, and a model naming its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, RequestRefused, UserError
from synthesis.intents.entities import Entity, load
from synthesis.intents.names import NameFilter
from synthesis.intents.seeding import BARREN, Sowing, declined
from tests import solid_clerk

SANE, RELEASED = NameFilter(), NameFilter(released=True)

# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "sane", "released"),
    [
        ("Ada Lovelace", "Ada Lovelace", None),
        ("New York", "New York", None),
        ("Brooklyn Bridge", "Brooklyn Bridge", "Brooklyn Bridge"),
        ("1. Marie Curie", "Marie Curie", None),
        ("- *Malcolm X*", "Malcolm X", None),
        ("AC/DC", "AC/DC", None),
        ("Sgt. Pepper's Band", "Sgt. Pepper's Band", None),
        ("golden gate bridge", "Golden Gate Bridge", None),
        ("gulf of mexico", "Gulf of Mexico", None),
        ("MOUNT EVEREST", "Mount Everest", "MOUNT EVEREST"),
        ("NASA", "NASA", None),
        ("iPhone", "iPhone", "iPhone"),
        ("'Tokyo'", "'Tokyo'", "Tokyo"),
        ('"Tokyo"', "Tokyo", "Tokyo"),
        ("北京", "北京", None),
        ("Boeing 747", "Boeing 747", None),
        ("U2", "U2", None),
        ("R.E.M.", "R.E.M.", None),
        ("Martin Luther King Jr.", "Martin Luther King Jr.", None),
        ("1. **Aachen** – a city in the west", "Aachen", None),
        ("Stratford-upon-Avon", "Stratford-upon-Avon", "StratforduponAvon"),
        ("N/A", None, None),
        ("1984", None, None),
        ("***", None, None),
        ("A", None, None),
        ("Here are a hundred names:", None, None),
        ("I know none that begin with Q.", None, None),
        ("One two three four five six seven", None, None),
        ("Supercalifragilisticexpialidocious", None, None),
        ("Zzzzz Aaaaaa", None, "Zzzzz Aaaaaa"),
    ],
)
def test_which_lines_are_names(line: str, sane: str | None, released: str | None) -> None:
    name = SANE.clean(line)
    assert (name if SANE.reason(name) is None else None) == sane
    name = RELEASED.clean(line)
    kept = name if RELEASED.reason(name) is None else None
    assert kept == released


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("1234 56", "digits alone"),
        ("Studio 54", "too many digits"),
        ("aabbab", "too few characters"),
        ("4thavenue bridges", "begins with a digit"),
        ("Seven great little green houses", "too many words"),
        ("Golden Gates", None),
        ("Palace of Sand", "a word of fewer than 5 or more than 20 characters"),
        ("x" * 10 + "abcdefghijk", "a word of fewer than 5 or more than 20 characters"),
    ],
)
def test_the_released_rules_in_their_order(name: str, reason: str | None) -> None:
    assert RELEASED.reason(RELEASED.clean(name)) == reason


def test_bounds_are_the_users() -> None:
    assert NameFilter(5, 8).reason("Rome") == "too short"
    assert NameFilter(5, 8).reason("Constantinople") == "a word too long"
    assert NameFilter(most=1).reason("New York") == "too many words"
    for bad in ((0, 5, 6), (6, 5, 6), (2, 5, 0)):
        with pytest.raises(UserError, match="expected 1 <= shortest <= longest"):
            NameFilter(*bad)


def test_a_list_gives_each_name_once_and_counts_the_rest() -> None:
    names, reasons = SANE.names("Here you are:\n1. Rome\n2. rome\n\n3. Oslo\n4. 77\n")
    assert names == ["Rome", "Oslo"]
    assert reasons == Counter({"a sentence": 1, "known": 1, "no letter": 1})


@given(st.text(), st.booleans())
def test_whatever_a_model_writes_names_are_names(text: str, released: bool) -> None:
    judge = NameFilter(released=released)
    names, reasons = judge.names(text)
    assert all(judge.reason(name) is None for name in names)
    assert len({name.casefold() for name in names}) == len(names)
    assert len(names) + reasons.total() == sum(1 for line in text.splitlines() if line.strip())


# ---- entities of a file ---------------------------------------------------------------------------------------------


def test_entities_in_every_form(tmp_path: Path) -> None:
    plain = tmp_path / "seeds.txt"
    plain.write_text("Rome\tCity\n\nrome\tcity\nAda Lovelace\tMathematician\n")
    assert load(plain) == [Entity("Rome", "City"), Entity("Ada Lovelace", "Mathematician")]
    listed = tmp_path / "seeds.json"
    listed.write_text(json.dumps(["Rome\tCity", {"name": "Oslo", "type": "City", "document": "A port."}]))
    assert load(listed) == [Entity("Rome", "City"), Entity("Oslo", "City", "A port.")]
    rows: list[Any] = [
        {"name": "Rome", "type": "City", "attributes": ["food", "age", "Food"]},
        {"name": "Oslo", "type": "City", "attributes": {"ships": "What ships call at Oslo?"}},
    ]
    described = tmp_path / "seeds.jsonl"
    described.write_text("\n".join(map(json.dumps, rows)))
    assert load(described) == [
        Entity("Rome", "City", None, (("food", None), ("age", None))),
        Entity("Oslo", "City", None, (("ships", "What ships call at Oslo?"),)),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Rome City\n", "a.txt:1: expected a tab between name and type, got 'Rome City'"),
        ("a.txt", "Rome\t\n", "a.txt:1: expected a name and a type"),
        ("a.txt", "", "the file is empty"),
        ("a.json", '{"Rome": "City"}', "got dict, expected a list"),
        ("a.json", "[]", "there is none in it"),
        ("a.json", "[7]", r"a.json\[0\]: expected an object with name and type, got '7'"),
        ("a.jsonl", '{"name": "Rome"}', "a.jsonl:1: expected an object with name and type"),
        ("a.jsonl", '{"name": "Rome", "type": "City", "colour": 1}', "its keys are"),
        ("a.jsonl", '{"name": "Rome", "type": ""}', "a.jsonl:1: expected texts that say something"),
        ("a.jsonl", '{"name": "Rome", "type": "City", "attributes": "food"}', "a.jsonl:1: expected texts"),
        ("a.jsonl", '{"name": "Rome", "type": "City", "attributes": {"food": ""}}', "a.jsonl:1: expected texts"),
        ("a.jsonl", '{"name": "Rome", "type": "City", "attributes": [3]}', "a.jsonl:1: expected texts"),
    ],
)
def test_entities_that_cannot_be_used(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load(path)


# ---- self-seeding ---------------------------------------------------------------------------------------------------


def sowing(**fields: Any) -> Sowing:
    given: dict[str, Any] = {"names": SANE, "temperature": 0.7, "top_p": 0.9, "names_per_call": 12} | fields
    return Sowing(names_length=400, document_length=200, attributes=4, **({"reality": True} | given))


def asked(engine: Scripted) -> Counter[str]:
    return Counter(request.stage for request in engine.requests)


def steady(**answers: str | Exception | Callable[[Request], Any]) -> Scripted:
    """The clerk, who takes every name for real, and says what is given instead for some stages."""

    def model(request: Request) -> Any:
        said = answers.get(request.stage, "Yes." if request.stage == "reality" else solid_clerk.answer)
        return said(request) if callable(said) else said

    return Scripted(model)


async def test_no_more_is_asked_for_than_is_wanted() -> None:
    engine = steady()
    found = await sowing().entities(engine, ["Bridge", "Castle", "Museum"], 2, Random(0))
    assert asked(engine) == {"names": 2, "reality": 2, "document": 2}
    assert len({entity.type for entity in found}) == 2, "types take turns"
    assert all(entity.document and entity.name in entity.document for entity in found)
    engine = steady()
    found = await sowing().entities(engine, ["Bridge", "Castle"], 12, Random(0))
    assert asked(engine) == {"names": 2, "reality": 12, "document": 12}
    assert Counter(entity.type for entity in found) == {"Bridge": 6, "Castle": 6}


async def test_what_is_not_real_or_declined_is_replaced() -> None:
    engine = steady(
        reality=lambda request: "No." if "k" in request.messages[-1][1].split('"')[1] else "Yes, it is.",
        document=lambda request: "N/A. I cannot say." if "mo" in request.messages[-1][1] else "A well-known place.",
    )
    found = await sowing().entities(engine, ["Bridge", "Castle"], 12, Random(1))
    assert len(found) == 12
    assert not any("k" in entity.name or "mo" in entity.name for entity in found)
    assert asked(engine)["reality"] > asked(engine)["document"] > 12


async def test_an_opt_out_is_known_by_how_it_begins() -> None:
    for text in ("N/A", "n/a.", " N / A - unknown to me", '"N/A"', "Not applicable.", "NA"):
        assert declined(text)
    for text in ("Nairobi is a city.", "Na is sodium's symbol", "No", "A N/A value"):
        assert not declined(text)
    reply = "N/A. However, the bridge is said to be long."
    assert await sowing().document(Scripted([reply]), "Bo", "Bridge", Random(0)) is None
    assert await sowing(exact=True).document(Scripted([reply]), "Bo", "Bridge", Random(0)) == reply, "as released"
    assert await sowing(exact=True).document(Scripted(["N/A"]), "Bo", "Bridge", Random(0)) is None


async def test_a_document_ends_with_a_sentence() -> None:
    for reply, kept in (
        ("It is long. It spans 2.5 miles and was", "It is long."),
        ("It is long.\nAnd old.", "It is long. And old."),
        ("a bridge", "a bridge"),
    ):
        assert await sowing().document(Scripted([reply]), "Bo", "Bridge", Random(0)) == kept


async def test_a_model_that_declines_everything_is_not_asked_forever() -> None:
    engine = steady(reality="N/A")
    assert await sowing().entities(engine, ["Bridge", "Castle"], 2, Random(0)) == []
    assert asked(engine) == {"names": 2 * BARREN, "reality": 2 * BARREN * 3}


async def test_faults_cost_a_name_or_a_list_and_are_raised_when_nothing_came() -> None:
    first: list[str] = []

    def once(request: Request) -> Any:
        first.append(request.messages[-1][1])
        return RequestRefused("too rude") if request.messages[-1][1] == first[0] else solid_clerk.answer(request)

    assert len(await sowing().entities(steady(names=once), ["Bridge", "Castle"], 4, Random(0))) == 4
    first.clear()
    assert len(await sowing().entities(steady(document=once), ["Bridge", "Castle"], 4, Random(0))) == 4
    with pytest.raises(RequestRefused, match="too rude"):
        await sowing().entities(steady(names=RequestRefused("too rude")), ["Bridge"], 4, Random(0))
    with pytest.raises(ReadingError, match=r"names: expected names, one a line; left out: {'no letter': 1}"):
        await sowing().entities(steady(names="123"), ["Bridge"], 4, Random(0))


async def test_types_and_attributes_are_lists_of_short_entries() -> None:
    engine = Scripted(
        ["Here are the types:\n1. Bridge\n2. bridge\n- Castle\nIt is hard to say what else there would be"]
    )
    assert await sowing().types(engine, 100, Random(0)) == ["Bridge", "Castle"]
    assert "List 100 kinds" in engine.requests[0].messages[0][1]
    with pytest.raises(ReadingError, match="types: expected a list of types, each of at most 6 words"):
        await sowing().types(Scripted(["That is a question to which I have no answer."] * 3), 9, Random(0))
    engine = Scripted(["a\nb\nc\nd\ne\nf"])
    assert await sowing().attributes_of(engine, "Bridge", Random(0)) == ["a", "b", "c", "d"]
