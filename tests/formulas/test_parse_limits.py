"""No input hangs the parser, overflows the stack or ends in anything but a formula or one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.formulas import FINDS, NAMES, SMALL, formulas
from triode import expr
from triode.errors import TriodeError
from triode.expr import Expr, symbol
from triode.parse import DEEPEST, LONGEST, FormulaError, parse

z = symbol("z")

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
        *[
            "z",
            "u",
            "beta",
            "pi",
            "1",
            "2.5",
            "1e3",
            "0",
            "+",
            "-",
            "*",
            "/",
            "**",
            "(",
            ")",
            ",",
            "<",
            "<=",
            ">",
            ">=",
            "where",
            "max",
            "tanh",
            "exp",
            "$",
            ".",
            "e",
            "_",
            "=",
            "'a'",
            "\x00",
            "²",
            "−",
        ],
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
    formula, refusal = None, None
    try:
        formula = parse(text, NAMES)
    except FormulaError as error:
        refusal = error
    if formula is not None:
        assert expr.symbols(formula) <= set(NAMES)
        assert parse(str(formula), NAMES) is formula
    elif refusal is not None:
        assert 1 <= refusal.column <= len(text) + 1
        assert f"column {refusal.column}: " in str(refusal)


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
