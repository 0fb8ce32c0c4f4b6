"""The mode through which PyTorch tells of every function that is called on a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode


class Mode(TorchFunctionMode):
    """Hands each call to `call(function, args, kwargs)`, while it is on."""

    def __init__(self, call: Callable[[Any, Any, Mapping[str, Any]], Any]) -> None:
        """Off at first."""
        super().__init__()
        self._call, self.on = call, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What PyTorch calls; the mode is off while it runs."""
        return self._call(func, args, kwargs or {})

    def begin(self) -> None:
        """Put it on the stack of modes."""
        if not self.on:
            _push_mode(self)
            self.on = True

    def end(self) -> None:
        """Take it off the stack, wherever modes of the user's own have left it."""
        if not self.on:
            return
        above = []
        while torch._C._len_torch_function_stack() > 0:
            top = _pop_mode()
            if top is self:
                break
            above.append(top)
        for mode in reversed(above):
            _push_mode(mode)
        self.on = False
