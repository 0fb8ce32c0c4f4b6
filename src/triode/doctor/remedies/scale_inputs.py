"""Inputs of mean 0 and standard deviation 1: what initial weights and learning rates are made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History

if TYPE_CHECKING:
    from triode.doctor.treatment import Training

TITLE = "Standardise the inputs"
ORDER = 10


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    return "Subtract each feature's mean over the training data and divide by its standard deviation."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Put a fixed standardising layer in front of the model."""
    import torch

    from triode.doctor.remedies._calls import rewrite
    from triode.doctor.remedies._surgery import (
        Standardise,
        bare,
        child_name,
        fitted,
        moments,
    )
    from triode.doctor.treatment import _no_loss
    from triode.errors import TriodeError

    if training.loss_fn is not _no_loss:
        batches = training.batches
        mean, std, axis = moments(batches() if callable(batches) else batches, 0)
    else:
        seen = next((each for each in history.inputs if not each.integer), None) if history else None
        if seen is None or not seen.mean.size:
            raise TriodeError("scale_inputs needs the data: a Training, or a history that has seen inputs.")
        mean, std = torch.from_numpy(seen.mean.copy()), torch.from_numpy(seen.std.copy())
        axis = 1 if len(seen.shape) in (2, 4, 5) else len(seen.shape) - 1
        if len(seen.shape) > 1 and mean.numel() != seen.shape[axis]:  # more features than are kept
            std = (std.square().mean() + mean.var(unbiased=False)).sqrt().reshape(1)
            mean = mean.mean().reshape(1)
    model = rewrite(bare(training.model))
    layer = fitted(Standardise(mean, std, axis), model)
    name = model._triode_front or child_name(model, "standardise")
    model.add_module(name, layer)
    model._triode_front = name


def snippet(history: History | None, prescription: Prescription) -> str:
    """The two lines before training."""
    return "mean, std = x_train.mean(0), x_train.std(0).clamp(min=1e-8)\nx_train = (x_train - mean) / std"
