"""Tokens and text: the model folder's own tokenizer, text that grows token by token, stop strings.

Reads `tokenizer.json` with the tokenizers library alone, which starts in a tenth of the time transformers needs; only
a folder without one goes through transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.server.checkpoint import OLDER, read_json

TORN = "\ufffd"  # what a decoder writes for a character whose bytes are not all there yet
LONGEST_CHARACTER = 4  # bytes of UTF-8, hence tokens that one character can be torn over


def _converted(folder: Path) -> str:
    """tokenizer.json of a folder that has only the files of older tokenizers."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return str(found.backend_tokenizer.to_str())
    except (OSError, ValueError, ImportError, AttributeError, KeyError) as error:
        raise UserError(
            f"{folder} has no tokenizer.json, and its older files make none ({error}): save a fast tokenizer there"
        ) from None


class Tokenizer:
    """Text to ids and back. `eos` are the ids that end a generation, `specials` the ids that text leaves out."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        import tokenizers

        path = folder / "tokenizer.json"
        if path.exists() or not any((folder / name).exists() for name in OLDER):
            if not isinstance(read_json(path).get("model"), dict):
                raise UserError(f"{path} is no tokenizer: save a fast tokenizer beside the model with save_pretrained")
            self._inner = tokenizers.Tokenizer.from_file(str(path))
        else:
            self._inner = tokenizers.Tokenizer.from_str(_converted(folder))
        self._inner.no_truncation()
        self._inner.no_padding()
        config = folder / "tokenizer_config.json"
        self.config = read_json(config) if config.exists() else {}
        self.vocabulary = vocabulary
        largest = max(self._inner.get_vocab(with_added_tokens=True).values(), default=0)
        if largest >= vocabulary:
            raise UserError(f"{path} has ids up to {largest}, but the model knows {vocabulary}: they are no pair")
        added = self._inner.get_added_tokens_decoder()
        self.specials = frozenset(number for number, token in added.items() if token.special)
        self.eos = frozenset(self._find_eos(folder))

    def _find_eos(self, folder: Path) -> list[int]:
        """generation_config.json decides, then config.json, then the tokenizer's own end token."""
        for name in ("generation_config.json", "config.json"):
            if (folder / name).exists():
                given = read_json(folder / name).get("eos_token_id")
                if given is not None:
                    return [int(one) for one in (given if isinstance(given, list) else [given])]
        number = self._inner.token_to_id(self.named("eos_token"))
        return [] if number is None else [number]

    def named(self, key: str) -> str:
        """The text of a token named in tokenizer_config.json, such as "bos_token"; empty when there is none."""
        value: Any = self.config.get(key)
        return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")

    def encode(self, text: str, *, specials: bool = True) -> list[int]:
        """The ids of `text`; `specials` adds what the tokenizer puts around every text.

        As a batch of one: unlike a single text, a batch lets other threads run meanwhile.
        """
        return self._inner.encode_batch_fast([text], add_special_tokens=specials)[0].ids

    def spans(self, text: str, *, specials: bool = True) -> list[tuple[int, int, int]]:
        """(id, start, stop) of every token, in characters of `text`."""
        found = self._inner.encode_batch([text], add_special_tokens=specials)[0]
        return [(number, start, stop) for number, (start, stop) in zip(found.ids, found.offsets, strict=True)]

    def decode(self, ids: Sequence[int], *, skip_specials: bool = False) -> str:
        """The text of `ids`."""
        return self._inner.decode(ids, skip_special_tokens=skip_specials)

    def token(self, number: int) -> str:
        """The text of one token by itself."""
        return self._inner.decode([number], skip_special_tokens=False)

    def serialized(self) -> str:
        """tokenizer.json as it stands in memory."""
        return self._inner.to_str()


class Growing:
    """Text that grows by a token at a time; a character torn over tokens appears with its last one."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt[-LONGEST_CHARACTER - 1 :])
        self._shown, self._from = len(self._ids), max(0, len(self._ids) - 1)

    def add(self, number: int, *, last: bool = False) -> str:
        """The text that a token adds; `last` gives up waiting for the rest of a torn character."""
        self._ids.append(number)
        before = self._tokenizer.decode(self._ids[self._from : self._shown])
        now = self._tokenizer.decode(self._ids[self._from :])
        hopeless = last or len(self._ids) - self._shown >= LONGEST_CHARACTER
        if len(now) <= len(before) or (now.endswith(TORN) and not hopeless):
            return ""
        self._from, self._shown = self._shown, len(self._ids)
        return now[len(before) :]


class Stops:
    """Watches growing text for stop strings, wherever in a token they begin or end."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._reach = max(map(len, self._stops), default=1) - 1
        self._tail = ""

    def __bool__(self) -> bool:
        return bool(self._stops)

    def add(self, text: str) -> int | None:
        """Characters of `text` after the end of the first stop string in it; None when there is none."""
        window = self._tail + text
        ends = [found + len(stop) for stop in self._stops if (found := window.find(stop)) >= 0]
        self._tail = window[-self._reach :] if self._reach else ""
        return len(window) - min(ends) if ends else None
