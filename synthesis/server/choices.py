"""One or several generations as the `choices` of an OpenAI answer, whole or streamed."""

from __future__ import annotations

import time
from typing import Any, Protocol

from aiohttp import web

from synthesis.server.native import SERVICE, reply
from synthesis.server.protocol import FINGERPRINT, GenerateRequest, Refused, Result, Step, usage
from synthesis.server.stream import Events


class Form(Protocol):
    """How a dialect writes its answers; id, created, model and usage are added here."""

    usage: bool

    def whole(self, results: list[Result]) -> dict[str, Any]:
        """The answer to a request that is not streamed."""

    def piece(self, place: int, text: str, step: Step, end: str | None) -> dict[str, Any] | None:
        """A streamed token of choice number `place`, if it has something to tell; `end` is the finish reason, at its
        last token."""

    def total(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last chunk of a stream that was asked for its usage."""


async def answer_choices(request: web.Request, wanted: list[GenerateRequest], form: Form) -> web.StreamResponse:
    """Run the requests together and answer in `form`."""
    service = request.app[SERVICE]
    began = time.monotonic()
    same = {"id": "", "created": int(time.time()), "model": service.nature.model, "system_fingerprint": FINGERPRINT}
    if wanted[0].stream:
        return await _streamed(request, wanted, form, same)
    async with service.run(wanted) as run:
        results = await run.results()
    for one, result in zip(wanted, results, strict=True):
        service.succeeded(result, time.monotonic() - began, one)
    return reply({**same, **form.whole(results), "usage": usage(results)})


async def _streamed(
    request: web.Request, wanted: list[GenerateRequest], form: Form, same: dict[str, Any]
) -> web.StreamResponse:
    service = request.app[SERVICE]
    began = time.monotonic()
    async with Events(request, sum(len(one.inputs) for one in wanted), service.nature.device) as events:
        try:
            async with service.run(wanted) as run:
                sent = [""] * len(wanted)
                ended: list[Result] = []
                while len(ended) < len(wanted):
                    place, news = await events.next(run)
                    step = news.steps[-1] if isinstance(news, Result) else news
                    text = _addition(news, step, sent[place])
                    sent[place] += text
                    end = news.finish_reason if isinstance(news, Result) else None
                    piece = form.piece(place, text, step, end)
                    if piece is not None:
                        events.send({**same, **piece})
                    if isinstance(news, Result):
                        ended.append(news)
                        service.succeeded(news, time.monotonic() - began, wanted[place])
                if form.usage:
                    events.send({**same, **form.total(usage(ended))})
        except Refused as refused:
            events.send(refused.openai())
        events.done()
    return events.response


def _addition(news: Step | Result, step: Step, sent: str) -> str:
    """What a token adds to the text; the last one adds what is missing, so that the pieces are the whole text."""
    if isinstance(news, Result) and news.text.startswith(sent):
        return news.text[len(sent) :]
    return "" if step.token.special else step.token.text
