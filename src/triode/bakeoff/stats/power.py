"""How many seeds show how large a difference: the power of the paired t test.

With n seeds, paired differences of standard deviation s and a true mean difference D, the statistic of the paired
t test follows the noncentral t distribution with n - 1 degrees of freedom and noncentrality D sqrt(n) / s. The power
is the probability that it falls outside +-t, with t the two-sided critical value at level alpha.

Where s is 0, `paired_difference` gives the sign test's p = 2**(1 - n), and so do these.

Sources: J. Cohen, "Statistical power analysis for the behavioral sciences", 1988; N. Johnson and B. Welch,
"Applications of the non-central t-distribution", Biometrika, 1940.
"""

from __future__ import annotations

import math

from triode.bakeoff.stats.estimates import check_share
from triode.errors import TriodeError

MOST_SEEDS = 10**9
"""The largest answer of `seeds_needed`; it stands for "more than anybody will run"."""


def seeds_needed(deviation: float, difference: float, alpha: float, power: float = 0.8) -> int:
    """The smallest number of seeds with which a paired t test finds `difference` with probability `power`.

    Args:
        deviation: Standard deviation s of the paired differences (not of either arm), in the unit of `difference`. An
            s from few seeds is itself uncertain: from five, the true one may well be twice as large, and the number of
            seeds goes with its square.
        difference: The true mean difference D that is to be found; its sign does not matter.
        alpha: Two-sided level of the test; with m comparisons corrected by Holm, alpha/m is always enough.
        power: Probability to find it.

    Returns:
        At least 2, and at most MOST_SEEDS. For `deviation` 0, the number with which the sign test's p falls below
        `alpha`.

    Raises:
        TriodeError: `difference` is 0 (no number of seeds finds it) or not finite, `deviation` is negative or not
            finite, or not 0 < alpha < power < 1.

    >>> seeds_needed(0.4, 0.5, alpha=0.05)  # points
    8

    Source: see the module.
    """
    _check(deviation, alpha, power)
    if not math.isfinite(difference) or difference == 0:
        raise TriodeError(
            f"A difference of {difference} has no number of seeds that shows it: give one other than 0, "
            "in the unit of the measure."
        )
    if deviation == 0:
        return _seeds_of_the_sign_test(alpha)
    effect = abs(difference) / deviation
    if _power(effect * math.sqrt(MOST_SEEDS), MOST_SEEDS, alpha) < power:
        return MOST_SEEDS
    high = 2
    while _power(effect * math.sqrt(high), high, alpha) < power:
        high *= 2
    low = high // 2  # too few, or 1
    while high - low > 1:
        middle = (low + high) // 2
        if _power(effect * math.sqrt(middle), middle, alpha) < power:
            low = middle
        else:
            high = middle
    return min(high, MOST_SEEDS)


def detectable_difference(deviation: float, n: int, alpha: float, power: float = 0.8) -> float:
    """The smallest true difference that `n` seeds find with probability `power`: the inverse of `seeds_needed`.

    Args:
        deviation: Standard deviation of the paired differences.
        n: Number of seeds, at least 2.
        alpha: Two-sided level of the test.
        power: Probability to find it.

    Returns:
        A difference in the unit of `deviation`, at least 0. For `deviation` 0: 0 where the sign test's p with n seeds
        falls below `alpha`, otherwise infinity.

    Raises:
        TriodeError: `n` is less than 2, `deviation` is negative or not finite, or not 0 < alpha < power < 1.

    >>> round(detectable_difference(0.4, 8, alpha=0.05), 3)
    0.462

    Source: see the module.
    """
    _check(deviation, alpha, power)
    if n < 2:
        raise TriodeError(
            f"With n = {n} there is no paired test, which needs at least 2 seeds to see any spread."
        )
    if deviation == 0:
        return 0.0 if n >= _seeds_of_the_sign_test(alpha) else math.inf
    low, high = 0.0, 1.0
    while _power(high, n, alpha) < power:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if _power(middle, n, alpha) < power:
            low = middle
        else:
            high = middle
    return high * deviation / math.sqrt(n)


def _power(noncentrality: float, n: int, alpha: float) -> float:
    """P(|T| > t) for T noncentral with n - 1 degrees of freedom."""
    from scipy.special import chdtr, nctdtr, stdtrit

    critical = -float(stdtrit(n - 1, alpha / 2))
    if noncentrality > 1e4:
        # There nctdtr gives up; beside a mean so large the normal part of T is a constant, and only chi is left.
        ratio = noncentrality / critical
        return float(chdtr(n - 1, (n - 1) * ratio * ratio))
    upper = 1.0 - float(nctdtr(n - 1, noncentrality, critical))
    lower = float(nctdtr(n - 1, noncentrality, -critical))  # the wrong sign, found significant
    # nctdtr says nan of a tail that is next to nothing.
    return upper if math.isnan(lower) else upper + lower


def _seeds_of_the_sign_test(alpha: float) -> int:
    n = 2
    while 2.0 ** (1 - n) >= alpha:
        n += 1
    return n


def _check(deviation: float, alpha: float, power: float) -> None:
    check_share("alpha", alpha)
    check_share("The power", power)
    if power <= alpha:
        raise TriodeError(
            f"A power of {power} is not above alpha = {alpha}, so a test that looks at nothing would have it."
        )
    if not (math.isfinite(deviation) and deviation >= 0):
        raise TriodeError(
            f"A standard deviation of {deviation} is not a number from 0 up; one seed alone has none."
        )
