"""Agreement: raters with one another (Fleiss' kappa, Krippendorff's alpha), a metric with people (rank correlations).

By hand where no maintained package fits: `krippendorff` is under the GPL, and statsmodels would come for ten lines.
What cannot be had (nothing varies, fewer than three items, a single rater) is None; it is never 0 and never nan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 3  # items
Scale = Literal["nominal", "ordinal", "interval"]
_CELLS = 4_000_000  # of the tables that a bootstrap works on at a time


def fleiss(ratings: Sequence[Sequence[float]]) -> float | None:
    """Fleiss' kappa of `ratings`, the values given to each item; -1 to 1, higher agrees more, 0 is chance.

    kappa = (P - E)/(1 - E), where P is the mean over items of the share of pairs of raters that agree, and E the sum
    of squares of the shares that the categories have of all ratings. Every value is a category of its own.

    None for fewer than 3 items, fewer than 2 raters, another number of raters on some item than on others (alpha can
    do those), and when all ratings are the same. Source: Fleiss 1971, Psychological Bulletin 76. Known defects:
    blind to how far apart two values are, so unfit for long scales; low where one category is much the commonest.

    Example: (a a a), (a a b), (b b b), (a b b): P = (1 + 1/3 + 1 + 1/3)/4 = 2/3, E = 1/4 + 1/4, kappa = 1/3.
    """
    raters = len(ratings[0]) if ratings else 0
    if len(ratings) < FEWEST or raters < 2 or any(len(item) != raters for item in ratings):
        return None
    counts = [Counter(item) for item in ratings]
    agreed = sum(sum(n * (n - 1) for n in each.values()) for each in counts) / (len(ratings) * raters * (raters - 1))
    total = len(ratings) * raters
    expected = sum((n / total) ** 2 for n in sum(counts, Counter()).values())
    return None if expected == 1 else (agreed - expected) / (1 - expected)


def krippendorff(ratings: Sequence[Sequence[float | None]], scale: Scale) -> float | None:
    """Krippendorff's alpha of `ratings`, the values given to each item, None where a rater gave none.

    alpha = 1 - (n - 1) Σ o(c,k) d(c,k) / Σ n(c) n(k) d(c,k) over pairs of values c, k; o(c,k) counts ordered pairs of
    ratings within an item, each over its number of ratings less one; n(c) = Σ o(c,k), n = Σ n(c). The distance d is 1
    for different values (nominal), their squared difference (interval), or the square of the number of ratings from
    one value to the other, counting half of those at either end (ordinal). Below 0 (worse than chance) to 1, higher
    agrees more. The number of raters may differ; items with a single rating do not count.

    None for fewer than 3 items that have two ratings, and when these are all the same. Source: Krippendorff 2011,
    Computing Krippendorff's alpha-reliability. Known defects: low where nearly all ratings are the same, however much
    raters agree; a scale chosen after the fact can be chosen for its alpha.

    Example, interval: (1, 1), (2, 3), (3, 3): o(2,3) = 1 both ways, n = 2, 1 and 3 for the values 1, 2 and 3, in all
    6; alpha = 1 - 5 × 2/(2 × (2×1×1 + 2×3×4 + 1×3×1)) = 1 - 10/58 = 0.828; nominal 1 - 5 × 2/22 = 0.545.
    """
    import numpy as np

    items = [each for item in ratings if len(each := [value for value in item if value is not None]) > 1]
    values = sorted({value for item in items for value in item})
    if len(items) < FEWEST or len(values) < 2:
        return None
    place = {value: at for at, value in enumerate(values)}
    counts = np.zeros((len(items), len(values)))
    for row, item in zip(counts, items, strict=True):
        np.add.at(row, [place[value] for value in item], 1)
    weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
    observed = counts.T @ weighted - np.diag(weighted.sum(axis=0))
    sizes = observed.sum(axis=1)
    distance = _distances(np.array(values), sizes, scale)
    apart = float((observed * distance).sum())
    return 1 - (float(sizes.sum()) - 1) * apart / float((np.outer(sizes, sizes) * distance).sum())


def _distances(values: Floats, sizes: Floats, scale: Scale) -> Floats:
    """Squared distances between `values`, of which there are `sizes`, shape (values, values)."""
    import numpy as np

    if scale == "nominal":
        return 1 - np.eye(len(values))
    at = values if scale == "interval" else np.cumsum(sizes) - sizes / 2
    return np.square(np.subtract.outer(at, at))


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A correlation from -1 to 1, and its interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Correlation:
    """Rank correlations of two scores over `items`; None where they cannot be had."""

    items: int
    spearman: Coefficient | None = None
    kendall: Coefficient | None = None


def correlate(
    first: Sequence[float], second: Sequence[float], resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Correlation:
    """Spearman's rho and Kendall's tau-b of two scores of the same items, with bootstrap percentile intervals.

    rho is Pearson's correlation of the ranks, ties sharing their mean rank. tau-b = (C - D)/sqrt(A B): concordant less
    discordant pairs, over pairs that differ in the first (A) and in the second score (B). Items are drawn with
    replacement `resamples` times by `seed`; a draw in which a score is constant has no coefficient and is left out,
    and when those are more than half there is no interval. No coefficient for fewer than 3 items or a constant score.

    Source: Spearman 1904; Kendall 1945; Efron 1979. Known defects: intervals of few
    items are too narrow; items that share a dialogue or a system are drawn as if they did not.

    Example: (1, 2, 3, 4) and (1, 3, 2, 4): rho = 1 - 6 × 2/(4 × 15) = 0.8, tau-b = (5 - 1)/6 = 2/3.
    """
    import numpy as np
    from scipy.stats import kendalltau, spearmanr

    if len(first) < FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return Correlation(len(first))
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    return Correlation(
        len(x),
        _with_interval(float(spearmanr(x, y).statistic), _spearmans(x, y, drawn), confidence),
        _with_interval(float(kendalltau(x, y).statistic), _kendalls(x, y, drawn), confidence),
    )


def _with_interval(value: float, found: Floats, confidence: float) -> Coefficient:
    import numpy as np

    had = found[~np.isnan(found)]
    if not len(had) or len(had) < len(found) / 2:
        return Coefficient(value)
    low, high = np.quantile(had, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Coefficient(value, float(low), float(high))


def _portions(drawn: NDArray[np.int64], cells: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, cells // drawn.shape[1])
    for start in range(0, len(drawn), step):
        yield drawn[start : start + step]


def _spearmans(x: Floats, y: Floats, drawn: NDArray[np.int64], cells: int = _CELLS) -> Floats:
    """rho of each draw of items, nan where a score is constant."""
    import numpy as np
    from scipy.stats import rankdata

    found = []
    for rows in _portions(drawn, cells):
        # twice the rank less its mean is a whole number, so that a constant score is exactly nought
        a, b = (2 * rankdata(score[rows], axis=1) - (rows.shape[1] + 1) for score in (x, y))
        found.append(_ratio((a * b).sum(axis=1), np.square(a).sum(axis=1), np.square(b).sum(axis=1)))
    return np.concatenate(found)


def _kendalls(x: Floats, y: Floats, drawn: NDArray[np.int64], cells: int = _CELLS) -> Floats:
    """tau-b of each draw of items, nan where a score is constant.

    A draw is how often each item is in it, w; concordant less discordant pairs, counted in both orders, are then w S w
    with S the products of the signs of differences. Whole numbers below 2**24, so single precision is exact.
    """
    import numpy as np

    found = []
    for rows in _portions(drawn, cells):
        weight = _counts(rows, len(x)).astype(np.float32)
        both = np.zeros(len(rows))
        for start in range(0, len(x), 512):
            block = slice(start, start + 512)
            signs = np.sign(np.subtract.outer(x, x[block])) * np.sign(np.subtract.outer(y, y[block]))
            both += ((weight @ signs.astype(np.float32)).astype(np.float64) * weight[:, block]).sum(axis=1)
        found.append(_ratio(both, _differing(x, rows), _differing(y, rows)))
    return np.concatenate(found)


def _differing(score: Floats, rows: NDArray[np.int64]) -> Floats:
    """How many pairs of drawn items, in both orders, differ in `score`."""
    import numpy as np

    values, place = np.unique(score, return_inverse=True)
    alike: Floats = np.square(_counts(place[rows], len(values)).astype(np.float64)).sum(axis=1)
    pairs: Floats = rows.shape[1] ** 2 - alike
    return pairs


def _counts(rows: NDArray[np.int64], among: int) -> NDArray[np.int64]:
    """How often each of the numbers below `among` is in each row, shape (rows, among)."""
    import numpy as np

    return np.stack([np.bincount(row, minlength=among) for row in rows])


def _ratio(both: Floats, first: Floats, second: Floats) -> Floats:
    """both/sqrt(first second), nan where either is nought."""
    import numpy as np

    found: Floats = np.full(len(both), np.nan)
    had = first * second > 0
    found[had] = both[had] / np.sqrt(first * second)[had]
    return found
