r"""Derivatives, by one rule per primitive.

A rule gets the arguments of a node and their derivatives and returns the derivative of the node. The rules are
chosen so that what they produce stays accurate in floating point: :math:`\tanh' = 4\sigma(2x)\sigma(-2x)`, not
:math:`1 - \tanh^2`, which cancels from |x| = 9 on in float32; the logistic density has a row of its own, so that
the second derivative of a sigmoid is a product, not a difference.
"""

from __future__ import annotations

from collections.abc import Callable

from triode import expr
from triode.expr import ONE, PI, ZERO, Expr, call, compare, fold, symbol, where

Rule = Callable[[Expr, tuple[Expr, ...], tuple[Expr, ...]], Expr]
"""``rule(node, arguments, derivatives of the arguments) -> derivative of the node``."""


def _chain(outer: Callable[[Expr], Expr]) -> Rule:
    def rule(node: Expr, args: tuple[Expr, ...], inner: tuple[Expr, ...]) -> Expr:
        return ZERO if inner[0] is ZERO else expr.mul(outer(args[0]), inner[0])

    return rule


def _zero(node: Expr, args: tuple[Expr, ...], inner: tuple[Expr, ...]) -> Expr:
    return ZERO


def _divide(node: Expr, args: tuple[Expr, ...], inner: tuple[Expr, ...]) -> Expr:
    # (a / b)' = a' / b - (a / b) (b' / b): no b**2, which overflows for |b| > 1.3e154.
    (_, b), (da, db) = args, inner
    return da / b - node * (db / b)


RULES: dict[str, Rule] = {
    # leaves; a symbol is handled by derivative(), which knows the variable
    "constant": _zero,
    "pi": _zero,
    "symbol": _zero,
    # structure
    "add": lambda node, args, inner: inner[0] + inner[1],
    "sub": lambda node, args, inner: inner[0] - inner[1],
    "mul": lambda node, args, inner: inner[0] * args[1] + args[0] * inner[1],
    "div": _divide,
    "neg": lambda node, args, inner: -inner[0],
    "power": lambda node, args, inner: (
        int(node.value or 0) * args[0] ** (int(node.value or 0) - 1) * inner[0]
    ),
    "where": lambda node, args, inner: where(args[0], inner[1], inner[2]),
    **dict.fromkeys(expr.COMPARISONS, _zero),
    # kinks: at a tie the second argument's derivative is taken, so max(z, 0) has derivative 0 at 0
    "min": lambda node, args, inner: where(compare("lt", *args), *inner),
    "max": lambda node, args, inner: where(compare("gt", *args), *inner),
    "abs": _chain(lambda x: call("sign", x)),
    "sign": _zero,
    # exponentials and logarithms
    "exp": _chain(lambda x: call("exp", x)),
    "expm1": _chain(lambda x: call("exp", x)),
    "log": _chain(lambda x: 1 / x),
    "log1p": _chain(lambda x: 1 / (1 + x)),
    "sqrt": _chain(lambda x: 1 / (2 * call("sqrt", x))),
    # the logistic family
    "tanh": _chain(lambda x: 4 * call("logistic_pdf", 2 * x)),
    "sigmoid": _chain(lambda x: call("logistic_pdf", x)),
    "logistic_pdf": _chain(lambda x: -(call("logistic_pdf", x) * call("tanh", x / 2))),
    "softplus": _chain(lambda x: call("sigmoid", x)),
    # the normal family
    "erf": _chain(lambda x: 2 / call("sqrt", PI) * call("gaussian", x)),
    "erfc": _chain(lambda x: -(2 / call("sqrt", PI) * call("gaussian", x))),
    "gaussian": _chain(lambda x: -(2 * (x * call("gaussian", x)))),
    "ndtr": _chain(lambda x: call("normal_pdf", x)),
    "normal_pdf": _chain(lambda x: -(x * call("normal_pdf", x))),
    # the Cauchy family; pi times the density is 1 / (1 + x^2)
    "cauchy_cdf": _chain(lambda x: call("cauchy_pdf", x)),
    "cauchy_pdf": _chain(lambda x: -(2 * PI * ((x * call("cauchy_pdf", x)) * call("cauchy_pdf", x)))),
    "segment_area": _chain(lambda x: 2 * (PI * (x * call("cauchy_pdf", x))) ** 2),
    # trigonometric and hyperbolic
    "sin": _chain(lambda x: call("cos", x)),
    "cos": _chain(lambda x: -call("sin", x)),
    "atan": _chain(lambda x: PI * call("cauchy_pdf", x)),
    "asinh": _chain(lambda x: 1 / call("sqrt", 1 + x**2)),
}
"""One row per operation."""


def derivative(formula: Expr, variable: str = "z", order: int = 1) -> Expr:
    r"""Return :math:`\partial^n f / \partial v^n` as a formula.

    Args:
        formula: The expression to differentiate.
        variable: The input or parameter to differentiate by; default ``"z"``.
        order: How often, 0 or more; default 1.

    Returns:
        The derivative; at a kink the value that the rules of ``min``, ``max``, ``abs`` and ``where`` give
        (``where`` differentiates its branches, never its condition).

    Raises:
        ValueError: For a negative order.

    Examples:
        >>> from triode.parse import parse
        >>> str(derivative(parse("max(z, 0)")))
        'where(z > 0, 1, 0)'
        >>> str(derivative(parse("z * ndtr(z)")))
        'ndtr(z) + z * normal_pdf(z)'
    """
    if order < 0:
        raise ValueError(f"the order of a derivative is 0 or more; {order} was given")
    target = symbol(variable)

    for _ in range(order):
        # Only what depends on the variable is differentiated; everything else is zero at once.
        def visit(node: Expr, results: tuple[Expr, ...]) -> Expr:
            if node is target:
                return ONE
            if all(result is ZERO for result in results):
                return ZERO
            return RULES[node.op](node, node.args, results)

        formula = fold(formula, visit)
    return formula
