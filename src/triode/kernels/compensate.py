"""What rounding loses in the argument of an exponential, and how it is put back.

A relative error eps in x is an error of |x| eps in e^x: at x = -700, hundreds of ulp. Where such an argument is
computed (``beta * z``, a cubic), it is computed as an unevaluated sum of two floats, high + low, by error-free
transformations (Dekker, "A floating-point technique for extending the available precision", 1971; products by fused
multiply-add), and e^(high + low) = e^high (1 + low) to first order. Only float64 results need this: float32 is
rounded from float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from triode.expr import Expr, fold, to_float
from triode.kernels.vector import Vector, filled

Pair = tuple[Vector, Vector]

_PI_LOW = 1.2246467991473532e-16

SLOPES: dict[str, Callable[[Vector], Vector]] = {
    "exp": lambda x: filled(x, 1.0),
    # (ln sigmoid)' = sigmoid(-x) and (ln logistic_pdf)' = -tanh(x / 2): within e^-|x| of a step, and where that is
    # not small the low part is below half an ulp.
    "sigmoid": lambda x: (x < 0.0).select(1.0, filled(x, 0.0)),
    "logistic_pdf": lambda x: (x < 0.0).select(1.0, filled(x, -1.0)),
}
"""The logarithmic derivative of each function whose argument is compensated."""


def _sum(a: Pair, b: Pair) -> Pair:
    high = a[0] + b[0]
    part = high - a[0]
    error = (a[0] - (high - part)) + (b[0] - part)
    return high, error + (a[1] + b[1])


def _product(a: Pair, b: Pair) -> Pair:
    high = a[0] * b[0]
    return high, a[0].fma(b[0], -high) + a[0].fma(b[1], a[1] * b[0])


def _quotient(a: Pair, b: Pair) -> Pair:
    high = a[0] / b[0]
    return high, ((-high).fma(b[0], a[0]) + (-high).fma(b[1], a[1])) / b[0]


def _root(a: Pair) -> Pair:
    high = a[0].sqrt()
    return high, ((-high).fma(high, a[0]) + a[1]) / (2.0 * high)


def argument(node: Expr, symbols: Mapping[str, Vector]) -> Pair | None:
    """Return the node's value as high + low, or ``None`` where it is exact anyway or beyond these operations."""
    like = next(iter(symbols.values()))

    def visit(part: Expr, args: tuple[Pair | None, ...]) -> Pair | None:
        if part.op == "symbol":
            value = symbols[str(part.value)]
            return value, filled(value, 0.0)
        if part.op == "pi":
            return filled(like, math.pi), filled(like, _PI_LOW)
        if part.op == "constant" and isinstance(part.value, Fraction):
            high = to_float(part.value)
            low = to_float(part.value - Fraction(high)) if math.isfinite(high) else 0.0
            return filled(like, high), filled(like, low)
        known = [pair for pair in args if pair is not None]
        if len(known) < len(args):
            return None
        match part.op:
            case "neg":
                return -known[0][0], -known[0][1]
            case "add":
                return _sum(known[0], known[1])
            case "sub":
                return _sum(known[0], (-known[1][0], -known[1][1]))
            case "mul":
                return _product(known[0], known[1])
            case "div":
                return _quotient(known[0], known[1])
            case "sqrt":
                return _root(known[0])
            case "power":
                result = known[0]
                for _ in range(int(part.value or 1) - 1):
                    result = _product(result, known[0])
                return result
            case _:
                return None

    return None if _exact(node) else fold(node, visit)


def _exact(node: Expr) -> bool:
    """Say whether the node is a symbol times a power of two and a sign, which no rounding touches."""
    while node.op == "neg" or (node.op == "mul" and node.args[0].op == "constant"):
        if node.op == "mul":
            value = node.args[0].value
            if not isinstance(value, Fraction) or abs(math.frexp(to_float(value))[0]) != 0.5:
                return False
        node = node.args[-1]
    return node.op == "symbol"
