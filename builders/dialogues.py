"""From a run folder to tables: the reader, the splits, and the builder class that every recipe's builder extends.

A recipe's builder is a subclass in builders/<recipe>.py whose attributes say what the dataset is called and what its
configs hold; a config is columns with their meaning and a function from a dialogue to rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets

from synthesis import recipes
from synthesis.contents import digested
from synthesis.dialogue import Dialogue, Turn, from_json, messages
from synthesis.dialogue_files import Dialogues
from synthesis.errors import BuildError, ParleyError, UserError

Row = Mapping[str, Any]
RECIPES = Path(recipes.__file__).parent
SHARES = {"train": 0.90, "validation": 0.05, "test": 0.05}
ALL_SPLITS_FROM = 20
"""From so many seeds on every split has at least one; of fewer, chance may leave validation or test without."""

_SHAPE: Mapping[str, Any] = {
    "recipe": "",
    "preset": "",
    "fields": {},
    "seed": 0,
    "model": "",
    "revision": None,
    "dialect": None,
    "prompts": "",
    "rounds": 0,
    "versions": {"parley": ""},
    "command": "",
    "counts": {"seeds": 0, "kept": 0, "dropped": 0, "failed": 0},
    "funnel": [{"round": 0, "seeds": 0, "kept": 0, "dropped": {}, "failed": {}}],
    "contests": [{"round": 0, "challenger": 0, "incumbent": 0}],
    "stages": [{"name": "", "role": "", "requests": 0, "tokens_in": 0, "tokens_out": 0, "sampling": {}}],
}
"""What a card needs of run.json: keys, and values of the type that must stand there; None takes anything."""


# ---- the run folder -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder and what its run.json says."""

    folder: Path
    facts: Mapping[str, Any]

    def dialogues(self) -> Iterator[Dialogue]:
        """The kept dialogues in the file's order, one line in memory at a time. Raises BuildError naming the line."""
        return (dialogue for _, dialogue in self.places())

    def places(self) -> Iterator[tuple[int, Dialogue]]:
        """Each dialogue with the byte at which its line starts."""
        path = self.folder / "dialogues.jsonl"
        start = 0
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield start, _dialogue(line, f"{path}:{number}")
                    start += len(line)
        except OSError as error:
            raise BuildError(f"{path} cannot be read ({error.strerror}); the run left no dialogues there") from error

    def at(self, starts: Iterable[int]) -> Iterator[Dialogue]:
        """The dialogues whose lines start at these bytes."""
        path = self.folder / "dialogues.jsonl"
        with path.open("rb") as lines:
            for start in starts:
                lines.seek(start)
                yield _dialogue(lines.readline(), f"{path}, byte {start}")


def open_run(folder: Path) -> Run:
    """The finished run in `folder`.

    Raises UserError when there is none or it is still incomplete, BuildError when its run.json lacks what a card says.
    """
    path = Path(folder) / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} is not a run folder: it has no run.json; make one with python -m synthesis RECIPE --out FOLDER"
        ) from error
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(facts, dict):
        raise BuildError(f"{path} must hold a JSON object, it holds {type(facts).__name__}")
    if facts.get("status") != "complete":
        again = facts.get("command", f"the command that made it, with --out {folder}")
        raise UserError(
            f"{folder} is not complete (status {facts.get('status')!r}); it resumes where it stopped when "
            f"you repeat: {again}"
        )
    wrong = list(_misshapen(facts, _SHAPE, ""))
    if wrong:
        raise BuildError(f"{path}: {'; '.join(wrong)}. Repeat the run with this version of Parley")
    return Run(Path(folder), facts)


def _misshapen(value: Any, shape: Any, at: str) -> Iterator[str]:
    """Complaints about `value` where it differs from `shape`."""
    if shape is None:
        return
    if not isinstance(value, type(shape)):
        yield f"{at} is {type(value).__name__}, expected {type(shape).__name__}"
    elif isinstance(shape, Mapping):
        for key, inner in shape.items():
            if key in value:
                yield from _misshapen(value[key], inner, f"{at}.{key}".lstrip("."))
            else:
                yield f"{at} has no {key}".lstrip()
    elif isinstance(shape, list):
        for index, item in enumerate(value):
            yield from _misshapen(item, shape[0], f"{at}[{index}]")


def _dialogue(line: bytes, where: str) -> Dialogue:
    """One line of dialogues.jsonl. The file may be damaged in any way; the place is always named."""
    repair = "the file is damaged: give the run's command again with --replay, which remakes it from its journal"
    try:
        dialogue = from_json(json.loads(line.decode("utf-8")), where)
        if not dialogue.turns:
            raise ValueError("it has no turns")
        if b"\\ud" in line.lower():  # half a character would pass until the Parquet writer
            json.dumps(json.loads(line), ensure_ascii=False).encode()
    except ParleyError as error:
        raise BuildError(f"{error}; {repair}") from error
    except ValueError as error:
        raise BuildError(f"{where}: not a dialogue ({error}); {repair}") from error
    return dialogue


def shipped(fields: Mapping[str, Any]) -> list[str]:
    """Which `fields` of run.json are files or folders that come with Parley, by their contents, not names alone."""
    own = {digested(path) for path in RECIPES.iterdir() if not path.name.startswith("__")}
    return [name for name, value in fields.items() if isinstance(value, str) and value in own]


def split_of(groups: Iterable[str]) -> dict[str, str]:
    """The split of each group by the SHA-256 of its name: 90, 5 and 5 of 100.

    A group keeps its split when the dataset grows. Where chance leaves a split empty, the train group whose hash comes
    next is moved there, if there are at least `ALL_SPLITS_FROM` groups; train is never empty.
    """
    place = {group: int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64 for group in groups}
    first, second = SHARES["train"], SHARES["train"] + SHARES["validation"]
    splits = {group: "train" if at < first else "validation" if at < second else "test" for group, at in place.items()}
    for split in SHARES if len(splits) >= ALL_SPLITS_FROM else ("train",):
        if splits and split not in splits.values():
            donors = [group for group in splits if splits[group] == "train"] or list(splits)
            splits[max(donors, key=place.__getitem__)] = split
    return splits


def merged(turns: Iterable[Turn]) -> list[Turn]:
    """Speaker and text of `turns`, runs of one speaker joined: chat templates want user and assistant to alternate."""
    joined: list[Turn] = []
    for turn in turns:
        if joined and joined[-1].speaker == turn.speaker:
            joined[-1] = Turn(turn.speaker, f"{joined[-1].text}\n{turn.text}")
        else:
            joined.append(Turn(turn.speaker, turn.text))
    return joined


def sides(dialogue: Dialogue, turns: Sequence[Turn], systems: Mapping[str, str]) -> Iterator[Row]:
    """A chat for each speaker of `systems`, who is its assistant and has that system message; one without words, none.

    The first message after it is the user's: whoever opens the dialogue is told the opening in the system message.
    """
    for speaker, system in systems.items():
        told = turns
        if turns[0].speaker == speaker:
            system += f"\n\nYou have just opened the conversation with: {turns[0].text}"
            told = turns[1:]
        if any(turn.speaker == speaker for turn in told):
            yield {"id": dialogue.id, "assistant": speaker, "messages": messages(told, speaker, system)}


# ---- the builder ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its `datasets` feature, and its meaning in words for the card."""

    feature: Any
    meaning: str


def no_rows(dialogue: Dialogue) -> Iterable[Row]:
    """The rows of a config that has not said what its rows are."""
    raise NotImplementedError("a DialogueConfig needs rows=")


@dataclass
class DialogueConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """A table of a dataset: `columns` by name, and `rows` that a dialogue gives (none, one or several).

    `data_dir` is the run folder. `description` opens the table's section of the card.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    rows: Callable[[Dialogue], Iterable[Row]] = no_rows


class DialogueBuilder(datasets.GeneratorBasedBuilder):  # type: ignore[misc]
    """What all our datasets share. A subclass sets the attributes below and BUILDER_CONFIGS; the first is the default.

    `license_reason`: why these dialogues may carry `license`, in a sentence.
    """

    BUILDER_CONFIG_CLASS = DialogueConfig
    dataset: ClassVar[str]
    pretty_name: ClassVar[str]
    license: ClassVar[str]
    license_reason: ClassVar[str]
    language: ClassVar[str] = "en"
    task_categories: ClassVar[tuple[str, ...]] = ("text-generation",)
    task_ids: ClassVar[tuple[str, ...]] = ("dialogue-generation", "dialogue-modeling")
    tags: ClassVar[tuple[str, ...]] = ()

    def group(self, dialogue: Dialogue) -> str:
        """The seed of a dialogue, which never lies in two splits: its id, where each seed gives one dialogue."""
        return dialogue.id

    def licensed(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Licence and its reason for a run with these `fields` of run.json, where nobody has chosen one."""
        return self.license, self.license_reason

    @classmethod
    def beside(cls, source: str) -> Iterable[Dialogue]:
        """Dialogues whose numbers the card shows beside, to be read more than once. Raises UserError."""
        return Dialogues(source)

    def particulars(
        self, dialogues: Iterable[Dialogue], reference: Iterable[Dialogue] | None = None
    ) -> Mapping[str, Any]:
        """What this recipe's card counts beside what every card does, as plain JSON; its template knows the keys.

        Where there is `slots` among them, a figure shows those, and their `reference` where they have one.
        """
        return {}

    def _info(self) -> datasets.DatasetInfo:
        columns = self.config.columns
        return datasets.DatasetInfo(
            features=datasets.Features({name: column.feature for name, column in columns.items()}),
            license=self.license,
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        run = open_run(Path(self.config.data_dir))
        groups: set[str] = set()
        filled: list[tuple[int, str]] = []
        for start, dialogue in run.places():
            groups.add(self.group(dialogue))
            if any(True for _ in self.config.rows(dialogue)):
                filled.append((start, self.group(dialogue)))
        splits = split_of(groups)
        starts = {split: [start for start, group in filled if splits[group] == split] for split in SHARES}
        # a list is what `datasets` cuts into shards for several processes
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"run": run, "starts": found})
            for split, found in starts.items()
            if found
        ]

    def _generate_examples(self, run: Run, starts: Sequence[int]) -> Iterator[tuple[str, Row]]:
        for dialogue in run.at(starts):
            for index, row in enumerate(self.config.rows(dialogue)):
                yield f"{dialogue.id}/{index}", row
