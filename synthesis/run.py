"""A recipe, run: seeds, dialogues, drops, failures and facts on disk; resumable; shardable.

    runs/<name>/
        run.json         what ran and what came of it; kept + dropped + failed = seeds, always
        seeds.jsonl      what every dialogue starts from; seeds.stages.json says what making them took
        dialogues.jsonl  the kept ones, sorted by id
        dropped.jsonl    id, round, stage, reason, attempts, raw text
        failed.jsonl     the same, for what went wrong
        rounds/          every round's outcomes, one file a shard
        traffic/         what all processes have sent, one file a shard: run.json's traffic is the sum
        journal.sqlite   every reply, by the hash of its request

In run.json `stages` counts what the dialogues are made of, whether a reply was asked for or found in the journal: it
is the same however often the run was stopped. `traffic` counts what went over the wire, and `cost` is the price of it.

A rerun goes on with the outcomes that the round under way had (`under_way` keeps them); dialogues that were not
finished walk the same path again and find each finished call in the journal, even in the middle of a conversation.
So do dialogues that failed: what stopped the run may have been their fault or the endpoint's. The journal alone is
enough to make everything again. Of each dialogue some dozens of bytes stay in memory, where its seed and its row lie.

Trying failed seeds again (`Plan.retry`) replaces their rows and no others, round by round. Failed seeds walk the same
way again: a call that an endpoint refused is asked anew, all others are in the journal, so the row is what it would
have been without the fault. A seed whose replies could not be read would find those same replies, so after that it
walks another way, with sampling seeds drawn for the number of the retry, which run.json keeps: a replay goes the same
ways in the same order. Where a retry adds to what a round has kept, the next round's pool is another, and that round
is walked anew by all seeds: whatever is asked as before is in the journal, the rest is what a run without faults
would have asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthesis import outcomes, under_way
from synthesis.asking import Account
from synthesis.contents import digested, is_local
from synthesis.dialogue import Dialogue, Origin, to_json
from synthesis.engine import Engine, Info, Reply, Request
from synthesis.errors import (
    EngineError,
    Failure,
    JournalError,
    NoSeeds,
    Outage,
    ReadingError,
    StorageError,
    UserError,
)
from synthesis.filter import first_reason
from synthesis.guard import Guard
from synthesis.kept import Kept
from synthesis.outcomes import Round, Row, Shard
from synthesis.recipe import Dropped, Pool, Recipe, Seed, prompt_hash, rng_for
from synthesis.seed_file import SeedFile
from synthesis.sorting import Sorting
from synthesis.storage import disk, dump, parse, read_text, replacing, sha256, write_json, write_jsonl
from synthesis.tally import Stages, Tally

VERSION = "0.1.0"
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and where.

    `in_flight`: dialogues worked on side by side. `command`: how a user would start the same run again. `info`: what
    serves the generator, and `critic` what serves the critics, where that is another model.
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
    critic: Info | None = None

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
            "critic": self.critic
            and {"model": self.critic.model, "revision": self.critic.revision, "dialect": self.critic.dialect},
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
                **{key: value for key, value in identity.items() if (key, value) != ("critic", None)},
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
        """Takes back what this shard made, but not the journal: the next run makes it again, from there.

        Raises UserError while another process is making it.
        """
        path, facts = self.folder / "run.json", self.claim()
        rounds, retries = range(1, self.recipe.rounds + 1), facts.get("retries", 0)
        for number in rounds:
            under_way.check_free(outcomes.part(self.folder, number, self.shard, retries))
        write_json(path, facts | {"status": "running"})
        for number in rounds:
            self.forget(number, retries + 1)
        if self.shard.index == 0:
            with disk(seeds := self.folder / "seeds.jsonl"):
                seeds.unlink(missing_ok=True)

    def retry(self) -> None:
        """Opens a complete run again for the seeds that failed, if any did; one that is under way just goes on.

        Raises UserError when there is no run.
        """
        path = self.folder / "run.json"
        if not path.exists():
            raise UserError(f"--retry-failed: {self.folder} holds no run; give the --out of a finished one")
        facts = self.claim()
        if facts["status"] == "complete" and facts["counts"]["failed"]:
            facts.pop("cost", None)  # of replies that will not be all; said anew by whoever gives prices
            write_json(path, facts | {"status": "running", "retries": facts.get("retries", 0) + 1})

    def forget(self, number: int, retries: int) -> None:
        """Removes this shard's outcomes of a round: before any retry, and after each but the last of `retries`."""
        for done in range(retries):
            path = outcomes.part(self.folder, number, self.shard, done)
            for each in (path, *under_way.files(path), outcomes.across(self.folder, number, done)):
                with disk(each):
                    each.unlink(missing_ok=True)


def _plain(name: str, value: Any) -> Any:
    """A field's value in run.json: files and folders by their contents, also where several are given for a field."""
    if isinstance(value, tuple):
        return [_plain(name, each) for each in value]
    if not isinstance(value, Path):
        return value
    if not is_local(str(value)):
        raise UserError(f"--{name.replace('_', '-')} {value}: not a file; give the path of one")
    return digested(value)


Show = Callable[[str, int, Mapping[str, int]], None]
"""Called with the phase, how many seeds it has, and the counts of kept, dropped and failed so far.

While seeds are made there are none to count (0), and the count is of requests.
"""
Told = Callable[[], dict[str, Any]]


async def run(
    plan: Plan, engine: Engine, show: Show, told: Told = dict, settle: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Runs `plan` to its end, from wherever an earlier run stopped; returns run.json's content.

    `told`: what else run.json says, asked when the other files are there: how the replies were come by, what they
    cost, what the dialogues are like. `settle`: called before seeds
    or outcomes are on the disk, for what must be there when they are: replies, and what other shards look for.
    Raises UserError when the folder holds another run, EngineError when the endpoint is gone, StorageError when the
    disk refuses; whatever was finished by then is in the journal.
    """
    begun = time.monotonic()
    facts = plan.claim()
    if facts["status"] == "complete":
        return facts
    retries = facts.get("retries", 0)
    rounds: list[Round] = []
    seed_stages = await _seeds(plan, engine, show, settle)
    for number in range(1, plan.recipe.rounds + 1):
        await _round(plan, number, retries, rounds, engine, show, settle)
        rounds.append(await _complete(plan, number, retries, show))
    facts = facts | _result(plan, rounds, seed_stages) | {"seconds": round(time.monotonic() - begun, 1)}
    return _publish(plan, rounds[-1], facts, told)


# ---- the folder -----------------------------------------------------------------------------------------------------


def _difference(key: str, there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        names = [name for name in here if there.get(name) != here[name]]
        return ", ".join(f"{name} is {there.get(name)!r} there and {here[name]!r} here" for name in names)
    return f"{key} is {there!r} there and {here!r} here"


async def _seeds(plan: Plan, engine: Engine, show: Show, settle: Callable[[], None]) -> list[Row]:
    """Sees to it that the run's seeds are there, and returns what making them took; shard 0 makes them, once."""
    path, account_path = plan.folder / "seeds.jsonl", plan.folder / "seeds.stages.json"
    if not path.exists() and plan.shard.index == 0:
        show("seeds", 0, {})
        account = Account(engine)

        async def told(request: Request) -> Reply:
            reply = await account(request)
            show("seeds", 0, {"requests": sum(stage.requests for stage in account.stages())})
            return reply

        with Sorting(plan.folder) as made:
            async for seed in plan.recipe.seeds(told, rng_for(plan.seed, "seeds"), plan.n):
                made.add(to_json(seed))
            settle()
            write_json(account_path, to_json(account.stages()))
            write_jsonl(path, _checked(made, plan.recipe.name))
    while not path.exists():
        show("waiting for the seeds of shard 0", 0, {})
        await asyncio.sleep(POLL_SECONDS)
    stages: list[Row] = parse(read_text(account_path, "account"), str(account_path))
    return stages


def _checked(rows: Iterable[Row], recipe: str) -> Iterator[Row]:
    """`rows` of seeds, sorted by their ids, if there are any and no two have the same."""
    last = None
    for row in rows:
        if row["id"] == last:
            raise ValueError(f"recipe {recipe}: made more than one seed with the id {last!r}")
        last = row["id"]
        yield row
    if last is None:
        raise NoSeeds(
            f"recipe {recipe}: no seed could be made from what was given; give more material or loosen what pairs it"
        )


def _publish(plan: Plan, last: Round, facts: dict[str, Any], told: Told) -> dict[str, Any]:
    """The run's results; run.json, which is returned, comes last, because "complete" is what builders trust.

    What this shard's rounds were before the last retry is not needed any more.
    """
    folder = plan.folder
    with ExitStack() as stack:
        streams = {name: stack.enter_context(replacing(folder / file)) for name, file in _LEDGERS.items()}
        for row in last.rows():
            line = row["dialogue"] if row["outcome"] == "kept" else _ledger_row(row, last.number)
            streams[row["outcome"]].write(dump(line) + "\n")
    facts |= told()
    write_json(folder / "run.json", facts)
    for number in range(1, last.number + 1):
        plan.forget(number, last.retries)
    return facts


_LEDGERS = {"dropped": "dropped.jsonl", "failed": "failed.jsonl", "kept": "dialogues.jsonl"}


def _ledger_row(row: Row, number: int) -> Row:
    return {"id": row["id"], "round": number} | {key: row[key] for key in ("stage", "reason", "attempts", "raw")}


# ---- a round --------------------------------------------------------------------------------------------------------


async def _round(
    plan: Plan, number: int, retries: int, rounds: list[Round], engine: Engine, show: Show, settle: Callable[[], None]
) -> None:
    """Takes this shard's seeds through a round, `in_flight` of them side by side, unless that was done before.

    `rounds`: those before.
    """
    path = outcomes.part(plan.folder, number, plan.shard, retries)
    if path.exists():
        under_way.remove(path)  # a kill may have left it
        return
    phase = f"round {number}/{plan.recipe.rounds}" + (f", retry {retries}" if retries else "")
    seeds, before = SeedFile(plan.folder / "seeds.jsonl", plan.shard), _before(plan, number, retries)
    total = len(seeds)
    pool = plan.recipe.pool(Kept(rounds[-1]) if rounds else ())
    with outcomes.Writer(path, _source(plan, number, retries), settle) as writer:
        if before is not None:
            writer.take(before)
        fresh = before is None and not writer.counts.total()
        guard = Guard(total if fresh else None, plan.in_flight)
        show(phase, total, writer.counts)
        waiting = seeds.at(writer.missing(total))

        async def work() -> None:
            for place, seed in waiting:
                row, error = await _outcome(plan, number, seed, pool, engine, retries)
                writer.add(place, row)
                show(phase, total, writer.counts)
                guard.see(error)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(plan.in_flight, max(1, total))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors


def _before(plan: Plan, number: int, retries: int) -> Path | None:
    """This shard's outcomes before the retry, if all but the failed still stand: the round's pool is what it was."""
    path = outcomes.part(plan.folder, number, plan.shard, retries - 1)
    if retries == 0 or not path.exists():
        return None
    last = [Round(plan.folder, number - 1, plan.shard.count, retries=done) for done in (retries - 1, retries)]
    return path if number == 1 or last[0].same_pool(last[1]) else None


def _source(plan: Plan, number: int, retries: int) -> bytes:
    """What a round's outcomes are made of besides the replies: the run, its seeds, and what the round before left."""
    before = Round(plan.folder, number - 1, plan.shard.count, retries=retries).parts() if number > 1 else []
    made = [sha256(path, "seeds or outcomes") for path in (plan.folder / "seeds.jsonl", *before)]
    return dump([VERSION, plan.identity(), *made]).encode()


async def _outcome(
    plan: Plan, number: int, seed: Seed, pool: Pool, engine: Engine, retries: int
) -> tuple[Row, EngineError | None]:
    """What becomes of one seed; after a retry, on the first way on which something could be read."""
    account = Account(engine)
    for walk in range(retries):
        row, error = await _walked(plan, number, seed, pool, account, walk)
        if row["outcome"] != "failed" or row["stage"] != ReadingError.__name__:
            return row, error
    return await _walked(plan, number, seed, pool, account, retries)


async def _walked(
    plan: Plan, number: int, seed: Seed, pool: Pool, account: Account, walk: int
) -> tuple[Row, EngineError | None]:
    """What comes of a seed on one way. Nothing that goes wrong is lost: it becomes a row of the ledger."""
    head = {"id": seed.id}
    fault: EngineError | None = None
    try:
        made = await plan.recipe.dialogue(seed, pool, account, rng_for(plan.seed, seed.id, number, walk))
        dropped = await first_reason(plan.recipe.filters(account), made)
    except Dropped as error:
        return head | _loss("dropped", error.stage, error.reason, error.raw, account), None
    except (UserError, JournalError, StorageError, Outage):
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
    model, critic = plan.info, plan.critic.name if plan.critic else None
    prompts, stages = prompt_hash(plan.recipe), account.stages()
    origin = Origin(
        plan.recipe.name, plan.preset, model.model, model.revision, prompts, plan.seed, number, stages, critic
    )
    return dataclasses.replace(dialogue, origin=origin)


async def _complete(plan: Plan, number: int, retries: int, show: Show) -> Round:
    """The round with all shards in and its dialogues compared with one another."""
    whole = Round(plan.folder, number, plan.shard.count, retries=retries)
    parts = whole.parts()
    while absent := [path.stem for path in parts if not path.exists()]:
        show(f"waiting for round {number} of shard {', '.join(absent)}", 0, {})
        await asyncio.sleep(POLL_SECONDS)
    return dataclasses.replace(whole, across=_across(plan, whole))


def _across(plan: Plan, whole: Round) -> Mapping[str, tuple[str, str]]:
    """What comparing the round's dialogues drops. Found once: a rerun reads what the same outcomes gave before."""
    path = outcomes.across(plan.folder, whole.number, whole.retries)
    source = hashlib.sha256(_source(plan, whole.number + 1, whole.retries)).hexdigest()
    if path.exists():
        told = parse(read_text(path, "comparison"), str(path))
        if told["source"] == source:
            return {id_: (judge, reason) for id_, (judge, reason) in told["dropped"].items()}
    across: dict[str, tuple[str, str]] = {}
    for judge in plan.recipe.across():
        found = judge.across(dataclasses.replace(whole, across=across).kept())
        across |= {id_: (judge.name, reason) for id_, reason in found.items()}
    write_json(path, {"source": source, "dropped": across})
    return across


# ---- what came of it ------------------------------------------------------------------------------------------------


def _result(plan: Plan, rounds: list[Round], seed_stages: list[Row]) -> dict[str, Any]:
    """The part of run.json that is known at the end. Raises Failure unless every seed is in one ledger."""
    tallies, stages = [Tally(each) for each in rounds], Stages()
    for each in (seed_stages, *[tally.stages.facts() for tally in tallies]):
        stages.add(each)
    counts = {"seeds": sum(1 for _ in outcomes.read(plan.folder / "seeds.jsonl")), **tallies[-1].outcomes}
    for tally in tallies:
        if tally.outcomes.total() != counts["seeds"]:
            raise Failure(
                f"{plan.folder}: the ledger does not add up: {counts['seeds']} seeds, but {dict(tally.outcomes)}; "
                "remove rounds/ and start the same command again: every finished call is in the journal"
            )
    return {
        "status": "complete",
        "rounds": len(rounds),
        "counts": counts,
        "funnel": [tally.funnel() for tally in tallies],
        "contests": [tally.contest() for tally in tallies],
        "stages": stages.facts(),
    }
