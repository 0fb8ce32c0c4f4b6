"""Seeds needed and differences detectable, against SciPy's noncentral t, published tables, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from triode.bakeoff.stats import MOST_SEEDS, detectable_difference, paired_difference, seeds_needed
from triode.errors import TriodeError


def power_by_integration(effect: float, n: int, alpha: float) -> float:
    """P(|t| > critical) as the mean, over the sample deviation s, of the normal probability given s."""
    shares = (np.arange(20000) + 0.5) / 20000
    s = np.sqrt(reference.chi2.ppf(shares, n - 1) / (n - 1))
    critical = reference.t.isf(alpha / 2, n - 1)
    shift = effect * math.sqrt(n)
    beyond = reference.norm.cdf(shift - critical * s) + reference.norm.cdf(-shift - critical * s)
    return float(beyond.mean())


@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0, 2.5, 20.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 9, 1e-5])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_seeds_needed_is_the_first_number_with_the_power(effect: float, alpha: float, power: float) -> None:
    n = seeds_needed(0.004, 0.004 * effect, alpha, power)
    assert power_by_integration(effect, n, alpha) >= power - 1e-4
    assert n == 2 or power_by_integration(effect, n - 1, alpha) < power + 1e-4


# J. Cohen, 1988, and every program since: paired t test, two-sided 5%, power 80%.
@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_the_textbooks(effect: float, n: int) -> None:
    assert seeds_needed(1.0, effect, 0.05) == n


def test_seeds_needed_find_the_difference_as_often_as_promised() -> None:
    rng = np.random.default_rng(4)
    deviation, difference, alpha = 0.4, 0.5, 0.05 / 3
    n = seeds_needed(deviation, difference, alpha)

    def found(seeds: int) -> float:
        base = rng.normal(87.0, 3.0, (1500, seeds))  # what the seed does to both arms
        arm = base + rng.normal(difference, deviation, (1500, seeds))
        return float(
            np.mean([paired_difference(a, b).p_value < alpha for a, b in zip(arm, base, strict=True)])
        )

    assert 0.77 < found(n) < 0.90  # a whole number of seeds has a little more than was asked
    assert found(n - 2) < 0.77


@pytest.mark.parametrize("n", [2, 3, 5, 30, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_detectable_difference_has_the_power_and_is_the_inverse(n: int, alpha: float) -> None:
    difference = detectable_difference(0.3, n, alpha)
    assert power_by_integration(difference / 0.3, n, alpha) == pytest.approx(0.8, abs=2e-4)
    assert seeds_needed(0.3, difference * (1 + 1e-9), alpha) == n
    assert seeds_needed(0.3, difference * (1 - 1e-6), alpha) == n + 1


@pytest.mark.parametrize("n", [2, 4, 50])
def test_both_sides_of_the_test_count_where_the_power_is_small(n: int) -> None:
    difference = detectable_difference(1.0, n, alpha=0.2, power=0.22)
    assert power_by_integration(difference, n, 0.2) == pytest.approx(0.22, abs=1e-5)


def test_power_follows_its_arguments() -> None:
    plain = seeds_needed(1.0, 0.5, 0.05)
    assert seeds_needed(1.0, -0.5, 0.05) == plain
    assert seeds_needed(1e-200, 0.5e-200, 0.05) == plain  # only the ratio counts
    assert seeds_needed(2.0, 0.5, 0.05) > plain
    assert seeds_needed(1.0, 0.25, 0.05) > plain
    assert seeds_needed(1.0, 0.5, 0.01) > plain
    assert seeds_needed(1.0, 0.5, 0.05, power=0.9) > plain


def test_power_at_the_ends() -> None:
    assert seeds_needed(1.0, 1e300, 0.01) == 2
    assert seeds_needed(1.0, 1e-300, 0.05) == MOST_SEEDS
    assert seeds_needed(1.0, 1e-5, 0.05) == MOST_SEEDS
    # Normal theory: (1.959964 + 0.841621)^2 / effect^2.
    assert seeds_needed(1.0, 1e-3, 0.05) == pytest.approx(7.848880e6, rel=1e-5)
    # With one degree of freedom |T| is about D sqrt(2) / |N(0, 1)|, found where |N| < 1.28155 at 80%.
    critical = float(reference.cauchy.isf(0.5e-8))
    assert detectable_difference(1.0, 2, 1e-8) == pytest.approx(critical * 1.2815516 / math.sqrt(2), rel=1e-6)


def test_without_spread_the_sign_test_counts() -> None:
    # 2^(1 - n) < 0.05 first for n = 6 (1/32); 1/16 is not enough.
    assert seeds_needed(0.0, 0.1, 0.05) == 6
    assert (
        paired_difference([0.6] * 6, [0.5] * 6).p_value
        < 0.05
        <= paired_difference([0.6] * 5, [0.5] * 5).p_value
    )
    assert seeds_needed(0.0, 0.1, 0.0625) == 6  # significant means below alpha, not at it
    assert detectable_difference(0.0, 6, 0.05) == 0.0
    assert detectable_difference(0.0, 5, 0.05) == math.inf


@pytest.mark.parametrize(
    ("deviation", "difference", "alpha", "power", "said"),
    [
        (1.0, 0.0, 0.05, 0.8, "difference of 0"),
        (1.0, math.nan, 0.05, 0.8, "difference of nan"),
        (1.0, math.inf, 0.05, 0.8, "difference of inf"),
        (-1.0, 0.5, 0.05, 0.8, "deviation of -1"),
        (math.nan, 0.5, 0.05, 0.8, "one seed alone"),
        (1.0, 0.5, 5, 0.8, "alpha is 5"),
        (1.0, 0.5, 0.05, 1.0, r"power is 1\.0"),
        (1.0, 0.5, 0.05, 0.05, "not above alpha"),
    ],
)
def test_questions_without_an_answer(
    deviation: float, difference: float, alpha: float, power: float, said: str
) -> None:
    with pytest.raises(TriodeError, match=said):
        seeds_needed(deviation, difference, alpha, power)


def test_one_seed_detects_nothing() -> None:
    with pytest.raises(TriodeError, match="at least 2"):
        detectable_difference(1.0, 1, 0.05)
