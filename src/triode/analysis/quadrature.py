r"""Gaussian means :math:`E[g(\sqrt{q}\,z)]`, :math:`z \sim N(0, 1)`, of functions with kinks, by adaptive panels.

Gauss-Hermite quadrature converges slowly for a function with a kink (ReLU: 1e-3 with 100 nodes) and for one that
saturates within a small part of a wide Gaussian. Here the line is cut into panels at the kinks and at points that
are graded in units of both the Gaussian and the function, each panel gets a Gauss-Legendre rule, and a panel whose
two halves disagree with the whole is halved until they agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from triode.activation import Activation
from triode.expr import COMPARISONS, Expr, postorder

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]
"""``function(x)`` of shape (n,) returns the integrands there, of shape (k, n)."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# Beyond 38 standard deviations the density is below 1e-314. The far panels are for integrands that grow as exp.
_STANDARD = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0, 18.0, 26.0, 38.0])
_GRADED = 2.0 ** np.arange(-2, 7)
"""Where panels end in units of the function: what the activations of the catalogue do, they do between these."""
_TOLERANCE = (
    1e-14  # of the mean of |g|; the halves that are kept are far better than their difference from the whole
)
_HALVINGS = 48
_REST = 1e-6
_MOST_PANELS = 20_000
_MOST_PIECES = 12


def gaussian_means(function: Function, q: npt.ArrayLike, breaks: tuple[float, ...] = ()) -> Array:
    r"""Return :math:`E[g_i(\sqrt{q}\,z)]` for several functions and several variances at once.

    Args:
        function: Called with points x of shape (n,), returns the k integrands there, shape (k, n).
        q: Variances, a number or an array of shape (m,), each > 0.
        breaks: Points x at which an integrand may have a kink or a jump. One that is missing costs time, not
            accuracy: the panels close in on it.

    Returns:
        An array of shape (k, m), accurate to about 1e-13 of the mean of :math:`|g_i|`; not finite where an
        integrand is not, or grows faster than the Gaussian falls.

    Examples:
        >>> means = gaussian_means(lambda x: np.stack([x**2, x**4]), 2.0)  # q and 3 q^2
        >>> means.round(12).tolist()
        [[2.0], [12.0]]
    """
    spread = np.sqrt(np.atleast_1d(np.asarray(q, dtype=np.float64)))
    with np.errstate(over="ignore", invalid="ignore"):
        return _adaptive(function, spread, _ends(spread, breaks))


def _adaptive(function: Function, spread: Array, ends: Array) -> Array:
    """Return the integrals over the panels between ends, which are halved until they settle."""
    rows = np.repeat(np.arange(len(spread)), ends.shape[1] - 1)
    left, right = ends[:, :-1].ravel(), ends[:, 1:].ravel()
    real = right > left
    rows, left, right = rows[real], left[real], right[real]

    def summed(parts: Array, rows: npt.NDArray[np.intp]) -> Array:
        return np.array([np.bincount(rows, part, len(spread)) for part in parts])

    whole = _panels(function, left, right, spread[rows])
    scale = summed(np.abs(whole), rows)
    # Where the mean does not exist the outermost panel is no rest but the bulk.
    outer = summed(np.abs(whole) * (np.maximum(np.abs(left), np.abs(right)) > 30.0 * spread[rows]), rows)
    totals = np.where(outer > _REST * scale, math.inf, 0.0)
    for _ in range(_HALVINGS):
        middle = 0.5 * (left + right)
        first = _panels(function, left, middle, spread[rows])
        second = _panels(function, middle, right, spread[rows])
        # A panel that is not finite will not become so by halving; nan compares as settled.
        open_ = np.any(np.abs(first + second - whole) > _TOLERANCE * scale[:, rows], axis=0)
        totals += summed((first + second)[:, ~open_], rows[~open_])
        rows = np.concatenate([rows[open_], rows[open_]])
        left = np.concatenate([left[open_], middle[open_]])
        right = np.concatenate([middle[open_], right[open_]])
        whole = np.concatenate([first[:, open_], second[:, open_]], axis=1)
        if not 0 < len(rows) <= _MOST_PANELS:
            break
    # What is left is a jump shut in by panels of no width, or a function that never settles.
    return totals + summed(whole, rows)


def _ends(spread: Array, breaks: tuple[float, ...]) -> Array:
    """Return the ends of the first panels for each standard deviation, sorted, shape (m, ends)."""
    standard = np.concatenate([-_STANDARD[:0:-1], _STANDARD])
    kinks = np.array(sorted(set(breaks)))
    fixed = np.concatenate([-_GRADED, _GRADED, kinks])
    limit = 38.0 * spread[:, None]
    return np.sort(
        np.concatenate([standard * spread[:, None], np.clip(fixed, -limit, limit)], axis=1), axis=1
    )


def _panels(function: Function, left: Array, right: Array, spread: Array) -> Array:
    """Return the integrals over panels of x, shape (k, panels)."""
    half = 0.5 * (right - left)
    x = (left + half)[:, None] + half[:, None] * _NODES
    z = x / spread[:, None]
    density = np.exp(-0.5 * z * z) * (half / spread / math.sqrt(2 * math.pi))[:, None] * _WEIGHTS
    values = function(x.ravel())
    result: Array = np.sum(values.reshape(len(values), *x.shape) * density, axis=-1)
    return result


# --- where a formula may have kinks ---------------------------------------------------------------------------

_Line = tuple[float, float]
"""Slope and intercept."""


def kinks(activation: Activation) -> tuple[float, ...]:
    """Return points at which an elementwise activation, parameters at their defaults, may have a kink or a jump.

    Read from the formula: wherever ``min``, ``max``, ``abs``, ``sign`` or ``where`` compares two piecewise linear
    things. Too many points do no harm to a quadrature; a condition that is not linear gives none.

    Examples:
        >>> from triode import get
        >>> kinks(get("relu6"))
        (0.0, 6.0)
    """
    defaults = activation.defaults()
    lines: dict[Expr, frozenset[_Line]] = {}
    found: set[float] = set()
    for node in postorder(activation.formula):
        args = [lines[argument] for argument in node.args]
        lines[node] = _lines(node, args, defaults)
        if node.op in ("min", "max", *COMPARISONS):
            found |= {_crossing(a, b) for a in args[0] for b in args[1]}
        elif node.op in ("abs", "sign"):
            found |= {_crossing(a, (0.0, 0.0)) for a in args[0]}
    return tuple(sorted(0.0 + at for at in found if math.isfinite(at)))


def _crossing(a: _Line, b: _Line) -> float:
    return (b[1] - a[1]) / (a[0] - b[0]) if a[0] != b[0] else math.nan


def _lines(node: Expr, args: list[frozenset[_Line]], defaults: dict[str, float]) -> frozenset[_Line]:
    """Return the straight lines that a node may follow piece by piece; none when it follows others too."""
    found: set[_Line] = set()
    if isinstance(node.value, Fraction):
        found = {(0.0, float(node.value))}
    elif node.op == "pi":
        found = {(0.0, math.pi)}
    elif node.op == "symbol":
        name = str(node.value)
        found = {(0.0, defaults[name])} if name in defaults else {(1.0, 0.0)}
    elif node.op in ("min", "max") or node.op == "where":
        pieces = args[-2:]
        found = set(pieces[0] | pieces[1]) if all(pieces) else set()
    elif node.op in ("neg", "abs"):
        found = {(-m, -c) for m, c in args[0]} | (set(args[0]) if node.op == "abs" else set())
    elif node.op in ("add", "sub"):
        sign = 1.0 if node.op == "add" else -1.0
        found = {(m + sign * n, c + sign * d) for m, c in args[0] for n, d in args[1]}
    elif node.op == "mul":
        found = _products(args)
    elif node.op == "div" and all(m == 0.0 and c != 0.0 for m, c in args[1]):
        found = {(m / d, c / d) for m, c in args[0] for _, d in args[1]}
    return frozenset(found) if len(found) <= _MOST_PIECES else frozenset()


def _products(args: list[frozenset[_Line]]) -> set[_Line]:
    for constant, other in (args, args[::-1]):
        if constant and all(slope == 0.0 for slope, _ in constant):
            return {(k * m, k * c) for _, k in constant for m, c in other}
    return set()
