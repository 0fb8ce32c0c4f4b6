"""Keras layers as the modules that the watcher knows: names, parameters, and which axis of a kernel counts the units.

Keras calls its layers by its own `__call__`, past PyTorch's hooks, keeps all variables in one dictionary, and stores
kernels as (inputs, units). A shadow of the model says all that in PyTorch's terms; it computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from triode.doctor.observe.layers import Watched, describe_readers, describe_start
from triode.doctor.observe.patient import Patient

KINDS = {
    "BatchNormalization": "normalise",
    "LayerNormalization": "normalise",
    "GroupNormalization": "normalise",
    "RMSNormalization": "normalise",
    "UnitNormalization": "normalise",
    "SpectralNormalization": "normalise",
    "Embedding": "embedding",
    "LSTMCell": "recurrent",
    "GRUCell": "recurrent",
    "SimpleRNNCell": "recurrent",
    "LSTM": "recurrent",
    "GRU": "recurrent",
    "SimpleRNN": "recurrent",
    "Dense": "linear",
    "EinsumDense": "linear",
}
"""Keras class -> kind of layer."""
CONVOLUTIONS = frozenset({"BaseConv", "BaseConvTranspose", "BaseDepthwiseConv", "BaseSeparableConv"})


class Shadow(nn.Module):
    """A Keras layer as a module."""

    def __init__(self, layer: Any, shadows: dict[int, Shadow]) -> None:
        """Make the shadows of `layer` and of all layers in it, and enter them into `shadows` by the layer's `id`."""
        super().__init__()
        shadows[id(layer)] = self
        names = [cls.__name__ for cls in type(layer).__mro__]
        self.kind = (
            "conv" if CONVOLUTIONS & set(names) else next((KINDS[n] for n in names if n in KINDS), "other")
        )
        self.transposed = "BaseConvTranspose" in names
        self.depthwise = bool({"BaseDepthwiseConv", "BaseSeparableConv"} & set(names))
        for variable in own_variables(layer):
            value, name = variable.value, variable.name.replace(".", "_")
            if isinstance(value, nn.Parameter) and value.requires_grad:
                self.register_parameter(_free(name, self._parameters), value)
            else:
                self.register_buffer(_free(name, self._buffers), value)
        for child in layer._layers:
            known = shadows.get(id(child))
            name = _free(child.name.replace(".", "_"), self._modules)
            self.add_module(name, known if known is not None else Shadow(child, shadows))


def own_variables(layer: Any) -> Iterator[Any]:
    """The variables of a layer that belong to none of the layers in it."""
    below = {id(variable) for child in layer._layers for variable in child.variables}
    yield from (variable for variable in layer.variables if id(variable) not in below)


def correct(patient: Patient) -> None:
    """Say again of a patient's layers what depends on how Keras stores kernels, before anything is updated."""
    owners = {
        id(p): module for root in patient.roots for module in root.module.modules() for p in _own(module)
    }
    for each in patient.layers:
        owner = owners.get(id(each.parameters[0]))
        if isinstance(owner, Shadow):
            _correct(each, owner)
    with torch.no_grad():
        describe_start(patient.layers)
        describe_readers(patient.layers, patient.graph)


def _correct(each: Watched, owner: Shadow) -> None:
    layer = each.layer
    layer.kind = owner.kind
    if each.weight is None or layer.kind in ("normalise", "embedding"):
        return
    weight = each.weight.detach()
    if owner.depthwise:  # (*window, inputs, units of each): every unit sees one input
        weight = weight.flatten(-2).movedim(-1, 0)
    elif layer.kind == "conv":  # (*window, inputs, units); a transposed one has (*window, units, inputs)
        weight = weight.permute(-1, -2, *range(weight.dim() - 2))
        if owner.transposed:
            weight = weight.transpose(0, 1)
    else:
        weight = weight.movedim(-1, 0)
    each.weight = weight  # type: ignore[assignment]  # a view: it follows what training does to the kernel
    layer.units, layer.fan_in = int(weight.shape[0]), int(weight[0].numel())


def _own(module: nn.Module) -> Iterator[nn.Parameter]:
    return module.parameters(recurse=False)


def _free(name: str, taken: Any) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
