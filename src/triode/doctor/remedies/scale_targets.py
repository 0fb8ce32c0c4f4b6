"""Targets of a size that the network can reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import number

if TYPE_CHECKING:
    from triode.doctor.treatment import Training

TITLE = "Scale the targets"
ORDER = 15


class Scaled:
    """The same batches with targets shifted and divided."""

    def __init__(self, batches: Iterable[Any] | Callable[[], Iterable[Any]], shift: Any, scale: Any) -> None:
        """Targets become (y - shift) / scale."""
        self.batches, self.shift, self.scale = batches, shift, scale

    def __call__(self) -> Iterator[Any]:
        """One epoch."""
        batches = self.batches
        for x, y in batches() if callable(batches) else batches:
            yield x, ((y - self.shift) / self.scale).to(y.dtype)


def _range(prescription: Prescription) -> tuple[float, float] | None:
    low, high = prescription.parameters.get("low"), prescription.parameters.get("high")
    return None if low is None or high is None else (float(low), float(high))


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    ends = _range(prescription)
    to = f"into [{number(ends[0])}, {number(ends[1])}]" if ends else "to mean 0 and standard deviation 1"
    return f"Scale the targets {to} before training, and predictions back after it."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Scale what the batches give."""
    import torch

    from triode.doctor.remedies._surgery import moments
    from triode.doctor.treatment import needs_training

    needs_training(training, "scale_targets")
    batches = training.batches
    ends = _range(prescription)
    if ends is None:
        mean, std, axis = moments(batches() if callable(batches) else batches, 1)
        std = torch.where(std > 0, std, torch.ones_like(std))
        shape = [-1 if place == axis else 1 for place in range(_dimensions(training))]
        shift, scale = mean.reshape(shape), std.reshape(shape)
        if mean.numel() == 1:
            shift, scale = mean.reshape(()), std.reshape(())
    else:
        targets = [y for _, y in (batches() if callable(batches) else batches)]
        least, most = float(min(y.min() for y in targets)), float(max(y.max() for y in targets))
        scale = torch.tensor((most - least or 1.0) / ((ends[1] - ends[0]) or 1.0))
        shift = torch.tensor(least - ends[0] * float(scale))
    training.batches = Scaled(batches, shift, scale)


def _dimensions(training: Training) -> int:
    batches = training.batches
    return int(next(iter(batches() if callable(batches) else batches))[1].dim())


def snippet(history: History | None, prescription: Prescription) -> str:
    """The lines before training."""
    ends = _range(prescription)
    if ends is None:
        return "mean, std = y_train.mean(0), y_train.std(0)\ny_train = (y_train - mean) / std"
    low, high = number(ends[0]), number(ends[1])
    return (
        "least, most = y_train.min(), y_train.max()\n"
        f"y_train = {low} + ({high} - {low}) * (y_train - least) / (most - least)"
    )
