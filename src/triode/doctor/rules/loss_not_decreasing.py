"""Training that leaves the loss where it was, no better than a constant prediction."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History
from triode.doctor.rules._losses import Course, chance, course

TITLE = "loss does not fall"
MEANS = "After enough steps to tell, the loss is no better than that of a prediction which ignores its input."
HURTS = "The network has learned nothing from its inputs."
NEEDS = (
    "A hundred training steps or more, and targets that tell what the best constant prediction would score."
)
FIX = (
    "Look for a cause first: every other diagnosis ranks before this one. With none found, raise or lower the rate by "
    "ten, check that inputs and targets belong together, and choose the loss for the task."
)
RANK = 50
CAUSES: tuple[str, ...] = (
    "softmax_single_unit",
    "missing_softmax",
    "softmax_before_ce",
    "sigmoid_output_multiclass",
    "relu_output",
    "output_range_mismatch",
    "softmax_hidden",
    "symmetric_init",
    "input_not_scaled",
    "bad_init",
    "sigmoid_hidden",
    "nan_or_inf",
    "exploding_gradient",
    "dead_relu",
    "saturated",
    "vanishing_gradient",
)

ALONE = True
"""Applied only where one optimiser trains: adversaries hold each other's losses where they are, by design."""

SYMPTOM = True
"""Where a cause was found, its remedies are the remedies: this one's own are for when nothing else was."""

LEAST_STEPS = 100
BETTER = 0.02
"""Share of a constant prediction's loss by which a network that has learned anything beats it. Sick networks differ
from it by less than 0.005 after hundreds of steps, healthy ones are 0.1 and more below it."""
MOVED = 0.01
"""Share of a constant prediction's loss by which a loss has fallen that has moved at all."""
SETTLED = 0.25
"""A loss has settled whose second half fell by less than this share of what the first half did. One that goes down a
straight line has not, however slowly it does."""


def unable(history: History) -> str:
    """Say what is missing: enough steps, none of them still in a warm-up."""
    if not history.trained:
        return "nothing was trained"
    if history.steps < LEAST_STEPS:
        return f"{history.steps} steps are too few: {LEAST_STEPS} or more tell"
    if _warming_up(history):
        return "the learning rate was still being raised when the watching ended"
    return ""


def check(history: History) -> Finding | Note | None:
    """Compare the course of the loss with itself and with the best constant prediction."""
    seen = course(history)
    if seen is None or unable(history):
        return None
    level = chance(history)
    if math.isnan(level):
        # A loss of one's own may be a reward, an energy, an adversary's: without a level nobody can call it sick.
        if _fell(seen, abs(seen.start)):
            return None
        return Note(
            "loss_not_decreasing",
            f"The loss ended at {seen.end:.3g} after {seen.steps} steps, not clearly below its first tenth "
            f"({seen.start:.3g} on average); what a constant prediction would score is not known for this loss.",
        )
    if seen.end < (1.0 - BETTER) * level:
        return None
    stuck = not _fell(seen, level)
    # Falling from a bad start to the constant's level is no learning either, once it has stopped there.
    flat = abs(seen.middle - seen.end) < max(BETTER * level, 2.0 * seen.noise)
    slower = seen.middle - seen.end < SETTLED * max(seen.start - seen.middle, 0.0)
    settled = seen.steps >= 2 * LEAST_STEPS and flat and slower
    near = seen.end < 1.25 * level
    if not (stuck or (settled and near)):
        return None
    what = (
        f"The loss does not fall: {seen.start:.3g} at the start, {seen.end:.3g} after {seen.steps} steps"
        if stuck
        else f"The loss settled at {seen.end:.3g} and stayed there for the last half of {seen.steps} steps"
    )
    return Finding(
        "loss_not_decreasing",
        f"{what}, no better than the {level:.3g} of a prediction that ignores the input.",
        severity="critical",
        confidence="likely",
        evidence=(
            f"Mean loss of the first tenth of the steps {seen.start:.4g}, of the middle {seen.middle:.4g}, of the last "
            f"tenth {seen.end:.4g}.",
            f"The best constant prediction for these targets scores {level:.4g}.",
        ),
        prescriptions=_prescriptions(history, seen),
    )


def _fell(seen: Course, unit: float) -> bool:
    return seen.fall > MOVED * unit and seen.fall > 2.0 * seen.noise


def _warming_up(history: History) -> bool:
    rates = history.rates
    return len(rates) > 1 and rates[-1] > 1.01 * rates[0] and rates[-1] >= max(rates) * 0.999


def _prescriptions(history: History, seen: Course) -> tuple[Prescription, ...]:
    found = []
    if history.loss.name.startswith(("l1", "mse", "mae")) and _two_valued(history):
        found.append(
            Prescription(
                "change_loss",
                {"to": "binary_cross_entropy_with_logits"},
                "Targets of two values are classes: cross-entropy keeps its slope where an absolute or squared error "
                "behind a sigmoid loses it.",
            )
        )
    if _overshoots(history):
        found.append(
            Prescription("lower_rate", {"factor": 10.0}, "Steps overshoot: the loss rises along them.")
        )
    else:
        found.append(Prescription("raise_rate", {"factor": 10.0}, "Longer steps may get somewhere."))
        found.append(
            Prescription("change_optimizer", {"to": "Adam"}, "It scales each weight's step by its gradient.")
        )
    return tuple(found)


def _two_valued(history: History) -> bool:
    values = history.targets[-1].values if history.targets else None
    return values is not None and len(values) == 2


def _overshoots(history: History) -> bool:
    known = sorted(r for r in history.overshoot if math.isfinite(r))
    return bool(known) and known[len(known) // 2] > 2.0
