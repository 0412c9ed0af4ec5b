"""A reply as bytes, the way the journal keeps it: floats and texts survive exactly.

A JSON list of columns, one for all token ids, one for all texts and so on; from `_SQUEEZE` bytes on in zlib.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from synthesis.engine import Reply, Token

_SQUEEZE = 1024  # what is shorter gains less than squeezing it takes
_encode = json.JSONEncoder(separators=(",", ":")).encode


def pack(reply: Reply) -> bytes:
    """`reply` as the journal holds it."""
    row = [reply.text, reply.finish_reason, reply.tokens_in, reply.tokens_out]
    row += [_columns(reply.tokens), _columns(reply.prefill), [_columns(step) for step in reply.top_tokens]]
    value = _encode(row).encode()
    return value if len(value) < _SQUEEZE else zlib.compress(value, 1)


def unpack(value: bytes) -> Reply:
    """The reply that `pack` was given. Raises zlib.error, ValueError or TypeError for anything else."""
    row = json.loads(value if value.startswith(b"[") else zlib.decompress(value))
    text, reason, tokens_in, tokens_out, tokens, prefill, top_tokens = row
    steps = tuple(_rows(step) for step in top_tokens)
    return Reply(text, reason, tokens_in, tokens_out, _rows(tokens), _rows(prefill), steps)


def _columns(tokens: tuple[Token, ...]) -> list[list[Any]]:
    """Ids, texts and log-probabilities side by side, and the places of the special tokens."""
    return [
        [token.id for token in tokens],
        [token.text for token in tokens],
        [token.logprob for token in tokens],
        [place for place, token in enumerate(tokens) if token.special],
    ]


def _rows(columns: list[list[Any]]) -> tuple[Token, ...]:
    ids, texts, logprobs, special = columns
    marked = set(special)
    triples = zip(ids, texts, logprobs, strict=True)
    return tuple(Token(number, text, logprob, at in marked) for at, (number, text, logprob) in enumerate(triples))
