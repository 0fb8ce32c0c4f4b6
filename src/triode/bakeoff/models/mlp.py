"""The multilayer perceptron: linear layers with the activation after each but the last."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from triode.bakeoff.models.parts import Model, activated, flat, no_text, vector_norm

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting


class Perceptron(Model):
    """linear -> [normalisation] -> activation -> [normalisation] -> [dropout] for each width, and a last linear layer.

    Images are flattened.
    """

    def __init__(self, setting: Setting, dataset: Dataset, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        no_text("mlp", dataset)
        widths = (math.prod(dataset.shape), *setting.hidden, dataset.outputs)
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.hidden = nn.ModuleList(
            nn.Sequential(
                *activated(
                    setting,
                    activation(),
                    vector_norm(setting.normalisation, width),
                    nn.Dropout(setting.dropout) if setting.dropout else None,
                )
            )
            for width in setting.hidden
        )

    def feeding(self) -> list[nn.Module]:
        """Every layer but the last."""
        return list(self.linear)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) of inputs (n, ...)."""
        x = flat(x)
        for linear, hidden in zip(self.linear, self.hidden, strict=False):
            x = hidden(linear(x))
        logits: Tensor = self.linear[-1](x)
        return logits


MODELS = {"mlp": Perceptron}
