"""First-person statements: found in turns, rephrased, negated and compared, all by rule.

Profiles for corpora that have none are made from what a speaker says of herself, and the examples of the critics'
calls need sentences that are surely repeated, surely absent or surely contradicted. Everything here is text in, text
out, without a model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from random import Random

from synthesis.filters.copying import Copying

_ASCII = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "´": "'", "`": "'"}
_LOWER_I = re.compile(r"\bi\b(?=['\s,.!?;:]|$)")
_BARE = {
    bare.replace("'", ""): bare
    for bare in (
        "don't doesn't didn't isn't aren't wasn't haven't hasn't couldn't wouldn't shouldn't can't that's there's "
        "what's i'm i've you're they're it'll that'll"
    ).split()
}
_APOSTROPHE = re.compile(rf"\b({'|'.join(_BARE)})\b", re.IGNORECASE)
_SENTENCE_START = re.compile(r"(^|[.!?]\s+)([a-z])")
_UNREADABLE = re.compile(r"https?:|www\.|@\w|[\[\]{}<>|\\~^*_#=]|user [12]|\b(?:mturk|turker)\b", re.IGNORECASE)


def clean(text: str) -> str | None:
    """A turn in plain ASCII with capitals where English wants them, or None when it holds markup or addresses."""
    for odd, plain in _ASCII.items():
        text = text.replace(odd, plain)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"\s+([,.!?;:])", r"\1", re.sub(r"\s+", " ", text)).strip(" -")
    text = text[1:-1] if text[:1] == text[-1:] == '"' and text.count('"') == 2 else text
    text = _APOSTROPHE.sub(lambda match: match[0][0] + _BARE[match[0].lower()][1:], text)
    text = re.sub(r"([!?.,])\1{3,}", r"\1\1\1", re.sub(r"([!?,])\1+", r"\1", text))
    text = _LOWER_I.sub("I", text)
    text = _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)
    if not text or _UNREADABLE.search(text):
        return None
    return text if text[-1] in ".!?\"')" else f"{text}."


def sentences(text: str) -> list[str]:
    """A turn cut after its full stops, exclamation and question marks."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text) if part]


_OPENS = re.compile(r"^(?:I|I'm|I've|My)\s.*$")
_FILLER = re.compile(
    r"^I(?:'m| am| was| have|'ve)? (?:think|thought|guess|agree|know|knew|mean|see|bet|hope|wish|wonder|suppose|heard|"
    r"hear|feel|do|did|don't|didn't|can't|could|would|will|wonder|believe|sure|not sure|glad|sorry|happy|surprised|"
    r"doing|fine|good|ok|okay|well|great|going to|gonna|just|totally|am|might|should|understand|remember|forgot|"
    r"can|haven't|never heard|said|say|doubt|read that|assume|imagine|right|also)\b(?!.{25,})",
    re.IGNORECASE,
)
_POINTS_AWAY = re.compile(
    r"\b(?:it|its|it's|that|that's|this|these|those|them|they|they're|he|he's|she|she's|him|his|her|you|your|you're|"
    r"there|one|ones|so|too|either|same|lol|haha|here|because|if|but|though)\b",
    re.IGNORECASE,
)
_TAIL = re.compile(r"(?:,| because| but| so| though| if| when)\s.*$", re.IGNORECASE)


def statement(sentence: str) -> str | None:
    """A sentence that says something of the speaker and stands alone, 3 to 15 words, ended by a full stop, or None."""
    if not _OPENS.match(sentence) or "?" in sentence or '"' in sentence:
        return None
    body = _TAIL.sub("", sentence).rstrip(".!, ")
    if (
        not 3 <= len(body.split()) <= 15
        or body.endswith((" St", " Mr", " Mrs", " Dr", " vs"))
        or _FILLER.match(body)
        or _POINTS_AWAY.search(body)
    ):
        return None
    return f"{body}."


_REPHRASE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"^I'm\b", ("I am",)),
    (r"^I've\b", ("I have",)),
    (r"^I (?:really |also |just )?love to (\w+)", (r"My favorite thing is to \1", r"I always want to \1")),
    (
        r"^I (?:really |also |just )?(?:love|like|enjoy) (?!to\b)",
        ("I am fond of ", "I am very into ", "I am a fan of "),
    ),
    (r"^I (?:really |also |just )?hate (?!to\b)", ("I cannot stand ", "I really dislike ")),
    (r"^I am a (?:big|huge) fan of", ("I really like", "I follow")),
    (r"^My favorite (\w+) is", (r"The \1 I like best is",)),
    (r"^I have been to", ("I once visited",)),
    (r"^I have a\b", ("I own a",)),
    (r"^I (?:saw|watched)\b", ("I have seen",)),
    (r"^I grew up in", ("My childhood home was in",)),
    (r"^I live in", ("My home is in",)),
    (r"^I work as", ("My job is being",)),
    (r"^I want to", ("I would like to", "My plan is to")),
)


def rephrased(trait: str, rng: Random) -> str:
    """The same fact in other words where a rule knows some, otherwise the sentence as it is."""
    for pattern, options in _REPHRASE[:2]:
        trait = re.sub(pattern, options[0], trait)
    for pattern, options in _REPHRASE[2:]:
        if re.search(pattern, trait):
            return re.sub(pattern, rng.choice(options), trait)
    return trait


_ENDS = frozenset("in for with at from on and when because that who while after before by to until since".split())
_JOINTS = _ENDS | frozenset(
    "of whenever near but about during into over as without every around the a an my our is are was were has if than "
    "so only even once no".split()
)
_ASIDES = (
    *(", you know,", ", actually,", ", I admit,", ", to be honest,", ", of course,", ", mostly,", ", well,"),
    *(", I must say,", ", believe it or not,", ", in fact,", ", as it happens,", ", I suppose,", ", it is true,"),
)
_STRONGER = ("really", "actually", "certainly", "honestly", "truly", "definitely")
_SUBJECT = re.compile(r"^(I'm|I am|I've|I was|I) (?!am\b|have\b|was\b|had\b|can\b|will\b)(.+)$")
RUN = Copying().run
"""Words in a row from which a trait is recited, and not told."""


def parted(trait: str, rng: Random, whole_turns: bool = False) -> tuple[str, str] | None:
    """A trait cut in two, without its full stop, before a word that joins; neither half is long enough to recite it.

    Of a long one the end is left out. None for a trait that cannot be cut so. `whole_turns`: only where each half can
    stand alone, after three words or more.
    """
    whole = trait.rstrip(".!").split()
    most = min(RUN, len(whole)) - 1
    joints = [at for at in range(2, len(whole)) if whole[at].lower() in _JOINTS]
    joints = [at for at in joints if whole[at - 1].lower() not in _JOINTS]
    if whole_turns:
        joints = [at for at in joints if at >= 3 and whole[at].lower() in _ENDS - {"that", "who", "and", "to"}]
    ends = [*(at for at in joints if whole[at].lower() in _ENDS), len(whole)]
    cuts = [(at, end) for at in joints for end in ends if at <= most and 2 <= end - at <= most]
    if not cuts:
        return None
    furthest = max(end for _, end in cuts)
    at, end = rng.choice([cut for cut in cuts if cut[1] == furthest])
    return " ".join(whole[:at]).rstrip(","), " ".join(whole[at:end]).rstrip(",")


def voiced(trait: str, rng: Random) -> str:
    """A trait as somebody says it of herself: nearly word by word, but not recited, where a rule knows how."""
    if halves := parted(trait, rng):
        return f"{halves[0]}{rng.choice(_ASIDES)} {halves[1]}."
    subject = _SUBJECT.match(trait)
    if subject and len(subject[2].split()) < RUN:
        return f"{subject[1]} {rng.choice(_STRONGER)} {subject[2]}"
    return rephrased(trait, rng)


_PLAIN_VERBS = (
    "like|love|enjoy|hate|want|have|live|work|play|watch|listen|read|own|collect|prefer|go|eat|drink|cook|bake|travel|"
    "follow|study|teach|know|need|drive|ride|run|write|sing|dance|draw|paint|grow|keep|speak|wear|spend|sleep|get|"
    "make|take|use|help|walk|swim|dream|volunteer|attend|believe|miss|plan|sell|train|repair|restore|knit|carve|fold"
)
_PAST = {
    "saw": "see", "went": "go", "grew": "grow", "had": "have", "bought": "buy", "got": "get", "took": "take",
    "made": "make", "met": "meet", "won": "win", "read": "read", "lost": "lose", "found": "find", "wrote": "write",
    "moved": "move", "lived": "live", "loved": "love", "liked": "like", "used": "use", "watched": "watch",
    "played": "play", "worked": "work", "studied": "study", "learned": "learn", "started": "start", "quit": "quit",
    "enjoyed": "enjoy", "wanted": "want", "visited": "visit", "gave": "give", "came": "come", "drove": "drive",
}  # fmt: skip
_NEGATIONS = (
    (r"^(I|My [\w ]+?) (have|has|had|am|is|are|was|were) never\b", r"\1 \2"),
    (r"^(I|My [\w ]+?) never (\w+)", r"\1 always \2"),
    (r"\bdo not\b |\bdon't\b ", ""),
    (r"\b(am|is|are|was|were|can|could|will|would|should|have|has) not\b", r"\1"),
    (r"\bcannot\b|\bcan't\b", "can"),
    (r"\b(is|are|was|were|have|has|would|could)n't\b", r"\1"),
    (r"^I (am|was|can|could|will|would|should)\b", r"I \1 not"),
    (
        r"^I have (been|seen|had|always|known|done|made|read|got|met|written|found|heard|become|come|gone|grown|taken"
        r"|given|gotten|spent|bought|taught|kept|lost|won|thought|told|begun|broken|built|sung|swum|run|used|\w{3,}ed)\b",
        r"I have not \1",
    ),
    (rf"^I (really |usually |often |always |also )?({_PLAIN_VERBS})\b", r"I do not \2"),
    (r"^(My [\w' ]+?) (is|are|was|were|can|will)\b", r"\1 \2 not"),
    (r"^(My [\w' ]+?) has\b", r"\1 does not have"),
    (r"^(My [\w' ]+?) have\b", r"\1 do not have"),
    (r"^(My [\w']+) (\w{3,}[^sui\s])s\b", r"\1 does not \2"),
)


def negated(trait: str) -> str | None:
    """The sentence with its claim turned round, changing as little as possible; None where no rule fits."""
    if trait.startswith("I used to "):
        return None
    whole = re.sub(r"^I've\b", "I have", re.sub(r"^I'm\b", "I am", trait))
    for pattern, into in _NEGATIONS:
        result, changed = re.subn(pattern, into, whole, count=1)
        if changed:
            return result
    match = re.match(r"^I (\w+)\b(.*)$", whole)
    if match and match[1] in _PAST:
        return f"I did not {_PAST[match[1]]}{match[2]}"
    return None


_NAMED = re.compile(r"(?<=[a-z,] )((?:[A-Z][a-z]{2,})(?: (?:of |the )?[A-Z][a-z]+)*)")
_NOUN = re.compile(
    r"\b(?:the|a|an|some|of|about|any|good|new|old|these|to play|to watch) ([a-z]{4,})"
    r"(?=[.,!?]| (?:of|in|on|and|with)\b)"
)
_OWNED = re.compile(r"\b[Mm]y ([a-z]{3,})(?= (?:is|was|has|and|loves?|likes?|had|went|got)\b|[.,!?])")
_NOT_OWNED = set(
    "favorite favorites god goodness opinion mind life own way heart thoughts fault bad point self".split()
)
_ABOUT = (
    "I can talk about {} for hours.", "I often think about {}.", "I know a thing or two about {}.", "I like {}.",
    "I am curious about {}.", "I have strong feelings about {}.", "I read a lot about {}.", "I am into {}.",
)  # fmt: skip


def shown(turns: Sequence[str], common: Container[str], rng: Random) -> list[str]:
    """Traits that the turns show without saying them: of things a speaker names, and of what she calls hers.

    `common`: words too frequent to tell anything of a speaker.
    """
    said = " ".join(turns)
    things = [match[1] for match in _NAMED.finditer(said)] + [match[1] for match in _NOUN.finditer(said)]
    picked = [thing for thing in dict.fromkeys(things) if thing not in common]
    owned = [match[1] for match in _OWNED.finditer(said) if match[1] not in _NOT_OWNED]
    have = [
        f"I have {'' if thing.endswith('s') else 'an ' if thing[0] in 'aeiou' else 'a '}{thing}." for thing in owned
    ]
    return [*dict.fromkeys(have), *(rng.choice(_ABOUT).format(thing) for thing in rng.sample(picked, len(picked)))]


_STOP = set(
    "i i'm i've i'd i'll am is are was were be been being a an the my me mine to of in on at for with and or "
    "but not no do does did don't didn't have has had it its this that these those he she they them his her "
    "their you your we our so too very really just also as from by about into up out than then there here what "
    "which who when where how all any some more most much many can could will would should get got go going "
    "like love enjoy favorite fan fond one always never often usually want thing things time lot if because "
    "own".split()
)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def content(text: str) -> set[str]:
    """Content words, cut to their first six letters so that endings do not matter."""
    return {word.rstrip("'s")[:6] for word in words(text) if word not in _STOP and len(word) > 2}


def overlap(trait: str, turns: Sequence[str]) -> float:
    """Share of the trait's content words, 0 to 1, that occur in the turns; 0 for a trait that has none."""
    wanted = content(trait)
    return len(wanted & content(" ".join(turns))) / len(wanted) if wanted else 0.0


TOLD, ABSENT = 0.6, 0.2
"""Share of a trait's content words from which a speaker tells it, and up to which she does not (choice)."""


def told_alone(trait: str, said: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a trait shows in what one user said, and not in what the other did."""
    return overlap(trait, said) >= TOLD and overlap(trait, others) <= ABSENT


def kinds(traits: Iterable[str]) -> dict[str, list[str]]:
    """The words that traits end in or turn on, by their endings: what may stand for what (see `varied`)."""
    found: dict[str, dict[str, None]] = {}
    for trait in traits:
        whole = trait.rstrip(".").split()
        for at in _places(whole):
            found.setdefault(_ending(whole[at]), {})[whole[at]] = None
    return {ending: list(some) for ending, some in found.items()}


def varied(trait: str, words: Mapping[str, Sequence[str]], rng: Random) -> str:
    """The trait with one or two of its words changed for others of their kind: nothing that anybody knows by heart."""
    whole = trait.rstrip(".").split()
    places = _places(whole)
    for at in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
        whole[at] = rng.choice(words[_ending(whole[at])])
    return f"{' '.join(whole)}."


def _places(whole: Sequence[str]) -> list[int]:
    """Where words stand in small letters at the end of what they belong to: most of them are nouns."""
    return [
        at
        for at, word in enumerate(whole)
        if at > 1
        and re.fullmatch(r"[a-z]{3,}", word)
        and content(word)
        and (at == len(whole) - 1 or whole[at + 1].lower() in _JOINTS)
        and whole[at - 1].lower() not in ("to", "not", "never", "so", "very", "when", "i")
    ]


def _ending(word: str) -> str:
    return next((ending for ending in ("ing", "ed", "ly", "s") if word.endswith(ending)), "")


def longest_copy(trait: str, turns: Sequence[str]) -> int:
    """Length in words of the longest run of the trait that stands in the turns word by word."""
    sought, said = words(trait), f" {' '.join(words(' '.join(turns)))} "
    for size in range(len(sought), 0, -1):
        if any(f" {' '.join(sought[at : at + size])} " in said for at in range(len(sought) - size + 1)):
            return size
    return 0
