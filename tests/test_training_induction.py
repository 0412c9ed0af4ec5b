"""The circuit for copying: before any training, what came before is foretold where it comes again."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

VOCABULARY, HIDDEN = 600, 192


def model(
    layers: int, seed: int = 0, tied: bool = False, heads: int = 3, kv_heads: int = 3, head_dim: int = 64
) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    from training.induction import build_in

    torch.manual_seed(seed)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=256,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=tied,
            pad_token_id=0,
        )
    )
    build_in(made, seed)
    return made.eval()


def periods(length: int, whole: int) -> Any:
    """Rows of `length` different tokens (8, whole), that come again until the row is full."""
    random = torch.Generator().manual_seed(length)
    rows = torch.stack([torch.randperm(VOCABULARY - 1, generator=random)[:length] + 1 for _ in range(8)])
    return rows.repeat(1, -(-whole // length))[:, :whole]


@pytest.mark.parametrize("length", [5, 40, 150])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads"), [(3, 3), (4, 2)])
def test_tokens_that_come_again_are_foretold(length: int, dtype: Any, heads: int, kv_heads: int) -> None:
    rows = periods(length, 300)
    with torch.no_grad():
        guessed = model(3, heads=heads, kv_heads=kv_heads).to(dtype)(rows).logits[:, length:-1].argmax(-1)
    assert (guessed == rows[:, length + 1 :]).float().mean() > 0.9


def test_of_places_that_match_that_of_the_same_speaker_is_preferred() -> None:
    """Two speakers say three lines each, all of which open alike; then one of them opens a line."""
    made, right = model(3, heads=4, kv_heads=2), []
    for seed in range(30):
        words = (torch.randperm(VOCABULARY - 1, generator=torch.Generator().manual_seed(seed)) + 1).tolist()
        labels, opening = words[:2], words[2]
        lines = [words[10 + 4 * at : 14 + 4 * at] for at in range(6)]
        said = [token for at, line in enumerate(lines) for token in (labels[at % 2], opening, *line)]
        with torch.no_grad():
            foretold = made(torch.tensor([[*said, labels[seed % 2], opening]])).logits[0, -1].softmax(-1)
        own, other = (foretold[[line[0] for line in lines[side::2]]].sum() for side in (seed % 2, 1 - seed % 2))
        right.append((own / (own + other)).item())
    assert sum(right) / len(right) > 0.7


def test_new_tokens_are_not() -> None:
    rows = periods(300, 300)
    with torch.no_grad():
        guessed = model(3)(rows).logits[:, :-1].argmax(-1)
    assert (guessed == rows[:, 1:]).float().mean() < 0.02


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 192), (2, 96), (1, 128), (16, 12)])
def test_heads_of_any_width_hold_it(heads: int, head_dim: int) -> None:
    rows = periods(20, 60)
    with torch.no_grad():
        made = model(2, heads=heads, kv_heads=heads, head_dim=head_dim)
        assert made(rows, labels=rows).loss.isfinite()


def test_every_weight_learns() -> None:
    made = model(2)
    for _ in range(2):  # layers that add nothing yet get gradients once what they add through has moved
        rows = periods(20, 60)
        made(rows, labels=rows).loss.backward()
        with torch.no_grad():
            for weight in made.parameters():
                weight -= 0.1 * weight.grad
    assert all(weight.grad.abs().sum() > 0 for weight in made.parameters())


@pytest.mark.parametrize(("layers", "tied", "kv_heads"), [(1, False, 3), (2, True, 3), (2, False, 1)])
def test_models_that_cannot_hold_it_are_left_as_they_are(layers: int, tied: bool, kv_heads: int) -> None:
    from transformers import LlamaForCausalLM

    made = model(layers, tied=tied, kv_heads=kv_heads)
    torch.manual_seed(0)
    plain = LlamaForCausalLM(made.config)
    assert all(a.equal(b) for a, b in zip(made.parameters(), plain.parameters(), strict=True))


def test_the_same_seed_gives_the_same_circuit() -> None:
    assert all(a.equal(b) for a, b in zip(model(2).parameters(), model(2).parameters(), strict=True))
    assert (
        not model(2).model.layers[1].self_attn.q_proj.weight.equal(model(2, 1).model.layers[1].self_attn.q_proj.weight)
    )
