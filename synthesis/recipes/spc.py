"""Synthetic-Persona-Chat: persona chat written by a generator and judged by critics, in three rounds.

Paper: "Faithful Persona-based Conversational Dataset Generation with Large Language Models", Jandaghi, Sheng, Bai,
Pujara and Sidahmed, 2023, arXiv 2312.10007; its dataset is CC BY 4.0, its pipeline is unpublished.

From seed attributes, questions that attributes answer are induced and multiplied, and new attributes are written for
them; consistent profiles of five are drawn and paired where they share interests. For each pair a generator writes
several conversations, critics drop what contradicts a profile or is toxic, five quality experts compare the rest, and
the winner becomes an example for the next round.

Deviations. Preset `paper` keeps the published numbers and the prompts' structure; its words, examples and seed
attributes are ours, negations and verdicts on entailment are greedy so that the journal has each once, and the
toxicity critic stands in for the Perspective API, which has no offline equivalent. Preset `improved` adds what the
published data lack: per-speaker faithfulness, profiles whose lines name their user, hygiene before critics, names and
settings given up front, a cap on copying, varied examples, order-swapped comparisons, and a winner that has to beat
the one of the round before. Preset `laptop` is `improved` sized for the embedded model, whose likelihoods tell more
than its verdicts (see synthesis.likelihood_critics).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal

from synthesis import critics, dialogue_files, likelihood_critics, personas, reading, seeds
from synthesis.asking import hinting, together
from synthesis.consistency import Consistency
from synthesis.dialogue import Dialogue, Persona, Rejected, transcript
from synthesis.encoder import OFFLINE
from synthesis.engine import Engine, Request
from synthesis.errors import ContextOverflow, ReadingError, UserError
from synthesis.expansion import Expansion, expand
from synthesis.filter import Across, Filter, first_reason
from synthesis.filters.copying import Copying, Coverage, CrossTalk
from synthesis.filters.length import Length
from synthesis.filters.near_duplicates import NearDuplicates, StockOpeners
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.repetition import Repetition
from synthesis.filters.structure import Structure
from synthesis.kept import Chained, by_id
from synthesis.persona_chat import EXEMPLAR, EXEMPLAR_PAPER, GENERATE, GENERATE_PAPER, TRAIT, filled, held, slots
from synthesis.personas import Sampling, chat
from synthesis.profiles import assemble, pair
from synthesis.recipe import Dropped, Pool, Seed, at_least, draw_seed, fork
from synthesis.words import words

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

IMPROVED: dict[str, Any] = {
    "style": "improved",
    "consistency": "engine",
    "wave": 10,
    "low": 8,
    "high": 16,
    "temperature": 0.9,
    "top_k": None,
    "top_p": 0.95,
    "critic_temperature": None,
    "critic_top_k": None,
    "swap": True,
    "incumbent": True,
    "hygiene": True,
}

LAPTOP: dict[str, Any] = {
    "growth": 0.05,
    "query_steps": 20,
    "iterations": 10,
    "cluster_size": 9.0,
    "profiles": 120,
    "candidates": 2,
    "exemplars_per_prompt": 0,  # the embedded model is small enough to take up what another conversation is about
    "temperature": 1.0,  # choice, with top_p: people's variety, and cooler it repeats itself and recites
    "top_p": 0.97,
    "length": 384,
    "grammar": True,  # the embedded model is too small to count turns
    "verdicts": "likelihood",  # the embedded model is too small to judge in words
    "coverage": 0,  # the embedded model is too small to speak from a profile; its cards say so
}

_LEAST = {
    **dict.fromkeys(("rounds", "candidates", "profile_size", "length", "wave", "profiles", "pairs_per_profile"), 1),
    **dict.fromkeys(("query_steps", "iterations", "growth", "similarity", "exemplars_per_prompt", "resamples"), 0),
    **dict.fromkeys(("temperature", "critic_temperature", "duplicate", "opener_share"), 0),
    "cluster_size": 1,
}


@dataclass(frozen=True, slots=True)
class Spc:
    """Hyper-parameters. Defaults are the published ones unless marked choice; the presets say what they change.

    | arXiv 2312.10007                | value   | field                         |
    |---------------------------------|---------|-------------------------------|
    | attributes a profile            | 5       | profile_size                  |
    | redundant above cosine          | 0.9     | redundant                     |
    | pair above shared interests     | 2       | similarity                    |
    | exemplars in the prompt         | 5       | exemplars_per_prompt          |
    | iterations                      | 3       | rounds                        |
    | query bootstrapping steps       | 100     | query_steps                   |
    | persona bootstrapping rounds    | 100     | iterations                    |
    | attributes 4,723 to 10,371      | +119 %  | growth                        |
    | temperature, top-k              | 0.7, 40 | temperature, top_k            |
    | turns of each user              | 6 to 7  | low, high (of both together)  |
    """

    name: ClassVar[str] = "spc"
    prompts: ClassVar[tuple[Template, ...]] = (
        GENERATE_PAPER,
        GENERATE,
        EXEMPLAR_PAPER,
        EXEMPLAR,
        TRAIT,
        *personas.PROMPTS,
        *critics.PROMPTS,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "improved": IMPROVED,
        "laptop": IMPROVED | LAPTOP,
    }

    personas: Path = HERE / "spc_personas.jsonl"
    exemplars: Path = HERE / "spc_exemplars.jsonl"
    rounds: int = 3
    style: Literal["paper", "improved"] = "paper"
    # expansion
    encoder: str = OFFLINE  # choice: the published checkpoint is unnamed
    distance: float | None = None  # choice: the published cut of 0.9 fits an unnamed encoder; None calibrates
    cluster_size: float = 14.6  # 4,723 attributes in 323 clusters
    query_steps: int = 100
    iterations: int = 100
    growth: float = 1.19
    same: float = 0.9  # choice: the paper says "not too close"
    wave: int = 1
    # profiles and pairs
    profile_size: int = 5
    redundant: float = 0.9
    consistency: Literal["engine", "negation", "nli"] = "negation"
    nli: str | None = None
    profiles: int | None = None  # choice: None makes 200 and five a wanted pair, a line that a dry run can continue
    similarity: int = 2
    similarity_count: Literal["pairs", "categories"] = "pairs"
    pairs_per_profile: int = 8  # choice
    # generation
    temperature: float = 0.7
    top_k: int | None = 40
    top_p: float | None = None
    length: int = 1024  # choice: tokens a conversation
    candidates: int = 4  # choice: the paper says "several"
    exemplars_per_prompt: int = 5
    keep_exemplars: bool = True  # choice: winners join the shipped exemplars; false replaces them
    low: int = 12
    high: int = 14
    grammar: bool = False  # choice: holds a conversation to low to high turns
    resamples: int = 2  # choice: further tries when every candidate was filtered
    # critics
    verdicts: Literal["words", "likelihood"] = "words"  # choice: or by prompts' log-probabilities
    critic_temperature: float | None = 0.7
    critic_top_k: int | None = 40
    swap: bool = False
    incumbent: bool = False
    hygiene: bool = False
    coverage: int = 1  # choice: attributes that each user has to voice, 0 for none; with hygiene
    duplicate: float = 0.6  # choice
    opener_share: float = 0.1  # choice

    def __post_init__(self) -> None:
        if not 2 <= self.low <= self.high:
            raise UserError(f"recipe spc: low {self.low} and high {self.high}: expected 2 <= low <= high turns")
        at_least(self, _LEAST)
        Consistency(self.consistency, self.nli)

    def check(self) -> None:
        """Seed attributes and exemplars, read once for their mistakes; what was mended or left out is told."""
        seeds.attributes(self.personas)
        loaded = self._shipped()
        if loaded.issues or loaded.quarantined:
            mended = ", ".join(f"{kind} {count}" for kind, count in sorted(loaded.issues.items()))
            left = "; ".join(f"{where}: {reason}" for where, reason in loaded.quarantined.items())
            log.info("exemplars: %d read; mended: %s; left out: %s", len(loaded.dialogues), mended or 0, left or 0)

    # ---- seeds: attributes, profiles, pairs -------------------------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """Pairs of profiles with names and a setting; fewer than `n` when too few profiles share interests."""
        if self.verdicts == "likelihood":
            await likelihood_critics.supported(engine)
        how = Sampling(self.temperature, self.top_k, self.top_p)
        start = seeds.attributes(self.personas)
        plan = Expansion(
            how,
            self.encoder,
            self.query_steps,
            self.growth,
            self.iterations,
            self.same,
            self.wave,
            self.distance,
            self.cluster_size,
        )
        pool = await expand(engine, start, plan, rng)
        texts, categories = pool.texts, pool.categories
        count = self.profiles or 200 + 5 * n
        check = Consistency(self.consistency, self.nli)
        found = await assemble(engine, pool, count, self.profile_size, self.redundant, check, str(rng.getrandbits(64)))
        pairs = pair(
            found,
            categories,
            n,
            rng,
            threshold=self.similarity,
            count=self.similarity_count,
            most=self.pairs_per_profile,
        )
        log.info("profiles: %d, pairs: %d of %d wanted", len(found), len(pairs), n)
        names, settings = seeds.lines(HERE / "spc_names.txt"), seeds.lines(HERE / "spc_settings.txt")
        for first, second, similarity in pairs:
            traits = [[texts[member] for member in found[number]] for number in (first, second)]
            for side in traits:
                rng.shuffle(side)
            digest = hashlib.sha256("\n".join([*traits[0], *traits[1]]).encode()).hexdigest()[:12]
            yield Seed(
                f"spc-{digest}",
                {
                    "traits": traits,
                    "names": rng.sample(names, 2),
                    "setting": rng.choice(settings),
                    "similarity": similarity,
                },
            )

    # ---- rounds -----------------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """Shipped exemplars and the last round's winners; only winners once there are some and they replace."""
        shipped = self._shipped().dialogues
        if self.style == "improved":
            names = seeds.lines(HERE / "spc_names.txt")
            shipped = tuple(_named(exemplar, names) for exemplar in shipped)
        if not kept:
            return Pool(shipped)
        return Pool(Chained(shipped, kept) if self.keep_exemplars else kept, by_id(kept))

    def _shipped(self) -> dialogue_files.Loaded:
        """The exemplars' file. Raises UserError for one that is not two personas and the two users."""
        loaded = dialogue_files.load(self.exemplars)
        for exemplar in loaded.dialogues:
            if len(exemplar.personas) != 2 or set(exemplar.speakers) != set(reading.USERS):
                raise UserError(
                    f"exemplars {self.exemplars}: {exemplar.id!r} has {len(exemplar.personas)} personas and the "
                    f"speakers {', '.join(exemplar.speakers)}; expected two personas, and User 1 and User 2"
                )
        return loaded

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """The best of the candidates that pass all critics, and what it was chosen from."""
        before = pool.previous.get(seed.id)
        passed: list[Dialogue] = []
        losers: list[Rejected] = []
        judged = ("generation", "no candidate", "")
        for _ in range(1 + self.resamples):
            tried = [self._candidate(seed, pool, engine, fork(rng)) for _ in range(self.candidates)]
            for candidate, verdict in await together(tried):
                if verdict is None:
                    passed.append(candidate)
                else:
                    judged = (*verdict, transcript(candidate.turns) if candidate.turns else candidate.notes[0])
                    losers += [Rejected(candidate.turns, f"{verdict[0]}: {verdict[1]}")] if candidate.turns else []
            if passed:
                break
        if not passed and before is None:
            raise Dropped(*judged)
        if not passed and before is not None:
            rejected = (*losers, *before.rejected)
            return dataclasses.replace(before, rejected=rejected, notes=("incumbent: nothing passed",))
        best, outvoted = await self._best(passed, engine, fork(rng))
        return await self._duel(best, before, (*outvoted, *losers), engine, fork(rng))

    async def _candidate(
        self, seed: Seed, pool: Pool, engine: Engine, rng: Random
    ) -> tuple[Dialogue, tuple[str, str] | None]:
        """One conversation, and the critic and reason that drop it, if any. Without turns it could not be read."""
        told = self.style == "improved"  # the published prompt has neither names nor a setting
        users = tuple(
            Persona(f"{seed.id}-{number}", tuple(traits), name if told else None)
            for number, (traits, name) in enumerate(zip(seed.content["traits"], seed.content["names"], strict=True), 1)
        )
        empty = Dialogue(seed.id, (), users, topic=seed.content["setting"] if told else None)
        text, whole = await self._write(empty, pool, engine, rng)
        try:
            read = reading.transcript(text)
        except ReadingError as error:
            return dataclasses.replace(empty, notes=(text,)), ("reading", f"unreadable: {error}")
        candidate = dataclasses.replace(empty, turns=read.turns)
        if not whole:
            return candidate, ("generation", f"truncated: at {self.length} tokens")
        return candidate, await self._criticise(candidate, engine, rng)

    async def _write(self, empty: Dialogue, pool: Pool, engine: Engine, rng: Random) -> tuple[str, bool]:
        """The generator's text and whether it came to its end; with as many exemplars as the context takes."""
        shown = self._exemplars(empty, pool, rng)
        seed, engine = draw_seed(rng), hinting(engine)
        while True:
            request = self.call(empty, shown)
            try:
                reply = await engine(dataclasses.replace(request, seed=seed, conversation=empty.id))
            except ContextOverflow:
                if not shown:
                    raise
                shown = shown[:-1]
                continue
            return reply.text, reply.finish_reason != "length"

    def call(self, pair: Dialogue, shown: Sequence[Dialogue] = ()) -> Request:
        """What the generator is asked for a pair's profiles, names and setting; `shown`: exemplars."""
        paper = self.style == "paper"
        template, one = (GENERATE_PAPER, EXEMPLAR_PAPER) if paper else (GENERATE, EXEMPLAR)
        return chat(
            "generation",
            template,
            Sampling(self.temperature, self.top_k, self.top_p),
            self.length,
            grammar=held(self.low, self.high) if self.grammar else None,
            low=self.low,
            high=self.high,
            setting=pair.topic,
            exemplars="".join(filled(one, exemplar, labelled=not paper) for exemplar in shown),
            **slots(pair, labelled=not paper),
        )

    def _exemplars(self, empty: Dialogue, pool: Pool, rng: Random) -> list[Dialogue]:
        """Exemplars for one prompt, never the pair's own. Improved: each the least like those before, of a few."""
        wanted = self.exemplars_per_prompt
        drawn = rng.sample(pool.exemplars, min(wanted + 4, len(pool.exemplars)))  # one may be its own, three to choose
        others = [exemplar for exemplar in drawn if exemplar.id != empty.id]
        if self.style == "paper":
            return others[:wanted]
        chosen: list[Dialogue] = []
        said: set[str] = set()
        while others and len(chosen) < wanted:
            chosen.append(others.pop(min(range(len(others[:4])), key=lambda at: _overlap(others[at], said))))
            said |= set(words(chosen[-1].text()))
        return chosen

    # ---- critics ----------------------------------------------------------------------------------------------------

    async def _criticise(self, candidate: Dialogue, engine: Engine, rng: Random) -> tuple[str, str] | None:
        """Critic and reason for dropping a candidate: hygiene, then toxicity, then faithfulness. Unreadable drops."""
        dropped = await first_reason(self.filters(engine), candidate)
        if dropped:
            return dropped
        how = Sampling(self.critic_temperature, self.critic_top_k)
        try:
            reason = await critics.toxic(engine, candidate, how, rng)
            if reason:
                return "toxicity", reason
            if self.verdicts == "likelihood":
                return await likelihood_critics.criticised(engine, self.call, candidate, rng)
            published = self.style == "paper"
            reason = await (
                critics.unfaithful_as_published(engine, candidate, how, rng)
                if published
                else critics.unfaithful(engine, candidate, rng)
            )
        except ReadingError as error:
            return "verdict", f"unreadable verdict: {error}"
        return ("faithfulness", reason) if reason else None

    async def _best(
        self, passed: Sequence[Dialogue], engine: Engine, rng: Random
    ) -> tuple[Dialogue, tuple[Rejected, ...]]:
        ranking = await self._rank(engine, passed, rng)
        best = dataclasses.replace(passed[ranking.best], notes=ranking.remarks)
        return best, tuple(
            Rejected(candidate.turns, "outvoted", ranking.votes[index], ranking.ballots)
            for index, candidate in enumerate(passed)
            if index != ranking.best
        )

    async def _duel(
        self, best: Dialogue, before: Dialogue | None, losers: tuple[Rejected, ...], engine: Engine, rng: Random
    ) -> Dialogue:
        """The better of this round's best and, if it defends its place, the winner of the round before."""
        if before is None or not self.incumbent or before.turns == best.turns:
            return dataclasses.replace(best, rejected=losers)
        ranking = await self._rank(engine, [best, before], rng)
        if ranking.best == 0:
            beaten = Rejected(before.turns, "incumbent", ranking.votes[1], ranking.ballots)
            return dataclasses.replace(best, rejected=(beaten, *losers))
        lost = Rejected(best.turns, "outvoted", ranking.votes[0], ranking.ballots)
        return dataclasses.replace(before, rejected=(lost, *losers, *before.rejected), notes=("incumbent",))

    async def _rank(self, engine: Engine, candidates: Sequence[Dialogue], rng: Random) -> critics.Ranking:
        if self.verdicts == "likelihood":
            return await likelihood_critics.rank(engine, self.call, candidates)
        how = Sampling(self.critic_temperature, self.critic_top_k)
        return await critics.rank(engine, candidates, how, self.swap, rng)

    # ---- filters ----------------------------------------------------------------------------------------------------

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """Cheap ones first; the published procedure has none of them."""
        if not self.hygiene:
            return (Structure(),)
        return (
            Structure(self.low, self.high, reading.USERS[0]),
            Length(),
            Placeholders(),
            Repetition(),
            Copying(),
            CrossTalk(),
            Coverage(self.coverage),
        )

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate), StockOpeners(self.opener_share)) if self.hygiene else ()


def _named(exemplar: Dialogue, names: Sequence[str]) -> Dialogue:
    """The exemplar with names for the personas that have none, the same every time; "User 1" is no name to teach."""
    drawn = Random(exemplar.id).sample(names, len(exemplar.personas))
    called = [
        dataclasses.replace(persona, name=persona.name or name)
        for persona, name in zip(exemplar.personas, drawn, strict=True)
    ]
    return dataclasses.replace(exemplar, personas=tuple(called))


def _overlap(dialogue: Dialogue, said: set[str]) -> float:
    """Share of a dialogue's distinct words that were said already."""
    own = set(words(dialogue.text()))
    return len(own & said) / max(1, len(own))
