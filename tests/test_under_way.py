"""Outcomes under way: whatever a crash leaves of their files, what is read is right and the end is the same."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthesis.errors import StorageError, UserError
from synthesis.outcomes import Writer
from synthesis.storage import dump
from synthesis.under_way import Lines, check_free, files
from tests.under_way_worker import line

ROOT = Path(__file__).resolve().parents[1]
TOTAL = 8


class Stopped(Exception):
    """What ends a run in these tests."""


def row(place: int, outcome: str = "kept", text: str = "") -> dict[str, Any]:
    return {"id": f"s{place}", "outcome": outcome, "raw": text}


def stopped(path: Path, rows: dict[int, dict[str, Any]], source: bytes = b"", **how: Any) -> None:
    """A writer that takes those of the rows that are missing, and is stopped."""
    with contextlib.suppress(Stopped), Writer(path, source, **how) as writer:
        absent = set(writer.missing(TOTAL))
        for place, each in rows.items():
            if place in absent:
                writer.add(place, each)
        raise Stopped


def missing(path: Path, source: bytes = b"") -> set[int]:
    """The places that the next writer would have to fill."""
    with contextlib.suppress(Stopped), Writer(path, source) as writer:
        found = set(writer.missing(TOTAL))
        raise Stopped
    return found


def finished(path: Path, rows: dict[int, dict[str, Any]], **how: Any) -> bytes:
    """The file, when what is missing was added."""
    with Writer(path, **how) as writer:
        for place in writer.missing(TOTAL):
            writer.add(place, rows[place])
    return path.read_bytes()


# ---- going on -------------------------------------------------------------------------------------------------------


def test_what_was_kept_or_dropped_is_there_again_and_what_failed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "rounds/1/0-of-1.jsonl"
    stopped(path, {5: row(5), 0: row(0, "dropped"), 2: row(2, "failed")})
    assert missing(path) == {1, 2, 3, 4, 6, 7}
    with contextlib.suppress(Stopped), Writer(path) as writer:
        assert writer.counts == Counter(kept=1, dropped=1, failed=0)
        with pytest.raises(ValueError, match="a second outcome of 's5'"):
            writer.add(5, row(5))
        writer.add(2, row(2, "kept"))
        raise Stopped
    assert missing(path) == {1, 3, 4, 6, 7}


def test_nothing_is_left_beside_the_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    stopped(path, {1: row(1)})
    finished(path, {place: row(place) for place in range(TOTAL)})
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_made_of_something_else_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    stopped(path, {1: row(1), 2: row(2)}, b"these seeds")
    assert missing(path, b"these seeds") == {0, 3, 4, 5, 6, 7}
    assert missing(path, b"those seeds") == set(range(TOTAL))
    assert missing(path, b"these seeds") == set(range(TOTAL)), "those have thrown it away"


def test_rows_of_an_earlier_file_are_taken_but_for_what_failed_there_or_is_here_already(tmp_path: Path) -> None:
    path, before = tmp_path / "rows.retry-1.jsonl", tmp_path / "rows.jsonl"
    rows = [row(0), row(1, "failed"), row(2, "dropped"), row(3, text="old")]
    before.write_text("".join(dump(each) + "\n" for each in rows))
    with Writer(path) as writer:
        writer.add(3, row(3, text="new"))
        writer.take(before)
        assert list(writer.missing(4)) == [1]
        writer.add(1, row(1))
        assert writer.counts == Counter(kept=3, dropped=1, failed=0)
    assert [json.loads(line)["raw"] for line in path.read_text().splitlines()] == ["", "", "", "new"]


# ---- crashes --------------------------------------------------------------------------------------------------------

outcomes = st.sampled_from(("kept", "dropped", "failed"))
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
sessions = st.lists(st.dictionaries(st.integers(0, TOTAL - 1), outcomes), min_size=1, max_size=4)
some = st.just(0) | st.integers(0, 70) | st.integers(0, 700)
torn = st.tuples(some, some)  # bytes that are gone from the end, zeros in their place


def tear(path: Path, gone: int, zeros: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - gone)] + b"\0" * zeros)


@settings(max_examples=60)
@given(
    sessions,
    st.lists(st.tuples(torn, torn), min_size=4, max_size=4),
    st.lists(texts, min_size=TOTAL, max_size=TOTAL),
    st.lists(outcomes, min_size=TOTAL, max_size=TOTAL),
)
@example([{0: "kept", 1: "kept"}], [((70, 70), (0, 16))] * 4, ["a\nb\u2028"] * TOTAL, ["kept"] * TOTAL)
def test_a_crash_at_any_byte_costs_rows_but_spoils_none(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[dict[int, str]],
    crashes: list[tuple[tuple[int, int], tuple[int, int]]],
    said: list[str],
    ends: list[str],
) -> None:
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    rows = {place: row(place, ends[place], said[place]) for place in range(TOTAL)}
    added: set[int] = set()
    for run, (lines, index) in zip(runs, crashes, strict=False):
        now = {
            place: rows[place] if outcome == ends[place] else row(place, "failed") for place, outcome in run.items()
        }
        stopped(path, now)
        added |= {place for place, each in now.items() if each["outcome"] != "failed"}
        assert set(range(TOTAL)) - missing(path) == added, "without a crash all are there"
        tear(files(path)[0], *lines)
        tear(files(path)[1], *index)
        left = set(range(TOTAL)) - missing(path)
        assert left <= added
        added = left
    assert finished(path, rows) == "".join(dump(rows[place]) + "\n" for place in range(TOTAL)).encode()


def test_lines_of_a_process_that_was_killed_are_whole(tmp_path: Path) -> None:
    path, rng, safe = tmp_path / "rows.jsonl", Random(4), 0
    for _ in range(3):
        command = [sys.executable, "-m", "tests.under_way_worker", str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            for _ in range(rng.randrange(1, 60)):
                safe = int(worker.stdout.readline())
            worker.kill()
            safe = max([safe, *map(int, worker.stdout)])
        lines = Lines(path, b"worker")
        found = {place: lines.read(start) for place, _, start in lines.open()}
        lines.close()
        assert len(found) >= safe > 0
        assert found == {place: line(place) for place in range(len(found))}


def test_no_outcome_is_told_of_before_what_it_rests_on_is_settled(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.jsonl", {place: row(place) for place in range(TOTAL)}

    def refuses() -> None:
        raise StorageError("the replies are not on the disk")

    stopped(path, rows, settle=refuses)
    assert missing(path) == set(rows)
    with pytest.raises(StorageError, match="replies"):
        finished(path, rows, settle=refuses)
    assert not path.exists()


# ---- two at once ----------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_and_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = {place: row(place) for place in range(TOTAL)}
    with Writer(path) as first:
        for place in range(TOTAL):
            first.add(place, rows[place])
            with (
                pytest.raises(UserError, match=r"rows\.jsonl: another process is at work on it; wait until"),
                Writer(path),
            ):
                pass
    assert path.read_text() == "".join(dump(each) + "\n" for each in rows.values())
    with pytest.raises(UserError, match="another process"), Writer(path):
        pass


def test_what_is_under_way_is_not_free(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    check_free(path)
    with Writer(path) as writer:
        with pytest.raises(UserError, match=r"rows\.jsonl: another process is at work on it"):
            check_free(path)
        for place in range(TOTAL):
            writer.add(place, row(place))
    check_free(path)
