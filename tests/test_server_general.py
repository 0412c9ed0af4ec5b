"""Models that run through transformers: its own numbers, bits that do not depend on company, and who is refused."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from synthesis.errors import UserError
from synthesis.server.checkpoint import read_config, unlike_llama
from synthesis.server.foreign import build, check_device, read_sizes
from synthesis.server.forward import Model
from synthesis.server.model import Part
from tests.serving import serving
from tests.test_server_batching import answers, asked
from tests.tiny_causal import KINDS, make_tiny_causal

pytestmark = [pytest.mark.usefixtures("one_thread")]
ONE_BY_ONE = ("gpt_neo", "bloom", "mixtral", "mamba", "phi3-longrope")
BATCHED = [kind for kind in KINDS if kind not in (*ONE_BY_ONE, "bert")]
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def folder_of(kind: str) -> Path:
    """A tiny model of this kind, made once."""
    kept = tempfile.TemporaryDirectory(prefix="tiny-causal-", ignore_cleanup_errors=True)
    _KEPT.append(kept)
    return make_tiny_causal(Path(kept.name) / kind, kind)


def loaded(kind: str, dtype: str = "float32") -> Model[Any]:
    return build(folder_of(kind), dtype, "cpu", (), read_sizes(folder_of(kind))[1])


def ids(count: int, seed: int = 0) -> list[int]:
    drawn: list[int] = torch.randint(0, 384, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


def run(
    model: Model[Any], tokens: Sequence[int], begin: int, *, cuts: Sequence[int] = (), company: int = 0
) -> torch.Tensor:
    """Logits at all positions: read up to `begin` in pieces that end at `cuts`, then stepped beside others."""
    with torch.inference_mode():
        room = model.room(16)
        prompts = [tokens[:begin], *(ids(3 + 17 * other, other + 1) for other in range(company))]
        room.fit(max(map(len, prompts)), 0)
        for slot, prompt in enumerate(prompts):
            room.open(slot, len(prompt))
        rows = [
            model.prefill([Part(0, low, tokens[low:high], everywhere=True)], room)[0]
            for low, high in pairwise([0, *cuts, begin])
        ]
        if company:
            model.prefill([Part(slot, 0, prompt) for slot, prompt in enumerate(prompts) if slot], room)
        for place in range(begin, len(tokens)):
            places = [place, *(len(prompt) + place - begin for prompt in prompts[1:])]
            room.fit(max(places) + 1, len(prompts))
            rows.append(model.decode([[tokens[place]], *[[7]] * company], places, room)[:1])
        return torch.cat(rows)


@pytest.mark.filterwarnings("ignore")  # transformers on kernels that are not installed
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bert"])
def test_float32_agrees_with_transformers(kind: str) -> None:
    """Over the edges of tiles (64), capacities (128) and windows (20 to 50)."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder_of(kind), dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids(150)])).logits[0]
    model = loaded(kind)
    assert model.reuses == (kind not in ONE_BY_ONE)
    torch.testing.assert_close(run(model, ids(150), 120).clone(), wanted, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "dtype"), [*((kind, "bfloat16") for kind in BATCHED), ("gpt2", "float32"), ("gemma2", "float32")]
)
def test_company_and_pieces_change_no_bit(kind: str, dtype: str) -> None:
    model = loaded(kind, dtype)
    assert model.path == "transformers"
    alone = run(model, ids(132), 118)
    assert torch.equal(run(model, ids(132), 118, company=9), alone)
    assert torch.equal(run(model, ids(132), 118, cuts=[16, 64, 100]), alone)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ONE_BY_ONE)
def test_sequences_that_never_meet_change_no_bit(kind: str) -> None:
    model = loaded(kind, "bfloat16")
    assert model.path == "transformers, one sequence at a time"
    assert torch.equal(run(model, ids(90), 80, company=3), run(model, ids(90), 80))


@pytest.mark.parametrize(("kind", "reuse"), [("gpt2", True), ("mixtral", False)])
async def test_the_same_request_writes_the_same_bytes(kind: str, reuse: bool) -> None:
    """Through the whole server: alone, together, arriving one by one, with known beginnings and without."""
    places, folder = range(12), folder_of(kind)
    async with serving("--prefix-cache-mb", "0", "--max-batch-size", "1", folder=folder) as served:
        alone = [await served.generate(**asked(place)) for place in places]
    assert len({answer["generated_text"] for answer in alone}) > 6
    async with serving("--max-batch-prefill-tokens", "23", folder=folder) as served:  # what may be cut, is
        assert await answers(served, places) == alone
    async with serving("--max-batch-size", "12", folder=folder) as served:
        assert await answers(served, places) == alone
        assert await answers(served, places, pause=0.02) == alone
        skipped = float(served.service.metrics.text().split("tgi_request_skipped_tokens_sum ")[1].split()[0])
        assert (skipped > 0) == reuse
        async with served.session.get(served.url + "/info") as answer:
            info = await answer.json()
    assert (info["prefix_reuse"], info["model_device_type"], info["lora_adapters"]) == (reuse, "cpu", [])
    assert info["forward_pass"] == ("transformers" if reuse else "transformers, one sequence at a time")


async def test_greedy_grammar_and_prefill_details_of_gpt2() -> None:
    from transformers import AutoModelForCausalLM

    folder = folder_of("gpt2")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    async with serving("--dtype", "float32", folder=folder) as served:
        prompt = "My dog is afraid of thunder"
        plain = await served.generate(prompt, max_new_tokens=9)
        answer = await served.generate(prompt, max_new_tokens=9, decoder_input_details=True)
        bound = await served.generate(prompt, max_new_tokens=9, grammar={"type": "regex", "value": "[ab]{4}"})
        numbers = served.service.tokenizer.encode(prompt)
    assert set(bound["generated_text"]) <= set("ab")
    assert plain["generated_text"] == answer["generated_text"]
    written = [token["id"] for token in plain["details"]["tokens"]]
    with torch.no_grad():
        logprobs = theirs(torch.tensor([numbers + written])).logits[0].log_softmax(-1)
    assert written == logprobs[len(numbers) - 1 : -1].argmax(-1).tolist()
    told = [token["logprob"] for token in answer["details"]["prefill"][1:]]
    expected = logprobs[: len(numbers) - 1].gather(1, torch.tensor(numbers)[1:, None])[:, 0]
    assert told == pytest.approx(expected.tolist(), abs=1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'"),
        ({"partial_rotary_factor": 0.5}, "rotates a part"),
        ({"model_type": "mistral"}, "sliding windows"),  # 4,096 wide when config.json is silent
        ({"model_type": "mistral", "sliding_window": None}, ""),
        ({"model_type": "qwen2", "use_sliding_window": True}, "sliding windows"),
        ({"model_type": "qwen2", "use_sliding_window": False}, ""),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
    ],
)
def test_which_way_a_configuration_goes(change: dict[str, Any], reason: str) -> None:
    told = unlike_llama({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", **change})
    assert (reason in told) if reason else not told


@pytest.mark.parametrize("kind", ["qwen2", "mistral"])
def test_near_relatives_take_the_fast_way(kind: str) -> None:
    from transformers import AutoModelForCausalLM

    from synthesis.server.weights import build as fast

    folder = folder_of(kind)
    assert not unlike_llama(read_config(folder))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids(150)])).logits[0]
    torch.testing.assert_close(run(fast(folder, "float32"), ids(150), 120).clone(), wanted, atol=2e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_models_that_cannot_be_served_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a BertLMHeadModel, whose replies would be wrong here"):
        loaded("bert")
    partial = Path(shutil.copytree(folder_of("gpt2"), tmp_path / "partial"))
    config = json.loads((partial / "config.json").read_text())
    (partial / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(UserError, match=r"its weights lack transformer\.h\.2"):
        build(partial, "float32", "cpu", (), 512)
    (partial / "config.json").write_text(json.dumps({**config, "model_type": "t5", "architectures": ["T5Model"]}))
    with pytest.raises(UserError, match="cannot be opened as a causal model"):
        build(partial, "float32", "cpu", (), 512)
    (partial / "config.json").write_text(json.dumps({**config, "model_type": "unheard"}))
    with pytest.raises(UserError, match="no model that transformers knows"):
        read_sizes(partial)
    (partial / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
    with pytest.raises(UserError, match="quantised"):
        read_config(partial)


def test_devices_that_are_not_here_are_refused() -> None:
    for device in ("tpu", "cuda:x", "cpu:1", "cuda:99"):
        with pytest.raises(UserError, match=f"--device '?{device}"):
            check_device(device)
    check_device("cpu")


async def test_an_older_tokenizer_is_converted(tmp_path: Path) -> None:
    """GPT-2's vocabulary and merges, as checkpoints had them before tokenizer.json."""
    from synthesis.server.text import Tokenizer

    folder = Path(shutil.copytree(folder_of("gpt2"), tmp_path / "old"))
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(stored["model"]["vocab"]))
    merges = [" ".join(pair) for pair in stored["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "GPT2Tokenizer",
                "eos_token": "<|im_end|>",
                "bos_token": "<|begin|>",
                "unk_token": "<|pad|>",
            }
        )
    )
    old, new = Tokenizer(folder, 384), Tokenizer(folder_of("gpt2"), 384)
    text = "Größe, naïve: My dog is afraid of thunder."
    assert old.encode(text) == new.encode(text)
    assert old.decode(old.encode(text)) == text
    (folder / "merges.txt").unlink()
    (folder / "vocab.json").write_text("[]")
    with pytest.raises(UserError, match="older files make none"):
        Tokenizer(folder, 384)
