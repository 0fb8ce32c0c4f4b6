"""Putting the hooks on PyTorch, and taking every one of them off again."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimisers
from torch.utils.data import DataLoader


def install(
    before_module: Callable[..., None],
    after_module: Callable[..., None],
    before_step: Callable[..., None],
    after_step: Callable[..., None],
    differentiated: Callable[[Tensor], AbstractContextManager[Any]],
    loader_begins: Callable[[Any], None],
) -> ExitStack:
    """Have these called around every module, backward pass and step of an optimiser, and when a DataLoader begins.

    Closing what is returned takes all of it back.
    """
    stack = ExitStack()
    for handle in (
        modules.register_module_forward_pre_hook(before_module),
        modules.register_module_forward_hook(after_module, always_call=True),
        optimisers.register_optimizer_step_pre_hook(before_step),
        optimisers.register_optimizer_step_post_hook(after_step),
    ):
        stack.callback(handle.remove)
    backward: Callable[..., None] = Tensor.backward

    @functools.wraps(backward)
    def told(self: Tensor, *args: Any, **kwargs: Any) -> None:
        with differentiated(self):
            backward(self, *args, **kwargs)

    Tensor.backward = told  # type: ignore[method-assign]
    stack.callback(setattr, Tensor, "backward", backward)
    original = DataLoader.__iter__

    def iterate(self: DataLoader[Any]) -> Any:
        loader_begins(self.dataset)
        return original(self)

    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    stack.callback(setattr, DataLoader, "__iter__", original)
    return stack


def look_inside_compiled(stack: ExitStack) -> bool:
    """Have compiled functions run eagerly until `stack` is closed: they compute the same, and show everything.

    Only where PyTorch's compiler is loaded already: to load it takes seconds. Whether it is.
    """
    if "torch._dynamo" not in sys.modules:
        return False
    stack.enter_context(torch.compiler.set_stance("force_eager"))
    return True
