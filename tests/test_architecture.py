"""The house rules, read from the code: who may import whom, what is loaded when, and how files look."""

from __future__ import annotations

import ast
import importlib.util
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("synthesis", "builders", "cards", "training")
LAZY = {"torch", "transformers", "trl", "sentence_transformers", "sklearn", "datasets", "matplotlib"}
EAGER = {
    f"builders/{name}.py": {"datasets"}
    for name in ("dialogues", "provenance", "spc", "diasynth", "autoconv", "solid", "solid_rl", "luas")
}
"""Builders are classes of `datasets` and declare its features."""
SERVED = "synthesis/server/"
"""The embedded server is a process of its own, started when it is needed."""
LONGEST = 500


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: ast.AST) -> Iterator[str]:
    """Every dotted name that is imported anywhere inside, "from a import b" as a.b."""
    for node in ast.walk(nodes):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not those of functions, nor those for type checkers."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from at_import_time(node.orelse)
        elif isinstance(node, (ast.ClassDef, ast.If, ast.With)):
            yield from at_import_time(node.body)
            yield from at_import_time(getattr(node, "orelse", []))
        elif isinstance(node, ast.Try):
            yield from at_import_time([*node.body, *node.orelse, *node.finalbody])
        else:
            yield node


PROMPT = [path for path in files("synthesis", "builders", "cards") if not name_of(path).startswith(SERVED)]


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def offenders(paths: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{name_of(path)}: {name}"
        for path in paths
        for name in imported(tree(path))
        if any(inside(name, package) for package in forbidden)
    ]


def test_there_is_something_to_read() -> None:
    assert len(files("synthesis")) > 40
    assert "synthesis/recipes/spc.py" in map(name_of, files("synthesis"))


def test_synthesis_imports_none_of_the_other_three() -> None:
    assert not offenders(files("synthesis"), "builders", "training", "cards")


def test_cards_import_nothing_of_ours() -> None:
    others = files("cards")
    assert not offenders(others, "synthesis", "builders", "training")


def test_one_recipe_does_not_import_another() -> None:
    recipes = files("synthesis/recipes")
    for path in recipes:
        others = [module_of(other) for other in recipes if other not in (path, ROOT / "synthesis/recipes/__init__.py")]
        assert not offenders([path], *others)


def test_filters_do_not_import_metrics_nor_recipes() -> None:
    assert not offenders(files("synthesis/filters"), "synthesis.metrics", "synthesis.metric", "synthesis.recipes")


def test_only_recipes_and_the_command_line_know_recipes() -> None:
    named = [f"synthesis.recipes.{path.stem}" for path in files("synthesis/recipes") if path.stem != "__init__"]
    assert not offenders([path for path in files("synthesis") if path.parent.name != "recipes"], *named)


@pytest.mark.parametrize("path", PROMPT, ids=name_of)
def test_large_libraries_are_imported_when_they_are_needed(path: Path) -> None:
    roots = {name.partition(".")[0] for node in at_import_time(tree(path).body) for name in imported(node)}
    assert roots & LAZY <= EAGER.get(name_of(path), set())


@pytest.mark.parametrize("name", PACKAGES)
def test_the_packages_are_those_of_this_checkout(name: str) -> None:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    assert Path(found.origin).resolve() == ROOT / name / "__init__.py"


@pytest.mark.parametrize("path", files(*PACKAGES, "tests"), ids=name_of)
def test_every_file_has_a_caption_and_an_end(path: Path) -> None:
    docstring = ast.get_docstring(tree(path))
    assert docstring, "no docstring"
    caption = docstring.partition("\n")[0]
    assert caption
    assert len(caption) <= 119
    with tokenize.open(path) as stream:
        assert sum(1 for _ in stream) <= LONGEST


def test_errors_are_swallowed_nowhere_but_in_the_ledger() -> None:
    broad = [
        name_of(path)
        for path in files(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    ]
    assert broad == ["synthesis/run.py"]


def test_no_file_is_a_drawer() -> None:
    assert not {path.stem for path in files(*PACKAGES, "tests")} & {"utils", "util", "helpers", "common", "misc"}
