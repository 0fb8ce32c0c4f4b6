"""Residual networks of linear layers or of convolutions: each block adds what it computes to what it was given.

With `normalise = "before"` the blocks are pre-activated (normalisation and activation before each layer, a clean path
through the sums; He, Zhang, Ren, Sun, Identity Mappings in Deep Residual Networks, 2016, arXiv:1603.05027). With
"after" they are as first published (layer, normalisation, activation, the last activation after the sum; He, Zhang,
Ren, Sun, Deep Residual Learning, 2015, arXiv:1512.03385).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from triode.bakeoff.models.parts import Model, flat, image_norm, image_shape, no_text, vector_norm

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting


class Block(nn.Module):
    """Two layers beside a path around them, which is a layer of its own where the width changes."""

    def __init__(
        self,
        setting: Setting,
        kind: str,
        widths: tuple[int, int],
        stride: int,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        inside, outside = widths
        norm = partial(_norm, kind, setting.normalisation)
        self.before = setting.normalise == "before"
        self.norm1 = norm(inside if self.before else outside)
        self.activation1 = activation()
        self.layer1 = _layer(kind, inside, outside, stride)
        self.norm2 = norm(outside)
        self.activation2 = activation()
        self.dropout = nn.Dropout(setting.dropout)
        self.layer2 = _layer(kind, outside, outside, 1)
        same = inside == outside and stride == 1
        self.around: nn.Module = nn.Identity() if same else _shortcut(kind, inside, outside, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        around = self.around(x)
        if self.before:
            x = self.layer1(self.activation1(self.norm1(x)))
            x = self.layer2(self.dropout(self.activation2(self.norm2(x))))
            added: Tensor = around + x
            return added
        x = self.dropout(self.activation1(self.norm1(self.layer1(x))))
        result: Tensor = self.activation2(around + self.norm2(self.layer2(x)))
        return result


class Residual(Model):
    """A first layer, a block for each width, and a linear layer; convolutions end in the mean over places."""

    def __init__(
        self, kind: str, setting: Setting, dataset: Dataset, activation: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "cnn":
            inputs = image_shape("residual-cnn", dataset)[0]
        else:
            no_text("residual-mlp", dataset)
            inputs = math.prod(dataset.shape)
        width = setting.hidden[0]
        self.first = _layer(kind, inputs, width, 1)
        # After the sums of pre-activated blocks the activation has the last word; elsewhere the first.
        self.before = setting.normalise == "before"
        if not self.before:
            self.norm, self.activation = _norm(kind, setting.normalisation, width), activation()
        self.blocks = nn.ModuleList()
        for number, wide in enumerate(setting.hidden):
            stride = 2 if kind == "cnn" and number else 1
            self.blocks.append(Block(setting, kind, (width, wide), stride, activation))
            width = wide
        if self.before:
            self.norm, self.activation = _norm(kind, setting.normalisation, width), activation()
        self.head = nn.Linear(width, dataset.outputs)

    def feeding(self) -> list[nn.Module]:
        """Every layer but the last and the ways around: each layer's output meets an activation, after sums perhaps."""
        around = {
            id(module)
            for block in self.blocks
            if isinstance(block, Block)
            for module in block.around.modules()
        }
        return [
            module
            for module in self.modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
            and module is not self.head
            and id(module) not in around
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) of inputs (n, ...)."""
        x = self.first(x if self.kind == "cnn" else flat(x))
        if not self.before:
            x = self.activation(self.norm(x))
        for block in self.blocks:
            x = block(x)
        if self.before:
            x = self.activation(self.norm(x))
        logits: Tensor = self.head(x.mean(dim=(2, 3)) if self.kind == "cnn" else x)
        return logits


def _norm(kind: str, normalisation: str, width: int) -> nn.Module:
    made = image_norm(normalisation, width) if kind == "cnn" else vector_norm(normalisation, width)
    return made or nn.Identity()


def _layer(kind: str, inside: int, outside: int, stride: int) -> nn.Module:
    if kind == "cnn":
        return nn.Conv2d(inside, outside, 3, stride=stride, padding=1)
    return nn.Linear(inside, outside)


def _shortcut(kind: str, inside: int, outside: int, stride: int) -> nn.Module:
    if kind == "cnn":
        return nn.Conv2d(inside, outside, 1, stride=stride)
    return nn.Linear(inside, outside)


MODELS = {"residual-mlp": partial(Residual, "mlp"), "residual-cnn": partial(Residual, "cnn")}
