"""LoRA adapters beside their base: peft's numbers, bits that do not depend on company, and who is refused."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import UserError
from synthesis.server.__main__ import main
from synthesis.server.adapters import CONFIG, parse, read_adapters
from synthesis.server.foreign import build as foreign
from synthesis.server.forward import Model
from synthesis.server.launch import serve as launch
from synthesis.server.model import Part
from synthesis.server.weights import build as fast
from tests.serving import Served, serving, tiny_folder
from tests.small_training import PEFT
from tests.test_server_general import folder_of, ids
from tests.tiny_adapter import make_adapter

pytestmark = [pytest.mark.usefixtures("one_thread"), PEFT]
KINDS = ["llama", "gpt2", "mixtral"]  # the fast way, batched by transformers, one sequence at a time
MORE: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {"fan_in_fan_out": True},  # its layers stand the other way round
    "mixtral": {"target_modules": ["q_proj", "v_proj", "o_proj"]},
}
CONVERSATION = "Persona: I am a nurse. I have three cats. What kind of music do you play? " * 2
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def base_of(kind: str) -> Path:
    return tiny_folder() if kind == "llama" else folder_of(kind)


@functools.cache
def teachers(kind: str) -> dict[str, Path]:
    """Two adapters of different ranks on a tiny model, made once."""
    kept = tempfile.TemporaryDirectory(prefix="tiny-adapters-", ignore_cleanup_errors=True)
    _KEPT.append(kept)
    return {
        "one": make_adapter(Path(kept.name) / "one", base_of(kind), 1, **MORE[kind]),
        "two": make_adapter(Path(kept.name) / "two", base_of(kind), 2, r=6, use_rslora=True, **MORE[kind]),
    }


def loaded(kind: str, dtype: str) -> Model[Any]:
    read = read_adapters(teachers(kind), base_of(kind), "tiny")
    return fast(base_of(kind), dtype, read) if kind == "llama" else foreign(base_of(kind), dtype, "cpu", read, 512)


def run(model: Model[Any], adapters: list[int], tokens: list[int], begin: int) -> list[torch.Tensor]:
    """Logits of every sequence from `begin` on; the same tokens for all, read together, then stepped."""
    with torch.inference_mode():
        room = model.room(16)
        room.fit(len(tokens), 0)
        for slot in range(len(adapters)):
            room.open(slot, begin)
        parts = [Part(slot, 0, tokens[:begin], adapter=adapter) for slot, adapter in enumerate(adapters)]
        rows = [torch.stack([one[-1] for one in model.prefill(parts, room)])]
        for place in range(begin, len(tokens)):
            again, places = [tokens[place]] * len(adapters), [place] * len(adapters)
            rows += [model.decode([[one] for one in again], places, room, adapters)]
        return list(torch.stack(rows, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_agrees_with_peft(kind: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokens = ids(90)
    found = run(loaded(kind, "float32"), [0, 1, 2, 1], tokens, 70)
    for number, name in ((0, None), (1, "one"), (2, "two")):
        theirs = AutoModelForCausalLM.from_pretrained(base_of(kind), dtype=torch.float32).eval()
        if name:
            theirs = PeftModel.from_pretrained(theirs, teachers(kind)[name]).eval()
        with torch.no_grad():
            wanted = theirs(torch.tensor([tokens])).logits[0, 69:]
        torch.testing.assert_close(found[number].clone(), wanted, atol=2e-3, rtol=1e-3)
    assert (found[0] - found[1]).abs().max() > 0.1
    torch.testing.assert_close(found[3], found[1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_company_changes_no_bit(kind: str, dtype: str) -> None:
    model = loaded(kind, dtype)
    alone = [run(model, [adapter], ids(80), 70)[0] for adapter in (0, 1, 2)]
    together = [1, 0, 2, 2, 0, 1, 1, 2, 0, 0, 1]
    for adapter, rows in zip(together, run(model, together, ids(80), 70), strict=True):
        assert torch.equal(rows, alone[adapter])


def test_strict_rows_give_the_same_numbers() -> None:
    model = fast(tiny_folder(), "float32", read_adapters(teachers("llama"), tiny_folder(), "tiny"))
    loose = run(model, [1, 0, 2], ids(40), 30)
    model.strict = True  # as on a machine where shapes change bits
    for strict, before in zip(run(model, [1, 0, 2], ids(40), 30), loose, strict=True):
        torch.testing.assert_close(strict, before, atol=1e-4, rtol=1e-4)
    assert torch.equal(run(model, [2], ids(40), 30)[0], run(model, [1, 0, 2], ids(40), 30)[2])


def flag(kind: str) -> tuple[str, str]:
    return "--lora-adapters", ",".join(f"{name}={path}" for name, path in teachers(kind).items())


async def says(served: Served, adapter: str | None, end: str, **settings: Any) -> str:
    answer = await served.generate(
        CONVERSATION + end, adapter_id=adapter, max_new_tokens=10, do_sample=True, seed=5, **settings
    )
    return str(answer["generated_text"])


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_with_and_without_adapters_share_a_server(kind: str) -> None:
    """Mixed batches and reused beginnings change no byte; a name that is none gets the base."""
    asked = [(name, end) for end in ("Is it kind?", "Say why.") for name in (None, "one", "two", "none")]
    async with serving(*flag(kind), "--prefix-cache-mb", "0", "--max-batch-size", "1", folder=base_of(kind)) as served:
        alone = [await says(served, name, end) for name, end in asked]
    assert alone[0] == alone[3]
    assert len(set(alone)) == 6
    async with serving(folder=base_of(kind)) as served:
        assert [await says(served, None, end) for end in ("Is it kind?", "Say why.")] == [alone[0], alone[4]]
    async with serving(*flag(kind), "--max-batch-prefill-tokens", "23", folder=base_of(kind)) as served:
        assert await asyncio.gather(*(says(served, name, end) for name, end in asked)) == alone
    async with serving(*flag(kind), folder=base_of(kind)) as served:
        for _ in range(2):
            assert await asyncio.gather(*(says(served, name, end) for name, end in asked)) == alone
        async with served.session.get(served.url + "/info") as answer:
            assert (await answer.json())["lora_adapters"] == ["one", "two"]
        async with served.session.get(served.url + "/v1/models") as answer:
            assert [one["id"] for one in (await answer.json())["data"]][1:] == ["one", "two"]


async def test_the_openai_dialect_names_adapters_as_models() -> None:
    async with serving(*flag("llama")) as served:
        told: dict[str, str] = {}
        for model in ("tgi", "tiny", "one", "two"):
            body = {"model": model, "messages": [{"role": "user", "content": "Do you cook?"}], "temperature": 0}
            status, answer = await served.post("/v1/chat/completions", {**body, "max_tokens": 12})
            assert status == 200
            told[model] = answer["choices"][0]["message"]["content"]
            body = {"model": model, "prompt": "My dog", "seed": 3, "max_tokens": 6}
            status, answer = await served.post("/v1/completions", body)
            assert status == 200
            told[model] += answer["choices"][0]["text"]
    assert told["tgi"] == told["tiny"]
    assert len(set(told.values())) == 3


def changed(folder: Path, to: Path, **config: Any) -> Path:
    """A copy of an adapter that says something else of itself."""
    shutil.copytree(folder, to)
    before = json.loads((to / CONFIG).read_text())
    (to / CONFIG).write_text(json.dumps({**before, **config}))
    return to


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": 5}, "adapter odd: rank 5 in its adapter_config.json"),
        ({"use_dora": True}, "adapter odd has use_dora = True, which is not served unmerged"),
        ({"alpha_pattern": {"q_proj": 3}}, "adapter odd has alpha_pattern"),
        ({"unheard_of": 1}, "adapter odd has unheard_of"),
        ({"bias": "all"}, "adapter odd has biases"),
        ({"init_lora_weights": "pissa"}, "adapter odd began as 'pissa'"),
        ({"peft_type": "IA3"}, "adapter odd is of the kind IA3"),
        ({"task_type": "SEQ_CLS"}, "adapter odd is for SEQ_CLS"),
        ({"lora_alpha": None}, "adapter odd: no number lora_alpha"),
        ({"base_model_name_or_path": "org/another"}, "adapter odd was trained on 'org/another', not on 'tiny'"),
        ({"base_model_name_or_path": None}, "adapter odd does not say what it was trained on"),
    ],
)
def test_other_adapters_are_refused_by_name(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    odd = changed(teachers("llama")["one"], tmp_path / "odd", **config)
    with pytest.raises(UserError, match=message):
        read_adapters({"odd": odd}, tiny_folder(), "tiny")


def test_a_base_is_the_same_by_name_or_by_weights(tmp_path: Path) -> None:
    one = teachers("llama")["one"]
    moved = changed(one, tmp_path / "moved", base_model_name_or_path=f"/gone/{tiny_folder().name}")
    hub = changed(one, tmp_path / "hub", base_model_name_or_path="org/tiny-base")
    copied = changed(one, tmp_path / "copied", base_model_name_or_path=str(tmp_path / "copy"))
    shutil.copytree(tiny_folder(), tmp_path / "copy")
    assert len(read_adapters({"moved": moved, "copied": copied}, tiny_folder(), "tiny")) == 2
    assert len(read_adapters({"hub": hub}, tiny_folder(), "org/tiny-base")) == 1
    other = changed(one, tmp_path / "other", base_model_name_or_path=str(folder_of("gpt2")))
    with pytest.raises(UserError, match="adapter other was trained on"):
        read_adapters({"other": other}, tiny_folder(), "tiny")


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_adapters_of_other_modules_and_sizes_are_refused(tmp_path: Path) -> None:
    """By the name of the adapter and of the module, whatever their configuration says of their base."""
    head = make_adapter(tmp_path / "head", tiny_folder(tied=False), target_modules=["lm_head"])
    wide = make_adapter(tmp_path / "wide", tiny_folder(hidden=96), target_modules=["q_proj"])
    deep = make_adapter(tmp_path / "deep", tiny_folder(layers=3), target_modules=["q_proj"])
    plain = str(tiny_folder())
    with pytest.raises(UserError, match=r"adapter head holds base_model\.model\.lm_head\..* LoRA of a linear layer"):
        read_adapters({"head": head}, tiny_folder(tied=False), "tiny")
    for path in (wide, deep):
        config = json.loads((path / CONFIG).read_text())
        (path / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": plain}))
    for name, path, message in [
        ("wide", wide, r"adapter wide does not fit: model\.layers\.0\.self_attn\.q_proj takes 64 units"),
        ("deep", deep, r"adapter deep changes model\.layers\.2\.self_attn\.q_proj"),
    ]:
        read = read_adapters({name: path}, tiny_folder(), "tiny")
        with pytest.raises(UserError, match=message):
            fast(tiny_folder(), "float32", read)
        with pytest.raises(UserError, match=f"adapter {name} "):
            foreign(tiny_folder(), "float32", "cpu", read, 512)


def test_folders_that_hold_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"adapter x: .* has no adapter_config\.json"):
        read_adapters({"x": tmp_path}, tiny_folder(), "tiny")
    pickled = Path(shutil.copytree(teachers("llama")["one"], tmp_path / "pickled"))
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(UserError, match="pickled weights are not opened"):
        read_adapters({"x": pickled}, tiny_folder(), "tiny")


def test_the_flag_as_tgi_spells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("") == {}
    assert parse("org/a, b=/x/y ,c=org/d@v1") == {"org/a": "org/a", "b": "/x/y", "c": "org/d@v1"}
    for wrong, message in [
        ("=x", "write NAME=FOLDER"),
        ("a=", "write NAME=FOLDER"),
        ("a=x,a=y", "names 'a' twice"),
        ("tgi=x", "by which clients ask for the model itself"),
    ]:
        assert main(["--model", str(tiny_folder()), "--port", "0", "--lora-adapters", wrong]) == 2
        assert message in capsys.readouterr().err


async def test_launch_takes_adapters_and_a_device(tmp_path: Path) -> None:
    body = {"inputs": CONVERSATION, "parameters": {"max_new_tokens": 8}}
    told: list[str] = []
    async with (
        launch(tiny_folder(), adapters=teachers("llama"), log=tmp_path / "log") as url,
        aiohttp.ClientSession() as session,
    ):
        for adapter in (None, "two"):
            asked = {**body, "parameters": {**body["parameters"], "adapter_id": adapter}}
            async with session.post(f"{url}/generate", json=asked) as answer:
                told.append((await answer.json())["generated_text"])
    assert told[0] != told[1]
    assert (tmp_path / "log").read_text() == ""
    with pytest.raises(UserError, match=r"--device cuda:99: torch .* finds"):
        async with launch(tiny_folder(), device="cuda:99"):
            pass


def test_a_layer_that_sees_other_rows_than_the_pass_is_noticed() -> None:
    """As experts do, that are handed some rows of some sequences."""
    from synthesis.server.adapters import Adapter, LowRank
    from synthesis.server.lowrank import Company

    inner = torch.nn.ModuleDict({"one": torch.nn.Linear(4, 3, bias=False)})
    company = Company()
    company.join(inner, [Adapter("a", {"one": LowRank(torch.ones(1, 4), torch.ones(3, 1))})])
    company.seat([0, 1], 2, "cpu")
    rows = torch.ones(4, 4)
    added = inner["one"](rows) - rows @ inner["one"].weight.T
    assert torch.equal(added.round(), torch.tensor([[0.0], [0.0], [4.0], [4.0]]).expand(4, 3))
    with pytest.raises(RuntimeError, match="other rows than the pass has"):
        inner["one"](rows[:3])


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except UserError:
        assert "=" in text or "," in text
        return
    assert all(name and source for name, source in found.items())
