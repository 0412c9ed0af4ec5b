"""The limit: the same requests in a bare aiohttp loop, without journal, retries or any other care.

`python -m tests.benchmarks.bare URL CONVERSATIONS TURNS IN_FLIGHT` prints the seconds that it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp

from synthesis.bench import OPENING, SPEAKERS
from synthesis.engine import Request
from synthesis.engines.tgi import parameters


async def ask_all(url: str, conversations: int, turns: int, in_flight: int) -> float:
    """Seconds for so many conversations, `in_flight` at a time, each reply parsed as JSON and appended."""
    waiting = iter(range(conversations))

    async def work(session: aiohttp.ClientSession) -> None:
        for number in waiting:
            text = OPENING.substitute(number=number)
            for turn in range(turns):
                text += f"{SPEAKERS[turn % 2]}:"
                request = Request("bare", 64, prompt=text, temperature=0.7, stop=("\n",), seed=number)
                body = {"inputs": text, "parameters": parameters(request)}
                async with session.post(f"{url}/generate", json=body) as response:
                    text += json.loads(await response.read())["generated_text"] + "\n"

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:
        begun = time.perf_counter()
        await asyncio.gather(*[work(session) for _ in range(in_flight)])
        return time.perf_counter() - begun


if __name__ == "__main__":
    print(asyncio.run(ask_all(sys.argv[1], *map(int, sys.argv[2:5]))))
