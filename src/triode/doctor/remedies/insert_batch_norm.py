"""Batch normalisation before activations, with parameters of its own at each place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._places import Spot, chosen, normalised, spots
from triode.doctor.remedies._words import at_sites, names_of
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Insert batch normalisation"
ORDER = 40


def places(history: History, prescription: Prescription) -> list[Spot]:
    """Before which activations: those named, else all hidden ones; never where a normalisation stands already."""
    found = chosen(history, names_of(prescription, "sites"))
    twice = {index for spot in found for index in spot.operation.inputs[:1]}
    # Of two activations in a row the second reads the first: one normalisation is enough.
    inner = {spot.operation.index for spot in found}
    return [
        spot
        for spot in found
        if not normalised(history, spot) and not (set(spot.operation.inputs[:1]) & inner & twice)
    ]


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    return (
        f"Insert batch normalisation before the activation {at_sites(prescription, 'of every hidden layer')}."
    )


def kind_of(history: History, spot: Spot) -> tuple[str, int]:
    """(BatchNorm1d and the like, features) for the activation at a spot; `PerFeature` for features on the last axis."""
    shape = spot.operation.shape
    if len(shape) < 2:
        raise TriodeError(
            f"{spot.name} has values of shape {shape}; batch normalisation needs examples and features."
        )
    site = next((s for s in history.sites if s.operation == spot.operation.index), None)
    weights = next(
        (o for o in reversed(history.graph.operations[: spot.operation.index]) if _is_before(o, spot)), None
    )
    conv = site.convolutional if site else weights is not None and weights.details.get("type") == "conv"
    if len(shape) == 2:
        return "BatchNorm1d", shape[1]
    if conv and len(shape) <= 5:
        return f"BatchNorm{len(shape) - 2}d", shape[1]
    return "PerFeature", shape[-1]


def _is_before(operation: Any, spot: Spot) -> bool:
    owners = {name.rpartition(".")[0] for name in operation.parameters}
    return operation.kind == "weights" and spot.layer in owners


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Put one before each activation and let the optimiser train it."""
    from torch import nn

    from triode.doctor.remedies._surgery import PerFeature, put_before

    if history is None or not history.graph.operations:
        _beside(training, names_of(prescription, "sites"))
        return
    seen = history

    def make(spot: Spot) -> nn.Module:
        kind, features = kind_of(seen, spot)
        return PerFeature(features) if kind == "PerFeature" else getattr(nn, kind)(features)

    put_before(training, places(history, prescription), make, spots(history.graph))


def _beside(training: Training, sites: tuple[str, ...]) -> None:
    """Without a history: before each activation module that follows a layer of weights in its `nn.Sequential`."""
    from collections import OrderedDict
    from itertools import pairwise

    from torch import nn

    from triode.doctor.remedies._surgery import Normalised, add_parameters, bare, fitted, is_activation

    model = bare(training.model)
    found = False
    for path, parent in list(model.named_modules()):
        children = list(parent._modules.items()) if isinstance(parent, nn.Sequential) else []
        for (before, layer), (name, module) in pairwise(children):
            if module is None or not is_activation(module):
                continue
            if isinstance(layer, nn.Linear):
                new: nn.Module = nn.BatchNorm1d(layer.out_features)
            elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
                new = getattr(nn, f"BatchNorm{type(layer).__name__[-2]}d")(layer.out_channels)
            else:
                continue
            fitted(new, model)
            parent._modules[name] = Normalised(OrderedDict(batch_norm=new, activation=module))
            add_parameters(training, new, f"{path}.{before}".lstrip("."))
            found = True
    if sites or not found:
        raise TriodeError(
            "insert_batch_norm needs the history of the model: without one only nn.Sequential shows what follows what."
        )


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Construct one beside each layer and call it before the activation."""
    here = places(history, prescription)
    if not here:
        raise LookupError("nowhere to insert it")
    kinds = {spot.operation.index: kind_of(history, spot) for spot in here}
    if any(kind == "PerFeature" for kind, _ in kinds.values()):
        raise LookupError("features on the last axis need a module of their own")
    program.normalise_before(here, kinds)


def snippet(history: History | None, prescription: Prescription) -> str:
    """The pattern."""
    spot = next(iter(places(history, prescription)), None) if history and history.graph.operations else None
    if spot is None or history is None:
        return "nn.Linear(n, m), nn.BatchNorm1d(m), nn.ReLU(),"
    kind, features = kind_of(history, spot)
    kind = "BatchNorm1d" if kind == "PerFeature" else kind
    name = f"norm_{spot.layer or 'input'}".replace(".", "_")
    return (
        f"self.{name} = nn.{kind}({features})  # in __init__; one for each place\n"
        f"x = {spot.function}(self.{name}(x))  # in forward, after {spot.layer or 'the input'}"
    )
