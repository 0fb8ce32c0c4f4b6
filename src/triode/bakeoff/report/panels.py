"""The parts of a chart as data: panels with their axes and rows, a table of numbers, and the words around them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

PANEL_HEIGHT = 260
"""Height of a panel's plotting area in pixels; the places of its labels are computed for it."""
LABEL_GAP = 15
"""Least distance between the written labels at the ends of lines, in pixels."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    kind: Literal["lines", "dots", "differences", "heat", "runs"]
    title: str
    x_title: str
    y_title: str
    rows: tuple[Row, ...]
    """What is drawn, by kind.

    lines: activation, x, y, low, high, n. dots: activation, mean, low, high, n. differences: and p, significant.
    heat: activation, x, y, value (None is exactly zero). runs: activation, run, mean, low, high, n.
    """
    seeds: tuple[Row, ...] = ()
    """dots: activation, seed, value."""
    domain: tuple[float, float] = (0.0, 1.0)
    """Ends of the axis of values; heat: of the colours."""
    log: bool = False
    percent: bool = False
    points: bool = False
    """Whether each value of a line has a point of its own shape."""
    whole: bool = True
    """Whether x counts something (epochs, layers)."""
    x_log: bool = False
    """lines: whether x has a logarithmic axis; then it counts nothing."""
    x_percent: bool = False
    """lines: whether x is a share."""
    x_free: bool = False
    """lines: whether an axis that counts nothing may start elsewhere than at zero."""
    steps: Literal["", "before", "after"] = ""
    """lines: whether a value holds from the point before it, or until the point after it, as a share of trials does."""
    centre: str = "mean"
    """dots: what the large point is, in tooltips."""
    reference: float | None = None
    """A value with a dashed rule of its own: even odds, a target."""
    marked: tuple[Row, ...] = ()
    """lines: activation, x, y of points with a ring. runs: activation, run, y, source of published figures."""
    owner: str = ""
    """heat: the one activation that is drawn."""
    what: str = "value"
    """heat: what the colours stand for, in tooltips."""
    order: tuple[str, ...] = ()
    """dots, differences: the activations from top to bottom, the same in panels that stand side by side. runs: the
    runs from left to right."""
    signed: bool = False
    """Whether values are written with their sign."""

    @property
    def outside(self) -> tuple[Row, ...]:
        """dots, differences: the activations whose mean lies beyond an end of the axis, where it is written instead."""
        low, high = self.domain
        return tuple(
            {"activation": row["activation"], "edge": low if row["mean"] < low else high, "mean": row["mean"]}
            | {
                "label": f"◀ {row.get('written') or self.written(row['mean'])}"
                if row["mean"] < low
                else f"{row.get('written') or self.written(row['mean'])} ▶"
            }
            for row in self.rows
            if row["mean"] is not None and not low <= row["mean"] <= high
        )

    def written(self, value: float) -> str:
        """A value of this panel as text."""
        text = f"{100 * value:.1f}%" if self.percent else f"{value:+.3g}" if self.signed else f"{value:.3g}"
        return text.replace("-", "−")

    @property
    def dotted(self) -> bool:
        """Whether points are drawn: where they are asked for, and where a line of one point would show nothing."""
        return self.points or len({row["x"] for row in self.rows}) < 2

    @property
    def ticks(self) -> list[float]:
        """Places of the marks on a logarithmic axis of values."""
        return log_ticks(self.domain)

    @property
    def labels(self) -> tuple[Row, ...]:
        """For each line its end, and the height at which its name is written so that no two names overlap.

        Three or more lines that end at the very same value (no dead unit, say) are written once, as a number of others.
        """
        if self.steps:
            return ()  # shares of runs all end at the same value
        ends: dict[str, Row] = {}
        for row in self.rows:
            if row["activation"] not in ends or row["x"] > ends[row["activation"]]["x"]:
                ends[row["activation"]] = row
        last = max((row["x"] for row in ends.values()), default=0.0)
        same: dict[tuple[float, float], list[str]] = {}
        for name, row in ends.items():
            same.setdefault((row["x"], row["y"]), []).append(name)
        written: list[Row] = []
        for (x, y), names in same.items():
            if len(names) < 3 or len(names) == len(ends):
                written += [
                    {"activation": name, "x": x, "y": y, "edge": last, "label": name} for name in names
                ]
            else:
                written.append(
                    {"activation": "", "x": x, "y": y, "edge": last, "label": f"{len(names)} others"}
                )
        if len(written) * LABEL_GAP > PANEL_HEIGHT + 2 * LABEL_GAP:
            return ()  # too many names for the margin; legend and tooltips carry them
        heights = spread([self._height(row["y"]) for row in written], LABEL_GAP, PANEL_HEIGHT)
        return tuple(
            {**row, "label_y": self._value(height)} for row, height in zip(written, heights, strict=True)
        )

    def _height(self, value: float) -> float:
        low, high = (math.log(end) if self.log else end for end in self.domain)
        return ((math.log(value) if self.log else value) - low) / (high - low) * PANEL_HEIGHT

    def _value(self, height: float) -> float:
        low, high = (math.log(end) if self.log else end for end in self.domain)
        value = low + height / PANEL_HEIGHT * (high - low)
        return math.exp(value) if self.log else value


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart, for those who read rather than look."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    formats: tuple[str, ...] = ()
    """For each column a format specification, applied to numbers."""


@dataclass(frozen=True)
class Chart:
    """A figure of the report: panels under one title and one caption."""

    id: str
    title: str
    lead: str
    """What to look for, in one sentence."""
    caption: str
    """What is drawn and how it was measured."""
    panels: tuple[Panel, ...]
    table: Table = field(default=Table((), ()))
    more: tuple[tuple[str, Table], ...] = ()
    """Further tables with their titles."""


def spread(heights: Sequence[float], gap: float, limit: float) -> list[float]:
    """Move `heights` as little as possible so that neighbours are `gap` apart, and all lie near [0, limit].

    Labels that would overlap form a group around their mean, and groups that touch are merged.

    >>> spread([10.0, 11.0, 100.0], 10, 200)
    [5.5, 15.5, 100.0]
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    starts: list[float] = []
    for i in order:
        groups.append([i])
        starts.append(heights[i])
        while len(groups) > 1 and starts[-2] + gap * len(groups[-2]) > starts[-1]:
            touching = groups.pop()
            groups[-1] += touching
            starts.pop()
            middle = sum(heights[j] for j in groups[-1]) / len(groups[-1])
            room = gap * (len(groups[-1]) - 1)
            starts[-1] = middle - room / 2
    placed = [0.0] * len(heights)
    for group, start in zip(groups, starts, strict=True):
        for place, i in enumerate(group):
            placed[i] = start + gap * place
    # Back between the ends, with half a label's room beyond them: upwards from below, then downwards from above.
    floor = -gap / 2
    for i in order:
        placed[i] = floor = max(placed[i], floor)
        floor += gap
    ceiling = limit + gap / 2
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    return placed


def finite_row(row: Row) -> Row:
    """The row with None for every number that is not finite."""
    return {key: finite(value) if isinstance(value, float) else value for key, value in row.items()}


def finite(value: float) -> float | None:
    """JSON has no nan: what is not a number is absent."""
    return value if math.isfinite(value) else None


def reach(*groups: Iterable[Row]) -> list[float]:
    """Every finite value in the rows that an axis must hold."""
    keys = ("y", "mean", "low", "high", "value")
    found = (row[key] for rows in groups for row in rows for key in keys if row.get(key) is not None)
    return [value for value in found if math.isfinite(value)]


def padded(
    values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """An axis that holds `values` with a little room, inside the limits `within`."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return max(low - room, within[0]), min(high + room, within[1])


def log_ticks(domain: tuple[float, float]) -> list[float]:
    """Places of the marks on a logarithmic axis: powers of ten, or 1-2-5 where there are few."""
    low, high = domain
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = [10.0**k for k in range(first, last + 1)]
    if len([d for d in decades if low <= d <= high]) >= 4:
        step = max(1, round(len(decades) / 8))
        return [d for d in decades[::step] if low <= d <= high]
    mantissas = (1, 2, 5) if last - first > 1 else (1, 1.5, 2, 3, 5, 7)
    fine = [float(f"{m}e{k}") for k in range(first, last + 1) for m in mantissas]
    inside = [tick for tick in fine if low <= tick <= high]
    if len(inside) >= 3:
        return inside
    unit = 10.0 ** math.floor(math.log10((high - low) / 2))  # so narrow that even steps look even
    even = unit * max(m for m in (1, 2, 5) if m * unit <= (high - low) / 2)
    return [float(f"{k * even:.12g}") for k in range(math.ceil(low / even), math.floor(high / even) + 1)]


def log_domain(values: Sequence[float]) -> tuple[float, float]:
    """A logarithmic axis that holds `values`, all of them positive, with a little room."""
    low, high = min(values, default=0.1), max(values, default=1.0)
    # In logarithms: the ratio of a great norm and a subnormal one is beyond every float.
    room = max(math.exp(0.06 * (math.log(high) - math.log(low))), 1.1)
    return low / room, high * room


def focused(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """An axis for ranges given best first, on which one that is far off does not squeeze the others together.

    The better 60% set the scale: a range whose middle is more than three times their width away from
    them is left out, and the chart then says so in words at its edge.

    >>> focused([(0.87, 0.88), (0.86, 0.88), (0.1, 0.1)])
    (0.859, 0.881)
    """
    leading = ranges[: max(2, math.ceil(0.6 * len(ranges)))] if len(ranges) > 2 else ranges
    low, high = min((r[0] for r in leading), default=0.0), max((r[1] for r in leading), default=1.0)
    room = 3 * (high - low)
    near = [r for r in ranges if low - room <= (r[0] + r[1]) / 2 <= high + room and r[1] - r[0] <= 2 * room]
    return padded([end for r in near or leading for end in r])
