"""The operations of one training step as a graph, from every function that PyTorch calls on a tensor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils.weak import WeakIdKeyDictionary

from triode.doctor.history import Graph, Kind, Operation
from triode.doctor.observe.operations import (
    KIND,
    MATRIX_PRODUCTS,
    MAYBE_ACTIVATIONS,
    activation_of,
    is_positive_part,
    layer_type,
)

_HERE = str(Path(__file__).resolve().parent.parent)
_TORCH = str(Path(torch.__file__).resolve().parent)
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", "<frozen")


class Tracer:
    """Collects the operations of a step. `call` is told of each function before it runs, `result` of what it gave."""

    def __init__(self, parameters: Mapping[int, str]) -> None:
        """Trace with the names of parameters by `id`."""
        self.names = parameters
        self.operations: list[Operation] = []
        self.makers: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.live: list[bool] = []
        """For each operation whether it depends on an input of the model, or on what the loss compares with."""
        self.weights_of: dict[int, tuple[str, ...]] = {}
        """Operations that only rearrange a parameter -> its name."""
        self.outputs: list[int] = []
        self.handed: set[int] = set()
        """The same of all steps together."""
        self.owner: dict[int, int] = {}
        """Operations inside a model -> the `id` of that model."""
        self.loss = -1
        self.last_in_model = -1
        self.since = 0

    def data(self, tensor: Tensor, what: str, live: bool) -> int:
        """The operation that stands for a tensor that no recorded function made."""
        kind: Kind = "data"
        inputs: tuple[int, ...] = ()
        details: dict[str, Any] = {"what": what, "dtype": str(tensor.dtype).removeprefix("torch.")}
        name = "data"
        if tensor.grad_fn is not None and self.last_in_model >= 0:
            # A function that is not dispatched (a user's own autograd.Function): it follows from what came before.
            name = type(tensor.grad_fn).__name__.removesuffix("Backward").removesuffix("Backward0")
            kind, inputs, live = "other", (self.last_in_model,), True
        return self.add(
            tensor, Operation(0, name, kind, inputs, shape=tuple(tensor.shape), details=details), live
        )

    def add(self, tensor: Any, operation: Operation, live: bool) -> int:
        """Append an operation that made `tensor` (or each tensor of a list)."""
        index = len(self.operations)
        self.operations.append(replace(operation, index=index))
        self.live.append(live)
        for each in tensors(tensor):
            self.makers[each] = index
        return index

    def maker(self, tensor: Tensor, in_model: bool) -> int:
        """The operation that made a tensor; one is recorded where none is known."""
        index = self.makers.get(tensor)
        if index is not None:
            return int(index)
        return self.data(tensor, "" if in_model else "target", live=not in_model)

    def record(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
        module: str,
        in_model: bool,
        kind: Kind | Literal[""] = "",
    ) -> int:
        """Record a call that gave tensors; -1 for one that did not. `kind` overrules what the name says."""
        made = next(tensors(result), None)
        # A lazy module makes its parameters in its first call: that is no part of the computation.
        if made is None or any(is_lazy(tensor) for tensor in tensors((args, result))):
            return -1
        inputs: list[int] = []
        parameters: list[str] = []
        shapes: list[tuple[int, ...]] = []
        for tensor in tensors((*args, *kwargs.values())):
            parameter = self.names.get(id(tensor))
            if parameter is not None:
                parameters.append(parameter)
                shapes.append(tuple(tensor.shape))
                continue
            index = self.maker(tensor, in_model)
            if index in self.weights_of:
                parameters += self.weights_of[index]
                shapes.append(tuple(tensor.shape))
            else:
                inputs.append(index)
        operation = self._describe(name, args, kwargs, made, inputs, parameters, shapes)
        live = any(self.live[index] for index in inputs) and not name.endswith("_like")
        if kind:
            operation = replace(operation, kind=kind)
        if not inputs and parameters and operation.kind != "weights":
            index = self.add(result, replace(operation, module=module, in_model=in_model), live=False)
            # Each once: what is computed of weights alone, step upon step (L-BFGS), would double the list each time.
            self.weights_of[index] = tuple(dict.fromkeys(parameters))
            return index
        kind = operation.kind
        if kind in ("product", "combine"):
            # Linear in what depends on the data, if only one of its arguments does.
            moving = [index for index in inputs if self.live[index]]
            if len(moving) < 2 and name not in ("cat", "concat", "concatenate", "stack"):
                kind = "carrier"
                inputs = moving + [index for index in inputs if index not in moving]
                if name in ("rdiv", "rtruediv") or (
                    name in ("div", "divide", "true_divide") and _divides(args, made)
                ):
                    kind = "other"
            elif len(dict.fromkeys(moving)) == 1 and kind == "combine":
                kind = "carrier"
        index = self.add(
            result,
            replace(operation, kind=kind, inputs=tuple(inputs), module=module, in_model=in_model),
            live,
        )
        if live and in_model:
            self.last_in_model = index
        return index

    def _describe(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        made: Tensor,
        inputs: list[int],
        parameters: list[str],
        shapes: list[tuple[int, ...]],
    ) -> Operation:
        kind: Kind = KIND.get(name, "other")
        details: dict[str, Any] = {}
        shape = tuple(made.shape)
        if name in MAYBE_ACTIVATIONS and is_positive_part(name, args, kwargs):
            name, kind = "relu", "activation"
            compared = ("gt", "ge", "lt", "le")
            moving = [i for i in inputs if self.live[i] and self.operations[i].name not in compared]
            inputs[:] = moving or inputs
        elif name in ("clamp", "clip", "clamp_min", "clamp_max"):
            low, high = [*args[1:3], None, None][:2]
            details = {"min": _number(kwargs.get("min", low)), "max": _number(kwargs.get("max", high))}
            name = "clamp"
        elif kind == "activation":
            name, details = activation_of(name, args, kwargs)
        elif kind == "loss":
            details = {"reduction": str(kwargs.get("reduction", "mean"))}
        elif kind == "softmax":
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            if not isinstance(dim, int):
                dim = 1 if len(shape) in (2, 4) else 0
            size = shape[dim] if shape and -len(shape) <= dim < len(shape) else 1
            details = {"dim": dim, "size": size}
        elif name in MATRIX_PRODUCTS and parameters and inputs and not self._mixes(inputs):
            kind = "weights"
        if kind == "weights":
            details["type"] = layer_type(name)
            details["groups"] = _groups(name, args, kwargs)
            weight = shapes[0] if shapes else ()
            details["fan_in"], details["fan_out"] = _fans(name, weight, made, args)
        first = args[0] if args else None
        if isinstance(first, Tensor) and first is made:
            details["inplace"] = True
        return Operation(0, name, kind, (), tuple(dict.fromkeys(parameters)), "", user_line(), shape, details)

    def _mixes(self, inputs: list[int]) -> bool:
        return len({index for index in inputs if self.live[index]}) > 1

    def begin(self) -> None:
        """A step begins; what earlier ones made may still be used (a generator's images, in the step after)."""
        self.since, self.outputs, self.loss = len(self.operations), [], -1

    def graph(self) -> tuple[Graph, dict[int, int]]:
        """This step's operations, with those of earlier steps that its loss depends on, and their new numbers."""
        every = Graph(tuple(self.operations))
        needed = set(range(self.since, len(self.operations))) | every.upstream(self.loss)
        for operation in reversed(self.operations):
            if operation.index in needed:
                needed.update(operation.inputs)
        number = {old: new for new, old in enumerate(sorted(needed))}
        operations = tuple(
            replace(
                self.operations[old],
                index=new,
                inputs=tuple(number[source] for source in self.operations[old].inputs),
            )
            for old, new in number.items()
        )
        outputs = tuple(number[index] for index in dict.fromkeys(self.outputs))
        return Graph(operations, outputs, number.get(self.loss, -1)), number


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors(each)
    elif hasattr(value, "__dataclass_fields__"):  # outputs of a user's own class
        for key in value.__dataclass_fields__:
            yield from tensors(getattr(value, key, None))


def user_line() -> str:
    """The line outside PyTorch and Triode that is running, as `path:line`; a user's own before a library's."""
    frame = sys._getframe(1)
    library = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith((_TORCH, _HERE)):
            here = f"{path}:{frame.f_lineno}"
            if not any(part in path for part in _LIBRARIES):
                return here
            library = library or here
        frame = frame.f_back  # type: ignore[assignment]
    return library


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _divides(args: Sequence[Any], made: Tensor) -> bool:
    # Of a / b with one that depends on the data: only a number or a constant below leaves it linear.
    return bool(args) and not isinstance(args[0], Tensor)


def _groups(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    if not name.startswith("conv"):
        return 1
    position = 7 if "transpose" in name else 6
    if "transpose" in name:
        position = 6
    value = kwargs.get("groups", args[position] if len(args) > position else 1)
    return value if isinstance(value, int) else 1


def _fans(name: str, weight: tuple[int, ...], made: Tensor, args: Sequence[Any]) -> tuple[int, int]:
    units = (
        made.shape[1] if name.startswith("conv") and made.dim() > 1 else made.shape[-1] if made.dim() else 1
    )
    if name.startswith("conv_transpose"):
        return (weight[0] if weight else 0), int(units)
    if name.startswith("conv"):
        size = 1
        for each in weight[1:]:
            size *= each
        return size, int(units)
    if name in ("linear", "bilinear"):
        return (weight[-1] if weight else 0), int(units)
    first = next(tensors(tuple(args)), None)
    return (int(first.shape[-1]) if first is not None and first.dim() else 0), int(units)
