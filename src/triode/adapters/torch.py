"""PyTorch: every activation as a function and a module, differentiable to any order.

``triode.torch.GELU()`` is a module, ``triode.torch.gelu(x)`` and ``triode.gelu(x)`` are the function; the names of
modules are those that PyTorch's users know. What computes is the operator of :mod:`triode.adapters.torch_operator`.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from triode import catalogue
from triode.activation import Activation as Formula
from triode.adapters.torch_operator import apply, delivered, floating, key_of
from triode.errors import MissingExtra, TriodeError

try:
    import torch
except ImportError:
    raise MissingExtra("PyTorch", "triode.torch", "torch") from None

from torch import Tensor, nn

if TYPE_CHECKING:
    pass


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
    key = key_of(activation, training)
    formula = activation.training_form if training and activation.training_form else activation
    reference = next(x for x in inputs if isinstance(x, Tensor))
    tensors = [floating(activation.name, x, reference) for x in inputs]
    if len(tensors) > 1:
        dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
        try:
            tensors = list(torch.broadcast_tensors(*(tensor.to(dtype) for tensor in tensors)))
        except RuntimeError:
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise TriodeError(
                f"{activation.name}: inputs of shapes {shapes} do not broadcast to one shape"
            ) from None
    names = list(formula.inputs)
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        formula.parameter(name)
        if isinstance(value, Tensor):
            names.append(name)
            tensors.append(_parameter(activation.name, name, value, tensors[0]))
        else:
            plain[name] = value
    checked = formula.check_parameters(plain)
    # Never empty: a registered gradient mistakes an empty list of numbers for one of tensors.
    scalars = tuple(
        checked[parameter.name] for parameter in formula.parameters if parameter.name not in names
    ) or (0.0,)
    result = apply(key, ",".join(variables), tuple(names), scalars, *tensors)
    return delivered(activation.name, result, out)


def _parameter(owner: str, name: str, value: Tensor, reference: Tensor) -> Tensor:
    """Return a parameter's tensor as one of the four float types, if it broadcasts against the input."""
    value = floating(owner, value, reference)
    shape, width = reference.shape, value.dim()
    pairs = zip(reversed(value.shape), reversed(shape), strict=False)
    if width > len(shape) or any(size not in (1, wanted) for size, wanted in pairs):
        raise TriodeError(
            f"{owner}: {name} of shape {tuple(value.shape)} does not broadcast to the input's shape {tuple(shape)}"
        )
    return value


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
        self.activation = activation if isinstance(activation, Formula) else catalogue.get(activation)
        self.dim = _whole(self.activation, "dim", dim)
        self.channels = None if channels is None else _whole(self.activation, "channels", channels, 1)
        self.learned = _learned(self.activation, learn)
        if channels is not None and not self.learned:
            raise TriodeError(f"{self.activation.name}: channels={channels}, but no parameter is learned")
        if self.activation.kind == "normalising":
            temperature = self.activation.check_temperature(parameters.pop("temperature", 1.0))  # type: ignore[attr-defined]
            self.fixed: dict[str, float] = {"temperature": temperature}
            self.activation.check_parameters(parameters)
            return
        values = self.activation.check_parameters(parameters)
        if (sampled := self.activation.sampled) and values[sampled.low] > values[sampled.high]:
            raise TriodeError(
                f"{self.activation.name}: {sampled.low} must not be above {sampled.high}; "
                f"{values[sampled.low]:g} and {values[sampled.high]:g} were given"
            )
        self.fixed = {name: value for name, value in values.items() if name not in self.learned}
        for name in self.learned:
            shape = () if channels is None else (channels,)
            self.register_parameter(name, nn.Parameter(torch.full(shape, values[name])))

    def forward(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Return the activation of ``z``; a gated pair takes two tensors, or one that it splits in halves."""
        formula = self.activation
        if not isinstance(z, Tensor):
            raise TriodeError(
                f"{formula.name}: a module takes tensors; {type(z).__name__} was given "
                f"(the function triode.{formula.name} takes arrays and numbers)"
            )
        if u is not None and formula.kind != "gated":
            raise TriodeError(f"{formula.name} takes one input; 2 were given (parameters go by keyword)")
        if formula.kind == "normalising":
            result: Tensor = formula(z, axis=self.dim, **self.fixed)
            return result
        if formula.kind == "gated" and u is None:
            if not -z.dim() <= self.dim < z.dim() or z.shape[self.dim] % 2:
                raise TriodeError(
                    f"{formula.name}: dimension {self.dim} of shape {tuple(z.shape)} cannot be split in halves"
                )
            z, u = z.chunk(2, self.dim)
        inputs = (z,) if u is None else (z, u)
        if self.training and formula.sampled is not None:
            low, high = self.fixed[formula.sampled.low], self.fixed[formula.sampled.high]
            drawn = torch.empty_like(floating(formula.name, z, z)).uniform_(low, high)
            return evaluate(formula, (), inputs, None, {formula.sampled.parameter: drawn}, training=True)
        values: dict[str, Any] = dict(self.fixed)
        for name in self.learned:
            values[name] = self._broadcast(getattr(self, name), z)
        return evaluate(formula, (), inputs, None, values)

    def _broadcast(self, parameter: Tensor, z: Tensor) -> Tensor:
        if self.channels is None or self.channels == 1:
            return parameter.reshape(())
        if z.dim() < 2 or z.shape[1] != self.channels:
            raise TriodeError(
                f"{self.activation.name}: {self.channels} channels were declared; dimension 1 of an input of shape "
                f"{tuple(z.shape)} does not have as many"
            )
        return parameter.reshape(-1, *[1] * (z.dim() - 2))

    def extra_repr(self) -> str:
        """Return the parameters as they would be written in a call."""
        parts = [] if type(self) is not Activation else [repr(catalogue.specification(self.activation))]
        parts += [f"{name}={value:g}" for name, value in self.fixed.items()]
        chosen = {p.name for p in self.activation.parameters if p.learned}
        parts += [f"channels={self.channels}"] if self.channels is not None else []
        parts += [] if set(self.learned) == chosen else [f"learn={self.learned or False!r}"]
        if self.activation.kind != "elementwise":
            parts.append(f"dim={self.dim}")
        return ", ".join(parts)


def _whole(activation: Formula, name: str, value: object, least: int | None = None) -> int:
    right = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    number = int(value) if isinstance(value, numbers.Integral) else 0
    if right and (least is None or number >= least):
        return number
    expected = "a whole number" if least is None else f"a whole number from {least} on"
    raise TriodeError(f"{activation.name}: {name} must be {expected}; {value!r:.60} was given")


def _learned(activation: Formula, learn: bool | str | Sequence[str] | None) -> tuple[str, ...]:
    if learn is None:
        return tuple(parameter.name for parameter in activation.parameters if parameter.learned)
    if isinstance(learn, bool):
        return tuple(parameter.name for parameter in activation.parameters if parameter.learnable and learn)
    if not isinstance(learn, (str, Sequence)):
        raise TriodeError(f"{activation.name}: learn must be True, False or names; {learn!r:.60} was given")
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

    def initialise(self: Activation, *wrong: object, **options: Any) -> None:
        if wrong:
            known = ", ".join(
                [parameter.name for parameter in activation.parameters] + ["learn", "channels", "dim"]
            )
            raise TriodeError(
                f"{_class_name(name)} takes its options by keyword ({known}); {wrong[0]!r:.40} was given"
            )
        Activation.__init__(self, name, **options)

    def reduce(self: Activation) -> tuple[Any, ...]:
        # By specification: the class of a user's own formula does not exist yet where it is loaded.
        return _blank, (catalogue.specification(activation),), self.__dict__

    doc = f"{activation.title} as a module: {activation.summary}\n\nTakes the options of ``Activation``, by keyword."
    spelled = _class_name(name)
    body = {"__init__": initialise, "__reduce__": reduce, "__doc__": doc, "__module__": __name__}
    return type(spelled, (Activation,), {**body, "__qualname__": spelled})


def _blank(specification: str) -> Activation:
    kind = _module_class(catalogue.get(specification).name)
    return kind.__new__(kind)


def __getattr__(name: str) -> Any:
    """Return a module class (``GELU``) or a function (``gelu``) for any activation, by name or alias."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    squashed = name.lower().replace("_", "")
    every = catalogue.activations()
    # Functions first: the alias hardswish is one, though the class HardSwish is the same without case.
    for activation in every:
        if name in (activation.name, *activation.aliases):
            return activation
    for activation in every:
        if squashed in (known.replace("_", "").lower() for known in (activation.name, *activation.aliases)):
            return _module_class(activation.name)
    raise AttributeError(f"triode.torch has no {name!r}; no activation is called that")


def __dir__() -> list[str]:
    """Return the modules and functions of every activation."""
    every = catalogue.activations()
    return sorted({"Activation", *(_class_name(a.name) for a in every), *(a.name for a in every)})
