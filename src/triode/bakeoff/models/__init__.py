"""The networks of the bake-off: one model a file, found by looking in this folder; or one of the user's own.

A model's file says its `NAME` and builds it with `build(setting, dataset, activation)`; nothing else lists it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import nn

from triode.bakeoff.contestants import import_object
from triode.bakeoff.models.initialise import initialise
from triode.bakeoff.setting import IMPORTABLE
from triode.errors import TriodeError, nearest

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting

__all__ = ["Factory", "build", "count_parameters", "initialise", "is_own", "names"]

Factory = Callable[[], nn.Module]
"""Gives a fresh activation module: a learned parameter (PReLU's slope) belongs to the place where it stands."""


@cache
def _files() -> dict[str, ModuleType]:
    found = {}
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        module = importlib.import_module(info.name)
        for name in getattr(module, "MODELS", {}):
            found[name] = module
    return found


def names() -> tuple[str, ...]:
    """Names of the built-in models.

    >>> "mlp" in names() and "lstm" in names()
    True
    """
    return tuple(sorted(_files()))


def is_own(model: str) -> bool:
    """Whether `model` names the user's own, as `module:factory`."""
    return IMPORTABLE.fullmatch(model) is not None


def build(setting: Setting, dataset: Dataset, activation: Factory) -> nn.Module:
    """The network that `setting` asks for, for the inputs and outputs of `dataset`; its weights not yet drawn.

    Args:
        setting: Says the model, its widths, normalisation and dropout.
        dataset: Says the task, the shape of an example and the number of outputs.
        activation: Gives a fresh activation module at each call.

    Returns:
        A module that takes `Examples.inputs` and gives (n, outputs), or (n, context, outputs) for text.

    Raises:
        TriodeError: For a model that cannot take such data, or a user's factory that raises or gives no module.
    """
    if is_own(setting.model):
        return _own(setting, dataset, activation)
    files = _files()
    if setting.model not in files:
        raise TriodeError(
            f"model = {setting.model!r} is not one of {', '.join(names())}{nearest(setting.model, names())}"
        )
    made: nn.Module = files[setting.model].MODELS[setting.model](setting, dataset, activation)
    return made


def _own(setting: Setting, dataset: Dataset, activation: Factory) -> nn.Module:
    factory = import_object(setting.model, "model")
    if not callable(factory):
        raise TriodeError(
            f"model = {setting.model!r} is {type(factory).__name__}; a function that takes the activation and gives a "
            "torch.nn.Module was expected."
        )
    offered: dict[str, Any] = {"dataset": dataset, "setting": setting}
    try:
        wanted = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C: no signature to read
        wanted = {}  # type: ignore[assignment]
    options = {name: value for name, value in offered.items() if name in wanted}
    try:
        network = factory(activation, **options)
    except TriodeError:
        raise
    except Exception as error:
        raise TriodeError(
            f"model = {setting.model!r}: the factory raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(network, nn.Module):
        raise TriodeError(
            f"model = {setting.model!r}: the factory gave {type(network).__name__}; a torch.nn.Module was expected."
        )
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers, those of the activations included."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
