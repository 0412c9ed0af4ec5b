"""Tools of a chat request: forced JSON that names one of them, and that JSON told as tool calls, whole or streamed.

The model writes {"function": {"_name": NAME, ...arguments}}. Where it may also answer in words, one more function is
offered, whose only argument is the answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from synthesis.server.body import Fields
from synthesis.server.protocol import Grammar, Refused

NO_TOOL = "no_tool"
PROMPT = (
    "Answer with a JSON object that calls one of these functions: its name and its arguments, each with a value taken "
    "from the conversation."
)
ANSWER = {
    "name": NO_TOOL,
    "description": "Answer in words, with none of the other functions",
    "arguments": {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]},
}
HEAD = re.compile(r'\{\s*"function"\s*:\s*\{\s*"_name"\s*:\s*"((?:[^"\\]|\\.)*)"\s*([,}])')
SPOKEN = re.compile(r'\s*"content"\s*:\s*"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions on offer, as {name, description, arguments}; `choice`: "auto", "required", or a name to call."""

    functions: tuple[dict[str, Any], ...]
    choice: str
    named: bool
    prompt: str

    def shown(self) -> list[dict[str, Any]]:
        """The functions as templates expect them."""
        named = {"arguments": "parameters"}
        functions = [{named.get(key, key): value for key, value in one.items()} for one in self.functions]
        return [{"type": "function", "function": one} for one in functions]

    def grammar(self) -> Grammar:
        """JSON that calls one of them; raises Refused when the chosen one is not there."""
        offered = [one for one in self.functions if not self.named or one["name"] == self.choice]
        if not offered:
            raise tool_error(f"Tool with name {self.choice} not found")
        if not self.named and self.choice == "auto":
            offered.append(ANSWER)
        shared: dict[str, Any] = {}
        calls = [_call(one, shared) for one in offered]
        schema: dict[str, Any] = {"properties": {"function": {"anyOf": calls}}, "required": ["function"]}
        return Grammar("json", {"type": "object", **schema, **shared})


def tool_error(reason: str) -> Refused:
    """A request whose tools cannot be used, or an answer that is no call."""
    return Refused("tool_error", f"Tool error: {reason}")


def _call(function: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of a call; definitions that it refers to go into `shared`, to the top of the whole."""
    arguments = function["arguments"]
    properties, required = arguments.get("properties") or {}, arguments.get("required") or []
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise tool_error(f"the arguments of {function['name']} are no JSON schema of an object")
    if "_name" in properties:
        raise tool_error(f"an argument of {function['name']} is called _name, as the call's own key is: rename it")
    for key in ("$defs", "definitions"):
        for name, schema in (arguments.get(key) or {}).items():
            if shared.setdefault(key, {}).setdefault(name, schema) != schema:
                raise tool_error(f"two tools define {key}/{name}, each in its way: give them two names")
    return {
        "type": "object",
        "properties": {"_name": {"const": function["name"]}, **properties},
        "required": ["_name", *required],
    }


def read_tools(fields: Fields) -> Tools | None:
    """`tools`, `tool_choice` and `tool_prompt`; None when no tool is wanted."""
    functions = [_read_function(fields.inside(one, f"tools[{n}]")) for n, one in enumerate(fields.items("tools"))]
    choice, named = _read_choice(fields)
    prompt = fields.text("tool_prompt")
    if not functions or (choice == "none" and not named):
        return None
    return Tools(tuple(functions), choice, named, PROMPT if prompt is None else prompt)


def _read_function(fields: Fields) -> dict[str, Any]:
    fields.text("type", required=True)
    inner = fields.inside(fields.raw("function"), "function")
    key = "parameters" if inner.raw("arguments") is None else "arguments"
    arguments = {} if inner.raw(key) is None else inner.raw(key)
    inner.inside(arguments, key)
    for shared in ("$defs", "definitions"):
        if arguments.get(shared) is not None:
            inner.inside(arguments[shared], f"{key}.{shared}")
    return {
        "name": inner.text("name", required=True),
        "description": inner.text("description"),
        "arguments": arguments,
    }


def _read_choice(fields: Fields) -> tuple[str, bool]:
    """The choice, and whether it is a function's name."""
    given = fields.raw("tool_choice")
    if given is None:
        return "auto", False
    if isinstance(given, str):
        if given not in ("auto", "none", "required"):
            raise fields.wrong("tool_choice", f"unknown variant `{given}`, expected `auto`, `none` or `required`")
        return given, False
    inner = fields.inside(given, "tool_choice")
    return inner.inside(inner.raw("function"), "function").text("name", required=True) or "", True


def told(text: str) -> dict[str, Any]:
    """The message that a whole answer is: tool calls, or words; raises Refused when it is cut off."""
    try:
        call = dict(json.loads(text)["function"])
        name = call.pop("_name")
    except (ValueError, KeyError, TypeError) as error:
        raise tool_error(f"Failed to parse generated text: {error}: {text!r}") from None
    if name == NO_TOOL:
        return {"role": "assistant", "content": _whole(str(call.get("content", "")))}
    function = {"description": None, "name": name, "arguments": json.dumps(call)}
    return {"role": "assistant", "tool_calls": [{"id": "0", "type": "function", "function": function}]}


def _whole(text: str) -> str:
    """Text in which every half of a torn surrogate pair is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Telling:
    """A streamed answer as deltas: the call's name once known, then its arguments, or the words, as they come."""

    def __init__(self) -> None:
        self._text, self._sent = "", 0
        self._named = False

    def add(self, text: str) -> dict[str, Any] | None:
        """The delta that more text makes; None while there is nothing to tell."""
        self._text += text
        head = HEAD.match(self._text)
        if head is None:
            return None
        name = json.loads(f'"{head[1]}"')
        known = self._spoken(head) if name == NO_TOOL else self._arguments(head)
        more, self._sent = known[self._sent :], len(known)
        if not more and (self._named or name == NO_TOOL):
            return None
        if name == NO_TOOL:
            return {"role": "assistant", "content": more}
        function = {"name": None if self._named else name, "arguments": more}
        self._named = True
        return {"role": "assistant", "tool_calls": [{"index": 0, "id": "0", "type": "function", "function": function}]}

    def _spoken(self, head: re.Match[str]) -> str:
        found = SPOKEN.match(self._text, head.end())
        text = json.loads(f'"{found[1]}"', strict=False) if found else ""
        torn = text and "\ud800" <= text[-1] <= "\udbff"  # the first half of a pair whose second half may come
        return _whole(text[:-1] if torn else text)

    def _arguments(self, head: re.Match[str]) -> str:
        rest = "{" + self._text[head.end() if head[2] == "," else head.start(2) :].lstrip()
        if not self._text.endswith("}"):
            return rest
        try:
            json.loads(self._text)
        except ValueError:
            return rest
        return rest[:-1]  # the last bracket is that of the whole
