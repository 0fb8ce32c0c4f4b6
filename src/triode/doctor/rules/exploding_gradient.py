"""Gradients that grow without bound, over the steps or on the way back through the layers."""

from __future__ import annotations

import math

import numpy as np

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History
from triode.doctor.rules._flow import factor, overflow, too_long, total_gradient, trained_layers
from triode.doctor.rules._losses import course
from triode.doctor.rules._words import about, called, percent

TITLE = "exploding gradient"
MEANS = "Gradients grow by orders of magnitude, from step to step or from layer to layer, until they are infinite."
HURTS = (
    "A step may then be longer than the weights themselves: what was learned is thrown away, or overflows."
)
NEEDS = "Gradient norms and the length of steps over the watched steps."
FIX = "Lower the rate; He's initialisation; clip the gradient; batch normalisation."
RANK = 41
CAUSES: tuple[str, ...] = ("missing_softmax", "input_not_scaled", "bad_init")

GROWN = 1e3
"""How many times the gradient of the first steps a later one must be, with the loss risen too. Healthy trainings reach
120 for a step or two, and their loss falls."""
RISEN = 3.0
"""How many times its first value the loss must have reached at the end."""
OWN_LENGTH = 1.0
"""Length of a step over the length of the weights, in most watched steps. Healthy trainings stay below 0.1 but for the
first steps of biases and of weights that start near zero."""


def unable(history: History) -> str:
    """Say what is missing: a training to watch the gradient of."""
    return "" if trained_layers(history) else "no gradients were watched"


def check(history: History) -> Finding | None:
    """Look for overflow, for growth with a rising loss, and for steps longer than the weights."""
    steps, norms = total_gradient(history)
    finite = norms[np.isfinite(norms)]
    # The second and third step may have exploded already; the first alone may be a lucky batch.
    start = float(min(finite[0], np.median(finite[:3]))) if finite.size else math.nan
    peak = float(finite.max()) if finite.size else math.nan
    evidence: list[str] = []
    found = overflow(history)
    lost = not all(math.isfinite(loss) for loss in history.losses)
    if found is not None and lost:
        place = called(found.layer) if found.layer else found.operation
        evidence.append(f"Values became infinite{f' at {place}' if place else ''} in step {found.step + 1}.")
    grown = start > 0.0 and peak > GROWN * start
    seen = course(history)
    # Against the very first step: what exploded in the first tenth has come down from that tenth's mean, and is ill.
    risen = lost or (
        seen is not None
        and abs(seen.end) > RISEN * max(abs(seen.first), 1e-12)
        and (seen.end > seen.first or seen.fall < 0.0)
    )
    if grown and risen:
        evidence.append(f"The norm of the gradient grew from {about(start)} to {about(peak)}.")
    infinite = int(np.isinf(norms).sum())
    if infinite and lost:
        evidence.append(f"The norm of the gradient was infinite in {infinite} of {len(steps)} watched steps.")
    if not evidence:
        return None
    evidence += _lengths(history)
    first = trained_layers(history)[0] if trained_layers(history) else None
    at_once = found is not None and found.step == 0
    if at_once:
        summary = "Values grow on their way through the network until they overflow in the very first step"
    elif grown:
        grew = f"its norm grew from {about(start)} to {about(peak)}"
        summary = f"The gradient explodes: {grew} within {history.steps} steps"
    elif infinite or found is None:
        summary = f"The gradient explodes: it became infinite within {history.steps} steps"
    else:
        summary = f"Training explodes: values became infinite in step {found.step + 1}"
    times = too_long(history)
    if times > 2.0 and not at_once:
        summary += f", because the learning rate is {factor(times)}"
    lower = Prescription(
        "lower_rate", {"factor": 10.0}, "Steps ten times shorter stay where the gradient holds."
    )
    initialise = Prescription(
        "initialise", {"scheme": "he"}, "Signals then keep their size from layer to layer."
    )
    clip = Prescription("clip_gradients", {"norm": 1.0}, "No single step can then throw the weights away.")
    tamer: tuple[Prescription, ...] = ()
    wild = sorted(
        {site.function for site in history.hidden()}
        & {"exp", "squared_relu", "pow", "square", "sinh", "cosh"}
    )
    if wild:
        places = tuple(site.name for site in history.hidden() if site.function in wild)
        tamer = (
            Prescription(
                "replace_activation",
                {"function": "relu", "sites": places},
                f"It grows as a line, where {wild[0]} grows faster than any.",
            ),
        )
    return Finding(
        "exploding_gradient",
        summary + ".",
        layer=found.layer if found is not None and found.layer else first.name if first else "",
        severity="critical",
        confidence="likely",
        evidence=tuple(evidence),
        places=tuple(layer.name for layer in trained_layers(history)),
        prescriptions=(*tamer, *((initialise, lower) if at_once else (lower, initialise)), clip),
    )


def _lengths(history: History) -> list[str]:
    """How long steps were compared with the weights, where that is remarkable."""
    for layer in trained_layers(history):
        updates = np.asarray(layer.update, float)
        long = updates[np.isfinite(updates)] > OWN_LENGTH
        if long.any():
            share = percent(float(long.mean()))
            return [f"{share} of the watched steps of {called(layer.name)} were longer than its weights."]
    return []
