"""Likelihood of continuations: by hand, by the chain rule, and against torch through the embedded server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from synthesis import likelihood
from synthesis.engine import Request, Token
from synthesis.engines.openai import OpenAI
from synthesis.engines.scripted import Scripted
from synthesis.engines.tgi import Tgi
from synthesis.errors import ReadingError, Unsupported
from tests import toy_language_model as toy
from tests.fake_tgi import FakeTgi
from tests.serving import serving, tiny_folder


def tokens(*pairs: tuple[str, float | None]) -> tuple[Token, ...]:
    return tuple(Token(sum(map(ord, text)), text, logprob) for text, logprob in pairs)


def test_a_text_is_all_of_its_tokens_but_the_first() -> None:
    found = likelihood.whole(tokens(("I", None), (" ski", -3.0), (".", -1.0)))
    assert (found.logprob, found.tokens, found.loss) == (-4, 2, 2)


def test_a_continuation_is_what_the_context_does_not_have() -> None:
    context = tokens(("I", None), (" ski", -3.0))
    both = tokens(("I", None), (" ski", -3.0), (" a", -1.0), (" lot", -2.0))
    assert likelihood.after(context, both) == likelihood.Likelihood(-3, 2)


def test_of_a_straddling_token_the_contexts_own_share_is_taken_off() -> None:
    context = tokens(("We", None), (" ski", -3.0))
    both = tokens(("We", None), (" skiing", -4.0), (" a", -0.5))
    found = likelihood.after(context, both)
    assert found == likelihood.Likelihood(-4 - 0.5 + 3, 2)
    assert found.loss == 0.75


def test_noise_of_the_context_does_not_get_in() -> None:
    """A server in half precision gives a token other bits in other company; shared tokens are not subtracted."""
    context = tokens(("I", None), (" ski", -3.001))
    both = tokens(("I", None), (" ski", -2.999), (" a", -1.0))
    assert likelihood.after(context, both).logprob == -1


@pytest.mark.parametrize(
    ("context", "both", "message"),
    [
        ([], [("I", None), (" ski", -1.0)], "no context may be empty"),
        ([("I", None)], [("It", None), (" is", -1.0)], "no context may be empty"),
        ([("I", None)], [("I", None), (" ski", math.nan)], "log-probability nan"),
        ([("I", None)], [("I", None), (" ski", None), (".", -1.0)], "' ski' of a prompt has log-probability None"),
        ([("I", None)], [("I", None)], "at least one token"),
    ],
    ids=["no context", "a first token that straddles", "not a number", "a gap", "nothing follows"],
)
def test_what_cannot_be_scored_is_an_error(context: list[Any], both: list[Any], message: str) -> None:
    with pytest.raises(ReadingError, match=message):
        likelihood.after(tokens(*context), tokens(*both))


@pytest.mark.parametrize("lonely", [(), (("I", None),)])
def test_a_text_of_one_token_has_no_likelihood(lonely: tuple[tuple[str, float | None], ...]) -> None:
    with pytest.raises(ReadingError, match="at least one token"):
        likelihood.whole(tokens(*lonely))


TEXT = st.text(alphabet="ab é\u0301日本🙂\n", min_size=1, max_size=12)


@given(TEXT, TEXT, TEXT)
def test_parts_add_up_wherever_the_tokens_are_cut(context: str, first: str, second: str) -> None:
    """log P(first second | context) = log P(first | context) + log P(second | context first), straddling or not."""
    context = f"xyz {context}"

    async def score(before: str, text: str) -> float:
        (found,) = await likelihood.continuations(Scripted(toy.read), before, [text], "toy", "d")
        return found.logprob

    async def parts() -> tuple[float, float, float]:
        return (
            await score(context, first + second),
            await score(context, first),
            await score(context + first, second),
        )

    together, head, tail = asyncio.run(parts())
    assert together == pytest.approx(head + tail, abs=1e-9)


async def test_the_toy_straddles() -> None:
    """The property above is about something: "abcd" + "ef" is cut abc|def, and d is the context's alone."""
    (found,) = await likelihood.continuations(Scripted(toy.read), "abcd", ["ef"], "toy", "d")
    assert found.logprob == toy.logprob("abc", "def") - toy.logprob("abc", "d")
    assert found.tokens == 1


async def test_the_context_is_asked_once_and_all_goes_out_as_plain_text() -> None:
    engine = Scripted(toy.read)
    await likelihood.continuations(engine, "Ada: Hi.\nBo:", [" Yes.", " No."], "fed", "d7")
    assert [request.prompt for request in engine.requests] == [
        "Ada: Hi.\nBo:",
        "Ada: Hi.\nBo: Yes.",
        "Ada: Hi.\nBo: No.",
    ]
    assert engine.requests[0] == Request(
        "fed", 1, prompt="Ada: Hi.\nBo:", decoder_input_details=True, role="critic", conversation="d7"
    )


async def test_a_server_without_prompt_log_probabilities_is_told_by_metric_and_flag() -> None:
    async with FakeTgi(prefill_logprobs=False) as server, ClientSession() as session:
        with pytest.raises(Unsupported, match=r"fed needs prompt log-prob.* TGI with --enable-prefill-logprobs"):
            await likelihood.read(Tgi(server.url, session=session), "I ski.", "fed", "d")


async def test_a_dialect_without_prompt_log_probabilities_is_told_by_metric_and_dialect() -> None:
    async with FakeTgi(dialects=("openai",)) as server, ClientSession() as session:
        with pytest.raises(Unsupported, match=r"fed needs prompt log-prob.* openai dialect .* the tgi dialect have"):
            await likelihood.read(OpenAI(server.url, session=session), "I ski.", "fed", "d")


PAIRS = [
    ("Ada: Do you like to cook?\nBo:", " My sister taught me to bake bread."),
    ("Größe, naïve", " façade, jalapeño 🙂."),
    ("日本", "語 — 🙂"),
    ("caf", "e\u0301 and tea"),
]
STRADDLING = [
    ("My dog is af", "raid of thunder."),
    ("Größe, naïve, fa", "çade 🙂"),  # a token of "a" and half of "ç"
]


async def test_it_is_what_torch_computes() -> None:
    """log P(context + continuation) - log P(context), each summed over all its tokens by transformers' own model."""
    pairs = PAIRS + STRADDLING
    whole = _by_torch([context + text for context, text in pairs])
    alone = _by_torch([context for context, _ in pairs])
    async with serving("--dtype", "float32") as served:
        engine = Tgi(served.url, session=served.session)
        for (context, text), both, before in zip(pairs, whole, alone, strict=True):
            (found,) = await likelihood.continuations(engine, context, [text], "fed", "d")
            assert found.logprob == pytest.approx(both[0] - before[0], abs=2e-3)
            shared = before[1] if (context, text) in PAIRS else before[1] - 1
            assert found.tokens == both[1] - shared
            read = await likelihood.read(engine, context + text, "fed", "d")
            assert likelihood.whole(read).loss == pytest.approx(-both[0] / (both[1] - 1), abs=1e-4)


def _by_torch(texts: Sequence[str]) -> list[tuple[float, int]]:
    """Sum of log-probabilities over all tokens but the first, and number of tokens, of each text."""
    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(tiny_folder() / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(tiny_folder(), dtype=torch.float32).eval()
    found = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            logprobs = model(ids).logits[0].log_softmax(-1)
        found.append((float(logprobs[:-1].gather(1, ids[0, 1:, None]).sum()), ids.shape[1]))
    return found
