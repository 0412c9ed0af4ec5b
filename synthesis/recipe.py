"""Recipe: one published system as a frozen dataclass. Its fields are the hyper-parameters, its methods the procedure.

A recipe is deterministic given the run's seed and the replies: `rng` is `Random(f"{run_seed}:{seed.id}")`, every
request's seed is drawn from it, and nothing else is random. That is what makes the journal enough for resume.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal, Protocol, get_args, get_origin, get_type_hints

from synthesis.contents import is_local
from synthesis.dialogue import Dialogue
from synthesis.engine import Engine
from synthesis.errors import Failure, UserError
from synthesis.filter import Across, Filter


@dataclass(frozen=True, slots=True)
class Seed:
    """What one dialogue starts from: an id and JSON-plain content that only its recipe understands."""

    id: str
    content: Mapping[str, Any]


class Dropped(Failure):
    """Raised inside `Recipe.dialogue` when no acceptable dialogue came of a seed.

    `stage`: where; `reason`: as a filter's, "faithfulness: ..."; `raw`: the last text that was judged.
    """

    def __init__(self, stage: str, reason: str, raw: str = "") -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage, self.reason, self.raw = stage, reason, raw


@dataclass(frozen=True, slots=True)
class Pool:
    """What a round may learn from: `exemplars` for prompts, and the dialogues kept by the round before, by seed id."""

    exemplars: Sequence[Dialogue] = ()
    previous: Mapping[str, Dialogue] = dataclasses.field(default_factory=dict)


class Recipe(Protocol):
    """The procedure. `name` is the file's stem; `rounds` the passes over all seeds; `presets` field values by name."""

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    prompts: ClassVar[tuple[Template, ...]]

    @property
    def rounds(self) -> int: ...

    def check(self) -> None:
        """Reads what the user gave, before anything is written or asked. Raises UserError for what cannot be used."""
        ...

    def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """At most `n` seeds; may ask the engine. Written once to seeds.jsonl before the first dialogue."""
        ...

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """The pool of a round, from what the round before kept (empty in the first), ids sorted."""
        ...

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """One dialogue. Raises Dropped, ReadingError or EngineError."""
        ...

    def filters(self, engine: Engine) -> Sequence[Filter]: ...

    def across(self) -> Sequence[Across]: ...


def prompt_hash(recipe: Recipe) -> str:
    """First 16 hex digits of the SHA-256 over the recipe's templates."""
    text = "\0".join(template.template for template in recipe.prompts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rng_for(run_seed: int, seed_id: str, round_number: int = 1, walk: int = 0) -> Random:
    """The one source of chance for a dialogue; independent of order, concurrency and shards.

    `walk`: 0, and counting up where a retry walks a second way because nothing readable came on the first.
    """
    return Random(f"{run_seed}:{seed_id}:{round_number}" + (f":{walk}" if walk else ""))


def fork(rng: Random) -> Random:
    """A stream of its own for a call that runs beside others, so that who finishes first cannot matter."""
    return Random(rng.getrandbits(64))


def draw_seed(rng: Random) -> int:
    """A sampling seed for one request."""
    return rng.getrandbits(32)


def at_least(recipe: Any, least: Mapping[str, float]) -> None:
    """Raises UserError for the first field that is below its `least`; one that is None is not."""
    for field, bound in least.items():
        value = getattr(recipe, field)
        if value is not None and value < bound:
            raise UserError(f"recipe {recipe.name}: {field} is {value}, expected at least {bound}")


def make(kind: type[Any], preset: str, values: Mapping[str, str | Sequence[str]]) -> Any:
    """A recipe from its preset and the user's `--field value` strings: one, or all that were given for a field.

    Raises UserError naming an unknown preset or field, or a value that does not fit the field's type.
    """
    if preset not in kind.presets:
        raise UserError(f"recipe {kind.name}: no preset {preset!r}; it has {', '.join(sorted(kind.presets))}")
    hints = get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - fields)
    if unknown:
        known = ", ".join(sorted(fields))
        raise UserError(f"recipe {kind.name}: unknown field {unknown[0]!r}; its fields are {known}")
    given = {name: _given(hints[name], texts, f"--{name.replace('_', '-')}") for name, texts in values.items()}
    return kind(**(dict(kind.presets[preset]) | given))


def _given(hint: Any, texts: str | Sequence[str], flag: str) -> Any:
    """A tuple has a member for each time its flag was given; any other type takes one value."""
    texts = [texts] if isinstance(texts, str) else texts
    if get_origin(hint) is tuple:
        return tuple(_parse(get_args(hint)[0], text.strip(), flag) for text in texts)
    if len(texts) != 1:
        raise UserError(f"{flag}: given {len(texts)} times ({', '.join(texts)}); it takes one value")
    return _parse(hint, texts[0], flag)


def _parse(hint: Any, text: str, flag: str) -> Any:
    """`text` as the type `hint`: int, float, bool, str, Path, Literal, or an optional of them.

    `Path | str` is a file or folder where there is one, so that run.json knows its content, and else a name, as of a
    dataset.
    """
    arguments = get_args(hint)
    if set(arguments) == {Path, str}:
        return Path(text) if is_local(text) else text
    if type(None) in arguments:
        rest = [part for part in arguments if part is not type(None)]
        return None if text.lower() == "none" else _parse(rest[0], text, flag)
    if get_origin(hint) is Literal:
        if text not in arguments:
            raise UserError(f"{flag}: got {text!r}, expected one of {', '.join(map(str, arguments))}")
        return text
    if hint is bool:
        if text.lower() not in _BOOLEANS:
            raise UserError(f"{flag}: got {text!r}, expected true or false")
        return _BOOLEANS[text.lower()]
    try:
        value = hint(text)
    except ValueError as error:
        raise UserError(f"{flag}: got {text!r}, expected {hint.__name__}") from error
    if hint is float and not math.isfinite(value):
        raise UserError(f"{flag}: got {text!r}, expected a finite number")
    return value


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
