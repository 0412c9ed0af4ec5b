"""Friends of the corpus: what lies beside it and says more than dialogues: meetings, schemas, intents, entities.

A folder that is not there gives nothing, and is told of; what is there and cannot be read is the user's mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_jsonl, read_text
from training.embedded.people import persona

_MARKUP = re.compile(r"\{[^}]*\}|<[^>]*>|\[[^\]]*\]")
_GAP = re.compile(r"\s+([.,!?;:]|'\w|n't)")


@dataclass(frozen=True, slots=True)
class Minutes:
    """A part of a meeting, or all of it: what was said, the question about it, and the answer that people wrote."""

    id: str
    said: str
    question: str
    answer: str


def plain(text: str) -> str:
    """A text without markup and without blanks before punctuation."""
    text = " ".join(_MARKUP.sub(" ", text).split())
    return _GAP.sub(r"\1", text).strip()


def meetings(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """QMSum's meetings with their names. Raises UserError for a file that is none of QMSum's."""
    for path in sorted(folder.glob("*.jsonl")):
        for number, (where, row) in enumerate(read_jsonl(path, "meetings")):
            if not isinstance(row, dict) or not {"specific_query_list", "meeting_transcripts"} <= set(row):
                raise UserError(f"{where}: no meeting of QMSum: expected queries and meeting_transcripts")
            yield f"qmsum-{path.stem}-{number}", row


def minutes(folder: Path, most: int = 900) -> Iterator[Minutes]:
    """The questions about parts of meetings with what was said there, where that is at most so many words."""
    for name, meeting in meetings(folder):
        lines = [f"{each['speaker']}: {plain(each['content'])}" for each in meeting["meeting_transcripts"]]
        for query in meeting["specific_query_list"]:
            spans = [(int(first), int(last)) for first, last in query["relevant_text_span"]]
            said = "\n".join(line for first, last in spans for line in lines[first : last + 1])
            if 60 <= len(said.split()) <= most:
                yield Minutes(name, said, plain(query["query"]), plain(query["answer"]))


def outlines(folder: Path) -> dict[str, list[str]]:
    """Topics with at least three subtopics: meetings, services with what they do, and kinds of request."""
    found: dict[str, list[str]] = {}
    for name, meeting in meetings(folder / "qmsum"):
        listed = [plain(each["topic"]) for each in meeting.get("topic_list", [])]
        found[f"A meeting on {listed[0][0].lower()}{listed[0][1:]}" if listed else name] = listed
    for service in _json(folder / "sgd" / "dev" / "schema.json", []):
        name = service["description"]
        found[name] = [_capital(each["description"]) for each in [*service["intents"], *service["slots"]]]
    for domain, intents in _json(folder / "clinc150" / "domains.json", {}).items():
        found[_capital(domain.replace("_", " "))] = [_capital(each.replace("_", " ")) for each in intents]
    return {topic: entries for topic, entries in found.items() if len(entries) >= 3}


def _json(path: Path, absent: Any) -> Any:
    return parse(read_text(path, "friend of the corpus"), str(path)) if path.is_file() else absent


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def absent(folder: Path) -> list[str]:
    """Names of the folders that are not there."""
    return [name for name in ("qmsum", "sgd", "clinc150", "medquad", "multiwoz") if not (folder / name).is_dir()]


_SUBJECT = re.compile(
    r"^I (?:really |also |just )?(?:love|like|enjoy|collect|play|hate|watch|study|teach) "
    r"(?P<of>(?!(?:to|the|a|an|all|some|how|when|what|lots|it|my)\b)[^,.]+)\.$"
)


def casts(traits: Sequence[str], count: int, rng: Random) -> list[tuple[str, list[str]]]:
    """Subjects, each with people who would talk about it: those whose own sentence lies near the subject's.

    `traits`: first-person sentences. A subject is what somebody loves, plays or collects.
    """
    from synthesis.encoder import OFFLINE, encode

    people = {trait: made for trait in dict.fromkeys(traits) if (made := persona([trait], rng))}
    texts = list(people)
    subjects = [(trait, match["of"]) for trait in texts if (match := _SUBJECT.match(trait)) and " " in match["of"]]
    subjects = rng.sample(subjects, min(count, len(subjects)))
    if len(texts) < 8 or not subjects:
        return []
    near = encode([trait for trait, _ in subjects], OFFLINE) @ encode(texts, OFFLINE).T
    found = []
    for (_, of), row in zip(subjects, near, strict=True):
        best = [texts[at] for at in (-row).argsort()[:24].tolist()]
        found.append((_capital(of), [people[each] for each in rng.sample(best, 7)]))
    return found
