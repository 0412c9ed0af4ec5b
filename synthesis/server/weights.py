"""Stored tensors put into the shape the forward pass wants: fused, scaled, padded, in the serving precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthesis.errors import UserError
from synthesis.server.adapters import Adapter, LowRank, misfit, unknown
from synthesis.server.checkpoint import SUPPORTED, Rope, Shape, read_shape, read_weights
from synthesis.server.model import Layer, Linear, Llama
from synthesis.server.products import packed

if TYPE_CHECKING:
    from torch import Tensor, dtype

LANES = 64  # a row of the feed-forward layer is a whole number of vector registers, so no element is a remainder


def build(folder: Path, precision: str = "bfloat16", adapters: Sequence[Adapter] = ()) -> Llama:
    """The model in `folder`, in "bfloat16" or "float32", with adapters 1, 2, ... beside it.

    Raises UserError when the folder holds no plain Llama, and for an adapter that is none of its own.
    """
    import torch

    kind = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
    shape = read_shape(folder)
    with torch.inference_mode():
        stored = _Stored(read_weights(folder), folder, kind, adapters)
        layers = [_layer(stored, shape, number) for number in range(shape.layers)]
        embedding = stored.take("model.embed_tokens.weight", (shape.vocabulary, shape.hidden))
        gain = stored.gain("model.norm.weight", shape.hidden)
        stored.refuse_unused()
        head = embedding if shape.tied else stored.take("lm_head.weight", tuple(embedding.shape))
        head = packed((head * gain).to(kind))
        return Llama(shape, layers, embedding.to(kind), Linear(head), rotation(shape, kind))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored layer inside a served one: its module's path, its sizes, rows of padding under it, and a factor."""

    module: str
    inside: int
    out: int
    spare: int = 0
    scale: float = 1.0


class _Stored:
    """The tensors of a folder, taken by name in float32, with their shapes checked."""

    def __init__(
        self, tensors: dict[str, Tensor], folder: Path, kind: dtype, adapters: Sequence[Adapter] = ()
    ) -> None:
        self._tensors, self._folder, self.kind, self._adapters = tensors, folder, kind, adapters
        self._used: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise UserError(f"{self._folder} holds no tensor {name}: its weights are not those of a {SUPPORTED}")
        if tuple(tensor.shape) != shape:
            raise UserError(
                f"{self._folder}: tensor {name} is {tuple(tensor.shape)}, but config.json asks for {shape}"
            )
        return tensor.float()

    def pair(self, name: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A weight and its bias; zeros where there is no bias."""
        import torch

        bias = self.take(f"{name}.bias", shape[:1]) if f"{name}.bias" in self._tensors else torch.zeros(shape[0])
        return self.take(f"{name}.weight", shape), bias

    def gain(self, name: str, width: int) -> Tensor:
        """What a norm multiplies by, with the root of the width: `Llama` divides by a row's length alone."""
        return self.take(name, (width,)) * math.sqrt(width)

    def linear(self, weight: Tensor, bias: Tensor, *pieces: Piece, gain: Tensor | None = None) -> Linear:
        """A layer as it is served, the `gain` of the norm before it inside.

        `pieces` name the stored layers in it, one under the other.
        """
        import torch

        gain = torch.ones(weight.shape[1]) if gain is None else gain
        lows = tuple(self._low_rank(adapter, gain, pieces) for adapter in self._adapters)
        return Linear(
            packed((weight * gain).to(self.kind).contiguous()), bias.to(self.kind) if bias.any() else None, lows
        )

    def _low_rank(self, adapter: Adapter, gain: Tensor, pieces: Sequence[Piece]) -> LowRank | None:
        """What an adapter adds to all pieces at once: their A one under the other, their B along the diagonal."""
        import torch
        from torch.nn.functional import pad

        downs: list[Tensor] = []
        ups: list[Tensor] = []
        for piece in pieces:
            self._used.add(piece.module)
            part = adapter.parts.get(piece.module)
            if part is None:
                ups.append(torch.zeros(piece.out + piece.spare, 0))
                continue
            if part.down.shape[1] != piece.inside or len(part.up) != piece.out:
                raise misfit(adapter.name, piece.module, part, piece.inside, piece.out)
            downs.append(pad(part.down, (0, len(gain) - piece.inside)) * gain)
            ups.append(pad(part.up * piece.scale, (0, 0, 0, piece.spare)))
        if not downs:
            return None
        diagonal: Tensor = torch.block_diag(*ups)  # type: ignore[no-untyped-call]
        return LowRank(packed(torch.cat(downs).to(self.kind)), packed(diagonal.to(self.kind)))

    def refuse_unused(self) -> None:
        """Raise UserError for an adapter that changes what is not here, or not served with adapters."""
        for adapter in self._adapters:
            for module in adapter.parts:
                if module not in self._used:
                    raise unknown(adapter.name, module, "which is no linear layer of this model's blocks")


def _layer(stored: _Stored, shape: Shape, number: int) -> Layer:
    import torch
    from torch.nn.functional import pad

    at = f"model.layers.{number}"
    attention, feed = f"{at}.self_attn", f"{at}.mlp"
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    query, query_bias = stored.pair(f"{attention}.q_proj", (wide, shape.hidden))
    key, key_bias = stored.pair(f"{attention}.k_proj", (narrow, shape.hidden))
    value, value_bias = stored.pair(f"{attention}.v_proj", (narrow, shape.hidden))
    gate, gate_bias = stored.pair(f"{feed}.gate_proj", (shape.intermediate, shape.hidden))
    up, up_bias = stored.pair(f"{feed}.up_proj", (shape.intermediate, shape.hidden))
    down, down_bias = stored.pair(f"{feed}.down_proj", (shape.hidden, shape.intermediate))
    out, out_bias = stored.pair(f"{attention}.o_proj", (shape.hidden, wide))
    scale = shape.head_dim**-0.5  # the attention's scale goes into the query weights
    spare = -shape.intermediate % LANES
    return Layer(
        mix=stored.linear(
            torch.cat((query * scale, key, value)),
            torch.cat((query_bias * scale, key_bias, value_bias)),
            Piece(f"{attention}.q_proj", shape.hidden, wide, scale=scale),
            Piece(f"{attention}.k_proj", shape.hidden, narrow),
            Piece(f"{attention}.v_proj", shape.hidden, narrow),
            gain=stored.gain(f"{at}.input_layernorm.weight", shape.hidden),
        ),
        out=stored.linear(out, out_bias, Piece(f"{attention}.o_proj", wide, shape.hidden)),
        widen=stored.linear(
            torch.cat((pad(gate, (0, 0, 0, spare)), pad(up, (0, 0, 0, spare)))),
            torch.cat((pad(gate_bias, (0, spare)), pad(up_bias, (0, spare)))),
            Piece(f"{feed}.gate_proj", shape.hidden, shape.intermediate, spare),
            Piece(f"{feed}.up_proj", shape.hidden, shape.intermediate, spare),
            gain=stored.gain(f"{at}.post_attention_layernorm.weight", shape.hidden),
        ),
        narrow=stored.linear(
            pad(down, (0, spare)), down_bias, Piece(f"{feed}.down_proj", shape.intermediate, shape.hidden)
        ),
    )


def frequencies(rope: Rope, width: int) -> list[float]:
    """Radians per position of each of the `width` / 2 pairs (Su et al. 2021; llama3 rescaling as in Llama 3.1)."""
    plain = [rope.theta ** (-2 * pair / width) for pair in range(width // 2)]
    if rope.kind == "default":
        return plain
    if rope.kind == "linear":
        return [value / rope.factor for value in plain]
    scaled: list[float] = []
    for value in plain:
        turns = rope.original * value / (2 * math.pi)
        smooth = min(1.0, max(0.0, (turns - rope.low) / (rope.high - rope.low)))
        scaled.append(value * (smooth + (1 - smooth) / rope.factor))
    return scaled


def rotation(shape: Shape, kind: dtype) -> Tensor:
    """Cosines and signed sines of every position, [2, context, 1, head_dim]."""
    import torch

    step = torch.tensor(frequencies(shape.rope, shape.head_dim), dtype=torch.float64)
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * step
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cosine, cosine), -1), torch.cat((-sine, sine), -1)))[:, :, None].to(kind)
