"""Where a reply ends: at the first stop text, wherever the server left it.

TGI leaves the stop text at the end of what it generated, and a stop text can begin inside a token, so that more than
the stop text may stand behind it. A reply is therefore cut once more on our side.
"""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str], finish_reason: str) -> tuple[str, str]:
    """`text` up to the first stop text, and the reason why it ends: "stop_sequence" if anything was cut."""
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return (text[: min(found)], "stop_sequence") if found else (text, finish_reason)


def mended(text: str) -> str:
    """`text` with unpaired surrogates, which a JSON escape can smuggle in and UTF-8 cannot hold, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
