"""What the units of one activation site do, in memory that grows with their number only.

A unit is dead where its output is exactly zero for every example. That question is put to every batch, but only on
behalf of the units that have not answered yet: once all have, a site costs nothing until the next pass begins. The rest
(saturation, spread, sparsity) is measured on a sample of the entries of a sample of the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triode.bakeoff.training.watch import SATURATED
from triode.doctor.history import UnitFigures
from triode.doctor.observe.operations import Shape, shape_of

SAMPLE = 8_192
"""Entries of a batch that the figures of a sampled step are taken from."""
FEW = 8
"""One unit in so many is few: below that asking the silent ones alone is cheaper than asking all."""


class Pass:
    """One site in one pass over the data."""

    def __init__(self, function: str, parameters: Mapping[str, float], convolutional: bool) -> None:
        """Nothing seen yet; `function` is Triode's name with its parameters."""
        self.function, self.convolutional = function, convolutional
        self.parameters: dict[str, Any] = dict(parameters)
        self.shape: Shape = shape_of(function, tuple(sorted(self.parameters.items())))
        self.alive: Tensor | np.ndarray[Any, Any] | None = None
        self.quiet: np.ndarray[Any, Any] | None = None
        self.all_alive = False
        self.examples = 0
        self.batch = 0
        """Examples of the batch that was seen last."""
        self.skipped = 0
        self.flat: np.ndarray[Any, Any] | None = None
        self.sampled = 0
        self.zeros = self.flats = 0.0
        self.out = _Moments()
        self.into = _Moments()
        self.largest = 0.0

    @property
    def units(self) -> int:
        """Number of units; 0 before the first batch."""
        return 0 if self.alive is None else len(self.alive)

    def axis(self, x: Tensor) -> int:
        """The axis of the units."""
        return 1 if self.convolutional and x.dim() > 2 else x.dim() - 1

    @torch.no_grad()
    def ask(self, output: Tensor) -> None:
        """Put the question who is silent to a batch of outputs."""
        if output.dim() < 2 or output.numel() == 0:
            return
        self.batch = len(output)
        self.examples += self.batch
        if self.all_alive:
            return
        axis = self.axis(output)
        units = output.shape[axis]
        if not self.shape.can_die or (self.units and self.units != units):
            # At another width no unit keeps its identity.
            self.alive = self.alive if self.units else np.ones(units, bool)
            self.all_alive = True
        elif output.is_cpu and output.dtype in (torch.float32, torch.float64):
            self._ask_here(output.detach().numpy(), axis)
        else:
            self._ask_there(output.detach(), axis)

    def _ask_here(self, output: np.ndarray[Any, Any], axis: int) -> None:
        """In memory NumPy answers several times faster than PyTorch, whose every call costs microseconds."""
        alive = np.zeros(output.shape[axis], bool) if self.alive is None else np.asarray(self.alive)
        if self.quiet is not None:
            output = np.take(output, self.quiet, axis)
        # nan is not zero: a unit that answers nan is not dead.
        found = _over_units(np.max, output, axis) != 0
        if self.shape.negative:
            found |= _over_units(np.min, output, axis) != 0
        if self.quiet is None:
            alive |= found
        else:
            alive[self.quiet] = found
        self.alive = alive
        self.all_alive = bool(alive.all())
        if output.ndim > 2:  # of a matrix the whole is asked as fast as a part of it
            quiet = np.flatnonzero(~alive)
            self.quiet = quiet if FEW * len(quiet) <= len(alive) else None

    def _ask_there(self, output: Tensor, axis: int) -> None:
        """On an accelerator nobody waits for the answer: it stays there until the pass is over."""
        others = [other for other in range(output.dim()) if other != axis]
        found = output.ne(0).any(dim=others[0]) if len(others) == 1 else output.amax(dim=others).ne(0)
        if len(others) > 1 and self.shape.negative:
            found |= output.amin(dim=others).ne(0)
        self.alive = found if self.alive is None else torch.as_tensor(self.alive, device=found.device) | found

    @torch.no_grad()
    def sample(self, z: Tensor, output: Tensor) -> None:
        """Take in figures from a sample of one batch: inputs `z` and outputs of the function."""
        if output.dim() < 2 or output.numel() == 0:
            return
        rows = max(1, SAMPLE * len(output) // output.numel())
        axis = self.axis(output)
        inputs = _as_rows(z.detach()[:rows], axis)
        outputs = _as_rows(output.detach()[:rows], axis)
        self.sampled += 1
        self.zeros += 1.0 - np.count_nonzero(outputs) / outputs.size
        self.out.add(outputs)
        self.into.add(inputs)
        with np.errstate(invalid="ignore"):
            self.largest = max(self.largest, float(inputs.max()), -float(inputs.min()))
        flat = self._flat(inputs)
        if flat is not None:
            self.flats += np.count_nonzero(flat) / flat.size
            always = np.asarray(flat.all(axis=0))
            if self.flat is not None and self.flat.shape == always.shape:
                always &= self.flat
            self.flat = always

    def _flat(self, z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
        import triode

        if self.function in ("threshold", "exp", "sin") or self.function not in triode.names():
            return None
        if self.function == "relu":  # its slope needs no kernel
            return np.asarray(z <= 0)
        slope = triode.get(self.function).derivative(np.ascontiguousarray(z), **self.parameters)
        return np.asarray(np.abs(slope) < SATURATED * self.shape.steepest)

    def figures(self) -> UnitFigures:
        """What the pass has found so far."""
        dead = np.zeros(0, bool)
        if self.alive is not None and self.shape.can_die:
            alive = self.alive.cpu().numpy() if isinstance(self.alive, Tensor) else self.alive
            dead = ~alive.astype(bool)
        n = self.sampled
        return UnitFigures(
            examples=self.examples,
            exact=not self.skipped,
            dead=dead,
            flat=np.zeros(0, bool) if self.flat is None else self.flat,
            sparsity=self.zeros / n if n else math.nan,
            saturated=self.flats / n if n and self.flat is not None else math.nan,
            mean=self.out.mean,
            spread=self.out.spread,
            input_mean=self.into.mean,
            input_spread=self.into.spread,
            input_largest=self.largest if n else math.nan,
        )


class _Moments:
    """Mean and spread of entries that arrive in batches, by Chan's update: no difference of two large sums."""

    def __init__(self) -> None:
        self.count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, x: np.ndarray[Any, Any]) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            mean = float(x.mean())  # pairwise sums: single precision loses nothing that matters here
            apart = (x - x.dtype.type(mean)).ravel()
            squares = float(np.dot(apart, apart))
            total = self.count + x.size
            away = mean - self._mean
            self._squares += squares + away * away * self.count * x.size / total
            self._mean += away * x.size / total
            self.count = total

    @property
    def mean(self) -> float:
        return self._mean if self.count else math.nan

    @property
    def spread(self) -> float:
        return math.sqrt(max(self._squares, 0.0) / self.count) if self.count else math.nan


def _as_rows(x: Tensor, axis: int) -> np.ndarray[Any, Any]:
    """A matrix whose columns are the units, in single precision at least."""
    if axis != x.dim() - 1:
        x = x.movedim(axis, -1)
    x = x.reshape(-1, x.shape[-1])
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    return np.asarray(x.cpu().numpy())


def _over_units(reduce: Callable[..., Any], x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """`reduce` over all axes but `axis`: the examples first, whole rows at a time; any other order is far slower."""
    if x.ndim == 2:
        return np.asarray(reduce(x, axis=0))
    if x.ndim == 4 and axis == 1 and x.strides[1] < x.strides[3]:  # the channels lie last in memory
        x, axis = np.moveaxis(x, 1, 3), 3
    row = reduce(x, axis=0)
    others = tuple(other for other in range(row.ndim) if other != axis - 1)
    return np.asarray(reduce(row, axis=others) if others else row)
