"""Small networks, data and losses as people write them, for the doctor's rules about structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from triode.doctor.diagnosis import Diagnosis

F = nn.functional

STRUCTURE = {
    "softmax_single_unit",
    "missing_softmax",
    "softmax_before_ce",
    "sigmoid_output_multiclass",
    "relu_output",
    "output_range_mismatch",
    "softmax_hidden",
    "missing_activation",
}


class Fn(nn.Module):
    """Layers by name, and the forward pass as a function of them and the input."""

    def __init__(self, forward: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._forward = forward

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


def L(inputs: int, units: int, **options: Any) -> Any:  # noqa: N802 - the layer, in tables of nets
    return nn.Linear(inputs, units, **options)


def mlp(*rest: Any, units: int = 6) -> Any:
    """Four inputs, a hidden layer of tanh, and then what is given."""
    return nn.Sequential(L(4, units), nn.Tanh(), *rest)


def table(columns: int = 4) -> Any:
    return torch.randn(32, columns, generator=torch.Generator().manual_seed(1))


def classes(n: int = 3) -> Any:
    return torch.arange(32) % n


def labels(columns: int = 1) -> Any:
    return (table(columns) > 0).float()


def onehot(n: int = 3) -> Any:
    return F.one_hot(classes(n), n).float()


def simplex(n: int = 3) -> Any:
    return torch.softmax(table(n), 1)


def images(channels: int = 1, side: int = 6) -> Any:
    return torch.randn(16, channels, side, side, generator=torch.Generator().manual_seed(2))


def examined(model: Any, loss: Any, x: Any, y: Any) -> Diagnosis:
    import triode.doctor

    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return triode.doctor.examine(model, [(x, y)] * 3, loss, optimizer=optimizer)


def structural(diagnosis: Diagnosis) -> set[str]:
    return {finding.diagnosis for finding in diagnosis.findings if not finding.follows} & STRUCTURE


def small(k: int = 3) -> Any:
    return mlp(L(6, k))


def manual_bce(p: Any, y: Any) -> Any:
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def dice(p: Any, y: Any) -> Any:
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


Spec = tuple[Any, Any, Callable[[], Any], Callable[[], Any]]
