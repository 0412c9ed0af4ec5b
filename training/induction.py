"""A circuit for copying in a new model's weights: it looks back from the first step on.

Profiles and documents are of use only to a model that takes up what it has before it. What does that in a trained one
is an induction head (Olsson et al., 2022): a head of one layer tells every token which token it follows, and heads of
the next look for the place where the present token was followed by another, and foretell that one. It comes of itself
in the course of some billions of tokens, and a small model on a few cores sees millions. So a new model starts with
it, as attention has been started near to what training makes of it before (Trockman and Kolter, 2023). Where several
places match, that one is preferred before which the same token stands: what a speaker says of herself is looked for
behind her own label. No weight is held: training makes of the circuit what serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM

LAYERS = 2
"""The circuit is in the first two."""

FAST_PAIRS = 8
"""Pairs of rotated values that turn fastest: they tell neighbours apart, the others hardly do (choice)."""

SLOW = 0.004
"""Radians a token: what turns less carries which token it is, up to some hundred tokens away (choice)."""

PREFER, ALSO = 3, 2.0
"""One value in so many of a matching head compares the tokens before; and how strongly (choices, tried as below)."""

CONSTANT, BEFORE, MATCH, FOLLOWED, FORETOLD, LOUD = 4.0, 1.5, 2.0, 1.5, 6.0, 0.03
"""Strengths (choices, tried on words that come again: 96 % of them are foretold): a value that all embeddings share,
how sharply a head looks at the token before and at tokens that match, what each of the heads writes, and the output
embeddings. An input embedding's deviation is 1: beside it, what the layers write in their first steps is small."""


def build_in(model: LlamaForCausalLM, seed: int) -> None:
    """Writes the circuit into a model of random weights; all else that layers add to the stream starts at nothing.

    An embedding becomes one shared value, the token (all of one length, so that none is louder), and rooms for the
    token before and the one before that; an output embedding is the token alone. Models of a single layer, those whose
    input and output embeddings are one, and those with less than two heads of keys are left as they are.
    """
    import torch

    config = model.config
    if len(model.model.layers) < LAYERS or config.tie_word_embeddings or config.num_key_value_heads < 2:
        return
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    embedding, output = model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data
    room = min(model.model.layers[0].self_attn.head_dim, (embedding.shape[1] - 1) // 4)
    end = embedding.shape[1] - 2 * room
    token = slice(1, end)
    known = embedding[:, token]
    width = known.shape[1]
    known *= width**0.5 / known.norm(dim=1, keepdim=True).clamp(min=1e-6)  # that of <pad> is nothing
    embedding[:, 0] = CONSTANT
    embedding[:, end:] = 0.0
    output.zero_()
    output[:, token] = LOUD * known
    random = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(width, width, generator=random)).Q
    rooms = slice(end, end + room), slice(end + room, end + 2 * room)
    for head, back in enumerate(rooms):
        _look_before(model, head, head + 1, directions[:room], token, back)
    _look_for_matches(model, directions, token, rooms)


def _turns(model: LlamaForCausalLM) -> torch.Tensor:
    """Radians a token of each pair of rotated values, fastest first."""
    turns: torch.Tensor = model.model.rotary_emb.inv_freq
    return turns


def _look_before(
    model: LlamaForCausalLM, head: int, back: int, directions: torch.Tensor, token: slice, room: slice
) -> None:
    """A head of the first layer copies the token so many tokens back into the room kept for it."""
    attention, turns = model.model.layers[0].self_attn, _turns(model)
    size, fast = attention.head_dim, min(FAST_PAIRS, len(turns))
    asking, kept = head * attention.num_key_value_groups * size, head * size
    query = attention.q_proj.weight.data[asking : asking + size]
    key, value = (part.weight.data[kept : kept + size] for part in (attention.k_proj, attention.v_proj))
    for weights in (query, key, value):
        weights.zero_()
    # rotated, these are parallel where the query is `back` tokens on
    query[:fast, 0] = BEFORE * (back * turns[:fast]).cos()
    query[size // 2 : size // 2 + fast, 0] = -BEFORE * (back * turns[:fast]).sin()
    key[:fast, 0] = BEFORE
    value[: len(directions), token] = directions
    attention.o_proj.weight.data[room, asking : asking + len(directions)].fill_diagonal_(FOLLOWED)


def _look_for_matches(
    model: LlamaForCausalLM, directions: torch.Tensor, token: slice, rooms: tuple[slice, slice]
) -> None:
    """Heads of the second layer attend to what has followed the present token, and foretell it.

    Of several such places they prefer those where the token before is the same, too. Of heads that share their keys it
    is the first. Never all heads: some stay free.
    """
    attention, turns = model.model.layers[1].self_attn, _turns(model)
    size, width = attention.head_dim, len(directions)
    before, earlier = rooms
    room = before.stop - before.start
    slow = [pair + half for half in (0, size // 2) for pair, turn in enumerate(turns.tolist()) if turn < SLOW]
    for head in range(min(model.config.num_key_value_heads, max(1, model.config.num_attention_heads // 2))):
        kept = slice(head * size, (head + 1) * size)
        first = head * attention.num_key_value_groups * size
        asking = slice(first, first + size)
        query = attention.q_proj.weight.data[asking]
        key, value = (part.weight.data[kept] for part in (attention.k_proj, attention.v_proj))
        for weights in (query, key, value):
            weights.zero_()
        for place, at in enumerate(slow, head * len(slow)):
            if place % PREFER:
                query[at, token] = MATCH * directions[place % room]
                key[at, before.start + place % room] = MATCH
            else:
                query[at, before.start + place % room] = ALSO
                key[at, earlier.start + place % room] = ALSO
        spoken = directions[[at % width for at in range(kept.start, kept.stop)]]
        value[:, token] = spoken
        attention.o_proj.weight.data[token, asking] = FORETOLD * spoken.T
