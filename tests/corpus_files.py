"""Files of corpora, written for a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def written(path: Path, content: Any) -> Path:
    """`content` in a file, as JSON unless it is a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
