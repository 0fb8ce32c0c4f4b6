"""Layers in a row with nothing between: they compute what one of them could."""

from __future__ import annotations

from itertools import pairwise

from triode.doctor.collapse import redundant_pairs, single_layer
from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History, Layer, Operation
from triode.doctor.rules._outputs import place, source
from triode.doctor.rules._words import names

TITLE = "no activation between layers"
MEANS = "Two or more layers of weights follow each other with nothing non-linear between: their product is one layer."
HURTS = "The extra layers cost weights and time and add no expressive power; a net of them alone is a linear model."
NEEDS = (
    "What stands between the layers in one traced step, and their widths: a narrow one factorises on purpose."
)
FIX = "Put an activation between them, or use the single layer that they amount to."
RANK = 21
CAUSES: tuple[str, ...] = ()


def unable(history: History) -> str:
    """Say what is missing: a traced step."""
    return "" if history.graph.operations else "no step was traced"


def check(history: History) -> Finding | None:
    """Find layers that collapse into one."""
    owner = {name: layer for layer in history.layers for name in layer.parameters}
    pairs = []
    for first, second in redundant_pairs(history.graph):
        mine = [_own(_layer(owner, operation), operation) for operation in (first, second)]
        # What is frozen was not made here, and a layer of another model's is not this patient's.
        if not history.layers or all(
            layer is not None and (layer.trained or not history.trained) for layer in mine
        ):
            pairs.append((first, second))
    if not pairs:
        return None
    runs = _runs(pairs)
    stacks = [[place(history, operation) for operation in run] for run in runs]
    after = tuple(dict.fromkeys(name for stack in stacks for name in stack[:-1]))
    evidence = [_collapse(history, run, owner) for run in runs[:4]]
    linear = not any(site.role in ("hidden", "gate", "attention") for site in history.sites)
    if linear and len(runs) == 1:
        evidence.append("No other activation stands before the output: the whole network is a linear model.")
    function = _prevailing(history)
    return Finding(
        "missing_activation",
        f"Nothing non-linear stands between {names(stacks[0])}, so that together they compute what a single layer "
        "could.",
        layer=stacks[0][0],
        severity="serious" if linear else "moderate",
        confidence="certain",
        evidence=tuple(evidence),
        places=tuple(dict.fromkeys(name for stack in stacks for name in stack)),
        prescriptions=(
            Prescription(
                "insert_activation",
                {"function": function, "after": after},
                "Only with it are they more than one layer.",
            ),
        ),
    )


def _layer(owner: dict[str, Layer], operation: Operation) -> Layer | None:
    return next((owner[name] for name in operation.parameters if name in owner), None)


def _own(layer: Layer | None, operation: Operation) -> Layer | None:
    """A layer, unless it merely has the name of the one that was called, which is another model's."""
    if layer is None or operation.name not in ("linear", "conv1d", "conv2d", "conv3d"):
        return layer
    details = operation.details
    alike = (layer.fan_in, layer.units) == (details.get("fan_in"), details.get("fan_out"))
    return layer if alike else None


def _runs(pairs: list[tuple[Operation, Operation]]) -> list[list[Operation]]:
    """Pairs that share a layer joined to longer rows; a module that is used again is told once."""
    runs: list[list[Operation]] = []
    for first, second in pairs:
        before = next((run for run in runs if run[-1].index == first.index), None)
        if before is not None:
            before.append(second)
        else:
            runs.append([first, second])
    told: dict[tuple[tuple[str, ...], ...], list[Operation]] = {}
    for run in runs:
        told.setdefault(tuple(operation.parameters for operation in run), run)
    return list(told.values())


def _collapse(history: History, run: list[Operation], owner: dict[str, Layer]) -> str:
    """The collapse of a row of layers in figures."""
    layers = [_layer(owner, operation) for operation in run]
    stack = sum(layer.weights for layer in layers if layer is not None)
    stack = stack or sum(int(o.details.get("fan_in", 0)) * int(o.details.get("fan_out", 0)) for o in run)
    said = names([place(history, operation) for operation in run])
    first, last = run[0].details, run[-1].details
    dense = all(operation.details.get("type") == "linear" for operation in run)
    if dense and all(a.details.get("fan_out") == b.details.get("fan_in") for a, b in pairwise(run)):
        shape = f"{last['fan_out']} x {first['fan_in']}"
        product = " ".join(f"W{i}" for i in range(len(run), 0, -1))
        single = int(first["fan_in"] * last["fan_out"]) + int(last["fan_out"])
        return (
            f"{said}{source(run[0])} hold {stack:,} weights; their product {product} is one matrix of {shape}, which "
            f"with its bias has {single:,} and computes the same."
        )
    single = single_layer(history.graph, run[0], run[1]) if len(run) == 2 else 0
    what = "convolution" if last.get("type") == "conv" else "layer"
    figure = f" of {single:,} weights" if single else ""
    return f"{said}{source(run[0])} hold {stack:,} weights; one {what}{figure} computes the same."


def _prevailing(history: History) -> str:
    """The function that the other hidden layers use most; ReLU where there is none."""
    used = [site.function for site in history.hidden()]
    plain = [name for name in used if name not in ("softmax", "log_softmax", "exp", "prelu", "threshold")]
    return max(plain, key=plain.count) if plain else "relu"
