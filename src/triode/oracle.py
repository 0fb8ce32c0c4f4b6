"""The oracle: a formula's value to 50 digits, by mpmath; what every kernel is tested against.

The rows are the textbook definitions, not the stable forms; where those cancel, the working precision is raised
until two precisions agree. That makes the oracle slow and independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from triode.errors import MissingExtra, TriodeError
from triode.expr import Expr, fold

try:
    import mpmath
except ImportError:
    raise MissingExtra("mpmath", "the 50-digit oracle", "test") from None

# Decimal digits. The first two are far apart on purpose: a term that 1 + tanh(x) loses at 60 digits it would lose
# at 120 too, and two wrong values would agree. float64 reaches to 1e-324, its square to 1e-648.
_PRECISIONS = (60, 700, 1500, 2500)
_NOTHING = mpmath.mpf(10) ** -1000
_AGREE = 45  # decimal digits to which two precisions must agree


def _half(x: Any) -> Any:
    return x / 2


def _erfc(x: Any) -> Any:
    # Beyond 10^8 the tail is below e^(-10^16), zero in every format; mpmath fails for arguments beyond 10^150.
    return mpmath.erfc(x) if abs(x) < 10**8 else mpmath.mpf(0 if x > 0 else 2)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda x: -x,
    "where": lambda condition, a, b: a if condition else b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "abs": abs,
    "sign": mpmath.sign,
    "min": min,
    "max": max,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sqrt": mpmath.sqrt,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "logistic_pdf": lambda x: mpmath.exp(-abs(x)) / (1 + mpmath.exp(-abs(x))) ** 2,
    "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))),
    "erf": lambda x: 1 - _erfc(x) if abs(x) > 1 else mpmath.erf(x),
    "erfc": _erfc,
    "gaussian": lambda x: mpmath.exp(-x * x),
    "ndtr": lambda x: _half(_erfc(-x / mpmath.sqrt(2))),
    "normal_pdf": lambda x: mpmath.exp(_half(-x * x)) / mpmath.sqrt(2 * mpmath.pi),
    "cauchy_cdf": lambda x: mpmath.atan2(1, -x) / mpmath.pi,
    "cauchy_pdf": lambda x: 1 / (mpmath.pi * (1 + x * x)),
    "segment_area": lambda x: mpmath.atan(x) - x / (1 + x * x),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "atan": mpmath.atan,
    "asinh": mpmath.asinh,
}
"""One row per operation but for the leaves and ``power``."""


def _evaluate(formula: Expr, values: Mapping[str, Any]) -> Any:
    def visit(node: Expr, args: tuple[Any, ...]) -> Any:
        if node.op == "constant" and isinstance(node.value, Fraction):
            return mpmath.mpf(node.value.numerator) / node.value.denominator
        if node.op == "pi":
            return +mpmath.pi
        if node.op == "symbol":
            return values[str(node.value)]
        try:
            result = args[0] ** int(node.value or 0) if node.op == "power" else OPERATIONS[node.op](*args)
        except (ZeroDivisionError, ValueError):  # a branch that is not taken may be undefined
            return mpmath.nan
        return mpmath.nan if isinstance(result, mpmath.mpc) else result

    return fold(formula, visit)


def value(formula: Expr, **inputs: float | Fraction) -> Any:
    """Return the exact value of a formula, as an mpmath number good to 45 digits.

    Args:
        formula: The expression.
        **inputs: A finite number for each symbol; a float is taken as the exact number that it is.

    Returns:
        An ``mpf``; nan where the formula is undefined.

    Raises:
        TriodeError: When 2,500 digits do not settle it, or an input is not finite.

    Examples:
        >>> from triode.parse import parse
        >>> mpmath.nstr(value(parse("z * ndtr(z)"), z=-10.0), 20)
        '-7.619853024160526066e-23'
    """
    for name, number in inputs.items():
        if isinstance(number, float) and not math.isfinite(number):
            raise TriodeError(f"the oracle takes finite numbers; {name} is {number}")
    previous = None
    for digits in _PRECISIONS:
        with mpmath.workdps(digits):
            exact = {
                name: mpmath.mpf(number.numerator) / number.denominator
                if isinstance(number, Fraction)
                else mpmath.mpf(number)
                for name, number in inputs.items()
            }
            result = _evaluate(formula, exact)
            if mpmath.isnan(result):
                return result
            settled = mpmath.mpf(10) ** -_AGREE
            if previous is not None and result != 0 and abs(result - previous) <= abs(result) * settled:
                return result
            previous = result if digits != _PRECISIONS[-1] else previous
            # A zero may be a cancellation that a lower precision cannot see: only the last one is believed, and
            # there a value far below every float counts as settled.
            if digits == _PRECISIONS[-1] and previous is not None and abs(result - previous) < _NOTHING:
                return result
    raise TriodeError(
        f"{formula} at {inputs} is not settled by {_PRECISIONS[-1]} digits (an exact cancellation?)"
    )
