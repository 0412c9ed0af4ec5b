"""Any causal model through transformers: its own code, batched, over keys and values that lie in slots.

A row's bits must not depend on its company, and foreign code promises nothing of the kind. So every forward pass has
one of few shapes, which the row's own position decides:
1. prompts are read one at a time in tiles of TILE positions, over the keys of `capacity_for` the tile's end;
2. generated tokens go in batches of one of few `sizes`, those of one capacity together; idle places hold a token that
   nobody asked for;
3. an adapter's low-rank products are computed for the whole pass and added to its rows alone.
Whether all this holds for a model, and whether it is the model's own arithmetic, `trial` finds out when it is loaded;
`alone` serves those for which it does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from synthesis.server.model import Part
from synthesis.server.slots import Slots, capacity_for

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.server.lowrank import Company

TILE = 64


class General:
    """A causal model of transformers, many sequences at a time; `inner` is on its device, in evaluation mode."""

    path = "transformers"
    reuses = True

    def __init__(self, inner: Any, company: Company, sizes: Sequence[int]) -> None:
        """`sizes`: rows of a step, ascending."""
        self._inner, self._company, self.sizes = inner, company, sizes
        self._config = inner.config.get_text_config()
        self._heads_chosen = "logits_to_keep" in inspect.signature(inner.forward).parameters

    def room(self, slots: int) -> Slots:
        """Empty slots."""
        return Slots(slots)

    def prefill(self, parts: Sequence[Part], cache: Slots) -> list[Tensor]:
        """Read prompts into their slots, one after the other; logits of the last position, or of all."""
        return [self._read(part, cache) for part in parts]

    def _read(self, part: Part, cache: Slots) -> Tensor:
        end = part.start + len(part.tokens)
        rows: list[Tensor] = []
        for base in range(part.start // TILE * TILE, end, TILE):
            low, high = max(part.start, base), min(end, base + TILE)
            tile = torch.zeros(2, 1, TILE, dtype=torch.int64)
            tile[0, 0, low - base : high - base] = torch.tensor(part.tokens[low - part.start : high - part.start])
            tile[1, 0, low - base : high - base] = torch.arange(low, high)
            real = torch.zeros(1, TILE, dtype=torch.bool)
            real[0, low - base : high - base] = True
            chosen = None if part.everywhere else high - 1 - base
            logits = self._pass(tile, real, [part.slot], [part.adapter], capacity_for(base + TILE), cache, chosen)[0]
            rows.append(logits[low - base : high - base] if part.everywhere else logits)
        return torch.cat(rows) if part.everywhere else rows[-1]

    def ahead(self, place: int) -> int:
        """No guesses: another number of tokens in a pass may change their bits."""
        return 0

    def decode(
        self, tokens: Sequence[Sequence[int]], positions: Sequence[int], cache: Slots, adapters: Sequence[int] = ()
    ) -> Tensor:
        """One step for the sequences in slots 0, 1, ...: newest tokens in, float32 logits [rows, vocabulary] out."""
        alike: dict[int, list[int]] = {}
        for slot, place in enumerate(positions):
            alike.setdefault(capacity_for(place + 1), []).append(slot)
        found: dict[int, Tensor] = {}
        for capacity, slots in alike.items():
            for first in range(0, len(slots), self.sizes[-1]):
                some = slots[first : first + self.sizes[-1]]
                idle = min(size for size in self.sizes if size >= len(some)) - len(some)
                pairs = [(tokens[slot][0], positions[slot]) for slot in some] + [(0, 0)] * idle
                real = torch.tensor([[True]] * len(some) + [[False]] * idle)
                carried = [adapters[slot] if adapters else 0 for slot in some] + [0] * idle
                given = torch.tensor(pairs).T[..., None]
                logits = self._pass(given, real, some + some[:1] * idle, carried, capacity, cache, chosen=0)
                found.update(zip(some, logits[:, 0], strict=False))
        return torch.stack([found[slot] for slot in range(len(tokens))])

    def _pass(
        self,
        given: Tensor,
        real: Tensor,
        slots: Sequence[int],
        adapters: Sequence[int],
        capacity: int,
        cache: Slots,
        chosen: int | None = None,
    ) -> Tensor:
        """Logits [rows, tokens, vocabulary], or at `chosen` alone; `given`: ids and places [2, rows, tokens].

        Tokens that are not `real` are computed like the others and written nowhere.
        """
        device = self._inner.device
        ids, places = given.to(device)
        cache.aim(slots, places, real.to(device), capacity)
        self._company.seat(adapters, ids.shape[1], device)
        wanted: dict[str, Any] = {}
        if chosen is not None and self._heads_chosen:
            wanted["logits_to_keep"] = torch.tensor([chosen], device=device)
        logits: Tensor = self._inner(
            input_ids=ids,
            position_ids=places,
            attention_mask=self._masks(places, capacity),
            past_key_values=cache.cache,
            use_cache=True,
            **wanted,
        ).logits
        if chosen is not None and not wanted:
            logits = logits[:, chosen : chosen + 1]
        return logits.float().cpu()

    def _masks(self, places: Tensor, capacity: int) -> Any:
        """What tokens at these places see of a slot, 0 or the least number: [rows, 1, tokens, capacity].

        By kind of layer where a model has several kinds.
        """
        config = self._config
        window = (getattr(config, "sliding_window", None) or 0) * bool(getattr(config, "use_sliding_window", True))
        kinds = set(getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"])
        keys = torch.arange(capacity, device=places.device)
        here = places[..., None]
        masks: dict[str, Tensor] = {}
        for kind in kinds:
            seen = keys <= here
            if kind == "sliding_attention":
                seen &= here - keys < window
            elif kind == "chunked_attention":
                seen &= keys // config.attention_chunk_size == here // config.attention_chunk_size
            elif kind != "full_attention":
                raise ValueError(f"layers of the kind {kind} have no keys to mask")
            least = torch.finfo(self._inner.dtype).min
            masks[kind] = torch.zeros(seen.shape, dtype=self._inner.dtype, device=seen.device).masked_fill(
                ~seen, least
            )
        shaped = {kind: mask[:, None] for kind, mask in masks.items()}
        return shaped if len(shaped) > 1 else next(iter(shaped.values()))
