"""Tgi: the native protocol of text-generation-inference 3.3, over /generate or /generate_stream.

Chat messages are rendered by the server (/chat_tokenize) and sent to /generate as text, so that chat models have every
native feature too: top_k, typical_p, token details, prompt log-probabilities, regular expressions. A conversation that
ends with an assistant's message is continued. One try a call: wrap in `Retrying`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp

from synthesis.engine import Info, Message, Reply, Request, Token
from synthesis.engines.http import Answer, Endpoint
from synthesis.engines.key import Key
from synthesis.engines.stops import cut, mended
from synthesis.errors import RequestRefused, Unavailable, Unsupported

_LOG = logging.getLogger(__name__)
_ROUTER = "text-generation-router"


class Tgi:
    """One TGI server. With `stream`, tokens come as they are made and a dead server is noticed at once.

    Prompt log-probabilities do not exist in streams, so such requests go to /generate in any case.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        key: Key | None = None,
        timeout: float = 600,
        stream: bool = False,
    ) -> None:
        self._endpoint = Endpoint(url, session, key, timeout)
        self._stream = stream
        self._bos: str | None = None
        self._bos_turn = asyncio.Lock()

    async def info(self) -> Info:
        """GET /info. Raises Unsupported when something else than TGI answers."""
        answer = await self._endpoint.get("/info")
        _refuse_others(answer)
        body = answer.body
        if not (isinstance(body, dict) and (body.get("router") == _ROUTER or "max_total_tokens" in body)):
            raise Unsupported(f"{answer.where}: answers, but is not text-generation-inference; try the openai dialect")
        with self._endpoint.reading(answer.where, body):
            model = _string(body["model_id"])
        return Info(
            model=model,
            dialect="tgi",
            revision=body.get("model_sha"),
            max_input_tokens=body.get("max_input_tokens"),
            max_total_tokens=body.get("max_total_tokens"),
            max_concurrent_requests=body.get("max_concurrent_requests"),
        )

    async def healthy(self) -> None:
        """Raises EngineError's kinds when the server says that it is not well."""
        await self._endpoint.healthy()

    async def __call__(self, request: Request) -> Reply:
        """The reply. Raises EngineError's kinds, and UserError for a bad key."""
        prompt = request.prompt if request.prompt is not None else await self._rendered(request.messages)
        body = {"inputs": prompt, "parameters": parameters(request)}
        if self._stream and not request.decoder_input_details:
            reply = await self._streamed(body, request)
        else:
            reply = await self._whole(body, request)
        if request.decoder_input_details and not reply.prefill:
            raise Unsupported(
                f"{self._endpoint.url}: no prompt log-probabilities; start TGI with --enable-prefill-logprobs"
            )
        if request.top_n_tokens and reply.tokens_out and not reply.top_tokens:
            raise Unsupported(f"{self._endpoint.url}: no top_n_tokens in the answer; TGI 3.3 has them")
        return reply

    async def _whole(self, body: Mapping[str, Any], request: Request) -> Reply:
        answer = await self._endpoint.post("/generate", body)
        _refuse_others(answer)
        with self._endpoint.reading(answer.where, answer.body):
            details = answer.body["details"]
            prefill = _tokens(details.get("prefill") or ())
            counted = answer.headers.get("x-prompt-tokens", "")
            tokens_in = int(counted) if counted.isdecimal() else len(prefill)
            reply = _reply(
                answer.body["generated_text"],
                details,
                request,
                tokens=_tokens(details["tokens"]) if request.top_n_tokens is not None else (),
                prefill=prefill,
                top_tokens=[_tokens(step) for step in details.get("top_tokens") or ()],
                tokens_in=tokens_in,
            )
        return reply if tokens_in else await self._counted(reply, body)

    async def _streamed(self, body: Mapping[str, Any], request: Request) -> Reply:
        tokens: list[Token] = []
        top_tokens: list[tuple[Token, ...]] = []
        async with aclosing(self._endpoint.events("/generate_stream", body)) as events:
            async for where, event in events:
                with self._endpoint.reading(where, event):
                    tokens.append(_token(event["token"]))
                    if event.get("top_tokens"):
                        top_tokens.append(_tokens(event["top_tokens"]))
                    if event.get("generated_text") is None:
                        continue
                    details = event["details"]
                    tokens_in = int(details.get("input_length") or 0)
                    reply = _reply(
                        event["generated_text"],
                        details,
                        request,
                        tokens=tokens if request.top_n_tokens is not None else (),
                        prefill=(),
                        top_tokens=top_tokens,
                        tokens_in=tokens_in,
                    )
                return reply if tokens_in else await self._counted(reply, body)
        raise Unavailable(
            f"POST {self._endpoint.url}/generate_stream: the stream ended after {len(tokens)} tokens without its "
            "final event; the server broke off"
        )

    async def _counted(self, reply: Reply, body: Mapping[str, Any]) -> Reply:
        """`reply` with the prompt counted by /tokenize: a proxy took the header that says it, or the server is old."""
        ids, _ = await self._tokenized(str(body["inputs"]))
        return Reply(
            reply.text,
            reply.finish_reason,
            len(ids),
            reply.tokens_out,
            reply.tokens,
            reply.prefill,
            reply.top_tokens,
        )

    async def _rendered(self, messages: Sequence[Message]) -> str:
        """The messages as /generate must get them for the model to see what the chat template says."""
        body = {"messages": [{"role": role, "content": content} for role, content in messages]}
        answer = await self._endpoint.post("/chat_tokenize", body)
        with self._endpoint.reading(answer.where, answer.body):
            text = _string(answer.body["templated_text"])
            tokens = [(int(token["id"]), int(token["stop"])) for token in answer.body["tokenize_response"]]
        async with self._bos_turn:
            if self._bos is None:
                self._bos = await self._doubled(text, tokens)
        return text.removeprefix(self._bos)

    async def _doubled(self, text: str, tokens: Sequence[tuple[int, int]]) -> str:
        """The literal at the start of templated text that /generate would put there a second time; mostly "<s>".

        /generate adds the tokenizer's special tokens, /chat_tokenize does not. So where tokenizing the whole templated
        text yields its first token twice, the literal has to go. How long it is, the first token's `stop` says: in
        characters, or in bytes (TGI's tokenizer counts those); the cut that gives back the template's ids is right.
        """
        wanted = [token for token, _ in tokens]
        whole, where = await self._tokenized(text)
        if not wanted or whole[:2] != [wanted[0], wanted[0]] or wanted[:2] == whole[:2]:
            return ""
        stop = tokens[0][1]
        cuts = dict.fromkeys((text.encode()[:stop].decode(errors="ignore"), text[:stop]))
        for literal in cuts:
            if literal and (await self._tokenized(text.removeprefix(literal)))[0] == wanted:
                return literal
        shortest = min(cuts, key=len)
        _LOG.warning("%s: no cut of %r gives the template's own tokens; %r is taken off", where, text[:40], shortest)
        return shortest

    async def _tokenized(self, text: str) -> tuple[list[int], str]:
        """Token ids of `text`, the special tokens that /generate adds included."""
        try:
            answer = await self._endpoint.post("/tokenize", {"inputs": text})
        except RequestRefused as error:
            raise type(error)(f"{error}. Without /tokenize, use the openai dialect for chat messages") from error
        with self._endpoint.reading(answer.where, answer.body):
            return [int(token["id"]) for token in answer.body], answer.where


def parameters(request: Request) -> dict[str, Any]:
    """TGI's `parameters`. Everything that matters is explicit, and what is off is left out, never null.

    Greedy decoding (`temperature` None or 0) leaves out top_k, top_p and typical_p, any of which would make TGI
    sample. 1.0 means "off" for top_p and typical_p, and TGI refuses it.
    """
    sampled = bool(request.temperature)
    given = {
        "max_new_tokens": request.max_new_tokens,
        "do_sample": sampled,
        "details": True,
        "return_full_text": False,
        "temperature": request.temperature if sampled else None,
        "top_k": request.top_k if sampled else None,
        "top_p": _nucleus(request.top_p) if sampled else None,
        "typical_p": _nucleus(request.typical_p) if sampled else None,
        "repetition_penalty": request.repetition_penalty,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "grammar": request.grammar and {"type": request.grammar.kind, "value": request.grammar.value},
        "top_n_tokens": request.top_n_tokens,
        "decoder_input_details": request.decoder_input_details or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _nucleus(mass: float | None) -> float | None:
    return None if mass is None or mass >= 1.0 else mass


def _reply(
    text: Any,
    details: Mapping[str, Any],
    request: Request,
    *,
    tokens: Sequence[Token],
    prefill: tuple[Token, ...],
    top_tokens: Sequence[tuple[Token, ...]],
    tokens_in: int,
) -> Reply:
    kept, finish_reason = cut(mended(_string(text)), request.stop, _string(details["finish_reason"]))
    generated = int(details["generated_tokens"])
    return Reply(kept, finish_reason, tokens_in, generated, tuple(tokens), prefill, tuple(top_tokens))


def _token(token: Mapping[str, Any]) -> Token:
    text, logprob = token["text"], token.get("logprob")
    if text.__class__ is not str:
        raise TypeError(f"expected a string, got {type(text).__name__}")
    return Token(int(token["id"]), text, None if logprob is None else float(logprob), bool(token.get("special")))


def _tokens(step: Sequence[Mapping[str, Any]]) -> tuple[Token, ...]:
    return tuple([_token(token) for token in step])


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _refuse_others(answer: Answer) -> None:
    """SGLang has a /generate as well, with another schema; its 200 must not pass for TGI's."""
    body = answer.body[0] if isinstance(answer.body, list) and answer.body else answer.body
    if isinstance(body, dict) and "meta_info" in body and "text" in body:
        raise Unsupported(f"{answer.where}: this is SGLang, whose /generate is not TGI's; use the openai dialect")
