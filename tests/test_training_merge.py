"""Adapters merged into plain checkpoints, and trained models served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from synthesis.embedded_model import chosen
from synthesis.errors import UserError
from tests.serving import serving
from tests.small_training import PEFT
from tests.tiny_adapter import make_adapter
from tests.tiny_model import make_tiny_model
from training.__main__ import main
from training.merge import ADAPTER, WEIGHTS, merge, servable

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.usefixtures("one_thread"), PEFT]
PROMPT = "Do you like to cook?"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(
        tmp_path_factory.mktemp("base") / "tiny", rope_parameters={"rope_type": "default", "rope_theta": 50000.0}
    )


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return make_adapter(tmp_path / "adapter", base)


def logits(model: Any, folder: Path) -> Any:
    import torch
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**ids).logits


def test_the_merged_model_says_what_base_and_adapter_say(adapter: Path, base: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    (adapter / "facts.json").write_text(json.dumps({"steps": 3, "relation": "adapter"}))
    main(["merge", str(adapter), "--out", str(tmp_path / "out")])
    alone = AutoModelForCausalLM.from_pretrained(base)
    before = logits(alone, base)
    both = logits(PeftModel.from_pretrained(alone, adapter), base)
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out"), tmp_path / "out")
    torch.testing.assert_close(merged, both, atol=1e-4, rtol=1e-4)
    assert (merged - before).abs().max() > 0.1
    facts = json.loads((tmp_path / "out" / "facts.json").read_text())
    assert (facts["steps"], facts["relation"], facts["base"]) == (3, "finetune", str(base))


def test_a_merged_folder_is_plain_and_speaks_to_older_readers(adapter: Path, tmp_path: Path) -> None:
    merge(adapter, tmp_path / "out", dtype="bfloat16")
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".json", ".safetensors"}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 50000.0
    assert config["rope_scaling"] is None
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"
    tokenizer = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "<|im_start|>" in tokenizer["chat_template"]
    assert not list(tmp_path.glob(".out*"))


def test_rescaled_positions_keep_their_numbers(tmp_path: Path) -> None:
    from transformers import AutoConfig

    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256}  # fmt: skip
    base = make_tiny_model(tmp_path / "base", rope_parameters=rope)
    merge(make_adapter(tmp_path / "adapter", base), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["rope_scaling"] == {key: value for key, value in rope.items() if key != "rope_theta"}
    read = AutoConfig.from_pretrained(tmp_path / "out").rope_parameters
    assert {key: read[key] for key in rope} == rope


def test_what_cannot_be_merged_is_told(adapter: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=f"is no adapter: it has no {ADAPTER}"):
        merge(base, out)
    with pytest.raises(UserError, match=r"base '.*gone' of .*: cannot be loaded: .*; say where it is by --base"):
        merge(adapter, out, base=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"does not fit base"):
        merge(adapter, out, base=str(make_tiny_model(tmp_path / "wider", hidden=128)))
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match=r"is there already"):
        merge(adapter, out)
    config = json.loads((adapter / ADAPTER).read_text())
    (adapter / ADAPTER).write_text(json.dumps({**config, "task_type": "SEQ_CLS"}))
    with pytest.raises(UserError, match=r"is an adapter for SEQ_CLS"):
        merge(adapter, tmp_path / "other")
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"pickled weights are not opened"):
        merge(adapter, tmp_path / "other")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_merging_again_only_when_the_adapter_has_changed(adapter: Path, base: Path) -> None:
    merged = servable(adapter)
    assert merged == adapter.with_name("adapter-merged")
    first = (merged / "model.safetensors").stat().st_mtime_ns
    assert servable(adapter) == merged
    assert (merged / "model.safetensors").stat().st_mtime_ns == first
    make_adapter(adapter, base, seed=1)
    servable(adapter)
    assert (merged / "model.safetensors").stat().st_mtime_ns != first
    (merged / "facts.json").unlink()
    with pytest.raises(UserError, match=r"is none of ours: move it away"):
        servable(adapter)
    assert servable(base) == base


def test_an_adapter_is_no_model_to_synthesise_with(adapter: Path) -> None:
    with pytest.raises(UserError, match=rf"holds a LoRA adapter.*python -m training merge {adapter} --out DIR"):
        chosen(str(adapter))


@pytest.mark.parametrize(("more", "served_as"), [((), "adapter"), (("--unmerged",), "tiny")])
async def test_a_served_adapter_writes_what_the_adapted_model_writes(
    adapter: Path, base: Path, more: tuple[str, ...], served_as: str
) -> None:
    """`serve` as a process, with the server's own flags behind the checkpoint; greedy, in 32 bits."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    ids = tokenizer(PROMPT, return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    async with serving("--dtype", "float32", folder=base) as plain:
        unlike = (await plain.generate(PROMPT, max_new_tokens=12))["generated_text"]
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "training", "serve", str(adapter), *more, "--port", "0", "--dtype", "float32",
        stdout=pipe, stderr=pipe, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode().strip()
        url = line.removeprefix("listening on ")
        assert url != line, await process.communicate()
        async with aiohttp.ClientSession() as session:
            # merged, the server knows the adapter as its model and the name of an adapter as none
            body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 12, "adapter_id": "adapter"}}
            async with session.post(f"{url}/generate", json=body) as answer:
                text = (await answer.json())["generated_text"]
            async with session.get(f"{url}/info") as answer:
                assert (await answer.json())["model_id"] == served_as
    finally:
        process.terminate()
        await process.wait()
    assert text == tokenizer.decode(written, skip_special_tokens=True)
    assert text != unlike
