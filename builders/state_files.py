"""Dialogues with belief states, from a run or a built dataset, as a folder in MultiWOZ 2.2's or SGD's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from builders import hub_folder, schema_forms, state_forms
from builders.dialogues import open_run, split_of
from builders.luas import OWN, family
from synthesis.dialogue import Dialogue
from synthesis.dialogue_files import Dialogues
from synthesis.errors import UserError
from synthesis.storage import write_json
from synthesis.task_oriented.ontology import Ontology, read

FORMS = {
    "multiwoz": (state_forms.multiwoz, schema_forms.multiwoz_schema),
    "sgd": (state_forms.sgd, schema_forms.sgd_schema),
}
"""The form of a dialogue, and of an ontology."""
FOLDERS = {"train": "train", "validation": "dev", "test": "test"}
"""What the splits are called there."""
PER_FILE = 512
"""Dialogues in a file, as in MultiWOZ 2.2."""


def write(source: Path, form: str, out: Path, ontology: Path | None = None) -> str:
    """Write the dialogues of `source` to the folder `out`, and say in a sentence what was written.

    `source`: a finished run, or a dataset folder built from one. `ontology`: the folder of the schema that the run
    had, by default the one that comes with Parley. SGD's form has a schema.json in each split's folder, MultiWOZ's one
    for all, and dialog_acts.json. Raises UserError for another source, for `out` in use and for states that the
    ontology does not fit, BuildError for dialogues that have no such form, StorageError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already, and files of another export would stay between; give another")
    known = read(ontology or OWN)
    splits = {split: list(found) for split, found in _splits(source)}
    for dialogue in (dialogue for found in splits.values() for dialogue in found):
        _fits(dialogue, known, ontology or OWN)
    if not any(splits.values()):
        raise UserError(f"{source} has no dialogue; nothing was written")
    one, schema = FORMS[form]
    homes = [out] if form == "multiwoz" else [out / FOLDERS[split] for split, found in splits.items() if found]
    for home in homes:
        write_json(home / "schema.json", schema(known))
    for split, found in splits.items():
        for start in range(0, len(found), PER_FILE):
            name = f"dialogues_{start // PER_FILE + 1:03}.json"
            write_json(out / FOLDERS[split] / name, [one(dialogue) for dialogue in found[start : start + PER_FILE]])
    if form == "multiwoz":
        everything = (dialogue for found in splits.values() for dialogue in found)
        write_json(out / "dialog_acts.json", {each.id: state_forms.multiwoz_acts(each) for each in everything})
    counts = ", ".join(f"{len(found)} {FOLDERS[split]}" for split, found in splits.items() if found)
    return f"{out}: {counts}"


def _fits(dialogue: Dialogue, ontology: Ontology, folder: Path) -> None:
    """Raises UserError for a slot that the schema would not have; readers stop there."""
    slots = ontology.slots
    for name in (name for turn in dialogue.turns for name in turn.state or ()):
        if name not in slots:
            raise UserError(
                f"dialogue {dialogue.id}: its states have {name!r}, which the ontology {folder} lacks; give the one "
                "that the run had with --ontology FOLDER"
            )


def _splits(source: Path) -> Iterator[tuple[str, Iterable[Dialogue]]]:
    """The dialogues by split; a run's are split as its dataset is."""
    if (source / "run.json").is_file():
        run = open_run(source)
        splits = split_of({family(dialogue) for dialogue in run.dialogues()})
        for split in FOLDERS:
            yield split, (each for each in run.dialogues() if splits[family(each)] == split)
        return
    for split in hub_folder.read(source).configs.get("default", {}):
        yield split, Dialogues(f"{source}:default:{split}")
