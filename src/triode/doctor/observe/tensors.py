"""Running figures of the tensors that go into a model, come out of it, and that it is compared with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triode.doctor.history import Tensors

ENTRIES = 32_768
"""Entries of one batch that are looked at."""
FEATURES = 4096
VALUES = 64


class Running:
    """Figures of one tensor over many batches; every sum in double precision, every spread by Chan's update."""

    def __init__(self, name: str) -> None:
        """Nothing seen yet."""
        self.figures = Tensors(name)
        self._rows = 0
        self._mean = self._squares = np.zeros(0)
        self._sum_of_squares = 0.0
        self._below = {"-1": 0, "0": 0, ">1": 0}
        self._sums = [0, 0, 0]
        self._distinct: dict[float, int] | None = {}
        self._constant = [0.0, 0]

    @torch.no_grad()
    def add(self, tensor: Tensor) -> None:
        """Take in one batch."""
        f = self.figures
        if not f.dtype:
            f.dtype, f.shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
            f.integer = not tensor.dtype.is_floating_point
        if tensor.numel() == 0 or tensor.dtype.is_complex:
            return
        rows = max(1, ENTRIES * max(len(tensor) if tensor.dim() else 1, 1) // tensor.numel())
        sample = tensor.detach()[:rows] if tensor.dim() else tensor.detach().reshape(1)
        x = sample.to("cpu", torch.float64).numpy()
        finite = np.isfinite(x)
        if not finite.all():
            f.finite = False
            x = np.where(finite, x, 0.0)
        f.count += x.size
        f.least, f.most = float(np.fmin(f.least, x.min())), float(np.fmax(f.most, x.max()))
        self._below["-1"] += int(np.count_nonzero(x < -1 - 1e-6))
        self._below["0"] += int(np.count_nonzero(x < -1e-6))
        self._below[">1"] += int(np.count_nonzero(x > 1 + 1e-6))
        self._sum_of_squares += float(np.square(x).sum())
        self._count(x)
        self._features(x)

    def _count(self, x: np.ndarray[Any, Any]) -> None:
        if self._distinct is None:
            return
        values, counts = np.unique(x, return_counts=True)
        if len(values) > VALUES:
            self._distinct = None
            return
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._distinct[value] = self._distinct.get(value, 0) + count
        if len(self._distinct) > VALUES:
            self._distinct = None

    def _features(self, x: np.ndarray[Any, Any]) -> None:
        axis = 1 if x.ndim in (3, 4, 5) and not self.figures.integer else x.ndim - 1
        if x.ndim == 3:  # a sequence (examples, steps, features)
            axis = 2
        table = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]) if x.ndim > 1 else x.reshape(-1, 1)
        table = table[:, :FEATURES]
        mean, squares, n = table.mean(0), table.var(0) * len(table), len(table)
        if self._rows and self._mean.shape == mean.shape:
            total = self._rows + n
            away = mean - self._mean
            self._squares = self._squares + squares + away * away * (self._rows * n / total)
            self._mean, self._rows = self._mean + away * (n / total), total
        else:
            self._mean, self._squares, self._rows = mean, squares, n
        if len(table) > 1:
            self._constant[0] += float((np.ptp(table, axis=0) <= 1e-7 * (np.abs(mean) + 1e-30)).mean())
            self._constant[1] += 1
        if table.shape[1] > 1:
            positive = (table >= -1e-6).all(1)
            self._sums[0] += n
            self._sums[1] += int((positive & (np.abs(table.sum(1) - 1) < 1e-3)).sum())
            self._sums[2] += int((((table == 0) | (table == 1)).all(1) & (table.sum(1) == 1)).sum())

    def result(self) -> Tensors:
        """The figures so far."""
        f = self.figures
        f.mean = self._mean
        f.std = np.sqrt(self._squares / max(self._rows, 1))
        if f.count:
            f.magnitude = math.sqrt(self._sum_of_squares / f.count)
            f.below = {key: count / f.count for key, count in self._below.items()}
        if self._sums[0]:
            f.rows_sum_to_one, f.one_hot = self._sums[1] / self._sums[0], self._sums[2] / self._sums[0]
        if self._constant[1]:
            f.constant = self._constant[0] / self._constant[1]
        if self._distinct is not None and self._distinct:
            f.values = np.array(sorted(self._distinct))
            f.counts = np.array([self._distinct[value] for value in f.values.tolist()], dtype=np.int64)
        return f
