"""Filters: what each keeps, and for which reason it drops the rest."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.filter import Across, Filter, first_reason
from synthesis.filters.copying import Copying, Coverage, CrossTalk
from synthesis.filters.length import Length
from synthesis.filters.near_duplicates import NearDuplicates, StockOpeners
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.repetition import Repetition
from synthesis.filters.structure import Structure

PERSONAS = (
    Persona("1", ("I keep seven bees in a wooden box.", "My brother repairs bicycles.")),
    Persona("2", ("I teach history to sailors.", "I cannot stand the smell of fish.")),
)


def talk(*texts: str, personas: tuple[Persona, ...] = PERSONAS, id_: str = "d") -> Dialogue:
    """A dialogue in which two users take turns."""
    return Dialogue(id_, tuple(Turn(f"User {at % 2 + 1}", text) for at, text in enumerate(texts)), personas)


def runs(*speakers: int) -> Dialogue:
    return Dialogue("d", tuple(Turn(f"User {number}", f"Word {at}.") for at, number in enumerate(speakers)))


KEEPS: list[tuple[Filter, Dialogue]] = [
    (Structure(), runs(1, 2)),
    (Structure(2, 4, "User 1"), runs(1, 2, 1, 2)),
    (Structure(2, 4), runs(2, 1)),
    (Length(), talk("How do you do?", "Fine, thank you.")),
    (Length(longest=3), talk("One two three", "one two three")),
    (
        Placeholders(),
        talk("I met Ada (an old friend) in a city.", "The user manual says 1 thing, as an engineer would."),
    ),
    (Repetition(), talk("Yes, it is.", "No.", "Yes, it is.", "No.")),
    (Repetition(times=3), talk("I like it a lot.", "I like it a lot.")),
    (Length(), talk("你喜欢远程办公吗？", "我很喜欢，因为在家里很安静。")),
    (Length(), talk("هل تحب العمل من البيت؟", "نعم، فَالْبَيْتُ هادئ جدا.")),
    (Length(), talk("क्या आपको घर से काम करना पसंद है?", "हाँ, यहाँ बहुत शांति है।")),
    (Repetition(), talk("远程办公的好处是什么", "远程办公的坏处更多", "可是远程办公的人很开心")),
    (Repetition(), talk("I like to play chess too.", "So you like to play chess too?", "I play chess, too.")),
    (Copying(), talk("My bees sleep all winter.", "I have a class on a ship, all sailors, history of course.")),
    (Copying(share=0.25), talk("I keep seven bees in a wooden box.", "Sailors learn history with me.")),
    (CrossTalk(), talk("My bees, seven of them, live in a box.", "I had bees in a wooden box once, seven.")),
    (CrossTalk(), talk("Do you teach history to sailors?", "Yes, history it is.")),
    (CrossTalk(), talk("Hi there", "Hello", personas=())),
    (Coverage(), talk("The bees like their box.", "Sailors never do their history homework.")),
]

DROPS: list[tuple[Filter, Dialogue, str]] = [
    (Length(longest=3), talk("我们一起去看新的电影吧"), "long utterance: 11 words"),
    (Length(), talk("好的", "可以"), "short utterances: 2.0 words on average, expected 6"),
    (
        Repetition(),
        talk("我想在家里远程办公因为很安静", "你想在家里远程办公因为很安静吗", "他想在家里远程办公因为很安静"),
        "repeated phrase",
    ),
    (Structure(), runs(1, 1), "speakers: 1 of them"),
    (Structure(), runs(1, 2, 3), "speakers: 3 of them"),
    (Structure(3, 4), runs(1, 2), "turn count: 2, expected 3 to 4"),
    (Structure(1, 2), runs(1, 2, 1), "turn count: 3, expected 1 to 2"),
    (Structure(first="User 1"), runs(2, 1), "opening speaker: User 2, expected User 1"),
    (Structure(), runs(1, 2, 2, 1), "alternation: User 2 speaks twice, turn 3"),
    (Length(), talk("How do you do?", "..."), "empty utterance: turn 2"),
    (Length(longest=3), talk("one two", "one two three four"), "long utterance: 4 words, turn 2"),
    (Length(), talk("Hi.", "Hello."), "short utterances: 1.0 words on average, expected 3"),
    (Placeholders(), talk("I am [name].", "Hi."), "placeholder: '[name]', turn 1"),
    (Placeholders(), talk("Hi.", "I live in (your city)."), "placeholder: '(your city)', turn 2"),
    (Placeholders(), talk("Call me {name}", "Hi."), "placeholder: '{name}', turn 1"),
    (Placeholders(), talk("Call me ____", "Hi."), "placeholder: '____', turn 1"),
    (Placeholders(), talk("Hi, User 2!", "Hi."), "spoken label: 'User 2', turn 1"),
    (Placeholders(), talk("Hi.", "As an AI I have no bees."), "model speech: 'As an AI', turn 2"),
    (Placeholders(), talk("My persona says bees.", "Hi."), "model speech: 'My persona says', turn 1"),
    (
        Repetition(),
        talk("I like it a lot.", "So?", "I like it, a lot!"),
        "repeated utterance: 'i like it a lot', 2 times",
    ),
    (Repetition(), talk("Hi.", "on and on and on and on and on and on"), "looping utterance: turn 2"),
    (
        Repetition(),
        talk("I like to play chess too.", "So you like to play chess too?", "Yes, I like to play chess too, a lot."),
        "repeated phrase: 'like to play chess too', in 3 turns",
    ),
    (
        Repetition(),
        talk("So what do you like to do?", "Well, what do you like to do here?", "Tell me what do you like to do."),
        "repeated phrase: 'what do you like to', in 3 turns",
    ),
    (
        Copying(share=0.25),
        talk("Well, I keep seven bees in a wooden box!", "And my brother repairs bicycles."),
        "recited attributes: 2 of 4, such as 'I keep seven bees in a wooden box.'",
    ),
    (CrossTalk(), talk("I teach history to sailors.", "How nice."), "swapped persona: 'I teach history to sailors.'"),
    (
        CrossTalk(),
        talk("How nice.", "My brother repairs bicycles."),
        "swapped persona: 'My brother repairs bicycles.'",
    ),
    (Coverage(), talk("The bees like their box.", "How nice."), "uncovered persona: User 2 voices 0 attributes"),
    (
        Coverage(least=2),
        talk("The bees like their box.", "Hi."),
        "uncovered persona: User 1 voices 1 attributes, expected 2",
    ),
]


@pytest.mark.parametrize(("judge", "dialogue"), KEEPS)
async def test_keeps(judge: Filter, dialogue: Dialogue) -> None:
    assert await judge(dialogue) is None


@pytest.mark.parametrize(("judge", "dialogue", "reason"), DROPS)
async def test_drops(judge: Filter, dialogue: Dialogue, reason: str) -> None:
    found = await judge(dialogue)
    assert found is not None
    assert found.startswith(reason)


async def test_the_first_reason_counts() -> None:
    judges: Sequence[Filter] = (Structure(), Length(), Placeholders())
    assert await first_reason(judges, talk("[name]", "...")) == ("length", "empty utterance: turn 2")
    assert await first_reason(judges, talk("I do like you", "So do I, friend.")) is None


# ---- comparing dialogues --------------------------------------------------------------------------------------------

WORDS = "amber birch cedar delta ember fjord grove haven inlet jetty kiosk lemon maple north ocean plain".split()


def chatter(id_: str, seed: int, changed: int = 0) -> Dialogue:
    """Forty words of one seed in two turns, some of them changed."""
    rng = Random(seed)
    spoken = [rng.choice(WORDS) for _ in range(40)]
    for at in range(changed):
        spoken[at * 7 % 40] = f"other{at}"
    return talk(" ".join(spoken[:20]), " ".join(spoken[20:]), id_=id_)


def test_the_smaller_id_of_near_duplicates_stays() -> None:
    found = NearDuplicates().across([chatter("a", 1), chatter("b", 2), chatter("c", 1, changed=1), chatter("d", 3)])
    assert found == {"c": "near-duplicate: of a"}


def test_what_is_half_alike_stays() -> None:
    others = [chatter(f"{seed:03}-{changed}", seed, changed) for seed in range(40) for changed in (0, 6)]
    assert not NearDuplicates().across(sorted(others, key=lambda dialogue: dialogue.id))


def test_what_resembles_a_dropped_one_only_stays() -> None:
    chain = [chatter("a", 1), chatter("b", 1, changed=2), chatter("c", 1, changed=9)]
    assert set(NearDuplicates().across(chain)) == {"b"}


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=12), st.randoms())
def test_near_duplicates_do_not_depend_on_the_order_of_making(kinds: list[tuple[int, int]], rng: Random) -> None:
    made = [chatter(f"{at:02}", seed, changed) for at, (seed, changed) in enumerate(kinds)]
    found = NearDuplicates().across(made)
    rng.shuffle(made)
    again = NearDuplicates().across(sorted(made, key=lambda dialogue: dialogue.id))
    assert found == again
    assert set(found) < {dialogue.id for dialogue in made}
    survivors = [dialogue for dialogue in sorted(made, key=lambda each: each.id) if dialogue.id not in found]
    assert not NearDuplicates().across(survivors)


def test_stock_openers_beyond_their_share_go() -> None:
    opened = [talk("Hi, there!" if at < 6 else f"Number {at} here.", "Yes.", id_=f"{at:02}") for at in range(40)]
    assert StockOpeners(share=0.1).across(opened) == {
        "04": "stock opener: 'hi there', 4 others kept",
        "05": "stock opener: 'hi there', 4 others kept",
    }


def test_a_few_stock_openers_are_always_allowed() -> None:
    assert not StockOpeners().across([talk("Hi there!", "Yes.", id_=str(at)) for at in range(3)])
    assert set(StockOpeners().across([talk("Hi there!", "Yes.", id_=str(at)) for at in range(5)])) == {"3", "4"}


@pytest.mark.parametrize("judge", [NearDuplicates(), StockOpeners()])
def test_nothing_to_compare(judge: Across) -> None:
    assert judge.across([]) == {}
