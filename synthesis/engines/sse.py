"""Server-sent events: bytes in, in whatever pieces the network cuts them, the events' data out.

Source: WHATWG HTML, section 9.2.6. Lines end in LF or CRLF. An event that no empty line closes is torn and never comes
out, so a stream that breaks off cannot pass for a whole one.
"""

from __future__ import annotations


class EventReader:
    """Feeds on bytes; keeps the unfinished line and event for the next piece."""

    def __init__(self) -> None:
        self._line = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """The data of each event that `piece` completes, in order. Comments and fields besides `data` are dropped."""
        *lines, self._line = (self._line + piece).split(b"\n")
        return [event for line in lines if (event := self._read(line.removesuffix(b"\r"))) is not None]

    def _read(self, line: bytes) -> str | None:
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" ").decode(errors="replace"))
            return None
        event, self._data = self._data, []
        return "\n".join(event) if event else None
