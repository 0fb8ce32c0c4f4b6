"""Expressions: one object for equal ones, nothing changes them, numbers exact, text and LaTeX sound."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.formulas import FINDS, NAMES, NUMBERS, SMALL, check_latex, check_round_trip, exact, formulas
from triode import expr
from triode.activation import Activation
from triode.catalogue import activations, is_curated
from triode.expr import OPERATIONS, PRIMITIVES, Expr, constant, rational, symbol
from triode.notation import to_latex
from triode.parse import parse

z, u = symbol("z"), symbol("u")
ALL = [activation for activation in activations() if is_curated(activation.name)]


def name_of(activation: Activation) -> str:
    return activation.name


# --- identity ---


@settings(FINDS, max_examples=150)
@given(formulas())
def test_equal_formulas_are_one_object(formula: Expr) -> None:
    again = expr.fold(formula, expr.rebuild)
    assert again is formula
    assert copy.copy(formula) is formula
    assert copy.deepcopy(formula) is formula
    assert copy.deepcopy({"kept": [formula]})["kept"][0] is formula
    assert pickle.loads(pickle.dumps(formula)) is formula


def test_equality_is_identity_and_hashable() -> None:
    assert parse("z + 1") == parse(" z+1.0 ")
    assert parse("z + 1") != parse("1 + z")
    assert len({parse("z * z"), parse("z*z"), parse("z * z * z")}) == 2


def test_interning_keeps_nothing_alive_and_survives_collection() -> None:
    def kept() -> int:
        gc.collect()
        return len(expr._interned)

    before = kept()
    made = parse("tanh(" * 20 + "z * 0.6180339887" + ")" * 20)
    assert kept() > before
    del made
    assert kept() == before
    assert parse("z * 0.6180339887") is parse("z*0.6180339887")


def test_threads_make_one_object() -> None:
    found: list[Expr] = []
    ready = threading.Barrier(8)

    def make() -> None:
        ready.wait()
        found.extend(parse(f"sin(z + {number}) * 0.3141592653") for number in range(40))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 320
    assert len(set(found)) == 40


def test_a_pickle_from_another_process_is_interned(tmp_path: Path) -> None:
    code = (
        "import pickle, sys; from triode.parse import parse; "
        "sys.stdout.buffer.write(pickle.dumps(parse('z * tanh(softplus(0.25 * z)) / 3')))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path).stdout
    assert pickle.loads(made) is parse("z * tanh(softplus(0.25 * z)) / 3")


@pytest.mark.parametrize("name", ["op", "args", "value", "anything"])
def test_an_expression_cannot_be_changed(name: str) -> None:
    formula = parse("z + 123.25")
    before = (formula.op, formula.args, formula.value)
    with pytest.raises(AttributeError):
        setattr(formula, name, "sub")
    with pytest.raises(AttributeError):
        delattr(formula, name)
    assert (formula.op, formula.args, formula.value) == before


def test_a_deep_expression_is_walked_and_freed_without_recursion() -> None:
    formula = z
    for _ in range(50_000):
        formula = expr.call("tanh", formula)
    assert sum(1 for _ in expr.postorder(formula)) == 50_001
    assert expr.symbols(formula) == {"z"}
    assert expr.substitute(formula, {"z": u}).op == "tanh"
    del formula
    gc.collect()


def test_a_deep_expression_is_written_without_recursion() -> None:
    formula = z
    for _ in range(3000):
        formula = expr.call("tanh", formula)
    assert str(formula) == "tanh(" * 3000 + "z" + ")" * 3000
    check_latex(to_latex(formula))


def test_a_shared_expression_is_walked_once() -> None:
    formula = z
    for _ in range(200):
        formula = formula * formula
    assert sum(1 for _ in expr.postorder(formula)) == 201
    assert expr.substitute(formula, {"z": constant(1)}) is expr.ONE


# --- numbers ---


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.044715", Fraction(44715, 1000000)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("007", Fraction(7)),
        ("1e-3", Fraction(1, 1000)),
        ("2.5E+2", Fraction(250)),
        ("1e320", Fraction(10**320)),
        ("1e-320", Fraction(1, 10**320)),
        ("1.0507009873554804934193349852946", Fraction(10507009873554804934193349852946, 10**31)),
        ("1 / 3", Fraction(1, 3)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("0.1 * 3 - 0.3", Fraction(0)),
        ("(2 / 3)**-2", Fraction(9, 4)),
        ("-(1 / 7)", Fraction(-1, 7)),
    ],
)
def test_a_number_is_an_exact_rational(text: str, number: Fraction) -> None:
    formula = parse(text)
    assert rational(formula) == number
    assert formula is constant(number)


def test_only_a_constant_is_a_number() -> None:
    assert rational(parse("pi")) is None
    assert rational(parse("z**2")) is None
    assert rational(parse("z - z")) is None


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (Fraction(1, 3), 1 / 3),
        (Fraction(10**400), float("inf")),
        (Fraction(-(10**400)), float("-inf")),
        (Fraction(1, 10**400), 0.0),
        (Fraction(2**1024 - 2**971), sys.float_info.max),
        (Fraction(1, 2**1074), 5e-324),
    ],
)
def test_to_float_is_the_nearest_or_an_infinity(value: Fraction, nearest: float) -> None:
    assert expr.to_float(value) == nearest


# --- simplification ---


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("z + 0", "z"),
        ("0 + z", "z"),
        ("z - 0", "z"),
        ("0 - z", "-z"),
        ("z * 1", "z"),
        ("1 * z", "z"),
        ("z * 0", "0"),
        ("0 / z", "0"),
        ("z / 1", "z"),
        ("z / 4", "0.25 * z"),
        ("z / 3", "z / 3"),
        ("z / -2", "-0.5 * z"),
        ("z * 2", "2 * z"),
        ("2 * (z * 3)", "6 * z"),
        ("--z", "z"),
        ("-(z - u)", "u - z"),
        ("z + -u", "z - u"),
        ("z - -u", "z + u"),
        ("-z * -u", "z * u"),
        ("-z / u", "-z / u"),
        ("z / -u", "-z / u"),
        ("-2 * z", "-2 * z"),
        ("z**0", "1"),
        ("z**1", "z"),
        ("z**-2", "1 / z**2"),
        ("where(z > 0, u, u)", "u"),
        # What is not exact for every real argument is left alone.
        ("z - z", "z - z"),
        ("z / z", "z / z"),
        ("z + z", "z + z"),
        ("log(exp(z))", "log(exp(z))"),
        ("sqrt(z)**2", "sqrt(z)**2"),
        ("(z + 1) + 2", "z + 1 + 2"),
        ("z * (0.1 * u)", "z * (0.1 * u)"),
    ],
)
def test_what_is_simplified(text: str, simple: str) -> None:
    assert str(parse(text, NAMES)) == simple


@settings(FINDS, max_examples=60)
@given(
    formulas(size=5, numbers=SMALL), formulas(size=5, numbers=SMALL), st.fractions(-3, 3, max_denominator=20)
)
def test_simplification_keeps_the_value(a: Expr, b: Expr, at: Fraction) -> None:
    point = {"z": at + Fraction(1, 997), "u": Fraction(-7, 5), "beta": Fraction(9, 4)}
    # A fresh symbol in the place of an operand keeps the constructor from simplifying.
    plain = {"a": symbol("a"), "b": symbol("b")}
    values = {"a": exact(a, point), "b": exact(b, point)}
    if None in values.values() or not values["b"] or max(map(abs, values.values())) > 1e4:
        return
    for build in (expr.add, expr.sub, expr.mul, expr.div):
        simplified = exact(build(a, b), point)
        expected = exact(build(plain["a"], plain["b"]), values)
        if simplified is None or expected is None:
            continue
        size = max(1, *map(abs, values.values()))
        assert abs(simplified - expected) <= abs(expected) * 1e-40 + size * 1e-40


def test_powers_of_numbers_stop_growing() -> None:
    tower = parse("((9**32)**32)**32")
    assert tower.op == "power"
    numbers = [rational(node) for node in expr.postorder(tower) if node.op == "constant"]
    assert numbers == [9**32]  # the next power would have 977 digits, which the parser refuses to read back
    assert parse(str(tower)) is tower
    assert rational(parse("2**32")) == 2**32


def test_operators_are_the_constructors() -> None:
    assert (z + 1, 1 + z, z - 1, 1 - z) == (
        parse("z + 1"),
        parse("1 + z"),
        parse("z - 1"),
        parse("1 - z"),
    )
    assert (z * 2, 2 * z, z / 3, 3 / z, -z, z**3) == tuple(
        parse(text) for text in ("z * 2", "2 * z", "z / 3", "3 / z", "-z", "z**3")
    )


def test_a_wrong_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="'eq' is no comparison"):
        expr.compare("eq", z, u)
    with pytest.raises(ValueError, match="'tan' with 1 arguments"):
        expr.call("tan", z)
    with pytest.raises(ValueError, match="'tanh' with 2 arguments"):
        expr.call("tanh", z, u)


def test_substitution_simplifies_again() -> None:
    formula = parse("beta * z + where(z > beta, z**2, beta)", NAMES)
    assert expr.substitute(formula, {"beta": expr.ZERO}) is parse("where(z > 0, z**2, 0)")
    assert expr.substitute(formula, {"z": z}) is formula


# --- text ---


def test_the_random_formulas_have_every_operation() -> None:
    seen: set[str] = set()

    @settings(FINDS, max_examples=500)
    @given(formulas())
    def collect(formula: Expr) -> None:
        seen.update(node.op for node in expr.postorder(formula))

    collect()
    assert seen == OPERATIONS


@settings(FINDS, max_examples=400)
@given(formulas())
def test_text_is_read_back_as_the_same_object(formula: Expr) -> None:
    check_round_trip(formula)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{float(number):g}")
def test_a_number_is_read_back_as_the_same_number(number: Fraction) -> None:
    for formula in (
        constant(number),
        constant(number) * z + 1,
        z - constant(number),
        z / (constant(number) + z),
    ):
        check_round_trip(formula)


@pytest.mark.parametrize(
    "text",
    [
        "1e-41 * z",
        "1e-120 * z",
        "1e120 * z",
        "1e320 + z",
        "((9**32)**32)**32 * z",
        "*".join(["9" * 99] * 90) + " * z",
        "(" * 49 + "z" + " / 2 + 1)" * 49,
        "(" * 80 + "z" + " * 2 + 1)" * 80,
        "-(" * 45 + "z * u" + ")" * 45,
    ],
    ids=["1e-41", "1e-120", "1e120", "1e320", "tower", "digits", "halves", "doubles", "minus"],
)
def test_what_the_grammar_reads_it_writes(text: str) -> None:
    check_round_trip(parse(text, NAMES))


@pytest.mark.parametrize("activation", [a for a in ALL if a.kind != "normalising"], ids=name_of)
def test_the_text_of_every_activation_is_read_back(activation: Activation) -> None:
    names = (*activation.inputs, *activation.defaults())
    check_round_trip(activation.formula, names)
    for order in (0, 1, 2):
        check_round_trip(activation.expression(order), names)
    assert repr(activation.formula) == f"Expr({str(activation.formula)!r})"


def test_text_has_the_fewest_parentheses() -> None:
    for text in (
        "z + u - 1",
        "z - (u - 1)",
        "z * u / 3",
        "z / (3 * u)",
        "(-z)**2",
        "-z**2",
        "-(z + u)",
        "(z + 1)**2",
    ):
        assert str(parse(text, NAMES)) == text


# --- LaTeX ---


@pytest.mark.parametrize("activation", ALL, ids=name_of)
def test_latex_of_every_activation_is_sound(activation: Activation) -> None:
    for order in (0, 1) if activation.kind == "normalising" else (0, 1, 2):
        check_latex(activation.latex(order))


@settings(FINDS, max_examples=200)
@given(formulas())
def test_latex_of_any_formula_is_sound(formula: Expr) -> None:
    check_latex(to_latex(formula))


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_latex_of_a_power_of_every_primitive_is_sound(name: str) -> None:
    called = expr.call(name, *(z, u)[: PRIMITIVES[name].arity])
    check_latex(to_latex(called**2))
    check_latex(to_latex(expr.call("exp", called) / called))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("0.5 * z", r"0.5 \, z"),
        ("z / 3", r"\frac{z}{3}"),
        ("z * 2**32", r"4294967296 \, z"),
        ("1 / 3", r"\tfrac{1}{3}"),
        ("alpha * z", r"\alpha \, z"),
        ("my_slope * z", r"my\_slope \, z"),
        ("sqrt(2 / pi)", r"\sqrt{\frac{2}{\pi}}"),
        ("where(z >= 0, z, -z)", r"\begin{cases}z & z \ge 0 \\ -z & \text{otherwise}\end{cases}"),
        ("(z + 1)**2", r"\left(z + 1\right)^{2}"),
    ],
)
def test_latex_says(text: str, latex: str) -> None:
    assert to_latex(parse(text, ("z", "alpha", "my_slope"))) == latex
