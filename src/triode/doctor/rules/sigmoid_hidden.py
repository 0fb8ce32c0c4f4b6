"""Sigmoids in a row: each lets through a quarter of the gradient or less."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History
from triode.doctor.rules._flow import flow, profile, trained_layers
from triode.doctor.rules._losses import learned
from triode.doctor.rules._words import about, called, names, plural

TITLE = "sigmoids in the hidden layers"
MEANS = "Several hidden layers one after the other use the sigmoid, whose slope is nowhere above 1/4."
HURTS = (
    "Each lets through at most a quarter of the gradient; unless the weights make up for it, the first layers hardly "
    "learn."
)
NEEDS = "Three sigmoid sites in depth, and the gradient at both ends of the network over the watched steps."
FIX = "Use ReLU (or GELU, SELU) with its initialisation; add batch normalisation; keep sigmoids for gates and outputs."
RANK = 32
CAUSES: tuple[str, ...] = ()

DEEP = 3
"""Sigmoids in depth. One or two are a textbook's network and train."""
FADED = 1e-3
"""First over last gradient (norms) in most watched steps: ten sigmoids or more have 3e-5 and less. Four at their
critical point have 0.2, four with PyTorch's default weights 0.004 to 0.008: they learn, after a while."""
SLOW = 1e-2
"""Enough where nothing was learned, after `PATIENCE` steps."""
PATIENCE = 100

SIGMOIDS = ("sigmoid", "hard_sigmoid")


def unable(history: History) -> str:
    """Say what is missing: a training to watch the gradient of."""
    return (
        ""
        if history.trained and flow(history) is not None
        else "no gradients of two or more layers were watched"
    )


def check(history: History) -> Finding | None:
    """Find sigmoids in depth where the gradient is measured to fade."""
    sites = sorted(
        (site for site in history.hidden() if site.function in SIGMOIDS), key=lambda site: site.depth
    )
    gradients = flow(history)
    if len({site.depth for site in sites}) < DEEP or gradients is None:
        return None
    stuck = history.steps >= PATIENCE and learned(history) is False
    faded = gradients.share_below(SLOW if stuck else FADED)
    if not (math.isfinite(faded) and faded > 0.5):
        return None
    places = tuple(site.name for site in sites)
    levels = ", ".join(
        f"{called(name)} {about(level)}" for name, level in profile(trained_layers(history))[:12]
    )
    return Finding(
        "sigmoid_hidden",
        f"{plural(len(sites), 'sigmoid')} stand one after the other between the layers, and each lets through at "
        f"most a quarter of the gradient: {called(gradients.first.name)} receives {about(gradients.typical)} of what "
        f"{called(gradients.last.name)} does.",
        layer=sites[0].name,
        severity="critical",
        confidence="likely",
        evidence=(
            f"Sigmoids: {names(places, 12)}.",
            f"Median norm of the gradient of each layer: {levels}.",
        ),
        places=places,
        prescriptions=(
            Prescription(
                "replace_activation", {"function": "relu", "sites": places}, "Its slope is 1, not 1/4."
            ),
            Prescription(
                "initialise", {"scheme": "he"}, "He's weights keep the signal's size through ReLUs."
            ),
            Prescription("insert_batch_norm", {}, "Normalised inputs keep each function where it is steep."),
        ),
    )
