"""Names: of modules without what wrappers put into them, of models as the user's variables call them."""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

import torch
from torch import nn


def plain(path: str) -> str:
    """A module's or parameter's path without the names that wrappers put into it."""
    parts = [part for part in path.split(".") if part != "_orig_mod"]
    if parts[:1] == ["module"] and len(parts) > 1:
        parts = parts[1:]
    return ".".join(parts)


def variable_name(module: nn.Module) -> str:
    """The name of the variable that holds a module in the frames of the user's that are running; else its class."""
    frame = sys._getframe(1)
    torch_folder = torch.__path__[0]
    while frame is not None:
        if not frame.f_code.co_filename.startswith(torch_folder):
            for scope in (_locals(frame), frame.f_globals):
                for name, value in list(scope.items()):
                    if value is module and name not in ("self", "module") and not name.startswith("_"):
                        return name
        frame = frame.f_back  # type: ignore[assignment]
    return type(module).__name__


def _locals(frame: FrameType) -> dict[str, Any]:
    """The local variables of a frame, without leaving a copy of them behind.

    Up to Python 3.12 a function's frame keeps the dictionary that it gives: a batch in it would live as long as the
    function runs.
    """
    scope = frame.f_locals
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return scope
    copy = dict(scope)
    if sys.version_info < (3, 13):
        scope.clear()
    return copy
