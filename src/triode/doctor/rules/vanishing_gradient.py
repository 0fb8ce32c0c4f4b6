"""Gradients that reach the first layers a thousand times weaker than the last ones."""

from __future__ import annotations

import math

import numpy as np

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History
from triode.doctor.rules._flow import Flow, ends_dead, flow, profile, starts_dead, trained_layers
from triode.doctor.rules._words import about, called, percent

TITLE = "vanishing gradient"
MEANS = (
    "Going backwards, each layer passes on less of the gradient than it receives, until hardly any is left."
)
HURTS = (
    "The first layers stay what they were drawn to be; the last ones learn from what those happen to compute."
)
NEEDS = "Gradients of the first and the last trained layer over the watched steps."
FIX = "ReLU or a relative of it; He's initialisation; batch normalisation; residual connections."
RANK = 44
CAUSES: tuple[str, ...] = ("sigmoid_hidden", "softmax_hidden", "bad_init", "saturated", "input_not_scaled")

FADED = 1e-3
"""First over last gradient, by their norms: the threshold of AUTOTRAINER. Faults lie at 4e-5 and below; networks that
learn at 0.08 and above, but for sigmoids with PyTorch's default weights (0.004 with four, learning late)."""
MOST = 2 / 3
"""Share of the watched steps in which it must lie below: 0.9 and more in faults, at most 0.3 in networks that learn."""


def unable(history: History) -> str:
    """Say what is missing: a training to watch the gradient of."""
    return (
        ""
        if history.trained and flow(history) is not None
        else "no gradients of two or more layers were watched"
    )


def check(history: History) -> Finding | None:
    """Compare the gradient at both ends of the network."""
    gradients = flow(history)
    if gradients is None:
        return None
    known = np.isfinite(gradients.ratio)
    faded = known & (np.nan_to_num(gradients.ratio, nan=1.0) < FADED)
    # Nothing at all comes through a layer whose units are all dead: another illness, with another cure. A function
    # that is flat in floating point gives exact zeros too, and that is this one.
    dead = starts_dead(history) or ends_dead(history)
    blocked = np.zeros_like(known) if dead else gradients.blocked
    counted = known | blocked
    if not counted.any() or float((faded | blocked)[counted].mean()) <= MOST:
        return None
    if starts_dead(history) and not known.any():
        return None
    return _finding(history, gradients, bool(blocked.any()) and not faded.any())


def _finding(history: History, gradients: Flow, nothing: bool) -> Finding:
    layers = trained_layers(history)
    levels = profile(layers)
    below = gradients.share_below(FADED)
    reached = "nothing" if nothing else f"{about(gradients.typical)}"
    places = tuple(name for name, level in levels if not level > FADED * levels[-1][1])
    evidence = [
        "Median norm of the gradient of each layer: "
        + ", ".join(f"{called(name)} {about(level)}" for name, level in levels[:12])
        + ".",
    ]
    if math.isfinite(below):
        evidence.append(
            f"The ratio lay below {FADED:g} in {percent(below)} of the {len(gradients.steps)} watched steps."
        )
    functions = sorted({site.function for site in history.hidden()})
    if functions:
        evidence.append(f"Functions between the layers: {', '.join(functions)}.")
    rectified = set(functions) <= {"relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "swish", "mish"}
    replace = Prescription(
        "replace_activation",
        {"function": "relu"},
        "Its slope is 1 on the active side: no loss from layer to layer.",
    )
    others = (
        Prescription(
            "initialise", {"scheme": "he"}, "Weights of the right size pass gradients on unchanged."
        ),
        Prescription("insert_batch_norm", {}, "Each layer's scale is then set anew, forwards and backwards."),
    )
    return Finding(
        "vanishing_gradient",
        f"The gradient fades on its way back: {called(gradients.first.name)} receives {reached} of what "
        f"{called(gradients.last.name)} does.",
        layer=gradients.first.name,
        severity="critical",
        confidence="likely",
        evidence=tuple(evidence),
        places=places or (gradients.first.name,),
        prescriptions=others if rectified else (replace, *others),
    )
