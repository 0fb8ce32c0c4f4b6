"""The functions as their papers write them, apart from the declarations: what a wrong constant is found by."""

from __future__ import annotations

from typing import Any

import sympy

from support.differentiation import DIGITS, check_same, points_of, real
from triode.activation import Activation

z, u, alpha, beta = (real(name) for name in ("z", "u", "alpha", "beta"))
lower, upper = real("lower"), real("upper")


def _split(below: Any, above: Any, at: Any = 0) -> Any:
    return sympy.Piecewise((above, z > at), (below, True))


def _normal(x: Any) -> Any:
    return (1 + sympy.erf(x / sympy.sqrt(2))) / 2


def _logistic(x: Any) -> Any:
    return 1 / (1 + sympy.exp(-x))


def _selu() -> Any:
    # Klambauer and others (2017), the two constants in closed form: mean 0 and variance 1 are a fixed point.
    e, pi = sympy.E, sympy.pi
    tail = sympy.erfc(1 / sympy.sqrt(2))
    first = -sympy.sqrt(2 / pi) / (tail * sympy.sqrt(e) - 1)
    under = (
        2 * sympy.erfc(sympy.sqrt(2)) * e**2 + pi * tail**2 * e - 2 * (2 + pi) * tail * sympy.sqrt(e) + pi + 2
    )
    scale = (1 - tail * sympy.sqrt(e)) * sympy.sqrt(2 * pi) / sympy.sqrt(under)
    return scale * _split(first * (sympy.exp(z) - 1), z)


DEFINITIONS: dict[str, Any] = {
    "sigmoid": _logistic(z),
    "tanh": sympy.tanh(z),
    "relu": _split(0, z),
    "leaky_relu": _split(alpha * z, z),
    "prelu": _split(alpha * z, z),
    "rrelu": _split((lower + upper) / 2 * z, z),
    "elu": _split(alpha * (sympy.exp(z) - 1), z),
    "selu": _selu(),
    "celu": _split(alpha * (sympy.exp(z / alpha) - 1), z),
    "gelu": z * _normal(z),
    "gelu_tanh": z / 2 * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (z + sympy.Rational("0.044715") * z**3))),
    "swish": z * _logistic(beta * z),
    "mish": z * sympy.tanh(sympy.log(1 + sympy.exp(z))),
    "softplus": sympy.log(1 + sympy.exp(beta * z)) / beta,
    "softsign": z / (1 + _split(-z, z)),
    "hard_sigmoid": sympy.Piecewise((0, z <= -3), (1, z >= 3), (z / 6 + sympy.Rational(1, 2), True)),
    "hard_swish": sympy.Piecewise((0, z <= -3), (z, z >= 3), (z * (z / 6 + sympy.Rational(1, 2)), True)),
    "hard_tanh": sympy.Piecewise((-1, z <= -1), (1, z >= 1), (z, True)),
    "relu6": sympy.Piecewise((0, z <= 0), (6, z >= 6), (z, True)),
    "squared_relu": _split(0, z**2),
    "log_sigmoid": sympy.log(_logistic(z)),
    "identity": z,
    "laplace_gelu": z * _split(sympy.exp(z) / 2, 1 - sympy.exp(-z) / 2),
    "cauchy_gelu": z * (sympy.atan(z) / sympy.pi + sympy.Rational(1, 2)),
    "glu": z * _logistic(u),
    "reglu": _split(0, z) * u,
    "geglu": z * _normal(z) * u,
    "swiglu": z * _logistic(z) * u,
}
"""The functions that the first version promises; a later one may come without an entry."""
DIGITS_STATED = {"selu": 31}
"""Where a declaration writes rounded constants: as many digits as both carry."""


def check_definition(activation: Activation) -> None:
    """Require an activation's declared formula to be the textbook's function, constants included."""
    digits = DIGITS_STATED.get(activation.name, DIGITS)
    check_same(activation.formula, DEFINITIONS[activation.name], points_of(activation), digits)
