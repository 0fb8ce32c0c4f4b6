r"""Mean-field theory of signal propagation: what a wide random network does to variances and to gradients.

In a network :math:`h^{l+1} = W f(h^l) + b` with :math:`\mathrm{Var}\,W = \sigma_w^2 / \text{fan-in}` and
:math:`\mathrm{Var}\,b = \sigma_b^2`, the pre-activations of a wide layer are Gaussian with a variance q that obeys
the *variance map* :math:`V(q) = \sigma_w^2\,E[f(\sqrt q z)^2] + \sigma_b^2`, :math:`z \sim N(0, 1)`. A squared
gradient grows from layer to layer by :math:`\chi_1 = \sigma_w^2\,E[f'(\sqrt q z)^2]`, a small change of the variance
by :math:`\chi_\parallel = V'(q)`. Gradients neither grow nor decay where :math:`\chi_1 = 1` at a fixed point of V.

Sources: Poole et al., Exponential expressivity in deep neural networks through transient chaos, 2016,
arXiv:1606.05340; Schoenholz et al., Deep information propagation, 2016, arXiv:1611.01232; Roberts, Yaida and Hanin,
The principles of deep learning theory, 2021, arXiv:2106.10165, chapter 5.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np

from triode.activation import Activation
from triode.analysis.moments import (
    BESIDE_ZERO,
    GRID,
    NOISE,
    Moments,
    elementwise,
    limiting_slope,
    moments,
    roots,
    through_origin,
    value,
)
from triode.analysis.quadrature import Array
from triode.errors import TriodeError

Stability = Literal["stable", "unstable", "marginal", "every variance"]

_TOUCH = 1e-7  # |V(q) - q| / q that counts as touching zero; constants from the literature have 8 digits
_WIDTH = 5e-3  # two crossings nearer to a touch than this, in q, belong to it
_SLOW = 1e-2  # |V(q) - q| / q below which fixed points may lie closer than the grid


@dataclass(frozen=True)
class FixedPoint:
    """A variance that the variance map keeps.

    ``stability`` is ``stable`` or ``unstable`` (small changes shrink or grow), ``marginal`` (neither, to first
    order), or ``every variance`` (the map is the identity; ``q`` is then given as 1).
    """

    q: float
    chi: float
    chi_parallel: float
    stability: Stability


@overload
def variance_map(activation: Activation | str, q: float, sigma_w: float, sigma_b: float = 0.0) -> float: ...
@overload
def variance_map(activation: Activation | str, q: Array, sigma_w: float, sigma_b: float = 0.0) -> Array: ...
def variance_map(
    activation: Activation | str, q: float | Array, sigma_w: float, sigma_b: float = 0.0
) -> float | Array:
    r"""Return the next layer's variance :math:`V(q) = \sigma_w^2\,E[f(\sqrt q z)^2] + \sigma_b^2`.

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.
        q: Variance of the pre-activations, >= 0; a number, or an array of any shape.
        sigma_w: Standard deviation of the weights times the square root of the fan-in, >= 0.
        sigma_b: Standard deviation of the biases, >= 0; default 0.

    Returns:
        A number, or an array of q's shape; infinite or nan where the mean does not exist.

    Raises:
        TriodeError: For a negative or non-finite argument, or an activation that is not elementwise.

    Examples:
        >>> round(variance_map("relu", 3.0, 2**0.5, 0.5), 12)  # sigma_w^2 q / 2 + sigma_b^2
        3.25

    Source: Poole et al., 2016, arXiv:1606.05340, equation 3.
    """
    function = elementwise(activation)
    s, b = _deviation("sigma_w", sigma_w) ** 2, _deviation("sigma_b", sigma_b) ** 2
    return _over(function, q, lambda: s * value(function, 0.0) ** 2 + b, lambda means: s * means.square + b)


@overload
def chi(activation: Activation | str, q: float, sigma_w: float) -> float: ...
@overload
def chi(activation: Activation | str, q: Array, sigma_w: float) -> Array: ...
def chi(activation: Activation | str, q: float | Array, sigma_w: float) -> float | Array:
    r"""Return :math:`\chi_1 = \sigma_w^2\,E[f'(\sqrt q z)^2]`, the growth of a squared gradient over one layer.

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.
        q: Variance of the pre-activations, >= 0; at 0 the mean of the squared slopes on both sides.
        sigma_w: Standard deviation of the weights times the square root of the fan-in, >= 0.

    Returns:
        A number, or an array of q's shape. Below 1 gradients vanish (order), above 1 they explode (chaos).

    Raises:
        TriodeError: For a negative or non-finite argument, or an activation that is not elementwise.

    Examples:
        >>> round(chi("relu", 1.0, 2**0.5), 12)
        1.0
        >>> round(chi("selu", 1.0, 1.0), 4)  # gradients grow by 3.5% a layer where SELU's variance is stable
        1.0716

    Source: Schoenholz et al., 2016, arXiv:1611.01232, equation 5.
    """
    function, s = elementwise(activation), _deviation("sigma_w", sigma_w) ** 2
    return _over(
        function, q, lambda: s * limiting_slope(function, BESIDE_ZERO), lambda means: s * means.slope
    )


@overload
def chi_parallel(activation: Activation | str, q: float, sigma_w: float) -> float: ...
@overload
def chi_parallel(activation: Activation | str, q: Array, sigma_w: float) -> Array: ...
def chi_parallel(activation: Activation | str, q: float | Array, sigma_w: float) -> float | Array:
    r"""Return :math:`\chi_\parallel = V'(q) = \sigma_w^2\,E[f(\sqrt q z)^2 (z^2 - 1)] / 2q`.

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.
        q: Variance of the pre-activations, > 0; also 0 where f(0) = 0.
        sigma_w: Standard deviation of the weights times the square root of the fan-in, >= 0.

    Returns:
        A number, or an array of q's shape; a fixed point of the variance map is stable where it is below 1.
        The form holds for functions with kinks and jumps too.

    Raises:
        TriodeError: For a negative or non-finite argument, or an activation that is not elementwise.

    Examples:
        >>> round(chi_parallel("selu", 1.0, 1.0), 4)
        0.7826

    Source: Roberts, Yaida and Hanin, 2021, arXiv:2106.10165, section 5.1.
    """
    function, s = elementwise(activation), _deviation("sigma_w", sigma_w) ** 2

    def at_zero() -> float:
        if not through_origin(function):
            raise TriodeError(
                f"chi_parallel of {function.name} is computed for q > 0; at q = 0 only functions with f(0) = 0 have it"
            )
        return s * limiting_slope(function, BESIDE_ZERO)

    return _over(function, q, at_zero, lambda means: s * means.square_by_q)


def fixed_points(
    activation: Activation | str, sigma_w: float, sigma_b: float = 0.0
) -> tuple[FixedPoint, ...]:
    r"""Return the fixed points :math:`V(q) = q` of the variance map, the smallest first.

    Args:
        activation: An elementwise activation, a name, or ``"name=formula"``; parameters at their defaults.
        sigma_w: Standard deviation of the weights times the square root of the fan-in, >= 0.
        sigma_b: Standard deviation of the biases, >= 0; default 0.

    Returns:
        The points in 0 and 1e-4 <= q <= 1e4. A touch to within 1e-7 of q counts as a (marginal) point; of two
        points within 3% of one another one may be given for both. None: the variance grows without bound.

    Raises:
        TriodeError: For a negative or non-finite argument, or an activation that is not elementwise.

    Examples:
        >>> [(round(point.q, 3), point.stability) for point in fixed_points("tanh", 1.5)]
        [(0.0, 'unstable'), (0.793, 'stable')]
        >>> fixed_points("relu", 2**0.5)[0].stability
        'every variance'

    Source: Poole et al., 2016, arXiv:1606.05340, section 2.
    """
    function = elementwise(activation)
    s, b = _deviation("sigma_w", sigma_w) ** 2, _deviation("sigma_b", sigma_b) ** 2

    def excess(q: Array) -> Array:  # (V(q) - q) / q
        return (s * moments(function, q).square + b) / q - 1.0

    def extremal(q: Array) -> Array:  # zero where the excess has a minimum or a maximum
        means = moments(function, q)
        return s * means.square_by_q - (s * means.square + b) / q

    over = excess(GRID)
    if np.all(np.abs(over) <= NOISE):
        return (_fixed_point(function, 1.0, s, "every variance"),)
    grid = _refined(over)
    # A map that keeps every small variance, as hard tanh's does, gives one point: 0.
    grid = grid[np.argmax(np.abs(excess(grid)) > NOISE) :]
    touches = [q for q in roots(extremal, grid) if abs(float(excess(np.array([q]))[0])) <= _TOUCH]
    # A touch that rounding has made two crossings is one point.
    crossings = [q for q in roots(excess, grid) if all(abs(q / at - 1.0) > _WIDTH for at in touches)]
    found = [0.0] if b == 0.0 and through_origin(function) else []
    return tuple(
        _fixed_point(function, q, s, "marginal" if q in touches else "")
        for q in sorted([*found, *touches, *crossings])
    )


def _refined(over: Array) -> Array:
    """Return the grid, finer where the variance hardly changes: there may be several fixed points side by side."""
    near = (np.abs(over) < _SLOW) & (np.abs(over) > NOISE)
    cells = np.flatnonzero(near[:-1] | near[1:])
    return np.unique(np.concatenate([GRID, *(np.geomspace(GRID[i], GRID[i + 1], 30) for i in cells)]))


def _fixed_point(function: Activation, q: float, s: float, stability: Stability | Literal[""]) -> FixedPoint:
    deviation = math.sqrt(s)
    growth = chi_parallel(function, q, deviation)
    if not stability:
        stability = "marginal" if abs(growth - 1.0) <= _TOUCH else "stable" if growth < 1.0 else "unstable"
    return FixedPoint(q, chi(function, q, deviation), growth, stability)


# --- checks of arguments ---------------------------------------------------------------------------------------


def _deviation(name: str, given: float) -> float:
    if not isinstance(given, numbers.Real) or isinstance(given, bool) or not 0.0 <= float(given) < math.inf:
        raise TriodeError(f"{name} is a standard deviation, a finite number >= 0; {given!r:.60} was given")
    return float(given)


def _over(
    function: Activation, q: float | Array, zero: Callable[[], float], compute: Callable[[Moments], Array]
) -> float | Array:
    """Return ``compute`` of the moments at every q > 0 and ``zero()`` at q = 0, in q's shape."""
    try:
        points = np.asarray(q, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.array(math.nan)
    if not np.all((points >= 0.0) & (points < math.inf)):
        raise TriodeError(f"q is a variance, a finite number >= 0 or an array of them; {q!r:.60} was given")
    result = np.empty(points.shape)
    positive = points > 0.0
    if not positive.all():
        result[~positive] = zero()
    if positive.any():
        result[positive] = compute(moments(function, points[positive]))
    return result if points.ndim else float(result)
