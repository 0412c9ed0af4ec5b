"""Tools of a chat: what is offered, what is forced, and the JSON that is told as calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.server.protocol import Refused
from synthesis.server.tools import Telling, told
from tests.serving import Served, serving, tiny_folder
from tests.tiny_model import make_tiny_model

BOOK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a table",
        "parameters": {
            "type": "object",
            "properties": {"people": {"type": "integer", "minimum": 1, "maximum": 9}, "day": {"$ref": "#/$defs/day"}},
            "required": ["people", "day"],
            "$defs": {"day": {"enum": ["Monday", "Friday"]}},
        },
    },
}
BYE: dict[str, Any] = {"type": "function", "function": {"name": "bye", "arguments": {}}}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "A table?"}], "max_tokens": 200, "temperature": 1.5}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(folder=tiny_folder(context=1024)) as running:
        yield running


def booked(arguments: str) -> bool:
    given_ = json.loads(arguments)
    return set(given_) == {"people", "day"} and 1 <= given_["people"] <= 9 and given_["day"] in ("Monday", "Friday")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "book"}}])
@pytest.mark.parametrize("seed", range(3))
async def test_a_forced_call_is_told_whole_and_streamed(served: Served, choice: Any, seed: int) -> None:
    asked = {**CHAT, "tools": [BOOK], "tool_choice": choice, "seed": seed}
    status, body = await served.post("/v1/chat/completions", asked)
    assert status == 200, body
    message, reason = body["choices"][0]["message"], body["choices"][0]["finish_reason"]
    (call,) = message["tool_calls"]
    assert (call["id"], call["type"], call["function"]["name"], reason) == ("0", "function", "book", "stop")
    assert booked(call["function"]["arguments"])
    *events, done = await served.events("/v1/chat/completions", {**asked, "stream": True})
    assert done == "[DONE]"
    choices = [json.loads(one)["choices"][0] for one in events]
    functions = [one["delta"]["tool_calls"][0]["function"] for one in choices if "tool_calls" in one["delta"]]
    assert [one["name"] for one in functions] == ["book", *[None] * (len(functions) - 1)]
    arguments = "".join(one["arguments"] for one in functions)
    assert json.loads(arguments) == json.loads(call["function"]["arguments"])
    assert [one["finish_reason"] for one in choices] == [*[None] * (len(choices) - 1), "stop"]


async def test_left_free_the_model_calls_or_answers_in_words(served: Served) -> None:
    kinds = set()
    for seed in range(12):
        asked = {**CHAT, "tools": [BYE], "seed": seed, "max_tokens": 300}
        status, body = await served.post("/v1/chat/completions", asked)
        if status == 422:
            assert body["error"].startswith("Tool error: Failed to parse generated text")  # words without an end
            continue
        message = body["choices"][0]["message"]
        kinds.add("tool_calls" if "tool_calls" in message else "content")
        *events, _ = await served.events("/v1/chat/completions", {**asked, "stream": True})
        deltas = [json.loads(one)["choices"][0]["delta"] for one in events]
        if "content" in message:
            assert "".join(one["content"] for one in deltas) == message["content"]
        else:
            assert message["tool_calls"][0]["function"] == {"description": None, "name": "bye", "arguments": "{}"}
    assert "tool_calls" in kinds


async def test_no_tool_is_wanted(served: Served) -> None:
    plain = {**CHAT, "seed": 1, "max_tokens": 5}
    _, without = await served.post("/v1/chat/completions", plain)
    _, none = await served.post("/v1/chat/completions", {**plain, "tools": [BOOK], "tool_choice": "none"})
    assert none["choices"] == without["choices"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"response_format": {"type": "regex", "value": "a"}}, "Tool error: Grammar and tools are mutually exclusive"),
        ({"tool_choice": {"function": {"name": "x"}}}, "Tool error: Tool with name x not found"),
        ({"tool_choice": "sometimes"}, "tool_choice: unknown variant `sometimes`"),
        ({"tool_choice": 3}, "tool_choice: invalid type: integer `3`"),
        ({"tools": [{"type": "function"}]}, "tools[0].function: invalid type: null"),
        ({"tools": [{"type": "function", "function": {}}]}, "missing field `name`"),
        ({"tools": [{"type": "function", "function": {"name": "f", "arguments": 3}}]}, "arguments: invalid type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "arguments": {"properties": 3}}}]},
            "the arguments of f are no JSON schema",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "arguments": {"properties": {"_name": {}}}}}]},
            "an argument of f is called _name",
        ),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": name, "arguments": {"$defs": {"a": {"const": name}}}}}
                    for name in "fg"
                ]
            },
            "two tools define $defs/a",
        ),
    ],
)
async def test_tools_that_cannot_be_used_are_refused(served: Served, fields: dict[str, Any], message: str) -> None:
    status, body = await served.post("/v1/chat/completions", {**CHAT, "tools": [BOOK], **fields})
    assert status == 422
    assert message in (body if isinstance(body, str) else body["error"])


async def test_templates_show_the_tools(served: Served, tmp_path: Any) -> None:
    _, shown = await served.post("/chat_tokenize", {**CHAT, "tools": [BOOK], "tool_prompt": "Call one."})
    before, _, after = shown["templated_text"].partition("A table?\n---\n")
    assert before.endswith("user\n")
    assert json.loads(after.partition("\n")[0])[0]["function"]["name"] == "book"
    assert after.partition("\n")[2].startswith("Call one.")
    template = "{% for one in tools or [] %}<{{ one.function.name }}>{% endfor %}{{ messages[-1].content }}"
    async with serving(folder=make_tiny_model(tmp_path / "model", chat_template=template)) as other:
        _, shown = await other.post("/chat_tokenize", {**CHAT, "tools": [BOOK], "tool_prompt": "Call one."})
        assert shown["templated_text"] == "<book>A table?\n---\nCall one."


async def test_earlier_calls_are_part_of_the_conversation(served: Served) -> None:
    call = {"id": "0", "type": "function", "function": {"name": "bye", "arguments": "{}"}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "done", "tool_call_id": "0"}]
    status, shown = await served.post("/chat_tokenize", {"messages": [*CHAT["messages"], *messages]})
    assert status == 200
    assert '"name": "bye"' in shown["templated_text"]


@given(
    st.sampled_from(["no_tool", "book", 'a "quoted" one']),
    st.dictionaries(st.text(max_size=3), st.text(max_size=4) | st.integers(), max_size=3),
    st.text(max_size=12),
    st.booleans(),
    st.lists(st.integers(1, 5), min_size=1),
)
def test_pieces_are_the_whole(
    name: str, arguments: dict[str, Any], content: str, plain: bool, widths: list[int]
) -> None:
    given_ = {"content": content} if name == "no_tool" else {k: v for k, v in arguments.items() if k != "_name"}
    text = json.dumps({"function": {"_name": name, **given_}}, ensure_ascii=plain)
    telling, deltas, place = Telling(), [], 0
    while place < len(text):
        width = widths[place % len(widths)]
        deltas.append(telling.add(text[place : place + width]))
        place += width
    seen = [one for one in deltas if one is not None]
    whole = told(text)
    if name == "no_tool":
        assert "".join(one["content"] for one in seen) == whole["content"] == content
    else:
        functions = [one["tool_calls"][0]["function"] for one in seen]
        assert functions[0]["name"] == whole["tool_calls"][0]["function"]["name"] == name
        assert json.loads("".join(one["arguments"] for one in functions)) == given_


def test_what_is_no_call_is_refused() -> None:
    for text in ("", "{", "[]", '{"function": 3}', '{"function": {"a": 1}}'):
        with pytest.raises(Refused, match="Failed to parse generated text"):
            told(text)
