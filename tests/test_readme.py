"""The README tells the truth: its tree is the tree, its make targets exist, its files are there."""

from __future__ import annotations

import re

from tests.readme_tree import ROOT, tree

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_tree_is_current() -> None:
    assert f"```\n{tree()}\n```" in README, "run python -m tests.readme_tree and put its output into README.md"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
