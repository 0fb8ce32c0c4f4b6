"""How well a network predicts, on one scale for every loss: 0 is the best constant prediction, 1 a perfect one.

Losses of different kinds cannot be compared: a treatment that changes the loss must not be judged by it. What can be
compared is what the predictions are worth: the share that is right, or the share of variance explained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["classes", "labels", "numbers", ""]
Array = NDArray[Any]
LEAST = -1.0
"""The scale's lowest value: worse is not told apart."""
MEASURES: dict[Kind, str] = {"classes": "accuracy", "labels": "accuracy", "numbers": "R²", "": "loss"}


def first_tensor(value: Any) -> Tensor | None:
    """The prediction in what a model returned: its first tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((found for each in value if (found := first_tensor(each)) is not None), None)
    return None


def array(tensor: Tensor) -> Array:
    """A tensor's numbers outside every framework."""
    plain = tensor.detach().cpu()
    return (plain.float() if plain.dtype in (torch.bfloat16, torch.float16) else plain).numpy()


@dataclass
class Objective:
    """What is measured, decided by all targets and the shape of a prediction; unchanged by any treatment."""

    kind: Kind = ""
    base: float = math.nan
    """Accuracy of the best constant answer."""
    mean: Array = field(default_factory=lambda: np.zeros(0))
    variance: float = math.nan
    middle: float = 0.5
    """Between the two values of labels."""

    @classmethod
    def of(cls, targets: Sequence[Array], prediction: Array | None) -> Objective:
        """Decide what is measured.

        Args:
            targets: The targets of batches, examples along axis 0.
            prediction: Of the first batch.
        """
        if (
            prediction is None
            or not targets
            or any(y.ndim == 0 or y.dtype.kind not in "fiub" for y in targets)
        ):
            return cls()
        shape, first = prediction.shape, targets[0]
        if any(y.shape[1:] != first.shape[1:] for y in targets):
            return cls()
        y = np.concatenate(targets)
        if not np.isfinite(y).all():
            return cls()
        same = math.prod(shape) == first.size
        values = np.unique(y) if y.size < 10_000_000 else np.unique(y[:1000])
        if same and y.ndim > 1 and y.shape[1] > 1 and _distributions(y):
            return cls("classes", _majority(y.argmax(1)))
        if not same and len(shape) > 1 and shape[1] > 1 and bool((values == np.round(values)).all()):
            flat = first.reshape(len(first), *first.shape[2:]) if first.ndim == len(shape) else first
            if flat.shape == (shape[0], *shape[2:]) and values.min() >= 0 and values.max() < shape[1]:
                return cls("classes", _majority(y))
            return cls()
        if not same:
            return cls()
        if len(values) == 2:
            columns = y.reshape(len(y), -1) == values[1]
            share = columns.mean(0)
            base = float(np.maximum(share, 1 - share).mean())
            return cls("labels", base, middle=float(values.mean()))
        mean = y.mean(0, dtype=np.float64)
        variance = float(np.square(y - mean).mean())
        return cls("numbers", 0.0, mean, variance)

    @property
    def measure(self) -> str:
        """Name of what is measured."""
        return MEASURES[self.kind]

    def value(self, prediction: Array, target: Array, raw: bool) -> float:
        """Accuracy or R² of a batch; `raw` where the loss takes scores, so that 0 parts two labels."""
        finite = np.isfinite(prediction)
        if self.kind == "classes":
            right = np.where(finite.all(1), np.where(finite, prediction, 0).argmax(1), -1)
            wanted = target.argmax(1) if target.shape == prediction.shape else target.reshape(right.shape)
            return float((right == wanted).mean())
        if prediction.size != target.size:
            return math.nan
        guess = prediction.reshape(target.shape)
        if self.kind == "labels":
            above = guess > (0.0 if raw else self.middle)
            return float(((above == (target > self.middle)) & finite.reshape(target.shape)).mean())
        if self.kind == "numbers" and finite.all():
            with np.errstate(over="ignore"):
                error = float(np.square(guess.astype(np.float64) - target).mean())
            return 1 - error / self.variance if self.variance > 0 else math.nan
        return math.nan

    def skill(self, value: float) -> float:
        """The value on the common scale."""
        if self.kind == "" or math.isnan(value):
            return LEAST if self.kind else math.nan
        known = value if self.kind == "numbers" else (value - self.base) / max(1 - self.base, 1e-9)
        return float(min(max(known, LEAST), 1.0))


def _distributions(y: Array) -> bool:
    return bool((y >= 0).all()) and bool((np.abs(y.sum(1) - 1) < 1e-3).all())


def _majority(classes: Array) -> float:
    counts = np.unique(classes, return_counts=True)[1]
    return float(counts.max() / counts.sum())
