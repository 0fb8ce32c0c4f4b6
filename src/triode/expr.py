"""Formulas as data: an immutable expression over a small set of primitives, and the text it is written in.

Expressions are interned: two equal expressions are one object, so equality is identity, a derivative shares
its sub-expressions, and every reader walks the graph once with a dictionary keyed by node. Walks are
iterative (:func:`postorder`), so that no formula, however deep, can overflow the Python stack.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


@dataclass(frozen=True)
class Primitive:
    """One function a formula may call: how many arguments it takes, what it means, how LaTeX writes it."""

    name: str
    arity: int
    meaning: str
    latex: str


def _table(*rows: Primitive) -> dict[str, Primitive]:
    return {row.name: row for row in rows}


PRIMITIVES: dict[str, Primitive] = _table(
    Primitive("abs", 1, "absolute value |x|", r"\left|{0}\right|"),
    Primitive("sign", 1, "-1, 0 or 1", r"\operatorname{{sign}}\left({0}\right)"),
    Primitive("min", 2, "the smaller of a and b", r"\min\left({0}, {1}\right)"),
    Primitive("max", 2, "the larger of a and b", r"\max\left({0}, {1}\right)"),
    Primitive("exp", 1, "e^x", r"e^{{{0}}}"),
    Primitive("expm1", 1, "e^x - 1, exact near 0", r"\left(e^{{{0}}} - 1\right)"),
    Primitive("log", 1, "natural logarithm", r"\ln\left({0}\right)"),
    Primitive("log1p", 1, "ln(1 + x), exact near 0", r"\ln\left(1 + {0}\right)"),
    Primitive("sqrt", 1, "square root", r"\sqrt{{{0}}}"),
    Primitive("tanh", 1, "hyperbolic tangent", r"\tanh\left({0}\right)"),
    Primitive("sigmoid", 1, "logistic function 1 / (1 + e^-x)", r"\sigma\left({0}\right)"),
    Primitive("logistic_pdf", 1, "logistic density sigmoid(x) sigmoid(-x)", r"\sigma'\left({0}\right)"),
    Primitive("softplus", 1, "ln(1 + e^x)", r"\operatorname{{softplus}}\left({0}\right)"),
    Primitive("erf", 1, "error function", r"\operatorname{{erf}}\left({0}\right)"),
    Primitive("erfc", 1, "1 - erf(x), exact in the tail", r"\operatorname{{erfc}}\left({0}\right)"),
    Primitive("gaussian", 1, "e^(-x^2)", r"e^{{-\left({0}\right)^2}}"),
    Primitive("ndtr", 1, "standard normal distribution function", r"\Phi\left({0}\right)"),
    Primitive("normal_pdf", 1, "standard normal density", r"\varphi\left({0}\right)"),
    Primitive("cauchy_cdf", 1, "1/2 + atan(x) / pi, exact in the tail", r"F_{{C}}\left({0}\right)"),
    Primitive("cauchy_pdf", 1, "1 / (pi (1 + x^2))", r"f_{{C}}\left({0}\right)"),
    Primitive("segment_area", 1, "atan(x) - x / (1 + x^2), exact near 0", r"A\left({0}\right)"),
    Primitive("sin", 1, "sine", r"\sin\left({0}\right)"),
    Primitive("cos", 1, "cosine", r"\cos\left({0}\right)"),
    Primitive("atan", 1, "inverse tangent", r"\arctan\left({0}\right)"),
    Primitive("asinh", 1, "inverse hyperbolic sine", r"\operatorname{{arsinh}}\left({0}\right)"),
)
"""Every function of the grammar. ``where(condition, a, b)`` and the operators are structure, not primitives."""

VANISH_SLOWLY = frozenset({"cauchy_cdf", "cauchy_pdf", "segment_area", "atan", "asinh", "div"})
"""Operations whose value may fall to zero only as a power does: times an infinite factor its limit need not be 0."""

COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_OPERATORS = {"add", "sub", "mul", "div", "neg", "power", "where"}
_LEAVES = {"constant", "pi", "symbol"}
OPERATIONS: frozenset[str] = frozenset(PRIMITIVES) | frozenset(COMPARISONS) | _OPERATORS | _LEAVES
"""Every value that ``Expr.op`` can take; each reader has a row for each."""


class Expr:
    r"""A node of a formula: an operation, its arguments, and for a leaf its value.

    Args:
        op: One of ``OPERATIONS``.
        args: The operands, in order.
        value: A ``Fraction`` for ``constant``, a name for ``symbol``, an ``int`` for the exponent of ``power``.

    Numbers are exact rationals: ``0.044715`` is 44715/1000000, not the nearest float, so that the 50-digit oracle
    and the kernels read the same real constant.

    Examples:
        >>> from triode.parse import parse
        >>> parse("z * tanh(softplus(z))")
        Expr('z * tanh(softplus(z))')
    """

    __slots__ = ("__weakref__", "args", "op", "value")
    op: str
    args: tuple[Expr, ...]
    value: Fraction | str | int | None

    def __repr__(self) -> str:
        """Return the formula as text that ``parse`` reads back."""
        return f"Expr({str(self)!r})"

    def __str__(self) -> str:
        """Return the formula as text that ``parse`` reads back."""
        from triode.notation import to_text  # below this module: it reads expressions

        return to_text(self)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: expressions are immutable."""
        raise AttributeError(f"an expression is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        """Refuse: expressions are immutable."""
        raise AttributeError(f"an expression is immutable: {name} cannot be deleted")

    def __reduce__(
        self,
    ) -> tuple[Callable[..., Expr], tuple[str, tuple[Expr, ...], Fraction | str | int | None]]:
        """Pickle by operation, so that interning holds after loading."""
        return _intern, (self.op, self.args, self.value)

    def __copy__(self) -> Expr:
        """Return itself: immutable and interned."""
        return self

    def __deepcopy__(self, memo: object) -> Expr:
        """Return itself: immutable and interned."""
        return self

    def __add__(self, other: Expr | int) -> Expr:
        """Return self + other."""
        return add(self, lift(other))

    def __radd__(self, other: int) -> Expr:
        """Return other + self."""
        return add(lift(other), self)

    def __sub__(self, other: Expr | int) -> Expr:
        """Return self - other."""
        return sub(self, lift(other))

    def __rsub__(self, other: int) -> Expr:
        """Return other - self."""
        return sub(lift(other), self)

    def __mul__(self, other: Expr | int) -> Expr:
        """Return self * other."""
        return mul(self, lift(other))

    def __rmul__(self, other: int) -> Expr:
        """Return other * self."""
        return mul(lift(other), self)

    def __truediv__(self, other: Expr | int) -> Expr:
        """Return self / other."""
        return div(self, lift(other))

    def __rtruediv__(self, other: int) -> Expr:
        """Return other / self."""
        return div(lift(other), self)

    def __neg__(self) -> Expr:
        """Return -self."""
        return neg(self)

    def __pow__(self, exponent: int) -> Expr:
        """Return self to a whole power."""
        return power(self, exponent)


_interned: WeakValueDictionary[tuple[object, ...], Expr] = WeakValueDictionary()
_intern_lock = threading.Lock()


def _intern(op: str, args: tuple[Expr, ...] = (), value: Fraction | str | int | None = None) -> Expr:
    key = (op, tuple(map(id, args)), value)
    with _intern_lock:
        found = _interned.get(key)
        if found is None:
            found = object.__new__(Expr)
            object.__setattr__(found, "op", op)
            object.__setattr__(found, "args", args)
            object.__setattr__(found, "value", value)
            _interned[key] = found
        return found


# --- constructors; they simplify only what is exact for every real argument -----------------------------------


def constant(value: int | Fraction) -> Expr:
    """Return an exact rational number."""
    return _intern("constant", (), Fraction(value))


def symbol(name: str) -> Expr:
    """Return an input (``z``, ``u``) or a parameter by name."""
    return _intern("symbol", (), name)


def lift(value: Expr | int | Fraction) -> Expr:
    """Return ``value`` as an expression."""
    return value if isinstance(value, Expr) else constant(value)


_LONGEST = 330  # bits; 99 decimal digits, which the parser reads back
ZERO = constant(0)
ONE = constant(1)
PI = _intern("pi")


def rational(node: Expr) -> Fraction | None:
    """Return the number a constant stands for, or ``None`` when ``node`` is no constant."""
    return node.value if isinstance(node.value, Fraction) else None


def to_float(value: Fraction) -> float:
    """Return the nearest float64, an infinity beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _folded(value: Fraction) -> Expr | None:
    """Return a number that arithmetic on numbers made, or ``None`` when it has become too long to write."""
    return (
        constant(value)
        if max(value.numerator.bit_length(), value.denominator.bit_length()) <= _LONGEST
        else None
    )


def _power_of_two(value: Fraction) -> bool:
    return value > 0 and value.numerator & (value.numerator - 1) == 0 == value.denominator & (
        value.denominator - 1
    )


def add(a: Expr, b: Expr) -> Expr:
    """Return a + b."""
    x, y = rational(a), rational(b)
    if x is not None and y is not None and (folded := _folded(x + y)):
        return folded
    if x == 0:
        return b
    if y == 0:
        return a
    if b.op == "neg":
        return sub(a, b.args[0])
    return _intern("add", (a, b))


def sub(a: Expr, b: Expr) -> Expr:
    """Return a - b."""
    x, y = rational(a), rational(b)
    if x is not None and y is not None and (folded := _folded(x - y)):
        return folded
    if x == 0:
        return neg(b)
    if y == 0:
        return a
    if b.op == "neg":
        return add(a, b.args[0])
    return _intern("sub", (a, b))


def mul(a: Expr, b: Expr) -> Expr:
    """Return a * b, numbers first and gathered, the sign outside."""
    x, y = rational(a), rational(b)
    if x is not None and y is not None and (folded := _folded(x * y)):
        return folded
    if y is not None and x is None:
        a, b, x, y = b, a, y, None
    if x == 0:
        return ZERO
    if x == 1:
        return b
    if x is not None and x < 0:
        return neg(mul(constant(-x), b))
    if a.op == "neg":
        return neg(mul(a.args[0], b))
    if b.op == "neg":
        return neg(mul(a, b.args[0]))
    if x is not None and b.op == "mul":
        inner = rational(b.args[0])
        # Gathering 2 * (z * 0.1) would round differently only if a product of numbers rounded; rationals do not.
        if inner is not None and (folded := _folded(x * inner)):
            return mul(folded, b.args[1])
    return _intern("mul", (a, b))


def div(a: Expr, b: Expr) -> Expr:
    """Return a / b; a division by a power of two becomes a product, which is exact in binary."""
    x, y = rational(a), rational(b)
    if x is not None and y is not None and y != 0 and (folded := _folded(x / y)):
        return folded
    if x == 0 and y != 0:
        return ZERO
    if y is not None and y < 0:
        return neg(div(a, constant(-y)))
    if y is not None and _power_of_two(y):
        return mul(constant(1 / y), a)
    if a.op == "neg":
        return neg(div(a.args[0], b))
    if b.op == "neg":
        return neg(div(a, b.args[0]))
    return _intern("div", (a, b))


def neg(a: Expr) -> Expr:
    """Return -a."""
    x = rational(a)
    if x is not None:
        return constant(-x)
    if a.op == "neg":
        return a.args[0]
    if a.op == "sub":
        return sub(a.args[1], a.args[0])
    return _intern("neg", (a,))


def power(a: Expr, exponent: int) -> Expr:
    """Return a to a whole power; a negative one is the reciprocal of the positive."""
    if not isinstance(exponent, int):
        raise TypeError(
            f"the exponent of a power is a whole number; {exponent!r:.60} was given (use exp and log)"
        )
    if exponent == 0:
        return ONE
    if exponent == 1:
        return a
    if exponent < 0:
        return div(ONE, power(a, -exponent))
    x = rational(a)
    # The bound keeps ((9**32)**32)**32 from becoming a number of millions of digits.
    if x is not None and exponent * max(x.numerator.bit_length(), x.denominator.bit_length()) <= _LONGEST:
        return constant(x**exponent)
    return _intern("power", (a,), exponent)


def where(condition: Expr, a: Expr, b: Expr) -> Expr:
    """Return a where the condition holds, else b."""
    return a if a is b else _intern("where", (condition, a, b))


def compare(op: str, a: Expr, b: Expr) -> Expr:
    """Return the condition ``a op b`` with ``op`` one of ``COMPARISONS``."""
    if op not in COMPARISONS:
        raise ValueError(f"{op!r} is no comparison; one of {', '.join(COMPARISONS)} was expected")
    return _intern(op, (a, b))


def call(name: str, *args: Expr) -> Expr:
    """Return a primitive applied to its arguments."""
    primitive = PRIMITIVES.get(name)
    if primitive is None or len(args) != primitive.arity:
        raise ValueError(f"{name!r} with {len(args)} arguments is no primitive")
    return _intern(name, args)


# --- walks ---------------------------------------------------------------------------------------------------


def postorder(root: Expr) -> Iterator[Expr]:
    """Yield every distinct node below ``root`` once, arguments before the node that uses them."""
    seen: set[Expr] = set()
    stack: list[tuple[Expr, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((argument, False) for argument in reversed(node.args))


def fold(root: Expr, visit: Callable[[Expr, tuple[T, ...]], T]) -> T:
    """Return ``visit(root, results of its arguments)``, every shared node visited once."""
    results: dict[Expr, T] = {}
    for node in postorder(root):
        results[node] = visit(node, tuple(results[argument] for argument in node.args))
    return results[root]


def symbols(root: Expr) -> frozenset[str]:
    """Return the names of the inputs and parameters that a formula uses."""
    return frozenset(
        node.value for node in postorder(root) if node.op == "symbol" and isinstance(node.value, str)
    )


def substitute(root: Expr, values: dict[str, Expr]) -> Expr:
    """Return the formula with symbols replaced by expressions."""

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op == "symbol" and isinstance(node.value, str):
            return values.get(node.value, node)
        return rebuild(node, args)

    return fold(root, visit)


_BUILDERS: dict[str, Callable[..., Expr]] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "neg": neg,
    "where": where,
}


def rebuild(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """Return ``node`` with other arguments, simplified again."""
    if not args:
        return node
    if node.op == "power":
        return power(args[0], int(node.value or 0))
    builder = _BUILDERS.get(node.op)
    return builder(*args) if builder else _intern(node.op, args, node.value)
