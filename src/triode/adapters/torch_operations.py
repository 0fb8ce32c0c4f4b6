"""A formula composed of PyTorch's own operations, for devices that the compiled kernels do not reach."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from triode.errors import MissingExtra
from triode.expr import VANISH_SLOWLY, Expr, fold, to_float

try:
    import torch
except ImportError:
    raise MissingExtra("PyTorch", "triode.torch", "torch") from None

from torch import Tensor


def _sigmoid(x: Tensor) -> Tensor:
    # torch.sigmoid forms 1 + exp(-x), which overflows before the result underflows.
    e = torch.exp(-x.abs())
    return torch.where(x < 0, e, torch.ones_like(e)) / (1.0 + e)


def _logistic_pdf(x: Tensor) -> Tensor:
    e = torch.exp(-x.abs())
    return e / ((1.0 + e) * (1.0 + e))


def _ndtr(x: Tensor) -> Tensor:
    # 1 + erf would cancel in the lower tail; erfcx carries the tail without underflow.
    b = x.abs()
    tail = 0.5 * torch.special.erfcx(b * math.sqrt(0.5)) * torch.exp(-0.5 * b * b)
    return torch.where(x < 0, tail, 1.0 - tail)


def _softplus(x: Tensor) -> Tensor:
    return torch.clamp(x, min=0) + torch.log1p(torch.exp(-x.abs()))


def _cauchy_pdf(x: Tensor) -> Tensor:
    return 1.0 / (math.pi * (1.0 + x * x))


def _segment_area(x: Tensor) -> Tensor:
    # The odd series where the difference would cancel: 2/3 x^3 - 4/5 x^5 + 6/7 x^7 - ...
    square = x * x
    series = torch.zeros_like(x)
    for n in range(27, 0, -1):
        series = series * -square + 2.0 * n / (2 * n + 1)
    near = x * square * series
    return torch.where(x.abs() < 0.5, near, torch.atan(x) - 1.0 / (x + 1.0 / x))


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    # An exact zero wins over an infinity: the value that the product has at every finite point.
    "mul": lambda a, b: torch.where((a == 0) | (b == 0), torch.zeros_like(a * b), a * b),
    "div": lambda a, b: a / b,
    "neg": lambda x: -x,
    "where": torch.where,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "abs": torch.abs,
    "sign": torch.sign,
    "min": torch.minimum,
    "max": torch.maximum,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": _sigmoid,
    "logistic_pdf": _logistic_pdf,
    "softplus": _softplus,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "gaussian": lambda x: torch.exp(-x * x),
    "ndtr": _ndtr,
    "normal_pdf": lambda x: torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
    "cauchy_cdf": lambda x: torch.atan2(torch.ones_like(x), -x) / math.pi,
    "cauchy_pdf": _cauchy_pdf,
    "segment_area": _segment_area,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "asinh": torch.asinh,
}
"""One row per operation but for the leaves and ``power``."""


def compose(formula: Expr, values: Mapping[str, Tensor]) -> Tensor:
    """Return the formula's values by PyTorch's operations.

    Args:
        formula: The expression.
        values: A tensor for each symbol, of one type and device; they broadcast.
    """
    like = next(iter(values.values()))

    def visit(node: Expr, args: tuple[Tensor, ...]) -> Tensor:
        if node.op == "constant":
            number = to_float(node.value if isinstance(node.value, Fraction) else Fraction(0))
            return torch.full((), number, dtype=like.dtype, device=like.device)
        if node.op == "pi":
            return torch.full((), math.pi, dtype=like.dtype, device=like.device)
        if node.op == "symbol":
            return values[str(node.value)]
        if node.op == "power":
            return args[0] ** int(node.value or 0)
        if node.op == "mul" and any(factor.op in VANISH_SLOWLY for factor in node.args):
            return args[0] * args[1]
        return OPERATIONS[node.op](*args)

    shape = torch.broadcast_shapes(*(tensor.shape for tensor in values.values()))
    return fold(formula, visit).expand(shape)


@functools.cache
def undefined_at_infinity(formula: Expr, names: tuple[str, ...]) -> bool:
    """Say whether arithmetic itself (0 * inf, inf / inf) is undefined at an infinite ``z``, parameters being 1."""
    values = {name: torch.ones(2, dtype=torch.float64) for name in names}
    values["z"] = torch.tensor([math.inf, -math.inf], dtype=torch.float64)
    return bool(torch.isnan(compose(formula, values)).any())


def with_limits(formula: Expr, values: Mapping[str, Tensor], result: Tensor) -> Tensor:
    """Return the result with its limits at infinite ``z``, read off at a point far out, as the kernels do."""
    z = values["z"]
    far, decided = (1e150, 1e100) if z.dtype == torch.float64 else (1e15, 1e10)
    there = compose(formula, {**values, "z": torch.clamp(z, -far, far)})
    limit = torch.where(there.abs() > decided, there * math.inf, there)
    limit = torch.where(there.abs() < 1 / decided, there * 0.0, limit)
    return torch.where(torch.isinf(z), limit, result)


def widened(x: Tensor) -> Tensor:
    """Return a tensor in the type in which a sum along an axis is computed before it is rounded once."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.to(torch.float32)
    return x.to(torch.float64) if x.device.type == "cpu" else x


def normalise(x: Tensor, axis: int, temperature: float, logarithm: bool) -> Tensor:
    """Return softmax along an axis, or its logarithm, with the limits of :mod:`triode.normalising`."""
    wide = widened(x)
    largest = wide.amax(axis, keepdim=True)
    scaled = (wide - largest) / temperature
    scaled = torch.where(wide == largest, torch.zeros_like(scaled), scaled)
    if temperature == math.inf:
        scaled = torch.zeros_like(scaled)
    scaled = torch.where(torch.isnan(largest), largest, scaled)
    e = torch.exp(scaled)
    if not logarithm:
        return (e / e.sum(axis, keepdim=True)).to(x.dtype)
    top = torch.zeros_like(e, dtype=torch.bool).scatter(axis, wide.argmax(axis, keepdim=True), value=True)
    others = torch.where(top, torch.zeros_like(e), e).sum(axis, keepdim=True)
    return (scaled - torch.log1p(others)).to(x.dtype)
