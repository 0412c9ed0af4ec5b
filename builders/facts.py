"""What the card of a dataset says, gathered from the run and its tables: plain JSON, no times, no local paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

from builders.dialogues import ALL_SPLITS_FROM, SHARES, Column, DialogueBuilder, Run, shipped, split_of
from synthesis.dialogue import Dialogue, Turn
from synthesis.dialogue_files import Dialogues
from synthesis.errors import BuildError
from synthesis.glance import ABOUT, numbers
from synthesis.spoken import texts_of
from synthesis.words import words

SPREADS = {
    "turns_per_dialogue": "turns of a conversation",
    "words_per_turn": "words of a turn",
    "words_per_dialogue": "words of a conversation",
}
_RECURRING_WORDS = 5
_SECRET = re.compile(r"\bhf_\w{8,}|(?<=://)[^/\s@]+(?=@)")


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a table as it was written: rows, bytes in memory, Parquet files relative to the dataset's folder."""

    name: str
    rows: int
    bytes: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A config as it was written. `features`: YAML form of `datasets`. `size`: bytes of its files."""

    name: str
    description: str
    columns: Mapping[str, Column]
    features: Any
    splits: tuple[Split, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at all dialogues: splits, lengths, the conversation for the card, and what the recipe counts."""

    splits: Mapping[str, str]
    turns: Sequence[int]
    words: Sequence[int]
    sample: Dialogue
    shared: Mapping[str, float]
    particulars: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """Dialogues of people, or of another system, that the card shows beside: what they are called, their numbers."""

    name: str
    dialogues: Iterable[Dialogue]
    numbers: Mapping[str, float]

    @classmethod
    def of(cls, source: str, dialogues: Iterable[Dialogue]) -> Reference:
        """The `dialogues` that were read from `source`."""
        local = Path(source).exists() or Path(source.partition(":")[0]).exists()
        texts = dialogues.texts() if isinstance(dialogues, Dialogues) else texts_of(dialogues)
        return cls(PurePath(source).name if local else source, dialogues, numbers(texts, lambda: dialogues))


def survey(run: Run, builder: DialogueBuilder, reference: Reference | None = None) -> Survey:
    """Raises BuildError for no dialogues at all, for an id that comes twice, and for an unreadable line."""
    ids: set[str] = set()
    groups: set[str] = set()
    for dialogue in run.dialogues():
        if dialogue.id in ids:
            raise BuildError(
                f"{run.folder / 'dialogues.jsonl'} holds two dialogues with the id {dialogue.id!r}; "
                "repeat the run with the same command and --replay, which remakes it from its journal"
            )
        ids.add(dialogue.id)
        groups.add(builder.group(dialogue))
    if not ids:
        raise BuildError(
            f"{run.folder} kept no dialogue: {funnel(run.facts)}. Read dropped.jsonl and failed.jsonl "
            "there, then run again with other settings, a better model or a larger --n"
        )
    splits = split_of(groups)
    turns: list[int] = []
    lengths: list[int] = []
    sample: Dialogue | None = None
    for dialogue in run.dialogues():
        turns.append(len(dialogue.turns))
        lengths += [len(words(turn.text)) for turn in dialogue.turns]
        if sample is None and splits[builder.group(dialogue)] == "train":
            sample = dialogue
    assert sample is not None  # split_of leaves train empty only where there is nothing
    particulars = builder.particulars(run.dialogues(), reference.dialogues if reference else None)
    return Survey(splits, turns, lengths, sample, _shared(run, builder, splits), particulars)


def _shared(run: Run, builder: DialogueBuilder, splits: Mapping[str, str]) -> dict[str, float]:
    """How much of validation and test train has seen: shares of attributes and of longer turns, each counted once."""
    seen: dict[bool, tuple[set[str], set[str]]] = {True: (set(), set()), False: (set(), set())}
    for dialogue in run.dialogues():
        traits, turns = seen[splits[builder.group(dialogue)] == "train"]
        traits.update(trait for persona in dialogue.personas for trait in persona.traits)
        spoken = (words(turn.text) for turn in dialogue.turns)
        turns.update(" ".join(each) for each in spoken if len(each) >= _RECURRING_WORDS)
    found = {}
    for name, known, asked in zip(("attributes", "turns"), seen[True], seen[False], strict=True):
        if asked:
            found[f"eval_{name}_in_train"] = len(known & asked) / len(asked)
    return found


_NOT_SAID = ("seconds", "metrics")
"""Of the last process alone, and what the statistics say of all dialogues. A replay changes nothing on the card."""


def facts(
    run: Run,
    builder: DialogueBuilder,
    tables: Sequence[Table],
    seen: Survey,
    figures: Mapping[str, str],
    repo: str,
    license: str | None,
    reference: Reference | None = None,
) -> dict[str, Any]:
    """Everything that `cards.card.dataset_card` states."""
    usual, reason = builder.licensed(run.facts["fields"])
    said = {key: public(value) for key, value in run.facts.items() if key not in _NOT_SAID}
    said["contests"] = contests(run.facts)
    said["versions"] |= {"datasets": version("datasets")}
    found = {**numbers(texts_of(run.dialogues()), run.dialogues), **seen.shared}
    about = {
        **ABOUT,
        "eval_attributes_in_train": "attributes of validation and test that also occur in train; 0 to 1",
        "eval_turns_in_train": f"turns of validation and test, of {_RECURRING_WORDS} words or more, that occur "
        "verbatim in train; 0 to 1, lower is better",
    }
    return {
        "pretty_name": builder.pretty_name,
        "repo": repo,
        "license": license or usual,
        "license_reason": reason if license in (None, usual) else "It was chosen by whoever built this dataset.",
        "language": builder.language,
        "task_categories": list(builder.task_categories),
        "task_ids": list(builder.task_ids),
        "tags": ["synthetic", "parley", "dialogue", run.facts["recipe"], *builder.tags],
        "embedded": str(run.facts["model"]).startswith("parley-embedded"),
        "run": said,
        "shipped": shipped(run.facts["fields"]),
        "configs": [_config(table, first=table is tables[0]) for table in tables],
        "all_splits": len(seen.splits) >= ALL_SPLITS_FROM,
        "left_out": left_out(builder, tables),
        "spread": [*_spread(found), *(_spread(reference.numbers, f" ({reference.name})") if reference else ())],
        **({"reference": reference.name} if reference else {}),
        "statistics": [
            {
                "name": key,
                "value": value,
                "meaning": about[key],
                "reference": reference.numbers.get(key) if reference else None,
            }
            for key, value in found.items()
            if not key.startswith(tuple(SPREADS))
        ],
        "particulars": dict(seen.particulars),
        "figures": dict(figures),
        "sample": _sample(seen.sample),
    }


def _spread(found: Mapping[str, float], whose: str = "") -> list[dict[str, Any]]:
    return [
        {"of": label + whose, **{each: found[f"{key}_{each}"] for each in ("mean", "median", "min", "max")}}
        for key, label in SPREADS.items()
    ]


def _config(table: Table, first: bool) -> dict[str, Any]:
    return {
        "name": table.name,
        "default": first,
        "description": table.description,
        "columns": [
            {"name": name, "type": spelled(column.feature), "meaning": column.meaning}
            for name, column in table.columns.items()
        ],
        "features": table.features,
        "splits": [
            {"name": split.name, "rows": split.rows, "bytes": split.bytes, "files": _glob(split.files)}
            for split in table.splits
        ],
        "download_size": table.size,
    }


def _glob(files: Sequence[str]) -> str:
    return re.sub(r"-\d{5}-of-\d{5}", "-*", files[0])


def spelled(feature: Any) -> str:
    """A feature in words: "list of {speaker, text}"."""
    if isinstance(feature, Mapping):
        return "{" + ", ".join(feature) + "}"
    inner = getattr(feature, "feature", None)
    return str(feature.dtype) if inner is None else f"list of {spelled(inner)}"


def left_out(builder: DialogueBuilder, tables: Sequence[Table]) -> list[str]:
    """A sentence for each config, and each split of a config, for which there were no rows."""
    made = {table.name: {split.name for split in table.splits} for table in tables}
    sentences = [
        f"There is no config `{config.name}`: no conversation of this run gives it a row."
        for config in builder.BUILDER_CONFIGS
        if config.name not in made
    ]
    for name, splits in made.items():
        absent = [split for split in SHARES if split not in splits]
        if absent:
            sentences.append(f"`{name}` has no {' and no '.join(absent)} split: no seed with rows fell into it.")
    return sentences


def _sample(dialogue: Dialogue) -> dict[str, Any]:
    named = list(dialogue.profiles) or [persona.id for persona in dialogue.personas]
    return {
        "id": dialogue.id,
        "split": "train",
        "about": dialogue.topic if dialogue.subtopic else None,
        "topic": dialogue.subtopic or dialogue.topic,
        "document": dialogue.document,
        "personas": [
            {"speaker": speaker, "name": persona.name, "traits": list(persona.traits)}
            for speaker, persona in zip(named, dialogue.personas, strict=True)
        ],
        "conversation": "\n".join(_labelled(turn) for turn in dialogue.turns),
    }


def _labelled(turn: Turn) -> str:
    """A line of the sample; intents, where there are some, beside the speaker."""
    intents = f" [{'+'.join(turn.intents)}]" if turn.intents else ""
    return f"{turn.speaker}{intents}: {turn.text}"


def public(value: Any) -> Any:
    """`value` without what must not be published: tokens, logins in URLs, and the folders of absolute paths."""
    if isinstance(value, Mapping):
        return {key: public(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [public(item) for item in value]
    if not isinstance(value, str):
        return value
    return " ".join(_bare(word) for word in _SECRET.sub("***", value).split(" "))


def _bare(word: str) -> str:
    head, equals, tail = word.rpartition("=")
    return f"{head}{equals}{PurePath(tail).name}" if tail.startswith("/") and len(tail) > 1 else word


def contests(run: Mapping[str, Any]) -> list[Mapping[str, int]]:
    """The contests of each round; none for a recipe in which no conversation ever competed with another."""
    rows: list[Mapping[str, int]] = run["contests"]
    fought = any(count for each in rows for name, count in each.items() if name not in ("round", "unopposed"))
    return rows if fought else []


def funnel(run: Mapping[str, Any]) -> str:
    """What became of the seeds, in words."""
    counts = run["counts"]
    rounds = [
        f"round {each['round']} kept {each['kept']} of {each['seeds']}{_reasons(each)}" for each in run["funnel"]
    ]
    total = (
        f"{counts['seeds']} seeds = {counts['kept']} kept + {counts['dropped']} dropped + {counts['failed']} failed"
    )
    return "; ".join([total, *rounds])


def _reasons(each: Mapping[str, Any]) -> str:
    parts = [f"{name} {count}" for kind in ("dropped", "failed") for name, count in each[kind].items() if count]
    return f" ({', '.join(parts)})" if parts else ""
