"""One sample of seeds: its mean with Student's interval, and its interquartile mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triode.errors import TriodeError

Values = Sequence[float] | npt.NDArray[np.float64]
"""One number for each run."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the interval that holds the true mean with the asked confidence; nan bounds for n < 2."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Values, confidence: float = 0.95) -> Estimate:
    """The mean of `values` with Student's interval.

    mean +- t s / sqrt(n), with s the sample standard deviation (n - 1) and t the quantile of Student's distribution
    with n - 1 degrees of freedom. Values that are not finite are left out, and `n` counts the others.

    >>> mean_interval([0.86, 0.87, 0.88])
    Estimate(mean=0.87, low=0.845..., high=0.894..., n=3)

    Source: Student, "The probable error of a mean", Biometrika, 1908.
    """
    sample = finite(values)
    n = int(sample.size)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    from scipy.special import stdtrit  # scipy.stats says the same and takes a second longer to import

    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * float(sample.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def interquartile_mean(values: Values) -> float:
    """The mean of the middle half of `values`: as hard to move by one odd run as a median, and less noisy.

    The sorted values x_0 <= ... <= x_(n-1) are laid end to end, value i on the stretch from i to i + 1, and averaged
    over the stretch from n/4 to 3n/4:

        IQM = (2/n) sum_i w_i x_i,   w_i = |[i, i + 1] and [n/4, 3n/4] overlap|

    so a value on the border of the middle half counts with the part of it that lies inside. It is the mean of the
    empirical quantile function from 1/4 to 3/4, and holds for every n without a special case: the value itself for
    n = 1, the mean for n = 2, weights 1/6, 2/3, 1/6 for n = 3, the two in the middle for n = 4, weights 0.3, 0.4, 0.3
    on the three in the middle for n = 5. Where 4 divides n it equals `scipy.stats.trim_mean(values, 0.25)`, which
    otherwise trims less than a quarter.

    Values that are not finite are left out. Returns nan when none is left.

    >>> interquartile_mean([0.1, 0.86, 0.87, 0.88, 0.89])
    0.87

    Source: R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021,
    arXiv:2108.13264.
    """
    sample = np.sort(finite(values))
    return float(middle_half(sample)) if sample.size else math.nan


def middle_half(ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The interquartile mean along the last axis, whose values are finite and in rising order."""
    n = ordered.shape[-1]
    ends = np.clip(np.arange(n + 1, dtype=np.float64), n / 4, 3 * n / 4)
    # Around the median: the weights add up to 1 only to rounding, and equal values should give that value.
    centre = ordered[..., n // 2]
    return np.asarray(centre + (ordered - centre[..., None]) @ (np.diff(ends) * (2 / n)))


def finite(values: Values) -> npt.NDArray[np.float64]:
    """The finite ones among `values`, in their order."""
    sample = np.asarray(values, dtype=np.float64)
    return sample[np.isfinite(sample)]


def check_share(name: str, value: float) -> None:
    """Refuse a confidence, a level or a power that is not between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise TriodeError(
            f"{name} is {value!r}, but it is a share between 0 and 1 (95% is written 0.95), neither included."
        )
