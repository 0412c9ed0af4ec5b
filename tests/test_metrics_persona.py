"""Metrics of personas, by numbers worked out by hand: use, identification, and faithfulness to the profile."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import UNASSIGNED, Dialogue, Persona, Turn
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, UserError
from synthesis.filters.copying import CrossTalk
from synthesis.metric import averaged, judged, scored
from synthesis.metrics import identification
from synthesis.metrics.faithfulness import FaithfulnessByEngine, FaithfulnessByNli
from synthesis.metrics.identification import ProfileIdentification
from synthesis.metrics.persona import PersonaUse
from synthesis.nli import infer
from tests.tiny_cross_encoder import make_cross_encoder

Traits = tuple[tuple[str, ...], ...]


def talk(*texts: str, traits: Traits = (), name: str = "d") -> Dialogue:
    """A dialogue in which User 1 and User 2 take turns."""
    turns = tuple(Turn(f"User {1 + index % 2}", text) for index, text in enumerate(texts))
    return Dialogue(name, turns, tuple(Persona(str(index), each) for index, each in enumerate(traits)))


DOGS = talk(
    "My dogs keep me awake, and I never learned how to swim.",
    "Swimming? I paint, my paintings hang in the kitchen.",
    traits=(("I have a dog.", "I never learned how to swim.", "I grow roses."), ("I paint.", "I fear dogs.")),
)


# ---- which turns are judged -----------------------------------------------------------------------------------------


def test_judged_turns() -> None:
    three = talk("a", "b", "c")
    assert judged(three, "dialogue") == [0, 1, 2]
    assert judged(three, "turn") == [2]
    assert judged(three, "dialogue", "User 2") == [1]
    assert judged(three, "turn", "User 2") == []
    assert judged(Dialogue("d", ()), "turn") == []


# ---- use ------------------------------------------------------------------------------------------------------------


def test_persona_use() -> None:
    # dog 1/1 | learn, swim 2/2, recited | grow, ros 0/2 || paint 1/1, recited whole | fear, dog: 0/2, said by User 1
    assert PersonaUse()([DOGS]) == {
        "persona_attributes": 5,
        "persona_coverage": pytest.approx(3 / 5),
        "persona_overlap": pytest.approx((1 + 1 + 0 + 1 + 0) / 5),
        "persona_copied": pytest.approx(2 / 5),
        "persona_verbatim": pytest.approx(2 / 5),
        "persona_swapped": pytest.approx(1 / 5),
        "persona_cross_talk": 0,
    }


def test_the_example_of_persona_use() -> None:
    traits = (("I have a dog.", "I never learned how to swim."), ("It is me.",))
    found = PersonaUse()([talk("My dogs keep me awake, and I never learned how to swim.", "Oh.", traits=traits)])
    assert found["persona_attributes"] == 2
    assert [found[f"persona_{name}"] for name in ("coverage", "overlap", "copied", "verbatim")] == [1, 1, 0.5, 0.5]


def test_recital_stays_within_a_turn() -> None:
    traits = (("I collect very old coins.",), ("I ski.",))
    assert PersonaUse()([talk("I collect", "Oh?", "very old coins.", "Ah.", traits=traits)])["persona_copied"] == 0
    found = PersonaUse()([talk("Yes, I collect very old things.", "Ah.", traits=traits)])
    assert (found["persona_copied"], found["persona_verbatim"]) == (0.5, 0)


@pytest.mark.parametrize(
    ("first", "second", "crossed"),
    [
        ("Nice to meet you.", "I keep bees behind my barn.", 1),  # the other claims it
        ("My bees are asleep.", "I keep bees behind my barn too.", 0),  # the owner had said it
        ("Nice to meet you.", "Do you keep bees in a barn?", 0),  # nobody claims it
        ("Nice to meet you.", "I like bees.", 0),  # one word is chance
    ],
    ids=["claimed", "echoed", "asked", "one word"],
)
async def test_cross_talk(first: str, second: str, crossed: int) -> None:
    dialogue = talk(first, second, traits=(("I keep bees in a barn.",), ("I ski.",)))
    assert PersonaUse()([dialogue])["persona_cross_talk"] == crossed / 2
    assert (await CrossTalk()(dialogue) is not None) == bool(crossed), "the filter finds the same"


async def test_at_the_level_of_a_turn_the_last_speaker_is_looked_at() -> None:
    scorer = PersonaUse(level="turn")
    assert await scorer.score(DOGS) == {
        "persona_attributes": 2,
        "persona_coverage": 0.5,  # paint | fear, dog
        "persona_overlap": 0.5,
        "persona_copied": 0.5,
        "persona_verbatim": 0.5,
    }
    assert await PersonaUse().score(DOGS) == PersonaUse()([DOGS])


def test_personas_that_are_nobodys_own_are_not_held_against_a_speaker() -> None:
    assert PersonaUse()([DOGS])
    assert PersonaUse()([dataclasses.replace(DOGS, notes=(UNASSIGNED,))]) == {}


def test_what_cannot_be_had_is_absent() -> None:
    assert PersonaUse()([]) == {}
    assert PersonaUse()([talk("Hi", "Hi", traits=(("I fish.",),))]) == {}  # one profile, two speakers
    assert PersonaUse()([talk("Hi", "Hi", traits=(("I am I.",), ("It is me.",)))]) == {}  # no content words


def test_every_number_is_explained() -> None:
    assert PersonaUse()([DOGS]).keys() == PersonaUse.about.keys()


@given(st.lists(st.text(alphabet="ab i", max_size=12), min_size=2, max_size=5), st.text(alphabet="ab i", max_size=9))
def test_shares_are_shares(texts: list[str], trait: str) -> None:
    found = PersonaUse()([talk(*texts, traits=((trait,), ("I have cats",)))])
    assert all(0 <= value <= 1 for name, value in found.items() if name != "persona_attributes")
    assert found["persona_verbatim"] <= found["persona_copied"] <= found["persona_coverage"]
    assert found["persona_overlap"] <= found["persona_coverage"]


# ---- identification -------------------------------------------------------------------------------------------------

SAILOR, BAKER, NURSE = (
    ("I sail on the sea.", "I own a boat."),
    ("I bake bread.",),
    ("I work as a nurse in a hospital.",),
)


def test_ranks_by_hand() -> None:
    found = identification._numbers([(1, 2), (2, 2)])
    assert found == {
        "profile_speakers": 2,
        "profile_accuracy": 1 / 2,
        "profile_accuracy_chance": 1 / 2,
        "profile_reciprocal_rank": 3 / 4,
        "profile_reciprocal_rank_chance": 3 / 4,
    }
    assert found.keys() == ProfileIdentification.about.keys()
    three = identification._numbers([(3, 3)])
    assert three["profile_reciprocal_rank"] == pytest.approx(1 / 3)
    assert three["profile_reciprocal_rank_chance"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_profiles_are_told_by_what_is_said() -> None:
    dialogues = [
        talk("The sea was rough, our boat rolled.", "The oven is on, the loaves rise.", traits=(SAILOR, BAKER)),
        talk("My patients slept on the ward.", "We set sail before the storm.", traits=(NURSE, SAILOR), name="e"),
    ]
    found = ProfileIdentification()(dialogues)
    assert found["profile_speakers"] == 4
    assert found["profile_accuracy"] == 1
    assert found["profile_accuracy_chance"] == pytest.approx(1 / 3)  # of three profiles, the sailor's comes twice
    assert ProfileIdentification()(reversed(dialogues)) == found
    swapped = [talk("The oven is on, the loaves rise.", "The sea was rough.", traits=(SAILOR, BAKER))]
    assert ProfileIdentification()(swapped)["profile_accuracy"] == 0


def test_a_tie_counts_against_the_own_profile() -> None:
    dialogue = talk("I bake.", "I bake.", traits=(("I sing.",), ("I sing!",)))
    alike = talk("Hm.", "Hm.", traits=(("I sing.", "I sing!"), ("I bake",)))
    assert ProfileIdentification()([alike])["profile_speakers"] == 2
    found = ProfileIdentification()([dialogue])
    assert found["profile_reciprocal_rank"] in (0.5, 0.75)  # one of the two fits best, or both alike


def test_distractors_share_no_attribute_and_are_drawn_by_seed() -> None:
    def said(number: int) -> Dialogue:
        traits = ((f"I own {number} boats.", "I sail."), (f"I bake {number} loaves.",))
        return talk("Ahoy.", "Bread?", traits=traits, name=str(number))

    dialogues = [said(number) for number in range(6)]
    found = ProfileIdentification(k=4, sample=5)(dialogues)
    assert found["profile_speakers"] == 5
    assert found["profile_accuracy_chance"] == 1 / 4
    assert found == ProfileIdentification(k=4, sample=5)(reversed(dialogues))
    sailors = [
        speaker for speaker in ProfileIdentification()._speakers(dialogues, set()) if "I sail." in speaker.profile
    ]
    profiles = sorted({speaker.profile for speaker in ProfileIdentification()._speakers(dialogues, set())})
    drawn = ProfileIdentification()._distractors(sailors[0], profiles)
    assert len(drawn) == 6
    assert not any("I sail." in profile for profile in drawn)


def test_identification_wants_somebody_else() -> None:
    assert ProfileIdentification()([]) == {}
    assert ProfileIdentification()([talk("Hi", "Hi", traits=(SAILOR, SAILOR))]) == {}
    with pytest.raises(UserError, match="at least 2 candidates and 1 speaker, got k=1"):
        ProfileIdentification(k=1)


# ---- faithfulness ---------------------------------------------------------------------------------------------------

SKI = talk(
    "Winter is here, at last.",
    "It is, what do you do?",
    "You know me.",
    "Not yet.",
    traits=(("I ski.", "I hate snow.", "I read books."), ("I ski in summer.",)),
)


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_cross_encoder(tmp_path_factory.mktemp("nli") / "m", contradicting=["hate"], entailing=["ski"]))


async def test_faithfulness_by_nli(nli: str) -> None:
    # I ski: entailed | I hate snow: contradicted | I read books: neutral || I ski in summer: entailed
    found = await FaithfulnessByNli(nli).score(SKI)
    assert found == {"persona_contradicted_nli": 1 / 4, "persona_supported_nli": 2 / 4}
    assert found.keys() == FaithfulnessByNli.about.keys()
    assert await FaithfulnessByNli(nli, "turn").score(SKI) == {
        "persona_contradicted_nli": 0,
        "persona_supported_nli": 1,
    }
    assert await FaithfulnessByNli(nli).score(talk("Hi", "Hi")) == {}


async def test_one_contradicting_turn_outweighs_entailing_ones(nli: str) -> None:
    both = talk("I hate it", "Oh", "I ski", traits=(("I ski.",), ()))
    assert await FaithfulnessByNli(nli).score(both) == {"persona_contradicted_nli": 1, "persona_supported_nli": 0}


async def test_the_classes_of_a_model_are_checked(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "m", ["hate"], ["ski"], labels=("yes", "maybe", "no"))
    with pytest.raises(UserError, match=r"has classes \['yes', 'maybe', 'no'\], expected one 'entailment'"):
        await infer(str(folder), [("I ski.", "I ski.")])


def labels(*given: list[str]) -> Callable[[Request], str]:
    """A judge with labels for User 1 and for User 2."""

    def judge(request: Request) -> str:
        user = 0 if "What is true of User 1" in request.messages[0][1] else 1
        return json.dumps({str(number): label for number, label in enumerate(given[user], 1)})

    return judge


async def test_faithfulness_by_an_engine() -> None:
    dialogue = talk("I ski.", "I sing.", traits=(("I ski.", "I fly."), ("I swim.", "I sing.")))
    engine = Scripted(labels(["supported", "contradicted"], ["unmentioned", "supported"]))
    found = await FaithfulnessByEngine(engine).score(dialogue)
    assert found == {"persona_contradicted_engine": 1 / 4, "persona_supported_engine": 2 / 4}
    assert found.keys() == FaithfulnessByEngine.about.keys()


async def test_an_engine_sees_the_last_turn_alone_at_that_level() -> None:
    dialogue = talk("I ski.", "I sing.", traits=(("I ski.",), ("I sing.",)))
    engine = Scripted(labels([], ["supported"]))
    assert await FaithfulnessByEngine(engine, "turn").score(dialogue) == {
        "persona_contradicted_engine": 0,
        "persona_supported_engine": 1,
    }
    asked = engine.requests[0].messages[0][1]
    assert "User 2: I sing." in asked
    assert "User 1: I ski." not in asked


async def test_a_verdict_that_cannot_be_read_is_an_error() -> None:
    dialogue = talk("I ski.", "I sing.", traits=(("I ski.",), ("I sing.",)))
    with pytest.raises(ReadingError, match="faithfulness"):
        await FaithfulnessByEngine(Scripted(lambda request: "Who knows?")).score(dialogue)
    assert await FaithfulnessByEngine(Scripted([])).score(talk("Hi", "Hi")) == {}


async def test_scores_of_many_dialogues_average_those_that_have_them() -> None:
    found = await scored(PersonaUse(), [DOGS, talk("Hi", "Hi"), DOGS])
    assert found[1] == {}
    assert averaged(found) == pytest.approx(PersonaUse()([DOGS]))
