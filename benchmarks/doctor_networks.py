"""The networks that `doctor.py overhead` trains: each gives a function that makes one step, and the model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as users write it

Stepping = tuple[Callable[[], None], nn.Module]
POOL = 4
"""Batches that are gone round."""


def mlp() -> Stepping:
    """The chapter's network: 784-512-256-128-64-10, ReLU, batch 128, Adam."""
    layers: list[nn.Module] = []
    for fan_in, out in pairwise((784, 512, 256, 128, 64, 10)):
        layers += [nn.Linear(fan_in, out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    return _stepping(model, torch.randn(POOL * 128, 784), torch.randint(10, (POOL * 128,)), 128), model


def dying() -> Stepping:
    """The chapter's network with 40% of each layer dead, so that somebody has to be asked at every step."""
    step, model = mlp()
    with torch.no_grad():
        for layer in model.children():
            if isinstance(layer, nn.Linear) and layer.out_features > 10:
                layer.bias[: layer.out_features * 2 // 5] = -100.0
    return step, model


class Basic(nn.Module):
    """ResNet's basic block, as torchvision has it: one ReLU module used twice."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways, rectified."""
        around = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += around
        result: Tensor = self.relu(out)
        return result


class ResNet18(nn.Module):
    """ResNet-18 for images of 32 x 32: 11 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        blocks, width = [], 64
        for wide, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Basic(width, wide, stride), Basic(wide, wide, 1)]
            width = wide
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 3, 32, 32)."""
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))
        return logits


def resnet() -> Stepping:
    """ResNet-18 on 32 x 32 images, batch 32, SGD with momentum."""
    model = ResNet18()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(POOL * 32, 3, 32, 32), torch.randint(10, (POOL * 32,))
    return _stepping(model, x, y, 32, optimizer), model


class Block(nn.Module):
    """A block of a GPT: attention written out by hand, as small ones have it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, steps, width) from the same."""
        n, steps, width = x.shape
        q, k, v = (
            part.view(n, steps, self.heads, -1).transpose(1, 2) for part in self.qkv(self.ln1(x)).chunk(3, -1)
        )
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        weights = F.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, steps, width))
        result: Tensor = x + self.down(F.gelu(self.up(self.ln2(x))))
        return result


class GPT(nn.Module):
    """Four blocks of width 128 over 64 characters of 65 kinds: 0.8 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(65, 128), nn.Embedding(64, 128)
        self.blocks = nn.ModuleList([Block(128, 4) for _ in range(4)])
        self.ln, self.head = nn.LayerNorm(128), nn.Linear(128, 65)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (n x steps, 65) of characters (n, steps)."""
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.ln(x)).flatten(0, 1)
        return logits


def gpt() -> Stepping:
    """A small GPT, batch 16, AdamW."""
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    ids = torch.randint(65, (POOL * 16, 64))
    return _stepping(model, ids, ids.roll(-1, 1), 16, optimizer), model


def _stepping(
    model: nn.Module, x: Tensor, y: Tensor, size: int, optimizer: torch.optim.Optimizer | None = None
) -> Callable[[], None]:
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
    pool = list(zip(x.split(size), y.split(size), strict=True))
    number = 0

    def step() -> None:
        nonlocal number
        inputs, targets = pool[number % len(pool)]
        number += 1
        loss = F.cross_entropy(model(inputs), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


NETWORKS: dict[str, Callable[[], Stepping]] = {"mlp": mlp, "resnet": resnet, "gpt": gpt, "dying": dying}
