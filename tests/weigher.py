"""A model that finds words likely by a rule one can work out by hand, and tells so of prompts."""

from __future__ import annotations

import re
import zlib

from synthesis.engine import Reply, Request, Token


def weigher(request: Request) -> Reply:
    """A token a word, two nats each.

    Only one nat for a word of a reply that stands in the profile of who says it, and for the first of a turn if it is
    the last of the turn before.
    """
    assert request.decoder_input_details, "asked for the log-probabilities of the prompt"
    assert request.max_new_tokens == 1
    call, *reply = [request.prompt] if request.prompt is not None else [text for _, text in request.messages]
    shown = [_token(word, -2.0) for word in call.split()]
    before = ""
    for line in "".join(reply).splitlines():
        user, _, said = line.partition(": ")
        traits = " ".join(re.findall(rf"^- {user}: (.*)$", call, re.MULTILINE))
        own = set(re.findall(r"\w+", traits.lower()))
        for at, word in enumerate(line.split()):
            plain = re.sub(r"\W", "", word.lower())
            first = at == len(user.split()) and plain == before
            shown.append(_token(word, -1.0 if at >= len(user.split()) and (plain in own or first) else -2.0))
        before = re.sub(r"\W", "", said.split()[-1].lower())
    return Reply("", "length", len(shown), 1, prefill=tuple(shown))


def _token(word: str, logprob: float) -> Token:
    return Token(zlib.crc32(word.encode()), word, logprob)
