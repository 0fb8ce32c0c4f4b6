"""The grammar: what is read, what is refused and where, that nothing is run, and that nothing hangs."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.formulas import FINDS, NAMES, SMALL, formulas
from triode import expr
from triode import parse as parse_module_or_function
from triode.errors import TriodeError
from triode.expr import PRIMITIVES, Expr, symbol
from triode.parse import DEEPEST, LARGEST_EXPONENT, LONGEST, FormulaError, parse

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


# --- nothing hangs, nothing overflows ---

MANY = 50_000
HUGE: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + "z" + ")" * n,
    "open": lambda n: "(" * n,
    "close": lambda n: "z" + ")" * n,
    "minus": lambda n: "-" * n + "z",
    "plus and minus": lambda n: "+-" * (n // 2) + "z",
    "sum": lambda n: "+".join(["z"] * (n // 2)),
    "product": lambda n: "*".join(["z"] * (n // 2)),
    "quotient": lambda n: "/".join(["z"] * (n // 2)),
    "differences of minus": lambda n: "z" + "--z" * (n // 3),
    "calls": lambda n: "abs(" * (n // 4) + "z",
    "closed calls": lambda n: "tanh(" * (n // 6) + "z" + ")" * (n // 6),
    "wheres": lambda n: "where(z>0," * (n // 13) + "z" + ",1)" * (n // 13),
    "conditions": lambda n: "where(" * (n // 6) + "z",
    "powers": lambda n: "(" * (n // 6) + "9" + "**32)" * (n // 6),
    "exponents": lambda n: "z" + "**2" * (n // 3),
    "digits": lambda n: "9" * n,
    "decimals": lambda n: "0." + "1" * n,
    "exponent of a number": lambda n: "1e" + "9" * n,
    "exponent of a power": lambda n: "z**" + "9" * n,
    "name": lambda n: "x" * n,
    "call of a name": lambda n: "x" * n + "(z)",
    "spaces": lambda n: " " * n,
    "spaces before an error": lambda n: " " * n + "$",
    "spaces between": lambda n: "z" + " " * n + "z",
    "commas": lambda n: "max(z" + ",z" * (n // 2) + ")",
    "products of large numbers": lambda n: "*".join(["9" * 99] * (n // 100)),
    "quotients of large numbers": lambda n: "1" + ("/1e-" + "300") * (n // 7),
    "dots": lambda n: "." * n,
    "stars": lambda n: "*" * n,
    "less": lambda n: "z" + "<z" * (n // 2),
    "null bytes": lambda n: "\0" * n,
}
SIZES = [MANY, LONGEST - 20, 900, 90]


def read(text: str) -> tuple[Expr | None, float]:
    """Return what a text says, or nothing where it is refused in one sentence, and the seconds it took."""
    start = time.perf_counter()
    try:
        result: Expr | None = parse(text, NAMES)
    except TriodeError as error:
        assert len(str(error)) < 1000  # noqa: PT017 - the refusal is one of two right answers
        result = None
    return result, time.perf_counter() - start


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", HUGE)
def test_deep_and_huge_inputs_end_soon(kind: str, size: int) -> None:
    text = HUGE[kind](size)
    result, seconds = read(text)
    assert seconds < 1.0
    assert result is None or len(text) <= LONGEST
    if result is not None:
        start = time.perf_counter()
        assert str(result)
        assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "text",
    ["((9**32)**32)**32", "(((((9**32)**32)**32)**32)**32)**32", "1 / ((9**-32)**32)**-32", "(z**32)**32"],
)
def test_towers_of_powers_stay_small(text: str) -> None:
    result, seconds = read(text)
    assert result is not None
    assert seconds < 0.1
    numbers = [number for node in expr.postorder(result) if (number := expr.rational(node)) is not None]
    assert all(max(abs(n.numerator), n.denominator).bit_length() <= 4200 for n in numbers)


def test_the_limits_are_where_they_are_said_to_be() -> None:
    within = "(" * (DEEPEST - 1) + "z" + ")" * (DEEPEST - 1)
    assert parse(within) is z
    with pytest.raises(FormulaError, match=f"more than {DEEPEST} deep; split the formula"):
        parse(f"({within})")
    assert parse("z" + " " * (LONGEST - 1)) is z
    with pytest.raises(
        TriodeError, match=f"a formula of {LONGEST + 1} characters is too long; at most {LONGEST}"
    ):
        parse("z" + " " * LONGEST)


def below(frames: int, call: Callable[[], Any]) -> Any:
    """Return ``call()``, made that many frames further down the stack."""
    return below(frames - 1, call) if frames else call()


@pytest.mark.parametrize("frames", [0, 300, 600])
@pytest.mark.parametrize("opening", ["(", "abs(", "where(z > 0, 1, ", "-(", "1 + ("])
def test_the_stack_does_not_overflow_far_down(opening: str, frames: int) -> None:
    # A caller in a notebook, a web server or a recursion of its own may itself be hundreds of calls deep.
    depth = DEEPEST - 2 if opening not in ("-(", "1 + (") else DEEPEST // 2 - 1
    text = opening * depth + "z" + ")" * depth
    result, _ = below(frames, lambda: read(text))
    assert result is parse(text) if frames == 0 else result in (None, parse(text))


# --- fuzzing ---

TOKENS = st.sampled_from(
    [
        *"z u beta pi 1 2.5 1e3 0 + - * / ** ( ) , < <= > >= where max tanh exp $ . e _ = 'a' \0 ² −".split(
            " "
        ),
        " ",
        "\n",
    ]
)
@st.composite
def nearly(draw: st.DrawFn) -> str:
    """A formula's text with up to two pieces put in or taken out."""
    text = str(draw(formulas(size=8, numbers=SMALL)))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(st.one_of(st.just(""), TOKENS)) + text[start + draw(st.integers(0, 3)) :]
    return text


texts = st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=25).map("".join), nearly(), nearly())


@settings(FINDS, max_examples=500)
@given(texts)
@example("z\x1c")
@example("\x85z")
@example("\u2028z")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        formula = parse(text, NAMES)
    except FormulaError as error:
        assert 1 <= error.column <= len(text) + 1
        assert f"column {error.column}: " in str(error)
    else:
        assert expr.symbols(formula) <= set(NAMES)
        assert parse(str(formula), NAMES) is formula


def test_the_fuzz_reads_some() -> None:
    counts = {True: 0, False: 0}

    @settings(FINDS, max_examples=200)
    @given(texts)
    def count(text: str) -> None:
        counts[read(text)[0] is not None] += 1

    count()
    assert min(counts.values()) >= 25


@settings(FINDS, max_examples=150)
@given(st.lists(TOKENS, min_size=1, max_size=6).map(" ".join), st.integers(1, 30))
def test_leading_spaces_move_the_column(text: str, spaces: int) -> None:
    def column(source: str) -> int | None:
        try:
            parse(source, NAMES)
        except FormulaError as error:
            return error.column
        return None

    plain = column(text)
    if text.strip():
        assert column(" " * spaces + text) == (None if plain is None else plain + spaces)


def test_the_public_name_is_this_function() -> None:
    assert parse_module_or_function is parse
