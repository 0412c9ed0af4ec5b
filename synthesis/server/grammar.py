"""Output held to a JSON schema or a regular expression by llguidance masks.

Three things follow TGI rather than the letter of JSON Schema: what lists properties is an object, it has those
properties and no others, and there is no free white space (a small model would pad with it until its budget ends).
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthesis.server.body import check_depth, refuse_constant
from synthesis.server.protocol import Grammar, invalid
from synthesis.server.rehearsal import PATIENCE, Rehearsal, matcher_of, tokenizer_of

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from synthesis.server.text import Tokenizer

KEPT = 32  # compiled grammars, as in TGI
SHOWN = 500  # characters of a compiler's reason
NAMED = ("properties", "$defs", "definitions")  # keywords whose value maps names to schemas
LISTED = ("anyOf", "oneOf", "prefixItems")  # keywords whose value is a list of schemas; allOf must stay open


def closed(schema: Any) -> Any:
    """The schema with every object closed that lists its properties and says nothing about others.

    A schema with properties and no type is that of an object; to the letter, it would allow texts and numbers as well.
    """
    if not isinstance(schema, dict):
        return schema
    done = dict(schema)
    for key in NAMED:
        if isinstance(done.get(key), dict):
            done[key] = {name: closed(value) for name, value in done[key].items()}
    for key in LISTED:
        if isinstance(done.get(key), list):
            done[key] = [closed(value) for value in done[key]]
    if "items" in done:
        done["items"] = closed(done["items"])
    if "properties" in done and not any(key in done for key in ("type", "const", "enum")):
        done["type"] = "object"
    told = ("additionalProperties", "patternProperties", "unevaluatedProperties", "allOf", "$ref")
    if "properties" in done and not any(key in done for key in told):
        done["additionalProperties"] = False
    return done


def source(grammar: Grammar) -> str:
    """The grammar in llguidance's language; raises Refused with TGI's texts."""
    from llguidance import LLMatcher

    if grammar.kind == "regex":
        return str(LLMatcher.grammar_from_regex(str(grammar.value)))
    schema = grammar.value
    if isinstance(schema, str):
        try:
            check_depth(schema)
            schema = json.loads(schema, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise invalid(f"grammar is not valid: {error}") from None
    if not isinstance(schema, dict):
        raise invalid("grammar is not valid: a JSON schema must be an object")
    if grammar.kind != "any" and "properties" not in schema:
        raise invalid("grammar is not valid: Grammar must have a 'properties' field")
    if not isinstance(schema.get("properties", {}), dict):
        raise invalid("grammar is not valid: 'properties' must be an object")
    return str(LLMatcher.grammar_from_json_schema({**closed(schema), "x-guidance": {"whitespace_flexible": False}}))


@dataclass(slots=True)
class Guide:
    """The grammar's state along one generation."""

    _matcher: LLMatcher
    _bits: NDArray[np.int32]

    def allowed(self, vocabulary: int) -> NDArray[np.bool_]:
        """Which tokens may come next; raises ValueError when the grammar gave up (a resource limit)."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits)
        if self._matcher.is_error():
            raise ValueError(f"the grammar gave up: {self._matcher.get_error()}")
        return np.unpackbits(self._bits[0].view(np.uint8), bitorder="little")[:vocabulary].astype(np.bool_)

    def accept(self, token: int) -> None:
        """Move past a chosen token."""
        if not self._matcher.consume_token(token):
            raise ValueError(f"the grammar refused token {token}: {self._matcher.get_error()}")


class Grammars:
    """Compiles grammars for one tokenizer and keeps what became of the last 32, bad ones too."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._text = tokenizer
        self._tokenizer: LLTokenizer | None = None
        self._rehearsal: Rehearsal
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, LLMatcher | str] = OrderedDict()

    def source(self, grammar: Grammar) -> str:
        """The grammar as text, by which it is kept; raises Refused for what is no grammar."""
        if not self._text.eos:
            raise invalid("grammar is not supported")
        return source(grammar)

    def guide(self, text: str) -> Guide | None:
        """A fresh guide, None for a grammar that is not kept; raises Refused when it is known not to compile."""
        with self._lock:
            found = self._kept.get(text)
            if found is None:
                return None
            self._kept.move_to_end(text)
        if isinstance(found, str):
            raise invalid(found)
        width = (self._text.vocabulary + 31) // 32
        return Guide(found.deep_copy(), np.zeros((1, width), dtype=np.int32))

    def compile(self, text: str, kind: str) -> Guide:
        """A fresh guide of a grammar that may be new. Call it from one thread alone: it may take seconds."""
        with self._lock:
            known = text in self._kept
        if not known:
            found = self._compiled(text, kind)
            with self._lock:
                self._kept[text] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        guide = self.guide(text)
        assert guide is not None  # the newest is not the one to go
        return guide

    def _compiled(self, text: str, kind: str) -> LLMatcher | str:
        """The grammar compiled, or why it cannot be."""
        ends = sorted(self._text.eos)
        if self._tokenizer is None:
            self._tokenizer = tokenizer_of(self._text.serialized(), self._text.vocabulary, ends)
            self._rehearsal = Rehearsal(self._text.serialized(), self._text.vocabulary, ends)
        what = "grammar is not valid" if kind == "regex" else "cannot compile regex from schema"
        reason = self._rehearsal.error(text)
        if reason is None:
            return f"{what}: it is too complex: it took more than {PATIENCE} seconds, or too much memory"
        if reason:
            return f"{what}: {reason.strip().splitlines()[0][:SHOWN]}"
        return matcher_of(self._tokenizer, text)
