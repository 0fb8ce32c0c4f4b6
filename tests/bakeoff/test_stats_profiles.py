"""Time to target, performance profiles and effective depth, by hand and against SciPy's empirical distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from triode.bakeoff.stats import (
    effective_depth,
    median_time,
    performance_profile,
    time_profile,
    time_to_target,
)
from triode.errors import TriodeError

NAN, INF = math.nan, math.inf


def test_time_to_target_is_the_first_time_there() -> None:
    times = [0.0, 1.5, 3.0, 4.5, 6.0]
    curve = [0.1, 0.7, 0.9, 0.8, 0.95]
    assert time_to_target(curve, times, 0.9) == 3.0  # at the target counts, and falling back does not undo it
    assert time_to_target(curve, times, 0.91) == 6.0
    assert time_to_target(curve, times, 0.96) == INF
    assert time_to_target(curve, times, 0.0) == 0.0
    assert time_to_target(curve, [10.0, 8.0, 6.0, 4.0, 2.0], 0.7) == 2.0  # first in time, not in the list
    losses = [-v for v in curve]
    for target in (0.9, 0.91, 0.96, 0.0):
        assert time_to_target(losses, times, -target, False) == time_to_target(curve, times, target)


def test_time_to_target_of_curves_that_end_or_are_not_there() -> None:
    assert time_to_target([0.1, NAN, 0.9], [0, 1, 2], 0.5) == 2.0
    assert time_to_target([NAN, NAN], [0, 1], 0.5) == INF
    assert time_to_target([2.0, NAN, INF], [0, 1, 2], 0.5, larger_is_better=False) == INF
    assert time_to_target([], [], 0.5) == INF
    with pytest.raises(TriodeError, match="as many values as times"):
        time_to_target([0.1, 0.2], [0.0], 0.5)
    with pytest.raises(TriodeError, match="The target is nan"):
        time_to_target([0.1], [0.0], NAN)
    with pytest.raises(TriodeError, match="no before and after"):
        time_to_target([0.1], [NAN], 0.5)


@pytest.mark.parametrize("times", [[3.0, 1.0, 2.0], [4.0, 1.0, 3.0, 2.0], [5.0]])
def test_median_time_of_runs_that_all_arrive_is_the_median(times: list[float]) -> None:
    found = median_time(times)
    assert (found.median, found.fastest) == (np.median(times), min(times))
    assert (found.reached, found.n) == (len(times), len(times))


def test_runs_that_never_arrive_are_late_and_not_left_out() -> None:
    some = median_time([INF, 2.0, 4.0, 6.0, INF])
    assert (some.median, some.fastest, some.reached, some.n) == (6.0, 2.0, 3, 5)  # not 4, the median of three
    half = median_time([INF, 2.0, 4.0, INF])
    assert (half.median, half.reached, half.n) == (INF, 2, 4)
    never = median_time([INF, INF])
    assert (never.median, never.fastest, never.reached, never.n) == (INF, INF, 0, 2)
    assert median_time([NAN, 3.0]) == median_time([3.0])
    none = median_time([])
    assert (none.reached, none.n) == (0, 0)
    assert math.isnan(none.median)
    assert math.isnan(none.fastest)


def test_performance_profile_is_the_survival_function() -> None:
    scores = np.random.default_rng(0).normal(-1.0, 2.0, 40)
    levels = np.linspace(-6.0, 4.0, 17)
    theirs = reference.ecdf(scores).sf.evaluate(levels)
    assert performance_profile(scores, levels).share == pytest.approx(tuple(theirs))
    below = performance_profile(scores, levels, larger_is_better=False)
    assert below.share == pytest.approx(tuple(reference.ecdf(scores).cdf.evaluate(levels)))
    mirrored = performance_profile(-scores, -levels)
    assert (below.share, below.low, below.high) == (mirrored.share, mirrored.low, mirrored.high)


def test_performance_profile_by_hand() -> None:
    found = performance_profile([[0.5, 0.7], [0.9, NAN, -INF, INF]], [0.7, 0.71, -9.0, 0.5])
    assert found.thresholds == (0.7, 0.71, -9.0, 0.5)
    assert found.share == pytest.approx((3 / 6, 2 / 6, 4 / 6, 4 / 6))
    assert found.n == 6
    lost = performance_profile([NAN, NAN, 0.5], [-INF, 0.0, INF])
    assert lost.share == pytest.approx((1 / 3, 1 / 3, 0.0))
    losses = performance_profile([1.0, 2.0, INF, NAN], [1.0, 5.0], larger_is_better=False)
    assert losses.share == (0.25, 0.5)


def test_performance_profiles_band_is_binomial_in_each_stratum() -> None:
    # Of k runs with h beyond tau, a resampling has Binomial(k, h/k) beyond it.
    one = performance_profile([0.0] * 12 + [1.0] * 8, [0.5], draws=20000)
    spread = reference.binom(20, 0.4)
    assert one.low[0] == pytest.approx(spread.ppf(0.025) / 20, abs=0.051)
    assert one.high[0] == pytest.approx(spread.ppf(0.975) / 20, abs=0.051)
    assert one.low[0] < 0.3 < 0.5 < one.high[0]
    # The same runs with all of a kind in one stratum: there is nothing to vary inside either.
    apart = performance_profile([[0.0] * 12, [1.0] * 8], [0.5])
    assert (apart.share, apart.low, apart.high) == (one.share, one.share, one.share)
    narrow = performance_profile([0.0] * 12 + [1.0] * 8, [0.5], confidence=0.5)
    assert one.low[0] < narrow.low[0] < narrow.high[0] < one.high[0]


def test_the_band_does_not_depend_on_the_order_of_runs() -> None:
    scores = np.random.default_rng(2).normal(size=(3, 7))
    levels = [-0.5, 0.0, 0.5]
    assert performance_profile(scores, levels) == performance_profile(scores[::-1, ::-1], levels)
    times = np.abs(scores)
    found = time_profile({"a": times[0], "b": times[1], "c": times[2]}, [1.0, 2.0])
    assert found == time_profile({"a": times[0, ::-1], "b": times[1, ::-1], "c": times[2, ::-1]}, [1.0, 2.0])


def test_profiles_of_little() -> None:
    none, one = performance_profile([], [0.5]), performance_profile([0.7], [0.5])
    assert none.n == 0
    assert math.isnan(none.share[0])
    assert (one.share, one.n) == ((1.0,), 1)
    assert math.isnan(one.low[0])
    assert math.isnan(one.high[0])
    assert performance_profile([0.7, 0.8], []).share == ()
    assert time_profile({}, [1.0]) == {}
    assert math.isnan(time_profile({"a": [NAN]}, [1.0])["a"].share[0])


def brute(times: dict[str, list[float]], name: str, ratio: float) -> float:
    problems = range(len(times[name]))
    best = [min(row[p] for row in times.values()) for p in problems]
    return float(
        np.mean([math.isfinite(times[name][p]) and times[name][p] <= ratio * best[p] for p in problems])
    )


def test_time_profile_is_dolan_and_mores() -> None:
    rng = np.random.default_rng(5)
    times = {name: [float(t) for t in rng.integers(1, 9, 12)] for name in "abc"}
    times["a"][3] = times["b"][3] = times["c"][3] = times["c"][4] = INF
    ratios = [1.0, 1.5, 2.0, 8.0, INF]
    found = time_profile(times, ratios)
    for name, profile in found.items():
        assert profile.share == pytest.approx([brute(times, name, ratio) for ratio in ratios])
        assert profile.n == 12
        assert all(
            low <= share <= high
            for low, share, high in zip(profile.low, profile.share, profile.high, strict=True)
        )
    assert found["a"].share[-1] == pytest.approx(11 / 12)  # however long one waits, unsolved is unsolved
    assert found["c"].share[-1] == pytest.approx(10 / 12)


def test_time_profile_of_problems_not_run_solved_at_once_or_in_negative_time() -> None:
    skipped = time_profile({"a": [2.0, NAN, 1.0], "b": [1.0, 5.0, 1.0]}, [1.0, 2.0])
    assert (skipped["a"].share, skipped["b"].share, skipped["a"].n) == ((0.5, 1.0), (1.0, 1.0), 2)
    at_once = time_profile({"a": [0.0, 0.0], "b": [0.0, 3.0]}, [1.0, 1e9])
    assert (at_once["a"].share, at_once["b"].share) == ((1.0, 1.0), (0.5, 0.5))
    with pytest.raises(TriodeError, match="negative"):
        time_profile({"a": [-1.0]}, [1.0])
    with pytest.raises(TriodeError, match=r"one time for each problem, not \[1, 2\]"):
        time_profile({"a": [1.0], "b": [1.0, 2.0]}, [1.0])


def test_effective_depth_counts_the_layers_that_share_the_gradient() -> None:
    assert effective_depth([0.3] * 7) == pytest.approx(7.0)
    assert effective_depth([0.0, 2.0, 0.0, 2.0, 2.0]) == pytest.approx(3.0)
    assert effective_depth([0.0, 0.0, 5.0]) == 1.0
    assert effective_depth([3.0, 4.0]) == pytest.approx(49 / 25)
    # A geometric fall by r over many layers: (1 + r) / (1 - r).
    assert effective_depth([0.5**k for k in range(60)]) == pytest.approx(3.0)
    assert effective_depth([8.0**k for k in range(6)]) == pytest.approx(1.29, abs=0.005)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-8, 1.0, 1e200])
def test_effective_depth_does_not_depend_on_the_scale(scale: float) -> None:
    assert effective_depth([scale * g for g in (1.0, 2.0, 5.0)]) == pytest.approx(64 / 30, rel=1e-10)


def test_effective_depth_of_nothing_of_zero_and_of_what_is_no_norm() -> None:
    assert effective_depth([0.0, 0.0]) == 0.0
    for norms in ([], [1.0, NAN], [NAN, NAN], [1.0, INF]):
        assert math.isnan(effective_depth(norms))
    with pytest.raises(TriodeError, match=r"-2\.0 is negative"):
        effective_depth([1.0, -2.0])
