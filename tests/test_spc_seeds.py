"""The seed material shipped with the spc recipe holds what the recipe takes for granted."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

RECIPES = Path(__file__).resolve().parents[1] / "synthesis" / "recipes"
SENTENCE = re.compile(r"(?:I|My) [^.!?\n]+\.")
PLACEHOLDER = re.compile(r"[\[\]{}<>$_*]|\((?:name|city)\)|\buser\s*[12]\b", re.IGNORECASE)
COPY_NGRAM = 4  # words in a row that count as copying a trait
STEM = 5  # letters of a word that are compared, so that plurals and tenses meet
FUNCTION_WORDS = """
a about all always and any are been but can could did does every for from get good got had has have her him his into
its just know like make many more much never not one only our out over own she some take than that the their them then
there they this time too very want was were what when where which who with work would year years you your
"""


def read_lines(name: str) -> list[str]:
    return (RECIPES / name).read_text(encoding="utf-8").splitlines()


def read_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_lines(name)]


def words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)*", text.lower())


def ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def stems(text: str) -> set[str]:
    skipped = set(FUNCTION_WORDS.split())
    return {word[:STEM] for word in words(text) if len(word) > 2 and word not in skipped}


def folded(texts: list[str]) -> list[str]:
    return [" ".join(words(text)) for text in texts]


def repeated(texts: list[str]) -> list[str]:
    return [text for text, count in Counter(folded(texts)).items() if count > 1]


def assert_sentence(text: str) -> None:
    assert SENTENCE.fullmatch(text), f"not one first-person sentence: {text!r}"
    assert 4 <= len(text.split()) <= 14, f"{len(text.split())} words, wanted 4 to 14: {text!r}"
    assert not PLACEHOLDER.search(text), f"placeholder in {text!r}"


ATTRIBUTES = read_rows("spc_personas.jsonl")
NAMES = read_lines("spc_names.txt")
SETTINGS = read_lines("spc_settings.txt")
EXEMPLARS = read_rows("spc_exemplars.jsonl")
exemplars = pytest.mark.parametrize("exemplar", EXEMPLARS, ids=lambda row: row["id"])


def traits(exemplar: dict[str, Any]) -> list[str]:
    return [trait for persona in exemplar["personas"] for trait in persona["traits"]]


def test_copying_is_noticed_across_case_and_punctuation() -> None:
    assert ngrams("Well, I RESTORE old boats!", COPY_NGRAM) & ngrams("I restore old boats.", COPY_NGRAM)
    assert not ngrams("I restore very old boats.", COPY_NGRAM) & ngrams("I restore old boats.", COPY_NGRAM)


def test_attributes_are_enough_and_in_enough_categories() -> None:
    sizes = Counter(row["category"] for row in ATTRIBUTES)
    assert len(ATTRIBUTES) >= 440
    assert len(sizes) >= 48
    assert {category: size for category, size in sizes.items() if not 8 <= size <= 10} == {}


def test_attributes_are_short_first_person_sentences() -> None:
    for row in ATTRIBUTES:
        assert set(row) == {"text", "category", "query"}, row
        assert_sentence(row["text"])


def test_attributes_are_distinct() -> None:
    assert repeated([row["text"] for row in ATTRIBUTES]) == []


def test_attributes_of_a_category_do_not_reword_one_another() -> None:
    by_category: dict[str, list[str]] = defaultdict(list)
    for row in ATTRIBUTES:
        by_category[row["category"]].append(row["text"])
    for texts in by_category.values():
        shared = Counter(gram for text in texts for gram in ngrams(text, COPY_NGRAM))
        assert [gram for gram, count in shared.items() if count > 1] == []


def test_each_category_has_one_query_of_its_own() -> None:
    queries: dict[str, set[str]] = defaultdict(set)
    for row in ATTRIBUTES:
        queries[row["category"]].add(row["query"])
    assert {category: asked for category, asked in queries.items() if len(asked) != 1} == {}
    flat = [query for asked in queries.values() for query in asked]
    assert repeated(flat) == []
    for query in flat:
        assert query.endswith("?"), query
        assert query.count("?") == 1, query
        assert len(query.split()) <= 12, query


def test_names_are_distinct_single_words() -> None:
    assert len(NAMES) == 200
    assert repeated(NAMES) == []
    assert [name for name in NAMES if not re.fullmatch(r"[A-Z][a-z]{1,11}", name)] == []


def test_settings_are_distinct_clauses() -> None:
    assert len(SETTINGS) == 60
    assert repeated(SETTINGS) == []
    for setting in SETTINGS:
        assert re.fullmatch(r"They [^.!?]+\.", setting), setting
        assert 5 <= len(setting.split()) <= 14, setting


def test_exemplars_are_twelve_with_distinct_ids_openings_and_traits() -> None:
    assert len(EXEMPLARS) == 12
    ids = [row["id"] for row in EXEMPLARS] + [persona["id"] for row in EXEMPLARS for persona in row["personas"]]
    assert len(ids) == len(set(ids))
    assert len({tuple(words(row["turns"][0]["text"])[:3]) for row in EXEMPLARS}) == 12
    assert repeated([trait for row in EXEMPLARS for trait in traits(row)]) == []


def test_exemplar_traits_are_not_seed_attributes() -> None:
    """Otherwise a generated profile could be shown a finished conversation about itself."""
    seeds = set(folded([row["text"] for row in ATTRIBUTES]))
    assert seeds.isdisjoint(folded([trait for row in EXEMPLARS for trait in traits(row)]))


@exemplars
def test_an_exemplar_has_two_profiles_of_five_sentences(exemplar: dict[str, Any]) -> None:
    assert set(exemplar) == {"id", "personas", "turns"}
    assert [persona["id"] for persona in exemplar["personas"]] == [f"{exemplar['id']}-a", f"{exemplar['id']}-b"]
    assert [len(persona["traits"]) for persona in exemplar["personas"]] == [5, 5]
    said = " ".join(turn["text"] for turn in exemplar["turns"])
    assert all(persona["name"] in said for persona in exemplar["personas"] if "name" in persona)
    for trait in traits(exemplar):
        assert_sentence(trait)


@exemplars
def test_an_exemplar_alternates_from_user_1(exemplar: dict[str, Any]) -> None:
    turns = exemplar["turns"]
    assert 10 <= len(turns) <= 14
    assert [turn["speaker"] for turn in turns] == [f"User {i % 2 + 1}" for i in range(len(turns))]


@exemplars
def test_an_exemplar_speaks_in_clean_turns(exemplar: dict[str, Any]) -> None:
    texts = [turn["text"] for turn in exemplar["turns"]]
    assert repeated(texts) == []
    for text in texts:
        assert text == text.strip()
        assert 5 <= len(text.split()) <= 25, f"{len(text.split())} words: {text!r}"
        assert text[-1] in ".!?", text
        assert not PLACEHOLDER.search(text), text


@exemplars
def test_an_exemplar_never_copies_a_trait(exemplar: dict[str, Any]) -> None:
    spoken = [gram for turn in exemplar["turns"] for gram in ngrams(turn["text"], COPY_NGRAM)]
    for trait in traits(exemplar):
        assert ngrams(trait, COPY_NGRAM).isdisjoint(spoken), f"copied: {trait!r}"


@exemplars
def test_each_speaker_of_an_exemplar_voices_the_own_profile(exemplar: dict[str, Any]) -> None:
    """Catches swapped personas: a speaker's words meet two own traits, and the own profile more than the other."""
    said = [stems(" ".join(turn["text"] for turn in exemplar["turns"][start::2])) for start in (0, 1)]
    profiles = [stems(" ".join(persona["traits"])) for persona in exemplar["personas"]]
    own = sum(len(said[i] & (profiles[i] - profiles[1 - i])) for i in (0, 1))
    crossed = sum(len(said[i] & (profiles[1 - i] - profiles[i])) for i in (0, 1))
    assert own > crossed
    for persona, spoken in zip(exemplar["personas"], said, strict=True):
        voiced = [trait for trait in persona["traits"] if stems(trait) & spoken]
        assert len(voiced) >= 2, f"{persona['id']} voices only {voiced}"
