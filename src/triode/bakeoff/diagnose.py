"""What a network does to a whole set of examples: loss, accuracy, dead units, saturation, mean and spread.

One pass in large batches, without keeping an activation: everything is summed as it goes by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from triode.bakeoff.models import Network

BATCH = 500
"""Examples at a time: large enough for the matrix products, small enough for the processor's cache."""
REACH = 10.0
SATURATED = 0.01
"""A slope below this share of the steepest within [-REACH, REACH] counts as saturated."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images (n, pixels) as bytes and classes (n,), with the scale that makes them the network's inputs."""

    images: Tensor
    labels: Tensor
    brightest: int

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Rows as float32 from -1 to 1: (x / brightest - 0.5) / 0.5."""
        picked = self.images[rows] if isinstance(rows, slice) else self.images.index_select(0, rows)
        return picked.float().div_(self.brightest).sub_(0.5).div_(0.5)


@dataclass
class LayerSums:
    """Running sums of one hidden layer over the examples gone by; memory of one flag a unit."""

    alive: Tensor
    saturated: int = 0
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def add(self, output: Tensor, slope: Tensor, steepest: Tensor) -> None:
        """Take in a batch: outputs and slopes f'(z) (n, units), and the steepest slope (units or a single one)."""
        # Each line is the fastest of the ways to say it: together they cost a third of the pass's matrix products.
        self.alive |= output.abs().amax(dim=0) != 0  # nan is not zero: a unit that answers nan is not dead
        self.saturated += int(np.count_nonzero((slope.abs() < SATURATED * steepest).numpy()))
        # Two passes within the batch, which the cache holds, then Chan's update: the difference of two large sums
        # would lose a small spread around a large mean (a saturated sigmoid).
        n = output.numel()
        mean = float(output.mean())
        apart = (output - mean).flatten()
        shift = mean - self.mean
        total = self.count + n
        self.squares += float(torch.dot(apart, apart)) + shift * shift * self.count * n / total
        self.mean += shift * n / total
        self.count = total

    @property
    def dead(self) -> float:
        """Share of the units whose output was exactly 0 for every example."""
        return 1.0 - float(self.alive.sum()) / self.alive.numel()

    @property
    def spread(self) -> float:
        """Standard deviation of the outputs."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan


@dataclass(frozen=True)
class Survey:
    """What one pass found."""

    loss: float
    accuracy: float
    layers: tuple[LayerSums, ...] = field(default=())


def survey(network: Network, examples: Examples) -> Survey:
    """A full pass over `examples` with every hidden layer's figures.

    The activation's own derivative, with its present parameters, says where it is flat.
    """
    steepest = [steepest_slope(module, linear.out_features) for linear, module in _hidden(network)]
    layers = tuple(
        LayerSums(torch.zeros(linear.out_features, dtype=torch.bool)) for linear, _ in _hidden(network)
    )

    def logits(x: Tensor) -> Tensor:
        for (linear, module), sums, steep in zip(_hidden(network), layers, steepest, strict=True):
            with torch.no_grad():
                z = linear(x)
            x, slope = value_and_slope(module, z)
            sums.add(x, slope, steep)
        with torch.no_grad():
            return functional.linear(x, network.layers[-1].weight, network.layers[-1].bias)

    loss, accuracy = _measure(logits, network, examples)
    return Survey(loss, accuracy, layers)


@torch.no_grad()
def evaluate(network: Network, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy; a row of logits that is not finite is a wrong answer."""
    return _measure(network, network, examples)


def value_and_slope(module: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) and f'(z), element by element, detached.

    By automatic differentiation, so that the parameters learned so far (one for all units, or one a unit) are in it.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        output = module(z)
        (slope,) = torch.autograd.grad(output.sum(), z)
    return output.detach(), slope


def steepest_slope(module: nn.Module, units: int) -> Tensor:
    """Max |f'(z)| over z in [-REACH, REACH] with the present parameters, shape (units,)."""
    grid = torch.linspace(-REACH, REACH, 801).unsqueeze(1)
    per_unit = any(parameter.numel() > 1 for parameter in module.parameters())
    _, slope = value_and_slope(module, grid.expand(-1, units).contiguous() if per_unit else grid)
    return slope.abs().amax(dim=0).expand(units)


def _hidden(network: Network) -> list[tuple[nn.Linear, nn.Module]]:
    return list(zip(network.layers, network.activation, strict=False))


def _measure(
    logits_of: Callable[[Tensor], Tensor], network: Network, examples: Examples
) -> tuple[float, float]:
    training = network.training
    network.eval()  # an activation with a sampled slope answers with its mean
    loss, right = 0.0, 0
    for start in range(0, len(examples), BATCH):
        rows = slice(start, start + BATCH)
        labels = examples.labels[rows]
        logits = logits_of(examples.inputs(rows))
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        finite = logits.isfinite().all(dim=1)
        right += int(((logits.argmax(dim=1) == labels) & finite).sum())
    network.train(training)
    return loss / len(examples), right / len(examples)
