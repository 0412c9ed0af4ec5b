"""python -m synthesis.server --model DIR: serve a causal language model on this machine.

Prints one line on standard output when ready: "listening on http://127.0.0.1:PORT". Told to end by SIGTERM or SIGINT,
it finishes what runs, answers 503 to what is new, and exits with 0; told a second time, it ends at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from synthesis.embedded_model import chosen
from synthesis.errors import ParleyError, UserError
from synthesis.server.adapters import parse
from synthesis.server.checkpoint import read_config, read_shape, unlike_llama, weight_files
from synthesis.server.foreign import check_device
from synthesis.server.lookup import MOST

if TYPE_CHECKING:
    from aiohttp.web import AppRunner

KEY = "PARLEY_SERVER_API_KEY"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m synthesis.server", description=(__doc__ or "").partition("\n\n")[0])
    add = made.add_argument
    add("--model", default="embedded", help="folder with config.json, model.safetensors, tokenizer.json, or a Hub id")
    add("--model-id", help="the name that /info and /v1/models give (default: the folder's name, or the id)")
    add("--host", default="127.0.0.1", help="address to listen on; another one opens the server to the network")
    add("--port", type=int, default=3000, help="port, 0 for a free one")
    add("--prometheus-port", type=int, help="another port of the same address for /metrics alone; TGI has 9000")
    add("--max-concurrent-requests", type=int, default=128, help="more are refused at once with 429")
    add("--max-batch-size", type=int, default=64, help="sequences that are decoded together")
    add("--speculate", type=int, default=MOST, help="tokens guessed ahead, from what came before; 0 for none")
    add("--max-input-tokens", type=int, help="longest prompt (default: max-total-tokens - 1)")
    add("--max-total-tokens", type=int, help="prompt and reply together (default: the model's context)")
    add(
        "--max-batch-prefill-tokens",
        type=int,
        default=512,
        help="prompt tokens read in one step; a longer one is read over several, and running sequences step between",
    )
    add("--max-best-of", type=int, default=2)
    add("--max-stop-sequences", type=int, default=4)
    add("--max-top-n-tokens", type=int, default=5)
    add("--max-client-batch-size", type=int, default=4, help="most prompts in one /v1/completions request")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="precision of weights and activations")
    add("--device", default="cpu", help="cpu, or one CUDA device: cuda, cuda:1")
    add(
        "--lora-adapters", default="", metavar="NAME=FOLDER,...", help="adapters of the model, asked for by adapter_id"
    )
    add("--threads", type=int, default=1, help="threads of one matrix product; more than free cores is slower")
    add("--prefix-cache-mb", type=int, default=256, help="memory for prompts' reusable beginnings, 0 to reuse nothing")
    add(
        "--api-key",
        default=os.environ.get(KEY, ""),
        help=f"key that clients must send; other users of this machine can read flags, so better set {KEY}",
    )
    add("--stop-with-stdin", action="store_true", help="end when standard input closes, as it does with its owner")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; the exit status."""
    given = parser().parse_args(arguments)
    # on some machines AMX gives a row other bits in other company; without, products of few rows are quicker anyway
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for huge pages: keys are read a fifth faster
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave_early)
    try:
        _check(given)
        with contextlib.closing(_bind(given.host, given.port)) as listener:
            asyncio.run(_serve(given, listener))
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _leave_early(number: int, frame: FrameType | None) -> None:
    """A signal while the model is still loading."""
    raise SystemExit(0)


def _check(given: argparse.Namespace) -> None:
    names = ("max_concurrent_requests", "max_batch_size", "max_best_of", "max_client_batch_size", "threads")
    for name in (*names, "max_batch_prefill_tokens", "max_input_tokens", "max_total_tokens"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    for name in ("prefix_cache_mb", "max_stop_sequences", "max_top_n_tokens", "speculate"):
        if getattr(given, name) < 0:
            raise UserError(f"--{name.replace('_', '-')} must be at least 0, got {getattr(given, name)}")
    for name, port in (("port", given.port), ("prometheus-port", given.prometheus_port or 0)):
        if not 0 <= port < 65536:
            raise UserError(f"--{name} must be between 0 and 65535, got {port}")
    folder, _ = chosen(given.model)
    if not unlike_llama(read_config(folder)):
        read_shape(folder)  # a wrong folder is told before anything heavy is imported
    weight_files(folder)
    parse(given.lora_adapters)
    if given.device != "cpu":
        check_device(given.device)


def _bind(host: str, port: int) -> socket.socket:
    """The address taken before the model is loaded, so that a clash is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            if port:
                listener.listen()  # two servers may both bind; only one may listen
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another --port, or 0 for a free one"
        ) from None
    return listener


async def _serve(given: argparse.Namespace, listener: socket.socket) -> None:
    from aiohttp import web

    from synthesis.server.app import build, metrics_alone
    from synthesis.server.loading import load

    service = load(given)
    loop = asyncio.get_running_loop()
    orders = Orders()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.take)
    if given.stop_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _watch, orders)
    service.scheduler.start(loop)
    app = build(service, given.api_key)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    meter = web.AppRunner(metrics_alone(service), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await meter.setup()
    try:
        if given.prometheus_port is not None:
            await _metered(meter, given)
        site = web.SockSite(runner, listener, backlog=1024)
        await site.start()
        print(f"listening on {_address(listener)}", flush=True)
        await orders.end.wait()
        service.leaving = True
        await _first(service.quiet(), orders.at_once.wait())
    finally:
        await asyncio.to_thread(service.scheduler.stop)
        await meter.cleanup()
        await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):  # what is ending already must not die of being told again
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


async def _metered(meter: AppRunner, given: argparse.Namespace) -> None:
    from aiohttp import web

    with contextlib.closing(_bind(given.host, given.prometheus_port)) as listener:
        await web.SockSite(meter, listener.dup()).start()


class Orders:
    """What the server was told: to `end`, and when it was told so again, to do it `at_once`."""

    def __init__(self) -> None:
        self.end, self.at_once = asyncio.Event(), asyncio.Event()

    def take(self) -> None:
        """One more order to end."""
        (self.at_once if self.end.is_set() else self.end).set()


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these is over, and drop the others."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _watch(orders: Orders) -> None:
    """Standard input has something: its end, when the owner is gone."""
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        orders.take()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
