"""The memory of a stack's step, and what is watched in it: silent units, slopes, means, spreads, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triode.bakeoff.training.watch import SATURATED

if TYPE_CHECKING:
    from triode.bakeoff.training.elementwise import Elementwise

LEAST_SQUARE, MOST_SQUARE = 1e-30, 1e30
"""Sums of squares outside are taken again in double precision: those of single precision end near 1e-45 and 1e38."""


class Buffers:
    """Pre-activations, outputs and their gradients of one batch, for every layer: (slices, batch, width) each."""

    def __init__(
        self, slices: int, batch: int, widths: Sequence[int], task: str, device: torch.device
    ) -> None:
        """Set the memory aside; `widths` are those of all layers with the input's first."""
        self.batch, self.task = batch, task

        def block(width: int) -> Tensor:
            return torch.empty(slices, batch, width, device=device)

        self.inputs = torch.empty(0)
        self.z = [block(width) for width in widths[1:]]
        self.a = [block(width) for width in widths[1:-1]]
        self.d = [block(width) for width in widths[1:]]
        self.weights = 1.0 + torch.rand(batch, generator=torch.Generator().manual_seed(batch)).to(device)
        self._minus_one = torch.full((slices, batch, 1), -1.0, device=device)

    def judge(self, targets: Tensor, gradient: bool = False) -> tuple[Tensor, Tensor]:
        """Mean loss and number of right answers of each slice, and on request d loss / d z of the last layer in `d`."""
        last, out = self.z[-1], self.d[-1]
        if self.task == "regression":
            torch.sub(last, targets, out=out)
            loss = out.square().mean(dim=(1, 2))
            if gradient:
                out.mul_(2.0 / out[0].numel())
            return loss, torch.zeros(len(last), dtype=torch.int64, device=last.device)
        logarithms = torch.log_softmax(last, dim=-1)
        index = targets.view(1, -1, 1).expand(len(last), -1, 1)
        loss = logarithms.gather(2, index).mean(dim=(1, 2)).neg_()
        right = ((last.argmax(dim=-1) == targets) & last.isfinite().all(dim=-1)).sum(dim=-1)
        if gradient:
            torch.exp(logarithms, out=out)
            out.scatter_add_(2, index, self._minus_one).mul_(1.0 / self.batch)
        return loss, right


class Watch:
    """All that an epoch's records need: losses and right answers of each slice, and what its layers did."""

    def __init__(
        self, slices: int, widths: Sequence[int], steepest: Tensor, diverged: Sequence[bool]
    ) -> None:
        """Nothing has been seen; slices in `diverged` are not counted."""
        sites = len(widths) - 2
        self.alive = Alive(slices, widths[1:-1], steepest.device)
        self.tally = Tally(slices, sites + 1, sites, steepest)
        self.going = [not flag for flag in diverged]
        self._sites = sites
        self._loss = [0.0] * slices
        self._right, self._seen = [0] * slices, [0] * slices
        self._ended: dict[int, dict[str, tuple[float, ...]]] = {}

    def count(self, losses: Tensor, right: Tensor, batch: int, training: bool = False) -> None:
        """Take in the mean losses of a batch, after what else is to be seen of it.

        In training a slice whose loss is not finite is going no longer: its figures stay as they are now, whatever
        company it has.
        """
        for s, (loss, hits) in enumerate(zip(losses.tolist(), right.tolist(), strict=True)):
            if not self.going[s]:
                continue
            self._loss[s] += loss * batch
            self._right[s] += hits
            self._seen[s] += batch
            if training and not math.isfinite(loss):
                self.going[s] = False
                self._ended[s] = self.figures(s)

    def figures(self, s: int) -> dict[str, tuple[float, ...]]:
        """What was watched of a slice, by the names of an `EpochRecord`."""
        if s in self._ended:
            return self._ended[s]
        return {
            "gradient_norm": self.tally.norms(s),
            "dead": tuple(self.alive.dead(layer)[s] for layer in range(self._sites)),
            "saturated": self.tally.saturated(s),
            "mean": self.tally.mean(s),
            "spread": self.tally.spread(s),
        }

    def loss(self, s: int) -> float:
        """Mean loss over the examples seen."""
        return self._loss[s] / self._seen[s] if self._seen[s] else math.nan

    def accuracy(self, s: int) -> float:
        """Share of right answers."""
        return self._right[s] / self._seen[s] if self._seen[s] else math.nan


class Alive:
    """Which units have answered with anything but 0 so far; costs nothing once all of a layer have.

    A unit's outputs over a batch are added up with fixed weights between 1 and 2, as one product of a vector and a
    matrix, the cheapest look at all of them: the sum is 0 when all are, and otherwise only when outputs of both signs
    cancel to the last bit, which would have to happen in every batch of an epoch to call a living unit dead.
    """

    def __init__(self, slices: int, units: Sequence[int], device: torch.device) -> None:
        """No unit has answered yet."""
        self._flags = [torch.zeros(slices, n, dtype=torch.bool, device=device) for n in units]
        self._over = [False] * len(units)

    def see(self, buffers: Buffers) -> None:
        """Take in the outputs of a batch."""
        for layer, (flags, outputs) in enumerate(zip(self._flags, buffers.a, strict=True)):
            if self._over[layer]:
                continue
            # nan is not zero: a unit that answers nan is not dead
            flags.logical_or_(torch.matmul(buffers.weights, outputs) != 0)
            if outputs.is_cpu:  # elsewhere a look at the flags would wait for the device
                self._over[layer] = bool(flags.all())

    def dead(self, layer: int) -> list[float]:
        """Share of a layer's units, for each slice, that never answered."""
        flags = self._flags[layer]
        return (1.0 - flags.double().mean(dim=1)).tolist()


class Tally:
    """Sums over the watched steps of what a record says of each layer."""

    def __init__(self, slices: int, layers: int, sites: int, steepest: Tensor) -> None:
        """Nothing is watched yet; `steepest` is each slice's max |f'|."""
        self._limit = (SATURATED * steepest).view(-1, 1, 1)

        def zeros(rows: int) -> Tensor:
            return torch.zeros(rows, slices, dtype=torch.float64, device=steepest.device)

        self._norms = zeros(layers)
        self._flat, self._mean, self._square = zeros(sites), zeros(sites), zeros(sites)
        self._outputs = 0
        self._steps = 0
        self._with_gradient = False

    def see(
        self,
        buffers: Buffers,
        activation: Elementwise,
        gradients: Tensor | None = None,
        spans: Sequence[slice] = (),
    ) -> None:
        """Take in a step: outputs and slopes of every site, and the gradients of every layer where there are any."""
        for site, (z, a) in enumerate(zip(buffers.z, buffers.a, strict=False)):
            # A processor's kernels are told where to write; the gradients of this step have been used by now.
            slope = buffers.d[site]
            activation.slope(z, slope)
            flat = torch.count_nonzero(slope.abs_() < self._limit, dim=(1, 2))
            self._flat[site] += flat.double() * (buffers.batch / slope[0].numel())
            # Two passes by hand: var_mean takes forty times as long as the sum and the dot product.
            outputs = a.flatten(1)
            mean = outputs.mean(dim=1)
            apart = torch.sub(outputs, mean.unsqueeze(1), out=slope.view_as(outputs))
            variance = torch.stack([torch.dot(row, row) for row in apart]).double() / outputs.shape[1]
            self._mean[site] += mean.double() * buffers.batch
            self._square[site] += (variance + mean.double().square()) * buffers.batch
        self._outputs += buffers.batch
        self._steps += 1
        if gradients is not None:
            self._with_gradient = True
            for layer, span in enumerate(spans):
                self._norms[layer] += norms(gradients[:, span])

    def norms(self, s: int) -> tuple[float, ...]:
        """Mean norm of each layer's gradient; nan where none was seen."""
        if not self._with_gradient:
            return (math.nan,) * len(self._norms)
        return tuple((self._norms[:, s] / self._steps).tolist())

    def saturated(self, s: int) -> tuple[float, ...]:
        """Share of (unit, example) pairs on a flat part, for each site."""
        return tuple((self._flat[:, s] / self._outputs).tolist())

    def mean(self, s: int) -> tuple[float, ...]:
        """Mean output of each site."""
        return tuple((self._mean[:, s] / self._outputs).tolist())

    def spread(self, s: int) -> tuple[float, ...]:
        """Standard deviation of each site's outputs, over all of them together."""
        mean = self._mean[:, s] / self._outputs
        variance = self._square[:, s] / self._outputs - mean.square()
        return tuple(variance.clamp_min(0.0).sqrt().tolist())


def norms(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, float64; a gradient that has all but vanished is not taken for 0.

    >>> norms(torch.tensor([[3e-25, 4e-25], [3.0, 4.0]])).tolist()
    [5...e-25, 5.0]
    """
    if not rows.is_cpu:
        each: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        return each
    # dot runs at the speed of memory, which vector_norm does not
    squares = torch.stack([torch.dot(row, row) for row in rows]).double()
    found = squares.sqrt()
    for s, square in enumerate(squares.tolist()):
        if not LEAST_SQUARE < square < MOST_SQUARE:
            found[s] = torch.linalg.vector_norm(rows[s], dtype=torch.float64)
    return found
