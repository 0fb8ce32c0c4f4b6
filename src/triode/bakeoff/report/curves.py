"""Trials' records reduced to points of a curve: means over seeds, ranges, and shares over units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from triode.bakeoff.records import EpochRecord

Read = Callable[[EpochRecord], float]
"""Reads one number from the record of an epoch."""
ReadMany = Callable[[EpochRecord], Sequence[float]]
"""Reads one number for each layer from the record of an epoch."""


@dataclass(frozen=True)
class Spot:
    """One point of a curve: the mean over the seeds that have a finite value there, and the range of those seeds."""

    x: float
    y: float
    low: float
    high: float
    n: int


def spot(x: float, values: Iterable[float]) -> Spot:
    """The mean and range of the finite `values` at `x`."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Spot(x, math.nan, math.nan, math.nan, 0)
    return Spot(x, math.fsum(finite) / len(finite), min(finite), max(finite), len(finite))


def median(values: Iterable[float]) -> float:
    """The middle of the finite values; nan for none.

    >>> median([3.0, 1.0, 2.0, 10.0])
    2.5
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return math.nan
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def weighted(shares: Sequence[float], widths: Sequence[int]) -> float:
    """The share over all units, from the share of each layer and its width."""
    if not shares:
        return math.nan
    if len(widths) != len(shares) or not sum(widths):
        widths = [1] * len(shares)
    return sum(share * width for share, width in zip(shares, widths, strict=True)) / sum(widths)


def at(measure: ReadMany, layer: int) -> Read:
    """One layer of `measure`; nan where a record has no such layer."""

    def read(record: EpochRecord) -> float:
        values = measure(record)
        return values[layer] if layer < len(values) else math.nan

    return read
