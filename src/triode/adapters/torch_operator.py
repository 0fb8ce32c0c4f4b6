"""The operator ``triode::evaluate``: any partial derivative of any activation, on tensors.

Three roads lead to it. A plain CPU tensor in eager code goes straight to the compiled kernel (least overhead, and a
backward pass in one sweep). Function transforms (``vmap``, forward mode) go through an autograd function with rules
for them. The compiler sees the registered operator with its registered gradient, and keeps it whole. On devices
that the kernels do not reach, the operator composes the formula of PyTorch's own operations.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

from triode import catalogue
from triode.activation import Activation
from triode.adapters import torch_operations
from triode.errors import MissingExtra, TriodeError
from triode.kernels import dispatch

try:
    import torch
except ImportError:
    raise MissingExtra("PyTorch", "triode.torch", "torch") from None

from torch import Tensor, nn
from torch.autograd import forward_ad

FLOATS = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}
"""The types that an activation keeps."""

TRAINING = "!training"
"""Marks, after a specification, the formula that a sampled activation (RReLU) uses while training."""


_library = torch.library.Library("triode", "DEF")
_library.define(
    "evaluate(str activation, str variables, Tensor[] tensors, str[] names, float[] scalars) -> Tensor"
)


_unnamed: dict[str, Activation] = {}  # made by hand, outside the catalogue; kept as long as the process


def key_of(activation: Activation, training: bool) -> str:
    """Return the text that names the activation to the operator, so that a saved graph can hold it."""
    mark = TRAINING if training else ""
    if catalogue.holds(activation):
        return catalogue.specification(activation) + mark
    key = f"#{id(activation)}"
    _unnamed[key] = activation
    return key + mark


# What torch.compiler.assume_constant_result does; calling it would import the compiler, two seconds, now.
key_of.__dict__["_dynamo_marked_constant"] = True


@functools.cache
def _resolve(key: str) -> Activation:
    """Return the activation that an operator call names."""
    name = key.removesuffix(TRAINING)
    found = _unnamed[name] if name.startswith("#") else catalogue.get(name)
    return found.training_form if key.endswith(TRAINING) and found.training_form else found


def _variables(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _evaluate_cpu(
    activation: str, variables: str, tensors: Sequence[Tensor], names: Sequence[str], scalars: Sequence[float]
) -> Tensor:
    return _run(_resolve(activation), _variables(variables), tensors, names, tuple(scalars))


def _run(
    activation: Activation,
    variables: tuple[str, ...],
    tensors: Sequence[Tensor],
    names: Sequence[str],
    scalars: tuple[float, ...],
) -> Tensor:
    """Run the compiled kernel on the tensors' own memory."""
    first = tensors[0]
    out = torch.empty_like(first)
    arrays = []
    addresses = []
    held = []
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.shape != first.shape or tensor.stride() != out.stride():
            tensor = torch.empty_like(out, dtype=tensor.dtype).copy_(tensor)  # noqa: PLW2901
            held.append(tensor)  # must outlive the call
        arrays.append((name, FLOATS[tensor.dtype]))
        addresses.append(tensor.data_ptr())
    kernel, _ = dispatch.plan(activation, variables, tuple(arrays), FLOATS[first.dtype])
    kernel(out.numel(), out.data_ptr(), *addresses, struct.pack(f"{len(scalars)}d", *scalars))
    return out


def _evaluate_elsewhere(
    activation: str, variables: str, tensors: Sequence[Tensor], names: Sequence[str], scalars: Sequence[float]
) -> Tensor:
    formula = _resolve(activation)
    first = tensors[0]
    work = torch.float32 if first.dtype in (torch.float16, torch.bfloat16) else first.dtype
    values: dict[str, Tensor] = {name: tensor.to(work) for name, tensor in zip(names, tensors, strict=True)}
    rest = [parameter.name for parameter in formula.parameters if parameter.name not in values]
    for name, scalar in zip(rest, scalars, strict=False):
        values[name] = torch.full((), scalar, dtype=work, device=first.device)
    expression = formula.partial(_variables(variables))
    result = torch_operations.compose(expression, values)
    if len(formula.inputs) == 1 and torch_operations.undefined_at_infinity(expression, tuple(values)):
        result = torch_operations.with_limits(expression, values, result)
    for name in formula.inputs:
        result = torch.where(torch.isnan(values[name]), values[name], result)
    return torch.empty_like(first).copy_(result)


def _evaluate_shape(
    activation: str, variables: str, tensors: Sequence[Tensor], names: Sequence[str], scalars: Sequence[float]
) -> Tensor:
    return torch.empty_like(tensors[0])


_library.impl("evaluate", _evaluate_cpu, "CPU")
_library.impl("evaluate", _evaluate_elsewhere, "CompositeExplicitAutograd")
torch.library.register_fake("triode::evaluate", _evaluate_shape, lib=_library)


def _in_front(size: int, dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Put every batch dimension in front, so that what has none broadcasts."""
    width = tensors[0].dim() - (dims[0] is not None)
    moved = []
    for tensor, dim in zip(tensors, dims, strict=True):
        if dim is None:
            moved.append(tensor)
            continue
        front = tensor.movedim(dim, 0)
        missing = width - (front.dim() - 1)
        moved.append(front.reshape(front.shape[0], *[1] * missing, *front.shape[1:]))
    if dims[0] is None:
        moved[0] = moved[0].expand(size, *moved[0].shape).contiguous()
    return moved


def _evaluate_batched(
    info: Any,
    dims: tuple[Any, ...],
    activation: str,
    variables: str,
    tensors: Sequence[Tensor],
    names: Sequence[str],
    scalars: Sequence[float],
) -> tuple[Tensor, int]:
    moved = _in_front(info.batch_size, dims[2], tensors)
    return torch.ops.triode.evaluate(activation, variables, moved, names, scalars), 0


torch.library.register_vmap("triode::evaluate", _evaluate_batched, lib=_library)


def _gradients(
    call: tuple[str, str, Sequence[str], Sequence[float]],
    tensors: Sequence[Tensor],
    gradient: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Return gradient times partial derivative for every tensor that wants it."""
    activation, variables, names, scalars = call
    results: list[Tensor | None] = []
    for name, tensor, wanted in zip(names, tensors, needed, strict=True):
        if not wanted:
            results.append(None)
            continue
        product = gradient * apply(activation, _joined(variables, name), names, scalars, *tensors)
        results.append(_summed(product, tensor))
    return results


def _summed(product: Tensor, like: Tensor) -> Tensor:
    """Return a gradient summed over the dimensions along which its tensor was broadcast."""
    if product.shape == like.shape:
        return product
    # In the wider of the two types: a float32 parameter of a float16 input has sums beyond 65504.
    wide = product.to(torch.promote_types(product.dtype, like.dtype))
    return wide.sum_to_size(like.shape).to(like.dtype)


def _keep_for_operator(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    activation, variables, tensors, names, scalars = inputs
    ctx.call = (activation, variables, names, scalars)
    ctx.save_for_backward(*tensors)


def _operator_gradient(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    needed = ctx.needs_input_grad[2]
    wanted = needed if isinstance(needed, (list, tuple)) else [needed] * len(ctx.saved_tensors)
    return None, None, _gradients(ctx.call, ctx.saved_tensors, gradient, wanted), None, None


torch.library.register_autograd(
    "triode::evaluate", _operator_gradient, setup_context=_keep_for_operator, lib=_library
)


class _Evaluate(torch.autograd.Function):
    """The operator under function transforms: batching (vmap) and forward-mode derivatives."""

    @staticmethod
    def forward(
        activation: str, variables: str, names: tuple[str, ...], scalars: tuple[float, ...], *tensors: Tensor
    ) -> Tensor:
        """Compute."""
        result: Tensor = torch.ops.triode.evaluate(activation, variables, tensors, names, scalars)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the inputs, from which a derivative is computed."""
        ctx.call = inputs[:4]
        ctx.save_for_backward(*inputs[4:])
        ctx.save_for_forward(*inputs[4:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the tensors."""
        return (
            None,
            None,
            None,
            None,
            *_gradients(ctx.call, ctx.saved_tensors, gradients[0], ctx.needs_input_grad[4:]),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        """Compute a whole batch at once."""
        moved = _in_front(info.batch_size, in_dims[4:], inputs[4:])
        return apply(*inputs[:4], *moved), 0

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        """Return the sum of tangent times partial derivative."""
        tensors = ctx.saved_tensors
        activation, variables, names, scalars = ctx.call
        total: Tensor | None = None
        for name, tangent in zip(names, tangents[4:], strict=True):
            if tangent is None:
                continue
            part = tangent * apply(activation, _joined(variables, name), names, scalars, *tensors)
            total = part if total is None else total + part
        return total


class _EvaluateHere(torch.autograd.Function):
    """The common case, a plain CPU tensor in eager code: no dispatcher, and the backward pass in one sweep."""

    @staticmethod
    def forward(
        ctx: Any,
        activation: Activation,
        key: str,
        variables: tuple[str, ...],
        names: tuple[str, ...],
        scalars: tuple[float, ...],
        *tensors: Tensor,
    ) -> Tensor:
        """Compute."""
        ctx.call = (activation, key, variables, names, scalars)
        ctx.save_for_backward(*tensors)
        return _run(activation, variables, tensors, names, scalars)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the tensors; differentiable ones when a graph is being made."""
        activation, key, variables, names, scalars = ctx.call
        tensors = ctx.saved_tensors
        (gradient,) = gradients
        needed = ctx.needs_input_grad[5:]
        if torch.is_grad_enabled() or not _plain([*tensors, gradient]):
            call = (key, ",".join(variables), names, scalars)
            return (None,) * 5 + tuple(_gradients(call, tensors, gradient, needed))
        results: list[Tensor | None] = []
        for name, tensor, wanted in zip(names, tensors, needed, strict=True):
            if not wanted:
                results.append(None)
                continue
            by = _variables(_joined(",".join(variables), name))
            product = _run(activation, by, [*tensors, gradient], [*names, dispatch.GRADIENT], scalars)
            results.append(_summed(product, tensor))
        return (None,) * 5 + tuple(results)


_ORDINARY = frozenset((Tensor, nn.Parameter))


def _plain(tensors: Sequence[Tensor]) -> bool:
    """Say whether the tensors are ordinary CPU memory and nobody is tracing, batching or pushing tangents."""
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return False
    if forward_ad._current_level >= 0 or torch._C._len_torch_dispatch_stack() > 0:
        return False
    for tensor in tensors:
        if type(tensor) not in _ORDINARY or not tensor.is_cpu or tensor.layout is not torch.strided:
            return False
        # Tensors whose memory is not their value; the dispatcher knows what to do with them.
        if tensor.is_neg() or tensor._is_zerotensor() or torch._C._functorch.is_legacy_batchedtensor(tensor):
            return False
    return True


def apply(
    activation: str, variables: str, names: Sequence[str], scalars: Sequence[float], *tensors: Tensor
) -> Tensor:
    """Return a partial derivative of an activation, by the road that fits the tensors.

    Args:
        activation: The text of ``catalogue.specification``, with ``TRAINING`` after it for a sampled form.
        variables: What to differentiate by, separated by commas; empty for the function itself.
        names: The symbol that each tensor stands for: the inputs first, then parameters that are tensors.
        scalars: The values of the other parameters, in order of declaration; never empty.
        *tensors: The inputs, of one shape and type; parameters broadcast against them.
    """
    result: Tensor
    road: Any  # Function.apply has no annotations
    if _plain(tensors):
        formula, by = _resolve(activation), _variables(variables)
        symbols, numbers = tuple(names), tuple(scalars)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            road = _EvaluateHere.apply
            result = road(formula, activation, by, symbols, numbers, *tensors)
        else:
            result = _run(formula, by, tensors, symbols, numbers)
    elif torch.compiler.is_compiling():
        # The compiler (Dynamo) traces an operator with a registered gradient whole, but no Function with a jvp.
        result = torch.ops.triode.evaluate(activation, variables, tensors, names, scalars)
    else:
        road = _Evaluate.apply
        result = road(activation, variables, tuple(names), tuple(scalars), *tensors)
    return result


def _joined(variables: str, name: str) -> str:
    """Return the variables with one more, in a fixed order: partial derivatives commute."""
    return ",".join(sorted([*_variables(variables), name], key=lambda text: (text != "z", text)))


def delivered(name: str, result: Tensor, out: Any) -> Tensor:
    """Return the result, in ``out`` if given."""
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise TriodeError(f"{name}: out= must be a tensor, as the input is; {type(out).__name__} was given")
    if out.shape != result.shape or out.dtype != result.dtype:
        given, wanted = f"{out.dtype}{list(out.shape)}", f"{result.dtype}{list(result.shape)}"
        raise TriodeError(f"{name}: out= is {given}, the result is {wanted}; they must agree")
    return out.copy_(result)


def floating(name: str, x: Any, reference: Tensor) -> Tensor:
    """Return an input as a tensor of one of the four float types; integers and booleans become float64."""
    try:
        tensor = x if isinstance(x, Tensor) else torch.as_tensor(x, device=reference.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TriodeError(f"{name}: an input cannot be read as a tensor of numbers ({error})") from None
    if tensor.layout is not torch.strided or tensor.is_nested:
        raise TriodeError(f"{name}: a sparse or nested tensor was given; a dense one was expected")
    if tensor.dtype in FLOATS:
        return tensor
    if tensor.is_complex() or tensor.is_floating_point():
        raise TriodeError(f"{name}: a {tensor.dtype} tensor cannot be computed with; a real one was expected")
    return tensor.to(torch.float64)
