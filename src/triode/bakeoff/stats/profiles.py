"""Speed and robustness over many runs: time to target, and performance profiles of scores and of times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triode.bakeoff.stats.bootstrap import Strata, as_strata, counted, percentiles
from triode.bakeoff.stats.estimates import Values, check_share
from triode.errors import TriodeError


@dataclass(frozen=True)
class TargetTime:
    """How long an arm takes to reach the target, over its seeds."""

    median: float
    """Over all runs, one that never got there counting as later than all others: inf where half of them never did."""
    fastest: float
    """The first run that got there; inf for none."""
    reached: int
    """Runs that reached the target."""
    n: int
    """Runs."""


@dataclass(frozen=True)
class Profile:
    """A share of runs for each threshold, with a band: a cumulative distribution of what the runs achieved."""

    thresholds: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int
    """Runs (of scores) or problems (of times); shares and band are nan for none, the band also for one."""


def time_to_target(values: Values, times: Values, target: float, larger_is_better: bool = True) -> float:
    """The first time at which a curve is at `target` or beyond it.

    The time of the first point measured there: nothing is interpolated between points, and a curve that falls back
    later has still reached it. A nan never reaches anything.

    Args:
        values: The measure at each point, on validation data.
        times: When each was taken: epochs, steps or seconds, in any order.
        target: The level to reach.
        larger_is_better: False for losses: then at or below `target` counts.

    Returns:
        A time, in the unit of `times`; inf when the curve never gets there.

    Raises:
        TriodeError: the lengths differ, or a time or the target is nan.

    >>> time_to_target([0.10, 0.80, 0.86, 0.85], [0, 1, 2, 3], 0.85)
    2.0

    Source: G. Dahl et al., "Benchmarking neural network training algorithms" (AlgoPerf), 2023, arXiv:2306.07179.
    """
    curve, when = np.asarray(values, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if curve.shape != when.shape or curve.ndim != 1:
        raise TriodeError(
            f"A curve has as many values as times, not {curve.shape} and {when.shape}, one of each at every epoch."
        )
    if math.isnan(target) or bool(np.isnan(when).any()):
        raise TriodeError(
            f"The target is {target} and the times are {when.tolist()}; a nan among these has no before and after."
        )
    there = curve >= target if larger_is_better else curve <= target
    return float(when[there].min()) if bool(there.any()) else math.inf


def median_time(times: Values) -> TargetTime:
    """Times to target over the seeds of one arm: their median, and how many there are at all.

    No time is made up for a run that never reached the target: it counts as later than all that did, which is all
    that a median needs to know. Where that leaves the median between a time and never, it is inf.

    Args:
        times: From `time_to_target`, inf for never. A nan, a run that there is no curve of, is left out.

    >>> median_time([3.0, math.inf, 5.0])
    TargetTime(median=5.0, fastest=3.0, reached=2, n=3)

    Source: as for the median survival time, E. Kaplan and P. Meier, J. Am. Statist. Assoc., 1958, with every run
    followed to the end.
    """
    runs = np.asarray(times, dtype=np.float64)
    runs = np.sort(runs[~np.isnan(runs)])
    n = int(runs.size)
    if n == 0:
        return TargetTime(math.nan, math.nan, 0, 0)
    median = (float(runs[(n - 1) // 2]) + float(runs[n // 2])) / 2
    return TargetTime(median, float(runs[0]), int(np.isfinite(runs).sum()), n)


def performance_profile(
    matrix: Strata,
    thresholds: Values,
    *,
    larger_is_better: bool = True,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Profile:
    """For each threshold tau, the share of an arm's runs that score tau or better.

        F(tau) = (1/N) sum over strata and runs of [x >= tau]     (x <= tau where smaller is better)

    Where one arm's profile lies above another's at every tau, it is better at every quantile. The band is pointwise:
    the percentile stratified bootstrap at each tau, runs drawn inside their strata. Where all runs or none are beyond
    tau it has no width, since no other value was seen there.

    Args:
        matrix: Scores of one arm: a list of runs, or a list of strata.
        thresholds: Values of tau, in any order.
        larger_is_better: False for losses and times.
        confidence: Of the band at each threshold.
        draws: Number of resamplings.
        seed: Of the resampling.

    A nan, a run that diverged, is beyond no threshold but counts among the N.

    >>> performance_profile([0.85, 0.86, 0.88, 0.90], [0.80, 0.86, 0.95]).share
    (1.0, 0.75, 0.0)

    Source: R. Agarwal et al., 2021, arXiv:2108.13264, who use x > tau.
    """
    check_share("The confidence", confidence)
    levels = np.asarray(thresholds, dtype=np.float64)
    sign = 1.0 if larger_is_better else -1.0
    # In order, so that the band does not depend on that of the runs; a nan is not >= anything.
    strata = [np.sort(sign * stratum) for stratum in as_strata(matrix)]
    strata.sort(key=lambda s: np.where(np.isnan(s), np.inf, s).tolist())
    hits = [(s[:, None] >= sign * levels).astype(np.float64) for s in strata]
    return _profile(levels, hits, confidence, draws, seed)


def time_profile(
    times: Mapping[str, Values],
    ratios: Values,
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Profile]:
    """The performance profiles of Dolan and More: how often an arm is within a factor of the fastest.

    With t_(p,s) the time of arm s on problem p (a data set, a model, or one seed of a bake-off, which gives all arms
    the same data order), for each ratio tau >= 1

        r_(p,s) = t_(p,s) / min over arms of t_(p,.),    rho_s(tau) = (1/P) sum_p [r_(p,s) <= tau]

    so rho_s(1) is the share of problems on which s is the fastest (ties count for all of them), and rho_s at large
    tau the share that it solves at all. The band is pointwise, from resampling the problems, the same for all arms.
    Ratios depend on which arms are compared: the order of two arms may change when a third is added.

    Args:
        times: For each arm its time on each problem, in one order of problems for all; inf for never.
        ratios: Values of tau.
        confidence: Of the band at each ratio.
        draws: Number of resamplings.
        seed: Of the resampling.

    A problem that no arm solves counts against all of them. One that some arm has not run (nan) is left out for all.
    Where the best time is 0 (the target holds before training), an arm that takes longer has an infinite ratio.

    Raises:
        TriodeError: a time is negative, or arms differ in their number of problems.

    >>> profiles = time_profile({"relu": [4, 6, 9], "gelu": [2, 6, math.inf]}, [1, 2])
    >>> profiles["relu"].share, profiles["gelu"].share
    ((0.666..., 1.0), (0.666..., 0.666...))

    Source: E. Dolan and J. More, "Benchmarking optimization software with performance profiles", Math. Program.,
    2002, arXiv:cs/0102001.
    """
    check_share("The confidence", confidence)
    rows = {name: np.asarray(row, dtype=np.float64) for name, row in times.items()}
    if len({row.shape for row in rows.values()}) > 1:
        raise TriodeError(
            f"Every arm needs one time for each problem, not {[row.size for row in rows.values()]}: "
            "inf for never, nan for not run."
        )
    if any(bool((row < 0).any()) for row in rows.values()):
        raise TriodeError(
            "A time to target is negative, which no run can take: the clock of a record is wrong."
        )
    if not rows:
        return {}
    table = np.array(list(rows.values()))
    table = table[:, ~np.isnan(table).any(axis=0)]
    table = table[:, np.lexsort(table)]  # the band should not depend on the order of the problems
    best = table.min(axis=0)
    factor = np.full(table.shape, math.inf)
    np.divide(table, best, out=factor, where=np.isfinite(table) & (best > 0))
    factor[(table == best) & np.isfinite(table)] = 1.0
    levels = np.asarray(ratios, dtype=np.float64)
    return {
        name: _profile(
            levels,
            [(np.isfinite(row)[:, None] & (row[:, None] <= levels)).astype(np.float64)],
            confidence,
            draws,
            seed,
        )
        for name, row in zip(rows, factor, strict=True)
    }


def _profile(
    levels: npt.NDArray[np.float64],
    hits: Sequence[npt.NDArray[np.float64]],
    confidence: float,
    draws: int,
    seed: int,
) -> Profile:
    """The share of hits at each level over strata of tables (runs, levels), with its bootstrap band."""
    n = sum(len(table) for table in hits)
    nothing = np.full(len(levels), math.nan)
    share = np.concatenate(hits).mean(axis=0) if n else nothing
    low = high = nothing
    if n > 1:
        drawn = np.concatenate(
            [
                np.sum([weights @ table for weights, table in zip(chunk, hits, strict=True)], axis=0) / n
                for chunk in counted([len(table) for table in hits], draws, seed)
            ]
        )
        low, high = percentiles(drawn, confidence)
    tuples = [tuple(float(v) for v in row) for row in (levels, share, low, high)]
    return Profile(tuples[0], tuples[1], tuples[2], tuples[3], n)
