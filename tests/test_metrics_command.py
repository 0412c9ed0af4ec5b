"""python -m synthesis.metrics, from files to tables; and docs/metrics.md, which it writes."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.dialogue_files import Dialogues
from synthesis.dialogue_forms import SPC_COLUMNS
from synthesis.engine import Engine, Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import Unsupported, UserError
from synthesis.glance import glance
from synthesis.measure import Chosen, about, chosen, fields, kinds, measured, page
from synthesis.metrics.__main__ import _engine, main
from synthesis.metrics.baselines import Baselines
from synthesis.metrics.fed import Fed
from synthesis.metrics.lexical import Lexical
from synthesis.metrics.pairwise import opponents
from synthesis.storage import write_jsonl
from tests.fake_tgi import FakeTgi
from tests.readme_tree import ROOT


def chats(path: Path, *talks: tuple[str, ...]) -> Path:
    rows = [
        {"messages": [{"role": f"user{at % 2}", "content": text} for at, text in enumerate(each)]} for each in talks
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return chats(tmp_path / "small.jsonl", ("I like my dog", "My dog barks"), ("Hi", "Hello there"))


# ---- the command ----------------------------------------------------------------------------------------------------


def test_sources_stand_side_by_side(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = chats(tmp_path / "people.jsonl", ("One two", "Three"))
    assert main([str(small), "--reference", str(people), "--only", "lexical", "--only", "opening_variety"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["small.jsonl", "people.jsonl", "(reference)", "meaning"]
    rows = {line.split()[0]: line.split()[1:3] for line in lines[1:]}
    assert rows.keys() == {*Lexical.about, "opening_variety"}
    assert rows["words"] == ["10", "3"]
    assert rows["distinct_1"] == ["0.8", "1"]
    assert rows["distinct_3"] == ["1", "–"]
    assert lines[-1].endswith("different first utterances / dialogues; 0 to 1, higher is more varied")


def test_json_says_how_the_source_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "published.csv"
    path.write_text(f'{",".join(SPC_COLUMNS)}\nI ski.,I sail.,"*User 1:* Hi\nUser 2: Ho"\nI hum.,I sing.,\n')
    assert main([str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["source"], found["failed"], found["issues"]) == (str(path), {}, {"starred label": 1})
    assert list(found["quarantined"]) == [f"{path}:4"]
    assert found["numbers"]["dialogues"] == 1
    assert found["published"]["rows"] == 2
    assert {"distinct_1", "repeated_3grams", "self_bleu", "rouge_l_published"} & found["numbers"].keys() == {
        "distinct_1"
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give the dialogues to measure"),
        (["{small}", "--only", "distinct_9"], "no metric or number 'distinct_9'; there are the metrics .*lexical"),
        (["--about", "nothing"], "no metric or number 'nothing'"),
        (["{small}", "--journal", "j.sqlite"], "--journal and --model go with --endpoint URL"),
        (["nowhere.jsonl"], r"nowhere\.jsonl: no such file"),
        (["{small}", "--human", "h.jsonl"], "--human FILE brings its own dialogues; leave out SOURCE"),
        (["--human", "h.jsonl", "--only", "distinct_2"], "lexical says nothing of a single dialogue"),
    ],
)
def test_mistakes_of_the_user(
    small: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(small=small) for each in arguments]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert re.search(says, said.err)


def test_people_are_asked_about_the_numbers_that_were_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "human.jsonl"
    turns = [{"speaker": "a", "text": "Hi"}]
    path.write_text(
        "".join(json.dumps({"id": str(at), "turns": turns, "scores": {"x": at}}) + "\n" for at in range(3))
    )
    assert main(["--human", str(path), "--only", "document_overlap", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in found["rows"]} == {*Baselines.about, "document_overlap"}


# ---- what needs an engine -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wordy:
    """A scorer as those of synthesis/metrics are: what the engine says of a dialogue, in words."""

    about: ClassVar[Mapping[str, str]] = {"wordy": "words of a reply; from 0"}
    engine: Engine

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        reply = await self.engine(Request("wordy", 8, prompt=dialogue.text(), top_n_tokens=1))
        return {"wordy": len(reply.text.split())}


def many(path: Path, count: int) -> Dialogues:
    return Dialogues(str(chats(path, *[(f"Hi number {at}", "Hello there") for at in range(count)])))


async def test_an_engine_is_asked_about_a_sample(tmp_path: Path) -> None:
    source = many(tmp_path / "many.jsonl", 12)
    engine = Scripted(lambda request: "one two" if "number 1" in str(request.prompt) else "one")
    found, failed = await measured(source, Chosen({"lexical": Lexical(), "wordy": Wordy(engine)}), sample=5)
    assert not failed
    assert found["dialogues"] == 12
    prompts = [str(request.prompt) for request in engine.requests]
    assert len(prompts) == 5
    assert found["wordy"] == sum(2 if "number 1" in each else 1 for each in prompts) / 5
    again = Scripted(lambda request: "one")
    await measured(source, Chosen({"wordy": Wordy(again)}), sample=5)
    assert [request.prompt for request in again.requests] == prompts


async def test_a_metric_that_cannot_be_had_says_why_and_spoils_no_other(tmp_path: Path) -> None:
    lacks = Unsupported("top_n_tokens: this dialect has none; text-generation-inference has them")
    chosen_ = Chosen({"wordy": Wordy(Scripted([lacks])), "lexical": Lexical()})
    found, failed = await measured(many(tmp_path / "many.jsonl", 1), chosen_, sample=5)
    assert failed == {"wordy": lacks}
    assert found["turns"] == 2


async def test_the_endpoint_is_asked_once_for_what_the_journal_has(tmp_path: Path) -> None:
    async with FakeTgi() as server:
        flags = argparse.Namespace(endpoint=[server.url], model=None, journal=tmp_path / "j.sqlite")
        source = many(tmp_path / "many.jsonl", 3)
        told = []
        for _ in range(2):
            async with _engine(flags) as engine:
                told.append(await measured(source, Chosen({"wordy": Wordy(engine)}), sample=3))
    assert told[0] == told[1]
    assert not told[0][1]
    assert len([each for each in server.requests if each.path == "/generate"]) == 3


# ---- the folder is the registry -------------------------------------------------------------------------------------


def test_what_a_metric_needs_must_be_given() -> None:
    needy = {name for name, kind in kinds().items() if any(fields(kind).values())}
    assert not needy & chosen([], {}).metrics.keys()
    assert {"lexical", "repetition", "self-bleu", "persona-use"} <= chosen([], {}).metrics.keys()
    assert "embedding-diversity" not in chosen([], {}).metrics  # for it loads a model
    assert chosen(["vendi_score"], {}).metrics.keys() == {"embedding-diversity"}
    for name in sorted(needy):
        with pytest.raises(UserError, match=f"^{name} needs "):
            chosen([name], {})


def test_only_the_numbers_that_were_named_are_shown() -> None:
    assert chosen(["distinct_2"], {}).numbers == {"distinct_2"}
    assert chosen(["lexical"], {}).numbers == Lexical.about.keys()


def test_numbers_of_both_levels_can_be_named() -> None:
    engine = Scripted([])
    turn = {"engine": engine, "level": "turn"}
    assert chosen(["fed_fluent"], turn).numbers == {"fed_fluent"}
    assert chosen(["fed"], turn).numbers == Fed(engine, "turn").about.keys()
    assert {"fed_fluent", "fed_coherent"} <= about(Fed).keys()
    with pytest.raises(UserError, match="fed_fluent is a number of another --level"):
        chosen(["fed_fluent"], {"engine": engine})
    assert chosen([], {}).shows("anything")


@pytest.mark.parametrize("name", kinds())
def test_every_metric_says_formula_source_defects_and_example(name: str) -> None:
    kind: Any = kinds()[name]
    said = kind.__doc__
    assert said.partition("\n")[0].endswith((".", ":"))
    for word in ("Source", "Known defects", "Example"):
        assert word in said, f"{name}: no {word.lower()}"
    assert about(kind)
    assert all(number.isidentifier() and meaning for number, meaning in about(kind).items())


def test_no_two_metrics_give_the_same_number() -> None:
    numbers = [number for kind in kinds().values() for number in about(kind)]
    assert len(numbers) == len(set(numbers))


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == page(), (
        "run python -m synthesis.metrics --about > docs/metrics.md"
    )


def test_the_page_of_one_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--about", "self_bleu"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("## self-bleu\n")
    assert "| `self_bleu` |" in said
    assert "lexical" not in said


async def test_a_judge_chooses_between_two_files_and_is_judged_itself(tmp_path: Path) -> None:
    """The judge prefers "good", and in the two pairs without it goes by the place: both ties go to the first."""
    mine = [Dialogue(f"d{at}", (Turn("A", text), Turn("B", "So."))) for at, text in enumerate(("good", "x", "y", "z"))]
    theirs = [
        Dialogue(f"d{at}", (Turn("A", text), Turn("B", "So."))) for at, text in enumerate(("x", "good", "y", "z"))
    ]

    def judge(request: Request) -> str:
        asked = request.messages[-1][1]
        first, second = asked.find("good"), asked.rfind("So.")
        return "1" if first < 0 or asked.count("So.", 0, first) == 0 else "2" if first < second else "1"

    metric = kinds()["pairwise"](engine=Scripted(judge), others=opponents(theirs))
    found, failed = await measured(mine, Chosen({"pairwise": metric}), 10)  # type: ignore[arg-type]
    assert not failed
    assert (found["pairwise_win"], found["pairwise_tie"], found["pairwise_loss"]) == (0.25, 0.5, 0.25)
    assert found["pairwise_bias"] == 1
    assert found["pairwise_bias_low"] == pytest.approx(0.025**0.5)


def test_who_chooses_must_be_named(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small), "--others", str(small)]) == 2
    assert "--others SOURCE needs an engine that chooses: --endpoint URL" in capsys.readouterr().err


# ---- run.json -------------------------------------------------------------------------------------------------------


def test_a_glance_sees_some_of_what_was_kept_whatever_its_order(tmp_path: Path) -> None:
    made = [Dialogue(f"d{at}", (Turn("A", f"I have {at} dogs"), Turn("B", "So"))) for at in range(30)]
    for folder, rows in (("one", made), ("other", made[::-1]), ("none", [])):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "dialogues.jsonl", map(to_json, rows))
    found = glance(tmp_path / "one", 10)
    assert (found["dialogues"], found["turns"], found["words"]) == (10, 20, 50)
    assert glance(tmp_path / "other", 10) == found
    whole = glance(tmp_path / "one")
    assert (whole["dialogues"], whole["vocabulary"], whole["closing_variety"]) == (30, 34, 1 / 30)
    assert whole["compression_ratio"] > 1
    assert glance(tmp_path / "none") == {}
