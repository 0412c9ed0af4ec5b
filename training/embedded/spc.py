"""The calls of the recipe spc: persona chat in both presets' form, its critics, and what is asked about attributes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from synthesis import recipes
from synthesis.filter import Filter, first_reason
from synthesis.recipes.spc import Spc
from training.embedded import judging, small_talk
from training.embedded import persona_chat as calls
from training.embedded.knowing import Knowing, Runs
from training.embedded.row import Row, asked, fitting, held_out, several
from training.embedded.statements import kinds
from training.embedded.talks import Talk, frequent

PASSES = {"spc": 6, "self_dialogue": 1, "topical_chat": 2, "seeds": 12}
"""How often a source's dialogues are taken, each time in another part and with other profiles."""

EXEMPLARS = 0.1
"""Share of generator examples with an exemplar in front, where it fits."""

PAPER = 0.12
"""Share of generator examples in the published form."""

WOVEN = 0.8
"""Share of conversations with traits woven in: corpora seldom say what their profiles tell."""

CRITICS = {
    "spc.faithfulness": 12000,
    "spc.faithfulness_paper": 3000,
    "spc.toxicity": 9000,
    "spc.comparison": 20000,
    "drills.owners": 12000,
}
SENTENCES = {"persona": 7000, "negation": 5000, "entailment": 15000, "contradiction": 9000}
QUERIES = {"query": 2500, "new_query": 800}

NEAR = 0.42
"""Cosine from which a statement of the corpus counts as an answer to a query."""

Answer = tuple[str, str, str]
"""A source, the query that is answered, "" where none is known, and the trait that answers it."""
Part = tuple[Talk, calls.Kept]


def shipped(name: str) -> list[str]:
    """Lines of a seed file of the recipes."""
    return (Path(recipes.__file__).parent / name).read_text(encoding="utf-8").splitlines()


def exemplars() -> Iterator[tuple[str, calls.Kept]]:
    """The conversations that ship with the recipe, as (id, kept part)."""
    for line in shipped("spc_exemplars.jsonl"):
        data = json.loads(line)
        first, second = (persona["traits"] for persona in data["personas"])
        yield data["id"], ((first, second), tuple(turn["text"] for turn in data["turns"]))


def seeds() -> list[Answer]:
    """The attributes that ship with the recipe, with what they answer."""
    found = [json.loads(line) for line in shipped("spc_personas.jsonl")]
    return [("seeds", entry["query"], entry["text"]) for entry in found]


def answers(material: Sequence[Talk], statements: int, rng: Random) -> list[Answer]:
    """The recipe's attributes, five times each, and at most `statements` that speakers of the corpus made."""
    given = seeds()
    found = list(dict.fromkeys((talk.source, fact) for talk in material for side in talk.facts for fact in side))
    facts = rng.sample(found, min(statements, len(found)))
    return [*given * 5, *answered(facts, list(dict.fromkeys(query for _, query, _ in given)))]


def answered(facts: Sequence[tuple[str, str]], queries: Sequence[str]) -> list[Answer]:
    """Each (source, trait) with the query nearest to it in MiniLM's space, or "" below the threshold."""
    from synthesis.encoder import OFFLINE, encode

    if not facts or not queries:
        return [(source, "", trait) for source, trait in facts]
    near = encode([trait for _, trait in facts], OFFLINE) @ encode(list(queries), OFFLINE).T
    best = zip(near.argmax(1).tolist(), near.max(1).tolist(), strict=True)
    return [
        (source, queries[at] if cosine >= NEAR else "", trait)
        for (source, trait), (at, cosine) in zip(facts, best, strict=True)
    ]


def rows(
    material: Sequence[Talk], known: Sequence[Answer], rng: Random, scale: float, dropped: Counter[str]
) -> Iterator[Row]:
    """Examples of all the recipe's calls. `scale`: share of the usual numbers; `dropped`: what filters refuse."""
    spare = list(dict.fromkeys(trait for _, _, trait in known))
    parts = _parts(material, spare, rng)
    sayable = _sayable([talk for talk in material if not held_out(talk.id)], known, spare)
    with Runs() as runs:
        yield from fitting(list(_generated(parts, sayable, rng, runs, dropped)))
        dropped.update(runs.dropped)
    yield from _criticised(parts, sayable, rng, scale)
    yield from _sentences(known, rng, scale)
    yield from _queries(known, rng, scale)


def _sayable(learned: Sequence[Talk], known: Sequence[Answer], spare: Sequence[str]) -> calls.Sayable:
    """What may be woven in. People ask too, not the recipe's queries alone, and react in more ways than ours."""
    asked = answered([("", trait) for trait in spare], small_talk.questions(learned))
    reactions = [*small_talk.REACTIONS, *small_talk.reactions(learned)]
    return calls.Sayable(_told([*known, *asked]), spare, kinds(spare), reactions)


def _told(known: Sequence[Answer]) -> dict[str, list[str]]:
    """By query the traits that answer it, where there are two or more."""
    traits: dict[str, dict[str, None]] = {}
    for _, query, trait in known:
        if query:
            traits.setdefault(query, {})[trait] = None
    return {query: list(found) for query, found in traits.items() if len(found) > 1}


def _woven(part: calls.Kept, sayable: calls.Sayable, rng: Random) -> calls.Kept:
    enough = len(sayable.answers) >= 2 * calls.EXCHANGES and len(sayable.traits) >= 3
    return calls.woven(part, sayable, rng) if enough and rng.random() < WOVEN else part


def _parts(material: Sequence[Talk], spare: Sequence[str], rng: Random) -> list[Part]:
    """Parts of talks with two profiles each."""
    common = frequent(material)
    tried = [talk for talk in material for _ in range(PASSES[talk.source])]
    return [(talk, part) for talk in tried if (part := calls.kept(talk, spare, common, rng))]


def _generated(
    parts: Sequence[Part],
    sayable: calls.Sayable,
    rng: Random,
    runs: Runs,
    dropped: Counter[str],
) -> Iterator[Row]:
    """Examples of the generator; only conversations that the recipe's own filters keep."""
    names, settings = shipped("spc_names.txt"), shipped("spc_settings.txt")
    given = list(exemplars())
    learned = [part for talk, part in parts if not held_out(talk.id)]
    short = [part for name, part in given if not held_out(name)]
    short += [part for part in learned if len(calls.lines(part[1])) < 900]
    todo = [(talk.source, talk.id, part) for talk, part in parts]
    todo += [("seeds", name, part) for name, part in given for _ in range(PASSES["seeds"])]
    filters = Spc(**Spc.presets["laptop"]).filters(Knowing({}))
    for source, key, plain in todo:
        part = _woven(plain, sayable, rng)
        reason = runs.done(_reason(filters, part))
        if reason is None:
            continue  # `runs` counts it
        if reason:
            dropped[f"spc: {reason.partition(':')[0]}"] += 1
            continue
        shown = [rng.choice(short)] if rng.random() < EXEMPLARS else []
        if rng.random() < PAPER:
            yield asked("spc.generate_paper", source, key, *calls.generate_paper(part, shown))
        else:
            yield asked("spc.generate", source, key, *calls.generate(part, shown, names, settings, rng))


async def _reason(filters: Sequence[Filter], part: calls.Kept) -> str:
    """Why the recipe would not keep the conversation; "" where it would."""
    found = await first_reason(filters, calls.dialogue(part))
    return found[1] if found else ""


def _criticised(parts: Sequence[Part], sayable: calls.Sayable, rng: Random, scale: float) -> Iterator[Row]:
    """Examples of the critics' calls, and drills for verdicts."""
    learned = [part for talk, part in parts if not held_out(talk.id)]

    def make(task: str) -> Row | None:
        talk, part = rng.choice(parts)
        other = rng.choice(learned)[1]
        said = _woven(part, sayable, rng)
        makers: dict[str, Callable[[], calls.Pair | None]] = {
            "spc.faithfulness": lambda: calls.faithfulness(said, sayable.traits, rng),
            "spc.faithfulness_paper": lambda: calls.faithfulness_paper(said, rng),
            "spc.toxicity": lambda: calls.toxicity(said[1], rng),
            "spc.comparison": lambda: calls.better(part[1], other, rng),
            "drills.owners": lambda: judging.owners(said, sayable.traits, rng),
        }
        pair = makers[task]()
        return asked(task, talk.source, talk.id, *pair) if pair else None

    for task, count in CRITICS.items():
        yield from several(round(count * scale), partial(make, task)) if parts else ()


def _sentences(known: Sequence[Answer], rng: Random, scale: float) -> Iterator[Row]:
    """Examples of the calls about single traits."""
    spare = [trait for _, _, trait in known]
    told = [entry for entry in known if entry[1]]

    def make(task: str) -> Row | None:
        source, query, trait = rng.choice(told if task == "persona" else known)
        makers: dict[str, Callable[[], calls.Pair | None]] = {
            "persona": lambda: calls.persona_bootstrap(query, trait, spare, rng),
            "negation": lambda: calls.negation(trait),
            "entailment": lambda: calls.entailment(trait, rng.choice(spare), rng),
            "contradiction": lambda: calls.contradiction(
                [trait, *rng.sample(spare, rng.randint(1, 4))], rng.choice(spare), rng
            ),
        }
        pair = makers[task]()
        return asked(f"spc.{task}", source, trait, *pair) if pair else None

    for task, count in SENTENCES.items():
        yield from several(round(count * scale), partial(make, task))


def _queries(known: Sequence[Answer], rng: Random, scale: float) -> Iterator[Row]:
    """Examples of the calls about queries."""
    traits = _told(known)
    full = sorted(query for query, found in traits.items() if len(found) >= 3)
    for number in range(round(QUERIES["query"] * scale)):
        query = rng.choice(full)
        pair = calls.query_induction(sorted(traits[query]), query, rng)
        yield asked("spc.query", "seeds", f"{query}{number}", *pair)
    for number in range(round(QUERIES["new_query"] * scale)):
        yield asked("spc.new_query", "seeds", str(number), *calls.query_bootstrap(sorted(traits), rng))
