"""The grammar: what is read, what is refused and where, that nothing is run, and that nothing hangs."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from fractions import Fraction
from typing import Any

import pytest

from support.formulas import NAMES
from triode import expr
from triode import parse as parse_module_or_function
from triode.errors import TriodeError
from triode.expr import PRIMITIVES, Expr, symbol
from triode.parse import LARGEST_EXPONENT, FormulaError, parse

z, u = symbol("z"), symbol("u")
START = "a number, z, a parameter, a function or '('"


# --- what is read ---


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("z", z),
        ("pi", expr.PI),
        (" z\t+\n1 ", z + 1),
        ("1 + 2 * z", 1 + 2 * z),
        ("(1 + 2) * z", 3 * z),
        ("z - u - 1", (z - u) - 1),
        ("z / u / z", (z / u) / z),
        ("z / u * z", (z / u) * z),
        ("-z**2", -(z**2)),
        ("(-z)**2", (-z) ** 2),
        ("2 * -z", -(2 * z)),
        ("+z", z),
        ("-+-z", z),
        ("z**-3", 1 / z**3),
        ("z ** 32", z**32),
        ("z**007", z**7),
        ("z - -u", z + u),
        ("max(z, u)", expr.call("max", z, u)),
        ("where(z < u, 1, 2)", expr.where(expr.compare("lt", z, u), expr.lift(1), expr.lift(2))),
        ("where(z + 1 >= u * 2, z, u)", expr.where(expr.compare("ge", z + 1, 2 * u), z, u)),
        ("where(z <= 0, z, where(z > 1, u, 0))", None),
        ("((((z))))", z),
        ("1e2 + 1E-2", expr.constant(Fraction(10001, 100))),
    ],
)
def test_what_is_read(text: str, formula: Expr | None) -> None:
    read = parse(text, NAMES)
    assert formula is None or read is formula
    assert parse(str(read), NAMES) is read


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_every_primitive_can_be_called(name: str) -> None:
    arguments = ", ".join(["z", "u"][: PRIMITIVES[name].arity])
    assert parse(f"{name}({arguments})", NAMES) is expr.call(name, *(z, u)[: PRIMITIVES[name].arity])


def test_names_are_those_that_are_given() -> None:
    assert parse("alpha * z", ("z", "alpha")) is symbol("alpha") * z
    assert parse("a_1 + B2", ("a_1", "B2")) is symbol("a_1") + symbol("B2")
    with pytest.raises(FormulaError, match="'u' is neither an input nor a parameter"):
        parse("z * u")


# --- what is refused ---

REFUSED = [
    # text, column, what the sentence says
    ("", 1, f"found the end of the formula; {START} was expected"),
    ("   ", 1, "found the end of the formula"),
    ("z +", 4, f"found the end of the formula; {START} was expected"),
    ("z + * u", 5, f"found '*'; {START} was expected"),
    ("* z", 1, "found '*'"),
    ("z z", 3, "found 'z'; an operator or the end was expected"),
    ("2z", 2, "found 'z'; an operator or the end was expected"),
    ("2 3", 3, "found '3'"),
    ("z)", 2, "found ')'; an operator or the end was expected"),
    ("(z", 3, "found the end of the formula; an operator or ')' was expected"),
    ("(z + 1", 7, "an operator or ')' was expected"),
    ("()", 2, f"found ')'; {START} was expected"),
    ("tanh", 1, "the function 'tanh' needs '(' and its arguments"),
    ("z * where", 5, "the function 'where' needs '('"),
    ("tanh z", 1, "the function 'tanh' needs '('"),
    ("tanh()", 6, f"found ')'; {START} was expected"),
    ("tanh(z", 7, "an operator, ',' or ')' was expected"),
    ("1 + tanh(z, u)", 5, "tanh takes 1 argument, 2 given"),
    ("max(z)", 1, "max takes 2 arguments, 1 given"),
    ("min(z, u, 1)", 1, "min takes 2 arguments, 3 given"),
    ("tan(z)", 1, "'tan' is no function of the grammar; did you mean 'tanh'?"),
    ("z + gleu(z)", 5, "'gleu' is no function of the grammar"),
    ("z(1)", 1, "'z' is no function of the grammar"),
    ("pi(1)", 1, "'pi' is no function of the grammar"),
    ("z + x1", 5, "'x1' is neither an input nor a parameter (beta, u, z) nor pi"),
    ("bata * z", 1, "did you mean 'beta'?"),
    ("z^2", 2, f"'^' is not part of a formula; {START} was expected"),
    ("z // 2", 4, f"found '/'; {START} was expected"),
    ("z % 2", 3, "'%' is not part of a formula"),
    ("z = 1", 3, "'=' is not part of a formula"),
    ("1_000", 2, "found '_000'"),
    ("1e", 2, "found 'e'"),
    ("1.2.3", 4, "found '.3'"),
    (".", 1, "'.' is not part of a formula"),
    ("0x10", 2, "found 'x10'"),
    ("1j", 2, "found 'j'"),
    ("z**u", 4, f"a whole number up to {LARGEST_EXPONENT} as exponent (write sqrt(x)"),
    ("z**0.5", 4, "found '0.5'; a whole number"),
    ("z**1e1", 4, "found '1e1'; a whole number"),
    ("z**(2)", 4, "found '('; a whole number"),
    ("z**", 4, "found the end of the formula; a whole number"),
    ("z**--2", 5, "found '-'; a whole number"),
    ("z**+2", 4, "found '+'; a whole number"),
    ("z**33", 4, "found '33'; a whole number up to 32 was expected"),
    ("z**-33", 5, "found '33'; a whole number up to 32 was expected"),
    ("z**2**3", 5, "found '**'; an operator or the end was expected"),
    ("z / 0", 5, "division by zero"),
    ("z / (1 - 1)", 5, "division by zero"),
    ("0**-1", 5, "zero has no negative power"),
    ("z > 0", 3, "found '>'; an operator or the end was expected"),
    ("(z > 0)", 4, "found '>'; an operator or ')' was expected"),
    ("max(z > 0, 1)", 7, "found '>'; an operator, ',' or ')' was expected"),
    ("where(z, 1, 2)", 8, "found ','; a comparison (<, <=, > or >=): where(condition, a, b) was expected"),
    ("where(z > 0 > 1, 1, 2)", 13, "found '>'; ',' was expected"),
    ("where(z > 0, 1)", 15, "found ')'; ',' was expected"),
    ("where(z > 0, 1, 2, 3)", 18, "found ','; ')' was expected"),
    ("where(z > 0, z > 0, 2)", 16, "found '>'; ',' was expected"),
    ("where(z == 0, 1, 2)", 9, "'=' is not part of a formula"),
    ("where(z != 0, 1, 2)", 9, "'!' is not part of a formula"),
    ("9" * 101, 1, "is out of range; a number of at most 100 digits with an exponent from -320 to 320"),
    ("z + 1e321", 5, "'1e321' is out of range"),
    ("1e-321", 1, "is out of range"),
    ("1e99999999999", 1, "is out of range"),
]


@pytest.mark.parametrize(("text", "column", "says"), REFUSED, ids=[text[:20] for text, _, _ in REFUSED])
def test_a_refusal_names_the_column_and_what_was_expected(text: str, column: int, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text, NAMES)
    assert caught.value.column == column
    assert str(caught.value).startswith(f"formula, column {column}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("lead", ["", "z + ", " \n\t ", "tanh(", "where(z > 0, "])
def test_the_column_counts_from_the_start(lead: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(f"{lead}$ + 1")
    assert caught.value.column == len(lead) + 1


def test_a_refusal_shows_the_neighbourhood() -> None:
    text = "1 + " * 20 + "$" + " + 1" * 20
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert caught.value.column == 81
    assert repr(text[60:120]) in str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, 2.5, b"z", ["z"], symbol("z")])
def test_what_is_no_text_is_refused(thing: Any) -> None:
    with pytest.raises(TriodeError, match="a formula is text"):
        parse(thing)


# --- nothing is run ---

HOSTILE = [
    "__import__('os').system('echo harm')",
    "__import__(os)",
    "eval(z)",
    "exec(z)",
    "open(z)",
    "lambda z: z",
    "(lambda: 1)()",
    "z.__class__",
    "z.real",
    "(1).__class__.__bases__",
    "f'{z}'",
    'f"{1}"',
    "'z'",
    "z[0]",
    "[z for z in (1, 2)]",
    "{z}",
    "{1: 2}",
    "z if z > 0 else 1",
    "z and 1",
    "not z",
    "z := 1",
    "z, z",
    "*z",
    "@z",
    "z; z",
    "z\\",
    "# z",
    "`z`",
    "$z",
    "z\0",
    "\0",
    "z\0 + 1",
    "True",
    "None",
    "...",
    "1if 1else 2",
    "yield z",
    "await z",
    "import os",
    "print(z)",
    "getattr(z, z)",
    "z < 1",
    "z == z",
    "z is z",
    "z in z",
    "z != 1",
    "~z",
    "z & 1",
    "z | 1",
    "z << 1",
    "z >> 1",
    "z @ z",
]
LOOK_ALIKES = [
    "ᴢ",
    "ｚ",  # fullwidth z
    "𝐳",  # mathematical bold z
    "z\u0301",
    "z − 1",  # U+2212
    "z × 2",
    "z ÷ 2",
    "z ∗ 2",
    "z ∕ 2",
    "z⁄2",
    "z²",
    "z**²",
    "z**２",
    "٣ * z",
    "２ * z",
    "½ * z",
    "π",
    "𝛑",
    "ｅｘｐ(z)",
    "еxp(z)",  # Cyrillic e
    "tanℎ(z)",
    "（z）",
    "max(z，1)",
    "where(z ≤ 0, 1, 2)",
    "where(z ＜ 0, 1, 2)",
    "∞",
    "z\u200b",
    "\ufeffz",
    "z\u202e",
    "\ud800",
]


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Python's own ways from text to code fail while a formula is read."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a formula reached Python: {arguments}")

    for name in ("eval", "exec", "open", "input", "print"):
        monkeypatch.setattr(builtins, name, refuse)
    monkeypatch.setattr(ast, "parse", refuse)
    monkeypatch.setattr(ast, "literal_eval", refuse)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("text", HOSTILE + LOOK_ALIKES, ids=ascii)
def test_what_is_no_formula_is_refused_unrun(text: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text, NAMES)
    assert 1 <= caught.value.column <= len(text) + 1


def test_the_parser_knows_no_way_to_python() -> None:
    tree = ast.parse(inspect.getsource(sys.modules["triode.parse"]))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "sum" not in called
    assert not called & {
        "eval",
        "exec",
        "compile",
        "__import__",
        "getattr",
        "setattr",
        "globals",
        "locals",
        "open",
    }
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"re"}


def test_the_name_of_a_parameter_cannot_shadow_a_function_or_pi() -> None:
    assert parse("pi", ("z", "pi")) is expr.PI
    with pytest.raises(FormulaError, match="needs '\\('"):
        parse("exp + 1", ("z", "exp"))


def test_the_public_name_is_this_function() -> None:
    assert parse_module_or_function is parse
