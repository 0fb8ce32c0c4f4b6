r"""What the mean-field theory needs of an activation: Gaussian means of f and f', and where they cross."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from triode import catalogue
from triode.activation import Activation
from triode.analysis.quadrature import Array, gaussian_means, kinks
from triode.errors import TriodeError

# Not 0 and infinity: beside a kink the slope has two values, and far out a formula may give inf - inf.
BESIDE_ZERO, FAR = 1e-300, 1e300
GRID = np.geomspace(1e-4, 1e4, 25)
"""Where fixed and critical points are looked for: three variances a decade."""
NOISE = 1e-11
"""Two quantities that agree by their form, not by chance, agree to this share."""


class Moments(NamedTuple):
    """Gaussian means at variances q: of f^2 and f'^2, and the derivative of the first by q; each of q's shape."""

    square: Array
    slope: Array
    square_by_q: Array


def elementwise(activation: Activation | str) -> Activation:
    """Return the activation that was meant, or raise ``TriodeError`` if it has not exactly one input."""
    found = activation if isinstance(activation, Activation) else catalogue.get(activation)
    if found.kind != "elementwise":
        raise TriodeError(
            f"the mean-field theory is about elementwise functions; {found.name} is {found.kind} and mixes values"
        )
    return found


def moments(function: Activation, q: Array, *, centred: bool = False) -> Moments:
    r"""Return :math:`E[f^2]`, :math:`E[f'^2]` and :math:`dE[f^2]/dq` at :math:`f(\sqrt q z)`.

    Args:
        function: Elementwise; parameters at their defaults.
        q: Variances > 0, of shape (m,).
        centred: Of f minus its mean instead: the first is the variance of f.

    Returns:
        Three arrays of shape (m,); nan or infinite where a mean does not exist. The derivative is
        :math:`E[f^2 (z^2 - 1)] / 2q`, which needs no derivative of f and so counts its jumps.
    """
    # The mean is nearly f(0) for a small q; taken off before squaring, it cannot cancel afterwards.
    offset = value(function, 0.0) if centred else 0.0

    def integrands(x: Array) -> Array:
        f: Array = np.asarray(function(x)) - offset
        slope: Array = np.asarray(function.derivative(x))
        with np.errstate(over="ignore", invalid="ignore"):
            rows = [f * f, slope * slope, f * f * x * x]
            return np.stack([*rows, f, f * x * x] if centred else rows)

    means = gaussian_means(integrands, q, kinks(function))
    with np.errstate(over="ignore", invalid="ignore"):
        square, slope, by_q = means[0], means[1], (means[2] / q - means[0]) / (2.0 * q)
        if centred:
            by_q = by_q - means[3] * (means[4] / q - means[3]) / q
            square = square - means[3] ** 2
    return Moments(square, slope, by_q)


def value(function: Activation, at: float) -> float:
    """Return f at one point."""
    return float(function(at))


def through_origin(function: Activation) -> bool:
    """Say whether f(0) = 0, and without a jump there."""
    return all(abs(value(function, at)) <= NOISE for at in (-BESIDE_ZERO, 0.0, BESIDE_ZERO))


def limiting_slope(function: Activation, at: float) -> float:
    """Return the mean of f'^2 at ``at`` and ``-at``: what E[f'^2] tends to where f is nearly two straight lines."""
    left, right = float(function.derivative(-at)), float(function.derivative(at))
    # A slope of 1e200 would overflow in its square; it is a pole, and no limit.
    return 0.5 * (left * left + right * right) if max(abs(left), abs(right)) < 1e100 else math.inf


def roots(function: Callable[[Array], Array], grid: Array, values: Array | None = None) -> list[float]:
    """Return where a function changes its sign on a grid of q > 0, by regula falsi in log q.

    Args:
        function: Called with an array of q.
        grid: Rising.
        values: The function on the grid, where that is known.

    Returns:
        The crossings, rising. Values below 1e-11 have no sign: where a function is zero over a whole interval,
        rounding would cross at every point of it. Nor have those that are not finite.
    """
    heights = function(grid) if values is None else values
    signed = np.flatnonzero(np.isfinite(heights) & (np.abs(heights) > NOISE))
    found = []
    for i, j in itertools.pairwise(signed):
        if (heights[i] < 0.0) != (heights[j] < 0.0):
            ends = math.log(grid[i]), math.log(grid[j])
            found.append(_illinois(function, ends, (float(heights[i]), float(heights[j]))))
    return found


def _illinois(
    function: Callable[[Array], Array], ends: tuple[float, float], heights: tuple[float, float]
) -> float:
    """Return a zero of a function of opposite signs at two ends, given as log q, to rounding."""
    (a, b), (fa, fb) = ends, heights
    for _ in range(60):
        c = (a * fb - b * fa) / (fb - fa)
        fc = float(function(np.array([math.exp(c)]))[0])
        if fc == 0.0 or abs(c - b) <= 1e-15 * max(1.0, abs(c)):
            return math.exp(c)
        if (fc < 0.0) != (fb < 0.0):
            a, fa = b, fb
        else:
            fa *= 0.5  # the same side twice: without this one end would stay for ever
        b, fb = c, fc
    return math.exp(b)
