"""The end of a network: which function makes what the loss compares, what values it can take, and what is wanted."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from triode.doctor.graphs import ARITHMETIC, carried, compared_with, losses_of, output_activation
from triode.doctor.history import History, Loss, Operation, Site, Tensors


@dataclass(frozen=True)
class Ending:
    """One term of the loss, and the last non-linear function before what it compares."""

    loss: Loss
    activation: Operation | None
    """None where a layer of weights, or a sum of several tensors, has the last word."""
    plain: bool
    """Whether nothing after that function moves or stretches its range."""
    targets: Tensors | None
    """Figures of what is compared with; None where it was not seen as it is."""


def endings(history: History) -> list[Ending]:
    """The terms of a history's loss that compare something the network made."""
    found = []
    for loss in losses_of(history.graph):
        if loss.prediction < 0:
            continue
        last = output_activation(history.graph, loss.prediction)
        after = () if last is None else carried(history.graph, last.index, loss.prediction)
        found.append(Ending(loss, last, not ARITHMETIC.intersection(after), targets_of(history, loss)))
    return found


def targets_of(history: History, loss: Loss) -> Tensors | None:
    """Figures of what a term of the loss is compared with, where that is a tensor that was handed in, unchanged."""
    graph = history.graph
    index = compared_with(graph, loss)
    while index >= 0 and graph[index].inputs:
        here = graph[index]
        if here.kind != "carrier" or here.name in ARITHMETIC:
            return None
        index = here.inputs[0]
    if index < 0:
        return None
    known = history.inputs if graph[index].details.get("what") == "input" else history.targets
    alike = [tensors for tensors in known if tuple(tensors.shape) == tuple(graph[index].shape)]
    return alike[0] if len(alike) == 1 or (alike and len(known) == len(alike)) else None


def outputs_of(history: History, index: int) -> Tensors | None:
    """Figures of the output of the model that an operation made, or merely rearranged."""
    shape = tuple(history.graph[index].shape)
    for tensors in history.outputs:
        if tensors.operation == index or (len(history.outputs) == 1 and tuple(tensors.shape) == shape):
            return tensors
    return None


def site_of(history: History, operation: Operation) -> Site | None:
    """The site that stands at an operation."""
    return next((site for site in history.sites if site.operation == operation.index), None)


def place(history: History, operation: Operation) -> str:
    """Name of an operation for the reader: its site's, or its layer's; `fc1.softmax` for a function after fc1."""
    site = site_of(history, operation)
    if site is not None:
        return site.name
    if operation.kind in ("activation", "softmax"):
        weights = [i for i in history.graph.upstream(operation.index) if history.graph[i].parameters]
        before = [i for i in weights if history.graph[i].kind == "weights"]
        layer = history.graph[max(before)].parameters[0].rpartition(".")[0] if before else ""
        return f"{layer or 'input'}.{operation.name}"
    owner = next(
        (layer.name for layer in history.layers if set(layer.parameters) & set(operation.parameters)), ""
    )
    own = operation.parameters[0].rpartition(".")[0] if operation.parameters else ""
    return owner or own or operation.module or operation.where or operation.name


def source(operation: Operation) -> str:
    """` at train.py:41`, or nothing where the line is not known."""
    return f" at {operation.where.rsplit('/', 1)[-1]}" if operation.where else ""


@functools.lru_cache(maxsize=128)
def value_range(function: str, parameters: tuple[tuple[str, float], ...] = ()) -> tuple[float, float]:
    """The least and the largest value of an output activation; infinite where it has none.

    Examples:
        >>> value_range("sigmoid"), value_range("relu"), value_range("swish")[0] < -0.27
        ((0.0, 1.0), (0.0, inf), True)
    """
    if function in ("softmax", "gumbel_softmax", "softmin"):
        return 0.0, 1.0
    if function == "log_softmax":
        return -math.inf, 0.0
    if function == "exp":
        return 0.0, math.inf
    if function == "sin":
        return -1.0, 1.0
    import triode

    if function not in triode.names() or triode.get(function).kind != "elementwise":
        return -math.inf, math.inf
    activation = triode.get(function)
    names = {parameter.name for parameter in activation.parameters}
    known = {key: value for key, value in parameters if key in names}
    far = np.array([-1e9, -1e6, 1e6, 1e9])
    values = np.asarray(activation(np.concatenate([np.linspace(-20.0, 20.0, 4001), far]), **known), float)
    low = -math.inf if min(values[-4:]) < -1e3 else float(values.min())
    high = math.inf if max(values[-4:]) > 1e3 else float(values.max())
    # What is approached without end is met by no float: 1e-9 for 0 is the limit itself.
    return float(round(low, 6)), float(round(high, 6))


def beyond(targets: Tensors, low: float, high: float, slack: float = 1e-6) -> float:
    """Share of targets outside [low, high]; a lower bound where only figures of their columns are left."""
    if targets.values is not None and targets.counts is not None and targets.counts.sum():
        outside = (targets.values < low - slack) | (targets.values > high + slack)
        return float(targets.counts[outside].sum() / targets.counts.sum())
    share = 0.0
    kept = {0.0: "0", -1.0: "-1"}
    if math.isfinite(low) and low in kept:
        share += targets.below.get(kept[low], 0.0)
    elif math.isfinite(low):
        share += _columns(low - targets.mean, targets.std)
    if high == 1.0:
        share += targets.below.get(">1", 0.0)
    elif math.isfinite(high):
        share += _columns(targets.mean - high, targets.std)
    return min(share, 1.0)


def _columns(
    excess: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    std: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    """Share of the columns whose mean lies past a bound by their own spread or more."""
    return float((excess > std).mean()) if excess.size and excess.shape == std.shape else 0.0


def over_examples(operation: Operation) -> bool:
    """Whether a softmax runs over the rows of a table, which are the examples of a batch, and not over its units."""
    dim, shape = operation.details.get("dim"), operation.shape
    return operation.kind == "softmax" and len(shape) == 2 and dim in (0, -2) and shape[0] > 1


def binary_valued(targets: Tensors) -> bool:
    """Whether the targets are zeros and ones, and both occur."""
    return targets.values is not None and set(targets.values.tolist()) == {0.0, 1.0}


def distributions(targets: Tensors) -> bool:
    """Whether each row of targets is a distribution over classes that is not simply one class."""
    return targets.rows_sum_to_one >= 0.99 and targets.one_hot < 0.5
