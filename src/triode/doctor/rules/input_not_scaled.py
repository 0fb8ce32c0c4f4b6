"""Inputs so large, so small or so uneven that the first layer cannot treat them as features of equal standing."""

from __future__ import annotations

import math

import numpy as np

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History, Layer, Operation, Tensors
from triode.doctor.rules._words import about, called

TITLE = "inputs not scaled"
MEANS = (
    "Inputs reach the first layer of weights far from the size (about 1) for which weights are initialised and rates "
    "are chosen."
)
HURTS = (
    "Pre-activations, and with them the gradients of the first layer, scale with the inputs: under large ones bounded "
    "functions saturate and ReLUs die, and one learning rate cannot serve both the first layer and the rest."
)
NEEDS = "Floating-point inputs that feed a linear or convolution layer with no normalisation before it."
FIX = (
    "Standardise each feature (subtract its mean, divide by its standard deviation), or divide pixels by 255."
)
RANK = 30
CAUSES: tuple[str, ...] = ()

LARGE = 25.0
"""Root mean square. Tables and pictures that train well reach 8 (flowers in centimetres, pictures of 17 grey levels);
pixels up to 255 and raw tables of measurements begin at 80."""
SMALL = 0.01
"""Largest |input|: with less, the biases of the first layer outweigh anything that the inputs say."""
UNEVEN = 100.0
"""Standard deviation of the widest feature over the median of the features."""


def unable(history: History) -> str:
    """Say what is missing: inputs that feed weights directly."""
    return "" if _fed(history) else "no floating-point input feeds a linear or convolution layer directly"


def check(history: History) -> Finding | None:
    """Find inputs of the wrong size where they enter the first weights."""
    for tensors, layer in _fed(history):
        size, scaling = tensors.magnitude, 1.0
        if (
            layer is not None
            and math.isfinite(layer.input_signal)
            and layer.input_signal > 0.0
            and size > 0.0
        ):
            # The model itself may divide by 255 on the way; only what arrives counts. Below a factor of 3 it is the
            # difference between one batch and all of them.
            arrives = layer.input_signal / size
            scaling = arrives if not 1 / 3 < arrives < 3.0 else 1.0
        size *= scaling
        largest = max(abs(tensors.least), abs(tensors.most)) * scaling
        spread = tensors.std[tensors.std > 0.0] * scaling
        widest = float(spread.max()) if spread.size else 0.0
        typical = float(np.median(spread)) if spread.size else 0.0
        if not (math.isfinite(size) and math.isfinite(largest)):
            continue
        # Only upwards: a corner pixel that hardly changes is no fault, a column of incomes among ages is.
        uneven = widest > 3.0 and typical > 0.0 and widest / typical > UNEVEN
        if size > LARGE or 0.0 < largest < SMALL or uneven:
            return _finding(tensors, layer, size, largest, (widest, typical) if uneven else None)
    return None


def _finding(
    tensors: Tensors, layer: Layer | None, size: float, largest: float, uneven: tuple[float, float] | None
) -> Finding:
    name = layer.name if layer else ""
    into = f" into {called(name)}" if name else ""
    summary = "The inputs are not scaled."
    if size > LARGE:
        summary = (
            f"The inputs go{into} unscaled: their typical size is {about(size)}, where about 1 is expected."
        )
    elif largest < SMALL:
        summary = (
            f"The inputs go{into} unscaled: none is larger than {about(largest)}, where about 1 is expected."
        )
    elif uneven is not None:
        summary = (
            f"The features that go{into or ' in'} differ too much in scale: the widest varies by {about(uneven[0])}, "
            f"{about(uneven[0] / uneven[1])} times as much as the median feature."
        )
    evidence = [f"Inputs lie between {about(tensors.least)} and {about(tensors.most)}."]
    if tensors.std.size > 1 and (tensors.std > 0.0).any():
        positive = tensors.std[tensors.std > 0.0]
        evidence.append(
            f"The standard deviations of their {tensors.std.size} features run from {about(float(positive.min()))} to "
            f"{about(float(positive.max()))}."
        )
    if layer is not None and math.isfinite(layer.signal):
        evidence.append(
            f"The first output of {called(name)} has a root mean square of {about(layer.signal)}."
        )
    return Finding(
        "input_not_scaled",
        summary,
        layer=name,
        severity="critical" if size > 100.0 * LARGE else "serious",
        confidence="likely",
        evidence=tuple(evidence),
        places=(name,) if name else (),
        prescriptions=(
            Prescription("scale_inputs", {}, "Each feature then has mean 0 and standard deviation 1."),
        ),
    )


def _fed(history: History) -> list[tuple[Tensors, Layer | None]]:
    """Floating-point inputs, each with the first linear or convolution layer that reads it as it is."""
    found: list[tuple[Tensors, Layer | None]] = []
    for tensors in history.inputs:
        if tensors.integer or tensors.count == 0:
            continue
        reader = _reader(history, _operation(history, tensors))
        if reader is not None:
            owner = (layer for layer in history.layers if set(layer.parameters) & set(reader.parameters))
            found.append((tensors, next(owner, None)))
    return found


def _operation(history: History, tensors: Tensors) -> int:
    """The operation of the traced step that stands for these inputs, told by their shape where nothing says it."""
    if tensors.operation >= 0:
        return tensors.operation
    given = [op.index for op in history.graph if op.kind == "data" and op.details.get("what") == "input"]
    alike = [index for index in given if history.graph[index].shape == tensors.shape]
    return alike[0] if len(alike) == 1 or len(set(given)) == 1 else -1


def _reader(history: History, start: int) -> Operation | None:
    """The first linear layer or convolution downstream of operation `start`, through carriers only."""
    waiting, seen = [start] if start >= 0 else [], {start}
    while waiting:
        for user in history.graph.users(waiting.pop(0)):
            if user.kind == "weights" and user.details.get("type", "linear") in ("linear", "conv"):
                return user
            if user.kind == "carrier" and user.index not in seen:
                seen.add(user.index)
                waiting.append(user.index)
    return None
