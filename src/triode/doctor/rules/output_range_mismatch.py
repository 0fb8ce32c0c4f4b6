"""Targets that the output cannot reach."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History, Operation, Tensors
from triode.doctor.rules._outputs import Ending, beyond, endings, over_examples, place, source, value_range
from triode.doctor.rules._words import called, percent

TITLE = "targets outside the output's range"
MEANS = "The output activation confines the prediction to a range that part of the targets lie outside of."
HURTS = "The loss cannot fall below the distance to them, and the output is driven into its flat ends."
NEEDS = "The output activation, and the values of the targets."
FIX = "Remove the output activation, or choose one whose range fits, or scale the targets into it."
RANK = 15
CAUSES: tuple[str, ...] = ("softmax_single_unit", "relu_output")

SHARE = 0.01
"""Share of the targets out of reach from which on it is no matter of outliers."""
ROOM = 2.0
"""Sum of a column of targets over a batch that outputs which sum to 1 do not come near."""


def unable(history: History) -> str:
    """Say what is missing: targets to compare with."""
    if not history.loss.name:
        return "the loss was not recognised"
    if not history.targets and not history.inputs:
        return "no targets were seen"
    return ""


def check(history: History) -> Finding | None:
    """Find targets that the output activation, or a loss over probabilities, cannot meet."""
    for ending in endings(history):
        targets = ending.targets
        if ending.loss.family == "binary" and ending.loss.name.startswith("binary") and targets is not None:
            outside = beyond(targets, 0.0, 1.0)
            if outside > 0.0 and outside >= SHARE:
                return _labels(history, ending, targets, outside)
        here = ending.activation
        if here is None or not ending.plain:
            continue
        if over_examples(here) and targets is not None and ending.loss.family in ("regression", "binary"):
            wanted = float(targets.mean.mean()) * here.shape[0] if targets.mean.size else 0.0
            if wanted > ROOM and here.shape[1] > 1:
                return _across(history, here, wanted)
        parameters = {key: float(v) for key, v in here.details.items() if isinstance(v, float)}
        low, high = value_range(here.name, tuple(sorted(parameters.items())))
        if ending.loss.name == "cross_entropy" and here.name in ("tanh", "hard_tanh", "softsign"):
            return _scores(history, here, history.graph[ending.loss.prediction].shape)
        if ending.loss.family != "regression" or targets is None or ending.loss.name == "poisson_nll_loss":
            continue
        outside = beyond(targets, low, high)
        if outside >= SHARE:
            return _regression(history, here, targets, (low, high), outside)
    return None


def _regression(
    history: History, here: Operation, targets: Tensors, bounds: tuple[float, float], outside: float
) -> Finding:
    name = place(history, here)
    free = Prescription("remove_output_activation", {}, "A regression's output may take any value.")
    remedies = [free]
    if targets.least >= -1.0 - 1e-6 and targets.most <= 1.0 + 1e-6 and targets.least < 0:
        tanh = Prescription(
            "replace_output_activation", {"function": "tanh"}, "Its range is that of the targets."
        )
        remedies.append(tanh)
    if math.isfinite(bounds[0]) and math.isfinite(bounds[1]):
        ends = {"low": bounds[0], "high": bounds[1]}
        remedies.append(
            Prescription("scale_targets", ends, "Bring the targets into the range of the output.")
        )
    span = (
        f"the range from {bounds[0]:g} to {bounds[1]:g}"
        if all(map(math.isfinite, bounds))
        else f"values of {bounds[0]:g} and above"
        if math.isfinite(bounds[0])
        else f"values up to {bounds[1]:g}"
    )
    return Finding(
        "output_range_mismatch",
        f"{called(name)} confines the output to {span}, and {percent(outside)} of the targets lie outside.",
        layer=name,
        severity="serious",
        confidence="certain",
        evidence=(
            f"The targets run from {targets.least:.4g} to {targets.most:.4g}.",
            f"{here.name}{source(here)} is the last function before the loss.",
        ),
        places=(name,),
        prescriptions=tuple(remedies),
    )


def _across(history: History, here: Operation, wanted: float) -> Finding:
    name = place(history, here)
    rows = here.shape[0]
    return Finding(
        "output_range_mismatch",
        f"{called(name)} runs over the examples of the batch, so that the outputs of {rows} examples sum to "
        "1, which the targets do not.",
        layer=name,
        severity="critical",
        confidence="certain",
        evidence=(
            f"Its result{source(here)} has shape {rows} x {here.shape[1]} and is normalised over dimension "
            f"{here.details.get('dim')}.",
            f"The targets of {rows} examples sum to {wanted:.3g} in a column, on average.",
        ),
        places=(name,),
        prescriptions=(
            Prescription("change_loss", {"to": "cross_entropy"}, "It normalises over the classes itself."),
        ),
    )


def _labels(history: History, ending: Ending, targets: Tensors, outside: float) -> Finding:
    values = "" if targets.values is None else f": {', '.join(f'{value:g}' for value in targets.values[:8])}"
    where = ending.activation or history.graph[ending.loss.prediction]
    return Finding(
        "output_range_mismatch",
        f"{ending.loss.name} wants targets between 0 and 1, and {percent(outside)} of the targets lie outside.",
        layer=place(history, where),
        severity="critical",
        confidence="certain",
        evidence=(f"The targets run from {targets.least:.4g} to {targets.most:.4g}{values}.",),
        places=(place(history, where),),
        prescriptions=(
            Prescription("scale_targets", {"low": 0.0, "high": 1.0}, "Name the two classes 0 and 1."),
        ),
    )


def _scores(history: History, here: Operation, shape: tuple[int, ...]) -> Finding:
    name = place(history, here)
    classes = shape[1] if len(shape) > 1 else 0
    evidence = [f"{here.name}{source(here)} is the last function before cross_entropy."]
    if classes > 1:
        most = math.exp(2.0) / (math.exp(2.0) + classes - 1)
        evidence.append(
            f"For {classes} classes such scores give the right one at most the probability {most:.2f}."
        )
    return Finding(
        "output_range_mismatch",
        f"{called(name)} confines the output to the range from -1 to 1, but cross_entropy needs raw "
        "scores, which may grow as the network becomes sure.",
        layer=name,
        severity="serious",
        confidence="certain",
        evidence=tuple(evidence),
        places=(name,),
        prescriptions=(
            Prescription("remove_output_activation", {}, "cross_entropy applies its softmax itself."),
        ),
    )
