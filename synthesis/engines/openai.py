"""OpenAI: the /v1 dialect of vLLM, SGLang, llama.cpp, `transformers serve` and OpenAI itself.

Messages go to /v1/chat/completions, a prompt to /v1/completions. What this dialect lacks is refused by name. top_k and
repetition_penalty are extensions of it: vLLM, SGLang and llama.cpp take them (the last as `repeat_penalty`, so both
names are sent), OpenAI refuses them with a 400. One try a call: wrap in `Retrying`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from synthesis.engine import Info, Reply, Request, Token
from synthesis.engines.http import Endpoint
from synthesis.engines.key import Key
from synthesis.engines.stops import cut, mended
from synthesis.errors import RequestRefused, Unavailable, Unsupported, UserError

_LISTED = 20  # models named in a message
NO_ID = -1  # this dialect tells a token's text, not its id


class OpenAI:
    """One server of the /v1 dialect. `model`: which of its models; None where it has only one."""

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        key: Key | None = None,
        model: str | None = None,
        timeout: float = 600,
    ) -> None:
        self._endpoint = Endpoint(url, session, key, timeout)
        self._model = model

    async def info(self) -> Info:
        """GET /v1/models. Raises UserError, with the names, unless it is clear which model is meant."""
        answer = await self._endpoint.get("/v1/models")
        with self._endpoint.reading(answer.where, answer.body):
            models = {str(model["id"]): model for model in answer.body["data"]}
        listed = ", ".join(sorted(models)[:_LISTED]) + (", ..." if len(models) > _LISTED else "")
        if self._model is None and len(models) != 1:
            raise UserError(f"{self._endpoint.url}: say which model to use; it has {listed or 'none'}")
        name = self._model or next(iter(models))
        if models and name not in models:
            raise UserError(f"{self._endpoint.url}: no model {name!r}; it has {listed}")
        length = models.get(name, {}).get("max_model_len")
        return Info(model=name, dialect="openai", max_total_tokens=length if isinstance(length, int) else None)

    async def healthy(self) -> None:
        """Raises EngineError's kinds when the server says that it is not well; many have no way to say so."""
        await self._endpoint.healthy()

    async def __call__(self, request: Request) -> Reply:
        """The reply. Raises EngineError's kinds, and UserError for a bad key.

        `tokens` and `top_tokens` are there when `top_n_tokens` was asked (0: tokens alone), with ids of -1.
        """
        _refuse(request, self._endpoint.url)
        if self._model is None:
            self._model = (await self.info()).model
        path = "/v1/completions" if request.prompt is not None else "/v1/chat/completions"
        answer = await self._endpoint.post(path, _body(request, self._model))
        with self._endpoint.reading(answer.where, answer.body):
            choice = answer.body["choices"][0]
            usage = answer.body["usage"]
            tokens_in, tokens_out = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
            text = choice["text"] if request.prompt is not None else choice["message"]["content"]
            tokens, top_tokens = _logprobs(choice)
        reason = _finish_reason(answer.where, choice, request)
        if not isinstance(text, str):
            raise RequestRefused(
                f"{answer.where}: the model wrote no text ({reason}), perhaps all of it was reasoning or a tool call; "
                "raise max_new_tokens or serve it without a reasoning parser"
            )
        text, reason = cut(mended(text), request.stop, reason)
        if request.top_n_tokens and tokens_out and not top_tokens:
            raise Unsupported(f"{answer.where}: no top_logprobs in the answer; TGI and vLLM have top_n_tokens")
        return Reply(text, reason, tokens_in, tokens_out, tokens, (), top_tokens if request.top_n_tokens else ())


def _body(request: Request, model: str) -> dict[str, Any]:
    """The request in this dialect; what is off is left out, and greedy decoding is temperature 0."""
    sampled = bool(request.temperature)
    chat = [{"role": role, "content": content} for role, content in request.messages]
    details = request.top_n_tokens is not None
    given = {
        "model": model,
        "prompt": request.prompt,
        "messages": chat or None,
        "max_tokens": request.max_new_tokens,
        "temperature": request.temperature if sampled else 0,
        "top_p": request.top_p if sampled and (request.top_p or 1.0) < 1.0 else None,
        "top_k": request.top_k if sampled else None,
        "repetition_penalty": request.repetition_penalty,
        "repeat_penalty": request.repetition_penalty,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "logprobs": True if details else None,
        "top_logprobs": request.top_n_tokens or None,
        "response_format": _response_format(request),
    }
    return {name: value for name, value in given.items() if value is not None}


def _response_format(request: Request) -> dict[str, Any] | None:
    if request.grammar is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": request.grammar.value}}


def _refuse(request: Request, url: str) -> None:
    """Raises Unsupported for what has no form in this dialect."""
    plain = request.prompt is not None
    absent = {
        "decoder_input_details": request.decoder_input_details,
        "typical_p": request.typical_p is not None and request.typical_p < 1.0,
        "grammar of kind regex": request.grammar is not None and request.grammar.kind == "regex",
        "grammar on a plain prompt (messages can have a JSON one)": request.grammar is not None and plain,
        "top_n_tokens on a plain prompt (messages can have them)": request.top_n_tokens is not None and plain,
    }
    for feature, asked in absent.items():
        if asked:
            raise Unsupported(f"{url}: the openai dialect has no {feature}; a TGI server and the tgi dialect have it")


def _finish_reason(where: str, choice: Mapping[str, Any], request: Request) -> str:
    """Our finish reason. "stop" covers both ends; vLLM and SGLang tell in another field which stop text it was."""
    given = choice.get("finish_reason")
    if given == "content_filter":
        raise RequestRefused(f"{where}: the server's content filter withheld the reply; change the prompt")
    if given in ("length", "eos_token", "stop_sequence"):
        return str(given)
    if given == "stop":
        matched = choice.get("stop_reason", choice.get("matched_stop"))
        return "stop_sequence" if matched in request.stop else "eos_token"
    raise Unavailable(f"{where}: 200 with finish_reason {given!r}, expected stop or length")


def _logprobs(choice: Mapping[str, Any]) -> tuple[tuple[Token, ...], tuple[tuple[Token, ...], ...]]:
    steps = (choice.get("logprobs") or {}).get("content") or ()
    tokens = tuple(_token(step) for step in steps)
    return tokens, tuple(tuple(_token(other) for other in step.get("top_logprobs") or ()) for step in steps)


def _token(step: Mapping[str, Any]) -> Token:
    return Token(NO_ID, str(step["token"]), float(step["logprob"]))
