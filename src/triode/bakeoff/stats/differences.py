"""Arms compared on the same seeds: the paired difference, the correction for many tests, every pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triode.bakeoff.stats.estimates import Estimate, Values, mean_interval
from triode.errors import TriodeError

Matrix = Mapping[str, Mapping[int, float]]
"""The measure of every run: name of the arm -> seed -> value."""


@dataclass(frozen=True)
class Difference:
    """The mean of `a - b` over the seeds both have, its interval, and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    p_value: float
    n: int


@dataclass(frozen=True)
class Pair:
    """Two arms compared on the same seeds; `a` is the one that ranks higher."""

    a: str
    b: str
    difference: Difference
    p_corrected: float
    """The p-value after Holm's correction for all the pairs compared; nan where one seed says nothing."""
    significant: bool


@dataclass(frozen=True)
class Comparison:
    """Every arm ranked and every pair tested."""

    ranking: tuple[str, ...]
    """Names by mean, best first; an arm without a finite value comes last."""
    estimates: dict[str, Estimate]
    pairs: tuple[Pair, ...]
    alpha: float
    """Chance, over the whole family of pairs, to call at least one difference real when none is."""

    @property
    def best(self) -> str:
        """The name with the best mean, which is not yet a winner: see `rivals`."""
        return self.ranking[0]

    @property
    def significant(self) -> tuple[Pair, ...]:
        """The pairs whose difference survives the correction."""
        return tuple(pair for pair in self.pairs if pair.significant)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Names that these data cannot tell from the best, in the order of the ranking."""
        beaten = {pair.b for pair in self.significant if pair.a == self.best}
        return tuple(name for name in self.ranking[1:] if name not in beaten)

    def pair(self, one: str, other: str) -> Pair:
        """The pair of these two names, in either order of asking."""
        return next(pair for pair in self.pairs if {pair.a, pair.b} == {one, other})


def paired_difference(
    a: Values,
    b: Values,
    confidence: float = 0.95,
) -> Difference:
    """How much `a` exceeds `b`, entry by entry (the same seed in both): Student's paired test.

    Pairing removes what the seed does to both arms alike. Where all differences are equal the t statistic is infinite
    and its p-value 0, which three accuracies counted in steps of 1/2000 can reach by luck; there the sign test's
    p = 2**(1 - n) is given, and 1 where they are all 0. A seed on which either is not finite is left out; with fewer
    than two left, p is nan.

    Raises `TriodeError` when the lengths differ.

    >>> paired_difference([0.88, 0.89, 0.87], [0.87, 0.87, 0.86])
    Difference(mean=0.013..., low=-0.001..., high=0.027..., p_value=0.057..., n=3)
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise TriodeError(
            f"A paired difference needs two lists of one length, not {first.shape} and {second.shape}."
        )
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    differences = first - second
    estimate = mean_interval(differences, confidence)
    n = estimate.n
    if n < 2:
        return Difference(estimate.mean, estimate.low, estimate.high, math.nan, n)
    deviation = paired_deviation(first, second)
    if deviation == 0:
        p_value = 1.0 if abs(estimate.mean) <= _rounding(first, second) else 2.0 ** (1 - n)
        return Difference(estimate.mean, estimate.low, estimate.high, p_value, n)
    from scipy.special import stdtr

    p_value = 2.0 * float(stdtr(n - 1, -abs(estimate.mean) * math.sqrt(n) / deviation))
    return Difference(estimate.mean, estimate.low, estimate.high, p_value, n)


def paired_deviation(a: Values, b: Values) -> float:
    """The sample standard deviation of `a - b`, 0 where it is rounding alone; nan for fewer than two seeds.

    A seed on which either is not finite is left out. Equal differences of accuracies, subtracted, differ in the last
    bit; that is not spread.

    >>> paired_deviation([0.2, 0.3, 0.4], [0.1, 0.2, 0.3])
    0.0
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if first.size < 2:
        return math.nan
    deviation = float((first - second).std(ddof=1))
    return 0.0 if deviation <= _rounding(first, second) else deviation


def _rounding(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """A difference of these values that is no larger may come from rounding alone."""
    return 1e-12 * max(float(np.abs(first).max()), float(np.abs(second).max()))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down correction: the chance of even one false alarm among all the tests stays below alpha.

    The i-th smallest of m p-values is multiplied by m - i + 1, made monotone and capped at 1. A nan stays nan and is
    not counted among the tests.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist., 1979.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        corrected[i] = highest
    return tuple(corrected)


def compare(
    matrix: Matrix,
    *,
    larger_is_better: bool = True,
    confidence: float = 0.95,
) -> Comparison:
    """Rank the arms of `matrix` (name -> seed -> value) and test every pair on the seeds that both have.

    Args:
        matrix: For each name its value (an accuracy, say) for each seed.
        larger_is_better: False for losses and times.
        confidence: Of each interval; 1 - confidence is alpha for the whole family of pairs, by Holm's correction.

    Raises `TriodeError` for a matrix without names.
    """
    if not matrix:
        raise TriodeError("There is nothing to compare: the matrix has no rows.")
    estimates = {name: mean_interval(list(row.values()), confidence) for name, row in matrix.items()}
    ranking = ranked(estimates, larger_is_better)
    drawn: list[tuple[str, str, Difference]] = []
    for i, a in enumerate(ranking):
        for b in ranking[i + 1 :]:
            seeds = shared(matrix, a, b)
            difference = paired_difference(
                [matrix[a][s] for s in seeds], [matrix[b][s] for s in seeds], confidence
            )
            drawn.append((a, b, difference))
    alpha = round(1.0 - confidence, 12)
    corrected = holm([difference.p_value for _, _, difference in drawn])
    pairs = tuple(Pair(a, b, d, p, bool(p < alpha)) for (a, b, d), p in zip(drawn, corrected, strict=True))
    return Comparison(ranking, estimates, pairs, alpha)


def ranked(estimates: Mapping[str, Estimate], larger_is_better: bool) -> tuple[str, ...]:
    """Names by mean, best first; those without one come last, and ties keep their order."""
    sign = 1.0 if larger_is_better else -1.0

    def place(name: str) -> float:
        mean = estimates[name].mean
        return -math.inf if math.isnan(mean) else sign * mean

    return tuple(sorted(estimates, key=place, reverse=True))


def shared(matrix: Matrix, one: str, other: str) -> list[int]:
    """The seeds that both have run, in order."""
    return sorted(set(matrix[one]) & set(matrix[other]))
