"""Random formulas of every operation, and what must hold of any formula: text, LaTeX, enclosures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath
from hypothesis import settings
from hypothesis import strategies as st

from triode import expr, oracle
from triode.errors import TriodeError
from triode.expr import COMPARISONS, PRIMITIVES, Expr
from triode.interval import Interval, enclosures
from triode.parse import parse

NAMES = ("z", "u", "beta")
"""The symbols that the random formulas use."""
FINDS = settings(deadline=None, derandomize=True, database=None)
"""The same examples on every machine: a failure in continuous integration is a failure at home."""

NUMBERS = (
    *map(Fraction, (0, 1, 2, -1, 7)),
    Fraction(1, 3),
    Fraction(-22, 7),
    Fraction(44715, 1000000),
    Fraction(1, 2**40),
    Fraction(1, 2**41),
    Fraction(-1, 3 * 2**50),
    Fraction(10**30 + 1),
    Fraction(1, 10**300),
    Fraction(-(10**300)),
)
"""Numbers of every shape that has a text of its own: whole, decimal, ratio, huge, tiny, negative."""
SMALL = (Fraction(-2), Fraction(-1), Fraction(1), Fraction(3), Fraction(1, 3), Fraction(-5, 4))
"""Numbers that leave every value within reach of the oracle."""


def _quotient(a: Expr, b: Expr) -> Expr:
    # The grammar refuses a division by the number zero; so does this.
    return expr.div(a, expr.ONE if b is expr.ZERO else b)


def _power(a: Expr, exponent: int) -> Expr:
    return expr.power(expr.ONE if a is expr.ZERO and exponent < 0 else a, exponent)


def _steps() -> list[tuple[int, Callable[..., Expr]]]:
    """Return every way to make a formula from others, with how many it takes; the last argument is a number."""
    steps: list[tuple[int, Callable[..., Expr]]] = [
        (2, lambda a, b, n: expr.add(a, b)),
        (2, lambda a, b, n: expr.sub(a, b)),
        (2, lambda a, b, n: expr.mul(a, b)),
        (2, lambda a, b, n: _quotient(a, b)),
        (1, lambda a, n: expr.neg(a)),
        (1, lambda a, n: _power(a, n % 65 - 32)),
        (1, lambda a, n: _power(a, n % 3 + 2)),
    ]
    steps += [
        (3, lambda a, b, c, n, op=op: expr.where(expr.compare(op, a, b), c, expr.neg(a)))
        for op in sorted(COMPARISONS)
    ]
    steps += [
        (primitive.arity, lambda *a, name=name: expr.call(name, *a[:-1]))
        for name, primitive in PRIMITIVES.items()
    ]
    return steps


_STEPS = _steps()


def build(
    program: Iterable[int], names: Sequence[str] = NAMES, numbers: Sequence[Fraction] = NUMBERS
) -> Expr:
    """Return the formula that a list of whole numbers says, read as a program for a stack machine.

    A number pushes a leaf, or replaces the topmost formulas by one made of them; it pushes a leaf when there are
    too few. What is left on the stack is multiplied and subtracted.
    """
    leaves = [*(expr.symbol(name) for name in names), expr.PI, *map(expr.constant, numbers)]
    stack: list[Expr] = []
    for number in program:
        code = (
            number * 40503 % 2**16 >> 3
        )  # spreads the small numbers that Hypothesis prefers over all operations
        kind, choice = code % 2, code // 2
        arity, make = _STEPS[choice % len(_STEPS)]
        if kind and arity <= len(stack):
            arguments = stack[-arity:]
            del stack[-arity:]
            stack.append(make(*arguments, choice // len(_STEPS)))
        else:
            # Every other leaf is a symbol.
            stack.append(leaves[choice // 2 % (len(leaves) if choice % 2 else len(names))])
    result = stack.pop()
    while stack:
        result = (expr.mul if len(stack) % 2 else expr.sub)(stack.pop(), result)
    return result


def formulas(
    names: Sequence[str] = NAMES, size: int = 24, numbers: Sequence[Fraction] = NUMBERS
) -> st.SearchStrategy[Expr]:
    """Formulas built by the constructors of :mod:`triode.expr`, of every operation.

    Args:
        names: The symbols that may occur.
        size: How many leaves and operations a formula has at most; default 24.
        numbers: Its constants.
    """
    programs = st.lists(st.integers(0, 2**16), min_size=1, max_size=size)
    return programs.map(lambda program: build(program, names, numbers))


# --- text ------------------------------------------------------------------------------------------------


def check_round_trip(formula: Expr, names: Iterable[str] = NAMES) -> None:
    """Require that the text of a formula is read back as the same object."""
    text = str(formula)
    again = parse(text, names)
    assert again is formula, f"{text!r} is read back as {str(again)!r}"


_SCRIPT = re.compile(r"[\^_]")
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)")


def _group_end(text: str, start: int) -> int:
    """Return the index after the group, command or character that begins at ``start``."""
    if text[start] != "{":
        command = _COMMAND.match(text, start)
        return command.end() if command else start + 1
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return index + 1
    raise AssertionError(f"unclosed {{ in {text!r}")


def check_latex(text: str) -> None:
    """Require LaTeX that TeX accepts: braces, delimiters and environments in pairs, one superscript at a time."""
    assert text.strip(), "the LaTeX is empty"
    assert text.isascii(), text
    assert "{}" not in text, text
    stack: list[str] = []
    index = 0
    while index < len(text):
        token = _COMMAND.match(text, index)
        word = token.group() if token else text[index]
        index += len(word)
        if word in ("{", r"\left"):
            stack.append(word)
        elif word in ("}", r"\right"):
            opened = "{" if word == "}" else r"\left"
            assert stack, f"{word} closes nothing in {text!r}"
            assert stack.pop() == opened, f"{word} closes another group in {text!r}"
        elif word in (r"\begin", r"\end"):
            end = _group_end(text, index)
            if word == r"\begin":
                stack.append(text[index:end])
            else:
                assert stack, f"{text[index:end]} ends nothing in {text!r}"
                assert stack.pop() == text[index:end], f"{text[index:end]} ends another in {text!r}"
            index = end
        elif word == "^":
            after = text[_group_end(text, index) :].lstrip()
            assert not after.startswith(("^", "'")), f"two superscripts on one base in {text!r}"
    assert not stack, f"{stack} left open in {text!r}"


# --- enclosures ------------------------------------------------------------------------------------------

_EXPONENTIAL = frozenset(
    "exp expm1 tanh sigmoid logistic_pdf softplus erf erfc gaussian ndtr normal_pdf sin cos".split()  # noqa: SIM905
)
LARGEST = 1e4
"""Arguments that an exponential or a sine may have in a test; beyond, the oracle takes digits by the million."""


def exact(formula: Expr, point: Mapping[str, float | Fraction]) -> Any:
    """Return the oracle's value, or ``None`` where there is none: undefined, unsettled or out of reach.

    Every argument of an exponential is looked at first, inner ones before outer ones.
    """
    used = {name: point[name] for name in expr.symbols(formula)}
    try:
        for node in expr.postorder(formula):
            if node.op in _EXPONENTIAL and not abs(oracle.value(node.args[0], **used)) <= LARGEST:
                return None
        found = oracle.value(formula, **used)
    except TriodeError:
        return None
    return None if mpmath.isnan(found) else found


def check_encloses(formula: Expr, box: Mapping[str, Interval], point: Mapping[str, float]) -> int:
    """Require every node's exact value at a point of the box to lie in its enclosure; return how many had one."""
    assert all(point[name] in box[name] for name in box)
    settled = 0
    for node, interval in enclosures(formula, box).items():
        found = None if node.op in COMPARISONS else exact(node, point)
        if found is None:
            continue
        settled += 1
        inside = interval.low <= found <= interval.high
        assert inside, (
            f"{node} is {mpmath.nstr(found, 25)} at {dict(point)}, outside {interval} of {dict(box)}"
        )
    return settled


EXTREMES = sorted(
    sign * size
    for size in (
        0.0,
        5e-324,
        1e-310,
        1e-200,
        1e-5,
        0.3,
        1.0,
        3.0,
        12.3,
        26.3,
        37.1,
        709.781,
        1e5,
        1e200,
        1e300,
    )
    for sign in (1.0, -1.0)
    if size or sign > 0
)
"""Arguments at which an enclosure is most likely to be too narrow: underflow, cancellation, tails, overflow."""


def check_interval_rule(op: str) -> None:
    """Require the enclosure of one operation to hold its values: points, finite intervals, half-lines, the line."""
    z, u = expr.symbol("z"), expr.symbol("u")
    for formula in operation(op, z, u):
        places = EXTREMES if "u" not in expr.symbols(formula) else EXTREMES[::3]
        values = {
            (a, b): exact(formula, {"z": a, "u": b}) for a in places for b in places if _needed(formula, a, b)
        }
        assert any(found is not None for found in values.values()), f"{op} has no value anywhere"
        for (a, b), found in values.items():
            if found is None:
                continue
            for box in _boxes(a, b, places):
                interval = enclosures(formula, box)[formula]
                inside = interval.low <= found <= interval.high
                assert inside, (
                    f"{formula} is {mpmath.nstr(found, 25)} at {(a, b)}, outside {interval} of {box}"
                )


def _needed(formula: Expr, a: float, b: float) -> bool:
    return "u" in expr.symbols(formula) or a == b


def _boxes(a: float, b: float, places: list[float]) -> Iterable[dict[str, Interval]]:
    """Intervals that hold the point, each end at it, beyond it or infinite."""
    lows = (-math.inf, places[0], a)
    highs = (math.inf, places[-1], a)
    for low in lows:
        for high in highs:
            yield {"z": Interval(low, high), "u": Interval(b, b)}
            yield {"z": Interval(low, high), "u": Interval(min(b, places[0]), max(b, 1.0))}


def operation(op: str, z: Expr, u: Expr) -> list[Expr]:
    """Return formulas whose outermost operation is ``op``, over the two given ones."""
    if op == "power":
        return [expr.power(z, 2), expr.power(z, 3), expr.power(z, 32)]
    if op == "where":
        return [expr.where(expr.compare("lt", z, u), z, -u)]
    if op in COMPARISONS:
        return [expr.where(expr.compare(op, z, u), 2 * z, u**2)]
    if op == "constant":
        return [expr.constant(Fraction(1, 3)), expr.constant(10**30), expr.constant(Fraction(1, 10**300))]
    if op == "pi":
        return [expr.PI]
    if op == "symbol":
        return [z]
    builders: dict[str, Callable[..., Expr]] = {
        "add": expr.add,
        "sub": expr.sub,
        "mul": expr.mul,
        "div": expr.div,
    }
    if op in builders:
        return [builders[op](z, u)]
    if op == "neg":
        return [expr.neg(z)]
    return [expr.call(op, *((z, u)[: PRIMITIVES[op].arity]))]
