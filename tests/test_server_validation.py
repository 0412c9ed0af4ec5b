"""Every rule of the protocol, with its words and its place in the order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from synthesis.server.protocol import GenerateRequest, Parameters, Refused
from synthesis.server.validation import Limits, check_budget, check_parameters

LIMITS = Limits(max_input_tokens=99, max_total_tokens=100)

# In TGI's order: each breaks one rule only.
RULES: list[tuple[dict[str, Any], str]] = [
    ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
    ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
    ({"temperature": 0.0}, "`temperature` must be strictly positive"),
    ({"repetition_penalty": 0.0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.5}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 0.0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": ("a", "b", "c", "d", "e")}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"seed": 1, "best_of": 2, "do_sample": True}, "`seed` must not be set when `best_of` > 1"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"inputs": ""}, "`inputs` cannot be empty"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than 99. Given: 0"),
]


def refusal(broken: dict[str, Any], *, stream: bool = False) -> str | None:
    parameters = {key: value for key, value in broken.items() if key != "inputs"}
    try:
        check_parameters(GenerateRequest(broken.get("inputs", "a"), Parameters(**parameters), stream), LIMITS)
    except Refused as refused:
        return refused.message.removeprefix("Input validation error: ") if refused.status == 422 else refused.kind
    return None


@pytest.mark.parametrize(("broken", "message"), RULES, ids=[message for _, message in RULES])
def test_each_rule_has_its_words(broken: dict[str, Any], message: str) -> None:
    assert refusal(broken) == message


@pytest.mark.parametrize("first", range(len(RULES)))
def test_the_first_broken_rule_is_told(first: int) -> None:
    for later, _ in RULES[first + 1 :]:
        earlier, message = RULES[first]
        if "best_of" in later or ("best_of" in earlier and "do_sample" not in earlier):
            continue  # sampling settings of the later rule would heal the earlier one
        assert refusal({**later, **earlier}) == message


def test_streams_are_checked_after_the_best_of_limit() -> None:
    assert refusal({"best_of": 3}, stream=True) == RULES[0][1]
    assert refusal({"best_of": 2}, stream=True) == "`best_of` != 1 is not supported when streaming tokens"
    told = "`decoder_input_details` == true is not supported when streaming tokens"
    assert refusal({"decoder_input_details": True, "temperature": 0.0}, stream=True) == told


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"best_of": 0},
        {"frequency_penalty": -2.0},
        {"frequency_penalty": 2.0},
        {"top_n_tokens": 0},
        {"seed": 0},
        {"best_of": 2, "top_k": 1},
        {"truncate": 99},
        {"top_p": 0.999},
        {"stop": ("a",) * 4},
        {"seed": 2**64 - 1},
    ],
    ids=str,
)
def test_the_edges_are_inside(fine: dict[str, Any]) -> None:
    assert refusal(fine) is None


def test_the_budget_is_what_is_left() -> None:
    assert check_budget(Parameters(), 40, LIMITS) == 60
    assert check_budget(Parameters(max_new_tokens=60), 40, LIMITS) == 60
    with pytest.raises(Refused) as caught:
        check_budget(Parameters(max_new_tokens=61), 40, LIMITS)
    assert caught.value.message == (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 100. "
        "Given: 40 `inputs` tokens and 61 `max_new_tokens`"
    )
    with pytest.raises(Refused, match=r"`inputs` must have less than 99 tokens\. Given: 100"):
        check_budget(Parameters(), 100, LIMITS)


def test_only_1024_new_tokens_count_against_the_budget() -> None:
    wide = replace(LIMITS, max_total_tokens=2000, max_input_tokens=1999)
    assert check_budget(Parameters(max_new_tokens=10_000), 900, wide) == 1100
    with pytest.raises(Refused, match="Given: 977 `inputs` tokens and 1024 `max_new_tokens`"):
        check_budget(Parameters(max_new_tokens=10_000), 977, wide)
