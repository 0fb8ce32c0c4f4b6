"""Interval enclosures, by one rule per primitive: bounds that a formula cannot leave.

The ends are rounded outward by a margin that covers the error of the floating-point functions used, so that an
enclosure is a proof: if the interval of a factor does not hold zero, the factor is not zero. Intervals are closed
and may reach infinity; a formula that is undefined somewhere (a division by an interval that holds zero) is
enclosed by the whole line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from triode.expr import Expr, fold, to_float

_MARGIN = (
    2.0**-40
)  # relative; above the error of every function used below, e^(-x^2/2) near its underflow included
_TINY = 5e-324
_LARGEST = 1.7976931348623157e308


@dataclass(frozen=True)
class Interval:
    """The closed interval from ``low`` to ``high``."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Say whether ``value`` lies in the interval."""
        return self.low <= value <= self.high

    @property
    def bounded(self) -> bool:
        """Say whether both ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)


WHOLE = Interval(-math.inf, math.inf)


def _outward(low: float, high: float) -> Interval:
    if math.isnan(low) or math.isnan(high):
        return WHOLE
    # An end that overflowed on the inner side still lies beyond the largest float, not at infinity.
    low = min(low, _LARGEST)
    high = max(high, -_LARGEST)
    low -= abs(low) * _MARGIN + _TINY if math.isfinite(low) else 0.0
    high += abs(high) * _MARGIN + _TINY if math.isfinite(high) else 0.0
    return Interval(low, high)


def _clip(interval: Interval, low: float = -math.inf, high: float = math.inf) -> Interval:
    return Interval(max(interval.low, low), min(interval.high, high))


def _increasing(
    function: Callable[[float], float], low: float = -math.inf, high: float = math.inf
) -> Callable[[Interval], Interval]:
    return lambda x: _clip(_outward(function(x.low), function(x.high)), low, high)


def _bump(function: Callable[[float], float], peak: float) -> Callable[[Interval], Interval]:
    """Enclose an even function that falls from its peak at 0 to zero on both sides."""

    def rule(x: Interval) -> Interval:
        far = function(max(abs(x.low), abs(x.high)))
        near = peak if 0.0 in x else function(min(abs(x.low), abs(x.high)))
        return _clip(_outward(far, near), 0.0)

    return rule


def _product(a: float, b: float) -> float:
    return 0.0 if a == 0.0 or b == 0.0 else a * b


def multiply(a: Interval, b: Interval) -> Interval:
    """Return an enclosure of every product; zero times infinity counts as zero, the value at every finite point."""
    if Interval(0.0, 0.0) in (a, b):
        return Interval(0.0, 0.0)
    ends = [_product(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    result = _outward(min(ends), max(ends))
    # The sign follows from the factors; the product of two tiny numbers rounds to zero and has forgotten it.
    signs = {math.copysign(1.0, x) * math.copysign(1.0, y) for x in _signs(a) for y in _signs(b)}
    return _clip(result, 0.0 if signs == {1.0} else -math.inf, 0.0 if signs == {-1.0} else math.inf)


def _signs(x: Interval) -> tuple[float, ...]:
    return (1.0,) if x.low >= 0 else (-1.0,) if x.high <= 0 else (1.0, -1.0)


def _divide(a: Interval, b: Interval) -> Interval:
    if 0.0 in b:
        return WHOLE
    return multiply(a, _outward(1.0 / b.high, 1.0 / b.low))


def _power(x: Interval, exponent: int) -> Interval:
    def raised(value: float) -> float:
        try:
            return value**exponent
        except OverflowError:
            return math.inf if value > 0 or exponent % 2 == 0 else -math.inf

    if exponent % 2:
        return _outward(raised(x.low), raised(x.high))
    far = raised(max(abs(x.low), abs(x.high)))
    near = 0.0 if 0.0 in x else raised(min(abs(x.low), abs(x.high)))
    return _clip(_outward(near, far), 0.0)


def _exp(x: float) -> float:
    return math.inf if x > 709.782712893384 else math.exp(x)


def _expm1(x: float) -> float:
    return math.inf if x > 709.782712893384 else math.expm1(x)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + _exp(-x)) if x >= 0 else _exp(x) / (1.0 + _exp(x))


def _log(x: Interval, shift: float, function: Callable[[float], float]) -> Interval:
    if x.high <= shift:
        return WHOLE
    low = -math.inf if x.low <= shift else function(x.low)
    return _outward(low, math.inf if x.high == math.inf else function(x.high))


def _normal_pdf(x: float) -> float:
    return _exp(-0.5 * min(abs(x), 1e3) ** 2) / math.sqrt(2.0 * math.pi)


def _segment_area(x: float) -> float:
    if abs(x) < 0.1:  # the series 2/3 x^3 - 4/5 x^5 + 6/7 x^7 - ..., where the difference would cancel
        ratio = 0.0
        for n in range(9, 0, -1):
            ratio = 2 * n / (2 * n + 1) - x * x * ratio
        return x**3 * ratio
    return math.atan(x) - 1.0 / (x + 1.0 / x)


def _union(a: Interval, b: Interval) -> Interval:
    return Interval(min(a.low, b.low), max(a.high, b.high))


RULES: dict[str, Callable[..., Interval]] = {
    "pi": lambda: _outward(math.pi, math.pi),
    "add": lambda a, b: _outward(a.low + b.low, a.high + b.high),
    "sub": lambda a, b: _outward(a.low - b.high, a.high - b.low),
    "mul": multiply,
    "div": _divide,
    "neg": lambda x: Interval(-x.high, -x.low),
    "min": lambda a, b: Interval(min(a.low, b.low), min(a.high, b.high)),
    "max": lambda a, b: Interval(max(a.low, b.low), max(a.high, b.high)),
    "where": lambda condition, a, b: _union(a, b),
    "lt": lambda a, b: Interval(0.0, 1.0),
    "le": lambda a, b: Interval(0.0, 1.0),
    "gt": lambda a, b: Interval(0.0, 1.0),
    "ge": lambda a, b: Interval(0.0, 1.0),
    "abs": lambda x: Interval(
        0.0 if 0.0 in x else min(abs(x.low), abs(x.high)), max(abs(x.low), abs(x.high))
    ),
    "sign": lambda x: Interval(
        -1.0 if x.low < 0 else float(x.low > 0), 1.0 if x.high > 0 else -float(x.high < 0)
    ),
    "exp": _increasing(_exp, 0.0),
    "expm1": _increasing(_expm1, -1.0),
    "log": lambda x: _log(x, 0.0, math.log),
    "log1p": lambda x: _log(x, -1.0, math.log1p),
    "sqrt": lambda x: _clip(_outward(math.sqrt(max(x.low, 0.0)), math.sqrt(max(x.high, 0.0))), 0.0),
    "tanh": _increasing(math.tanh, -1.0, 1.0),
    "sigmoid": _increasing(_sigmoid, 0.0, 1.0),
    "logistic_pdf": _bump(lambda x: _sigmoid(x) * _sigmoid(-x), 0.25),
    "softplus": _increasing(lambda x: max(x, 0.0) + math.log1p(_exp(-abs(x))), 0.0),
    "erf": _increasing(math.erf, -1.0, 1.0),
    "erfc": lambda x: _clip(_outward(math.erfc(x.high), math.erfc(x.low)), 0.0, 2.0),
    "gaussian": _bump(lambda x: _exp(-(min(x, 1e3) ** 2)), 1.0),
    "ndtr": _increasing(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)), 0.0, 1.0),
    "normal_pdf": _bump(_normal_pdf, 1.0 / math.sqrt(2.0 * math.pi)),
    "cauchy_cdf": _increasing(lambda x: math.atan2(1.0, -x) / math.pi, 0.0, 1.0),
    "cauchy_pdf": _bump(lambda x: 1.0 / (math.pi * (1.0 + x * x)), 1.0 / math.pi),
    "segment_area": _increasing(_segment_area),
    "sin": lambda x: Interval(-1.0, 1.0),
    "cos": lambda x: Interval(-1.0, 1.0),
    "atan": _increasing(math.atan),
    "asinh": _increasing(math.asinh),
}
"""One row per operation, but for the leaves and ``power``, which carry a value (see :func:`enclose`)."""


def enclose(formula: Expr, inputs: Mapping[str, Interval]) -> Interval:
    """Return an interval that holds every value of the formula.

    Args:
        formula: The expression.
        inputs: An interval for each symbol; a symbol that is missing may be anything.

    Returns:
        The enclosure; never too narrow, often wider than the exact range.

    Examples:
        >>> from triode.parse import parse
        >>> enclose(parse("1 + max(z, 0)"), {}).low >= 0.99
        True
    """
    return enclosures(formula, inputs)[formula]


def enclosures(formula: Expr, inputs: Mapping[str, Interval]) -> dict[Expr, Interval]:
    """Return the enclosure of every node of the formula (see :func:`enclose`)."""
    results: dict[Expr, Interval] = {}

    def visit(node: Expr, args: tuple[Interval, ...]) -> Interval:
        if node.op == "constant" and isinstance(node.value, Fraction):
            value = to_float(node.value)
            exact = math.isfinite(value) and node.value == Fraction(value)
            result = Interval(value, value) if exact else _outward(value, value)
        elif node.op == "symbol":
            result = inputs.get(str(node.value), WHOLE)
        elif node.op == "power":
            result = _power(args[0], int(node.value or 0))
        elif node.op == "mul" and node.args[0] is node.args[1]:
            result = _power(args[0], 2)
        else:
            result = RULES[node.op](*args)
        results[node] = result
        return result

    fold(formula, visit)
    return results
