r"""PyTorch: every activation as a function and a module, differentiable to any order.

One operator, ``triode::evaluate``, computes any partial derivative of any activation; its gradient is the same
operator with one more variable. On a CPU it runs the compiled kernels on the tensor's own memory; elsewhere the
same expression is composed of PyTorch's operations. Because it is a registered operator, ``torch.compile`` keeps
it in the graph, and ``vmap`` has a rule for it.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from triode import catalogue
from triode.activation import Activation as Formula
from triode.adapters import torch_operations
from triode.errors import MissingExtra, TriodeError
from triode.kernels import dispatch

try:
    import torch
except ImportError:
    raise MissingExtra("PyTorch", "triode.torch", "torch") from None

from torch import Tensor, nn
from torch.autograd import forward_ad

if TYPE_CHECKING:
    from triode.normalising import Normalising

_FLOATS = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}
_TRAINING = "!training"  # marks the formula that a sampled activation (RReLU) uses while training

# --- the operator --------------------------------------------------------------------------------------------

_library = torch.library.Library("triode", "DEF")
_library.define("evaluate(str activation, str variables, Tensor[] tensors, str[] names, float[] scalars) -> Tensor")


@functools.cache
def _resolve(key: str) -> Formula:
    """Return the activation that an operator call names; the key is text, so that a saved graph holds it."""
    found = catalogue.get(key.removesuffix(_TRAINING))
    return found.training_form if key.endswith(_TRAINING) and found.training_form else found


def _variables(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _evaluate_cpu(
    activation: str, variables: str, tensors: Sequence[Tensor], names: Sequence[str], scalars: Sequence[float]
) -> Tensor:
    return _run(_resolve(activation), _variables(variables), tensors, names, tuple(scalars))


def _run(
    activation: Formula,
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
        arrays.append((name, _FLOATS[tensor.dtype]))
        addresses.append(tensor.data_ptr())
    kernel, _ = dispatch.plan(activation, variables, tuple(arrays), _FLOATS[first.dtype])
    kernel(out.numel(), out.data_ptr(), *addresses, _address_of(scalars)[1])
    return out


@functools.lru_cache(maxsize=1024)
def _address_of(scalars: tuple[float, ...]) -> tuple[Any, int]:
    """Return memory that holds the scalars, and its address."""
    memory = (ctypes.c_double * len(scalars))(*scalars)
    return memory, ctypes.addressof(memory)


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
    result = torch_operations.compose(formula.partial(_variables(variables)), values)
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
        product = gradient * _apply(activation, _joined(variables, name), names, scalars, *tensors)
        results.append(product.sum_to_size(tensor.shape).to(tensor.dtype) if tensor.shape != product.shape else product)
    return results


def _keep_for_operator(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    activation, variables, tensors, names, scalars = inputs
    ctx.call = (activation, variables, names, scalars)
    ctx.save_for_backward(*tensors)


def _operator_gradient(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    needed = ctx.needs_input_grad[2]
    wanted = needed if isinstance(needed, (list, tuple)) else [needed] * len(ctx.saved_tensors)
    return None, None, _gradients(ctx.call, ctx.saved_tensors, gradient, wanted), None, None


torch.library.register_autograd("triode::evaluate", _operator_gradient, setup_context=_keep_for_operator, lib=_library)


class _Evaluate(torch.autograd.Function):
    """The operator under function transforms: batching (vmap) and forward-mode derivatives."""

    @staticmethod
    def forward(activation: str, variables: str, names: tuple[str, ...], scalars: tuple[float, ...], *tensors: Tensor) -> Tensor:
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
        return (None, None, None, None, *_gradients(ctx.call, ctx.saved_tensors, gradients[0], ctx.needs_input_grad[4:]))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        """Compute a whole batch at once."""
        moved = _in_front(info.batch_size, in_dims[4:], inputs[4:])
        return _apply(*inputs[:4], *moved), 0

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        """Return the sum of tangent times partial derivative."""
        tensors = ctx.saved_tensors
        activation, variables, names, scalars = ctx.call
        total: Tensor | None = None
        for name, tangent in zip(names, tangents[4:], strict=True):
            if tangent is None:
                continue
            part = tangent * _apply(activation, _joined(variables, name), names, scalars, *tensors)
            total = part if total is None else total + part
        return total


class _EvaluateHere(torch.autograd.Function):
    """The common case, a plain CPU tensor in eager code: no dispatcher, and the backward pass in one sweep."""

    @staticmethod
    def forward(
        ctx: Any,
        activation: Formula,
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
            same = tensor.shape == product.shape
            results.append(product if same else product.sum_to_size(tensor.shape).to(tensor.dtype))
        return (None,) * 5 + tuple(results)


def _plain(tensors: Sequence[Tensor]) -> bool:
    """Say whether the tensors are ordinary CPU memory and nobody is tracing, batching or pushing tangents."""
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return False
    if forward_ad._current_level >= 0 or torch._C._len_torch_dispatch_stack() > 0:
        return False
    return all(
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not torch._C._functorch.is_legacy_batchedtensor(tensor)
        for tensor in tensors
    )


def _apply(
    activation: str, variables: str, names: Sequence[str], scalars: Sequence[float], *tensors: Tensor
) -> Tensor:
    result: Tensor
    if _plain(tensors):
        call = (_resolve(activation), activation, _variables(variables), tuple(names), tuple(scalars))
        result = _EvaluateHere.apply(*call, *tensors)
    elif torch.compiler.is_compiling():
        # The compiler (Dynamo) traces an operator with a registered gradient whole, but no Function with a jvp.
        result = torch.ops.triode.evaluate(activation, variables, tensors, names, scalars)
    else:
        result = _Evaluate.apply(activation, variables, tuple(names), tuple(scalars), *tensors)
    return result


def _joined(variables: str, name: str) -> str:
    """Return the variables with one more, in a fixed order: partial derivatives commute."""
    return ",".join(sorted([*_variables(variables), name], key=lambda text: (text != "z", text)))


# --- calls ---------------------------------------------------------------------------------------------------


def evaluate(
    activation: Formula,
    variables: tuple[str, ...],
    inputs: Sequence[Any],
    out: Tensor | None,
    parameters: Mapping[str, Any],
    training: bool = False,
) -> Tensor:
    """Return a partial derivative of an activation at tensors (see :func:`triode.kernels.dispatch.evaluate`).

    A parameter may be a tensor that broadcasts against the input; it then gets a gradient.
    """
    key = catalogue.specification(activation) + (_TRAINING if training else "")
    formula = activation.training_form if training and activation.training_form else activation
    reference = next(x for x in inputs if isinstance(x, Tensor))
    tensors = [_floating(activation.name, x, reference) for x in inputs]
    if len(tensors) > 1:
        dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
        tensors = list(torch.broadcast_tensors(*(tensor.to(dtype) for tensor in tensors)))
    names = list(formula.inputs)
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        formula.parameter(name)
        if isinstance(value, Tensor):
            names.append(name)
            tensors.append(value)
        else:
            plain[name] = value
    checked = formula.check_parameters(plain)
    # Never empty: a registered gradient mistakes an empty list of numbers for one of tensors.
    scalars = tuple(checked[parameter.name] for parameter in formula.parameters if parameter.name not in names) or (0.0,)
    result = _apply(key, ",".join(variables), tuple(names), scalars, *tensors)
    return result if out is None else out.copy_(result)


def _floating(name: str, x: Any, reference: Tensor) -> Tensor:
    tensor = x if isinstance(x, Tensor) else torch.as_tensor(x, device=reference.device)
    if tensor.dtype in _FLOATS:
        return tensor
    if tensor.is_complex() or tensor.is_floating_point():
        raise TriodeError(f"{name}: a {tensor.dtype} tensor cannot be computed with; a real one was expected")
    return tensor.to(torch.float64)


def normalise(activation: Normalising, x: Tensor, axis: int, temperature: float, out: Tensor | None = None) -> Tensor:
    """Return softmax or its logarithm along an axis of a tensor."""
    x = _floating(activation.name, x, x)
    if x.dim() == 0 or not -x.dim() <= axis < x.dim():
        raise TriodeError(f"{activation.name}: axis {axis} is not there in a tensor of shape {tuple(x.shape)}")
    result: Tensor = _Normalise.apply(x, axis % x.dim() - x.dim(), temperature, activation.logarithm)
    return result if out is None else out.copy_(result)


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
        """Return s (g - sum g s) / T, with g taken relative to its value at the largest entry."""
        (x,) = ctx.saved_tensors
        axis, temperature, logarithm = ctx.options
        (g,) = gradients
        s = _Normalise.apply(x, axis, temperature, False)
        if logarithm:
            result = g - s * g.sum(axis, keepdim=True)
        else:
            relative = g - g.gather(axis, x.detach().argmax(axis, keepdim=True))
            result = s * (relative - (relative * s).sum(axis, keepdim=True))
        scale = 0.0 if temperature in (0.0, math.inf) else 1.0 / temperature
        return result * scale, None, None, None


# --- modules -------------------------------------------------------------------------------------------------


class Activation(nn.Module):
    r"""Any activation as a module.

    Args:
        activation: A name, an alias, ``"name=formula"``, or an activation object.
        learn: Which parameters training learns: ``True`` for all learnable ones, ``False`` for none, a name or
            names; default those that the function exists to learn (PReLU's slope).
        channels: With learned parameters, how many of each: ``None`` for one scalar, or one for each entry of
            dimension 1 of the input.
        dim: For a normalising activation the axis (default the last); for a gated pair given as one tensor, the
            dimension that is split in halves.
        **parameters: Fixed values, or starting values of the learned ones, by name.

    Examples:
        >>> import torch, triode
        >>> triode.torch.Activation("mish")(torch.zeros(2))
        tensor([0., 0.])
        >>> triode.torch.LeakyReLU(alpha=0.1)
        LeakyReLU(alpha=0.1)
        >>> [tuple(p.shape) for p in triode.torch.PReLU(channels=3).parameters()]
        [(3,)]
    """

    def __init__(
        self,
        activation: str | Formula,
        *,
        learn: bool | str | Sequence[str] | None = None,
        channels: int | None = None,
        dim: int = -1,
        **parameters: float,
    ) -> None:
        """Check the parameters and make the learned ones trainable."""
        super().__init__()
        self.activation = catalogue.get(activation) if isinstance(activation, str) else activation
        self.dim = dim
        self.channels = channels
        if self.activation.kind == "normalising":
            temperature = self.activation.check_temperature(parameters.pop("temperature", 1.0))  # type: ignore[attr-defined]
            self.fixed: dict[str, float] = {"temperature": temperature}
            self.activation.check_parameters(parameters)
            self.learned: tuple[str, ...] = ()
            return
        values = self.activation.check_parameters(parameters)
        self.learned = _learned(self.activation, learn)
        self.fixed = {name: value for name, value in values.items() if name not in self.learned}
        for name in self.learned:
            shape = () if channels is None else (channels,)
            self.register_parameter(name, nn.Parameter(torch.full(shape, values[name])))

    def forward(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Return the activation of ``z``; a gated pair takes two tensors, or one that it splits in halves."""
        formula = self.activation
        if formula.kind == "normalising":
            result: Tensor = formula(z, axis=self.dim, **self.fixed)
            return result
        if formula.kind == "gated" and u is None:
            if z.shape[self.dim] % 2:
                raise TriodeError(f"{formula.name}: dimension {self.dim} of shape {tuple(z.shape)} cannot be split in halves")
            z, u = z.chunk(2, self.dim)
        inputs = (z,) if u is None else (z, u)
        if self.training and formula.sampled is not None:
            low, high = self.fixed[formula.sampled.low], self.fixed[formula.sampled.high]
            drawn = torch.empty_like(z).uniform_(low, high)
            return evaluate(formula, (), inputs, None, {formula.sampled.parameter: drawn}, training=True)
        values: dict[str, Any] = dict(self.fixed)
        for name in self.learned:
            values[name] = self._broadcast(getattr(self, name), z)
        return evaluate(formula, (), inputs, None, values)

    def _broadcast(self, parameter: Tensor, z: Tensor) -> Tensor:
        if self.channels in (None, 1):
            return parameter
        if z.dim() < 2 or z.shape[1] != self.channels:
            raise TriodeError(
                f"{self.activation.name}: {self.channels} channels were declared, but dimension 1 of the input of shape "
                f"{tuple(z.shape)} does not have as many"
            )
        return parameter.reshape(-1, *[1] * (z.dim() - 2))

    def extra_repr(self) -> str:
        """Return the parameters as they would be written in a call."""
        parts = [] if type(self) is not Activation else [repr(catalogue.specification(self.activation))]
        parts += [f"{name}={value:g}" for name, value in self.fixed.items()]
        if self.learned:
            chosen = {p.name for p in self.activation.parameters if p.learned}
            parts += [f"channels={self.channels}"] if self.channels is not None else []
            parts += [] if set(self.learned) == chosen else [f"learn={self.learned!r}"]
        if self.activation.kind != "elementwise":
            parts.append(f"dim={self.dim}")
        return ", ".join(parts)


def _learned(activation: Formula, learn: bool | str | Sequence[str] | None) -> tuple[str, ...]:
    if learn is None:
        return tuple(parameter.name for parameter in activation.parameters if parameter.learned)
    if isinstance(learn, bool):
        return tuple(parameter.name for parameter in activation.parameters if parameter.learnable and learn)
    names = (learn,) if isinstance(learn, str) else tuple(learn)
    for name in names:
        if not activation.parameter(name).learnable:
            raise TriodeError(f"{activation.name}: {name} is not a parameter that can be learned")
    return names


_SPELLED = {"silu": "SiLU", "reglu": "ReGLU", "geglu": "GEGLU", "swiglu": "SwiGLU"}


def _class_name(name: str) -> str:
    """Return the name of the module class as PyTorch's users write it: gelu -> GELU, leaky_relu -> LeakyReLU."""

    def word(text: str) -> str:
        if text in _SPELLED:
            return _SPELLED[text]
        stem, relu, rest = text.partition("relu")
        if relu:
            return f"{stem.upper()}ReLU{rest}"
        return text.upper() if text.endswith("lu") else text.capitalize()

    return "".join(word(part) for part in name.split("_"))


@functools.cache
def _module_class(name: str) -> type[Activation]:
    activation = catalogue.get(name)

    def __init__(self: Activation, **options: Any) -> None:
        Activation.__init__(self, name, **options)

    doc = f"{activation.title} as a module: {activation.summary}\n\nTakes the options of ``Activation``, by keyword."
    body = {"__init__": __init__, "__doc__": doc, "__module__": __name__, "__qualname__": _class_name(name)}
    return type(_class_name(name), (Activation,), body)


def __getattr__(name: str) -> Any:
    """Return a module class (``GELU``) or a function (``gelu``) for any activation, by name or alias."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    squashed = name.lower().replace("_", "")
    for activation in catalogue.activations():
        for known in (activation.name, *activation.aliases):
            if name == known:
                return activation
            if squashed == known.replace("_", "").lower():
                return _module_class(activation.name)
    raise AttributeError(f"triode.torch has no {name!r}; no activation is called that")


def __dir__() -> list[str]:
    """Return the modules and functions of every activation."""
    every = catalogue.activations()
    return sorted({"Activation", *(_class_name(a.name) for a in every), *(a.name for a in every)})
