"""`python -m cards model FACTS.json --out README.md`: a model's card, and its training curve beside it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CURVE = "figures/curve.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; 2 with one message on stderr when the facts cannot be read or lack something."""
    parser = argparse.ArgumentParser(prog="python -m cards", description="Write the card of a trained model.")
    commands = parser.add_subparsers(dest="command", required=True)
    model = commands.add_parser("model", help="README.md of a model from the facts that training wrote")
    model.add_argument("facts", type=Path, metavar="FACTS.json")
    model.add_argument("--out", type=Path, default=Path("README.md"), help="default: %(default)s")
    options = parser.parse_args(argv)
    try:
        written = write_model_card(options.facts, options.out)
    except (OSError, ValueError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {', '.join(map(str, written))}")
    return 0


def write_model_card(source: Path, out: Path) -> list[Path]:
    """The files written. Raises OSError, ValueError for bad JSON, LookupError for a missing fact."""
    from jinja2 import UndefinedError

    from cards.card import model_card
    from cards.figures import curve

    facts = _facts(source)
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


def _facts(source: Path) -> dict[str, Any]:
    try:
        facts = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{source} is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{source} must hold a JSON object, it holds {type(facts).__name__}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
