"""Compression: how much shorter the dialogues get when what comes again is said once."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Compression:
    """How well all dialogues compress: their size by that of the gzip file that holds them.

    Formula: bytes of the text / bytes of its gzip form at level 9; the text is all utterances in order, without
    speakers, a line each, in UTF-8.

    Source: the compression ratio of Shaib et al. 2024 (arXiv 2403.00553).

    Known defects: gzip sees repetition within 32 KiB only, so that the order of the dialogues counts and far
    repetition does not; short data sets compress worse because of the 18 bytes around them and because there is
    little to refer back to; scripts of several bytes a letter compress better without being any more monotonous.

    Example: 1,000 times "ha" and a line break are 3,000 bytes; the ratio is 3,000 / 43, for gzip needs 43.
    """

    about: ClassVar[Mapping[str, str]] = {
        "compression_ratio": "bytes of all utterances / bytes of their gzip form; above 0, lower is more varied",
    }

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        gzip = zlib.compressobj(level=9, wbits=zlib.MAX_WBITS | 16)
        size = packed = 0
        for dialogue in dialogues:
            text = "".join(f"{turn.text}\n" for turn in dialogue.turns).encode("utf-8", "replace")
            size += len(text)
            packed += len(gzip.compress(text))
        packed += len(gzip.flush())
        return {"compression_ratio": size / packed} if size else {}
