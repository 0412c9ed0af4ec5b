"""JSON over the wire: the same bytes for the same value, and nothing refused that Python's own JSON takes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.wire import decoded, encoded

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUE = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=10)  # unpaired surrogates too


@given(VALUE)
def test_a_value_comes_back_and_reads_the_same_in_any_json(value: object) -> None:
    assert json.loads(encoded(value)) == value
    if not any(isinstance(at, int) and not -(2**63) <= at < 2**64 for at in _leaves(value)):
        assert decoded(encoded(value)) == value


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]


@given(st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=5))
def test_keys_keep_their_order_and_any_text_goes(value: dict[str, str]) -> None:
    """Our server has the properties of a schema come in the order in which they are listed."""
    for each in (value, dict(reversed(value.items()))):
        assert list(decoded(encoded(each)).items()) == list(each.items())


def test_what_python_takes_is_taken() -> None:
    assert decoded(b'["\\ud800", 18446744073709551615]') == ["\ud800", 2**64 - 1]
    infinite, nothing = decoded(b"[-Infinity, NaN]")
    assert infinite == -math.inf
    assert math.isnan(nothing)


@pytest.mark.parametrize("data", [b"", b"{", b'{"a" 1}', b"\xff", b"nul"])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(data)
