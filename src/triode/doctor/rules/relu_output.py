"""A ReLU on the last layer."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History, Operation
from triode.doctor.rules._outputs import Ending, beyond, binary_valued, endings, place, site_of, source
from triode.doctor.rules._words import called, percent

TITLE = "ReLU on the output"
MEANS = (
    "The last function before the loss is a ReLU: every negative score becomes 0, and no output is negative."
)
HURTS = "Where it gives 0 no gradient passes, so that a wrong 0 does not correct itself; an output can die for good."
NEEDS = "The operations before the loss, what the targets are, and which outputs were ever above 0."
FIX = "None for scores and for targets of either sign, a sigmoid for zeros and ones, softplus for positive targets."
RANK = 14
CAUSES: tuple[str, ...] = ("symmetric_init",)

RECTIFIERS = ("relu", "relu6")
NEGATIVE = 0.01
"""Share of targets below 0 from which on they are out of reach and not outliers."""
DEAD = 0.5


def unable(history: History) -> str:
    """Say what is missing: a loss whose operations were traced."""
    return "" if history.loss.name else "the loss was not recognised"


def check(history: History) -> Finding | Note | None:
    """Find a ReLU at the end where the loss or the targets want something else, or that is dead."""
    note = None
    for ending in endings(history):
        here = ending.activation
        if here is None or here.name not in RECTIFIERS or not here.in_model:
            continue
        why, evidence, remedies = _reason(history, ending, here)
        name = place(history, here)
        if why:
            return Finding(
                "relu_output",
                f"{called(name)} is the last function before the loss, {why}",
                layer=name,
                severity="serious",
                confidence="certain" if ending.loss.family in ("categorical", "binary") else "likely",
                evidence=(f"{here.name}{source(here)} is the last function before the loss.", *evidence),
                places=(name,),
                prescriptions=remedies,
            )
        if ending.loss.family == "regression":
            note = Note(
                "relu_output",
                f"{called(name)} is the last function before the loss. The targets are not negative and it is alive; "
                "softplus would do the same without a flat half.",
                (name,),
            )
    return note


def _reason(
    history: History, ending: Ending, here: Operation
) -> tuple[str, tuple[str, ...], tuple[Prescription, ...]]:
    """Why a ReLU is wrong here (to follow a comma), the evidence, and what to do; empty where it is not."""
    loss, targets = ending.loss, ending.targets
    free = Prescription("remove_output_activation", {}, "The scores may then take either sign.")
    sigmoid = Prescription(
        "replace_output_activation", {"function": "sigmoid"}, "Its outputs are probabilities."
    )
    contains = (
        "cross_entropy",
        "binary_cross_entropy_with_logits",
        "multi_margin_loss",
        "multilabel_soft_margin_loss",
    )
    if loss.name in contains:
        why = f"but {loss.name} takes raw scores of either sign; one that is cut to 0 gets no gradient."
        return why, ("The least score that it can give is 0.",), (free,)
    if loss.family == "categorical":
        softmax = Prescription(
            "replace_output_activation", {"function": "softmax"}, "Its outputs are probabilities."
        )
        change = Prescription("change_loss", {"to": "cross_entropy"}, "It takes raw scores.")
        return (
            "but the loss wants probabilities.",
            ("A ReLU gives 0, whose logarithm is -infinity.",),
            (softmax, change),
        )
    if loss.family == "binary":
        return (
            "but the loss wants probabilities between 0 and 1.",
            ("A ReLU gives 0 and numbers above 1.",),
            (sigmoid,),
        )
    if targets is not None:
        below = beyond(targets, 0.0, float("inf"))
        if ending.plain and below >= NEGATIVE:
            seen = f"{percent(below)} of the targets are negative, the least {targets.least:.3g}."
            return "and cannot give the negative values that the targets have.", (seen,), (free,)
        if binary_valued(targets):
            seen = "The targets are zeros and ones: the output answers a question of yes or no."
            return "but the targets are zeros and ones, which a sigmoid is made for.", (seen,), (sigmoid,)
    site = site_of(history, here)
    figures = site.last if site is not None else None
    if figures is not None and figures.dead.size and figures.dead_share >= DEAD:
        seen = f"{percent(figures.dead_share)} of its {figures.dead.size} outputs are 0 for every example."
        soft = Prescription(
            "replace_output_activation", {"function": "softplus"}, "Positive, and nowhere flat."
        )
        return "and it is dead.", (seen,), (free, soft)
    return "", (), ()
