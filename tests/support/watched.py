"""Networks, batches and a plain loop for the tests of watching."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import triode
from triode.doctor.history import History
from triode.doctor.observe.watcher import Watcher

Batch = tuple[Tensor, Tensor]


def vectors(n: int = 6, features: int = 5, classes: int = 3, size: int = 16) -> list[Batch]:
    torch.manual_seed(3)
    return [(torch.randn(size, features), torch.randint(classes, (size,))) for _ in range(n)]


def images(n: int = 4) -> list[Batch]:
    torch.manual_seed(3)
    return [(torch.randn(8, 1, 8, 8), torch.randint(3, (8,))) for _ in range(n)]


def loop(
    net: nn.Module,
    batches: Iterable[Batch],
    loss_fn: Callable[[Any, Any], Tensor] = F.cross_entropy,
    rate: float = 0.05,
    watcher: Watcher | None = None,
    epochs: int = 1,
) -> list[float]:
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    losses = []
    for _ in range(epochs):
        if watcher is not None:
            watcher.epoch()
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def seen(net: nn.Module, batches: Iterable[Batch], **options: Any) -> History:
    with Watcher() as watcher:
        loop(net, batches, watcher=watcher, **options)
    [history] = watcher.histories()
    return history


class Block(nn.Module):
    """One in-place module used twice, and a way around."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(x + self.bn2(self.conv2(y)))


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        Block(),
        Block(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(nn.Linear(5, 8), nn.ReLU()), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        return self.b(checkpoint(self.a, x, use_reentrant=False))


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)
    )


def ours() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), triode.torch.GELU(), nn.Linear(8, 7), triode.torch.ReLU(), nn.Linear(7, 3)
    )


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 3))
