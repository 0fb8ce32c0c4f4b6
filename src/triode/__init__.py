"""Triode: the workbench for activation functions.

``triode.gelu(x)`` computes; ``triode.gelu.derivative(x)`` differentiates; ``triode.torch`` holds PyTorch modules;
``triode.analysis`` predicts; ``triode.bakeoff`` compares;
``triode.doctor`` finds what ails a network. Importing this package imports NumPy and nothing heavier:
everything else is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from triode.activation import Activation
from triode.catalogue import UnknownActivation, activations, define, get, names
from triode.errors import MissingExtra, TriodeError
from triode.parse import FormulaError, parse

if TYPE_CHECKING:
    from triode import analysis as analysis
    from triode import bakeoff as bakeoff
    from triode import doctor as doctor

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "FormulaError",
    "MissingExtra",
    "TriodeError",
    "UnknownActivation",
    "__version__",
    "activations",
    "define",
    "get",
    "names",
    "parse",
]

_ROOMS = {
    "analysis": "triode.analysis",
    "torch": "triode.adapters.torch",
    "bakeoff": "triode.bakeoff",
    "doctor": "triode.doctor",
    "plots": "triode.plots",
}


def __getattr__(name: str) -> Any:
    """Return a room of the house, loaded now, or an activation by name or alias."""
    if name in _ROOMS:
        return importlib.import_module(_ROOMS[name])
    if not name.startswith("_"):
        try:
            return get(name)
        except UnknownActivation as error:
            raise AttributeError(f"module 'triode' has no attribute {name!r}: {error}") from None
    raise AttributeError(f"module 'triode' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, the rooms and every activation."""
    aliases = [alias for activation in activations() for alias in activation.aliases]
    return sorted({*__all__, *_ROOMS, *names(), *aliases})
