"""The embedded model's material: recipes told their answers, people by rule, drills, and a whole small build."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synthesis import reading
from synthesis.critics import faithfulness_labels
from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Request
from synthesis.errors import ContextOverflow, UserError
from synthesis.filters.intents import codes
from synthesis.forms import Form
from synthesis.grounded.answers import NO_ANSWER
from synthesis.intents import one_step, plans
from synthesis.intents.labels import AGENT, USER, contradiction
from synthesis.recipe import Dropped
from synthesis.task_oriented.speech.wording import slots_read
from training.embedded import autoconv, diasynth, drills, intents, judging, persona_chat, small_talk, solid
from training.embedded.__main__ import main
from training.embedded.knowing import Knowing, Runs
from training.embedded.people import persona, subject, third, told_of
from training.embedded.row import LONGEST, Row, held_out
from training.embedded.spc import shipped
from training.embedded.statements import kinds, longest_copy, overlap, parted, varied, voiced, words
from training.embedded.talks import Talk, Told

PLACES = "Riga Oslo Bern Porto Ghent Turin Lyon Graz Bath Cork Lund York".split()
GAMES = "chess golf rugby tennis bridge darts bowls polo judo squash hockey cricket".split()


def casual(place: str, game: str) -> list[str]:
    """A conversation in which both tell of themselves."""
    return [
        f"Hello there, do you like {game}?", f"I play {game} every week, my brother taught me.",
        f"I used to live in {place}, everybody plays it.", f"I visited {place} in May and loved it.",
        "My wife bakes bread on Sundays.", "I like rye bread with salted butter.",
        f"I have a small garden in {place}.", "I grow tomatoes on a balcony.",
        "My tomatoes never get red.", "I water them before work.", f"I think of {game} when I work.",
        "It was nice talking to you.",
    ]  # fmt: skip


def served(place: str) -> list[tuple[str, str]]:
    """A conversation of a user and a system."""
    return [
        ("user", f"I am looking for a restaurant in {place}. It should serve fish."),
        ("system", "Do you prefer something cheap or something expensive?"),
        ("user", "Something cheap, please."),
        ("system", f"The Golden Anchor in {place} is a cheap restaurant that serves fish."),
        ("user", "No, I do not want that one. Is there another?"),
        ("system", f"There is also the Blue Heron in {place}, which serves fish as well."),
        ("user", "Perfect, thank you very much."),
        ("system", "You are welcome, have a nice day."),
    ]


def corpus(folder: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for number, (place, game) in enumerate(zip(PLACES, GAMES, strict=True)):
        said = [["AB"[at % 2], text] for at, text in enumerate(casual(place, game))]
        rows.append({"source": "self_dialogue", "messages": said, "cond": {"topic": "music"}})
        rows.append({"source": "sgd", "messages": served(place), "cond": {"services": ["Restaurants_1"]}})
        if number % 3 == 0:
            profile = {
                "persona_1": [f"I am a fan of {game}.", "I have a wife.", "I own a garden.", "I cook."],
                "persona_2": [f"I know {place} well.", "I eat rye bread.", "I grow plants.", "I have a brother."],
            }
            rows.append({"source": "spc", "messages": said, "cond": profile})
    folder.mkdir(parents=True)
    with gzip.open(folder / "dialogues.jsonl.gz", "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return folder / "dialogues.jsonl.gz"


def built(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    given = ["--corpus", str(file), "--out", str(folder), "--scale", "0.01"]
    monkeypatch.setattr(sys, "argv", ["embedded", *given])
    main()
    return folder


# The whole


READERS = {
    "spc.faithfulness": lambda prompt, said: faithfulness_labels(said, len(re.findall(r"^\d\. ", prompt, re.M))),
    "spc.generate": lambda prompt, said: reading.transcript(said),
    "spc.toxicity": lambda prompt, said: reading.verdict(said),
    "spc.comparison": lambda prompt, said: reading.choice(said, ("1", "2")),
    "spc.faithfulness_paper": lambda prompt, said: reading.verdict(said),
    "solid.intents": lambda prompt, said: codes(said),
    "autoconv.support": lambda prompt, said: reading.verdict(said),
    "luas.slots": lambda prompt, said: slots_read(said),
}


def test_a_small_build_has_every_call_and_the_recipes_read_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = corpus(tmp_path / "data" / "corpus")
    out = built(tmp_path / "out", file, monkeypatch)
    facts = json.loads((out / "facts.json").read_text())
    assert facts["absent"] == ["qmsum", "sgd", "clinc150", "medquad", "multiwoz"]
    recipes = Counter(task.partition(".")[0] for task in facts["tasks"])
    assert set(recipes) == {"text", "drills", "spc", "diasynth", "solid", "solid_rl", "autoconv", "luas"}
    rows, texts = (
        [json.loads(line) for line in (out / f"{part}.train.jsonl").read_text().splitlines()]
        for part in ("calls", "text")
    )
    assert facts["tasks"] == Counter(row["task"] for row in rows + texts), "only what is learned is counted"
    assert {"spc.generate", "diasynth.dialogue", "solid.turn", "solid_rl.one_step", "luas.slots"} <= set(
        facts["tasks"]
    )
    checked = 0
    for row in rows:
        if row["task"] in READERS:
            READERS[row["task"]](row["prompt"][-1]["content"], row["completion"][0]["content"])
            checked += 1
    assert checked > 100
    lengths = [row["completion"][0]["content"].count("\n") + 1 for row in rows if row["task"] == "solid_rl.one_step"]
    assert min(lengths) <= 5 < max(lengths), "else nobody has to look at the plan"
    assert all(
        Form("tags", held=True).read_list("subtopics", row["completion"][0]["content"])
        for row in rows
        if row["task"] == "diasynth.subtopics" and row["completion"][0]["content"].startswith("[")
    )
    assert "dropped" in capsys.readouterr().out


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = corpus(tmp_path / "data" / "corpus")
    one, two = built(tmp_path / "one", file, monkeypatch), tmp_path / "two"
    flags = ["--corpus", str(file), "--out", str(two), "--scale", "0.01"]
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"  # sets are in another order there
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-m", "training.embedded", *flags], env=environment, check=True)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert len(names) == 5
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_material_of_another_corpus_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, facts = tmp_path / "any.jsonl.gz", tmp_path / "rows" / "facts.json"
    file.write_bytes(b"not gzip")
    facts.parent.mkdir()
    flags = ["--corpus", str(file), "--out", str(facts.parent), "--unless", str(facts), str(tmp_path / "none.json")]
    monkeypatch.setattr(sys, "argv", ["embedded", *flags])
    facts.write_text(json.dumps({"corpus": hashlib.sha256(b"not gzip").hexdigest()}))
    main()  # there already: the corpus is not even read
    for other in ({"corpus": hashlib.sha256(b"else").hexdigest()}, {}):
        facts.write_text(json.dumps(other))
        with pytest.raises(UserError, match=r"rows/facts\.json: made of another corpus"):
            main()
    facts.unlink()
    with pytest.raises(UserError, match="not gzipped JSONL"):
        main()
    assert capsys.readouterr().out == ""


def test_a_corpus_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.jsonl.gz"
    bad.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="not gzipped JSONL"):
        built(tmp_path / "out", bad, monkeypatch)


def test_all_rows_of_a_dialogue_are_held_out_or_none() -> None:
    held = [key for key in (f"spc-{number}" for number in range(2000)) if held_out(key)]
    assert 20 <= len(held) <= 60  # 2 % of 2,000
    assert all(Row(task, "spc", held[0], "", "x").held_out for task in ("a", "b"))


# An engine that is told its answers


async def test_what_a_recipe_asks_becomes_an_example() -> None:
    engine = Knowing({"turn": lambda request: f"{len(request.messages)} messages"})
    reply = await engine(Request("turn", 8, messages=(("system", "s"), ("user", "u"))))
    assert reply.text == "2 messages"
    assert engine.rows("solid", "own", "7") == [
        Row("solid.turn", "own", "7", (("system", "s"), ("user", "u")), "2 messages")
    ]


async def test_a_prompt_that_would_not_fit_is_refused_as_a_server_would() -> None:
    with pytest.raises(ContextOverflow, match="more than"):
        await Knowing({})(Request("turn", 8, prompt="x" * (LONGEST + 1)))


def test_what_a_recipe_drops_is_counted_by_its_reason() -> None:
    async def dropped() -> None:
        raise Dropped("copying", "recited attributes: 3 of 4")

    with Runs() as runs:
        assert runs.done(dropped()) is None
        assert runs.dropped == {"copying: recited attributes": 1}


def test_a_list_of_which_half_was_refused_is_no_example_and_is_counted() -> None:
    dropped: Counter[str] = Counter()
    long = {"x" * 3600: [f"Boat {number} {9 * 'of wood '}" for number in range(12)]}  # no room to name those known
    rows = list(diasynth.rows([], long, [], [], Random(0), 0.02, dropped))
    assert dropped == {"subtopics: no room for a second reply": 60 - len(rows)}
    assert 0 < len(rows) < 60
    for row in rows:
        asked_for = re.search(r"into (\d+) subtopics", row.prompt[0][1])
        assert asked_for
        assert row.answer.count("Boat") == int(asked_for[1])


def test_a_talk_is_not_said_to_be_about_nothing_of_its_family() -> None:
    topics = {"Films": "Old Westerns", "Horror Films": "Vampires", "Music": "Loud Choirs", "Baseball": "Pitchers"}
    scenes = [
        diasynth.Scene(
            Talk(f"t-{number}", "spc", (), ((), ())), topic, about, ("A", "B"), ("", ""), (f"{about}?", "Yes.")
        )
        for number, (topic, about) in enumerate(list(topics.items()) * 50)
    ]
    told: dict[str, set[str]] = {"Yes": set(), "No": set()}
    for row, scene in zip(diasynth._verdicts(scenes, Random(0)), scenes, strict=True):
        asked_for = next(about for about in topics.values() if f"Subject: {about}" in str(row.prompt))
        told[row.answer].add(f"{scene.topic}: {asked_for}")
    assert told["Yes"] == {f"{topic}: {about}" for topic, about in topics.items()}
    film, music, ball = ("Films", "Horror Films"), ("Music",), ("Baseball",)
    apart = [(one, other) for side in (film, music, ball) for one in side for other in topics if other not in side]
    assert told["No"] == {f"{one}: {topics[other]}" for one, other in apart}


# People and subjects


@pytest.mark.parametrize(
    ("trait", "told"),
    [
        ("I teach history.", "teaches history"),
        ("I really try my best.", "really tries their best"),
        ("I am a nurse.", "is a nurse"),
        ("I've two cats.", "has two cats"),
        ("I don't like my boss.", "does not like their boss"),
        ("I went to Oslo.", "went to Oslo"),
        ("I like it too.", None),
        ("I think I am late.", None),
        ("My dog barks.", None),
    ],
)
def test_statements_in_the_third_person(trait: str, told: str | None) -> None:
    assert told_of(trait) == told


def test_verbs_with_she() -> None:
    assert [third(verb) for verb in ("go", "play", "carry", "watch", "am")] == "goes plays carries watches is".split()


def test_a_persona_is_named_by_its_work() -> None:
    assert persona(["I am a nurse.", "I keep bees."], Random(0)) == "A nurse who keeps bees."
    assert persona(["I like it too."], Random(0)) is None


def test_the_subject_is_what_a_talk_comes_back_to() -> None:
    turns = ["Have you seen Black Panther?", "I love Black Panther.", "The music was great."]
    assert subject(turns, frozenset(), "Films") == "Black Panther"
    assert subject(["Hello.", "Hi."], frozenset(), "Films") == "Films"


# Intents, documents, drills


@pytest.mark.parametrize(
    ("role", "text", "first", "labels"),
    [
        (USER, "Where is a hotel?", True, ("OQ",)),
        (USER, "I am in town on Friday. Where is a hotel?", True, ("FD", "OQ")),
        (USER, "Perfect, thank you.", False, ("GG", "PF")),
        (USER, "No, I want another one.", False, ("NF",)),
        (AGENT, "Which area do you prefer?", False, ("IR",)),
        (AGENT, "Did you say Friday?", False, ("CQ",)),
        (AGENT, "The Anchor is a cheap hotel in the north.", False, ("PA",)),
    ],
)
def test_intents_by_rule(role: str, text: str, first: bool, labels: tuple[str, ...]) -> None:
    assert intents.labelled(role, text, first) == labels
    assert contradiction(role, labels) is None


def test_every_dialogue_with_intents_is_a_plan_and_reads_back() -> None:
    given = [Told(f"sgd-{place}", "sgd", tuple(served(place)), {"services": ["Restaurants_1"]}) for place in PLACES]
    found = list(intents.sought(given, Random(0)))
    assert len(found) == len(PLACES)
    for each in found:
        plan = plans.made(plans.Plan.of(each.turns).rows(), each.id)
        assert one_step.parse(one_step.render(each.turns), plan) == each.turns
        assert "Golden Anchor" in each.document
        assert each.type == "Restaurant"


def test_instructions_are_merged_without_loss() -> None:
    asked = Request("merge", 9, messages=(("user", "x\nInstructions:\n- Say hello.\n- Ask why.\nOne instruction:"),))
    assert solid.merged(asked) == "Say hello, and ask why."


def test_a_foreign_question_has_no_answer() -> None:
    one = Dialogue(
        "a", (Turn("User", "What is it?"), Turn("System", "A boat.")) * 2, topic="Boats", document="A boat."
    )
    other = Dialogue("b", (Turn("User", "Who made Trains?"), Turn("User", "x")), topic="Trains")
    assert autoconv.shifted(one, other, Random(0)) == one  # the question names its own subject
    free = Dialogue("c", (Turn("User", "Who paid for that?"), Turn("System", "x")), topic="Trains")
    put = autoconv.shifted(one, free, Random(0))
    at = next(number for number, turn in enumerate(put.turns) if turn.text == "Who paid for that?")
    assert put.turns[at + 1].text == NO_ANSWER
    assert len(put.turns) == 6


def test_drills_ask_for_what_stands_before() -> None:
    passage = ("own", "p-1", " ".join(f"Boat number {number} sails at {number}." for number in range(12)))
    talks = [Talk(f"t-{number}", "spc", (), ((f"I own boat {number}.",), ())) for number in range(10)]
    made = list(drills.rows([passage], talks, [f"Ana{number}" for number in range(20)], 60, Random(0)))
    assert Counter(row.task for row in made) == {"drills.copying": 60, "drills.recall": 60, "drills.owned": 60}
    for row in made:
        if row.prompt:
            assert row.answer in row.prompt[0][1]
        elif row.task == "drills.owned":
            shown, _, said = row.answer.partition("\n\nConversation:\n")
            lists = [re.findall(rf"^- User {user}: I own (boat \d)\.$", shown, re.M) for user in (1, 2)]
            told = [re.findall(rf"^User {user}: I \w+ own (boat \d)\.$", said, re.M) for user in (1, 2)]
            assert [sorted(side) for side in told] == [sorted(side) for side in lists]
            assert all(line.startswith(f"User {at % 2 + 1}: ") for at, line in enumerate(said.splitlines()))
        else:
            before, _, after = re.split(r"\n(Again|Once more|The same again|Repeated):\n", row.answer)
            assert all(line in before for line in after.splitlines())


# Verdicts


def test_a_voiced_trait_is_told_and_not_recited() -> None:
    traits = [entry["text"] for entry in map(json.loads, shipped("spc_personas.jsonl"))]
    recited, told = 0, 0.0
    for seed, trait in enumerate(traits):
        said = voiced(trait, Random(seed))
        recited += longest_copy(trait, [said]) >= min(6, len(words(trait)))
        told += overlap(trait, [said])
    assert recited < 0.2 * len(traits)  # some have no place to part them at
    assert told > 0.85 * len(traits)
    assert parted("I knit lopsided hats for every newborn in the family.", Random(0)) == (
        "I knit lopsided hats",
        "for every newborn",
    )
    assert parted("I love sushi.", Random(0)) is None


def test_a_varied_trait_has_other_words_of_the_same_kind_in_the_same_places() -> None:
    words = kinds(["I keep wolves in cages.", "I love a good swimming pool."])
    assert words == {"s": ["wolves", "cages"], "": ["pool"]}
    seen = {varied("I sell hats on windy days.", words, Random(seed)) for seed in range(40)}
    assert "I sell wolves on windy days." in seen
    assert all(re.fullmatch(r"I sell (hats|wolves|cages) on windy (days|wolves|cages)\.", each) for each in seen)
    assert varied("I ski.", words, Random(0)) == "I ski."


def test_woven_traits_are_told_by_those_whose_profiles_have_them() -> None:
    answers = {f"What about the {number}?": [f"I keep {number} {name} in jars." for name in ("ants", "bees", "cats")]
               for number in "one two three four five six seven eight nine ten".split()}  # fmt: skip
    part = (["I sail."], ["I sing."]), tuple(f"My number is {number}." for number in range(16))
    traits = [trait for some in answers.values() for trait in some]
    sayable = persona_chat.Sayable(answers, traits, kinds([*traits, "I keep one wolf in cages."]), ["Nice!"])
    for seed in range(200):
        profiles, turns = persona_chat.woven(part, sayable, Random(seed))
        assert 8 <= len(turns) <= 16
        assert not {*profiles[0], *profiles[1]} & {"I sail.", "I sing."}, "nobody says so"
        for user in (0, 1):
            told = [trait for trait in profiles[user] if overlap(trait, turns[user::2]) == 1]
            assert len(told) >= len(profiles[user]) - 3, "what nobody tells fills up to three"
            own = [turn for turn in turns[user::2] if "number" in turn]
            assert [part[1].index("My" + turn.rpartition("My")[2]) % 2 for turn in own] == [user] * len(own)


def test_what_people_ask_and_how_they_react_is_taken_from_talks() -> None:
    said = (
        "What do you like to cook? And what about you?",
        "Did you see that one? I like stew.",
        "Oh, that's nice! I never cook.",
        "That was a nice movie. Where do you live in Paris?",
        "That is great!",
        "I run.",
        "How cool.",
        "That doesn't sound good. What a nice car.",
        "That is a nice car.",
    )
    every = [Talk("a", "spc", said, ((), ())), Talk("b", "spc", (*said, "That is great!"), ((), ()))]
    assert small_talk.questions(every) == ["What do you like to cook?"], "others point back, or name what is known"
    assert small_talk.reactions(every) == ["Oh, that's nice!", "How cool."], "not after a question, not of one thing"
    assert small_talk.reactions(every[:1]) == []


def test_a_worse_conversation_is_the_same_one_out_of_order_or_cut_or_repeated() -> None:
    turns = [f"I count up to {number}." for number in range(12)]
    sizes: Counter[int] = Counter()
    for seed in range(300):
        prompt, answer = persona_chat.better(turns, turns[::-1], Random(seed))
        blocks = prompt.split("\n\n")
        good, bad = blocks[:2] if answer == "1" else blocks[1::-1]
        said = [line.partition(": ")[2] for line in good.splitlines()[1:]]
        assert said == turns[turns.index(said[0]) :][: len(said)]
        assert good.splitlines()[1:] != bad.splitlines()[1:]
        sizes[len(said)] += 1
    assert set(sizes) == {2, 4, 6, 10}


def test_traits_are_given_to_who_tells_them() -> None:
    turns = ("I sail a wooden boat.", "I bake rye bread.", "It leaks.", "It burns.")
    part = (["I sail a wooden boat.", "I collect stamps."], ["I bake rye bread.", "I sing."]), turns
    prompt, told = judging.owners(part, ["I climb rocks.", "I keep ten bees."], Random(0)) or ("", "")
    listed = [line.partition(". ")[2] for line in prompt.partition("Who tells this?\n")[2].splitlines()]
    owners = dict(zip(listed, (line.partition(" ")[2] for line in told.splitlines()), strict=True))
    assert owners.pop("I sail a wooden boat.") == "User 1:"
    assert owners.pop("I bake rye bread.") == "User 2:"
    assert set(owners.values()) == {"nobody"}
    assert len(owners) == 3
    assert judging.owners(((["I knit."], ["I sing."]), turns), ["I climb.", "I dig."], Random(0)) is None
