"""Hidden units pushed to the flat ends of a bounded function."""

from __future__ import annotations

import math

import numpy as np

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History, Site, UnitFigures
from triode.doctor.rules._flow import hidden_bounded
from triode.doctor.rules._losses import learned
from triode.doctor.rules._theory import usual_flatness
from triode.doctor.rules._words import about, called, names, percent

TITLE = "saturated units"
MEANS = "Inputs of a bounded function lie where it is flat: its slope is below 1% of its steepest."
HURTS = "Hardly any gradient passes there, so neither these units nor the layers before them learn much."
NEEDS = "The slope of tanh, sigmoid and their kin at the inputs they receive, at the start and at the end."
FIX = (
    "Scale the inputs; initialise smaller (LeCun's); batch normalisation before the function; a function that is not "
    "bounded."
)
RANK = 43
CAUSES: tuple[str, ...] = ("input_not_scaled", "bad_init", "sigmoid_hidden")

START = 0.4
"""Excess (see `excess`) before any update. Of networks started well the last blocks of residual ones have most, 0.3 for
the hard sigmoid and hard tanh; faults begin at 0.5."""
OVERCOME = 0.6
"""Below this it is no fault of a network that has learned in spite of it."""
END = 0.5
"""The same at the end, asked only of a network that has not learned after `PATIENCE` steps: trained units may well be
decided (0.8 in a residual network with hard tanh that learns)."""
PATIENCE = 100


def excess(site: Site, figures: UnitFigures) -> float:
    """Share of saturated pairs beyond the usual of the function, of what is left to it: 0 as usual, 1 all flat."""
    usual = usual_flatness(site.function)
    return (figures.saturated - usual) / (1.0 - usual) if math.isfinite(figures.saturated) else 0.0


def unable(history: History) -> str:
    """Say what is missing: a bounded function between the layers."""
    return "" if hidden_bounded(history) else "no bounded function stands between the layers"


def check(history: History) -> Finding | None:
    """Find hidden sites that start saturated, or end so in a network that has not learned."""
    hidden = hidden_bounded(history)
    result = learned(history)
    limit = OVERCOME if result else START
    at_start = [site for site in hidden if site.initial and excess(site, site.initial) > START]
    if not any(site.initial and excess(site, site.initial) > limit for site in at_start):
        at_start = []
    at_end = []
    if not at_start and result is False and history.steps >= PATIENCE:
        at_end = [site for site in hidden if site.last and excess(site, site.last) > END]
    sites = at_start or at_end
    if not sites:
        return None
    first = sites[0]
    figures = first.initial if at_start else first.last
    if figures is None:
        return None
    places = tuple(site.name for site in sites)
    when = "before training" if at_start else "at the end"
    spread = figures.input_spread
    evidence = [f"{called(site.name)}: {_shares(site)}." for site in sites[:6]]
    if np.isfinite(spread):
        evidence.append(
            f"Inputs of {called(first.name)} have mean {about(figures.input_mean)} and standard deviation "
            f"{about(spread)}; the largest is {about(figures.input_largest)}."
        )
    return Finding(
        "saturated",
        f"{called(first.name)} receives inputs too large for {first.function}: {when}, "
        f"{percent(figures.saturated)} of them fall where it is flat and hardly any gradient passes"
        + (
            f"; {names(places[1:])} {'do' if len(places) > 2 else 'does'} likewise."
            if len(places) > 1
            else "."
        ),
        layer=first.name,
        severity="critical" if figures.saturated > 0.9 else "serious",
        confidence="likely",
        evidence=tuple(evidence),
        places=places,
        prescriptions=(
            Prescription("scale_inputs", {}, "Smaller inputs keep the function where it is steep.")
            if first.depth <= 1
            else Prescription(
                "initialise", {"scheme": "lecun"}, "Smaller weights keep the function where it is steep."
            ),
            *(
                (Prescription("initialise", {"scheme": "lecun"}, "So do smaller weights."),)
                if first.depth <= 1
                else ()
            ),
            Prescription(
                "insert_batch_norm", {"sites": places}, "Normalised inputs lie where the function is steep."
            ),
            Prescription(
                "replace_activation", {"function": "relu", "sites": places}, "It is flat on one side only."
            ),
        ),
    )


def _shares(site: Site) -> str:
    parts = []
    if site.initial and math.isfinite(site.initial.saturated):
        parts.append(f"{percent(site.initial.saturated)} saturated before training")
    if site.last and site.last is not site.initial and math.isfinite(site.last.saturated):
        parts.append(f"{percent(site.last.saturated)} at the end")
    return ", ".join(parts)
