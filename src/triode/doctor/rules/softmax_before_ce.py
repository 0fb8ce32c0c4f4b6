"""A softmax, and then a loss that applies one itself."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History
from triode.doctor.rules._outputs import endings, place, source
from triode.doctor.rules._words import called

TITLE = "probabilities where the loss wants raw scores"
MEANS = "Cross-entropy applies a softmax (binary cross-entropy with logits a sigmoid) itself; here it is applied twice."
HURTS = (
    "Scores confined to [0, 1] cannot say more than e to 1: the loss stays high and its gradient is small."
)
NEEDS = "The operations between the network's last layer and the loss, from one traced step."
FIX = "Return the raw scores; apply the softmax or sigmoid only where probabilities are shown."
RANK = 12
CAUSES: tuple[str, ...] = ("softmax_single_unit",)

APPLIES = {
    "cross_entropy": ("softmax", "softmin", "gumbel_softmax"),
    "multi_margin_loss": ("softmax",),
    "binary_cross_entropy_with_logits": ("sigmoid", "hard_sigmoid", "softmax"),
    "multilabel_soft_margin_loss": ("sigmoid", "hard_sigmoid", "softmax"),
}
"""Losses that want raw scores -> functions before them that make probabilities."""


def unable(history: History) -> str:
    """Say what is missing: a loss whose operations were traced."""
    return "" if history.loss.family else "the loss was not recognised"


def check(history: History) -> Finding | Note | None:
    """Find a function that makes probabilities right before a loss that does so itself."""
    note = None
    for ending in endings(history):
        here, name = ending.activation, ending.loss.name
        if here is None or not ending.plain:
            continue
        if here.name == "log_softmax" and name == "cross_entropy":
            note = Note(
                "softmax_before_ce",
                f"A log_softmax stands before cross_entropy{source(here)}: it changes nothing (the loss applies it "
                "again, and the second time does no more); nll_loss would say what is meant.",
                (place(history, here),),
            )
        elif here.name in APPLIES.get(name, ()) and here.details.get("size") != 1:
            own = "softmax" if name == "cross_entropy" else "sigmoid"
            own = "margin between raw scores" if name == "multi_margin_loss" else own
            return Finding(
                "softmax_before_ce",
                f"{called(place(history, here))} is followed by {name}, which wants raw scores and applies "
                f"its {own} itself.",
                layer=place(history, here),
                severity="serious",
                confidence="certain",
                evidence=(
                    f"The {here.name} is called{source(here)} and goes into the loss with nothing but rearrangement "
                    "between.",
                    _bound(name, here.details.get("size")),
                ),
                places=(place(history, here),),
                prescriptions=(
                    Prescription(
                        "remove_output_activation", {}, f"{name} contains it, and computes it more exactly."
                    ),
                ),
            )
    return note


def _bound(name: str, classes: object) -> str:
    """What the loss cannot fall below for scores in [0, 1]."""
    if name == "cross_entropy" and isinstance(classes, int) and classes > 1:
        least = math.log(math.e + classes - 1) - 1
        return (
            f"For {classes} classes and scores in [0, 1] the loss cannot fall below {least:.2f}; it starts near "
            f"{math.log(classes):.2f}."
        )
    if name in ("cross_entropy", "multi_margin_loss"):
        return "Scores in [0, 1] are never more than 1 apart."
    return "For a score in [0, 1] the loss of an example of the negative class cannot fall below ln 2 = 0.69."
