"""What is collected between two steps of an optimiser; it is let go of when the step is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from triode.doctor.history import NonFinite, Operation
from triode.doctor.observe.operations import KIND
from triode.doctor.observe.root import Call, Root
from triode.doctor.observe.tracer import tensors

_SCALING = frozenset(
    {"mul", "multiply", "div", "divide", "true_divide", "get", "item", "detach", "float", "clone"}
)


@dataclass
class Step:
    """One step, from the first call of a model until the optimiser moves."""

    roots: list[Root] = field(default_factory=list)
    inputs: list[tuple[Root, int, Tensor]] = field(default_factory=list)
    outputs: list[tuple[Root, list[Tensor]]] = field(default_factory=list)
    after: list[tuple[str, Any, Any, Any]] = field(default_factory=list)
    """Functions called outside the model since it returned: the loss. Name, arguments, result."""
    arguments: tuple[Root, Any] | None = None
    targets: list[Tensor] = field(default_factory=list)
    learn: list[tuple[Root, list[Call]]] = field(default_factory=list)
    signals: dict[tuple[int, str], tuple[float, float, float]] = field(default_factory=dict)
    """By the `id` of a model and a layer's first parameter: root mean square of its input and output, spread of its
    output over examples."""
    losses: list[float] = field(default_factory=list)
    waiting: list[Tensor] = field(default_factory=list)
    """Losses on an accelerator, which nobody waits for."""
    seen: list[tuple[str, Any, Any, Any]] = field(default_factory=list)
    """The same, of the backward pass that is about to run."""
    nonfinite: NonFinite | None = None
    scaled: bool = False
    """Whether what was differentiated is a multiple of the loss."""
    plain: bool = True
    """Whether the last one differentiated was the loss itself."""
    finished: bool = False

    def backward(self, loss: Tensor) -> None:
        """The gradient of `loss` is about to be taken: several times in a step where gradients are accumulated."""
        if not self.targets:
            self.targets = self._compared()
        found = self._unscaled(loss)
        self.plain = found.data_ptr() == loss.data_ptr()
        self.scaled = self.scaled or not self.plain
        if found.is_cpu:
            self.losses.append(float(found) if found.numel() == 1 else float(found.float().mean()))
        else:
            self.waiting.append(found)
        self.seen, self.after = self.after, []

    def _unscaled(self, loss: Tensor) -> Tensor:
        """The loss itself where what is differentiated is a multiple of it (accumulation, mixed precision)."""
        for place in range(len(self.after) - 1, -1, -1):
            name, _, _, result = self.after[place]
            if KIND.get(name) == "loss" and isinstance(result, Tensor) and result.numel() == 1:
                return result.detach()
            if name not in _SCALING:
                break
        return loss.detach()

    def _compared(self) -> list[Tensor]:
        """What the loss function was given to compare with; of a loss written out, what came from outside into it."""
        named = [
            args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("labels"))
            for name, args, kwargs, _ in self.after
            if KIND.get(name) == "loss"
        ]
        if named:
            return [tensor for tensor in named if isinstance(tensor, Tensor)][:4]
        made = {id(tensor) for _, outputs in self.outputs for tensor in outputs}
        found: list[Tensor] = []
        for _, args, kwargs, result in self.after:
            for tensor in tensors((args, kwargs)):
                if (
                    id(tensor) in made
                    or tensor.requires_grad
                    or tensor.dim() == 0
                    or tensor.grad_fn is not None
                ):
                    continue
                if not any(tensor is other for other in found) and len(tensor) == self._examples():
                    found.append(tensor)
            made.update(id(tensor) for tensor in tensors(result))
        return found[:4]

    def _examples(self) -> int:
        first = next((tensor for _, outputs in self.outputs for tensor in outputs if tensor.dim()), None)
        return len(first) if first is not None else -1

    @property
    def loss(self) -> float:
        """The loss of the step, a mean over what was accumulated; nan if none was seen."""
        every = [*self.losses, *(float(loss.float().mean()) for loss in self.waiting)]
        return sum(every) / len(every) if every else math.nan

    @torch.no_grad()
    def signal(self, root: Root, operation: Operation, args: Any, result: Any) -> None:
        """Take in how large what goes through a layer of weights is."""
        into = next((t for t in tensors(args) if t.is_floating_point()), None)
        out = next(tensors(result), None)
        if not operation.parameters or out is None or into is None:
            return
        key = (id(root), operation.parameters[0])
        if key in self.signals:
            return
        into, out = into.detach()[:64].float(), out.detach()[:64].float()
        spread = float(out.std(dim=0).mean()) if len(out) > 1 else math.nan
        self.signals[key] = (_size(into), _size(out), spread)


def _size(x: Tensor) -> float:
    return float(x.square().mean().sqrt()) if x.numel() else math.nan
