"""Requests and results with names and types; their JSON as TGI 3.3 writes it.

Unknown keys are ignored and null stands for "not given", as TGI's deserializer has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from synthesis.server.body import Fields, NotDeserializable

VERSION = "3.3.6-dev0"  # the last TGI, whose protocol this is
FINGERPRINT = f"{VERSION}-native"
STATUS = {
    "validation": 422,
    "template_error": 422,
    "missing_template_variable": 422,
    "tool_error": 422,
    "suffix not supported": 422,
    "batch size exceeded": 422,
    "generation": 424,
    "overloaded": 429,
    "incomplete_generation": 500,
    "healthcheck": 503,
}

FinishReason = Literal["length", "eos_token", "stop_sequence"]


class Refused(Exception):
    """A request that gets an error body: `kind` is TGI's error_type, which decides the status."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message

    @property
    def status(self) -> int:
        return STATUS[self.kind]

    def json(self) -> dict[str, Any]:
        return {"error": self.message, "error_type": self.kind}

    def openai(self) -> dict[str, Any]:
        """The form it has as an event on /v1 streams."""
        return {"error": {"message": self.message, "http_status_code": self.status}}


def invalid(reason: str) -> Refused:
    """A request that breaks a rule of the protocol."""
    return Refused("validation", f"Input validation error: {reason}")


@dataclass(frozen=True, slots=True)
class Grammar:
    """`kind`: "json" (value: a schema, as object or text), "regex" (value: text) or "any" (any JSON object)."""

    kind: Literal["json", "regex", "any"]
    value: Any


@dataclass(frozen=True, slots=True)
class Parameters:
    """`parameters` of a GenerateRequest; None is "not given"."""

    best_of: int | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    do_sample: bool = False
    max_new_tokens: int | None = None
    return_full_text: bool | None = None
    stop: tuple[str, ...] = ()
    truncate: int | None = None
    watermark: bool = False
    details: bool = False
    decoder_input_details: bool = False
    seed: int | None = None
    top_n_tokens: int | None = None
    grammar: Grammar | None = None
    adapter_id: str | None = None

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn: asked for, or implied by a setting that only makes sense when drawing."""
        return self.do_sample or any(
            value is not None for value in (self.temperature, self.top_k, self.top_p, self.typical_p)
        )


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A prompt and its parameters; `specials` adds the tokenizer's own special tokens."""

    inputs: str
    parameters: Parameters
    stream: bool = False
    specials: bool = True


def read_grammar(value: Any, fields: Fields, key: str) -> Grammar | None:
    """TGI's `grammar` object."""
    if value is None:
        return None
    inner = fields.inside(value, key)
    kind = inner.text("type", required=True)
    if kind not in ("json", "json_object", "regex", "json_schema"):
        raise inner.wrong("type", f"unknown variant `{kind}`, expected one of `json`, `regex`, `json_schema`")
    if kind == "regex":
        return Grammar("regex", inner.text("value", required=True))
    content = inner.raw("value")
    if content is None:
        raise NotDeserializable(f"{key}: missing field `value`")
    if kind == "json_schema":
        content = inner.inside(content, "value").raw("schema")
        if content is None:
            raise NotDeserializable(f"{key}.value: missing field `schema`")
    return Grammar("json", content)


def read_parameters(fields: Fields) -> Parameters:
    """The `parameters` object."""
    return Parameters(
        best_of=fields.count("best_of", 64),
        temperature=fields.number("temperature"),
        repetition_penalty=fields.number("repetition_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        top_k=fields.integer("top_k"),
        top_p=fields.number("top_p"),
        typical_p=fields.number("typical_p"),
        do_sample=fields.flag("do_sample"),
        max_new_tokens=fields.count("max_new_tokens", 32),
        return_full_text=fields.flag("return_full_text") if fields.raw("return_full_text") is not None else None,
        stop=fields.texts("stop"),
        truncate=fields.count("truncate", 64),
        watermark=fields.flag("watermark"),
        details=fields.flag("details"),
        decoder_input_details=fields.flag("decoder_input_details"),
        seed=fields.count("seed", 64),
        top_n_tokens=fields.count("top_n_tokens", 32),
        grammar=read_grammar(fields.raw("grammar"), fields, "grammar"),
        adapter_id=fields.text("adapter_id"),
    )


def adapter_of(fields: Fields) -> str | None:
    """The `model` of the OpenAI dialect, which names an adapter unless it is "tgi"."""
    name = fields.text("model")
    return None if name == "tgi" else name


def read_generate(value: Any) -> GenerateRequest:
    """A GenerateRequest; without `parameters` TGI samples, with an empty `parameters` it does not."""
    fields = Fields(value)
    inputs = fields.text("inputs", required=True)
    given = fields.raw("parameters")
    read = Parameters(do_sample=True) if given is None else read_parameters(fields.inside(given, "parameters"))
    return GenerateRequest(inputs or "", read, stream=fields.flag("stream"))


@dataclass(frozen=True, slots=True)
class Token:
    """A token as text; `logprob` is taken after warping."""

    id: int
    text: str
    logprob: float | None
    special: bool

    def json(self) -> dict[str, Any]:
        return {"id": self.id, "text": self.text, "logprob": self.logprob, "special": self.special}


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token, numbered from 1, with the likeliest tokens at its place."""

    index: int
    token: Token
    top: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A finished generation. `seed` is None when nothing was drawn; times are in seconds."""

    text: str
    steps: tuple[Step, ...]
    prefill: tuple[Token, ...]
    finish_reason: FinishReason
    seed: int | None
    input_length: int
    queue_time: float = 0.0
    inference_time: float = 0.0
    others: tuple[Result, ...] = field(default=())

    @property
    def mean_logprob(self) -> float:
        return sum(step.token.logprob or 0.0 for step in self.steps) / max(1, len(self.steps))

    def details(self) -> dict[str, Any]:
        """The `details` object of a whole answer."""
        body: dict[str, Any] = {
            "finish_reason": self.finish_reason,
            "generated_tokens": len(self.steps),
            "seed": self.seed,
            "prefill": [{"id": one.id, "text": one.text, "logprob": one.logprob} for one in self.prefill],
            "tokens": [step.token.json() for step in self.steps],
        }
        if any(step.top for step in self.steps):
            body["top_tokens"] = [[one.json() for one in step.top] for step in self.steps]
        if self.others:
            body["best_of_sequences"] = [{"generated_text": one.text, **one.details()} for one in self.others]
        return body

    def stream_details(self) -> dict[str, Any]:
        """The `details` object of a stream's last event."""
        return {
            "finish_reason": self.finish_reason,
            "generated_tokens": len(self.steps),
            "seed": self.seed,
            "input_length": self.input_length,
        }


def usage(results: list[Result]) -> dict[str, int]:
    """OpenAI's `usage` over several generations."""
    prompt, written = sum(one.input_length for one in results), sum(len(one.steps) for one in results)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
