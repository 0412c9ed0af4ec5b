"""The server as a process: how it starts, refuses to start, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from synthesis.errors import UserError
from synthesis.server.__main__ import main
from synthesis.server.launch import serve
from tests.serving import tiny_folder
from tests.tiny_model import make_tiny_model

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


async def start(*flags: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "synthesis.server", *flags, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )


async def ready(server: asyncio.subprocess.Process) -> str:
    assert server.stdout is not None
    line = (await server.stdout.readline()).decode().strip()
    assert line.startswith("listening on http://127.0.0.1:")
    return line.removeprefix("listening on ")


async def test_a_signal_lets_running_requests_finish() -> None:
    server = await start("--model", str(tiny_folder()), "--port", "0")
    url = await ready(server)
    async with aiohttp.ClientSession() as session:
        body = {
            "inputs": "a",
            "parameters": {"max_new_tokens": 400, "grammar": {"type": "regex", "value": "[ab]{395}"}},
        }
        async with session.post(url + "/generate_stream", json=body) as answer:
            await answer.content.readline()
            server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                while (told := await _told(session, url + "/generate", body))[0] == 200:
                    await asyncio.sleep(0.01)
            assert told == (503, {"error": "unhealthy", "error_type": "healthcheck"})
            text = await answer.text()
        assert '"details":null' in text
        assert '"generated_text":"' in text
    _, words = await asyncio.wait_for(server.communicate(), 20)
    assert (server.returncode, words) == (0, b"")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url + "/health")


async def test_a_signal_lets_every_instance_of_a_request_finish() -> None:
    server = await start("--model", str(tiny_folder()), "--port", "0")
    url = await ready(server)
    held = {"inputs": "a", "parameters": {"max_new_tokens": 200, "grammar": {"type": "regex", "value": "[ab]{150}"}}}
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        asked = asyncio.create_task(_posted(session, url + "/vertex", {"instances": [held] * 3}))
        while "tgi_batch_current_size 0\n" in await _text(session, url + "/metrics"):
            await asyncio.sleep(0.005)
        server.send_signal(signal.SIGTERM)
        status, answer = await asked
    assert (status, [len(one) for one in answer["predictions"]]) == (200, [150] * 3)
    assert await asyncio.wait_for(server.wait(), 20) == 0


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def _posted(session: aiohttp.ClientSession, url: str, body: Any) -> tuple[int, Any]:
    async with session.post(url, json=body) as answer:
        return answer.status, await answer.json()


async def _told(session: aiohttp.ClientSession, url: str, body: Any) -> tuple[int, Any]:
    return await _posted(session, url, {**body, "parameters": {"max_new_tokens": 1}})


async def test_a_second_signal_ends_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        meter = taken.getsockname()[1]
    flags = ("--port", "0", "--prometheus-port", str(meter), "--api-key", "secret")
    server = await start("--model", str(tiny_folder()), *flags)
    url = await ready(server)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{meter}/metrics") as answer:
            assert "tgi_request_count 0" in await answer.text()
        async with session.post(url + "/generate", json={"inputs": "a"}) as answer:
            assert (answer.status, await answer.read()) == (401, b"")
    body = {"inputs": "a", "parameters": {"grammar": {"type": "regex", "value": "[ab]{500}"}}}
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer secret"}) as session:
        async with session.post(url + "/generate_stream", json=body) as answer:
            await answer.content.readline()
            server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                while (await _told(session, url + "/generate", body))[0] == 200:
                    await asyncio.sleep(0.005)
            server.send_signal(signal.SIGTERM)
            events = (await answer.text()).split("\n\n")
        assert '"error_type":"incomplete_generation"' in events[-2]
    assert await asyncio.wait_for(server.wait(), 20) == 0


async def test_signals_while_it_ends_change_nothing() -> None:
    server = await start("--model", str(tiny_folder()), "--port", "0")
    await ready(server)
    async with asyncio.timeout(20):
        while server.returncode is None:
            server.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.02)
    assert server.returncode == 0


async def test_launch_serves_and_stops(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    async with (
        serve(tiny_folder(), log=log, concurrent=3) as url,
        aiohttp.ClientSession() as session,
        session.get(url + "/info") as answer,
    ):
        assert (await answer.json())["max_concurrent_requests"] == 3
    assert log.exists()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url + "/info")


async def test_launch_tells_why_it_failed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did not start \(exit status 2\):\n  error: .* is not a folder"):
        async with serve(tmp_path / "nothing"):
            pass


async def test_the_server_ends_with_its_owner(tmp_path: Path) -> None:
    """The owner is killed, without a chance to clean up."""
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom synthesis.server.launch import serve\n"
        "async def main():\n    async with serve(Path(sys.argv[1])) as url:\n"
        "        print(url, flush=True)\n        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tiny_folder()), stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
    )
    assert owner.stdout is not None
    url = (await owner.stdout.readline()).decode().strip()
    owner.kill()
    await owner.wait()
    async with asyncio.timeout(15), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url + "/health"):
                    await asyncio.sleep(0.1)
            except aiohttp.ClientConnectionError:
                break


@pytest.fixture
def _signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
def test_user_mistakes_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled = make_tiny_model(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for flags, message in [
            (["--model", str(tmp_path / "nothing"), "--port", "0"], "is not a folder"),
            (["--model", str(tmp_path), "--port", "0"], "config.json is missing"),
            (["--model", str(pickled), "--port", "0"], "pickled weights only"),
            (["--model", str(tiny_folder()), "--port", port], f"cannot listen on 127.0.0.1:{port}"),
            (["--model", str(tiny_folder()), "--port", "70000"], "between 0 and 65535"),
            (["--model", str(tiny_folder()), "--port", "0", "--max-total-tokens", "9999"], "the model's context"),
            (["--model", str(tiny_folder()), "--port", "0", "--max-input-tokens", "512"], "must be less than"),
            (["--model", str(tiny_folder()), "--threads", "0"], "--threads must be at least 1"),
            (["--model", str(tiny_folder()), "--max-stop-sequences", "-1"], "--max-stop-sequences must be at least 0"),
            (["--model", str(tiny_folder()), "--max-top-n-tokens", "-1"], "--max-top-n-tokens must be at least 0"),
            (["--model", str(tiny_folder()), "--speculate", "-1"], "--speculate must be at least 0"),
        ]:
            assert main(flags) == 2
            told = capsys.readouterr().err
            assert told.startswith("error: ")
            assert message in told


async def test_other_mistakes_of_a_folder(tmp_path: Path) -> None:
    from synthesis.errors import UserError
    from tests.serving import serving

    folder = make_tiny_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="is no tokenizer"):
        async with serving(folder=folder):
            pass
