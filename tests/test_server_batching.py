"""The same request with the same seed writes the same bytes: alone, in any batch, with a reused prefix or without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synthesis.server.weights import build
from tests.serving import Served, serving, tiny_folder

CONVERSATION = "Persona: I am a nurse. I have three cats. What kind of music do you play? " * 3
PROMPTS = [CONVERSATION + end for end in ("Is it kind?", "Is it true?", "Is it fluent? Say why.", "Q")] + [
    CONVERSATION[: 20 * place] + "My dog" for place in range(8)
]


def asked(place: int) -> dict[str, Any]:
    """Settings that differ from request to request: lengths, warping, seeds."""
    return {
        "inputs": PROMPTS[place % len(PROMPTS)],
        "seed": place,
        "do_sample": True,
        "temperature": 0.7 + 0.1 * (place % 3),
        "top_p": 0.9 if place % 2 else None,
        "top_k": 20 if place % 3 == 0 else None,
        "max_new_tokens": 5 + 7 * (place % 6),
        "repetition_penalty": 1.2 if place % 4 == 0 else None,
    }


async def answers(served: Served, places: range, *, pause: float = 0.0) -> list[dict[str, Any]]:
    """The answers to all, asked at once or one after the other."""

    async def one(place: int) -> dict[str, Any]:
        await asyncio.sleep(pause * place)
        return await served.generate(**asked(place))

    return list(await asyncio.gather(*map(one, places)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
async def test_company_arrival_and_reuse_change_no_byte(dtype: str) -> None:
    places = range(24)
    plain = ("--prefix-cache-mb", "0", "--max-batch-size", "1", "--speculate", "0")
    async with serving("--dtype", dtype, *plain) as served:
        alone = [await served.generate(**asked(place)) for place in places]
    assert len({answer["generated_text"] for answer in alone}) > 12
    async with serving("--dtype", dtype, "--max-batch-size", "32") as served:
        assert await answers(served, places) == alone
        assert await answers(served, places, pause=0.01) == alone  # now every prompt has a known beginning
        assert "tgi_request_skipped_tokens_sum 0\n" not in served.service.metrics.text()
    async with serving("--dtype", dtype, "--max-batch-size", "5", "--prefix-cache-mb", "1") as served:
        assert await answers(served, places) == alone


def _passes(served: Served) -> int:
    """Steps of running sequences so far."""
    return int(served.service.metrics.text().split('tgi_batch_inference_count{method="decode"} ')[1].split()[0])


async def test_what_comes_again_is_written_in_fewer_steps() -> None:
    """With the same bytes and stream; stop strings and budgets end among guesses, too."""
    wanted: list[dict[str, Any]] = [
        {"max_new_tokens": 90},
        {"max_new_tokens": 90, "stop": ["e"], "repetition_penalty": 1.1},
        {"max_new_tokens": 40, "grammar": {"type": "regex", "value": "(ab ab ab){3}-{30}"}},
        {"max_new_tokens": 60, "do_sample": True, "seed": 3, "temperature": 0.1, "top_n_tokens": 2},
    ]
    told: list[tuple[Any, int]] = []
    for most in ("0", "1", "3"):
        async with serving("--speculate", most) as served:
            told.append(([await served.generate("ab ab ab ab", **one) for one in wanted], _passes(served)))
    assert told[0][0] == told[1][0] == told[2][0]
    if not build(tiny_folder()).ahead(4):
        pytest.skip("this machine gives several queries at once other bits: its server guesses nothing")
    assert told[0][1] > 1.3 * told[1][1] > 1.3 * told[2][1]


async def test_prompts_that_begin_alike_are_read_once() -> None:
    """Asked together, all but the first reuse the beginning: the pass after it finds it."""
    async with serving() as served:
        ends = ["Is it kind?", "True or not?", "Say why.", "Q"]
        await asyncio.gather(*(served.generate(CONVERSATION + end, max_new_tokens=1) for end in ends))
        shared = len(served.service.tokenizer.encode(CONVERSATION)) // 16 * 16
        skipped = float(served.service.metrics.text().split("tgi_request_skipped_tokens_sum ")[1].split()[0])
        assert skipped >= 3 * (shared - 16)


async def test_greedy_is_the_model_and_prefill_details_are_its_numbers() -> None:
    import torch
    from transformers import LlamaForCausalLM

    from tests.serving import tiny_folder

    theirs = LlamaForCausalLM.from_pretrained(tiny_folder(), dtype=torch.float32).eval()
    async with serving("--dtype", "float32") as served:
        prompt = "My dog is afraid of thunder"
        answer = await served.generate(prompt, max_new_tokens=12, decoder_input_details=True, top_n_tokens=2)
        again = await served.generate(prompt, max_new_tokens=12, decoder_input_details=True, top_n_tokens=2)
        ids = served.service.tokenizer.encode(prompt)
    assert again == answer
    details = answer["details"]
    written = [token["id"] for token in details["tokens"]]
    with torch.no_grad():
        logprobs = theirs(torch.tensor([ids + written])).logits[0].log_softmax(-1)
    assert written == logprobs[len(ids) - 1 : -1].argmax(-1).tolist()
    chosen = logprobs[:-1].gather(1, torch.tensor(ids + written)[1:, None])[:, 0].tolist()
    assert [token["logprob"] for token in details["tokens"]] == pytest.approx(chosen[len(ids) - 1 :], abs=1e-4)
    assert [token["id"] for token in details["prefill"]] == ids
    assert details["prefill"][0]["logprob"] is None
    assert [token["logprob"] for token in details["prefill"][1:]] == pytest.approx(chosen[: len(ids) - 1], abs=1e-4)
    assert [top[0]["id"] for top in details["top_tokens"]] == written
    assert all(len(top) == 2 for top in details["top_tokens"])


async def test_a_long_sequence_beside_short_ones_grows_and_shrinks_the_cache() -> None:
    async with serving() as served:
        long, *short = await asyncio.gather(
            served.generate("a", max_new_tokens=400, seed=1, do_sample=True, temperature=0.9),
            *(served.generate("b", max_new_tokens=9, seed=place, do_sample=True) for place in range(5)),
        )
        assert await served.generate("a", max_new_tokens=400, seed=1, do_sample=True, temperature=0.9) == long
        for place, answer in enumerate(short):
            assert await served.generate("b", max_new_tokens=9, seed=place, do_sample=True) == answer


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
async def test_prompts_read_in_pieces_write_the_same(dtype: str) -> None:
    long = [(CONVERSATION + end) * 2 for end in ("Why?", "How?")]
    wanted: dict[str, Any] = {"seed": 1, "do_sample": True, "max_new_tokens": 12}
    asked = [(prompt, details) for prompt in [*long, "My dog", *PROMPTS] for details in (False, True)]

    async def ask(served: Served) -> list[Any]:
        return await asyncio.gather(
            *(served.generate(prompt, decoder_input_details=details, **wanted) for prompt, details in asked)
        )

    async with serving("--dtype", dtype, "--prefix-cache-mb", "0") as served:
        whole = await ask(served)
    for piece, reuse, slots in (("32", "64", "32"), ("17", "0", "3"), ("100", "1", "1")):
        flags = ("--max-batch-prefill-tokens", piece, "--prefix-cache-mb", reuse, "--max-batch-size", slots)
        async with serving("--dtype", dtype, *flags) as served:
            assert await ask(served) == whole


def _prefills(served: Served) -> int:
    """Passes that have read prompts so far."""
    return int(served.service.metrics.text().split('tgi_batch_inference_count{method="prefill"} ')[1].split()[0])


async def test_running_sequences_step_while_a_long_prompt_is_read() -> None:
    async with serving("--max-batch-prefill-tokens", "8", "--prefix-cache-mb", "0") as served:
        running = asyncio.create_task(served.generate("a", max_new_tokens=60, do_sample=True, seed=1))
        while _prefills(served) == 0:
            await asyncio.sleep(0.001)
        tokens = len(served.service.tokenizer.encode(CONVERSATION))
        long = await served.generate(CONVERSATION, max_new_tokens=1)
        short = await running
        assert long["details"]["generated_tokens"] == 1
        assert _prefills(served) == 1 + -(-tokens // 8)
    assert short["details"]["generated_tokens"] == 60


async def test_a_long_prompt_whose_client_leaves_makes_room() -> None:
    async with serving("--max-batch-prefill-tokens", "1", "--max-batch-size", "1") as served:
        gone = asyncio.create_task(served.generate(CONVERSATION, max_new_tokens=1))
        while served.service.permits == 128:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert (await served.generate("b", max_new_tokens=2))["details"]["generated_tokens"] == 2
