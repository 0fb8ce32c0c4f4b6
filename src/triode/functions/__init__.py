"""Declarations of the activation functions, one module a family, and nothing but declarations.

A function is one module-level ``Activation``; `triode.catalogue` finds it by scanning `FAMILIES`, so a new
function is written in one place and listed nowhere. A new family is a new file in this folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

# Only the order in which families are shown; a module that is not named here is still found, and comes last.
_READING_ORDER = ("sigmoidal", "rectified", "smooth", "gated", "normalised")


def _rank(module_name: str) -> tuple[int, str]:
    """Return the sorting key of a family: its place in the reading order, then its name."""
    known = module_name in _READING_ORDER
    return (_READING_ORDER.index(module_name) if known else len(_READING_ORDER), module_name)


FAMILIES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"{__name__}.{name}")
    for name in sorted((module.name for module in pkgutil.iter_modules(__path__)), key=_rank)
)
