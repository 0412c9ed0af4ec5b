"""The forward pass against transformers' own, and bits that do not depend on company."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from synthesis.errors import UserError
from synthesis.server.cache import KeyValues
from synthesis.server.model import Llama, Part
from synthesis.server.weights import build
from tests.serving import tiny_folder

SHAPES: list[dict[str, Any]] = [
    {},
    {"kv_heads": 2, "tied": False, "intermediate": 96},
    {"hidden": 48, "heads": 3, "kv_heads": 1, "attention_bias": True, "mlp_bias": True},
    {"rope": "llama3"},
    {"rope": "linear"},
]
ROPES = {
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def shaped(tmp_path: Path, shape: dict[str, Any]) -> Path:
    from tests.tiny_model import make_tiny_model

    rest = {key: value for key, value in shape.items() if key != "rope"}
    if "rope" in shape:
        rest["rope_parameters"] = ROPES[shape["rope"]]
    return make_tiny_model(tmp_path / "model", **rest)


def ids(count: int, seed: int = 0) -> list[int]:
    return torch.randint(0, 384, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def read(model: Llama, tokens: Sequence[int], *, cuts: Sequence[int] = ()) -> torch.Tensor:
    """Logits at all positions, the prompt read in pieces that end at `cuts`."""
    with torch.inference_mode():
        cache = KeyValues(model.shape, 4, model.kind)
        cache.fit(len(tokens), 0)
        cache.open(0, len(tokens))
        edges = [0, *cuts, len(tokens)]
        parts = [Part(0, low, tokens[low:high], True) for low, high in pairwise(edges)]
        return torch.cat([model.prefill([part], cache)[0] for part in parts])


def step_by_step(model: Llama, tokens: Sequence[int], begin: int, company: int = 0) -> torch.Tensor:
    """Logits from position `begin` on, one token at a time, with so many other sequences in the batch."""
    with torch.inference_mode():
        cache = KeyValues(model.shape, 65, model.kind)
        cache.fit(begin, 0)
        prompts = [tokens[:begin], *(ids(3 + 11 * other % 300, other + 1) for other in range(company))]
        cache.fit(max(map(len, prompts)), 0)
        for slot, prompt in enumerate(prompts):
            cache.open(slot, len(prompt))
        model.prefill([Part(slot, 0, prompt) for slot, prompt in enumerate(prompts)], cache)
        rows: list[torch.Tensor] = []
        for place in range(begin, len(tokens)):
            places = [place, *(len(prompt) + place - begin for prompt in prompts[1:])]
            cache.fit(max(places) + 1, len(prompts))
            rows.append(model.decode([[tokens[place]], *[[7]] * company], places, cache)[0])
        return torch.stack(rows)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_agrees_with_transformers(tmp_path: Path, shape: dict[str, Any]) -> None:
    from transformers import LlamaForCausalLM

    folder = shaped(tmp_path, shape)
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = ids(150)
    with torch.no_grad():
        wanted = theirs(torch.tensor([tokens])).logits[0]
    model = build(folder, "float32")
    torch.testing.assert_close(read(model, tokens).clone(), wanted, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(step_by_step(model, tokens, 60).clone(), wanted[60:], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_reading_in_pieces_changes_no_bit(dtype: str) -> None:
    model = build(tiny_folder(), dtype)
    whole = read(model, ids(200))
    for cuts in ([16], [64], [16, 80, 96], [176], [1, 2, 3]):
        assert torch.equal(read(model, ids(200), cuts=cuts), whole)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_company_changes_no_bit(dtype: str) -> None:
    model = build(tiny_folder(), dtype)
    alone = step_by_step(model, ids(110), 40)
    for company in (1, 3, 8, 20, 40, 63):
        assert torch.equal(step_by_step(model, ids(110), 40, company), alone)


@pytest.mark.parametrize("company", [0, 5])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0], ids="{:.0%} come true".format)
def test_guesses_change_no_bit(rate: float, company: int) -> None:
    """True guesses are taken for what they are, wrong ones leave nothing behind; others in the batch guess, too."""
    model, tokens, rng = build(tiny_folder(), "bfloat16"), ids(200), Random(1)
    alone = step_by_step(model, tokens, 40)
    with torch.inference_mode():
        cache = model.room(8)
        prompts = [tokens[:40], *(ids(30 + 9 * other, other + 1) for other in range(company))]
        for slot, prompt in enumerate(prompts):
            cache.open(slot, len(prompt))
        model.prefill([Part(slot, 0, prompt) for slot, prompt in enumerate(prompts)], cache)
        place, steps = 40, 0
        while place < len(tokens):
            most = min(model.ahead(place), len(tokens) - place - 1)
            true = [rng.random() < rate for _ in range(most)]
            guesses = [token if right else 9 for right, token in zip(true, tokens[place + 1 :], strict=False)]
            others = [[7, *[5] * rng.randint(0, model.ahead(len(prompt) + steps))] for prompt in prompts[1:]]
            places = [place, *(len(prompt) + steps for prompt in prompts[1:])]
            rows = model.decode([[tokens[place], *guesses], *others], places, cache)
            taken = next((at for at, right in enumerate(true) if not right), most)
            assert torch.equal(rows[: taken + 1], alone[place - 40 : place - 40 + taken + 1])
            place, steps = place + taken + 1, steps + 1
        # a machine that gives several queries at once other bits guesses nothing
        assert steps < 160 if rate and model.ahead(40) else steps == 160


def test_strict_rows_give_the_same_numbers() -> None:
    model = build(tiny_folder(), "float32")
    loose = read(model, ids(100)).clone()
    model.strict = True  # as on a machine where shapes change bits
    torch.testing.assert_close(read(model, ids(100)).clone(), loose, atol=1e-5, rtol=1e-5)
    assert torch.equal(read(model, ids(100), cuts=[48]), read(model, ids(100)))


def test_bfloat16_is_near_float32() -> None:
    close, exact = (read(build(tiny_folder(), dtype), ids(80)) for dtype in ("bfloat16", "float32"))
    assert (close - exact).abs().max() < 0.15 * exact.std()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, "no plain Llama: it is a GPT2LMHeadModel"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_act": "gelu"}, "uses hidden_act 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "yarn"),
        ({"intermediate_size": 64}, "config.json asks for"),
        ({"num_hidden_layers": 3}, "holds no tensor model.layers.2"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    import json

    folder = shaped(tmp_path, {})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=message):
        build(folder)


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    folder = shaped(tmp_path, {})
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights only"):
        build(folder)


def test_a_difference_in_the_last_bit_is_found() -> None:
    """Float32 products of one row are summed in another order; the comparison must see that."""
    from synthesis.server.agreement import _cancelling

    weight, rows = _cancelling(torch.Generator().manual_seed(0), (256, 256), (64, 256), torch.float32)
    assert (weight.double() @ rows.double().T).abs().max() < 1e-10
    turned = torch.nn.functional.linear(rows.roll(1, 1), weight.roll(1, 1))
    assert (turned.bfloat16() != torch.nn.functional.linear(rows, weight).bfloat16()).float().mean() > 0.5
