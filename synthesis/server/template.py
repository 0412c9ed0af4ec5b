"""Chat messages made into a prompt by the model's own jinja template, in the environment transformers gives it.

The template runs in jinja's immutable sandbox. `{% generation %}` marks what a trainer learns from; here it is plain.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.server.protocol import Refused
from synthesis.server.text import Tokenizer
from synthesis.server.tools import Tools

if TYPE_CHECKING:
    from jinja2 import Template

MARK = "\ue000\ue001 "
"""Put after a message to be continued, so that its end is found; where messages are trimmed, the space goes."""


class ChatTemplate:
    """A model folder's chat template, compiled at first use."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._compiled: Template | None = None

    def _source(self) -> str:
        path = self._folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        given: Any = self._tokenizer.config.get("chat_template")
        if isinstance(given, list):  # several named templates
            named = {str(one.get("name")): one.get("template") for one in given if isinstance(one, dict)}
            given = named.get("default")
        if isinstance(given, str):
            return given
        raise Refused(
            "template_error",
            f"Template error: template not found: {self._folder.name} has no chat template; "
            "send a finished prompt to /generate instead",
        )

    def _template(self) -> Template:
        from jinja2 import TemplateError

        if self._compiled is None:
            source = self._source()
            try:
                self._compiled = _environment().from_string(source)
            except TemplateError as error:
                raise Refused("template_error", f"Template error: {error}") from None
        return self._compiled

    def render(self, messages: list[dict[str, Any]], tools: Tools | None = None) -> str:
        """The prompt for the next reply; when the last message is the assistant's, the prompt that continues it.

        A template that knows no tools gets them at the end of the last message.
        """
        shown = tools.shown() if tools else None
        if tools and messages:
            listed = "" if self._knows_tools() else f"{json.dumps(shown, ensure_ascii=False)}\n"
            content = f"{messages[-1].get('content') or ''}\n---\n{listed}{tools.prompt}"
            messages = [*messages[:-1], {**messages[-1], "content": content}]
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant":
            begun = str(last.get("content") or "")
            messages = messages[:-1]
            if begun.strip():
                return self._continued([*messages, {**last, "content": begun + MARK}], shown)
        return self._fill(messages, shown, opening=True)

    def _continued(self, messages: list[dict[str, Any]], tools: Any) -> str:
        """The prompt up to the mark in the last message."""
        before, found, after = self._fill(messages, tools, opening=False).rpartition(MARK.strip())
        if not found:
            raise Refused(
                "template_error",
                "Template error: the template changes the last assistant message, so it cannot be continued",
            )
        return before if after.startswith(" ") else before.rstrip()

    def _knows_tools(self) -> bool:
        from jinja2 import TemplateError
        from jinja2.meta import find_undeclared_variables

        try:
            return "tools" in find_undeclared_variables(_environment().parse(self._source()))
        except TemplateError as error:
            raise Refused("template_error", f"Template error: {error}") from None

    def _fill(self, messages: list[dict[str, Any]], tools: Any, *, opening: bool) -> str:
        from jinja2 import TemplateError, UndefinedError

        named = {key: self._tokenizer.named(key) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
        try:
            return self._template().render(messages=messages, add_generation_prompt=opening, tools=tools, **named)
        except UndefinedError as error:
            raise Refused("missing_template_variable", f"Missing template vatiable: {error}") from None
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise Refused("template_error", f"Template error: {error}") from None


def _environment() -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %} ... {% endgeneration %}` as a plain scope."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own interface

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    def fail(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **other: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **other)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    return environment
