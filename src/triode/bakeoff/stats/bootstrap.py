"""Intervals by resampling runs inside their strata: interquartile mean and probability of improvement.

A stratum is a set of runs that differ in nothing but the seed: one task, one data set, one bake-off. Runs are drawn
with replacement inside each stratum, never across, so that an interval says how the figure would move with other
seeds on the same tasks. The draws come from NumPy's PCG64 with the given seed, on values put in order first: the
result is the same on every run, and does not depend on the order of runs or of strata.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triode.bakeoff.stats.estimates import Estimate, Values, check_share, finite, middle_half
from triode.errors import TriodeError

Strata = Values | Sequence[Values] | npt.NDArray[np.float64]
"""The runs of one stratum, or of several: a list of lists, which may differ in length, or a matrix (stratum, run)."""

_AT_ONCE = 1 << 21
"""Resampled values held at a time (16 MiB)."""


@dataclass(frozen=True)
class Improvement:
    """The probability that a run of one arm beats a run of the other, with its interval; nan bounds for n < 2."""

    probability: float
    low: float
    high: float
    n: int
    """Runs of the smaller arm, over all strata: the number of pairs that share no run."""


def iqm_interval(
    matrix_of_strata: Strata, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Estimate:
    """The interquartile mean of all runs, with its percentile stratified bootstrap interval.

    The field `mean` of the result holds the interquartile mean of the runs of all strata together (see
    `interquartile_mean`). Each of `draws` times, every stratum of k runs is replaced by k of its runs drawn with
    replacement, and the interquartile mean is taken again; the interval lies between the (1 - confidence)/2 and
    (1 + confidence)/2 quantiles of those.

    With few runs such an interval is too short, because it knows no other values than the ones it saw: of 4000 normal
    samples of 3, 5, 10 and 20 runs, the 95% interval held the truth in 75%, 88%, 93% and 94%. Student's interval of a
    mean (`mean_interval`) does not have this fault.

    Args:
        matrix_of_strata: Runs of one stratum, or a list of strata.
        confidence: Between 0 and 1.
        draws: Number of resamplings.
        seed: Of the resampling.

    Values that are not finite are left out before anything is drawn, and `n` counts the others over all strata; the
    bounds are nan for n < 2.

    >>> iqm_interval([0.86, 0.87, 0.88, 0.89, 0.10])
    Estimate(mean=0.87, low=0.331..., high=0.887..., n=5)

    Source: R. Agarwal et al., 2021, arXiv:2108.13264; B. Efron, "Bootstrap methods", Ann. Statist., 1979.
    """
    check_share("The confidence", confidence)
    strata = sorted((np.sort(finite(s)) for s in as_strata(matrix_of_strata)), key=lambda s: s.tolist())
    pooled = np.sort(np.concatenate(strata)) if strata else np.empty(0)
    n = int(pooled.size)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    estimate = float(middle_half(pooled))
    if n == 1:
        return Estimate(estimate, math.nan, math.nan, 1)
    values = np.concatenate(strata)
    drawn = np.concatenate(
        [
            middle_half(np.sort(values[rows], axis=1))
            for rows in resamplings([len(s) for s in strata], draws, seed)
        ]
    )
    low, high = percentiles(drawn, confidence)
    return Estimate(estimate, float(low), float(high), n)


def probability_of_improvement(
    a: Strata,
    b: Strata,
    *,
    larger_is_better: bool = True,
    paired: bool = False,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Improvement:
    """The probability that a run of `a` beats a run of `b`: P(A > B) + P(A = B)/2.

    In a stratum with n runs of `a` and m of `b` it is the Mann-Whitney statistic over all pairs,

        U / (n m) = (1 / (n m)) sum_i sum_j ( [a_i > b_j] + [a_i = b_j] / 2 ),

    and the strata are averaged with equal weight. It says how often, not by how much. The interval is the percentile
    stratified bootstrap, with one correction: k runs a side that fall all on the same side leave the bootstrap nothing
    to vary, and it would say "from 1 to 1" of three seeds. With true probability P, k pairs that share no run are all
    won with probability P^k; so the bounds are moved out, where they are further in, to the ones that k wins or k
    losses out of k would have (Clopper-Pearson): low <= (alpha/2)^(1/k), high >= 1 - (alpha/2)^(1/k). Of five normal
    runs a side, two deviations apart, the bootstrap's 95% interval held the truth in 63% of 1500 cases, this in 99%.

    Args:
        a: Runs of one stratum, or a list of strata.
        b: The same of the other arm, with as many strata.
        larger_is_better: False for losses and times: then the smaller value wins.
        paired: How the bootstrap draws. False: runs of `a` and of `b` separately, for independent runs. True: the
            i-th runs of both are one (the same seed) and are drawn together, which keeps what the seed does to both;
            the probability itself is over all pairs either way, since it asks about a next run of each.
        confidence: Between 0 and 1.
        draws: Number of resamplings.
        seed: Of the resampling.

    A nan is a run that diverged: it loses against every number, and ties with another nan; so does the infinity on
    the worse side. A stratum without runs of both is left out.

    Raises `TriodeError` where `a` and `b` differ in strata or, paired, in runs.

    >>> probability_of_improvement([3, 4, 5], [1, 2, 3]).probability
    0.944...

    Source: R. Agarwal et al., 2021, arXiv:2108.13264; H. Mann and D. Whitney, Ann. Math. Statist., 1947.
    """
    check_share("The confidence", confidence)
    pairs = _matched(_worst_last(a, larger_is_better), _worst_last(b, larger_is_better), paired)
    if not pairs:
        return Improvement(math.nan, math.nan, math.nan, 0)
    wins = [(x[:, None] > y) + 0.5 * (x[:, None] == y) for x, y in pairs]
    probability = float(np.mean([w.mean() for w in wins]))
    k = sum(min(w.shape) for w in wins)
    if k < 2:
        return Improvement(probability, math.nan, math.nan, k)
    sizes = [size for w in wins for size in (w.shape[:1] if paired else w.shape)]
    drawn = np.concatenate([_resampled(wins, c, paired) for c in counted(sizes, draws, seed)])
    low, high = percentiles(drawn, confidence)
    edge = ((1.0 - confidence) / 2) ** (1 / k)
    return Improvement(probability, min(float(low), edge), max(float(high), 1.0 - edge), k)


def as_strata(values: Strata) -> list[npt.NDArray[np.float64]]:
    """`values` as a list of strata; a flat list is one stratum.

    Raises `TriodeError` for anything deeper than a list of lists.
    """
    nested: Any = values
    flat = all(np.ndim(entry) == 0 for entry in nested)
    strata = [np.asarray(entry, dtype=np.float64) for entry in ([nested] if flat else nested)]
    if any(stratum.ndim != 1 for stratum in strata):
        raise TriodeError(
            "Runs are given as a list of numbers or as a list of such lists, one for each stratum, "
            f"not with shapes {[stratum.shape for stratum in strata]}."
        )
    return strata


def resamplings(sizes: Sequence[int], draws: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Indices into the strata laid end to end, (rows, total size) at a time, `draws` rows in all."""
    if draws < 1:
        raise TriodeError(f"The bootstrap was asked for {draws} draws, but needs at least 1 (2000 is usual).")
    generator = np.random.default_rng(seed)
    starts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    lengths = np.repeat(np.asarray(sizes, dtype=np.int64), sizes)
    rows = max(1, _AT_ONCE // max(1, lengths.size))
    for done in range(0, draws, rows):
        yield starts + generator.integers(0, lengths, (min(rows, draws - done), lengths.size))


def counted(sizes: Sequence[int], draws: int, seed: int) -> Iterator[list[npt.NDArray[np.float64]]]:
    """How often each run was drawn: for each stratum an array (rows, runs), which is a resampling as weights."""
    total = sum(sizes)
    for rows in resamplings(sizes, draws, seed):
        n = len(rows)
        flat = (rows + total * np.arange(n)[:, None]).ravel()
        counts = np.bincount(flat, minlength=n * total).reshape(n, total).astype(np.float64)
        yield np.split(counts, np.cumsum(sizes)[:-1], axis=1)


def percentiles(drawn: npt.NDArray[np.float64], confidence: float) -> npt.NDArray[np.float64]:
    """The lower and the upper bound over the first axis of `drawn`."""
    return np.asarray(np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0))


def _worst_last(values: Strata, larger_is_better: bool) -> list[npt.NDArray[np.float64]]:
    """The strata turned so that larger is better, with nan below every number."""
    signed = [stratum if larger_is_better else -stratum for stratum in as_strata(values)]
    return [np.where(np.isnan(stratum), -np.inf, stratum) for stratum in signed]


def _matched(
    a: list[npt.NDArray[np.float64]], b: list[npt.NDArray[np.float64]], paired: bool
) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """The strata of both in an order of their own, without those that one of them lacks."""
    shapes = [[len(s) for s in strata] for strata in (a, b)]
    if len(a) != len(b) or (paired and shapes[0] != shapes[1]):
        raise TriodeError(
            f"One arm has strata of {shapes[0]} runs and the other of {shapes[1]}, but they must match "
            f"{'run by run, because seeds are paired' if paired else 'in number'}."
        )
    kept = []
    for x, y in zip(a, b, strict=True):
        if not (x.size and y.size):
            continue
        if paired:
            order = np.lexsort((y, x))
            kept.append((x[order], y[order]))
        else:
            kept.append((np.sort(x), np.sort(y)))
    return sorted(kept, key=lambda pair: (pair[0].tolist(), pair[1].tolist()))


def _resampled(
    wins: list[npt.NDArray[np.float64]], counts: list[npt.NDArray[np.float64]], paired: bool
) -> npt.NDArray[np.float64]:
    """U / (n m) averaged over strata for each resampling: the table of wins weighted with how often each run came."""
    total = np.zeros(len(counts[0]))
    for i, table in enumerate(wins):
        first, second = (counts[i], counts[i]) if paired else (counts[2 * i], counts[2 * i + 1])
        total += ((first @ table) * second).sum(axis=1) / table.size
    return total / len(wins)
