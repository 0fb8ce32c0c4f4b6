"""Text to formula, by a grammar of its own; nothing is ever evaluated as Python.

::

    formula    = sum
    condition  = sum ("<" | "<=" | ">" | ">=") sum
    sum        = product { ("+" | "-") product }
    product    = unary { ("*" | "/") unary }
    unary      = ("-" | "+") unary | power
    power      = atom [ "**" exponent ]              exponent = ["-"] whole number
    atom       = number | "pi" | name | function "(" sum { "," sum } ")"
               | "where" "(" condition "," sum "," sum ")" | "(" sum ")"

The parser is a recursive descent with a depth limit far below Python's own, and reads each token once, so that
neither deep nor huge input can hang it or overflow the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from triode import expr
from triode.errors import TriodeError, nearest
from triode.expr import COMPARISONS, PRIMITIVES, Expr

LONGEST = 10_000
"""Characters a formula may have."""
DEEPEST = 100
"""Levels of nesting, and terms of one sum or one product, that a formula may have."""
LARGEST_EXPONENT = 32
"""Largest whole power; beyond it a float overflows for nearly every argument."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<symbol>\*\*|<=|>=|[-+*/(),<>]))"
)
_COMPARISON_OF = {text: op for op, text in COMPARISONS.items()}


class FormulaError(TriodeError):
    """A formula that the grammar refuses: the column (from 1), what was found and what was expected."""

    def __init__(self, text: str, column: int, problem: str) -> None:
        """Say ``problem`` at ``column`` of ``text``, showing the neighbourhood."""
        self.column = column
        start = max(0, column - 21)
        shown = text[start : column + 39]
        super().__init__(f"formula, column {column}: {problem} (near {shown!r})")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            column = position + len(text[position:]) - len(text[position:].lstrip()) + 1
            raise FormulaError(
                text, column, f"{text[column - 1]!r} is not part of a formula; {_START} was expected"
            )
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match.group(kind), match.start(kind) + 1))
        position = match.end()
    tokens.append(_Token("end", "the end of the formula", end + 1))
    return tokens


_START = "a number, z, a parameter, a function or '('"


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


class _Parser:
    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        self.tokens = _tokens(text)
        self.next = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def fail(self, token: _Token, expected: str) -> FormulaError:
        found = token.text if token.kind == "end" else repr(_clipped(token.text))
        return FormulaError(self.text, token.column, f"found {found}; {expected} was expected")

    def take(self, *symbols: str) -> _Token | None:
        token = self.token
        if token.kind == "symbol" and token.text in symbols:
            self.next += 1
            return token
        return None

    def expect(self, symbol: str, instead: str = "") -> None:
        if self.take(symbol) is None:
            raise self.fail(self.token, instead or repr(symbol))

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            column = self.token.column
            raise FormulaError(self.text, column, f"nested more than {DEEPEST} deep; split the formula")

    def chain(self, count: int) -> int:
        if count == DEEPEST:
            raise FormulaError(
                self.text, self.token.column, f"more than {DEEPEST} terms in a row; use parentheses"
            )
        return count + 1

    def sum(self) -> Expr:
        level = self.depth
        self.enter()
        result = self.product()
        count = 1
        while token := self.take("+", "-"):
            count = self.chain(count)
            right = self.product()
            result = expr.add(result, right) if token.text == "+" else expr.sub(result, right)
        self.depth = level
        return result

    def product(self) -> Expr:
        result = self.unary()
        count = 1
        while token := self.take("*", "/"):
            count = self.chain(count)
            divisor = self.token
            right = self.unary()
            if token.text == "/" and expr.rational(right) == 0:
                raise FormulaError(self.text, divisor.column, "division by zero")
            result = expr.mul(result, right) if token.text == "*" else expr.div(result, right)
        return result

    def unary(self) -> Expr:
        negative = False
        count = 1
        while token := self.take("-", "+"):
            count = self.chain(count)
            negative ^= token.text == "-"
        result = self.power()
        return expr.neg(result) if negative else result

    def power(self) -> Expr:
        base = self.atom()
        if self.take("**") is None:
            return base
        sign = -1 if self.take("-") else 1
        token = self.token
        whole = f"a whole number up to {LARGEST_EXPONENT}"
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 4:
            hint = f"{whole} as exponent (write sqrt(x) or exp(a * log(x)) for others)"
            raise self.fail(token, hint)
        if int(token.text) > LARGEST_EXPONENT:
            raise self.fail(token, whole)
        self.next += 1
        if sign < 0 and expr.rational(base) == 0:
            raise FormulaError(self.text, token.column, "zero has no negative power")
        return expr.power(base, sign * int(token.text))

    def atom(self) -> Expr:
        token = self.token
        if self.take("("):
            result = self.sum()
            self.expect(")", "an operator or ')'")
            return result
        if token.kind == "number":
            self.next += 1
            return expr.constant(self.number(token))
        if token.kind == "name":
            self.next += 1
            return self.name(token)
        raise self.fail(token, _START)

    def number(self, token: _Token) -> Fraction:
        mantissa, _, exponent = token.text.lower().partition("e")
        if len(mantissa) > 100 or len(exponent) > 4 or abs(int(exponent or "0")) > 320:
            limit = "a number of at most 100 digits with an exponent from -320 to 320"
            raise FormulaError(
                self.text, token.column, f"{token.text[:24]!r} is out of range; {limit} was expected"
            )
        return Fraction(token.text)

    def name(self, token: _Token) -> Expr:
        called = self.token.kind == "symbol" and self.token.text == "("
        if token.text == "where" and called:
            return self.where()
        if token.text in PRIMITIVES and called:
            return self.function(token)
        if token.text in PRIMITIVES or token.text == "where":
            raise FormulaError(
                self.text, token.column, f"the function {token.text!r} needs '(' and its arguments"
            )
        if called:
            hint = nearest(token.text, [*PRIMITIVES, "where"])
            raise FormulaError(
                self.text, token.column, f"{_clipped(token.text)!r} is no function of the grammar{hint}"
            )
        if token.text == "pi":
            return expr.PI
        if token.text in self.names:
            return expr.symbol(token.text)
        known = ", ".join(sorted(self.names))
        hint = nearest(token.text, [*self.names, "pi", *PRIMITIVES])
        problem = f"{_clipped(token.text)!r} is neither an input nor a parameter ({known}) nor pi{hint}"
        raise FormulaError(self.text, token.column, problem)

    def function(self, token: _Token) -> Expr:
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        wanted = PRIMITIVES[token.text].arity
        self.expect(")", "an operator, ',' or ')'")
        if len(arguments) != wanted:
            plural = "argument" if wanted == 1 else "arguments"
            problem = f"{token.text} takes {wanted} {plural}, {len(arguments)} given"
            raise FormulaError(self.text, token.column, problem)
        return expr.call(token.text, *arguments)

    def where(self) -> Expr:
        self.expect("(")
        left = self.sum()
        comparison = self.take(*_COMPARISON_OF)
        if comparison is None:
            raise self.fail(self.token, "a comparison (<, <=, > or >=): where(condition, a, b)")
        condition = expr.compare(_COMPARISON_OF[comparison.text], left, self.sum())
        self.expect(",")
        first = self.sum()
        self.expect(",")
        second = self.sum()
        self.expect(")")
        return expr.where(condition, first, second)


def parse(text: str, names: Iterable[str] = ("z",)) -> Expr:
    r"""Return the formula that ``text`` says.

    Args:
        text: A formula over numbers, ``pi``, the given names, the primitives, ``+ - * / **`` and parentheses.
        names: Inputs and parameters that may occur; default only the input ``z``.

    Returns:
        The expression, lightly simplified (exact rules only).

    Raises:
        FormulaError: With the column and what was expected, for anything else.

    Examples:
        >>> str(parse("z*tanh( softplus(z) )"))
        'z * tanh(softplus(z))'
        >>> parse("2 * q")
        Traceback (most recent call last):
        ...
        triode.parse.FormulaError: formula, column 5: 'q' is neither an input nor a parameter (z) nor pi (near '2 * q')
    """
    if not isinstance(text, str):
        raise TriodeError(
            f"a formula is text such as 'z * tanh(softplus(z))'; {type(text).__name__} was given"
        )
    if len(text) > LONGEST:
        raise TriodeError(f"a formula of {len(text)} characters is too long; at most {LONGEST} are read")
    parser = _Parser(text, frozenset(names))
    try:
        result = parser.sum()
    except RecursionError:  # the caller is itself deep in the stack
        column = parser.token.column
        raise FormulaError(
            text, column, "nested too deep for the stack that is left; split the formula"
        ) from None
    if parser.token.kind != "end":
        raise parser.fail(parser.token, "an operator or the end")
    return result
