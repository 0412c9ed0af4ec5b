"""The rules a request must keep, in the order in which TGI tests them, with its words."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from synthesis.server.protocol import GenerateRequest, Parameters, invalid
from synthesis.server.sampling import Sampling

CHUNK = 1024  # TGI counts at most so many new tokens against the budget, and asks for more when they are written


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes; the values of /info. Tokens, requests, sequences."""

    max_input_tokens: int
    max_total_tokens: int
    max_concurrent_requests: int = 128
    max_best_of: int = 2
    max_stop_sequences: int = 4
    max_top_n_tokens: int = 5
    max_client_batch_size: int = 4
    validation_workers: int = 2


def check_parameters(request: GenerateRequest, limits: Limits) -> None:
    """Everything that can be said without the tokens; raises Refused with the first rule that is broken."""
    given = request.parameters
    best_of = given.best_of or 1
    if best_of > limits.max_best_of:
        raise invalid(f"`best_of` must be > 0 and <= {limits.max_best_of}. Given: {best_of}")
    if request.stream and best_of != 1:
        raise invalid("`best_of` != 1 is not supported when streaming tokens")
    if request.stream and given.decoder_input_details:
        raise invalid("`decoder_input_details` == true is not supported when streaming tokens")
    if best_of > 1 and not given.sampling:
        raise invalid("you must use sampling when `best_of` is > 1")
    _check_warping(given)
    if given.max_new_tokens == 0:
        raise invalid("`max_new_tokens` must be strictly positive")
    if len(given.stop) > limits.max_stop_sequences:
        raise invalid(f"`stop` supports up to {limits.max_stop_sequences} stop sequences. Given: {len(given.stop)}")
    if given.seed is not None and best_of > 1:
        raise invalid("`seed` must not be set when `best_of` > 1")
    if given.top_n_tokens is not None and given.top_n_tokens > limits.max_top_n_tokens:
        raise invalid(f"`top_n_tokens` must be >= 0 and <= {limits.max_top_n_tokens}. Given: {given.top_n_tokens}")
    if not request.inputs:
        raise invalid("`inputs` cannot be empty")
    if given.truncate is not None and not 0 < given.truncate <= limits.max_input_tokens:
        most = limits.max_input_tokens
        raise invalid(f"`truncate` must be strictly positive and less than {most}. Given: {given.truncate}")


def _check_warping(given: Parameters) -> None:
    if given.temperature is not None and given.temperature <= 0:
        raise invalid("`temperature` must be strictly positive")
    if given.repetition_penalty is not None and given.repetition_penalty <= 0:
        raise invalid("`repetition_penalty` must be strictly positive")
    if given.frequency_penalty is not None and not -2 <= given.frequency_penalty <= 2:
        raise invalid("`frequency_penalty` must be >= -2.0 and <= 2.0")
    if given.top_p is not None and not 0 < given.top_p < 1:
        raise invalid("`top_p` must be > 0.0 and < 1.0")
    if given.typical_p is not None and not 0 < given.typical_p < 1:
        raise invalid("`typical_p` must be > 0.0 and < 1.0")
    if given.top_k is not None and given.top_k <= 0:
        raise invalid("`top_k` must be strictly positive")


def check_budget(given: Parameters, tokens: int, limits: Limits) -> int:
    """How many tokens a prompt of `tokens` may write; raises Refused when prompt and reply do not fit."""
    total = limits.max_total_tokens
    asked = given.max_new_tokens if given.max_new_tokens is not None else max(0, total - tokens)
    counted = min(asked, CHUNK)
    if tokens + counted > total:
        raise invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {total}. "
            f"Given: {tokens} `inputs` tokens and {counted} `max_new_tokens`"
        )
    if tokens > limits.max_input_tokens:
        raise invalid(f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {tokens}")
    return min(asked, total - tokens)


def sampling(given: Parameters) -> Sampling:
    """How tokens are chosen; a seed nobody gave is drawn here, so that it can be told."""
    seed = given.seed if given.seed is not None else secrets.randbits(64)
    return Sampling(
        sample=given.sampling,
        seed=seed,
        temperature=given.temperature,
        top_k=given.top_k,
        top_p=given.top_p,
        typical_p=given.typical_p,
        repetition_penalty=given.repetition_penalty,
        frequency_penalty=given.frequency_penalty,
        watermark=given.watermark,
    )
