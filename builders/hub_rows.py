"""Load every config of a dataset with caches of its own, and count.

Imported, it loads a local folder. Run as a program it loads from the Hub: huggingface_hub and datasets settle at
import where their caches lie, so only a process of its own keeps a verification out of the user's cache (and proves
that the dataset loads where nothing of it is cached). It reads `{"repo", "configs", "revision"}` as JSON from standard
input and the token, if any, from HF_TOKEN; it writes `{config: {split: rows}}`, or the chain of errors as a JSON list
with exit status 1. It imports nothing of Parley's, so that the file runs by its path.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import DatasetDict


def load(
    source: str, configs: Iterable[str], *, cache: str, revision: str | None = None, token: str | None = None
) -> Iterator[tuple[str, DatasetDict]]:
    """Each config of `source` (folder or Hub id) as a DatasetDict; Arrow files go under `cache`."""
    from datasets import DatasetDict, load_dataset

    for config in configs:
        loaded = load_dataset(source, config, cache_dir=cache, revision=revision, token=token)
        if not isinstance(loaded, DatasetDict):  # without split= there is nothing else it could be
            raise TypeError(f"load_dataset({source!r}, {config!r}) gave a {type(loaded).__name__}")
        yield config, loaded


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(f"{type(current).__name__}: {current}")
        current = current.__cause__
    json.dump(chain, sys.stdout)


def main() -> None:
    sys.excepthook = _report
    order = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as cache:
        found = load(
            order["repo"], order["configs"], cache=cache, revision=order["revision"], token=os.environ.get("HF_TOKEN")
        )
        rows = {config: {split: data.num_rows for split, data in splits.items()} for config, splits in found}
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
