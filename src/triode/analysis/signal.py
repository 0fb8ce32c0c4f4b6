r"""Critical initialisation: weights and biases with which a deep network keeps the size of its gradients.

The theory is in :mod:`triode.analysis.meanfield`; its public names are here too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triode.activation import Activation
from triode.analysis.meanfield import FixedPoint, chi, chi_parallel, fixed_points, variance_map
from triode.analysis.moments import (
    BESIDE_ZERO,
    FAR,
    GRID,
    NOISE,
    Moments,
    elementwise,
    limiting_slope,
    moments,
    roots,
    through_origin,
)
from triode.analysis.quadrature import Array
from triode.errors import TriodeError

__all__ = [
    "CriticalPoint",
    "FixedPoint",
    "chi",
    "chi_parallel",
    "critical_init",
    "critical_point",
    "fixed_points",
    "variance_map",
]

Rule = Literal["every variance", "at zero", "marginal", "at infinity", "line", "bounded", "centred"]

_UP_TO_ONE, _FROM_ONE = GRID <= 1.0001, GRID >= 0.9999
_TENDS = 0.05  # how near E[f'^2] at the largest q is to its limit, if it has one
_LEAST_GROWTH, _MOST_GROWTH = (
    1 / 3,
    1.1,
)  # of the variance, a layer, at a point of the line that is not marginal


@dataclass(frozen=True)
class CriticalPoint:
    """Standard deviations at which gradients keep their size, the variance q there, and the rule that chose it.

    ``q`` may be 0 or infinity: a limit that the variance approaches as a power of the depth. ``chi`` is 1 but for the
    rule ``bounded``.
    """

    sigma_w: float
    sigma_b: float
    q: float
    chi: float
    chi_parallel: float
    rule: Rule


def critical_init(activation: Activation | str) -> tuple[float, float]:
    r"""Return :math:`(\sigma_w, \sigma_b)` for which gradients neither grow nor decay with depth.

    Draw each weight with variance :math:`\sigma_w^2 / \text{fan-in}` and each bias with variance
    :math:`\sigma_b^2`. How the point is chosen is said at :func:`critical_point`.

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.

    Returns:
        Two numbers, the first > 0, the second >= 0.

    Raises:
        TriodeError: For an activation that is not elementwise, whose derivative is 0 almost everywhere, or whose
            Gaussian means are not finite.

    Examples:
        >>> [round(number**2, 6) for number in critical_init("gelu")]
        [1.983058, 0.172922]
        >>> critical_init("tanh")
        (1.0, 0.0)

    Source: Roberts, Yaida and Hanin, 2021, arXiv:2106.10165, section 5.3.
    """
    point = critical_point(activation)
    return point.sigma_w, point.sigma_b


def critical_point(activation: Activation | str) -> CriticalPoint:
    r"""Return the critical point of an activation, with its variance, its growth factors, and the rule that chose it.

    For every q one pair :math:`\sigma_w^2 = 1 / E[f'^2]`, :math:`\sigma_b^2 = q - E[f^2] / E[f'^2]` makes q a fixed
    point with :math:`\chi_1 = 1`; it exists where :math:`\sigma_b^2 \ge 0`. Along this line a point is preferred at
    which :math:`\chi_\parallel = 1` too, so that variances also approach theirs only as a power of the depth. The
    first rule that applies decides:

    1. ``every variance``: :math:`V(q) = q` for all q, which is the scale-invariant functions (ReLU, leaky ReLU).
    2. ``at zero``: f(0) = 0 and the variance falls towards 0 as a power of the depth (tanh, softsign, sin, ELU).
    3. ``marginal``: :math:`\chi_\parallel = 1` at some q > 0 (GELU, Swish, Mish).
    4. ``at infinity``: f is asymptotically two straight lines and the variance rises as a power of the depth
       (softplus: ReLU's numbers).
    5. ``line``: no such point; the q nearest to 1, the variance of standardised inputs, if there
       :math:`1/3 \le \chi_\parallel \le 1.1` (the Cauchy gate).
    6. ``bounded``: at that q :math:`\chi_\parallel` is above 1.1, as for functions that grow faster than a line
       (squared ReLU, exp): a critical network's variance would run away as 1.5^depth and faster. The largest
       :math:`\sigma_w` that keeps it is taken, :math:`\chi_\parallel = 1`; gradients then decay by
       :math:`\chi_1 < 1`. Squared ReLU, trained as below: 73%, against 48% at the critical point (two seeds that
       scatter widely, and the best of eight settings tried: take it as "better", not as a figure).
    7. ``centred``: nothing of this; the same rules for f minus its mean. A sigmoid's only strictly critical points
       have q > 48 and :math:`\sigma_w^2 > 105`: every unit starts saturated, and a network of five layers trains
       worse than with the gain 1 / f'(0) = 4 (80% against 86% on validation images after five epochs of a
       Fashion-MNIST subset; 69% with PyTorch's default). The mean of f adds to a pre-activation an amount that is
       the same for all inputs; not counting it as signal gives that gain. q, :math:`\chi_1` and
       :math:`\chi_\parallel` are then the centred function's; with the mean, gradients do decay in a deep
       network (:func:`fixed_points` says how fast).

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.

    Returns:
        The point.

    Raises:
        TriodeError: For an activation that is not elementwise, whose derivative is 0 almost everywhere, or whose
            Gaussian means are not finite.

    Examples:
        >>> point = critical_point("swish")
        >>> round(point.q, 2), point.rule
        (14.32, 'marginal')
        >>> critical_point("sigmoid").sigma_w, critical_point("sigmoid").rule
        (4.0, 'centred')

    Source: Roberts, Yaida and Hanin, 2021, arXiv:2106.10165, section 5.3 (rules 1 to 3).
    """
    return _critical_point(elementwise(activation))


@functools.lru_cache(maxsize=512)
def _critical_point(function: Activation) -> CriticalPoint:
    means = moments(function, GRID)
    if not np.any(np.isfinite(means.square) & np.isfinite(means.slope)):
        raise TriodeError(
            f"{function.name} has no critical initialisation: the means of f^2 and f'^2 over a Gaussian are not "
            f"finite for f = {function.formula!s:.80}, which must be defined on the whole line and grow more "
            f"slowly than e^(z^2)"
        )
    if not np.nanmax(means.slope) > 0.0:
        raise TriodeError(
            f"{function.name} has no critical initialisation: no gradient passes through "
            f"f = {function.formula!s:.80}, whose derivative is 0 almost everywhere"
        )
    found = _search(function, means, centred=False)
    if found is not None and found.rule == "line" and found.chi_parallel > _MOST_GROWTH:
        return _bounded(function, found.q)
    if found is not None and (found.rule != "line" or found.chi_parallel >= _LEAST_GROWTH):
        return found
    # Of f minus its mean a point always exists: Var f <= q E[f'^2], the Gaussian Poincare inequality.
    found = _search(function, moments(function, GRID, centred=True), centred=True)
    if found is None:  # only where rounding breaks that inequality
        raise TriodeError(f"{function.name} has no critical initialisation for variances from 1e-4 to 1e4")
    return dataclasses.replace(found, rule="centred")


def _bounded(function: Activation, q: float) -> CriticalPoint:
    """Return the deviations with which the variance map touches the identity at q: V(q) = q and V'(q) = 1."""
    square, slope, by_q = (float(mean[0]) for mean in moments(function, np.array([q])))
    return CriticalPoint(1.0 / math.sqrt(by_q), math.sqrt(q - square / by_q), q, slope / by_q, 1.0, "bounded")


def _search(function: Activation, means: Moments, *, centred: bool) -> CriticalPoint | None:
    """Return the point that the first of rules 1 to 5 gives, if any; ``means`` are those on the grid."""

    def at(q: Array) -> Moments:
        return moments(function, q, centred=centred)

    def on_line(q: float, rule: Rule) -> CriticalPoint:
        square, slope, by_q = (float(mean[0]) for mean in at(np.array([q])))
        bias = max(0.0, q - square / slope) if rule != "every variance" else 0.0
        return CriticalPoint(1.0 / math.sqrt(slope), math.sqrt(bias), q, 1.0, by_q / slope, rule)

    def limit(q: float, slope: float, rule: Rule) -> CriticalPoint:
        return CriticalPoint(1.0 / math.sqrt(slope), 0.0, q, 1.0, 1.0, rule)

    with np.errstate(all="ignore"):
        bias = 1.0 - means.square / means.slope / GRID  # sigma_b^2 as a share of q
        growth = means.square_by_q / means.slope - 1.0
    if np.all(np.abs(bias) <= NOISE):
        return on_line(1.0, "every variance")
    slope = limiting_slope(function, BESIDE_ZERO)
    falls = means.square[_UP_TO_ONE] <= slope * GRID[_UP_TO_ONE] * (1.0 + NOISE)
    if (centred or through_origin(function)) and 0.0 < slope < math.inf and np.all(falls):
        return limit(0.0, slope, "at zero")
    marginal = [on_line(q, "marginal") for q in roots(lambda q: _growth(at(q)), GRID, growth)]
    marginal = [point for point in marginal if point.sigma_b > 0.0]
    if marginal:
        return min(marginal, key=lambda point: abs(math.log(point.q)))
    slope = limiting_slope(function, FAR)
    # The limit is believed only if the means go there: the slope of a sine far out is any number.
    if 0.0 < slope < math.inf and abs(float(means.slope[-1]) / slope - 1.0) <= _TENDS:
        rises = means.square[_FROM_ONE] >= slope * GRID[_FROM_ONE] * (1.0 - NOISE)
        if np.all(rises):
            return limit(math.inf, slope, "at infinity")
    possible = [*GRID[bias >= 0.0], *roots(lambda q: _bias_share(at(q), q), GRID, bias)]
    return on_line(float(min(possible, key=lambda q: abs(math.log(q)))), "line") if possible else None


def _growth(means: Moments) -> Array:
    return means.square_by_q / means.slope - 1.0


def _bias_share(means: Moments, q: Array) -> Array:
    return 1.0 - means.square / means.slope / q
