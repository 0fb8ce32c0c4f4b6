"""From repeated trials to what may be said: intervals over seeds, paired differences, and which survive correction.

Pure functions of numbers; nothing here trains, reads a file or draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the interval that holds the true mean with the asked confidence; nan bounds for n < 2."""

    mean: float
    low: float
    high: float
    n: int


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


def mean_interval(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95) -> Estimate:
    """The mean of `values` with Student's interval.

    mean +- t s / sqrt(n), with s the sample standard deviation (n - 1) and t the quantile of Student's distribution
    with n - 1 degrees of freedom. Values that are not finite are left out, and `n` counts the others.

    >>> mean_interval([0.86, 0.87, 0.88])
    Estimate(mean=0.87, low=0.845..., high=0.894..., n=3)

    Source: Student, "The probable error of a mean", Biometrika, 1908.
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    n = int(sample.size)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    from scipy.special import stdtrit  # scipy.stats says the same and takes a second longer to import

    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * float(sample.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(
    a: Sequence[float] | npt.NDArray[np.float64],
    b: Sequence[float] | npt.NDArray[np.float64],
    confidence: float = 0.95,
) -> Difference:
    """How much `a` exceeds `b`, entry by entry (the same seed in both): Student's paired test.

    Pairing removes what the seed does to both arms alike. Where all differences are equal the t statistic is infinite
    and its p-value 0, which three accuracies counted in steps of 1/2000 can reach by luck; there the sign test's
    p = 2**(1 - n) is given.

    Raises `ValueError` when the lengths differ.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"a paired difference needs two lists of one length, not {first.shape} and {second.shape}."
        )
    differences = first - second
    differences = differences[np.isfinite(differences)]
    estimate = mean_interval(differences, confidence)
    n = estimate.n
    if n < 2:
        return Difference(estimate.mean, estimate.low, estimate.high, math.nan, n)
    deviation = float(differences.std(ddof=1))
    # Equal accuracies subtract to differences that differ in the last bit; that is not spread either.
    if deviation <= 1e-12 * max(float(np.abs(first).max()), float(np.abs(second).max())):
        p_value = 1.0 if abs(estimate.mean) <= deviation else 2.0 ** (1 - n)
        return Difference(estimate.mean, estimate.low, estimate.high, p_value, n)
    from scipy.special import stdtr

    p_value = 2.0 * float(stdtr(n - 1, -abs(estimate.mean) * math.sqrt(n) / deviation))
    return Difference(estimate.mean, estimate.low, estimate.high, p_value, n)


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
    matrix: Mapping[str, Mapping[int, float]],
    *,
    larger_is_better: bool = True,
    confidence: float = 0.95,
) -> Comparison:
    """Rank the arms of `matrix` (name -> seed -> value) and test every pair on the seeds that both have.

    Args:
        matrix: For each name its value (an accuracy, say) for each seed.
        larger_is_better: False for losses and times.
        confidence: Of each interval; 1 - confidence is alpha for the whole family of pairs, by Holm's correction.

    Raises `ValueError` for a matrix without names.
    """
    if not matrix:
        raise ValueError("there is nothing to compare: the matrix has no rows.")
    sign = 1.0 if larger_is_better else -1.0
    estimates = {name: mean_interval(list(row.values()), confidence) for name, row in matrix.items()}

    def place(name: str) -> float:
        mean = estimates[name].mean
        return -math.inf if math.isnan(mean) else sign * mean

    # The sort is stable: ties keep the order of the specification.
    ranking = tuple(sorted(matrix, key=place, reverse=True))
    drawn: list[tuple[str, str, Difference]] = []
    for i, a in enumerate(ranking):
        for b in ranking[i + 1 :]:
            seeds = sorted(set(matrix[a]) & set(matrix[b]))
            difference = paired_difference(
                [matrix[a][s] for s in seeds], [matrix[b][s] for s in seeds], confidence
            )
            drawn.append((a, b, difference))
    alpha = round(1.0 - confidence, 12)
    corrected = holm([difference.p_value for _, _, difference in drawn])
    pairs = tuple(Pair(a, b, d, p, bool(p < alpha)) for (a, b, d), p in zip(drawn, corrected, strict=True))
    return Comparison(ranking, estimates, pairs, alpha)
