"""The loss that fits what comes out of the network and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies import remove_output_activation
from triode.doctor.remedies._places import Spot, at_output
from triode.errors import TriodeError, nearest

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Change the loss"
ORDER = 5
LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "binary_cross_entropy": "BCELoss",
    "nll_loss": "NLLLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
}
"""Functions and the modules of the same."""
SHORT = {
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "bce": "binary_cross_entropy",
    "mse": "mse_loss",
    "l1": "l1_loss",
    "mae": "l1_loss",
    "huber": "smooth_l1_loss",
    "nll": "nll_loss",
}
RAW = {
    "cross_entropy": ("softmax", "log_softmax", "sigmoid"),
    "binary_cross_entropy_with_logits": ("sigmoid", "softmax"),
}
"""Losses that take raw scores -> the output activations that they already contain."""


def name_of(prescription: Prescription) -> str:
    """The loss function asked for, as PyTorch calls it."""
    given = str(prescription.parameters.get("to", ""))
    by_class = {module.lower(): name for name, module in LOSSES.items()}
    name = SHORT.get(given, by_class.get(given.lower(), given))
    if name not in LOSSES:
        raise TriodeError(f"change_loss: there is no loss {given!r}{nearest(given, LOSSES)}.")
    return name


def doubled(history: History | None, prescription: Prescription) -> list[Spot]:
    """The output activation that the new loss already contains, inside the model."""
    if history is None or not history.graph.operations:
        return []
    contained = RAW.get(name_of(prescription), ())
    return [spot for spot in at_output(history) if spot.in_model and spot.function in contained]


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    name = name_of(prescription)
    inside = doubled(history, prescription)
    without = f", and leave out the {inside[0].function} at the output, which it contains" if inside else ""
    before = (
        f" in place of {history.loss.name}" if history and history.loss.name not in ("", "custom") else ""
    )
    return f"Use nn.{LOSSES[name]}{before}{without}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Compare predictions and targets by the new loss."""
    from triode.doctor.treatment import needs_training

    needs_training(training, "change_loss")
    training.loss_fn = compare(name_of(prescription), getattr(training.loss_fn, "reduction", "mean"))
    if doubled(history, prescription):
        remove_output_activation.apply(training, Prescription("remove_output_activation"), history)


def compare(name: str, reduction: str = "mean") -> Callable[[Any, Any], Any]:
    """A loss that takes targets in the form that the old one may have wanted: classes, one-hot rows, columns."""
    import torch
    from torch.nn import functional

    function = getattr(functional, name)
    how = reduction if reduction in ("mean", "sum") else "mean"

    def loss(prediction: Any, target: Any) -> Any:
        if isinstance(prediction, (tuple, list)):
            prediction = prediction[0]
        whole = not target.is_floating_point()
        if name in ("cross_entropy", "nll_loss"):
            if target.shape == prediction.shape:
                target = target.to(prediction.dtype) if name == "cross_entropy" else target.argmax(1)
            else:
                target = target.reshape(prediction.shape[0], *prediction.shape[2:]).long()
        else:
            if whole and target.dim() + 1 == prediction.dim() and prediction.shape[1] > 1:
                target = functional.one_hot(target.long(), prediction.shape[1])
                target = target.movedim(-1, 1)
            target = target.to(prediction.dtype)
            if target.numel() == prediction.numel():
                target = (
                    target.view_as(prediction) if target.is_contiguous() else target.reshape(prediction.shape)
                )
        result: torch.Tensor = function(prediction, target, reduction=how)
        return result

    loss.__name__ = name
    return loss


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change the constructor of the loss, or the call of its function."""
    name, old = name_of(prescription), history.loss.name
    if old not in LOSSES:
        raise LookupError("a loss written by hand")
    try:
        source, call = program.constructor((LOSSES[old],))
        source.rename(call, LOSSES[name], "torch.nn")
    except LookupError:
        where = history.graph[history.loss.operation].where if history.loss.operation >= 0 else ""
        source, call = program.call_at(where, (old,))
        source.rename(call, name, "torch.nn.functional")
    if doubled(history, prescription):
        remove_output_activation.edit(program, prescription, history)


def snippet(history: History | None, prescription: Prescription) -> str:
    """The new loss."""
    inside = doubled(history, prescription)
    note = f"  # of raw scores: no {inside[0].function} before it" if inside else ""
    return f"loss_fn = nn.{LOSSES[name_of(prescription)]}(){note}"
