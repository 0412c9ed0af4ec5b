"""Agreement of raters, rank correlations, and metrics held against a file of human scores; numbers by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.engine import Request
from synthesis.engines.scripted import Line, Scripted
from synthesis.errors import ContextOverflow, Unsupported, UserError
from synthesis.metric import Level
from synthesis.metrics import agreement
from synthesis.metrics.agreement import Coefficient, Correlation, correlate, fleiss, krippendorff
from synthesis.metrics.baselines import Baselines
from synthesis.metrics.gptscore import GptScore
from synthesis.metrics.groundedness import DocumentOverlap, GroundednessByEngine
from synthesis.metrics.human import agreement_table, read_human, rendered
from synthesis.metrics.persona import PersonaUse

# ---- raters ---------------------------------------------------------------------------------------------------------


def test_fleiss_by_hand() -> None:
    # pairs that agree: 1, 1/3, 1, 1/3; both categories have half of the ratings
    assert fleiss([(1, 1, 1), (1, 1, 2), (2, 2, 2), (1, 2, 2)]) == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))
    # nobody agrees with anybody: P = 0, E = 3 (1/3)^2
    assert fleiss([(1, 2, 3)] * 3) == pytest.approx(-(1 / 3) / (2 / 3))
    assert fleiss([(1, 1), (2, 2), (3, 3)]) == 1


def test_krippendorff_by_hand() -> None:
    pairs = [(1, 1), (2, 3), (3, 3)]
    assert krippendorff(pairs, "interval") == pytest.approx(1 - 5 * 2 / 58)
    assert krippendorff(pairs, "nominal") == pytest.approx(1 - 5 * 2 / 22)
    # places of 1, 2 and 3 among the ratings: 1, 2.5 and 4.5; squared 2.25 (1 to 2), 4 (2 to 3), 12.25 (1 to 3)
    assert krippendorff(pairs, "ordinal") == pytest.approx(1 - 5 * 2 * 4 / (2 * (2 * 2.25 + 3 * 4 + 6 * 12.25)))


def test_krippendorff_goes_without_missing_ratings() -> None:
    whole = krippendorff([(1, 1), (2, 3), (3, 3)], "interval")
    assert krippendorff([(1, None, 1), (2, 3), (None, 3, 3), (1, None), (None,)], "interval") == whole
    # three ratings of an item are six ordered pairs of weight 1/2
    three = krippendorff([(1, 1, 2), (2, 2), (1, 1)], "nominal")
    # o(1,2) = o(2,1) = 1/2 + 1/2, n(1) = 1 + 1 + 2 = 4, n(2) = 1 + 2 = 3
    assert three == pytest.approx(1 - 6 * (1 + 1) / (2 * 4 * 3))


@pytest.mark.parametrize(
    "ratings",
    [[], [(1, 2), (2, 1)], [(1,), (2,), (3,)], [(1, 1), (1, 1), (1, 1)]],
    ids=["none", "two items", "one rater", "always the same"],
)
def test_agreement_that_cannot_be_had_is_absent(ratings: list[tuple[float, ...]]) -> None:
    assert fleiss(ratings) is None
    assert [krippendorff(ratings, scale) for scale in get_args(agreement.Scale)] == [None] * 3


def test_fleiss_wants_the_same_number_of_raters() -> None:
    assert fleiss([(1, 1), (2, 2), (1, 2, 1)]) is None


values = st.integers(1, 4).map(float)


@given(st.lists(st.lists(values, min_size=2, max_size=2), min_size=3, max_size=9))
def test_alpha_of_two_values_is_the_same_on_every_scale(ratings: list[list[float]]) -> None:
    halves = [[float(value > 2) for value in item] for item in ratings]
    found = [krippendorff(halves, scale) for scale in get_args(agreement.Scale)]
    assert found == [None] * 3 or found == pytest.approx([found[0]] * 3)


@given(st.lists(st.lists(values, min_size=3, max_size=3), min_size=3, max_size=9))
def test_agreement_is_at_most_one_and_order_does_not_matter(ratings: list[list[float]]) -> None:
    kappa = fleiss(ratings)
    assert kappa is None or -1 <= kappa <= 1
    assert fleiss([item[::-1] for item in ratings][::-1]) == (None if kappa is None else pytest.approx(kappa))
    for scale in get_args(agreement.Scale):
        alpha = krippendorff(ratings, scale)
        assert alpha is None or alpha <= 1
        assert krippendorff([item[::-1] for item in ratings], scale) == alpha


# ---- correlations ---------------------------------------------------------------------------------------------------


def test_correlation_by_hand() -> None:
    found = correlate((1, 2, 3, 4), (1, 3, 2, 4))
    assert found.spearman is not None
    assert found.kendall is not None
    assert found.spearman.value == pytest.approx(0.8)
    assert found.kendall.value == pytest.approx(2 / 3)
    # ties: of six pairs four are concordant and none discordant, four differ in the first and five in the second
    tied = correlate((1, 1, 2, 2), (1, 2, 3, 3)).kendall
    assert tied is not None
    assert tied.value == pytest.approx(4 / math.sqrt(4 * 5))


@pytest.mark.parametrize(
    ("first", "second"),
    [((), ()), ((1, 2), (1, 2)), ((1, 1, 1), (1, 2, 3)), ((1, 2, 3), (2, 2, 2))],
    ids=["none", "two items", "constant metric", "constant score"],
)
def test_a_correlation_that_cannot_be_had_is_absent(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    assert correlate(first, second) == Correlation(len(first))


@given(st.lists(st.tuples(values, values), min_size=3, max_size=12), st.integers(0, 99))
def test_every_draw_is_the_correlation_of_its_items(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y = np.array(pairs).T
    drawn = np.random.default_rng(seed).integers(0, len(x), (6, len(x)))
    rhos, taus = agreement._spearmans(x, y, drawn), agreement._kendalls(x, y, drawn)
    for row, rho, tau in zip(drawn, rhos, taus, strict=True):
        if len(set(x[row])) == 1 or len(set(y[row])) == 1:
            assert math.isnan(rho)
            assert math.isnan(tau)
        else:
            assert rho == pytest.approx(spearmanr(x[row], y[row]).statistic)
            assert tau == pytest.approx(kendalltau(x[row], y[row]).statistic)


def test_draws_come_in_portions() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 700))
    drawn = np.random.default_rng(0).integers(0, 700, (5, 700))
    whole = agreement._kendalls(x, y, drawn), agreement._spearmans(x, y, drawn)
    assert np.array_equal(agreement._kendalls(x, y, drawn, cells=1400), whole[0])
    assert np.array_equal(agreement._spearmans(x, y, drawn, cells=1400), whole[1])
    assert whole[0][0] == pytest.approx(kendalltau(x[drawn[0]], y[drawn[0]]).statistic)


def test_intervals() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    found = correlate(x.tolist(), y.tolist())
    assert found.spearman is not None
    low, high = found.spearman.low, found.spearman.high
    assert low is not None
    assert high is not None
    assert low < found.spearman.value < high
    assert 0.1 < high - low < 0.3  # about 4 (1 - rho^2)/sqrt(n)
    assert correlate(x.tolist(), y.tolist()) == found
    assert correlate(x.tolist(), y.tolist(), seed=1) != found
    narrow = correlate(x.tolist(), y.tolist(), confidence=0.5).spearman
    assert narrow is not None
    assert narrow.low is not None
    assert narrow.low > low


def test_few_draws_that_vary_are_no_interval() -> None:
    found = correlate((0, 0, 0, 0, 0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 0, 0, 0, 0, 0, 1), resamples=400)
    assert found.spearman is not None
    assert found.spearman.high == pytest.approx(1)  # about 1 draw in 3 lacks the one that differs
    assert agreement._with_interval(0.5, np.array([1.0, np.nan, np.nan]), 0.95) == Coefficient(0.5)
    assert agreement._with_interval(0.5, np.array([]), 0.95) == Coefficient(0.5)


# ---- a file of human scores -----------------------------------------------------------------------------------------

DOCUMENT = "The tower opens at nine and closes at dusk. It is made of red brick."
ANSWERS = (
    "It opens at nine.",
    "The tower opens at nine and closes at dusk, it is red brick.",
    "I like trains and ships more.",
    "Red brick, I think, from some quarry in the hills.",
    "Nobody knows.",
    "At nine, like most museums in town.",
)
GROUNDED = ([5, 5, 4], [5, 5, 5], [1, 1, 1], [3, 2, 3], [1, 2, 1], [3, 4, 3])


def item(number: int, **other: Any) -> dict[str, Any]:
    turns = [{"speaker": "a", "text": "When does it open?"}, {"speaker": "b", "text": ANSWERS[number]}]
    scores = {"grounded": GROUNDED[number], "kind": 3}
    return {"id": str(number), "turns": turns, "document": DOCUMENT, "scores": scores} | other


def written(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return written(tmp_path / "human.jsonl", *(item(number) for number in range(6)))


def test_a_file_of_human_scores(tmp_path: Path) -> None:
    path = written(
        tmp_path / "human.jsonl",
        item(0, personas=[["I ski."], ["I sing.", "I swim."]]),
        item(1, scores={"kind": [None, 2, 3.0]}, document=None),
    )
    first, second = read_human(path)
    assert first.dialogue.document == DOCUMENT
    assert [persona.traits for persona in first.dialogue.personas] == [("I ski.",), ("I sing.", "I swim.")]
    assert first.ratings == {"grounded": (5, 5, 4), "kind": (3,)}
    assert first.score("grounded") == pytest.approx(14 / 3)
    assert second.score("kind") == 2.5
    assert second.dialogue.document is None


def turns(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    row = item(0)
    change(row["turns"][0])
    return row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], r"human scores \S+:2: expected an object with id, turns, personas, document, scores, got list"),
        (item(0, mark=3), r":2: unknown fields \['mark'\]; a judged dialogue has id, turns"),
        ({"id": "7", "scores": {"kind": 1}}, r":2: .*missing fields \['turns'\]"),
        (item(0, id=7), r":2.id: got '7', expected str"),
        (item(1), r":2: the id '1' comes twice"),
        (item(0, turns=[]), r":2.turns: is empty"),
        (turns(lambda turn: turn.pop("text")), r":2.turns\[0\]: .*missing fields \['text'\]"),
        (turns(lambda turn: turn.update(text=3)), r":2.turns\[0\].text: got '3', expected str"),
        (item(0, document=3), r":2.document: got '3'"),
        (item(0, personas="I ski."), r":2.personas: expected a list of lists of sentences, got str"),
        (item(0, personas=["I ski."]), r":2.personas\[0\].traits: got 'I ski.', expected tuple"),
        ({key: value for key, value in item(0).items() if key != "scores"}, r":2.scores: no scores; .*got 'None'"),
        (item(0, scores={}), r":2.scores: no scores"),
        (item(0, scores=[3]), r":2.scores: no scores; .*got '\[3\]'"),
        (item(0, scores={"kind": "good"}), r":2.scores.kind: expected a number, .*got 'good'"),
        (item(0, scores={"kind": True}), r":2.scores.kind"),
        (item(0, scores={"kind": None}), r":2.scores.kind"),
        (item(0, scores={"kind": [3, "good"]}), r":2.scores.kind"),
        (item(0, scores={"kind": [None]}), r":2.scores.kind"),
        (item(0, scores={"kind": math.nan}), r":2.scores.kind"),
        (item(0, scores={"kind": 10**400}), r":2.scores.kind"),
    ],
)
def test_what_does_not_match_is_named_with_its_place(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_human(written(tmp_path / "human.jsonl", item(1), row))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"human scores .*no such file"):
        read_human(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="the file is empty"):
        read_human(tmp_path / "empty.jsonl")


# ---- the table ------------------------------------------------------------------------------------------------------


async def test_baselines_by_hand() -> None:
    turns = (Turn("a", "Do you like ferries?"), Turn("b", "Ferries? I sailed on ferries for years."))
    assert await Baselines("turn").score(Dialogue("d", turns)) == {
        "length": 7,
        "content_words": 3,
        "overlap": pytest.approx(1 / 3),
    }
    assert await Baselines("dialogue").score(Dialogue("d", turns)) == {
        "length": 11,
        "content_words": 4,
        "overlap": pytest.approx(1 / 3),  # nothing stands before the first turn
    }
    documented = Dialogue("d", turns, document="Years of sailing.")
    assert (await Baselines("dialogue").score(documented))["overlap"] == pytest.approx((0 + 2 / 3) / 2)
    assert await Baselines("turn").score(Dialogue("d", turns[:1])) == {"length": 4, "content_words": 1}


async def test_metrics_against_human_scores(scores: Path) -> None:
    table = await agreement_table(
        scores, "turn", {"overlap": DocumentOverlap("turn"), "use": PersonaUse(level="turn")}
    )
    assert (table.items, table.level) == (6, "turn")
    rows = {(row.score, row.metric): row for row in table.rows}
    assert len(rows) == 2 * (3 + len(DocumentOverlap.about) + len(PersonaUse.about))
    assert {row.metric for row in table.rows if row.baseline} == Baselines.about.keys()
    # of the answers' content words the document has 2/2, 6/6, 0/3, 2/5, 0/2 and 1/4
    found = rows["grounded", "document_overlap"].correlation
    overlap, people = (1, 1, 0, 2 / 5, 0, 1 / 4), (14 / 3, 5, 1, 8 / 3, 4 / 3, 10 / 3)
    assert found.items == 6
    assert found.spearman is not None
    assert found.kendall is not None
    assert found.spearman.value == pytest.approx(spearmanr(overlap, people).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(overlap, people).statistic)
    assert rows["grounded", "overlap"].correlation == found, "the baseline is the same measure here"
    assert rows["kind", "document_overlap"].correlation == Correlation(6), "everybody is as kind as the others"
    assert rows["grounded", "persona_coverage"].correlation == Correlation(0), "nobody has a profile"


async def test_the_closest_come_first(scores: Path) -> None:
    table = await agreement_table(scores, "turn", {"overlap": DocumentOverlap("turn")})
    sizes = [
        abs(row.correlation.spearman.value) if row.correlation.spearman else -1
        for row in table.rows
        if row.score == "grounded"
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert [row.score for row in table.rows] == ["grounded"] * 6 + ["kind"] * 6


async def test_raters_are_held_against_one_another(scores: Path) -> None:
    (raters,) = (await agreement_table(scores, "turn", {})).raters  # of "kind" there is one number
    assert (raters.score, raters.items, raters.raters) == ("grounded", 6, 3)
    assert raters.fleiss == fleiss(GROUNDED)
    assert raters.alpha_interval == krippendorff(GROUNDED, "interval")
    assert raters.alpha_nominal is not None
    assert raters.alpha_ordinal is not None
    assert raters.alpha_interval is not None
    assert raters.alpha_nominal < raters.alpha_ordinal
    assert raters.alpha_interval > 0.8


async def test_an_engine_can_be_held_against_people(scores: Path) -> None:
    def judge(request: Request) -> str:
        turn = request.messages[0][1].partition("Next turn:\n")[2]
        return json.dumps({"supported": "yes" if "nine" in turn.partition("\n")[0] else "no"})

    table = await agreement_table(scores, "turn", {"judge": GroundednessByEngine(Scripted(judge), "turn")})
    row = next(row for row in table.rows if row.metric == "grounded_engine")
    # yes to the first, second and last, which people rank fifth, sixth and fourth
    assert row.correlation.spearman is not None
    assert row.correlation.spearman.value == pytest.approx(spearmanr((1, 1, 0, 0, 0, 1), (5, 6, 1, 3, 2, 4)).statistic)
    assert not table.failed


async def test_what_cannot_be_judged_spoils_no_other(scores: Path) -> None:
    def judge(request: Request) -> Line:
        asked = request.messages[0][1].partition("Next turn:")[2]
        if "Red brick" in asked:
            return ContextOverflow("too long")
        return "Hm." if "Nobody knows." in asked else '{"supported": "yes"}'

    lacks = Unsupported("top_n_tokens: this dialect has none")
    table = await agreement_table(
        scores,
        "turn",
        {
            "judge": GroundednessByEngine(Scripted(judge), "turn"),
            "gpt-score": GptScore(Scripted(lambda request: lacks), "turn", how="tokens"),
        },
    )
    items = {row.metric: row.correlation.items for row in table.rows if row.score == "grounded"}
    assert (items["grounded_engine"], items["gptscore_fluent"], items["length"]) == (4, 0, 6)
    assert table.failed["judge"] == "2 of 6 dialogues could not be judged: too long"
    assert "this dialect has none" in table.failed["gpt-score"]


@dataclass(frozen=True, slots=True)
class Loudness:
    """Exclamation marks, where there are any words."""

    about: ClassVar[Mapping[str, str]] = {"length": "clashes with a baseline"}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        return {"length": dialogue.text().count("!")}


async def test_two_numbers_of_one_name_are_refused(scores: Path) -> None:
    with pytest.raises(UserError, match="two scorers give 'length'"):
        await agreement_table(scores, "turn", {"loudness": Loudness()})


@pytest.mark.parametrize("level", ["turn", "dialogue"])
async def test_the_table_as_text_and_as_json(scores: Path, level: Level) -> None:
    table = await agreement_table(scores, level, {"overlap": DocumentOverlap(level), "use": PersonaUse(level=level)})
    lines = rendered(table).splitlines()
    assert lines[0] == f"{scores}: 6 items judged by people, level {level}"
    assert lines[2].startswith("grounded (6 items, up to 3 raters: Fleiss' kappa 0.")
    assert lines[3].split() == ["metric", "items", "Spearman", "(95", "%)", "Kendall", "(95", "%)"]
    overlap = next(line for line in lines if line.strip().startswith("overlap"))
    assert overlap.split()[1:3] == ["baseline", "6"]
    absent = next(line for line in lines if line.strip().startswith("persona_coverage"))
    assert absent.split() == ["persona_coverage", "0", "-", "-"]
    assert "kind" in lines
    assert all(len(line) <= 119 for line in lines[1:])
    plain = to_json(table)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["rows"][0]["correlation"]["items"] == 6


async def test_the_same_file_gives_the_same_table(scores: Path) -> None:
    first = await agreement_table(scores, "turn", {"overlap": DocumentOverlap("turn")})
    assert await agreement_table(scores, "turn", {"overlap": DocumentOverlap("turn")}) == first
    assert await agreement_table(scores, "turn", {"overlap": DocumentOverlap("turn")}, resamples=10) != first


async def test_scores_that_some_items_lack_count_where_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path / "human.jsonl",
        *(
            item(number, scores={"grounded": number, **({"rare": number} if number > 2 else {})})
            for number in range(6)
        ),
    )
    table = await agreement_table(path, "turn", {})
    assert {(row.score, row.correlation.items) for row in table.rows} == {("grounded", 6), ("rare", 3)}
    assert table.raters == ()
