"""A model folder and the command line made into a service."""

from __future__ import annotations

import argparse
from typing import Any

from synthesis.embedded_model import adapter_folder, chosen
from synthesis.errors import UserError
from synthesis.server.adapters import parse, read_adapters
from synthesis.server.checkpoint import Shape, digest, read_config, read_shape, unlike_llama
from synthesis.server.foreign import build as foreign
from synthesis.server.foreign import read_sizes
from synthesis.server.forward import Model
from synthesis.server.metrics import Metrics
from synthesis.server.scheduler import Scheduler
from synthesis.server.service import Nature, Service
from synthesis.server.template import ChatTemplate
from synthesis.server.text import Tokenizer
from synthesis.server.validation import Limits
from synthesis.server.weights import build


def load(given: argparse.Namespace) -> Service:
    """Load what `given` names (see `__main__.parser`); raises UserError for what cannot be served."""
    import torch

    folder, name = chosen(given.model)
    unlike = unlike_llama(read_config(folder)) or ("" if given.device == "cpu" else f"it runs on {given.device}")
    vocabulary, context = read_sizes(folder) if unlike else _sizes(read_shape(folder))
    limits = limits_for(given, context)
    torch.set_num_threads(given.threads)
    tokenizer = Tokenizer(folder, vocabulary)
    sources = {one: adapter_folder(source) for one, source in parse(given.lora_adapters).items()}
    adapters = read_adapters(sources, folder, name)
    model: Model[Any] = (
        foreign(folder, given.dtype, given.device, adapters, context)
        if unlike
        else build(folder, given.dtype, adapters)
    )
    metrics = Metrics()
    metrics.set("tgi_batch_max_total_tokens", given.max_batch_size * limits.max_total_tokens)
    scheduler = Scheduler(
        model,
        tokenizer,
        metrics,
        slots=given.max_batch_size,
        prefix_bytes=given.prefix_cache_mb << 20,
        threads=given.threads,
        piece=given.max_batch_prefill_tokens,
        guesses=given.speculate,
    )
    said = Nature(
        model=given.model_id or name,
        sha=digest(folder),
        dtype=given.dtype,
        device=given.device,
        path=model.path,
        reuse=model.reuses and given.prefix_cache_mb > 0,
        adapters=tuple(sources),
    )
    return Service(said, limits, tokenizer, ChatTemplate(folder, tokenizer), scheduler, metrics)


def _sizes(shape: Shape) -> tuple[int, int]:
    """Vocabulary and context in tokens."""
    return shape.vocabulary, shape.context


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
