"""Means, paired differences and every pair compared, against SciPy and against values worked by hand."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as reference

from triode.bakeoff.stats import compare, holm, interquartile_mean, mean_interval, paired_difference
from triode.errors import TriodeError


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_mean_interval_is_students(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(0.87, 0.01, n)
    estimate = mean_interval(values, confidence)
    low, high = reference.t.interval(confidence, n - 1, values.mean(), reference.sem(values))
    assert estimate.n == n
    np.testing.assert_allclose(
        [estimate.mean, estimate.low, estimate.high], [values.mean(), low, high], rtol=1e-12
    )


def test_mean_interval_by_hand() -> None:
    # 1, 2, 3: s = 1, t(0.975, 2) = 4.302653 (tables), half = 4.302653 / sqrt(3)
    estimate = mean_interval([1.0, 2.0, 3.0])
    assert estimate.high - estimate.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_little_is_said_from_little() -> None:
    one = mean_interval([0.9, math.nan])
    assert (one.mean, one.n) == (0.9, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = mean_interval([])
    assert none.n == 0
    assert math.isnan(none.mean)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_paired_difference_is_students_paired_test(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.88, 0.01, n), rng.normal(0.87, 0.01, n)
    ours, theirs = paired_difference(a, b), reference.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.95)
    np.testing.assert_allclose([ours.low, ours.high, ours.p_value], [low, high, theirs.pvalue], rtol=1e-10)
    assert ours.mean == pytest.approx(float((a - b).mean()))


def test_pairing_removes_what_the_seed_does_to_both() -> None:
    seed = np.array([0.0, 0.5, -0.4, 0.2])
    effect = np.array([0.010, 0.011, 0.009, 0.010])
    assert paired_difference(seed + effect, seed).p_value < 1e-3


def test_equal_differences_are_no_proof() -> None:
    same = paired_difference([0.8700, 0.8710, 0.8650], [0.8695, 0.8705, 0.8645])
    assert same.p_value == 0.25  # the sign test's for three, where the t test would say 0
    assert paired_difference([0.8, 0.9], [0.8, 0.9]).p_value == 1.0
    assert math.isnan(paired_difference([0.8], [0.7]).p_value)
    with pytest.raises(TriodeError, match="one length"):
        paired_difference([1.0, 2.0], [1.0])


def test_seeds_that_diverged_do_not_make_equal_differences_a_proof() -> None:
    # The tolerance for "all equal" must not be taken from the values left out.
    a, b = [0.8700, 0.8710, 0.8650, math.nan, math.inf], [0.8695, 0.8705, 0.8645, 0.5, math.inf]
    difference = paired_difference(a, b)
    assert (difference.n, difference.p_value) == (3, 0.25)
    assert paired_difference([1e300, 1.0, 1.1], [-math.inf, 0.9, 0.9]).mean == pytest.approx(0.15)


def test_a_paired_difference_changes_sign_with_its_order_and_forgets_that_of_the_seeds() -> None:
    a, b = np.random.default_rng(8).normal(size=(2, 6))
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)
    moved = paired_difference(a[::-1], b[::-1])
    assert (moved.mean, moved.p_value) == pytest.approx((one.mean, one.p_value))


def middle_half_by_pieces(values: list[float]) -> float:
    """Every value written four times, so that a quarter of them is a whole number to cut."""
    pieces = sorted(values * 4)
    kept = pieces[len(values) : -len(values)]
    return math.fsum(kept) / len(kept)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 9, 13])
def test_interquartile_mean_is_the_middle_half_cut_into_pieces(n: int) -> None:
    values = [float(v) for v in np.random.default_rng(n).normal(-3.0, 2.0, n)]
    assert interquartile_mean(values) == pytest.approx(middle_half_by_pieces(values), rel=1e-13)


@pytest.mark.parametrize("n", [4, 8, 40])
def test_interquartile_mean_is_scipys_trimmed_mean_where_a_quarter_is_whole(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert interquartile_mean(values) == pytest.approx(float(reference.trim_mean(values, 0.25)), rel=1e-12)


def test_interquartile_mean_by_hand_and_of_little() -> None:
    assert interquartile_mean([0.0, 6.0, 12.0]) == 6.0
    assert interquartile_mean([0.0, 0.0, 6.0]) == 1.0  # weights 1/6, 2/3, 1/6
    # Weights 0.3, 0.4, 0.3 on the middle three.
    assert interquartile_mean([0.0, 0.0, 0.0, 10.0, 99.0]) == pytest.approx(3.0)
    assert interquartile_mean([0.0, 0.0, 10.0, 10.0, 99.0]) == pytest.approx(7.0)
    assert interquartile_mean([2.0, 5.0]) == 3.5
    assert interquartile_mean([7.0]) == 7.0
    assert math.isnan(interquartile_mean([]))
    assert math.isnan(interquartile_mean([math.nan, math.inf]))
    assert interquartile_mean([1.0, math.nan, 2.0, -math.inf, 4.0]) == interquartile_mean([4.0, 1.0, 2.0])
    assert interquartile_mean([0.1] * 7) == 0.1  # exactly: weights that miss 1 by a bit would show


def test_interquartile_mean_does_not_see_the_order_or_one_odd_run() -> None:
    values = [3.0, -1.0, 2.0, 5.0, 0.0]
    assert {interquartile_mean(list(p)) for p in itertools.permutations(values)} == {
        interquartile_mean(values)
    }
    assert interquartile_mean([*values[:3], 1e6, 0.0]) == interquartile_mean(values)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, then made monotone.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_holm_leaves_what_was_not_tested() -> None:
    corrected = holm([0.01, math.nan, 0.02])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.02)


def test_holm_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(min(holm(list(rng.uniform(size=20)))) < 0.05 for _ in range(2000))
    assert alarms / 2000 < 0.065


def matrix() -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(3)
    level = {"poor": 0.5, "good": 0.88, "also good": 0.881}
    return {name: {s: mean + 0.004 * rng.normal() for s in range(5)} for name, mean in level.items()}


def test_compare_tells_real_from_noise() -> None:
    found = compare(matrix())
    assert found.ranking[-1] == "poor"
    assert {(p.a, p.b) for p in found.significant} == {("good", "poor"), ("also good", "poor")}
    assert found.rivals == (found.ranking[1],)
    assert found.pair("poor", "good").difference.mean > 0.3
    assert len(found.pairs) == 3
    assert found.estimates["poor"].n == 5


def test_compare_pairs_seeds_by_their_number() -> None:
    a = {0: 0.1, 1: 0.9, 2: 0.5}
    b = {2: 0.45, 1: 0.85, 0: 0.05, 7: 0.0}
    difference = compare({"a": a, "b": b}).pairs[0].difference
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.05)


def test_compare_tests_every_pair_against_scipy() -> None:
    values = matrix()
    found = compare(values)
    p_values = [
        reference.ttest_rel(list(values[pair.a].values()), list(values[pair.b].values())).pvalue
        for pair in found.pairs
    ]
    assert [pair.difference.p_value for pair in found.pairs] == pytest.approx(p_values, rel=1e-9)
    assert [pair.p_corrected for pair in found.pairs] == pytest.approx(holm(p_values), rel=1e-9)


def test_compare_of_losses_is_compare_of_their_negatives() -> None:
    negated = {name: {s: -v for s, v in row.items()} for name, row in matrix().items()}
    up, down = compare(matrix()), compare(negated, larger_is_better=False)
    assert up.ranking == down.ranking
    assert [p.p_corrected for p in up.pairs] == pytest.approx([p.p_corrected for p in down.pairs])
    assert up.rivals == down.rivals


def test_compare_with_losses_one_seed_and_nothing() -> None:
    losses = compare({"high": {0: 2.0}, "low": {0: 1.0}, "gone": {0: math.nan}}, larger_is_better=False)
    assert losses.ranking == ("low", "high", "gone")
    assert losses.best == "low"
    assert not losses.significant
    with pytest.raises(TriodeError, match="nothing to compare"):
        compare({})


def test_statistics_load_no_library_that_takes_a_second() -> None:
    code = (
        "import sys, triode.bakeoff.stats as s\n"
        "assert 'scipy' not in sys.modules, 'on import'\n"
        "s.against({'a': {0: 1.0, 1: 2.0}, 'b': {0: 2.0, 1: 2.5}}, 'a').ties[0].more_seeds\n"
        "assert 'scipy.special' in sys.modules, 'nothing was computed'\n"
        "assert 'scipy.stats' not in sys.modules, 'on use'\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
