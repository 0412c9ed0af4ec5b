"""The tree of the four packages with every file's caption, as the README shows it: python -m tests.readme_tree."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("synthesis", "builders", "cards", "training")
WIDTH = 118


def tree() -> str:
    """One line a file, folders opened below their own caption."""
    return "\n".join(line for package in PACKAGES for line in _folder(ROOT / package, 0))


def _folder(folder: Path, depth: int) -> list[str]:
    lines = [_line(f"{'  ' * depth}{folder.name}/", folder / "__init__.py")]
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir() and (path / "__init__.py").exists():
            lines += _folder(path, depth + 1)
        elif path.suffix == ".py" and path.name != "__init__.py":
            lines.append(_line(f"{'  ' * (depth + 1)}{path.name}", path))
    return lines


def _line(name: str, path: Path) -> str:
    caption = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    text = f"{name:26} {caption}"
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


if __name__ == "__main__":
    print(tree())
