"""Sigmoids at the output of a network that chooses one of several classes."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History, Loss, Operation, Tensors
from triode.doctor.rules._outputs import distributions, endings, place, source
from triode.doctor.rules._words import called

TITLE = "sigmoid output for exclusive classes"
MEANS = (
    "Each class has a sigmoid of its own, while the loss or the targets speak of one distribution over them."
)
HURTS = "The outputs do not compete and need not sum to one; inside a cross-entropy they confine the scores to [0, 1]."
NEEDS = "The operations before the loss, and whether the rows of the targets are distributions."
FIX = "Raw scores into cross-entropy, or a softmax; sigmoids for classes that may occur together."
RANK = 13
CAUSES: tuple[str, ...] = ()

SIGMOIDS = ("sigmoid", "hard_sigmoid")


def unable(history: History) -> str:
    """Say what is missing: a loss whose operations were traced."""
    return "" if history.loss.family else "the loss was not recognised"


def check(history: History) -> Finding | Note | None:
    """Find sigmoids that feed a likelihood over several classes, or that are to match distributions."""
    note = None
    for ending in endings(history):
        here, loss, targets = ending.activation, ending.loss, ending.targets
        if here is None or here.name not in SIGMOIDS or not ending.plain:
            continue
        if loss.family == "categorical" and loss.name != "multi_margin_loss":
            return _finding(history, here, loss, None)
        if targets is None or not targets.shape or targets.shape[-1] < 2:
            continue
        if distributions(targets) and loss.family in ("regression", "other"):
            return _finding(history, here, loss, targets)
        if loss.family == "binary" and targets.shape[-1] > 2 and targets.one_hot >= 0.99:
            note = Note(
                "sigmoid_output_multiclass",
                f"Every target is exactly one of {targets.shape[-1]} classes, and each class has a sigmoid of its own: "
                "it works, but a softmax with cross-entropy knows that the classes exclude each other.",
                (place(history, here),),
            )
    return note


def _finding(history: History, here: Operation, loss: Loss, targets: Tensors | None) -> Finding:
    """The finding; with `targets` where they, and not the loss, say that the classes exclude each other."""
    name = place(history, here)
    if targets is None:
        what = loss.name if loss.name != "custom" else "a log-likelihood over the classes"
        summary = (
            f"{called(name)} makes the output, one class at a time, but {what} is about classes of which "
            "exactly one is right, and wants scores that compete."
        )
        evidence = [f"The {here.name}{source(here)} goes into {what} with nothing but rearrangement between."]
        scores = history.graph[loss.prediction].shape if loss.prediction >= 0 else ()
        classes = scores[1] if len(scores) > 1 else 0
        if loss.name == "cross_entropy" and classes > 1:
            evidence.append(
                f"Scores between 0 and 1 for {classes} classes give the right one at most the probability "
                f"{2.718281828 / (2.718281828 + classes - 1):.2f}."
            )
        remedies: tuple[Prescription, ...] = (
            Prescription(
                "remove_output_activation", {}, "cross_entropy turns raw scores into probabilities itself."
            ),
        )
        if loss.name != "cross_entropy":
            remedies = (
                Prescription("replace_output_activation", {"function": "softmax"}, "Its outputs sum to one."),
                Prescription("change_loss", {"to": "cross_entropy"}, "It takes raw scores and is exact."),
            )
    else:
        summary = (
            f"{called(name)} makes the output, one class at a time, but the targets are distributions over "
            f"{targets.shape[-1]} classes, which sum to one."
        )
        evidence = [
            f"{100 * targets.rows_sum_to_one:.0f}% of the rows of the targets are non-negative and sum to 1; "
            f"{100 * max(targets.one_hot, 0.0):.0f}% are a single class.",
            f"The {here.name}{source(here)} is compared with them by {loss.name}.",
        ]
        remedies = (
            Prescription("replace_output_activation", {"function": "softmax"}, "Its outputs sum to one."),
            Prescription("change_loss", {"to": "cross_entropy"}, "It takes distributions as targets."),
        )
    return Finding(
        "sigmoid_output_multiclass",
        summary,
        layer=name,
        severity="serious",
        confidence="certain" if targets is None else "likely",
        evidence=tuple(evidence),
        places=(name,),
        prescriptions=remedies,
    )
