"""A language model small enough to work out by hand: it reads prompts for `Scripted`, and its tokens straddle.

A token is up to three characters with the space before them, so that text added at the end of a word changes the
word's last token. Its log-probability depends on itself and the token before it.
"""

from __future__ import annotations

import re
from zlib import crc32

from synthesis.engine import Reply, Request, Token


def cut(text: str) -> list[str]:
    """The texts of the tokens; they add up to `text`."""
    return re.findall(r"\s*\S{1,3}|\s+", text)


def logprob(before: str, token: str) -> float:
    """Natural log-probability of a token after another: a multiple of 1/16, so that sums are exact."""
    return -(crc32(f"{before}|{token}".encode()) % 64 + 1) / 16


def read(request: Request) -> Reply:
    """The reply to a request for prompt log-probabilities."""
    assert request.prompt is not None
    assert request.decoder_input_details
    texts = cut(request.prompt)
    pairs = zip(["", *texts], texts, strict=False)
    tokens = [Token(crc32(text.encode()), text, logprob(before, text)) for before, text in pairs]
    first = tokens[:1] and [tokens[0]._replace(logprob=None)]
    return Reply("x", "length", len(tokens), 1, prefill=tuple(first + tokens[1:]))
