"""Gradient flow: the gradient's norm against the layer, for sigmoid against ReLU against GELU."""

from __future__ import annotations

import math

from triode.bakeoff.grade.evidence import Evidence
from triode.bakeoff.grade.score import Criterion, Score, listed
from triode.bakeoff.records import TrialResult

COMPARED = ("sigmoid", "relu", "gelu")
EACH, DECAY = 5.0, 5.0
"""Points for each of the three, and for the contrast between them."""
LAYERS = 3
"""Weight layers from which a norm against depth says something."""


def judge(evidence: Evidence) -> Score:
    """Five points for each of the three with sane norms, five for sigmoid's decay beside the others."""
    said, hints = [], []
    points = 0.0
    ratios: dict[str, float] = {}
    for name in COMPARED:
        trials = evidence.trials(name)
        share, fault = _sane(trials)
        points += EACH * share
        ratio = _first_to_last(trials) if share else math.nan
        if math.isfinite(ratio):
            ratios[name] = ratio
            said.append(
                f"{name}: norms of {len(trials[0].layers)} layers at every epoch; in epoch 1 the first layer has "
                f"{ratio:.3g} times the norm of the last."
            )
        if fault:
            said.append(f"{name}: {fault}.")
            hints.append(f"record the norms of {name}, layer by layer")
    others = [ratios[name] for name in COMPARED[1:] if name in ratios]
    if "sigmoid" in ratios and others:
        if ratios["sigmoid"] < min(others):
            points += DECAY
            said.append(
                f"Towards the input sigmoid's gradient falls {min(others) / ratios['sigmoid']:.3g} times further."
            )
        else:
            points += DECAY / 2
            said.append("Sigmoid's gradient does not fall further towards the input than the others'.")
            hints.append("the decay shows in a deeper network, or with --initialisation pytorch")
    else:
        hints.append(f"compare {listed(COMPARED)}")
    return Score(points, tuple(said), "; ".join(dict.fromkeys(hints)))


def _sane(trials: tuple[TrialResult, ...]) -> tuple[float, str]:
    """How much of an honest record there is, 0 to 1, and what is wrong."""
    if not trials:
        return 0.0, "no finished trial"
    layers = len(trials[0].layers)
    if not layers:
        return 0.0, "no norms recorded"
    good = [trial for trial in trials if _recorded(trial)]
    if not good:
        return 0.0, "its norms are not positive finite numbers that vary from layer to layer"
    if layers < LAYERS:
        return 0.5, f"only {layers} weight layers, too few to show a decay"
    fault = (
        "" if len(good) == len(trials) else f"{len(trials) - len(good)} of its trials have no usable norms"
    )
    return len(good) / len(trials), fault


def _recorded(trial: TrialResult) -> bool:
    trained = trial.epochs[1:]
    norms = [norm for record in trained for norm in record.gradient_norm]
    if not norms or not all(math.isfinite(norm) and norm >= 0 for norm in norms):
        return False
    # A layer behind dead units has the norm 0 and is honest; a whole record of zeros is none.
    return any(norms) and len(set(norms)) > max(1, len(trained))


def _first_to_last(trials: tuple[TrialResult, ...]) -> float:
    """The norm of the first layer over that of the last, in epoch 1: the geometric mean over the seeds."""
    logs = []
    for trial in trials:
        if len(trial.epochs) > 1 and trial.epochs[1].gradient_norm:
            first, last = trial.epochs[1].gradient_norm[0], trial.epochs[1].gradient_norm[-1]
            if first > 0 and last > 0 and math.isfinite(first) and math.isfinite(last):
                logs.append(math.log(first / last))
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


CRITERION = Criterion("gradient-flow", "Gradient flow analysis", 20, 3, judge)
