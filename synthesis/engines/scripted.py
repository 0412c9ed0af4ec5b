"""Scripted: an engine that says what it is told, for tests of everything that asks an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthesis.engine import Reply, Request
from synthesis.engines.stops import cut

Line = str | Reply | Exception


class Scripted:
    """Replies from `reply`: a function of the request, or lines in the order of asking.

    A string becomes a reply that ends by itself, cut at the request's stop texts; an exception is raised. Tokens are
    counted by whitespace. `requests` holds what was asked, in order.
    """

    def __init__(self, reply: Callable[[Request], Line] | Sequence[Line]) -> None:
        self._reply = reply
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Reply:
        """Raises LookupError when the lines are used up."""
        self.requests.append(request)
        line = self._reply(request) if callable(self._reply) else self._line(request)
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Reply) else spoken(line, request)

    def _line(self, request: Request) -> Line:
        assert not callable(self._reply)
        number = len(self.requests)
        if number > len(self._reply):
            raise LookupError(f"the script has {len(self._reply)} lines; stage {request.stage!r} asks for one more")
        return self._reply[number - 1]


def spoken(text: str, request: Request) -> Reply:
    """`text` as the whole reply to `request`."""
    kept, reason = cut(text, request.stop, "eos_token")
    asked = request.prompt if request.prompt is not None else " ".join(content for _, content in request.messages)
    return Reply(kept, reason, tokens_in=len(asked.split()), tokens_out=len(text.split()))
