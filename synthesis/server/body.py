"""The request body: bytes to JSON to typed fields, with the plain-text errors of TGI's extractor."""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any, NoReturn

LIMIT = 2 * 1024 * 1024  # bytes
DEEPEST = 128  # nested arrays and objects, as in serde_json
SURE = range(-(2**63), 2**64)  # whole numbers that serde_json keeps as such
BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)  # a string without an end is one to the end
MEDIA = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class BadBody(Exception):
    """A body that never became a request: answered with `status` and plain text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class NotDeserializable(Exception):
    """JSON that is no request; the place is added by `refuse`."""


def check_media(content_type: str) -> None:
    """Raise BadBody unless the media type is JSON."""
    if not MEDIA.fullmatch(content_type.strip()):
        raise BadBody(415, "Expected request with `Content-Type: application/json`")


def refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities, which Python would read, are no JSON."""
    raise ValueError(f"expected value, found {name}")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _integer(text: str) -> int | float:
    """A whole number; one beyond 64 bits becomes a float, as in serde_json."""
    if len(text) > 20:
        return _finite(text)
    value = int(text)
    return value if value in SURE else float(value)


def parse(data: bytes) -> Any:
    """The JSON value in `data`; raises BadBody for anything else, however it is broken."""
    try:
        text = data.decode("utf-8")
        check_depth(text)
        value = json.loads(text, parse_constant=refuse_constant, parse_float=_finite, parse_int=_integer)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate is no text
    except UnicodeDecodeError as error:
        raise BadBody(400, f"Failed to parse the request body as JSON: invalid unicode code point: {error}") from None
    except UnicodeEncodeError:
        raise BadBody(400, "Failed to parse the request body as JSON: lone surrogate in hex escape") from None
    except (ValueError, RecursionError) as error:
        raise BadBody(400, f"Failed to parse the request body as JSON: {error}") from None
    return value


def check_depth(text: str) -> None:
    """Raise ValueError beyond the nesting limit; brackets inside strings do not count. In linear time, whatever comes:
    one hostile body must not hold up the event loop."""
    depth = 0
    for found in BRACKET.finditer(text):
        bracket = found[0]
        if bracket in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError("recursion limit exceeded")
        elif bracket in "]}":
            depth -= 1


def refuse(error: NotDeserializable, data: bytes) -> BadBody:
    """The plain-text 422, with the place where the value ended."""
    lines = data.rstrip().split(b"\n")
    place = f"at line {len(lines)} column {len(lines[-1])}"
    return BadBody(422, f"Failed to deserialize the JSON body into the target type: {error} {place}")


def _named(value: Any) -> str:
    """A value as serde names it in its messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value:g}`"
    if isinstance(value, str):
        return f'string "{value[:100]}"'
    return "map" if isinstance(value, dict) else "sequence"


class Fields:
    """The fields of one JSON object; every reader raises NotDeserializable with the field's path."""

    def __init__(self, value: Any, path: str = "") -> None:
        self._path = path
        if not isinstance(value, dict):
            raise NotDeserializable(f"{path + ': ' if path else ''}invalid type: {_named(value)}, expected struct")
        self._value = value

    def inside(self, value: Any, key: str) -> Fields:
        """The fields of an object below this one."""
        return Fields(value, self._at(key))

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def wrong(self, key: str, reason: str) -> NotDeserializable:
        return NotDeserializable(f"{self._at(key)}: {reason}")

    def mistyped(self, key: str, value: Any, expected: str) -> NotDeserializable:
        return self.wrong(key, f"invalid type: {_named(value)}, expected {expected}")

    def raw(self, key: str) -> Any:
        """The value as it is; None when absent or null."""
        return self._value.get(key)

    def text(self, key: str, *, required: bool = False) -> str | None:
        value = self._value.get(key)
        if value is None and required and key not in self._value:
            raise NotDeserializable(f"{self._path + ': ' if self._path else ''}missing field `{key}`")
        if isinstance(value, str) or (value is None and not required):
            return value
        raise self.mistyped(key, value, "a string")

    def flag(self, key: str) -> bool:
        value = self._value.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.mistyped(key, value, "a boolean")

    def number(self, key: str) -> float | None:
        value = self._value.get(key)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return None if value is None else self._single(key, value)
        raise self.mistyped(key, value, "f32")

    def _single(self, key: str, value: float) -> float:
        """Rounded to the 32 bits that the protocol's numbers have."""
        try:
            rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            raise self.wrong(key, f"invalid value: floating point `{value:g}`, expected f32") from None
        return rounded

    def integer(self, key: str, low: int = -(2**31), high: int = 2**31, kind: str = "i32") -> int | None:
        value = self._value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.mistyped(key, value, kind)
        if not low <= value < high:
            raise self.wrong(key, f"invalid value: integer `{value}`, expected {kind}")
        return value

    def count(self, key: str, bits: int) -> int | None:
        """An unsigned whole number of so many bits."""
        return self.integer(key, 0, 2**bits, f"u{bits}")

    def items(self, key: str) -> list[Any]:
        value = self._value.get(key)
        if value is None or isinstance(value, list):
            return value or []
        raise self.mistyped(key, value, "a sequence")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; a lone string is a list of one, as OpenAI's clients send it."""
        value = self._value.get(key)
        if isinstance(value, str):
            return (value,)
        for place, item in enumerate(self.items(key)):
            if not isinstance(item, str):
                raise self.mistyped(f"{key}[{place}]", item, "a string")
        return tuple(value or ())
