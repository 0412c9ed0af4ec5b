"""A model folder and the command line made into a service."""

from __future__ import annotations

import argparse

from synthesis.embedded_model import chosen
from synthesis.errors import UserError
from synthesis.server.checkpoint import digest, read_shape
from synthesis.server.metrics import Metrics
from synthesis.server.scheduler import Scheduler
from synthesis.server.service import Service
from synthesis.server.template import ChatTemplate
from synthesis.server.text import Tokenizer
from synthesis.server.validation import Limits
from synthesis.server.weights import build


def load(given: argparse.Namespace) -> Service:
    """Load what `given` names (see `__main__.parser`); raises UserError for what cannot be served."""
    import torch

    folder, name = chosen(given.model)
    shape = read_shape(folder)
    limits = limits_for(given, shape.context)
    torch.set_num_threads(given.threads)
    tokenizer = Tokenizer(folder, shape.vocabulary)
    metrics = Metrics()
    metrics.set("tgi_batch_max_total_tokens", given.max_batch_size * limits.max_total_tokens)
    scheduler = Scheduler(
        build(folder, given.dtype),
        tokenizer,
        metrics,
        slots=given.max_batch_size,
        prefix_bytes=given.prefix_cache_mb << 20,
        threads=given.threads,
    )
    template = ChatTemplate(folder, tokenizer)
    return Service(given.model_id or name, digest(folder), limits, tokenizer, template, scheduler, metrics)


def limits_for(given: argparse.Namespace, context: int) -> Limits:
    """The limits asked for, within the model's context in tokens."""
    total = given.max_total_tokens or context
    if not 2 <= total <= context:
        raise UserError(f"--max-total-tokens must be between 2 and {context}, the model's context, got {total}")
    longest = given.max_input_tokens or total - 1
    if longest >= total:
        raise UserError(f"--max-input-tokens must be less than --max-total-tokens ({total}), got {longest}")
    return Limits(
        max_input_tokens=longest,
        max_total_tokens=total,
        max_concurrent_requests=given.max_concurrent_requests,
        max_best_of=given.max_best_of,
        max_stop_sequences=given.max_stop_sequences,
        max_top_n_tokens=given.max_top_n_tokens,
        max_client_batch_size=given.max_client_batch_size,
    )
