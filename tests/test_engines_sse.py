"""Server-sent events and stop texts, whatever the pieces they come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synthesis.engines.sse import EventReader
from synthesis.engines.stops import cut, mended

LINES = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1)


@given(st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5), st.data())
def test_events_survive_any_cut_and_any_spelling(events: list[list[str]], data: st.DataObject) -> None:
    stream = ""
    for event in events:
        end = data.draw(st.sampled_from(["\n", "\r\n"]))
        stream += data.draw(st.sampled_from(["", f": comment{end}", f"event: x{end}id: 3{end}", end]))
        # A single leading space belongs to the protocol, so text that starts with one needs it spelt out.
        stream += "".join(f"data:{' ' if line[0] == ' ' or len(line) % 2 else ''}{line}{end}" for line in event) + end
    raw = stream.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    reader = EventReader()
    pieces = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [event for piece in pieces for event in reader.feed(piece)] == ["\n".join(event) for event in events]


def test_an_unfinished_event_never_comes_out() -> None:
    reader = EventReader()
    assert reader.feed(b'data: {"whole": 1}\n') == []
    assert reader.feed(b"") == []
    assert reader.feed(b"\n") == ['{"whole": 1}']


@given(st.text("ab\nU:", max_size=30), st.lists(st.text("ab\nU:", max_size=4), max_size=4))
def test_no_stop_text_is_left_and_nothing_before_it_is_lost(text: str, stops: list[str]) -> None:
    kept, reason = cut(text, stops, "length")
    assert text.startswith(kept)
    assert not any(stop in kept for stop in stops if stop)
    assert reason == ("length" if kept == text and not any(s in text for s in stops if s) else "stop_sequence")
    rest = text[len(kept) :]
    assert not rest or any(rest.startswith(stop) for stop in stops if stop)


@given(st.text(st.characters()))
def test_mended_text_is_utf8_and_good_text_is_untouched(text: str) -> None:
    assert mended(text).encode().decode() == mended(text)
    surrogates = any(0xD800 <= ord(character) < 0xE000 for character in text)
    assert surrogates or mended(text) == text


def test_unpaired_surrogates_become_the_replacement_character() -> None:
    assert mended("a\ud83db \ud83d\ude00") == "a\ufffdb \U0001f600"
