"""`python -m cards model FACTS.json [--result RESULT.json]`: a model's card, and its training curve beside it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cards.model import place_key
from cards.places import is_local, name_of, public

CURVE = "figures/curve.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; 2 with one message on stderr when the facts cannot be read or lack something."""
    parser = argparse.ArgumentParser(prog="python -m cards", description="Write the card of a trained model.")
    commands = parser.add_subparsers(dest="command", required=True)
    model = commands.add_parser("model", help="README.md of a model from the facts that training wrote")
    model.add_argument("facts", type=Path, metavar="FACTS.json")
    model.add_argument(
        "--result", type=Path, action="append", default=[], metavar="RESULT.json", help="of training.evaluate; again"
    )
    model.add_argument("--name", help="the model's name (default: the facts' own, or their folder's)")
    model.add_argument("--license", help="licence id from the Hub's list (default: the facts' own)")
    model.add_argument("--out", type=Path, default=Path("README.md"), help="default: %(default)s")
    options = parser.parse_args(argv)
    named = {"name": options.name, "license": options.license}
    try:
        facts = read_facts(options.facts, options.result) | {key: value for key, value in named.items() if value}
        written = write_model_card(facts, options.facts, options.out)
    except (OSError, ValueError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {', '.join(map(str, written))}")
    return 0


def read_facts(source: Path, results: Sequence[Path] = ()) -> dict[str, Any]:
    """Facts of a model from its facts.json, with results of training.evaluate, fit to be published: no local path.

    What the facts do not say of the model's kind is taken from the configuration beside them. A base that is a folder
    with facts.json tells what came before: `earlier`, back to what the first run started from.
    Raises OSError, ValueError for bad JSON or another model's result, LookupError for a result that lacks something.
    """
    facts = {"name": source.resolve().parent.name, **_beside(source), **_read(source)}
    chain = [facts, *_before(facts, {source.resolve()})]
    found = [_result(path, facts["name"], source) for path in results]
    names: set[str] = set()
    for owner, key in _places(chain, found):
        place = str(owner[key])
        if is_local(place):
            owner[key] = name_of(place)
            names.add(owner[key])
    facts |= {"earlier": chain[:0:-1], "local": sorted(names)}
    made: dict[str, Any] = public(facts | ({"results": found} if found else {}))
    return made


def _beside(source: Path) -> dict[str, Any]:
    """What the model's configuration beside its facts says of its kind."""
    if (path := source.with_name("adapter_config.json")).is_file():
        return {"relation": "adapter", "encoder_decoder": _read(path).get("task_type") == "SEQ_2_SEQ_LM"}
    if (path := source.with_name("config.json")).is_file():
        config = _read(path)
        if any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
            raise ValueError(
                f"{path}: a classifier, and this card is for models that write; its scores stand in result.json"
            )
        return {"encoder_decoder": bool(config.get("is_encoder_decoder"))}
    return {}


def _before(facts: dict[str, Any], seen: set[Path]) -> list[dict[str, Any]]:
    """Facts of the folder that a model started from, of that one's, and so on."""
    path = Path(str(facts.get("base") or "")) / "facts.json"
    if not facts.get("base") or not path.is_file() or path.resolve() in seen:
        return []
    base = {"name": path.resolve().parent.name, **_read(path)}
    return [base, *_before(base, seen | {path.resolve()})]


def _result(path: Path, name: str, source: Path) -> dict[str, Any]:
    """A result, if it is about the model of `source`."""
    result = _read(path)
    missing = [key for key in ("task", "model", "test", "scores") if key not in result]
    if missing or not isinstance(result["test"], dict) or "data" not in result["test"]:
        raise LookupError(f"{path} lacks {', '.join(missing) or 'test.data'}; it is no result of training.evaluate")
    about = Path(str(result["model"])).name
    if about not in (name, source.resolve().parent.name):
        raise ValueError(f"{path} is about {result['model']}, not about {name}; evaluate {source.parent}")
    return result


def _places(
    chain: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Where in these facts and results a place is named, local or on the Hub: mapping, key."""
    for facts in chain:
        yield from [(facts, "base")] if facts.get("base") else []
        yield from ((row, place_key(row)) for row in facts.get("data", ()))
    for result in results:
        yield result, "model"
        yield result["test"], "data"


def write_model_card(facts: Mapping[str, Any], source: Path, out: Path) -> list[Path]:
    """The files written. `source`: where the facts come from. Raises OSError, LookupError for a missing fact."""
    from jinja2 import UndefinedError

    from cards.card import model_card
    from cards.figures import curve

    points = facts.get("curve") or ()
    drawn = len(points) > 1
    try:
        text = model_card(facts, CURVE if drawn else None)
    except (UndefinedError, KeyError) as error:
        raise LookupError(f"{source} lacks a fact that the card states: {error}") from error
    figure = out.parent / CURVE
    (figure.parent if drawn else out.parent).mkdir(parents=True, exist_ok=True)
    if drawn:
        _appear(figure, lambda path: curve(points, path))
    _appear(out, lambda path: path.write_text(text, encoding="utf-8"))
    return [out, figure] if drawn else [out]


def _appear(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path` and move it there, so that `path` is never half of itself."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(source: Path) -> dict[str, Any]:
    try:
        facts = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{source} is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{source} must hold a JSON object, it holds {type(facts).__name__}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
