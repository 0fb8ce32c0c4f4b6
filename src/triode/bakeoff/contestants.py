"""What is compared: an activation of the catalogue, a formula, or an object of the user's own, by a text that names it.

The text is all that travels: to a file, to a worker, to another machine.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.activation import Activation
from triode.bakeoff.setting import IMPORTABLE
from triode.errors import TriodeError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Contestant:
    """An activation that can take part in a bake-off."""

    name: str
    specification: str
    """Text from which `contestant` makes it again."""
    formula: str
    """What it computes: a name that comes to mean something else is another trial."""
    activation: Activation | None
    """None for a PyTorch module of the user's own."""
    factory: Any = None
    """For a module of the user's own: what makes a fresh one when called without arguments."""

    def module(self, learn: bool = False) -> nn.Module:
        """A fresh module; `learn` makes every parameter of an `Activation` that can be learned a learned one."""
        from torch import nn

        if self.activation is not None:
            from triode.adapters.torch import Activation as Module

            made: Any = Module(self.activation, learn=True if learn and self.learnable else None)
        else:
            try:
                made = self.factory()
            except Exception as error:
                raise TriodeError(
                    f"{self.specification} raised {type(error).__name__} when called without arguments ({error}); a "
                    "class of torch.nn.Module, or a function that gives one, was expected: for the function of z "
                    "itself write name=formula, or a module whose forward calls it."
                ) from error
            if not isinstance(made, nn.Module):
                raise TriodeError(
                    f"{self.specification} gave {type(made).__name__} when called without arguments; "
                    "a torch.nn.Module was expected."
                )
        made.contestant = self.name  # how diagnostics find the places where it stands
        return made  # type: ignore[no-any-return]

    @property
    def learnable(self) -> tuple[str, ...]:
        """Names of the parameters that could be learned."""
        return (
            ()
            if self.activation is None
            else tuple(p.name for p in self.activation.parameters if p.learnable)
        )


def contestant(text: str) -> Contestant:
    """The contestant that `text` names: `gelu`, `name=formula`, or `module:object`.

    An object is an `Activation`, or a class or function that gives a fresh `torch.nn.Module` without arguments.

    Raises `TriodeError` for a text that names nothing, or an activation that cannot stand in a hidden layer.

    >>> contestant("silu").name
    'swish'
    """
    if IMPORTABLE.fullmatch(text):
        return _imported(text)
    from triode.catalogue import get, specification

    activation = get(text)
    return _elementwise(activation, specification(activation))


@lru_cache(maxsize=256)
def _imported(text: str) -> Contestant:
    found = import_object(text, "activations")
    if isinstance(found, Activation):
        return _elementwise(found, text)
    if not callable(found):
        raise TriodeError(
            f"{text} is {type(found).__name__}; an Activation, or a class or function that makes a torch.nn.Module, "
            "was expected."
        )
    try:
        source = inspect.getsource(found)
    except (OSError, TypeError):
        source = repr(found)
    name = text.partition(":")[2]
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    return Contestant(name, text, f"{name} with source {digest}", None, found)


def _elementwise(activation: Activation, text: str) -> Contestant:
    if activation.kind != "elementwise":
        raise TriodeError(
            f"{activation.name} is {activation.kind}: the network's hidden layers need an activation of one "
            "number, such as gelu."
        )
    defaults = "".join(f"; {name}={value!r}" for name, value in sorted(activation.defaults().items()))
    return Contestant(activation.name, text, f"{activation.formula}{defaults}", activation)


def import_object(text: str, field: str) -> Any:
    """The object that `module:name` names, its module found as `python -m` would find it.

    Raises `TriodeError` naming the field of the specification that asked for it.
    """
    module, _, name = text.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise TriodeError(
            f"{field} = {text!r}: the module {module} cannot be imported ({error}); is it in {here} or installed?"
        ) from error
    except Exception as error:
        raise TriodeError(
            f"{field} = {text!r}: importing {module} raised {type(error).__name__}: {error}"
        ) from error
    if not hasattr(loaded, name):
        known = [n for n, value in vars(loaded).items() if callable(value) and not n.startswith("_")]
        from triode.errors import nearest

        raise TriodeError(f"{field} = {text!r}: {module} has no {name}{nearest(name, known) or '.'}")
    return getattr(loaded, name)
