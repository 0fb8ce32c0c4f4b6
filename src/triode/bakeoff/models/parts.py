"""What the models share: normalisation by name, and how each kind of example becomes a row, an image or a sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting

TEXT = "next-character"
LONGEST = 64
"""Steps of a sequence made of a vector, at most; neighbouring features share a step beyond that."""


class Model(nn.Module):
    """A network that says which of its weight layers feed the activation, for the initialisation matched to it."""

    def feeding(self) -> list[nn.Module]:
        """The weight layers whose outputs the activation takes, through a normalisation or a sum perhaps."""
        raise NotImplementedError


def no_text(model: str, dataset: Dataset) -> None:
    """Refuse a text for a model that would see the characters that it has to predict."""
    if dataset.task == TEXT:
        raise TriodeError(
            f"model = {model!r} cannot read the text {dataset.name}: its characters come in an order; choose "
            "transformer or lstm."
        )


def image_shape(model: str, dataset: Dataset) -> tuple[int, int, int]:
    """(channels, height, width), or a refusal of data that has none."""
    no_text(model, dataset)
    if len(dataset.shape) != 3:
        raise TriodeError(
            f"model = {model!r} takes images; an example of {dataset.name} has the shape {tuple(dataset.shape)}, so "
            "choose mlp or residual-mlp."
        )
    channels, height, width = dataset.shape
    return channels, height, width


def vector_norm(kind: str, width: int) -> nn.Module | None:
    """Normalisation of features (n, width) by name; None for none."""
    if kind == "none":
        return None
    return nn.BatchNorm1d(width) if kind == "batch" else nn.LayerNorm(width)


def image_norm(kind: str, channels: int) -> nn.Module | None:
    """Normalisation of images (n, channels, height, width) by name; layer: over each example's channels and places."""
    if kind == "none":
        return None
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(1, channels)


def activated(
    setting: Setting, activation: nn.Module, norm: nn.Module | None, drop: nn.Module | None = None
) -> list[nn.Module]:
    """The activation with its normalisation on the side that the setting says, and dropout last."""
    order = [norm, activation] if setting.normalise == "before" else [activation, norm]
    return [module for module in (*order, drop) if module is not None]


class Steps(nn.Module):
    """Examples as sequences (n, steps, width): characters, an image's patches or rows, or a vector's stretches.

    - text: an embedding of each character;
    - images: patches of 4 x 4 pixels where both sides divide by 4 and `patches` is asked for, else rows;
    - vectors: single features, or stretches of neighbouring ones where there are more than `LONGEST`.
    """

    def __init__(self, dataset: Dataset, width: int, *, patches: bool) -> None:
        super().__init__()
        self.kind = "text" if dataset.task == TEXT else "vector"
        self.patch = 0
        if self.kind == "text":
            self.embedding = nn.Embedding(dataset.outputs, width)
            return
        if len(dataset.shape) == 3:
            channels, height, across = dataset.shape
            self.kind = "image"
            self.patch = 4 if patches and height % 4 == 0 and across % 4 == 0 else 0
            self.size = channels * 16 if self.patch else channels * across
            self.length = height * across // 16 if self.patch else height
        else:
            features = math.prod(dataset.shape)
            self.size = -(-features // LONGEST)
            self.length = -(-features // self.size)
            self.missing = self.length * self.size - features
        self.project = nn.Linear(self.size, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, steps, width) of a batch of examples."""
        if self.kind == "text":
            embedded: Tensor = self.embedding(x)
            return embedded
        n = len(x)
        if self.kind == "vector":
            x = nn.functional.pad(x.reshape(n, -1), (0, self.missing))
            x = x.reshape(n, self.length, self.size)
        elif self.patch:
            _, channels, height, across = x.shape
            x = x.reshape(n, channels, height // 4, 4, across // 4, 4)
            x = x.permute(0, 2, 4, 1, 3, 5).reshape(n, self.length, self.size)
        else:
            x = x.transpose(1, 2).reshape(n, self.length, self.size)
        projected: Tensor = self.project(x)
        return projected


def flat(x: Tensor) -> Tensor:
    """Examples as rows (n, features)."""
    return x if x.dim() == 2 else torch.flatten(x, 1)
