"""A process that asks through a journal and prints each key once its reply is in hand; made to be killed.

`python -m tests.journal_worker PATH FROM TO`: asks requests FROM..TO-1, sixteen at a time. `said` and `asked` are also
how a test knows what must be in the file.
"""

from __future__ import annotations

import asyncio
import os
import sys

from synthesis.engine import Reply, Request, Token
from synthesis.engines.journal import Journal

MODEL = "worker/model@1"


def asked(number: int) -> Request:
    """The request of that number."""
    return Request(stage="work", prompt=f"number {number}", max_new_tokens=64, temperature=0.9, seed=number)


def said(request: Request) -> Reply:
    """The reply to it: some kilobytes, so that commits take a while."""
    tokens = tuple(Token(at, f" {request.prompt}-{at}", -at / 7) for at in range(40))
    return Reply("".join(token.text for token in tokens), "length", 2, 40, tokens)


async def _speak(request: Request) -> Reply:
    await asyncio.sleep(0.001)
    return said(request)


async def _work(path: str, first: int, last: int) -> None:
    numbers = iter(range(first, last))
    async with Journal(_speak, path, MODEL) as journal:

        async def ask() -> None:
            for number in numbers:
                reply = await journal(asked(number))
                assert reply == said(asked(number))
                os.write(1, f"{number}\n".encode())

        await asyncio.gather(*(ask() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
