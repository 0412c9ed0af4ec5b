"""What is asked of the embedded server: many streams, one, arrivals at random, conversations, a start, its memory.

Each work is measured beside transformers, or beside the server without reuse, in the same round, and gives a ratio;
the last two give seconds and MB. Every round has prompts of its own, so that no prefix is found that its work does
not share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp

from synthesis.server.launch import serve
from synthesis.server.text import Tokenizer
from tests.benchmarks.generate import Transformers, first_core

STREAMS, LENGTH, ALONE = 32, 64, 5
REQUESTS, SHORTEST, LONGEST, PAUSE = 200, 16, 256, 0.02  # PAUSE: mean seconds between arrivals
TALKS, TURNS, SAID = 8, 6, 40
PREFIX_MB, SLOTS = 256, 64


class Words:
    """Prompts of so many tokens: words that are a token each, drawn at random."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer(folder, json.loads((folder / "config.json").read_text())["vocab_size"])
        self._around = len(self.ids("")) if self.ids("") else 0
        texts = (self._tokenizer.token(number) for number in range(self._tokenizer.vocabulary))
        self._words = [text for text in texts if re.fullmatch(" [a-z]{3,}", text)]

    def ids(self, text: str) -> list[int]:
        """As server and transformers read it."""
        return self._tokenizer.encode(text)

    def text(self, rng: Random, tokens: int, *, more: bool = False) -> str:
        """A text of so many tokens, or one that adds so many to another."""
        said = "".join(rng.choices(self._words, k=tokens if more else tokens - self._around))
        assert more or len(self.ids(said)) == tokens
        return said


@dataclass(frozen=True)
class Place:
    """Where everything is: the server, the same without reuse, and transformers."""

    folder: Path
    url: str
    plain_url: str
    process: int
    weights: int  # bytes
    room: int  # bytes of keys and values that running sequences may have
    client: aiohttp.ClientSession
    transformers: Transformers
    words: Words


async def _stream(place: Place, url: str, prompt: str, new: int) -> str:
    """The text of a streamed reply of `new` tokens."""
    body = {"inputs": prompt, "parameters": {"max_new_tokens": new}}
    async with place.client.post(f"{url}/generate_stream", json=body) as answer:
        events = (await answer.read()).decode().split("\n\n")
    told = [json.loads(event.removeprefix("data:")) for event in events if event.startswith("data:")]
    if len(told) != new or told[-1].get("generated_text") is None:
        raise RuntimeError(f"{len(told)} events instead of {new}: {told[-1:]}")
    return str(told[-1]["generated_text"])


async def batch(place: Place, rng: Random) -> float:
    """How many times as fast as a static batch."""
    prompts = [place.words.text(rng, LENGTH) for _ in range(STREAMS)]
    begun = time.perf_counter()
    await asyncio.gather(*(_stream(place, place.url, prompt, LENGTH) for prompt in prompts))
    ours = time.perf_counter() - begun
    return place.transformers.seconds(prompts=[place.words.ids(one) for one in prompts], new=LENGTH) / ours


async def alone(place: Place, rng: Random) -> float:
    """How many times as fast as `generate`, one prompt after the other."""
    ours = theirs = 0.0
    for _ in range(ALONE):
        prompt = place.words.text(rng, LENGTH)
        begun = time.perf_counter()
        await _stream(place, place.url, prompt, LENGTH)
        ours += time.perf_counter() - begun
        theirs += place.transformers.seconds(prompts=[place.words.ids(prompt)], new=LENGTH)
    return theirs / ours


async def arrivals(place: Place, rng: Random) -> float:
    """How many times as fast as continuous batching, from the first arrival to the last token."""
    at = list(itertools.accumulate((rng.expovariate(1 / PAUSE) for _ in range(REQUESTS - 1)), initial=0.0))
    prompts = [place.words.text(rng, rng.randint(SHORTEST, LONGEST)) for _ in at]
    new = [rng.randint(SHORTEST, LONGEST) for _ in at]

    async def arrive(number: int) -> None:
        await asyncio.sleep(at[number])
        await _stream(place, place.url, prompts[number], new[number])

    begun = time.perf_counter()
    await asyncio.gather(*(arrive(number) for number in range(REQUESTS)))
    ours = time.perf_counter() - begun
    return place.transformers.seconds(prompts=[place.words.ids(one) for one in prompts], new=new, at=at) / ours


async def conversations(place: Place, rng: Random) -> float:
    """How many times the prefill time is what it is with reuse."""
    seed = rng.random()
    plain, ours = [await _prefill(place, url, Random(seed)) for url in (place.plain_url, place.url)]
    return plain / ours


async def _prefill(place: Place, url: str, rng: Random) -> float:
    """Seconds of prefill in conversations of six turns whose every prompt holds all that was said."""

    async def talk(rng: Random) -> None:
        said = place.words.text(rng, SAID)
        for _ in range(TURNS):
            said += await _stream(place, url, said, SAID) + place.words.text(rng, SAID, more=True)

    before = await _forward_seconds(place, url)
    await asyncio.gather(*(talk(Random(rng.random())) for _ in range(TALKS)))
    return await _forward_seconds(place, url) - before


async def _forward_seconds(place: Place, url: str) -> float:
    """What passes that are no decoding have taken so far."""
    async with place.client.get(f"{url}/metrics") as answer:
        told = dict(line.split(" ", 1) for line in (await answer.text()).splitlines() if "_sum " in line)
    return float(told["tgi_batch_inference_duration_sum"]) - float(told["tgi_batch_decode_duration_sum"])


async def start(place: Place, rng: Random) -> float:
    """Seconds from nothing to the first /health that is 200."""
    begun = time.perf_counter()
    with first_core():
        async with serve(place.folder):
            return time.perf_counter() - begun


async def memory(place: Place, rng: Random) -> float:
    """Resident MB beyond weights and caches, after whatever was done before.

    The caches are that of prefixes and the keys and values that running sequences may have, both at their limits.
    """
    lines = Path(f"/proc/{place.process}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return (resident - place.weights - (PREFIX_MB << 20) - place.room) / 1e6
