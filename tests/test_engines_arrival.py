"""Arrival: endpoints that are not there yet are waited for as long as it makes sense, and the wait is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from synthesis.__main__ import main
from synthesis.engine import CRITIC, GENERATOR
from synthesis.engines.arrival import arrived
from synthesis.engines.retry import Backoff
from synthesis.errors import NoSuchHost, Overloaded, ParleyError, Unavailable, Unreachable, Unsupported, UserError
from tests.shops import Shop

QUICK = Backoff(first=0.002, longest=0.005, patience=5.0)
GONE, LOADING = Unreachable("connection refused"), Overloaded("503: loading the model")


class Late(Shop):
    """A member whose checks end with these errors, one after another, the last of them for ever (None: well)."""

    def __init__(self, url: str, ends: Sequence[ParleyError | None] = (None,)) -> None:
        super().__init__(url)
        self.ends = list(ends)

    async def check(self) -> None:
        self.checks += 1
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end is not None:
            raise end


async def waited(generators: Sequence[Late], critics: Sequence[Late] | None = None, **how: float) -> dict[str, object]:
    """What `arrived` says; `how`: fields of Backoff, `tell` and `unnamed`."""
    critics = generators if critics is None else critics
    named = {GENERATOR: [late.url for late in generators], CRITIC: [late.url for late in critics]}
    given = {name: how.pop(name) for name in ("tell", "unnamed") if name in how}
    backoff = Backoff(**({"first": QUICK.first, "longest": QUICK.longest, "patience": QUICK.patience} | how))
    return dict(await arrived({late.url: late for late in (*generators, *critics)}, named, backoff, **given))


def test_a_command_without_a_server_ends_with_a_line(
    tmp_path: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert main(["spc", f"--endpoint={url}", "--patience=0", f"--out={tmp_path / 'run'}"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: no endpoint of the generator answers, after 0 s: GET {url}/info")
    assert "Start the server, correct the address" in said
    assert not (tmp_path / "run").exists()


async def test_who_is_there_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    here = Late("here")
    assert await waited([here]) == {}
    assert (here.checks, caplog.records) == (1, [])


@pytest.mark.parametrize("error", [GONE, LOADING, Unavailable("502")])
async def test_a_server_that_comes_up_is_waited_for(error: ParleyError, caplog: pytest.LogCaptureFixture) -> None:
    assert await waited([Late("late", [error] * 4 + [None])]) == {}
    assert [record.message for record in caplog.records] == [f"waiting for late: {error}; up to 5 s more"], "at once"


async def test_the_wait_is_told_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable):
        await waited([Late("late", [GONE])], patience=0.2, tell=0.04)
    assert 3 <= len(caplog.records) <= 5


async def test_then_the_user_is_told_what_to_do() -> None:
    late, begun = Late("late", [GONE]), time.monotonic()
    with pytest.raises(
        Unavailable,
        match=r"no endpoint of the generator answers, after 0 s: connection refused\. Start the server, correct the "
        r"address, or wait for longer with --patience",
    ):
        await waited([late], patience=0.1)
    assert time.monotonic() - begun >= 0.1
    assert late.checks > 5


async def test_no_patience_is_one_try() -> None:
    late = Late("late", [GONE])
    with pytest.raises(Unavailable):
        await waited([late], patience=0.0)
    assert late.checks == 1


async def test_a_name_that_leads_nowhere_is_not_waited_for_long() -> None:
    typo = Late("typo", [NoSuchHost("no such name")])
    with pytest.raises(Unavailable, match="no such name"):
        await waited([typo], patience=1000.0, unnamed=0.05)
    slow = Late("slow", [NoSuchHost("no such name"), *[GONE] * 3, None])
    assert await waited([slow], unnamed=0.001) == {}, "once it leads somewhere there is patience"


async def test_one_of_each_role_is_enough() -> None:
    here, gone, judge = Late("here"), Late("gone", [GONE]), Late("judge", [LOADING, LOADING, None])
    assert await waited([gone, here], [judge]) == {"gone": GONE}
    assert (here.checks, gone.checks, judge.checks) == (1, 1, 3)


async def test_a_role_without_any_is_named() -> None:
    with pytest.raises(Unavailable, match="no endpoint of the critic answers"):
        await waited([Late("here")], [Late("judge", [GONE])], patience=0.02)


@pytest.mark.parametrize("error", [UserError("the key was refused"), Unsupported("no text generation there")])
async def test_what_is_final_is_told_at_once(error: ParleyError) -> None:
    late, wrong = Late("late", [GONE]), Late("wrong", [error])
    with pytest.raises(type(error)) as caught:
        await waited([late], [wrong])
    assert caught.value is error
    assert (late.checks, wrong.checks) == (1, 1)


async def test_a_server_that_names_a_time_is_not_asked_before() -> None:
    late, begun = Late("late", [Overloaded("loading", 0.1), None]), time.monotonic()
    await waited([late])
    assert time.monotonic() - begun >= 0.1
    assert late.checks == 2


async def test_a_named_time_beyond_patience_is_not_waited_for() -> None:
    late = Late("late", [Overloaded("loading", 3600.0), None])
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="loading"):
            await waited([late])
    assert late.checks == 1
