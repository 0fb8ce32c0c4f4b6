"""Bootstrap intervals against SciPy's bootstrap, against every resampling counted out, and by how often they hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats as reference

from triode.bakeoff.stats import Improvement, bootstrap, iqm_interval, probability_of_improvement
from triode.errors import TriodeError

RUNS = [0.861, 0.872, 0.858, 0.880, 0.869, 0.874, 0.801, 0.866]
OTHER = [0.870, 0.875, 0.863, 0.872, 0.881, 0.879, 0.874, 0.868]


def trimmed(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(reference.trim_mean(np.concatenate(strata, axis=axis), 0.25, axis=axis))


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_iqm_interval_is_scipys_stratified_bootstrap(confidence: float) -> None:
    rng = np.random.default_rng(1)
    # Three strata of unlike level and size, 24 runs in all, so that SciPy trims exactly a quarter.
    strata = [rng.normal(level, 1.0, n) for level, n in ((0.0, 5), (10.0, 12), (30.0, 7))]
    ours = iqm_interval(strata, confidence, draws=20000)
    theirs = reference.bootstrap(
        strata, trimmed, confidence_level=confidence, n_resamples=20000, method="percentile",
        rng=np.random.default_rng(2),
    )  # fmt: skip
    interval = theirs.confidence_interval
    assert ours.mean == pytest.approx(float(trimmed(*strata)))
    assert ours.n == 24
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=0.05)
    # Resampling across strata would move whole levels: many times as wide.
    pooled = iqm_interval(np.concatenate(strata), confidence)
    assert pooled.high - pooled.low > 3 * (ours.high - ours.low)


def test_iqm_interval_is_the_quantile_of_all_resamplings() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    every = np.sort([np.sort(r)[1:3].mean() for r in itertools.product(values, repeat=4)])
    found = iqm_interval(values, 0.8, draws=40000)
    # Each bound is an atom of the exact distribution (256 resamplings) with room on both sides.
    assert (found.low, found.high) == (np.quantile(every, 0.1), np.quantile(every, 0.9))
    assert found.low < found.mean == 3.0 < found.high


def test_iqm_interval_holds_the_truth_about_as_often_as_said() -> None:
    rng = np.random.default_rng(11)
    held = [
        e.low <= 0.0 <= e.high for e in (iqm_interval(rng.normal(size=20), draws=400) for _ in range(600))
    ]
    assert 0.90 < np.mean(held) < 0.97


def test_iqm_interval_of_little_of_equals_and_of_what_diverged() -> None:
    none, one = iqm_interval([]), iqm_interval([math.nan, 0.9])
    assert none.n == 0
    assert math.isnan(none.mean)
    assert (one.mean, one.n) == (0.9, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    equal = iqm_interval([0.1] * 5)
    assert (equal.mean, equal.low, equal.high) == (0.1, 0.1, 0.1)
    assert iqm_interval([*RUNS, math.nan, math.inf, -math.inf]) == iqm_interval(RUNS)
    assert iqm_interval([RUNS, [], [math.nan]]) == iqm_interval(RUNS)


def test_intervals_do_not_depend_on_the_order_of_runs_or_of_strata() -> None:
    strata, turned = [RUNS, OTHER[:5]], [OTHER[4::-1], RUNS[::-1]]
    assert iqm_interval(strata) == iqm_interval(turned)
    a, b = [RUNS, OTHER], [OTHER, RUNS[1:]]
    assert probability_of_improvement(a, b) == probability_of_improvement(
        [s[::-1] for s in a[::-1]], [sorted(s) for s in b[::-1]]
    )
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    assert probability_of_improvement(RUNS, OTHER, paired=True) == probability_of_improvement(
        [RUNS[i] for i in order], [OTHER[i] for i in order], paired=True
    )


def test_intervals_are_repeatable_and_know_their_seed_and_confidence() -> None:
    assert iqm_interval(RUNS) == iqm_interval(RUNS, 0.95, 2000, 0)
    assert iqm_interval(RUNS, seed=1) != iqm_interval(RUNS)
    wide, narrow = iqm_interval(RUNS, 0.99), iqm_interval(RUNS, 0.5)
    assert wide.low < narrow.low <= narrow.mean <= narrow.high < wide.high
    more, less = (probability_of_improvement(RUNS, OTHER, confidence=c) for c in (0.99, 0.5))
    assert more.low < less.low <= less.probability <= less.high < more.high


def test_resampling_in_parts_keeps_strata_apart_and_counts_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 50)  # 7 rows of 7 at a time
    rows = np.concatenate(list(bootstrap.resamplings([3, 4], 20, seed=0)))
    assert rows.shape == (20, 7)
    assert set(rows[:, :3].ravel()) == {0, 1, 2}
    assert set(rows[:, 3:].ravel()) == {3, 4, 5, 6}
    first, second = (np.concatenate(c) for c in zip(*bootstrap.counted([3, 4], 20, seed=0), strict=True))
    np.testing.assert_array_equal(first, [[(r == i).sum() for i in range(3)] for r in rows])
    np.testing.assert_array_equal(second, [[(r == i).sum() for i in range(3, 7)] for r in rows])


def wins(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((x > y) + 0.5 * (x == y) for x in a for y in b) / (len(a) * len(b))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (7, 3), (6, 6)])
def test_probability_of_improvement_is_mann_whitneys(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.integers(-2, 3, n).astype(float), rng.integers(-2, 3, m).astype(float)  # many ties
    found = probability_of_improvement(a, b)
    theirs = reference.mannwhitneyu(a, b).statistic / (n * m)
    assert found.probability == pytest.approx(theirs) == pytest.approx(wins(list(a), list(b)))
    assert found.n == min(n, m)


def test_probability_of_improvement_averages_strata_and_never_compares_across() -> None:
    # Across strata `a` would win nearly always; inside them it wins 1/2 of 2 pairs and 6/9.
    a, b = [[1.0, 3.0], [100.0, 101.0, 102.0]], [[2.0], [100.5, 101.0, 99.0]]
    found = probability_of_improvement(a, b)
    assert found.probability == pytest.approx((wins(a[0], b[0]) + wins(a[1], b[1])) / 2)
    assert found.probability == pytest.approx((0.5 + 6.5 / 9) / 2)
    assert found.n == 4
    assert probability_of_improvement([*a, []], [*b, [1.0]]) == found


def every_resampling(a: Sequence[float], b: Sequence[float], paired: bool) -> np.ndarray:
    draws_a = list(itertools.product(range(len(a)), repeat=len(a)))
    draws_b = list(itertools.product(range(len(b)), repeat=len(b)))
    both = zip(draws_a, draws_a, strict=True) if paired else itertools.product(draws_a, draws_b)
    return np.array([wins([a[i] for i in x], [b[j] for j in y]) for x, y in both])


@pytest.mark.parametrize("paired", [False, True])
def test_the_bootstrap_of_the_probability_is_over_all_resamplings(paired: bool) -> None:
    a, b = [0.0, 2.0, 5.0, 9.0], [1.0, 2.0, 3.0, 8.0]
    every = every_resampling(a, b, paired)
    tables = [np.array([[wins([x], [y]) for y in b] for x in a])]
    sizes = [4] if paired else [4, 4]
    drawn = np.concatenate(
        [bootstrap._resampled(tables, counts, paired) for counts in bootstrap.counted(sizes, 40000, 0)]
    )
    exact = [np.mean(every <= level + 1e-12) for level in (0.25, 0.5, 0.75, 0.9)]
    found = [np.mean(drawn <= level + 1e-12) for level in (0.25, 0.5, 0.75, 0.9)]
    assert found == pytest.approx(exact, abs=0.01)
    assert drawn.std() == pytest.approx(every.std(), rel=0.02)


def test_pairing_keeps_what_the_seed_does_to_both() -> None:
    seed = np.random.default_rng(0).normal(size=12)
    a, b = seed + 0.1, seed
    apart, together = (probability_of_improvement(a, b, paired=p) for p in (False, True))
    assert apart.probability == together.probability
    assert together.high - together.low < 0.6 * (apart.high - apart.low)
    # What is good for one is bad for the other: then drawing together widens.
    apart, together = (probability_of_improvement(-seed, seed, paired=p) for p in (False, True))
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


@pytest.mark.parametrize("paired", [False, True])
def test_strata_of_unlike_size_are_averaged_in_every_resampling(paired: bool) -> None:
    rng = np.random.default_rng(7)
    a, b = ([rng.normal(size=n) for n in (30, 50, 40)] for _ in range(2))
    found = probability_of_improvement(a, b, paired=paired, draws=4000)
    # Independent strata: variances of the parts add up, over 3 squared.
    parts = [probability_of_improvement(x, y, paired=paired, draws=4000) for x, y in zip(a, b, strict=True)]
    width = math.sqrt(sum((p.high - p.low) ** 2 for p in parts)) / 3
    assert (found.low + found.high) / 2 == pytest.approx(found.probability, abs=0.02)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_runs_all_on_one_side_are_not_certainty() -> None:
    three = probability_of_improvement([5.0, 6.0, 7.0], [1.0, 2.0, 3.0])
    # (0.025)^(1/3): with that probability three wins out of three happen in 2.5% of cases.
    assert (three.probability, three.low, three.high) == (1.0, pytest.approx(0.2924, abs=1e-4), 1.0)
    lower = reference.binomtest(3, 3).proportion_ci(0.95, method="exact").low
    assert three.low == pytest.approx(lower)
    none = probability_of_improvement([1.0, 2.0, 3.0], [5.0, 6.0, 7.0])
    assert (none.probability, none.low, none.high) == (0.0, 0.0, pytest.approx(1 - three.low))
    many = probability_of_improvement(np.arange(100.0) + 100, np.arange(100.0))
    assert many.low > 0.95


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_the_interval_of_the_probability_holds_the_truth_often_enough(distance: float) -> None:
    rng = np.random.default_rng(21)
    truth = float(reference.norm.cdf(distance / math.sqrt(2)))
    held = 0
    for _ in range(300):
        found = probability_of_improvement(rng.normal(distance, 1.0, 6), rng.normal(size=6), draws=400)
        held += found.low <= truth <= found.high
    assert held / 300 > 0.92


def test_smaller_is_better_is_the_same_question_of_negatives() -> None:
    up = probability_of_improvement(RUNS, OTHER)
    down = probability_of_improvement([-v for v in RUNS], [-v for v in OTHER], larger_is_better=False)
    assert up == down
    assert up.probability < 0.5
    assert probability_of_improvement(RUNS, OTHER, larger_is_better=False).probability == 1 - up.probability
    assert probability_of_improvement(OTHER, RUNS).probability == 1 - up.probability


@pytest.mark.parametrize("larger", [True, False])
def test_a_run_that_diverged_loses(larger: bool) -> None:
    worst = -math.inf if larger else math.inf
    for lost in (math.nan, worst):
        better, worse = [2.0, 3.0], [0.0, 0.5]
        found = probability_of_improvement([lost, 1.0], worse if larger else better, larger_is_better=larger)
        assert found.probability == 0.5  # 1.0 beats both, the lost run neither
        both = probability_of_improvement([lost, lost], [math.nan, worst], larger_is_better=larger)
        assert both.probability == 0.5
    assert probability_of_improvement([math.nan], [math.nan], larger_is_better=larger).probability == 0.5


def test_probability_of_little() -> None:
    empty = probability_of_improvement([], [1.0])
    assert empty.n == 0
    assert math.isnan(empty.probability)
    one = probability_of_improvement([2.0], [1.0])
    assert (one.probability, one.n) == (1.0, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert probability_of_improvement([3.0] * 4, [3.0] * 4, paired=True).probability == 0.5
    assert isinstance(one, Improvement)


def test_what_cannot_be_resampled_is_refused() -> None:
    with pytest.raises(TriodeError, match=r"confidence is 95"):
        iqm_interval(RUNS, 95)
    with pytest.raises(TriodeError, match="0 draws"):
        iqm_interval(RUNS, draws=0)
    with pytest.raises(TriodeError, match="one for each stratum"):
        iqm_interval(np.zeros((2, 2, 2)))
    with pytest.raises(TriodeError, match="in number"):
        probability_of_improvement([RUNS, RUNS], [RUNS])
    with pytest.raises(TriodeError, match="seeds are paired"):
        probability_of_improvement(RUNS, RUNS[1:], paired=True)
