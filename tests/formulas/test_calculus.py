"""Every rule of differentiation against SymPy, every activation against its textbook form, every stable form."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from support.differentiation import (
    FAR,
    TEXTBOOK,
    check_activation,
    check_agrees,
    check_convention,
    check_rule,
    check_same,
    check_stable,
    points_of,
    real,
    settings_of,
    to_sympy,
    value_at,
)
from support.formulas import FINDS, SMALL, exact, formulas
from support.textbook import DEFINITIONS, check_definition
from triode import calculus, expr, oracle
from triode.activation import Activation
from triode.calculus import derivative
from triode.catalogue import activations, get, is_curated
from triode.errors import TriodeError
from triode.parse import parse

POINTWISE = [a for a in activations() if is_curated(a.name) and a.kind != "normalising"]


def name_of(activation: Activation) -> str:
    return activation.name


every_pointwise = pytest.mark.parametrize("activation", POINTWISE, ids=name_of)


# --- the rules ---


def test_every_operation_has_a_textbook_definition() -> None:
    assert set(TEXTBOOK) | {"constant", "pi", "symbol", "power"} == expr.OPERATIONS


@pytest.mark.parametrize("op", sorted(calculus.RULES))
def test_a_rule_is_that_of_sympy(op: str) -> None:
    check_rule(op)


@pytest.mark.parametrize("op", sorted(expr.PRIMITIVES))
def test_a_primitive_means_what_the_textbook_says(op: str) -> None:
    z = expr.symbol("z")
    formula = expr.call(op, *(z, expr.lift(0))[: expr.PRIMITIVES[op].arity])
    places = (0.1, 1.7, 30.0) if op in ("log", "sqrt") else (-0.9, 0.1, 1.7, 30.0)
    check_same(formula, to_sympy(formula), [{"z": place} for place in places])


@pytest.mark.parametrize(
    "text",
    [
        "sqrt(z**2 + 1)",
        "log(z**2 + beta**2)",
        "atan(beta * z)",
        "asinh(z)",
        "cauchy_pdf(z)",
        "segment_area(z)",
        "sin(z) * cos(beta * z)",
        "gaussian(z)",
        "normal_pdf(beta * z)",
        "erfc(z) + erf(z)",
        "z**7 - beta / z**3",
    ],
)
@pytest.mark.parametrize("variable", ["z", "beta"])
def test_a_derivative_is_sympys_symbol_by_symbol(text: str, variable: str) -> None:
    formula = parse(text, ("z", "beta"))
    difference = to_sympy(derivative(formula, variable)) - sympy.diff(to_sympy(formula), real(variable))
    assert sympy.simplify(difference) == 0


STEP = Fraction(1, 2**40)


def slope_by_differences(formula: expr.Expr, variable: str, point: dict[str, Fraction]) -> Any:
    """Return (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h; with h = 2^-40 its error is 3e-50 f'''''."""
    sides = [oracle.value(formula, **{**point, variable: point[variable] + k * STEP}) for k in (-2, -1, 1, 2)]
    with mpmath.workdps(60):
        return (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) * 2**40 / 12


def test_random_compositions_are_those_of_numeric_differentiation() -> None:
    compared = 0

    @settings(FINDS, max_examples=150)
    @given(
        formulas(("z", "beta"), size=7, numbers=SMALL),
        st.sampled_from(["z", "beta", "z z", "z beta"]),
        st.fractions(-2, 2, max_denominator=100),
    )
    def compare(formula: expr.Expr, variables: str, z: Fraction) -> None:
        nonlocal compared
        # No kink of a small formula is as near to these points as the steps are.
        point = {"z": z + Fraction(1, 997), "beta": Fraction(1009, 991)}
        *earlier, last = variables.split()
        for variable in earlier:
            formula = derivative(formula, variable)
        slope = derivative(formula, last)
        ours = exact(slope, point)
        sizes = [abs(found) for node in numeric(slope) if (found := exact(node, point)) is not None]
        if slope is expr.ZERO or ours is None or max(sizes) > 1e6:
            return
        theirs = slope_by_differences(formula, last, point)
        compared += 1
        # Values are good to 45 digits, so that the quotient is good to 1e-33 of the largest value on the way.
        size = 1 + max(sizes)
        assert abs(ours - theirs) <= 1e-25 * size, f"{formula} by {last} at {point}: {ours} is not {theirs}"

    compare()
    assert compared >= 40


def numeric(formula: expr.Expr) -> list[expr.Expr]:
    return [node for node in expr.postorder(formula) if node.op not in expr.COMPARISONS]


def test_higher_orders_are_repeated_first_ones() -> None:
    formula = parse("z**3 * tanh(z)")
    assert derivative(formula, order=0) is formula
    assert derivative(formula, order=3) is derivative(derivative(derivative(formula)))
    assert derivative(parse("z**3"), order=4) is expr.ZERO
    with pytest.raises(ValueError, match="-1 was given"):
        derivative(formula, order=-1)


def test_what_does_not_depend_on_the_variable_has_derivative_zero() -> None:
    formula = parse("max(u, 0) * exp(sin(u)) / sqrt(u)", ("z", "u"))
    assert derivative(formula, "z") is expr.ZERO
    assert derivative(formula, "nowhere") is expr.ZERO


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        # At a tie the second argument's derivative is taken.
        ("max(z, 0)", 0, 0),
        ("max(0, z)", 0, 1),
        ("min(z, 0)", 0, 0),
        ("min(0, z)", 0, 1),
        ("abs(z)", 0, 0),
        ("sign(z)", 0, 0),
        # where: the derivative of the branch that is taken.
        ("where(z > 0, z, 3 * z)", 0, 3),
        ("where(z >= 0, z, 3 * z)", 0, 1),
        ("where(z < 0, z, 3 * z)", 0, 3),
        ("where(z <= 0, z, 3 * z)", 0, 1),
    ],
)
def test_conventions_of_the_rules_at_kinks(text: str, at: int, expected: int) -> None:
    assert value_at(derivative(parse(text)), {"z": at}) == expected


# --- the catalogue ---


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_a_formula_is_that_of_the_textbook(name: str) -> None:
    check_definition(get(name))


@pytest.mark.parametrize("order", [1, 2])
@every_pointwise
def test_derivatives_of_an_activation_are_sympys(activation: Activation, order: int) -> None:
    check_activation(activation, order)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@every_pointwise
def test_what_is_computed_equals_what_is_derived(activation: Activation, order: int) -> None:
    settled = check_stable(activation, order)
    # gelu_tanh cancels beyond 2,500 digits from |z| = 50 on, as it is written; everything else is seen whole.
    wanted = len(points_of(activation, FAR))
    assert settled == wanted or activation.name == "gelu_tanh", f"{settled} of {wanted} far points settled"


def test_the_stable_forms_are_not_all_of_one_kind() -> None:
    orders = {order for activation in POINTWISE for order in activation.stable}
    assert orders >= {0, 1, 2}
    for activation in POINTWISE:
        for order, form in activation.stable.items():
            assert activation.expression(order) is form


CONVENTIONS = [
    ("relu", 1, 0, "0"),
    ("relu", 2, 0, "0"),
    ("leaky_relu", 1, 0, "alpha"),
    ("prelu", 1, 0, "alpha"),
    ("rrelu", 1, 0, "(lower + upper) / 2"),
    ("relu6", 1, 0, "0"),
    ("relu6", 1, 6, "0"),
    ("squared_relu", 1, 0, "0"),
    ("squared_relu", 2, 0, "0"),
    ("elu", 1, 0, "alpha"),
    ("elu", 2, 0, "alpha"),
    ("celu", 1, 0, "1"),
    ("celu", 2, 0, "1 / alpha"),
    ("hard_sigmoid", 1, -3, "0"),
    ("hard_sigmoid", 1, 3, "0"),
    ("hard_swish", 1, -3, "0"),
    ("hard_swish", 1, 3, "1"),
    ("hard_tanh", 1, -1, "0"),
    ("hard_tanh", 1, 1, "0"),
    ("softsign", 1, 0, "1"),
    ("softsign", 2, 0, "0"),
    ("laplace_gelu", 1, 0, "1 / 2"),
    ("laplace_gelu", 2, 0, "1"),
    ("laplace_gelu", 3, 0, "-3 / 2"),
    ("reglu", 1, 0, "0"),
]


@pytest.mark.parametrize(("name", "order", "at", "expected"), CONVENTIONS)
def test_a_derivative_at_a_kink_is_what_is_agreed(name: str, order: int, at: float, expected: str) -> None:
    check_convention(get(name), order, at, expected)


def test_every_kink_has_an_agreed_value() -> None:
    agreed = {(name, order, at) for name, order, at, _ in CONVENTIONS}
    for activation in POINTWISE:
        if activation.name in DEFINITIONS and activation.name != "selu":
            assert {(activation.name, kink.order, int(kink.at)) for kink in activation.kinks} <= agreed
    # selu's left limit is the product of its two constants.
    product = parse("1.0507009873554804934193349852946 * 1.6732632423543772848170429916717")
    check_agrees(value_at(get("selu").expression(1), {"z": 0}), value_at(product, {}), 28, "selu'(0)")


def test_mixed_partials_commute() -> None:
    swish, glu = get("swish"), get("glu")
    for point in points_of(swish):
        first, second = swish.partial(("z", "beta")), swish.partial(("beta", "z"))
        assert first is second
        other = derivative(derivative(swish.formula, "beta"), "z")
        check_agrees(value_at(first, point), value_at(other, point), 40, "swish")
    assert glu.partial(("u", "z")) is glu.partial(("z", "u"))


def test_a_derivative_by_a_parameter_reads_the_stable_form() -> None:
    gelu_tanh = Activation("planted", "z * (1 + tanh(beta * z)) / 2", parameters=get("swish").parameters)
    for point in points_of(gelu_tanh):
        check_agrees(
            value_at(gelu_tanh.partial(("beta",)), point),
            value_at(parse("z**2 * 2 * logistic_pdf(2 * beta * z)", ("z", "beta")), point),
            40,
            "by beta",
        )


def test_the_other_setting_of_parameters_is_another() -> None:
    for activation in POINTWISE:
        if activation.parameters:
            first, second = settings_of(activation)
            assert all(first[name] != second[name] for name in first)
            assert activation.check_parameters(second) == second


def test_a_wrong_order_is_refused() -> None:
    for order in (-1, 9, 1.5, True, "1"):
        with pytest.raises(TriodeError, match="the order must be a whole number from 0 to 8"):
            get("gelu").expression(order)  # type: ignore[arg-type]
