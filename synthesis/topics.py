"""Topics to subtopics to personas: what a dialogue is about and who talks, asked of the engine level by level.

Sections 3.1 and G.3 of arXiv 2409.19020. A reply that cannot be read costs its list one try, never the topic; what
stays short is told and shows as fewer seeds. `synthesis/tree.py` says how many of each there should be.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template

from synthesis.asking import ask, together
from synthesis.engine import Engine, Request
from synthesis.errors import Failure, Quarantined, ReadingError, RequestRefused, UserError
from synthesis.forms import Form
from synthesis.known import Taking
from synthesis.recipe import fork
from synthesis.storage import read_jsonl, read_text
from synthesis.words import per_word, words

SUBTOPICS = Template("""You know every subject from the inside. The user gives you a topic. Break it down into $count \
subtopics, each narrow enough to fill one conversation and none like another.

Topic: Gardening
$example_1

Topic: Public Transport
$example_2

Give $count subtopics, in the language of the topic, as a list in the same form and nothing else.$others""")

PERSONAS = Template("""You invent people. The user gives you a subject. Think of $count people who would have \
something to say about it, as different from each other as life allows, each in one sentence that says who they are.

Subject: Growing tomatoes on a balcony
$example_1

Subject: Night buses
$example_2

Give $count people, in the language of the subject, as a list in the same form and nothing else.$others""")

OTHERS = Template(" These are taken already: $taken.")

PROMPTS = (SUBTOPICS, PERSONAS, OTHERS)

EXAMPLES = {
    "subtopics": (
        (
            "Growing tomatoes on a balcony",
            "Compost that does not smell",
            "Flowers that bring in bees",
            "Slugs, and what keeps them off the salad",
            "Sharing an allotment with strangers",
        ),
        (
            "Night buses",
            "Paying for a ticket by phone",
            "Trains for people in wheelchairs",
            "What a strike does to a town",
        ),
    ),
    "personas": (
        (
            "A retired welder who grows vegetables in buckets and counts every fruit.",
            "A student of botany who has never kept a plant alive for longer than a month.",
            "A cook who wants to taste each variety before it goes on the menu.",
        ),
        (
            "A nurse who gets off work at three in the morning.",
            "A bus driver who has had the same night route for twenty years.",
            "A musician who misses the last one after every concert.",
            "A town planner who has to decide which lines are cut.",
        ),
    ),
}

LONGEST = {"topic": 20, "subtopics": 20, "personas": 40}
"""Words of an entry."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lists:
    """How lists are asked for: `size` entries a call; `topups` further calls for a list that is short after dedup."""

    form: Form
    temperature: float
    top_p: float | None
    length: int
    topups: int


# ---- what the user gives --------------------------------------------------------------------------------------------


def topics(path: Path, given: Sequence[str]) -> list[str]:
    """Topics, each once whatever its case and spaces: those `given`, else the lines of the file.

    Raises UserError naming the place of one that says nothing or is no topic but a text.
    """
    lines = read_text(path, "topics").splitlines() if not given else []
    placed = [(f"--topic {text!r}", text) for text in given] or [
        (f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()
    ]
    found: dict[str, str] = {}
    for where, text in placed:
        size = len(words(text))
        if not 0 < size <= LONGEST["topic"] * per_word(words(text)):
            raise UserError(f"{where}: {text[:60]!r} is {size} words; expected a topic of 1 to {LONGEST['topic']}")
        found.setdefault(same(text), " ".join(text.split()))
    if len(found) < len(placed):
        log.info("topics: %d that came twice were left out, %d stay", len(placed) - len(found), len(found))
    return list(found.values())


def same(text: str) -> str:
    """What two texts share that differ in case, spaces or the way their characters are composed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


Outline = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Topic to subtopic to personas."""
Branch = tuple[str, ...]
"""A topic, or a topic and a subtopic; the last is what a list is asked of."""


def outline(path: Path, wanted: Sequence[str] = ()) -> Outline:
    """The outline of a file, a JSON object a line with topic, subtopic and a list of personas; `wanted` topics or all.

    Raises UserError naming the place of a line in another form or of what was there before, and a wanted topic that is
    not there.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    named: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for where, row in read_jsonl(path, "outline"):
        if not isinstance(row, dict) or set(row) != {"topic", "subtopic", "personas"}:
            raise UserError(f"{where}: expected an object with topic, subtopic and personas, got {str(row)[:80]!r}")
        people = row["personas"] if isinstance(row["personas"], list) else []
        texts = [row["topic"], row["subtopic"], *people]
        if not all(isinstance(text, str) and words(text) for text in texts) or len(set(people)) < 2:
            raise UserError(f"{where}: expected texts that say something, and at least two different personas")
        branch = same(row["topic"]), same(row["subtopic"])
        if branch in seen:
            raise UserError(f"{where}: a second line on {row['subtopic']!r} of {row['topic']!r}; put both into one")
        seen.add(branch)
        topic = named.setdefault(branch[0], row["topic"])
        found.setdefault(topic, {})[row["subtopic"]] = tuple(dict.fromkeys(people))
    absent = [topic for topic in wanted if same(topic) not in named]
    if absent:
        raise UserError(
            f"outline {path}: no topic {absent[0]!r}; it has {', '.join(found)}; a preset without outline takes any"
        )
    return {named[same(topic)]: found[named[same(topic)]] for topic in wanted or found}


# ---- asking ---------------------------------------------------------------------------------------------------------


async def derived(
    engine: Engine,
    what: str,
    template: Template,
    wanted: Mapping[Branch, int],
    size: int,
    known: Callable[[Branch], Taking],
    how: Lists,
    rng: Random,
) -> dict[Branch, list[str]]:
    """For each of the `wanted` branches as many `what` as it says, of replies of `size`, in order.

    `known` says, for a branch, what its entries must differ from. Raises the first fault when every list stayed empty.
    """
    found: dict[Branch, list[str]] = {branch: [] for branch in wanted}
    faults: list[Failure] = []
    for _ in range(1 + how.topups):
        short = [branch for branch in wanted if len(found[branch]) < wanted[branch]]
        calls = [_asked(engine, what, template, at[-1], size, found[at], how, fork(rng)) for at in short]
        for branch, (entries, fault) in zip(short, await together(calls), strict=True):
            found[branch] += known(branch).add(entries, wanted[branch] - len(found[branch]))
            if fault is not None:
                faults.append(fault)
                log.info("%s of %r: no list: %s", what, branch[-1], str(fault)[:200])
    if faults and not any(found.values()):
        raise faults[0]
    log.info("%s: %d of %d wanted", what, sum(map(len, found.values())), sum(wanted.values()))
    return found


async def _asked(
    engine: Engine, what: str, template: Template, of: str, size: int, taken: Sequence[str], how: Lists, rng: Random
) -> tuple[list[str], Failure | None]:
    """One list, without entries that are too long to be one; and if there is none, why."""
    first, second = (how.form.spelled(what, entries) for entries in EXAMPLES[what])
    others = OTHERS.substitute(taken="; ".join(taken)) if taken else ""
    system = template.substitute(count=size, example_1=first, example_2=second, others=others)
    request = Request(
        what,
        how.length,
        messages=(("system", system), ("user", of)),
        temperature=how.temperature or None,
        top_p=how.top_p,
        grammar=how.form.list_grammar(what, size),
    )

    def read(text: str) -> list[str]:
        entries = how.form.read_list(what, text)
        return [entry for entry in entries if len(words(entry)) <= LONGEST[what] * per_word(words(entry))][:size]

    try:
        return await ask(engine, request, read, rng), None
    except (ReadingError, RequestRefused, Quarantined) as error:
        return [], error
