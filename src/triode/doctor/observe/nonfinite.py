"""Where a nan or an infinity came from: the first function with finite arguments and a result that is not."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from triode.doctor.history import NonFinite
from triode.doctor.observe.operations import canonical
from triode.doctor.observe.root import Root
from triode.doctor.observe.step import Step
from triode.doctor.observe.tracer import tensors, user_line

DEEP = 64
"""Operations before the loss among which the first bad one is looked for."""
_DELIBERATE = frozenset(
    {"masked_fill", "full", "full_like", "new_full", "fill", "where", "triu", "tril", "tensor"}
)
"""Functions that put infinities where somebody wants them: masks of attention."""


@torch.no_grad()
def locate(step: Step, number: int, loss: Tensor) -> NonFinite:
    """Say where the loss of a step, which is not finite, became so.

    The model is called once more with the arguments it had, without gradients, its buffers and the random numbers put
    back afterwards.
    """
    value = "nan" if math.isnan(step.loss) else "inf"
    root, args = step.arguments if step.arguments is not None else (None, ())
    if any(_bad(tensor) for tensor in tensors(args)):
        return NonFinite(number, "input", value, explanation="an input of the model is not finite")
    if root is not None:
        for name, parameter in root.module.named_parameters():
            if _bad(parameter):
                layer = name.rpartition(".")[0]
                return NonFinite(
                    number,
                    "parameter",
                    value,
                    layer=layer,
                    explanation=f"the weights of {layer or name} are not finite",
                )
        if any(_bad(tensor) for _, outputs in step.outputs for tensor in outputs):
            return _inside(root, args, number, value)
    for name, arguments, kwargs, result in step.seen:
        given = list(tensors((arguments, kwargs)))
        if any(_bad(tensor) for tensor in tensors(result)):
            if any(_bad(tensor) for tensor in given):
                return NonFinite(number, "target", value, name, explanation="a target is not finite")
            value = "nan" if any(bool(tensor.isnan().any()) for tensor in tensors(result)) else "inf"
            return NonFinite(number, "loss", value, name, explanation=_in_words(name, given))
    return _behind(loss, number, value)


def _behind(loss: Tensor, number: int, value: str) -> NonFinite:
    """The same from what automatic differentiation has kept, where the functions themselves were not listened to."""
    found = NonFinite(number, "loss", value)
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = set()
    while waiting and len(seen) < DEEP:
        node = waiting.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        name = type(node).__name__.partition("Backward")[0].lower()
        # Later ones lie nearer to the cause.
        if name in ("log", "log2", "log10", "log1p", "sqrt", "div", "exp", "pow"):
            kept = [getattr(node, key, None) for key in ("_saved_self", "_saved_other", "_saved_result")]
            given = [tensor for tensor in kept[:2] if isinstance(tensor, Tensor)]
            poles = name.startswith("log") and any(bool((x <= 0).any()) for x in given if not _bad(x))
            zeros = name == "div" and any(bool((x == 0).any()) for x in given[-1:])
            flown = isinstance(kept[2], Tensor) and _bad(kept[2])
            if poles or zeros or flown:
                words = _in_words(name, given) if given else name
                found = NonFinite(number, "loss", value, name, explanation=words)
    return found


def _inside(root: Root, args: Any, number: int, value: str) -> NonFinite:
    # Copies of the buffers: the backward pass that is to come still needs them as they are.
    buffers = {name: buffer.clone() for name, buffer in root.module.named_buffers()}
    check = _Check(root)
    with torch.random.fork_rng(devices=[]):
        try:
            with check:
                torch.func.functional_call(root.module, buffers, args)
        except Exception:  # noqa: BLE001  (a model may refuse to be called again; then nothing more is known)
            return NonFinite(number, "activation", value)
    return NonFinite(
        number, "activation", check.value or value, check.name, check.layer, check.where, check.explanation
    )


class _Check(TorchFunctionMode):
    def __init__(self, root: Root) -> None:
        super().__init__()
        self.root = root
        self.name = self.layer = self.where = self.explanation = self.value = ""
        self._last = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.name:
            return func(*args, **kwargs)
        given = [tensor.detach() for tensor in tensors((args, kwargs))]
        for tensor in tensors((args, kwargs)):
            parameter = self.root.parameters.get(id(tensor))
            self._last = parameter.rpartition(".")[0] if parameter is not None else self._last
        kept = [tensor.clone() for tensor in given] if canonical(func) == "exp" else given
        result = func(*args, **kwargs)
        name = canonical(func)
        if name and name not in _DELIBERATE and given and _made_bad(kept, result):
            self.name, self.layer, self.where = name, self._last, user_line()
            self.explanation = _in_words(name, kept)
            self.value = "nan" if any(bool(tensor.isnan().any()) for tensor in tensors(result)) else "inf"
        return result


def _in_words(name: str, given: list[Tensor]) -> str:
    numbers = [tensor for tensor in given if tensor.is_floating_point() and tensor.numel()]
    if not numbers:
        return name
    least, most = float(numbers[0].min()), float(numbers[0].max())
    if name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"):
        return f"{name} of {least:.4g}"
    if name in ("exp", "expm1", "cosh", "sinh", "square", "pow"):
        return f"{name} of {most:.4g}"
    if name in ("div", "divide", "true_divide", "rdiv") and len(numbers) > 1:
        smallest = float(numbers[1].abs().min())
        return f"a division by {smallest:.4g}"
    return f"{name} of numbers between {least:.4g} and {most:.4g}"


def _made_bad(given: list[Tensor], result: Any) -> bool:
    return any(_bad(tensor) for tensor in tensors(result)) and not any(_bad(tensor) for tensor in given)


def _bad(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return False
    return not bool(torch.isfinite(tensor).all())
