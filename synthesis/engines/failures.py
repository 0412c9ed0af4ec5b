"""What an endpoint's error answer means: a status and a body of any kind in, one of our errors out.

Bodies are never assumed to be JSON: a bad key has an empty body, request extractors and proxies answer in plain text.
The texts looked for are those of TGI 3.3, vLLM, SGLang and llama.cpp.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from synthesis.engines.key import Key
from synthesis.errors import (
    Barred,
    ContextOverflow,
    KeyRefused,
    Overloaded,
    ParleyError,
    RequestRefused,
    Unavailable,
    Unsupported,
    UserError,
)

_DIGITS = 16  # more seconds than that are no time
_SHOWN = 400  # characters of the server's words in a message
_OVERFLOW = re.compile(
    r"`inputs` must have less than|`inputs` tokens \+ `max_new_tokens` must be|maximum context length"
    r"|longer than the model's context|exceeds the available context size|context_length_exceeded"
    r"|exceed_context_size",
    re.IGNORECASE,
)
_NO_TEMPLATE = re.compile(r"template not found|must provide a chat template", re.IGNORECASE)
_BARRED = (402, 403, 404, 405, 410)  # not what is wrong with a request, but who asks for what, and where
_EVENT_STATUS = {"overloaded": 429, "validation": 422, "template_error": 422, "tool_error": 422, "generation": 424}


def failure(where: str, status: int, headers: Mapping[str, str], text: str, key: Key | None) -> ParleyError:
    """The error for an answer that is not 200. `where`: method and address, "POST http://host/generate"."""
    kind, said = _said(text)
    said = shown(said, key)
    told = f"{where}: {status}" + (f" {said}" if said else " with an empty body")
    if status == 401:
        return KeyRefused(f"{told}. {_key_advice(key)}")
    if status in (429, 503) or kind == "overloaded":
        return Overloaded(f"{told}: the endpoint takes no more just now", retry_after(headers))
    if status == 408 or status == 424 or status >= 500:
        return Unavailable(told)
    if status < 300:
        return Barred(f"{told}: expected 200; another kind of server, or a proxy in its place")
    if status < 400:  # a proxy that wants a login does this to everybody, even in the middle of a run
        place = shown(headers.get("Location", "nowhere").split("?")[0], key)
        return Barred(f"{told}: redirects to {place}; keys follow no redirect, so name the final address")
    return _refusal(status, told, kind, said)


def event_failure(where: str, event: Mapping[str, Any], key: Key | None) -> ParleyError:
    """The error for an `error` event inside a stream, whose HTTP status was 200 long before."""
    inner = event["error"]
    given = inner.get("http_status_code", inner.get("code")) if isinstance(inner, Mapping) else None
    kind = str(event.get("error_type"))
    status = given if isinstance(given, int) and given >= 400 else _EVENT_STATUS.get(kind, 500)
    return failure(f"{where} (in the stream)", status, {}, json.dumps(event), key)


def _refusal(status: int, told: str, kind: str, said: str) -> ParleyError:
    if _NO_TEMPLATE.search(said):
        return UserError(
            f"{told}: the model has no chat template. Serve a chat model, start the server with a tokenizer config "
            "that has a chat template, or use a recipe that sends a plain prompt"
        )
    if kind in ("template_error", "missing_template_variable"):
        return RequestRefused(f"{told}: the model's chat template does not take these messages; serve another model")
    if _OVERFLOW.search(f"{kind} {said}"):
        return ContextOverflow(f"{told}: shorten the prompt, lower max_new_tokens, or serve a longer context")
    if "grammar is not supported" in said:
        return Unsupported(f"{told}: start TGI without --disable-grammar-support")
    if "`top_n_tokens` must be" in said:
        return Unsupported(f"{told}: start TGI with a higher --max-top-n-tokens, or ask for fewer")
    return Barred(told) if status in _BARRED else RequestRefused(told)


def _said(text: str) -> tuple[str, str]:
    """Kind and text of an error body: TGI's `error`, OpenAI's `error.message`, FastAPI's `detail`, or plain text."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "", text
    if not isinstance(body, dict):
        return "", text
    error = body.get("error", body)
    if isinstance(error, dict):
        kind = " ".join(str(error[name]) for name in ("type", "code") if error.get(name) is not None)
        return kind, str(error.get("message", error.get("detail", text)))
    return str(body.get("error_type", "")), str(error)


def shown(text: str, key: Key | None) -> str:
    """A server's words as they may stand in a message: without the key, on one line, not too long."""
    line = " ".join((key.redact(text) if key else text).split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, given as seconds or as an HTTP date; None if absent or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < _DIGITS else None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for years and zones beyond any calendar
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _key_advice(key: Key | None) -> str:
    if key is not None:
        return f"The key in {key.source} was refused; set {key.source} to one that this endpoint knows"
    return (
        "The endpoint wants a key and none was sent; set TGI_API_KEY (HF_TOKEN serves Hugging Face's https hosts only)"
    )
