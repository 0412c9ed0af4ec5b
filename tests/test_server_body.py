"""Whatever bytes arrive: a request, or TGI's plain-text refusal, never a crash."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.server.body import BadBody, NotDeserializable, check_media, parse, refuse
from synthesis.server.chat import read_chat
from synthesis.server.completions import read_completion
from synthesis.server.protocol import read_generate

NAMES = st.sampled_from(
    [
        "inputs",
        "parameters",
        "stream",
        "stop",
        "seed",
        "grammar",
        "temperature",
        "messages",
        "role",
        "content",
        "type",
        "value",
        "prompt",
        "n",
        "response_format",
        "stream_options",
        "tools",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    refused = ""
    try:
        value = parse(data)
    except BadBody as error:
        refused = f"{error.status} {error.message}"
    if refused:
        assert refused.startswith("400 Failed to parse the request body as JSON: ")
    else:
        assert value == json.loads(data, parse_int=lambda digits: int(digits) if len(digits) <= 20 else float(digits))


@given(JSON)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    for reader in (read_generate, read_chat, read_completion):
        with contextlib.suppress(NotDeserializable):
            reader(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b'{"inputs": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b"\xff\xfe",
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"1" * 5000 + b"x",
        b"\xef\xbb\xbf{}",
        b'{"a": 1} x',
    ],
    ids=lambda data: repr(data[:12]),
)
def test_broken_json_is_400(data: bytes) -> None:
    with pytest.raises(BadBody, match="Failed to parse the request body as JSON") as caught:
        parse(data)
    assert caught.value.status == 400


def test_long_numbers_and_brackets_in_strings_are_no_trouble() -> None:
    assert parse(b"1" * 300) == pytest.approx(float("1" * 300))
    assert parse(json.dumps("[" * 500 + '"').encode()) == "[" * 500 + '"'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "missing field `inputs`"),
        ([], "invalid type: sequence, expected struct"),
        ({"inputs": 3}, "inputs: invalid type: integer `3`, expected a string"),
        ({"inputs": None}, "inputs: invalid type: null, expected a string"),
        (
            {"inputs": "a", "parameters": {"temperature": "hot"}},
            'parameters.temperature: invalid type: string "hot", expected f32',
        ),
        ({"inputs": "a", "parameters": {"seed": -1}}, "parameters.seed: invalid value: integer `-1`, expected u64"),
        (
            {"inputs": "a", "parameters": {"max_new_tokens": 2.5}},
            "parameters.max_new_tokens: invalid type: floating point `2.5`, expected u32",
        ),
        (
            {"inputs": "a", "parameters": {"stop": [1]}},
            "parameters.stop[0]: invalid type: integer `1`, expected a string",
        ),
        ({"inputs": "a", "parameters": {"grammar": {"type": "xml", "value": ""}}}, "unknown variant `xml`"),
        ({"inputs": "a", "parameters": {"grammar": {"type": "json"}}}, "missing field `value`"),
        ({"inputs": "a", "parameters": {"do_sample": 1}}, "invalid type: integer `1`, expected a boolean"),
    ],
)
def test_the_refusal_names_the_field_and_the_place(value: Any, message: str) -> None:
    with pytest.raises(NotDeserializable) as caught:
        read_generate(value)
    text = refuse(caught.value, b"{}")
    assert text.status == 422
    assert text.message.startswith("Failed to deserialize the JSON body into the target type: ")
    assert message in text.message
    assert text.message.endswith(" at line 1 column 2")


def test_nulls_and_unknown_keys_are_accepted() -> None:
    empty = dict.fromkeys(("best_of", "temperature", "stop", "details", "grammar", "seed", "do_sample", "watermark"))
    read = read_generate({"inputs": "a", "parameters": {**empty, "adapter_id": "x", "unheard": 1}, "more": 2})
    assert not read.parameters.sampling


def test_sampling_is_the_default_only_without_parameters() -> None:
    assert read_generate({"inputs": "a"}).parameters.sampling
    assert not read_generate({"inputs": "a", "parameters": {}}).parameters.sampling
    assert read_generate({"inputs": "a", "parameters": {"top_k": 3}}).parameters.sampling


def test_chat_fields_become_tgi_parameters() -> None:
    def given_(**fields: Any) -> Any:
        return read_chat({"messages": [], **fields}).parameters

    assert given_().sampling
    assert not given_(temperature=0).sampling
    assert given_(temperature=0.5).temperature == 0.5
    assert given_(presence_penalty=-0.5).repetition_penalty == 1.5
    assert given_(max_completion_tokens=7).max_new_tokens == 7
    assert given_(stop="x").stop == ("x",)
    assert given_(top_logprobs=2).top_n_tokens == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json", "value": {"properties": {}}},
        {"type": "json_object", "value": {"properties": {}}},
        {"type": "json_schema", "value": {"name": "x", "schema": {"properties": {}}}},
        {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"properties": {}}}},
    ],
)
def test_every_form_of_a_schema_is_understood(wanted: Any) -> None:
    read = read_chat({"messages": [], "response_format": wanted}).parameters.grammar
    assert read is not None
    assert (read.kind, read.value) == ("json", {"properties": {}})


def test_content_parts_are_joined_and_images_refused() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_chat({"messages": [{"role": "user", "content": parts}]}).messages[0]["content"] == "ab"
    image = [{"type": "image_url", "image_url": {"url": "http://x"}}]
    with pytest.raises(NotDeserializable, match="reads no images"):
        read_chat({"messages": [{"role": "user", "content": image}]})


@pytest.mark.parametrize("media", ["text/plain", "", "application/jsonx", "multipart/form-data"])
def test_other_media_are_415(media: str) -> None:
    with pytest.raises(BadBody) as caught:
        check_media(media)
    assert (caught.value.status, caught.value.message) == (
        415,
        "Expected request with `Content-Type: application/json`",
    )


@pytest.mark.parametrize("media", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
def test_json_media_pass(media: str) -> None:
    check_media(media)
