"""People and subjects by rule: statements in the third person, personas out of traits, and what a talk is about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Sequence
from random import Random

_VERB = re.compile(
    r"^I (?P<adverb>really |usually |often |always |also |still |just |never |sometimes |mostly |only )?"
    r"(?P<verb>[a-z]+)\b(?P<rest>.*)$"
)
_PAST = frozenset(
    "saw went grew had bought got took made met won lost found wrote gave came drove did was ran ate drank knew sang "
    "swam began broke chose fell felt flew forgot heard held kept left led slept spent stood taught thought told wore "
    "could would should might used read quit".split()
)
_OWN = ((r"\bmyself\b", "themselves"), (r"\bmy\b", "their"), (r"\bmine\b", "theirs"), (r"\bme\b", "them"))
_FIRST = re.compile(r"\b(?:I|I'm|I've|I'd|I'll|we|our|us|me|my|mine|myself)\b")
_AWAY = re.compile(r"\b(?:they|them|their|it|its|that|this|those|he|she|him|her|his|you|your|too|as well|either)\b")
_ENDS = ((r"(?:s|x|z|ch|sh|o)$", "es"), (r"(?<=[^aeiou])y$", "ies"))


def third(verb: str) -> str:
    """A verb as it stands with she. Example: "teach" to "teaches", "try" to "tries"; past tenses stay."""
    if verb in _PAST or verb.endswith("ed"):
        return verb
    known = {"am": "is", "have": "has", "do": "does", "can": "can", "will": "will", "don't": "doesn't"}
    if verb in known:
        return known[verb]
    for pattern, ending in _ENDS:
        if re.search(pattern, verb):
            return (verb[:-1] if ending == "ies" else verb) + ending
    return f"{verb}s"


def told_of(trait: str) -> str | None:
    """What a first-person sentence says of its speaker, to stand behind "who" or a name; None where no rule fits.

    Example: "I don't like my boss." gives "does not like their boss".
    """
    said = trait.rstrip(".! ")
    said = re.sub(r"^I'm\b", "I am", re.sub(r"^I've\b", "I have", said))
    said = re.sub(r"^I (?:don't|do not) ", "I donot ", said)
    found = _VERB.match(said)
    if not found or found["verb"].endswith("ly") or _AWAY.search(said):
        return None
    verb = "does not" if found["verb"] == "donot" else third(found["verb"])
    rest = found["rest"]
    for pattern, other in _OWN:
        rest = re.sub(pattern, other, rest)
    if _FIRST.search(rest) or re.search(r"[^\w\s',$%&-]", rest):
        return None
    return f"{found['adverb'] or ''}{verb}{rest}"


def persona(traits: Sequence[str], rng: Random) -> str | None:
    """A sentence that says who somebody is, out of one or two traits. Example: "A nurse who keeps bees."

    None where no rule fits one of them.
    """
    told = [found for trait in traits if (found := told_of(trait))]
    if len(told) < len(traits):
        return None
    work = next((match[1] for each in told if (match := re.match(r"is (an? [a-z][\w ]{2,40})$", each))), None)
    rest = [each for each in told if not (work and each == f"is {work}")]
    head = work[0].upper() + work[1:] if work else rng.choice(("Somebody", "A person", "Somebody", "One"))
    return f"{head} who {' and '.join(rest[:2])}." if rest else f"{head}."


_NAMED = re.compile(r"(?<=[a-z,] )((?:[A-Z][a-z]{2,})(?: (?:of |the |and )?[A-Z][a-z]+){0,3})")
_NOUN = re.compile(
    r"\b(?:the|a|an|some|about|any|my|your|of|like|love) ([a-z]{4,}(?: (?:music|games?|food|shows?))?)\b"
)
_EMPTY = frozenset(
    "lot time thing things something anything nothing good great nice really same best first last other well just "
    "that this what when there they them then very much more most many people person year years week weekend today "
    "talk chat talking sure while little couple kind sort part whole idea point type rest next name these those your "
    "have been being with from about would could should will over also even ever only".split()
)


def subject(turns: Sequence[str], common: Container[str], usual: str) -> str:
    """What a talk comes back to most: a name, else a noun, said at least twice; `usual` where nothing is.

    `common`: words too frequent to tell anything.
    """
    said = " ".join(turns)
    names = Counter(match[1] for match in _NAMED.finditer(said) if match[1] not in common)
    nouns = Counter(match[1] for match in _NOUN.finditer(said.lower()) if match[1].split()[0] not in _EMPTY)
    for counts in (names, Counter({noun: count for noun, count in nouns.items() if noun not in common})):
        for word, count in counts.most_common(1):
            if count >= 2:
                return word[0].upper() + word[1:]
    return usual
