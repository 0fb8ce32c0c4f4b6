"""Long short-term memory, its cell written out, with the activation under test where tanh usually stands.

Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 9(8), 1997; with the forget gate of Gers,
Schmidhuber, Cummins, 2000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from triode.bakeoff.models.parts import TEXT, Model, Steps
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting


class Layer(nn.Module):
    """One layer over the steps of a sequence.

    With gates i, f, o = sigmoid of their rows of W x + U h + b, candidate c' = f_test(its rows):
    c <- f * c + i * c' and h <- o * f_test(c). The gates stay sigmoid, because they are shares between 0 and 1; the
    activation takes the place of tanh at the candidate and at the cell's output, two sites. An activation without an
    upper bound lets the cell grow without one: what it does to the gradients is part of the comparison.
    """

    def __init__(self, inside: int, width: int, norm: bool, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(inside, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width) if norm else None
        self.candidate = activation()
        self.output = activation()

    def forward(self, x: Tensor) -> Tensor:
        """(n, steps, width) from (n, steps, inside)."""
        driven = self.input(x)
        h = c = x.new_zeros(len(x), self.width)
        found = []
        for step in driven.unbind(dim=1):
            z = step + self.recurrent(h)
            if self.norm is not None:
                z = self.norm(z)
            gates, candidate = z.split((3 * self.width, self.width), dim=1)
            i, f, o = torch.sigmoid(gates).chunk(3, dim=1)
            c = f * c + i * self.candidate(candidate)
            h = o * self.output(c)
            found.append(h)
        return torch.stack(found, dim=1)


class Recurrent(Model):
    """Steps (characters, the rows of an image, stretches of a vector), a layer for each width, and a linear layer.

    Text is answered at each step, everything else after the last one.
    """

    def __init__(self, setting: Setting, dataset: Dataset, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        if setting.normalisation == "batch":
            raise TriodeError(
                "normalisation = 'batch' is not for an LSTM, whose steps would share statistics; choose layer."
            )
        self.text = dataset.task == TEXT
        width = setting.hidden[0]
        self.steps = Steps(dataset, width, patches=False)
        self.layers = nn.ModuleList()
        for wide in setting.hidden:
            self.layers.append(Layer(width, wide, setting.normalisation == "layer", activation))
            width = wide
        self.dropout = nn.Dropout(setting.dropout)
        self.head = nn.Linear(width, dataset.outputs)

    def feeding(self) -> list[nn.Module]:
        """None: gates and candidate are rows of one matrix."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs), or (n, steps, outputs) for text."""
        x = self.steps(x)
        for layer in self.layers:
            x = self.dropout(layer(x))
        logits: Tensor = self.head(x if self.text else x[:, -1])
        return logits


MODELS = {"lstm": Recurrent}
