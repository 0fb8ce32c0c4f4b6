"""Functions that a model calls, replaced at chosen places: the model stays, only its class gains a `forward`.

A place is where a function is called: the path of the innermost module that runs, the function, and the how-manieth
call of it there within one call of the model. Everything else about the model (attributes, `state_dict`, `isinstance`)
stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from triode.doctor.observe.naming import plain
from triode.doctor.observe.operations import (
    KIND,
    MAYBE_ACTIVATIONS,
    activation_of,
    canonical,
    is_positive_part,
)

EVERY = -1
"""Place of a change that holds for every call of a function, in every module."""
ANY = "*"
"""Function of a change that holds for whatever activation the module calls."""


class Place(NamedTuple):
    """Where a function is called."""

    module: str
    function: str
    """Name as the doctor's graph has it, or `ANY`."""
    call: int
    """From 0 within one call of the model, or `EVERY`."""


@dataclass
class Change:
    """What happens at a place: names of the model's own children."""

    before: str = ""
    """Runs on the input first."""
    instead: str = ""
    """Runs in place of the function; "" keeps it."""


class Calls(TorchFunctionMode):
    """While it is on, the functions at the changed places are replaced."""

    def __init__(self, owner: nn.Module, changes: Mapping[Place, Change], paths: Mapping[int, str]) -> None:
        """Change calls made while one of the modules in `paths` (path by `id`) is the innermost that runs."""
        super().__init__()
        self._owner, self._changes, self._paths = owner, changes, paths
        self._stack = [""]
        self._counts: dict[tuple[str, str], int] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Any:
        """Follow which module runs."""
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter_module),
            hooks.register_module_forward_hook(self._leave_module, always_call=True),
        ]
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        """Follow no longer."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        self._stack.append(self._paths.get(id(module), self._stack[-1]))

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if len(self._stack) > 1:
            self._stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace the call if its place is one of those to change."""
        kwargs = kwargs or {}
        name = function_name(func, args, kwargs)
        if not name:
            return func(*args, **kwargs)
        change = self._change(self._stack[-1], name)
        if change is None:
            return func(*args, **kwargs)
        z = operand(canonical(func), args, kwargs)
        own = in_place(func, args, kwargs)
        value = z.clone() if own else z
        if change.before:
            value = getattr(self._owner, change.before)(value)
        instead = getattr(self._owner, change.instead) if change.instead else None
        value = again(func, z, value, args, kwargs) if instead is None else instead(value)
        # Who wrote `x.relu_()` on a line of its own reads the result from x.
        return z.copy_(value) if own and value.shape == z.shape else value

    def _change(self, module: str, name: str) -> Change | None:
        found = None
        for key in (name, ANY):
            call = self._counts.get((module, key), 0)
            self._counts[module, key] = call + 1
            found = found or self._changes.get(Place(module, key, call))
        return found or self._changes.get(Place(ANY, name, EVERY))


class Rewritten(nn.Module):
    """What the class of a treated model gains; `_triode_*` live on the instance, so copies have their own."""

    _triode_changes: dict[Place, Change]
    _triode_front: str
    _triode_back: str

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As before, but for the changes."""
        if self._triode_front:
            args, kwargs = _first_float(getattr(self, self._triode_front), args, kwargs)
        if self._triode_changes:
            paths = {id(module): plain(name) for name, module in self.named_modules()}
            with Calls(self, self._triode_changes, paths):
                result = super().forward(*args, **kwargs)
        else:
            result = super().forward(*args, **kwargs)
        if self._triode_back:
            last = getattr(self, self._triode_back)
            if isinstance(result, tuple):  # the first one is the prediction
                return (last(result[0]), *result[1:])
            return last(result)
        return result


class RewrittenContainer(Rewritten):
    """The same for `nn.Sequential` and its like, which call whatever they hold: what was added is not theirs."""

    def _own(self) -> list[nn.Module]:
        added = {self._triode_front, self._triode_back}
        added |= {
            name for change in self._triode_changes.values() for name in (change.before, change.instead)
        }
        return [module for name, module in self._modules.items() if module is not None and name not in added]

    def __iter__(self) -> Iterator[nn.Module]:
        """Its own modules."""
        return iter(self._own())

    def __len__(self) -> int:
        """How many of its own modules."""
        return len(self._own())


class RewrittenLoss(nn.Module):
    """A loss function some of whose calls are replaced."""

    def __init__(self, loss_fn: Callable[[Any, Any], Tensor]) -> None:
        """Nothing is replaced yet."""
        super().__init__()
        self.loss_fn = loss_fn
        self._triode_changes: dict[Place, Change] = {}

    def forward(self, prediction: Any, target: Any) -> Tensor:
        """The loss, with the calls replaced."""
        with Calls(self, self._triode_changes, {}):
            return self.loss_fn(prediction, target)


def rewrite(module: nn.Module) -> Rewritten:
    """Let the class of `module` gain `Rewritten`, if it has not."""
    if isinstance(module, Rewritten):
        return module
    kind = type(module)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    gained = RewrittenContainer if hasattr(kind, "__iter__") else Rewritten
    module.__class__ = type(kind.__name__, (gained, kind), names)
    changed = cast(Rewritten, module)
    changed._triode_changes = {}
    changed._triode_front = changed._triode_back = ""
    return changed


def function_name(func: Any, args: Any, kwargs: Mapping[str, Any]) -> str:
    """The name that the doctor's graph has for a call of an activation function; "" for any other call."""
    name = canonical(func)
    if name in MAYBE_ACTIVATIONS:
        with torch._C.DisableTorchFunction():
            return "relu" if is_positive_part(name, args, kwargs) else ""
    kind = KIND.get(name)
    if kind == "softmax":
        return name
    return activation_of(name, args, kwargs)[0] if kind == "activation" else ""


def operand(name: str, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    """The tensor that an activation function is applied to."""
    if name == "where":
        args = args[1:]
    tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
    if name in ("maximum", "max", "where") and len(tensors) > 1:
        tensors.sort(key=lambda each: -each.numel() if each.requires_grad or each.numel() > 1 else 0)
        with torch._C.DisableTorchFunction():
            tensors = [each for each in tensors if bool(each.ne(0).any())] or tensors
    return tensors[0]


def again(func: Any, z: Tensor, value: Tensor, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """The same function of another tensor."""
    if value is z:
        return func(*args, **kwargs)
    if canonical(func) == "where":
        return torch.relu(value)
    put = [value if each is z else each for each in args]
    return func(*put, **{key: value if each is z else each for key, each in kwargs.items()})


def in_place(func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call writes its result into its argument."""
    name = str(getattr(func, "__name__", ""))
    return (name.endswith("_") and not name.endswith("__")) or kwargs.get("inplace") is True


def _first_float(front: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
    put = list(args)
    for place, each in enumerate(put):
        if isinstance(each, Tensor) and each.is_floating_point():
            put[place] = front(each)
            return tuple(put), kwargs
    for key, each in kwargs.items():
        if isinstance(each, Tensor) and each.is_floating_point():
            return args, {**kwargs, key: front(each)}
    return args, kwargs
