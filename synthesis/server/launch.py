"""The embedded server started beside a program, for as long as a block runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO

from synthesis.errors import EngineError, UserError

LAST_LINES = 20


@contextlib.asynccontextmanager
async def serve(
    model: Path,
    *,
    threads: int = 1,
    log: Path | None = None,
    dtype: str = "bfloat16",
    batch: int = 64,
    concurrent: int = 128,
    patience: float = 120.0,
    device: str = "cpu",
    adapters: Mapping[str, Path] | None = None,
    options: tuple[str, ...] = (),
) -> AsyncIterator[str]:
    """Serve the model folder on a free port of 127.0.0.1; the value is the base URL.

    The server's words go to `log` (appended). It ends with the block, and with this process however that ends, because
    it watches its standard input. `patience`: seconds it has to become healthy; `adapters`: LoRA adapters by the name
    that requests give as adapter_id; `options`: further flags.
    Raises UserError when it refuses the model or a flag, EngineError when it does not start for another reason; both
    with the server's last lines.
    """
    with _opened(log) as words:
        command = [
            *(sys.executable, "-m", "synthesis.server", "--model", str(model), "--port", "0", "--stop-with-stdin"),
            *("--threads", str(threads), "--dtype", dtype, "--max-batch-size", str(batch)),
            *("--max-concurrent-requests", str(concurrent), "--device", device),
            *("--lora-adapters", ",".join(f"{name}={path}" for name, path in (adapters or {}).items()), *options),
        ]
        start = words.seek(0, os.SEEK_END)
        server = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=words,
            env=_environment(threads),
        )
        try:
            try:
                url = await asyncio.wait_for(_ready(server), patience)
            except (TimeoutError, _Died) as error:
                if isinstance(error, _Died):  # it ends by itself; a signal now could cost its exit status
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(server.wait(), 10.0)
                await _stop(server)
                kind = UserError if server.returncode == UserError.exit_status else EngineError
                raise kind(_post_mortem(server, model, words, start)) from None
            yield url
        finally:
            await _stop(server)


class _Died(Exception):
    """The server ended before it was ready."""


def _opened(log: Path | None) -> IO[bytes]:
    if log is None:
        return tempfile.TemporaryFile()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a+b")


def _environment(threads: int) -> dict[str, str]:
    """This process's environment with the thread count, and this checkout first among the imports."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    inherited = {key: value for key, value in os.environ.items() if key != "PARLEY_SERVER_API_KEY"}
    return {**inherited, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}


async def _ready(server: asyncio.subprocess.Process) -> str:
    """The base URL, once /health answers."""
    import aiohttp

    assert server.stdout is not None
    line = (await server.stdout.readline()).decode(errors="replace").strip()
    url = line.removeprefix("listening on ")
    if url == line:
        raise _Died
    async with aiohttp.ClientSession() as session:
        while server.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return url
            await asyncio.sleep(0.05)
    raise _Died


async def _stop(server: asyncio.subprocess.Process, patience: float = 10.0) -> None:
    """Ask it to end, then end it."""
    for signal_server in (server.terminate, server.kill):
        if server.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            signal_server()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait(), patience)


def _post_mortem(server: asyncio.subprocess.Process, model: Path, words: IO[bytes], start: int) -> str:
    words.seek(start)
    lines = words.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    told = "\n  ".join(lines) or "it said nothing"
    return f"the embedded server for {model} did not start (exit status {server.returncode}):\n  {told}"
