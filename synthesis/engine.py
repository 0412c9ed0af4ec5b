"""Request, Reply, Engine: a request in, a reply out.

An engine is one asynchronous call; engines are composed by wrapping (`Journal(Tgi(url))`). A `Request` speaks in
text-generation-inference's words. Whatever a dialect cannot do is refused by name, never ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from synthesis.wire import encoded

GENERATOR, CRITIC = "generator", "critic"  # the roles
Message = tuple[Literal["system", "user", "assistant"], str]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the reply must look like: a JSON schema (a mapping) or a regular expression (a string)."""

    kind: Literal["json", "regex"]
    value: Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a model. Exactly one of `prompt` (raw text) and `messages` (rendered by the chat template).

    `stage`: which step of the recipe asks; `role`: whose model answers ("generator", "critic"); `conversation`: id
    that ties requests with a common prefix together. These three steer and account; they are not part of the
    request's identity. `temperature` None means greedy decoding.
    """

    stage: str
    max_new_tokens: int
    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    grammar: Grammar | None = None
    top_n_tokens: int | None = None
    decoder_input_details: bool = False
    role: str = "generator"
    conversation: str | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("a Request takes either prompt or messages")

    def identity(self) -> dict[str, Any]:
        """Everything that the reply depends on, besides the model."""
        grammar = self.grammar and {"kind": self.grammar.kind, "value": self.grammar.value}
        whole = {name: getattr(self, name) for name in self.__slots__ if name not in _STEERING}
        return {
            name: value
            for name, value in (whole | {"grammar": grammar}).items()
            if not (value is None or value is False or value == ())  # 0 is something: a seed, or no likelier tokens
        }

    def key(self, model: str) -> str:
        """SHA-256 of model and identity, in hexadecimal: the name of the reply in the journal."""
        return hashlib.sha256(encoded([model, self.identity()])).hexdigest()


_STEERING = frozenset({"stage", "role", "conversation"})


class Token(NamedTuple):
    """A token of the vocabulary as it stood in a text; `logprob` is natural and None for a prompt's first token.

    A tuple, because every reply makes some dozens of them: a frozen dataclass takes three times as long.
    """

    id: int
    text: str
    logprob: float | None
    special: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote.

    `text`: without the prompt, special tokens and the stop text. `finish_reason`: "length", "eos_token" or
    "stop_sequence". `tokens`: generated tokens, if `top_n_tokens` was asked (0: these alone); reading, moving and
    keeping them costs more than all the rest of a reply. `prefill`: the prompt's tokens, if `decoder_input_details`
    was asked. `top_tokens`: per step the likeliest tokens, if asked.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    tokens: tuple[Token, ...] = ()
    prefill: tuple[Token, ...] = ()
    top_tokens: tuple[tuple[Token, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """What an endpoint says of itself. Sizes are in tokens; None where the dialect does not tell."""

    model: str
    dialect: str
    revision: str | None = None
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None

    @property
    def name(self) -> str:
        """Model and revision in one: replies of another revision are other replies."""
        return f"{self.model}@{self.revision}" if self.revision else self.model


Models = str | Mapping[str, str]
"""The model that replies depend on, as the journal names it: one for all, or one for each role."""


def model_of(models: Models, role: str) -> str:
    """The name of a role's model."""
    return models if isinstance(models, str) else models[role]


def models_of(infos: Mapping[str, Info]) -> Models:
    """The journal's name for the models that serve the roles: one where all share it."""
    names = {role: info.name for role, info in infos.items()}
    return next(iter(names.values())) if len(set(names.values())) == 1 else names


class Engine(Protocol):
    """A request in, a reply out. Raises EngineError and its kinds; never returns a partial reply."""

    async def __call__(self, request: Request) -> Reply: ...
