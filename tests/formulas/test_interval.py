"""Enclosures enclose: every operation at the extremes, random formulas on random intervals; and every table is full."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.formulas import FINDS, NAMES, SMALL, check_encloses, check_interval_rule, formulas
from triode import calculus, expr, interval, oracle
from triode.activation import Activation
from triode.adapters import torch_operations
from triode.catalogue import activations, is_curated
from triode.expr import COMPARISONS, OPERATIONS, PRIMITIVES, Expr
from triode.interval import WHOLE, Interval, enclose, enclosures, multiply
from triode.kernels.elementary import DECAYING, PLAIN
from triode.parse import parse

LEAVES = {"constant", "pi", "symbol"}
VALUED = {"constant", "symbol", "power"}
"""Operations that carry a value and are therefore no rows of the tables of plain functions."""


# --- the tables ---


def test_the_operations_are_the_leaves_the_structure_and_the_primitives() -> None:
    structure = {"add", "sub", "mul", "div", "neg", "power", "where"}
    parts = (LEAVES, structure, set(COMPARISONS), set(PRIMITIVES))
    assert set().union(*parts) == OPERATIONS
    assert sum(map(len, parts)) == len(OPERATIONS)
    assert all(name == primitive.name for name, primitive in PRIMITIVES.items())


def test_every_operation_has_a_derivative() -> None:
    assert set(calculus.RULES) == OPERATIONS


def test_every_operation_has_an_enclosure() -> None:
    assert set(interval.RULES) == OPERATIONS - VALUED


def test_every_operation_has_an_exact_value() -> None:
    assert set(oracle.OPERATIONS) == OPERATIONS - VALUED - {"pi"}


def test_every_primitive_has_one_kernel() -> None:
    assert not set(PLAIN) & set(DECAYING)
    assert set(PLAIN) | set(DECAYING) == set(PRIMITIVES)


def test_every_operation_has_its_counterpart_in_pytorch() -> None:
    assert set(torch_operations.OPERATIONS) == OPERATIONS - VALUED - {"pi"}


# --- one operation at the extremes ---


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_a_rule_encloses_at_the_extremes(op: str) -> None:
    check_interval_rule(op)


@pytest.mark.parametrize("op", sorted(name for name, primitive in PRIMITIVES.items() if primitive.arity == 1))
def test_a_rule_encloses_between_the_extremes(op: str) -> None:
    formula = expr.call(op, expr.symbol("z"))
    for exponent in range(-60, 62):
        for sign in (1.0, -1.0):
            z = sign * 1.37 * 2.0**exponent
            check_encloses(formula, {"z": Interval(z, z)}, {"z": z})


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        # Far enough inside the range that the margin of an enclosure cannot reach it.
        ("exp(z)", 0.0, 0.4),
        ("tanh(z)", -1.0, -0.7),
        ("sigmoid(z)", 0.0, 0.3),
        ("ndtr(z)", 0.0, 0.2),
        ("z**2", 0.99, math.inf),
        ("abs(z)", 0.99, math.inf),
        ("1 / z", -1.01, 0.0),
        ("atan(z)", -1.6, -0.7),
        ("erfc(z)", 1.8, 2.0),
        ("max(z, -4)", -4.0, -1.0),
        ("gaussian(z)", 0.0, 0.4),
    ],
)
def test_a_half_line_is_enclosed_usefully(text: str, low: float, high: float) -> None:
    found = enclose(parse(text), {"z": Interval(-math.inf, -1.0)})
    assert low <= found.low + 1e-300
    assert found.high <= high + 1e-300


def test_an_unknown_symbol_may_be_anything() -> None:
    assert enclose(parse("z"), {}) == WHOLE
    assert enclose(parse("u - z", NAMES), {"u": Interval(0, 1)}) == WHOLE
    assert enclose(parse("1 / z"), {"z": Interval(-1, 1)}) == WHOLE
    assert enclose(parse("log(z)"), {"z": Interval(-2, -1)}) == WHOLE


@pytest.mark.parametrize("text", ["1 + exp(z)", "2 + sin(z)", "1 + z**2", "1 + abs(z)", "3 - tanh(z)"])
def test_what_cannot_vanish_is_seen_not_to(text: str) -> None:
    found = enclose(parse(text), {})
    assert found.low > 0.99
    assert 0.0 not in found


def test_a_product_of_a_node_with_itself_is_a_square() -> None:
    assert enclose(parse("z * z"), {"z": Interval(-2, 1)}).low == 0.0
    assert enclose(parse("z * u", NAMES), {"z": Interval(-2, 1), "u": Interval(-2, 1)}).low <= -2.0


def test_a_product_with_zero_is_zero() -> None:
    zero = Interval(0.0, 0.0)
    assert multiply(zero, WHOLE) == zero
    assert multiply(Interval(0.0, 1.0), Interval(0.0, math.inf)).low == 0.0
    assert multiply(Interval(-1.0, 1.0), Interval(2.0, math.inf)) == WHOLE


@pytest.mark.parametrize("number", ["1e309", "1e320", "-1e309", "1e-320", "0.1", "1 / 3", "1e300"])
def test_a_number_of_any_size_is_enclosed(number: str) -> None:
    formula = parse(number)
    exact = expr.rational(formula)
    assert exact is not None
    found = enclose(formula, {})
    assert found.low <= exact <= found.high


def test_bounded_means_finite_ends() -> None:
    assert Interval(-1.0, 1.0).bounded
    assert not Interval(-1.0, math.inf).bounded
    assert not WHOLE.bounded
    assert math.inf in WHOLE


# --- random formulas ---

ENDS = st.one_of(
    st.sampled_from([-math.inf, math.inf, 0.0, -1.0, 1.0]), st.floats(-40, 40, allow_subnormal=False)
)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[dict[str, Interval], dict[str, float]]:
    """An interval for each name, often infinite or a single point, and a point of the box."""
    box, point = {}, {}
    for name in NAMES:
        low, high = sorted((draw(ENDS), draw(ENDS)))
        if draw(st.integers(0, 3)) == 0 and math.isfinite(low):
            high = low
        inside = draw(st.floats(0, 1))
        a, b = max(low, -50.0), min(high, 50.0)
        value = min(max(a + inside * (b - a), low), high)
        if not math.isfinite(value):
            low = high = value = 1.5
        box[name], point[name] = Interval(low, high), value
    return box, point


def test_random_formulas_are_enclosed() -> None:
    settled = 0

    @settings(FINDS, max_examples=150)
    @given(formulas(size=8, numbers=SMALL), boxes())
    def check(formula: Expr, drawn: tuple[dict[str, Interval], dict[str, float]]) -> None:
        nonlocal settled
        settled += check_encloses(formula, *drawn)

    check()
    assert settled >= 400


@settings(FINDS, max_examples=60)
@given(st.sampled_from([a for a in activations() if is_curated(a.name) and a.kind != "normalising"]), boxes())
def test_derivatives_of_activations_are_enclosed(
    activation: Activation, drawn: tuple[dict[str, Interval], dict[str, float]]
) -> None:
    box, point = drawn
    names = dict.fromkeys(activation.defaults(), 0.75)
    box = {"z": box["z"], "u": box["u"]} | {name: Interval(value, value) for name, value in names.items()}
    point = {"z": point["z"], "u": point["u"]} | names
    assert check_encloses(activation.expression(1), box, point) >= 1


@settings(FINDS, max_examples=80)
@given(formulas(size=12, numbers=SMALL), boxes(), boxes())
def test_a_wider_box_has_a_wider_enclosure(
    formula: Expr,
    first: tuple[dict[str, Interval], dict[str, float]],
    second: tuple[dict[str, Interval], dict[str, float]],
) -> None:
    # Where a logarithm has no value at all it is enclosed by the whole line, wider than where it has some.
    if any(node.op in ("log", "log1p") for node in expr.postorder(formula)):
        return
    wide = {
        name: Interval(min(a.low, second[0][name].low), max(a.high, second[0][name].high))
        for name, a in first[0].items()
    }
    inner, outer = enclosures(formula, first[0]), enclosures(formula, wide)
    for node, found in inner.items():
        assert outer[node].low <= found.low, f"{node}: {outer[node]} for {wide} lacks {found} for {first[0]}"
        assert outer[node].high >= found.high, (
            f"{node}: {outer[node]} for {wide} lacks {found} for {first[0]}"
        )


@settings(FINDS, max_examples=100)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_arithmetic_of_points_encloses_the_exact_result(a: float, b: float) -> None:
    x, y = Fraction(a), Fraction(b)
    box = {"z": Interval(a, a), "u": Interval(b, b)}
    exact = {"z + u": x + y, "z - u": x - y, "z * u": x * y, "z**2": x**2, "z**3": x**3, "-z": -x}
    if y:
        exact["z / u"] = x / y
    for text, value in exact.items():
        found = enclose(parse(text, NAMES), box)
        assert found.low <= value <= found.high, f"{text} is {value}, outside {found} of {box}"
