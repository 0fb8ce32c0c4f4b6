"""Softmax and its logarithm on tensors, differentiable to any order in forms that do not cancel."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from triode.adapters import torch_operations
from triode.adapters.torch_operator import delivered, floating
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.normalising import Normalising


def normalise(
    activation: Normalising, x: Tensor, axis: int, temperature: float, out: Tensor | None = None
) -> Tensor:
    """Return softmax or its logarithm along an axis of a tensor."""
    x = floating(activation.name, x, x)
    if not isinstance(axis, numbers.Integral):
        raise TriodeError(f"{activation.name}: the axis must be a whole number, not {axis!r:.60}")
    if x.dim() == 0 or not -x.dim() <= axis < x.dim():
        raise TriodeError(
            f"{activation.name}: axis {axis} is not there in a tensor of shape {tuple(x.shape)}"
        )
    if x.shape[axis] == 0:
        raise TriodeError(
            f"{activation.name}: axis {axis} has no entries (shape {tuple(x.shape)}); at least one was expected"
        )
    result = _softmax(x, axis % x.dim() - x.dim(), temperature, activation.logarithm)
    return delivered(activation.name, result, out)


def through_arrays(function: Callable[..., Any], x: Tensor, *others: Any) -> Tensor:
    """Return a function of float64 arrays, computed on tensors, as a tensor like the first; it carries no gradient."""
    arrays = [torch.as_tensor(t).detach().to("cpu", torch.float64).numpy() for t in (x, *others)]
    return torch.as_tensor(function(*arrays)).to(
        x.device, x.dtype if x.is_floating_point() else torch.float64
    )


def _softmax(x: Tensor, axis: int, temperature: float, logarithm: bool) -> Tensor:
    # The compiler (Dynamo) traces no Function with a jvp; it has no use for forward mode either.
    road: Any = _Normalise if torch.compiler.is_compiling() else _NormaliseEager  # apply has no annotations
    result: Tensor = road.apply(x, axis, temperature, logarithm)
    return result


class _Normalise(torch.autograd.Function):
    """Softmax along an axis, its gradient in a form that does not cancel and can be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, axis: int, temperature: float, logarithm: bool) -> Tensor:
        """Compute in a wider type, round once."""
        return torch_operations.normalise(x, axis, temperature, logarithm)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the input."""
        ctx.options = inputs[1:]
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return s (g - sum g s) / T, or g - s sum g for the logarithm."""
        (x,) = ctx.saved_tensors
        axis, temperature, logarithm = ctx.options
        wide, g = torch_operations.widened(x), torch_operations.widened(gradients[0])
        s = _softmax(wide, axis, temperature, False)
        result = g - s * g.sum(axis, keepdim=True) if logarithm else s * _centred(g, s, wide, axis)
        return (result * _reciprocal(temperature)).to(x.dtype), None, None, None


class _NormaliseEager(_Normalise):
    """The same with a rule for forward-mode derivatives."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the input, for either direction."""
        _Normalise.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        """Return s (t - sum t s) / T, without the factor s for the logarithm."""
        (x,) = ctx.saved_tensors
        axis, temperature, logarithm = ctx.options
        if tangents[0] is None:
            return None
        wide, t = torch_operations.widened(x), torch_operations.widened(tangents[0])
        s = _softmax(wide, axis, temperature, False)
        result = _centred(t, s, wide, axis)
        result = result if logarithm else s * result
        return (result * _reciprocal(temperature)).to(x.dtype)


def _centred(v: Tensor, s: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return v minus its mean under s; taken relative to v at the largest entry, so that it does not cancel."""
    relative = v - v.gather(axis, x.detach().argmax(axis, keepdim=True))
    return relative - (relative * s).sum(axis, keepdim=True)


def _reciprocal(temperature: float) -> float:
    """Return 1 / T, and 0 in either limit, where the function is constant."""
    return 0.0 if temperature in (0.0, math.inf) else 1.0 / temperature
