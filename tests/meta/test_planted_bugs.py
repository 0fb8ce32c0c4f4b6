"""The checks of formulas are checked: each planted error must be found by the check that the tests use."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from support.catalogue import ALIASES, check_alias, check_unique
from support.differentiation import check_activation, check_agrees, check_convention, check_rule, check_stable
from support.formulas import check_encloses, check_interval_rule, check_latex, check_round_trip
from support.textbook import check_definition
from triode import calculus, catalogue, expr, interval, notation, oracle
from triode.activation import Activation
from triode.calculus import Rule
from triode.catalogue import get
from triode.expr import Expr, call
from triode.interval import Interval
from triode.parse import parse


def redeclared(name: str, *replacements: tuple[str, str], stable: dict[int, str] | None = None) -> Activation:
    """A curated activation declared again, with pieces of its formula replaced or another stable form."""
    true = get(name)
    text = str(true.formula)
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    forms = {order: str(form) for order, form in true.stable.items()} | (stable or {})
    return Activation(
        name, text, parameters=true.parameters, kinks=true.kinks, stable=forms, inputs=true.inputs
    )


# --- derivatives ---


def scaled(op: str, by: Fraction) -> Rule:
    """The rule of an operation, with its result multiplied."""
    true = calculus.RULES[op]
    return lambda node, args, inner: expr.lift(by) * true(node, args, inner)


def only_first(op: str) -> Rule:
    """The rule of an operation that forgets its second argument."""
    true = calculus.RULES[op]
    return lambda node, args, inner: true(node, args, (inner[0], expr.ZERO))


def chainless(outer: Callable[[Expr], Expr]) -> Rule:
    """A rule that forgets the inner derivative."""
    return lambda node, args, inner: outer(args[0])


WRONG_RULES: dict[str, tuple[str, Callable[[], Rule]]] = {
    # A thousandth, and a part in 10^38: the check allows one in 10^40.
    "power, 2.001 for 2": ("power", lambda: scaled("power", Fraction(2001, 2000))),
    "tanh, last digits": ("tanh", lambda: scaled("tanh", 1 + Fraction(1, 10**38))),
    "erf, last digits": ("erf", lambda: scaled("erf", 1 + Fraction(1, 10**38))),
    "sin, sign": ("sin", lambda: scaled("sin", Fraction(-1))),
    "mul, half": ("mul", lambda: only_first("mul")),
    "div, half": ("div", lambda: only_first("div")),
    "sub, sum": ("sub", lambda: calculus.RULES["add"]),
    "exp, no chain": ("exp", lambda: chainless(lambda x: call("exp", x))),
    "atan, no chain": ("atan", lambda: chainless(lambda x: 1 / (1 + x**2))),
    "max, min": ("max", lambda: calculus.RULES["min"]),
    "where, branches": ("where", lambda: lambda node, args, inner: expr.where(args[0], inner[2], inner[1])),
    "abs, one": ("abs", lambda: lambda node, args, inner: inner[0]),
    "sign, one": ("sign", lambda: lambda node, args, inner: inner[0]),
    "softplus, tanh": ("softplus", lambda: chainless(lambda x: call("tanh", x))),
    "neg, identity": ("neg", lambda: lambda node, args, inner: inner[0]),
}


@pytest.mark.parametrize("what", WRONG_RULES)
def test_a_wrong_derivative_is_found(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    op, make = WRONG_RULES[what]
    check_rule(op)
    monkeypatch.setitem(calculus.RULES, op, make())
    with pytest.raises(AssertionError, match="is not"):
        check_rule(op)


@pytest.mark.parametrize(
    ("op", "name"), [("ndtr", "gelu"), ("softplus", "mish"), ("mul", "swiglu"), ("where", "celu")]
)
def test_a_wrong_derivative_is_found_in_an_activation(
    monkeypatch: pytest.MonkeyPatch, op: str, name: str
) -> None:
    wrong = scaled(op, Fraction(2001, 2000))
    monkeypatch.setitem(calculus.RULES, op, wrong)
    with pytest.raises(AssertionError, match="is not"):
        check_activation(redeclared(name), 1)


def test_a_wrong_second_derivative_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calculus.RULES, "logistic_pdf", scaled("logistic_pdf", Fraction(2001, 2000)))
    check_activation(redeclared("sigmoid"), 1)
    with pytest.raises(AssertionError, match="is not"):
        check_activation(redeclared("sigmoid"), 2)


# --- declarations ---


@pytest.mark.parametrize(
    ("name", "formula", "order", "at", "agreed"),
    [
        ("relu", "where(z >= 0, z, 0)", 1, 0, "0"),
        ("leaky_relu", "where(z >= 0, z, alpha * z)", 1, 0, "alpha"),
        ("relu6", "min(6, max(z, 0))", 1, 6, "0"),
        ("hard_swish", "where(z <= -3, 0, where(z > 3, z, z * (z + 3) / 6))", 1, 3, "1"),
        ("elu", "where(z >= 0, z, alpha * expm1(z))", 2, 0, "alpha"),
        ("squared_relu", "where(z >= 0, z**2, 0)", 2, 0, "0"),
    ],
)
def test_a_wrong_convention_at_a_kink_is_found(
    name: str, formula: str, order: int, at: float, agreed: str
) -> None:
    check_convention(get(name), order, at, agreed)
    wrong = Activation(name, formula, parameters=get(name).parameters)
    check_definition(wrong)  # the function is the same: only the convention differs
    with pytest.raises(AssertionError, match="is not"):
        check_convention(wrong, order, at, agreed)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("selu", "1.0507009873554804934193349852946", "1.0507009873554804934193349853"),
        ("selu", "1.6732632423543772848170429916717", "1.67326"),
        ("gelu_tanh", "0.044715", "0.0447"),
        ("gelu_tanh", "2 / pi", "0.6366"),
        ("rrelu", "0.5", "0.5000001"),
        ("hard_sigmoid", "6", "5"),
        ("hard_swish", "-3", "-2.9"),
        ("relu6", "6", "6.0001"),
        ("mish", "softplus", "sigmoid"),
        ("glu", "sigmoid(u)", "sigmoid(z)"),
        ("swish", "beta * z", "z"),
    ],
)
def test_a_wrong_constant_is_found(name: str, old: str, new: str) -> None:
    check_definition(redeclared(name))
    with pytest.raises(AssertionError, match="is not"):
        check_definition(redeclared(name, (old, new)))


@pytest.mark.parametrize(
    ("name", "order", "form"),
    [
        ("softsign", 1, "(1 / (1 + z))**2"),
        ("softsign", 1, "1 / (1 + abs(z))"),
        ("celu", 1, "where(z > 0, 1, exp(z))"),
        ("gelu_tanh", 0, "z * sigmoid(2 * sqrt(2 / pi) * (z + 0.0447 * z**3))"),
        ("mish", 0, "where(z < 0, z * exp(z) * (exp(z) + 2) / (exp(z) * (exp(z) + 2) + 2), z)"),
        ("cauchy_gelu", 1, "cauchy_cdf(z) + z * cauchy_pdf(z) * 1.0000000000000000000000000000000000000001"),
        ("cauchy_gelu", 2, "2 * pi * cauchy_pdf(z)**3"),
        ("laplace_gelu", 0, "where(z < 0, z * exp(z) / 2, z)"),
    ],
)
def test_a_wrong_stable_form_is_found(name: str, order: int, form: str) -> None:
    check_stable(redeclared(name), order)
    with pytest.raises(AssertionError, match="is not"):
        check_stable(redeclared(name, stable={order: form}), order)


# --- names ---


def test_a_wrong_alias_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check_unique()
    check_alias("silu", ALIASES["silu"])
    monkeypatch.setitem(catalogue._aliases, "silu", "gelu")
    with pytest.raises(AssertionError, match="silu resolves to gelu, not swish"):
        check_alias("silu", ALIASES["silu"])
    with pytest.raises(AssertionError):
        check_unique()


def test_an_alias_that_shadows_a_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get("swish"), "aliases", ("silu", "mish"))
    with pytest.raises(AssertionError, match="declared twice"):
        check_unique()


# --- enclosures ---


WRONG_ENCLOSURES: dict[str, tuple[str, Callable[..., Interval]]] = {
    "too small a peak": ("logistic_pdf", lambda x: Interval(0.0, 0.2499)),
    "decreasing": ("erfc", lambda x: Interval(math.erfc(x.low), math.erfc(x.high))),
    "not rounded outward": ("tanh", lambda x: Interval(math.tanh(x.low), math.tanh(x.high))),
    "ends without the middle": (
        "abs",
        lambda x: Interval(min(abs(x.low), abs(x.high)), max(abs(x.low), abs(x.high))),
    ),
    "signs forgotten": ("mul", lambda a, b: Interval(a.low * b.low, a.high * b.high)),
    "zero forgotten": (
        "div",
        lambda a, b: interval.multiply(a, Interval(1 / (b.high or 1), 1 / (b.low or 1))),
    ),
    "crossed ends": ("sub", lambda a, b: Interval(a.low - b.low, a.high - b.high)),
    "half a sine": ("sin", lambda x: Interval(0.0, 1.0)),
    "one branch": ("where", lambda condition, a, b: a),
    "the larger": ("min", lambda a, b: Interval(max(a.low, b.low), max(a.high, b.high))),
    "pi in a float": ("pi", lambda: Interval(math.pi, math.pi)),
}


@pytest.mark.parametrize("what", WRONG_ENCLOSURES)
def test_a_wrong_enclosure_is_found(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    op, rule = WRONG_ENCLOSURES[what]
    check_interval_rule(op)
    monkeypatch.setitem(interval.RULES, op, rule)
    with pytest.raises(AssertionError, match="outside"):
        check_interval_rule(op)


def test_a_node_outside_its_enclosure_is_found_within_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    formula, box, point = parse("0 * z + max(sigmoid(3 * z), 0.1)"), {"z": Interval(-1, 1)}, {"z": 0.5}
    assert check_encloses(formula, box, point) >= 4
    monkeypatch.setitem(interval.RULES, "sigmoid", lambda x: Interval(0.0, 0.5))
    with pytest.raises(AssertionError, match=r"sigmoid\(3 \* z\) is 0\.81"):
        check_encloses(formula, box, point)


# --- text ---


def test_a_lost_parenthesis_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    formula = parse("z - (z - 1)")
    check_round_trip(formula)
    monkeypatch.setattr(notation, "to_text", lambda root: "z - z - 1")
    with pytest.raises(AssertionError, match="is read back as"):
        check_round_trip(formula)


UNSOUND = (
    "",
    " ",
    "{z",
    "z}",
    r"\left(z",
    r"z\right)",
    r"\frac{z}{2",
    r"\left(\frac{z\right)}{2}",
    "e^{z}^{2}",
    "√z",
)
UNENDED = (r"\begin{cases}z", r"\begin{cases}z\end{array}", r"z\end{cases}", "z^{2}^2", "{}")


@pytest.mark.parametrize("text", [*UNSOUND, *UNENDED])
def test_unsound_latex_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        check_latex(text)


def test_sound_latex_is_not_found() -> None:
    check_latex(r"\begin{cases}\left(e^{z}\right)^{2} & z \ge 0 \\ x_{1}^2 & \text{otherwise}\end{cases}")


def exactly(text: str) -> Any:
    return oracle.value(parse(text))


def test_numbers_that_differ_are_found_to() -> None:
    check_agrees(exactly("1"), exactly("1 + 1e-41"), 40, "near enough")
    check_agrees(exactly("0"), exactly("1e-300") ** 4, 40, "both below every product of floats")
    with pytest.raises(AssertionError, match="nearly: "):
        check_agrees(exactly("1"), exactly("1 + 1e-39"), 40, "nearly")
    with pytest.raises(AssertionError, match="zero: "):
        check_agrees(exactly("0"), exactly("1e-300"), 40, "zero")


def test_a_declaration_that_is_planted_in_is_true() -> None:
    for name in ("selu", "gelu_tanh", "mish", "celu"):
        again = redeclared(name)
        assert again.formula is get(name).formula
        assert again.stable == get(name).stable
