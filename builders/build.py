"""A run folder becomes a Hub-ready dataset folder: Parquet by config and split, figures, README.md; then it is loaded.

The folder is made beside its destination and moved there when `load_dataset` has read it, so that the destination
holds the old dataset or the new one, never half of either. The same run gives the same bytes.
"""

from __future__ import annotations

import importlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders import hub_dataset, hub_folder
from builders.dialogues import DialogueBuilder, Run, open_run
from builders.facts import Reference, Split, Survey, Table, contests, facts, funnel, left_out, survey
from synthesis.errors import BuildError, ParleyError, StorageError, UserError

CARDS = Path(__file__).parent.parent / "cards"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REPO = re.compile(rf"({_NAME.pattern}/)?{_NAME.pattern}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Built:
    """A dataset on disk. `rows`: config, split, rows as loaded. `funnel`, `left_out`: sentences for the user."""

    folder: Path
    rows: dict[str, dict[str, int]]
    funnel: str
    left_out: tuple[str, ...]


def build(
    run_folder: Path,
    out: Path,
    *,
    name: str | None = None,
    repo: str | None = None,
    license: str | None = None,
    reference: str | None = None,
) -> Built:
    """Make the dataset of a run in `out`/`name`, in place of an earlier build of ours.

    `name`: default the recipe's. `repo`: the Hub id in the card's examples, default `name`. `license`: an id from the
    Hub's list, default the recipe's. `reference`: dialogues, such as those of people, whose numbers the card shows
    beside. Raises UserError, BuildError, and StorageError when the disk refuses.
    """
    run = open_run(run_folder)
    kind = builder_class(run.facts["recipe"])
    name = name or kind.dataset
    _checked(name, repo, license)
    target = out / name
    _replaceable(target)
    beside = Reference.of(reference, kind.beside(reference)) if reference else None
    with _disk(target), tempfile.TemporaryDirectory(prefix="parley-build-") as cache:
        with _beside(target) as folder:
            builder = kind(config_name=kind.BUILDER_CONFIGS[0].name, data_dir=str(run.folder), cache_dir=cache)
            seen = survey(run, builder, beside)
            tables = list(_tables(run, kind, folder, Path(cache)))
            _describe(run, builder, tables, seen, folder, repo or name, license, beside)
            rows = _verified(folder, tables)
        return Built(target, rows, funnel(run.facts), tuple(left_out(builder, tables)))


def builder_class(recipe: str) -> type[DialogueBuilder]:
    """The DialogueBuilder in builders/<recipe>.py. Raises UserError naming those that there are."""
    here = Path(__file__).parent
    known = sorted(path.stem for path in here.glob("*.py") if (CARDS / f"{path.stem}.md").is_file())
    if recipe not in known:
        raise UserError(
            f"no builder for recipe {recipe!r}: it needs builders/{recipe}.py and cards/{recipe}.md; "
            f"there are {', '.join(known)}"
        )
    module = importlib.import_module(f"builders.{recipe}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, DialogueBuilder) and value.__module__ == module.__name__:
            return value
    raise BuildError(f"builders/{recipe}.py has no DialogueBuilder subclass")


def _checked(name: str, repo: str | None, license: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: expected letters, digits, '.', '_' and '-', as in a Hub id")
    if repo is not None and not _REPO.fullmatch(repo):
        raise UserError(f"--repo {repo!r}: expected ORGANISATION/NAME")
    if license is not None and (license == "other" or not _LICENSE.fullmatch(license)):
        raise UserError(f"--license {license!r}: expected an id from the Hub's list, such as cc-by-4.0 or unknown")


# ---- the tables -----------------------------------------------------------------------------------------------------


def _tables(run: Run, kind: type[DialogueBuilder], folder: Path, cache: Path) -> Iterator[Table]:
    """Write each config that has rows; the first config is the one in data/."""
    for index, config in enumerate(kind.BUILDER_CONFIGS):
        builder = kind(config_name=config.name, data_dir=str(run.folder), cache_dir=str(cache))
        made = cache / f"made-{config.name}"
        _prepare(builder, made)
        splits = builder.info.splits or {}
        subfolder = "data" if index == 0 else config.name
        written = tuple(
            Split(split, info.num_examples, info.num_bytes, _placed(made, split, folder, subfolder))
            for split, info in splits.items()
            if info.num_examples
        )
        if written:
            size = sum((folder / file).stat().st_size for split in written for file in split.files)
            features = builder.info.features._to_yaml_list()
            yield Table(config.name, config.description, config.columns, features, written, size)


def _prepare(builder: DialogueBuilder, made: Path) -> None:
    from datasets.exceptions import DatasetsError
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        builder.download_and_prepare(str(made), file_format="parquet")
    except DatasetsError as error:
        cause = error.__cause__
        if isinstance(cause, (ParleyError, OSError)):
            raise cause from error
        raise BuildError(f"config {builder.config.name}: {type(cause or error).__name__}: {cause or error}") from error
    finally:
        if shown:
            enable_progress_bar()


def _placed(made: Path, split: str, folder: Path, subfolder: str) -> tuple[str, ...]:
    """Move the Parquet files of a split to where the Hub's viewer expects them."""
    found = sorted(made.glob(f"*-{split}*.parquet"))
    (folder / subfolder).mkdir(exist_ok=True)
    placed = [f"{subfolder}/{split}-{index:05d}-of-{len(found):05d}.parquet" for index in range(len(found))]
    for source, file in zip(found, placed, strict=True):
        shutil.move(source, folder / file)
    return tuple(placed)


# ---- the words and pictures -----------------------------------------------------------------------------------------


def _describe(
    run: Run,
    builder: DialogueBuilder,
    tables: Sequence[Table],
    seen: Survey,
    folder: Path,
    repo: str,
    license: str | None,
    reference: Reference | None,
) -> None:
    from jinja2 import UndefinedError

    from cards.card import dataset_card

    try:
        drawn = _draw(run, seen, folder / "figures")
        told = facts(run, builder, tables, seen, drawn, repo, license, reference)
        text = dataset_card(run.facts["recipe"], told)
    except UndefinedError as error:
        raise BuildError(
            f"{run.folder / 'run.json'} lacks what cards/{run.facts['recipe']}.md states: "
            f"{error.message}; repeat the run with this version of Parley"
        ) from error
    (folder / "README.md").write_text(text, encoding="utf-8")


def _draw(run: Run, seen: Survey, folder: Path) -> dict[str, str]:
    """Draw the figures. Returns their paths relative to the dataset's folder."""
    from cards import figures

    folder.mkdir()
    figures.funnel(run.facts["funnel"], folder / "funnel.png")
    figures.lengths(seen.turns, seen.words, folder / "lengths.png")
    if slots := seen.particulars.get("slots"):
        figures.slots(slots, folder / "slots.png")
    if fought := contests(run.facts):
        figures.critics(fought, folder / "critics.png")
    return {path.stem: f"figures/{path.name}" for path in sorted(folder.iterdir())}


def _verified(folder: Path, tables: Sequence[Table]) -> dict[str, dict[str, int]]:
    rows = hub_dataset.check(folder)
    expected = {table.name: {split.name: split.rows for split in table.splits} for table in tables}
    if rows != expected:
        raise BuildError(f"what was written does not load back whole: {rows} instead of {expected}")
    return rows


# ---- the folder -----------------------------------------------------------------------------------------------------


def _replaceable(target: Path) -> None:
    """Raises UserError unless `target` is absent, an empty folder, or a dataset that we built and nobody added to."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{target} is in the way and is no folder; move it, or choose another --name or --out")
    if not target.is_dir() or not any(target.iterdir()):
        return
    files = hub_folder.files_in(target)
    foreign: Sequence[str] = files
    readme = target / "README.md"
    if readme.is_file():
        try:
            text = readme.read_text(encoding="utf-8")
            if "parley" in (hub_folder.front_matter(text).get("tags") or ()):
                foreign = hub_folder.layout(text, files).foreign
        except (BuildError, UnicodeDecodeError):
            pass  # no README of ours: everything is foreign
    if foreign:
        raise UserError(
            f"{target} holds files that no build of ours made: {hub_folder.some(foreign)}; move them, or "
            "choose another --name or --out"
        )


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `target` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        folder, old = Path(work) / "new", Path(work) / "old"
        folder.mkdir()
        yield folder
        if target.exists():
            target.rename(old)
        try:
            folder.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}; make room, or choose another "
            "--out (temporary files are under TMPDIR)"
        ) from error


def summary(built: Built, shown: Path) -> Iterator[Any]:
    """What to tell the user, line by line. `shown`: the folder as the user would write it."""
    yield built.funnel
    for config, splits in built.rows.items():
        yield f"{config}: " + ", ".join(f"{rows} {split}" for split, rows in splits.items())
    yield from built.left_out
    yield f'load_dataset("{shown.as_posix()}")'
