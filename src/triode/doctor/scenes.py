"""The chapter's two sick networks as real trainings: nothing is planted in their weights, training makes them ill.

    from triode.doctor import examine, scenes
    sick = scenes.dying()
    examine(sick.model, sick.batches, sick.loss_fn, sick.optimizer, sick.epochs)

Examples and their order, initial weights and the rate are fixed by a seed; the random numbers of the process are left
as they were. The data are here or come with Triode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from triode.doctor.treatment import Training

__all__ = ["SCENES", "dying", "healthy", "vanishing"]

DYING_WIDTHS = (2, 256, 256, 256, 256, 256, 1)
DYING_RATE = 2.5
"""What is wrong with the dying network. A tenth of it trains to the last example."""
SPIRAL, WEIGHTS = 6, 32
"""Seeds of the points and, unless told otherwise, of the dying network's weights, which is near the chapter's figures.

Of the first 57 seeds of weights the last layer dies in 48; in 5 it dies in part, in 4 the loss overflows first.
"""
VANISHING_WIDTHS = (784, 512, 256, 256, 128, 128, 64, 10)
"""Six hidden layers; the chapter shows the middle ones, 512 to 256 to 128."""
VANISHING_RATE = 0.1


@dataclass(frozen=True)
class _Batches:
    """Calling it gives one epoch of pairs, always in the same order: two trainings see the same."""

    x: Tensor
    y: Tensor
    size: int

    def __call__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.x.split(self.size), self.y.split(self.size), strict=True)


def dying(seed: int = WEIGHTS) -> Training:
    """Five ReLU layers that are to tell the two arms of a spiral apart, with a learning rate ten times too high.

    The chapter's debugging exercise: after ten epochs the accuracy stands at 52%, and 48, 67, 85, 97 and 99.8% of the
    units of the five layers are dead. Here they die of the rate: SGD at 2.5, from Glorot's weights, throws units so far
    that no example reaches them again, the deeper the more. When the last layer is dead no gradient passes, and what is
    left below stays as it is: accuracy 52%, dead 46, 70, 82, 92 and 100%. At that rate training is chaotic: another
    processor's rounding moves the figures of the first two layers by up to 20 points, of the last two by up to 6.

    Args:
        seed: Of the initial weights.

    Returns:
        The training: 500 examples, 260 of them of one arm (so 52% is what a constant answer gets right), in batches
        of 25, for ten epochs; a second on one thread.

    Examples:
        >>> sick = dying()
        >>> [module.out_features for module in sick.model if isinstance(module, nn.Linear)]
        [256, 256, 256, 256, 256, 1]
    """
    from triode.doctor.treatment import Training

    x, y = _spiral(260, 240, torch.Generator().manual_seed(SPIRAL))
    model = _network(DYING_WIDTHS, nn.ReLU, normalised=False, seed=seed)
    _glorot(model, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=DYING_RATE)
    return Training(model, _Batches(x, y, 25), nn.BCEWithLogitsLoss(), optimizer, epochs=10)


def vanishing(seed: int = 0) -> Training:
    r"""Six sigmoid layers on images of clothes: the first one's gradient is around 1e-8 and nothing is learned.

    The chapter's case study. Each sigmoid passes at most a quarter of the gradient on, and each layer of PyTorch's
    default weights a factor of :math:`1/\sqrt 3` of that.

    Args:
        seed: Of the initial weights.

    Returns:
        The training: 2,000 images of ten kinds in batches of 50, three epochs; a few seconds on one thread.

    Examples:
        >>> sum(isinstance(module, nn.Sigmoid) for module in vanishing().model)
        6
    """
    return _clothes(nn.Sigmoid, normalised=False, seed=seed)


def healthy(seed: int = 0) -> Training:
    """The case study cured as the chapter cures it: ReLU for sigmoid, He's weights, batch normalisation.

    Args:
        seed: Of the initial weights.

    Returns:
        The training: everything else is as in `vanishing`.

    Examples:
        >>> [type(module).__name__ for module in healthy().model][:3]
        ['Linear', 'BatchNorm1d', 'ReLU']
    """
    return _clothes(nn.ReLU, normalised=True, seed=seed)


SCENES: dict[str, Callable[[], Training]] = {"dying": dying, "vanishing": vanishing}
"""The sick ones by name."""


def _clothes(function: Callable[[], nn.Module], *, normalised: bool, seed: int) -> Training:
    from triode.bakeoff.data import load_cached
    from triode.doctor.treatment import Training

    data = load_cached("fashion-subset")
    x = torch.tensor(data.train_inputs[:2000]).flatten(1).float().div_(255.0)
    y = torch.tensor(data.train_targets[:2000]).long()
    model = _network(VANISHING_WIDTHS, function, normalised, seed)
    if normalised:
        generator = torch.Generator().manual_seed(seed)
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=VANISHING_RATE)
    return Training(model, _Batches(x, y, 50), functional.cross_entropy, optimizer, epochs=3)


def _network(
    widths: tuple[int, ...], function: Callable[[], nn.Module], normalised: bool, seed: int
) -> nn.Sequential:
    """Linear layers with PyTorch's default weights, and between them the function, perhaps after normalisation."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for fan_in, out in pairwise(widths):
            layers += [nn.Linear(fan_in, out), *([nn.BatchNorm1d(out)] if normalised else []), function()]
    return nn.Sequential(*layers[: -2 if normalised else -1])


def _glorot(model: nn.Sequential, generator: torch.Generator) -> None:
    """Glorot and Bengio's uniform weights, biases 0: what Keras starts with, half the variance that ReLU wants."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)


def _spiral(first: int, second: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on two arms of a spiral, spread about 1, in a random order: (n, 2), and which arm (n, 1)."""
    n = first + second
    arm = (torch.randperm(n, generator=generator) < first).float()
    radius = 0.2 + 3.0 * torch.rand(n, generator=generator).sqrt()
    angle = 2.0 * radius + math.pi * arm
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    points += 0.1 * torch.randn(n, 2, generator=generator)
    return points / points.std(), arm[:, None]
