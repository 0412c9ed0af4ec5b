"""Writes more than the process may, as on a full disk: `python -m tests.full_disk_worker FOLDER jsonl|writer`."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from synthesis.errors import ParleyError
from synthesis.outcomes import Writer
from synthesis.storage import write_jsonl

LIMIT = 100_000


def main(folder: Path, kind: str) -> int:
    """2,000 rows of 100 bytes by `kind`; the exit status of what it raises."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    rows = [{"id": f"{number:04}", "outcome": "kept", "text": "x" * 60} for number in range(2_000)]
    try:
        if kind == "jsonl":
            write_jsonl(folder / "rows.jsonl", rows)
        else:
            with Writer(folder / "rows.jsonl") as writer:
                for place, row in enumerate(rows):
                    writer.add(place, row)
    except ParleyError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
