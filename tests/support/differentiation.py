"""Derivatives checked against SymPy: the textbook definitions, differentiated by somebody else's rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import sympy

from support.formulas import operation
from triode import expr, oracle
from triode.activation import Activation
from triode.calculus import derivative
from triode.errors import TriodeError
from triode.expr import Expr
from triode.parse import parse

DIGITS = 40
"""Decimal digits to which two exact values must agree; the oracle promises 45."""
NOTHING = mpmath.mpf(10) ** -1000
"""Below this a number counts as zero, here and in the oracle: no format and no product of two floats reaches it."""
# Decimal digits that SymPy's forms are evaluated with; the second, where the first cancel, are more than NOTHING has.
_WORKING = (120, 1100)

_half = sympy.Rational(1, 2)

TEXTBOOK: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda x: -x,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "where": lambda condition, a, b: sympy.Piecewise((a, condition), (b, True)),
    "min": lambda a, b: sympy.Piecewise((a, a < b), (b, True)),
    "max": lambda a, b: sympy.Piecewise((a, a > b), (b, True)),
    "abs": lambda x: sympy.Piecewise((-x, x < 0), (x, True)),
    # Away from its jump the sign is a constant; SymPy's own has a Dirac delta as its derivative.
    "sign": lambda x: sympy.Piecewise((-1, x < 0), (1, x > 0), (0, True)),
    "exp": sympy.exp,
    "expm1": lambda x: sympy.exp(x) - 1,
    "log": sympy.log,
    "log1p": lambda x: sympy.log(1 + x),
    "sqrt": sympy.sqrt,
    "tanh": lambda x: (sympy.exp(x) - sympy.exp(-x)) / (sympy.exp(x) + sympy.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "logistic_pdf": lambda x: sympy.exp(-x) / (1 + sympy.exp(-x)) ** 2,
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    "erf": sympy.erf,
    "erfc": lambda x: 1 - sympy.erf(x),
    "gaussian": lambda x: sympy.exp(-(x**2)),
    "ndtr": lambda x: (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    "normal_pdf": lambda x: sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi),
    "cauchy_cdf": lambda x: _half + sympy.atan(x) / sympy.pi,
    "cauchy_pdf": lambda x: 1 / (sympy.pi * (1 + x**2)),
    "segment_area": lambda x: sympy.atan(x) - x / (1 + x**2),
    "sin": sympy.sin,
    "cos": sympy.cos,
    "atan": sympy.atan,
    "asinh": lambda x: sympy.log(x + sympy.sqrt(x**2 + 1)),
}
"""What each operation means, in SymPy's elementary functions; leaves and ``power`` are in :func:`to_sympy`."""


def real(name: str) -> Any:
    """Return the real symbol of that name."""
    return sympy.Symbol(name, real=True)


def to_sympy(formula: Expr) -> Any:
    """Return a formula as SymPy's, every operation by its textbook definition."""

    def visit(node: Expr, args: tuple[Any, ...]) -> Any:
        if node.op == "constant" and isinstance(node.value, Fraction):
            return sympy.Rational(node.value.numerator, node.value.denominator)
        if node.op == "pi":
            return sympy.pi
        if node.op == "symbol":
            return real(str(node.value))
        if node.op == "power":
            return args[0] ** int(str(node.value))
        return TEXTBOOK[node.op](*args)

    return expr.fold(formula, visit)


def evaluator(form: Any) -> Callable[[Mapping[str, Any], int], Any]:
    """Return the function that evaluates a SymPy expression at a point with so many digits."""
    names = sorted(symbol.name for symbol in form.free_symbols)
    function = sympy.lambdify([real(name) for name in names], form, "mpmath")

    def at(point: Mapping[str, Any], digits: int) -> Any:
        with mpmath.workdps(digits):
            return +mpmath.mpmathify(function(*(mpmath.mpf(point[name]) for name in names)))

    return at


def agree(ours: Any, theirs: Any, digits: int) -> bool:
    """Say whether two numbers agree to so many decimal digits, relatively; a zero only with a zero."""
    with mpmath.workdps(2 * digits):
        scale = max(abs(ours), abs(theirs))
        return bool(scale < NOTHING or abs(ours - theirs) <= scale * mpmath.mpf(10) ** -digits)


def check_agrees(ours: Any, theirs: Any, digits: int, what: str) -> None:
    """Require two numbers to agree to so many decimal digits."""
    assert agree(ours, theirs, digits), f"{what}: {mpmath.nstr(ours, 50)} is not {mpmath.nstr(theirs, 50)}"


def check_same(formula: Expr, form: Any, points: Sequence[Mapping[str, float]], digits: int = DIGITS) -> None:
    """Require a formula of ours and a SymPy expression to have equal values at every point."""
    theirs = evaluator(form)
    for point in points:
        used = {name: point[name] for name in expr.symbols(formula)}
        ours = oracle.value(formula, **used)
        quick, thorough = _WORKING
        if not agree(ours, theirs(point, quick), digits):
            check_agrees(ours, theirs(point, thorough), digits, f"{formula} at {point}")


def check_derivative(formula: Expr, variables: str, points: Sequence[Mapping[str, float]]) -> None:
    """Require the derivative by each variable in turn to be SymPy's.

    Args:
        formula: What is differentiated.
        variables: Names, separated by spaces: ``"z z beta"``.
        points: Where to compare, away from kinks; at least one.
    """
    assert points
    ours, theirs = formula, to_sympy(formula)
    for variable in variables.split():
        ours = derivative(ours, variable)
        theirs = sympy.diff(theirs, real(variable))
    check_same(ours, theirs, points)


# --- one rule --------------------------------------------------------------------------------------------

SPREAD = (-6.5, -1.75, -0.03125, 0.4, 1.3, 7.25)
"""Points away from the kinks of every composition below."""


def arguments(op: str) -> list[tuple[Expr, Expr]]:
    """Return pairs of inner functions that keep an operation within its domain."""
    names = ("z", "beta")
    plain = [
        parse("z", names),
        parse("beta * z + z**2 - 0.3", names),
        parse("sin(z) - beta * exp(z / 4)", names),
    ]
    positive = [
        parse("z**2 + 0.3", names),
        parse("beta + exp(z / 4)", names),
        parse("beta * (2 + sin(z))", names),
    ]
    inner = positive if op in ("log", "log1p", "sqrt", "div") else plain
    other = [
        parse("2 + beta * cos(z)", names),
        parse("beta * z**2 + 1.5", names),
        parse("3 + sin(beta * z)", names),
    ]
    return list(zip(inner, other, strict=True))


def check_rule(op: str) -> None:
    """Require the rule of one operation to agree with SymPy: by z and by a parameter, twice, in compositions."""
    points = [{"z": z, "beta": beta} for z, beta in zip(SPREAD, (0.25, 0.5, 0.75) * 2, strict=True)]
    for inner, other in arguments(op):
        for formula in operation(op, inner, other):
            for variables in ("z", "z z", "z beta") if inner.op == "symbol" else ("z", "beta"):
                check_derivative(formula, variables, points)


# --- activations -----------------------------------------------------------------------------------------

NEAR = (-40.0, -12.3, -4.6, -2.2, -0.9, -1e-3, 1e-9, 0.3, 2.2, 4.6, 12.3, 40.0)
"""Points away from every kink, with tails, at which every form must have a value."""
FAR = (-1e5, -3000.0, -700.0, -100.0, 100.0, 700.0, 3000.0, 1e5)
"""Points at which a derived form may cancel beyond the digits of the oracle; then nothing is compared."""
GATE = 0.7


def settings_of(activation: Activation) -> list[dict[str, float]]:
    """Return the default parameters and one other choice that the constraints allow."""
    defaults = activation.defaults()
    return [defaults, {name: 0.5 * number + 0.2 for name, number in defaults.items()}] if defaults else [{}]


def points_of(activation: Activation, places: Sequence[float] = NEAR) -> list[dict[str, float]]:
    """Return the places under each choice of parameters, with a second input for a gated pair.

    To the usual places come those a little to either side of each kink: where a wrong one shows.
    """
    if places is NEAR:
        places = [*places, *(float(kink.at) + side / 64 for kink in activation.kinks for side in (-1, 1))]
    gate = {"u": GATE} if activation.kind == "gated" else {}
    return [{"z": z, **gate, **parameters} for parameters in settings_of(activation) for z in places]


def value_at(formula: Expr, point: Mapping[str, float]) -> Any:
    """Return the oracle's value at a point that may name more than the formula uses."""
    return oracle.value(formula, **{name: point[name] for name in expr.symbols(formula)})


def check_activation(activation: Activation, order: int) -> None:
    """Require the derived derivatives by z to be SymPy's, and those by each parameter and input to be, once."""
    check_derivative(activation.formula, " ".join(["z"] * order), points_of(activation))
    if order == 1:
        for name in (*activation.inputs, *activation.defaults()):
            check_derivative(activation.formula, name, points_of(activation))


def check_stable(activation: Activation, order: int) -> int:
    """Require the form that is computed to equal the derived one; return at how many far points it was seen to."""
    used, derived = activation.expression(order), activation.derived(order)
    if used is derived:
        return len(points_of(activation, FAR))
    for point in points_of(activation):
        check_agrees(value_at(used, point), value_at(derived, point), DIGITS, f"{activation.name} at {point}")
    settled = 0
    for point in points_of(activation, FAR):
        try:
            expected = value_at(derived, point)
        except TriodeError:
            continue
        check_agrees(value_at(used, point), expected, DIGITS, f"{activation.name} at {point}")
        settled += 1
    return settled


def check_convention(activation: Activation, order: int, at: float, expected: str) -> None:
    """Require the derivative at a kink to be what is said, a formula in the parameters, at every setting."""
    said = parse(expected, (*activation.defaults(), "u"))
    for point in points_of(activation, (at,)):
        computed = value_at(activation.expression(order), point)
        check_agrees(computed, value_at(said, point), DIGITS, f"{activation.name}, order {order}, at {point}")
