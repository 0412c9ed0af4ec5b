"""A recipe, run: seeds, dialogues, drops, failures and facts on disk; resumable; shardable.

    runs/<name>/
        run.json         what ran and what came of it; kept + dropped + failed = seeds, always
        seeds.jsonl      what every dialogue starts from; seeds.stages.json says what making them took
        dialogues.jsonl  the kept ones, sorted by id
        dropped.jsonl    id, round, stage, reason, attempts, raw text
        failed.jsonl     the same, for what went wrong
        rounds/          every round's outcomes, one file a shard
        journal.sqlite   every reply, by the hash of its request

A rerun walks the same path again and finds each finished call in the journal, even in the middle of a conversation.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthesis import outcomes
from synthesis.asking import Account
from synthesis.dialogue import Dialogue, Origin, to_json
from synthesis.engine import Engine, Info, Reply, Request
from synthesis.errors import EngineError, Failure, JournalError, ReadingError, RequestRefused, StorageError, UserError
from synthesis.filter import first_reason
from synthesis.outcomes import Round, Row, Shard
from synthesis.recipe import Dropped, Pool, Recipe, Seed, prompt_hash, rng_for
from synthesis.storage import disk, parse, read_jsonl, read_text, write_json, write_jsonl

VERSION = "0.1.0"
POLL_SECONDS = 0.5
OUTAGE = 10
"""So many dialogues in a row that fail at the endpoint (all of them, if they are fewer) stop the run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and where.

    `in_flight`: dialogues worked on side by side. `command`: how a user would start the same run again.
    """

    recipe: Recipe
    preset: str
    folder: Path
    n: int
    seed: int
    info: Info
    shard: Shard = field(default_factory=Shard)
    in_flight: int = 64
    command: str = ""

    def identity(self) -> dict[str, Any]:
        """What must be the same for a rerun to be a resume."""
        names = [each.name for each in dataclasses.fields(self.recipe)]  # type: ignore[arg-type]
        return {
            "recipe": self.recipe.name,
            "preset": self.preset,
            "fields": {name: _plain(name, getattr(self.recipe, name)) for name in names},
            "n": self.n,
            "seed": self.seed,
            "model": self.info.model,
            "revision": self.info.revision,
            "dialect": self.info.dialect,
            "prompts": prompt_hash(self.recipe),
            "shards": self.shard.count,
        }

    def claim(self) -> dict[str, Any]:
        """run.json of a run that may go on in the folder, written anew if there is none.

        Raises UserError when the folder holds another run, or when what a new one is given cannot be used: nothing is
        written then, so that the corrected command does not meet the traces of the mistaken one.
        """
        path = self.folder / "run.json"
        identity = self.identity()
        if not path.exists():
            self.recipe.check()
            facts = {
                "status": "running",
                **identity,
                "command": self.command,
                "versions": {"parley": VERSION, "python": platform.python_version()},
            }
            write_json(path, facts)
            return facts
        facts = parse(read_text(path, "run"), str(path))
        other = [_difference(key, facts.get(key), value) for key, value in identity.items() if facts.get(key) != value]
        if other:
            raise UserError(
                f"{self.folder}: holds another run; {'; '.join(other)}. Give another --out, "
                "the same settings, or remove the folder"
            )
        return dict(facts)

    def withdraw(self) -> None:
        """Takes a claim back under which nothing was made, so that the corrected command finds the folder free."""
        path = self.folder / "run.json"
        if not (self.folder / "seeds.jsonl").exists():
            with disk(path):
                path.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Takes back what this shard made, but not the journal: the next run makes it again, from there."""
        path = self.folder / "run.json"
        write_json(path, self.claim() | {"status": "running"})
        made = [outcomes.part(self.folder, number, self.shard) for number in range(1, self.recipe.rounds + 1)]
        for each in [*made, *([self.folder / "seeds.jsonl"] if self.shard.index == 0 else [])]:
            with disk(each):
                each.unlink(missing_ok=True)


def _plain(name: str, value: Any) -> Any:
    """A field's value in run.json: a file by its name and content, so that a moved checkout is the same run."""
    if isinstance(value, Path):
        if not value.is_file():
            raise UserError(f"--{name.replace('_', '-')} {value}: not a file; give the path of one")
        return f"{value.name} sha256:{hashlib.sha256(value.read_bytes()).hexdigest()[:16]}"
    return list(value) if isinstance(value, tuple) else value


Show = Callable[[str, int, Mapping[str, int]], None]
"""Called with the phase, how many seeds it has, and the counts of kept, dropped and failed so far.

While seeds are made there are none to count (0), and the count is of requests.
"""


async def run(plan: Plan, engine: Engine, show: Show) -> dict[str, Any]:
    """Runs `plan` to its end, from wherever an earlier run stopped; returns run.json's content.

    Raises UserError when the folder holds another run, EngineError when the endpoint is gone, StorageError when the
    disk refuses; whatever was finished by then is in the journal.
    """
    begun = time.monotonic()
    facts = plan.claim()
    if facts["status"] == "complete":
        return facts
    pool, rounds = plan.recipe.pool(()), []
    seeds, seed_stages = await _seeds(plan, facts, engine, show)
    for number in range(1, plan.recipe.rounds + 1):
        await _round(plan, number, seeds, pool, engine, show)
        rounds.append(await _complete(plan, number, show))
        if number < plan.recipe.rounds:
            pool = plan.recipe.pool(tuple(rounds[-1].kept()))
    facts = facts | _result(plan, rounds, seed_stages) | {"seconds": round(time.monotonic() - begun, 1)}
    _publish(plan.folder, rounds[-1], facts)
    return facts


# ---- the folder -----------------------------------------------------------------------------------------------------


def _difference(key: str, there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        names = [name for name in here if there.get(name) != here[name]]
        return ", ".join(f"{name} is {there.get(name)!r} there and {here[name]!r} here" for name in names)
    return f"{key} is {there!r} there and {here!r} here"


async def _seeds(plan: Plan, facts: dict[str, Any], engine: Engine, show: Show) -> tuple[list[Seed], list[Row]]:
    """The run's seeds and what making them took; made once, by shard 0, and read by everybody."""
    path, account_path = plan.folder / "seeds.jsonl", plan.folder / "seeds.stages.json"
    if not path.exists() and plan.shard.index == 0:
        show("seeds", 0, {})
        account = Account(engine)

        async def told(request: Request) -> Reply:
            reply = await account(request)
            show("seeds", 0, {"requests": sum(stage.requests for stage in account.stages())})
            return reply

        made = [seed async for seed in plan.recipe.seeds(told, rng_for(plan.seed, "seeds"), plan.n)]
        if not made:
            raise UserError(
                f"recipe {plan.recipe.name}: no seed could be made from what was given; "
                "give more material or loosen what pairs it"
            )
        twice = sorted(id_ for id_, count in Counter(seed.id for seed in made).items() if count > 1)
        if twice:
            raise ValueError(f"recipe {plan.recipe.name}: made more than one seed with the id {twice[0]!r}")
        write_json(account_path, to_json(account.stages()))
        write_jsonl(path, [to_json(seed) for seed in sorted(made, key=lambda seed: seed.id)])
    while not path.exists():
        show("waiting for the seeds of shard 0", 0, {})
        await asyncio.sleep(POLL_SECONDS)
    seeds = [Seed(row["id"], row["content"]) for _, row in read_jsonl(path, "seeds")]
    return seeds, parse(read_text(account_path, "account"), str(account_path))


def _publish(folder: Path, last: Round, facts: dict[str, Any]) -> None:
    """The run's results; run.json comes last, because "complete" is what builders trust."""

    def ledger(outcome: str) -> Iterator[Row]:
        return (
            {"id": row["id"], "round": last.number} | {key: row[key] for key in ("stage", "reason", "attempts", "raw")}
            for row in last.rows()
            if row["outcome"] == outcome
        )

    write_jsonl(folder / "dropped.jsonl", ledger("dropped"))
    write_jsonl(folder / "failed.jsonl", ledger("failed"))
    write_jsonl(folder / "dialogues.jsonl", (row["dialogue"] for row in last.rows() if row["outcome"] == "kept"))
    write_json(folder / "run.json", facts)


# ---- a round --------------------------------------------------------------------------------------------------------


async def _round(plan: Plan, number: int, seeds: list[Seed], pool: Pool, engine: Engine, show: Show) -> None:
    """Takes this shard's seeds through a round, `in_flight` of them side by side, unless that was done before."""
    path = outcomes.part(plan.folder, number, plan.shard)
    mine = [seed for seed in seeds if _shard_of(seed.id, plan.shard.count) == plan.shard.index]
    if path.exists():
        return
    phase = f"round {number}/{plan.recipe.rounds}"
    counts = Counter(kept=0, dropped=0, failed=0)
    waiting = iter(mine)
    gone = _Outage(min(OUTAGE, len(mine)))
    show(phase, len(mine), counts)
    with outcomes.Writer(path) as writer:

        async def work() -> None:
            for seed in waiting:
                row, error = await _outcome(plan, number, seed, pool, engine)
                writer.add(row)
                counts[row["outcome"]] += 1
                show(phase, len(mine), counts)
                gone.see(error)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(plan.in_flight, len(mine))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors


def _shard_of(id_: str, count: int) -> int:
    return int(hashlib.sha256(id_.encode()).hexdigest()[:8], 16) % count


class _Outage:
    """Stops the run when dialogue after dialogue fails at the endpoint: it is gone, and no row should pay for that."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._row = 0

    def see(self, error: EngineError | None) -> None:
        self._row = 0 if error is None or isinstance(error, RequestRefused) else self._row + 1
        if self._row >= self._limit and error is not None:
            raise type(error)(
                f"{self._row} dialogues in a row failed: {error}. Every finished call is in the "
                "journal: start the same command again when the endpoint is back"
            ) from error


async def _outcome(plan: Plan, number: int, seed: Seed, pool: Pool, engine: Engine) -> tuple[Row, EngineError | None]:
    """What becomes of one seed. Nothing that goes wrong inside is lost: it becomes a row of the ledger."""
    account = Account(engine)
    head = {"id": seed.id}
    fault: EngineError | None = None
    try:
        made = await plan.recipe.dialogue(seed, pool, account, rng_for(plan.seed, seed.id, number))
        dropped = await first_reason(plan.recipe.filters(account), made)
    except Dropped as error:
        return head | _loss("dropped", error.stage, error.reason, error.raw, account), None
    except (UserError, JournalError, StorageError):
        raise
    except Exception as error:  # the failure ledger: one bad dialogue must not take the run down, nor vanish
        fault = error if isinstance(error, EngineError) else None
        raw = error.raw if isinstance(error, ReadingError) else ""
        kind = type(error).__name__
        return head | _loss("failed", kind, f"{kind}: {error}", raw, account), fault
    if dropped:
        return head | _loss("dropped", *dropped, made.text(), account), None
    dialogue = to_json(_with_origin(made, plan, number, account))
    return head | {"outcome": "kept", "dialogue": dialogue, "stages": to_json(account.stages())}, None


def _loss(outcome: str, stage: str, reason: str, raw: str, account: Account) -> Row:
    stages = account.stages()
    return {
        "outcome": outcome,
        "stage": stage,
        "reason": reason,
        "attempts": sum(stage.requests for stage in stages),
        "raw": raw,
        "stages": to_json(stages),
    }


def _with_origin(dialogue: Dialogue, plan: Plan, number: int, account: Account) -> Dialogue:
    """The dialogue with its provenance; one that a later round only confirmed keeps the provenance it has."""
    if dialogue.origin is not None:
        return dialogue
    model, prompts = plan.info, prompt_hash(plan.recipe)
    origin = Origin(
        plan.recipe.name, plan.preset, model.model, model.revision, prompts, plan.seed, number, account.stages()
    )
    return dataclasses.replace(dialogue, origin=origin)


async def _complete(plan: Plan, number: int, show: Show) -> Round:
    """The round with all shards in and its dialogues compared with one another."""
    shards = plan.shard.count
    parts = [outcomes.part(plan.folder, number, Shard(index, shards)) for index in range(shards)]
    while absent := [path.stem for path in parts if not path.exists()]:
        show(f"waiting for round {number} of shard {', '.join(absent)}", 0, {})
        await asyncio.sleep(POLL_SECONDS)
    across: dict[str, tuple[str, str]] = {}
    for judge in plan.recipe.across():
        found = judge.across(Round(plan.folder, number, shards, across).kept())
        across |= {id_: (judge.name, reason) for id_, reason in found.items()}
    return Round(plan.folder, number, shards, across)


# ---- what came of it ------------------------------------------------------------------------------------------------


def _result(plan: Plan, rounds: list[Round], seed_stages: list[Row]) -> dict[str, Any]:
    """The part of run.json that is known at the end."""
    funnel = [_funnel(each) for each in rounds]
    total = outcomes.stages(iter([{"stages": seed_stages}, *[{"stages": list(_stages(each))} for each in rounds]]))
    last = funnel[-1]
    counts = {
        "seeds": last["seeds"],
        "kept": last["kept"],
        "dropped": sum(last["dropped"].values()),
        "failed": sum(last["failed"].values()),
    }
    if counts["seeds"] != counts["kept"] + counts["dropped"] + counts["failed"]:
        raise Failure(f"{plan.folder}: the ledger does not add up: {counts}")
    return {
        "status": "complete",
        "rounds": len(rounds),
        "counts": counts,
        "funnel": funnel,
        "contests": [{"round": each.number, **outcomes.contest(each.kept())} for each in rounds],
        "stages": [total[name] for name in sorted(total)],
    }


def _stages(each: Round) -> Iterable[Row]:
    return outcomes.stages(each.rows()).values()


def _funnel(each: Round) -> dict[str, Any]:
    kept, dropped, failed = 0, Counter[str](), Counter[str]()
    for row in each.rows():
        kept += row["outcome"] == "kept"
        dropped.update([row["stage"]] if row["outcome"] == "dropped" else [])
        failed.update([row["stage"]] if row["outcome"] == "failed" else [])
    seeds = kept + dropped.total() + failed.total()
    return {
        "round": each.number,
        "seeds": seeds,
        "kept": kept,
        "dropped": dict(sorted(dropped.items())),
        "failed": dict(sorted(failed.items())),
    }
