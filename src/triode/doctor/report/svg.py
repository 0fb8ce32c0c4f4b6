"""Charts as static SVG: no script, readable in a light and a dark page, in print and by a screen reader."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from triode.doctor.report.series import Line, Plot
from triode.doctor.report.words import clean, number, percent

WIDTH, HEIGHT = 460, 290
LEFT, TOP, BOTTOM = 62, 14, 46
NAMES = 92
"""Room for the names at the ends of lines."""
DASHES = ("", "7 4", "2 4", "9 3 2 3", "4 2", "2 4", "7 4", "9 3 2 3")
MARKS = (
    "M-3.6,0A3.6,3.6 0 1 1 3.6,0A3.6,3.6 0 1 1 -3.6,0Z",
    "M-3.4,-3.4H3.4V3.4H-3.4Z",
    "M0,-4.6L4.1,0L0,4.6L-4.1,0Z",
    "M0,-4.2L4,3.2H-4Z",
    "M0,4.2L4,-3.2H-4Z",
    "M-1.4,-4H1.4V-1.4H4V1.4H1.4V4H-1.4V1.4H-4V-1.4H-1.4Z",
    "M4.2,0L-3.2,4V-4Z",
    "M-4.2,0L3.2,4V-4Z",
)
FALLBACK = ("#7a5cc4", "#0b8a60", "#3565c9", "#3d97e6", "#a08a00", "#c0500f", "#e0629b", "#9b3d70")
"""Where no page defines the colours (a notebook): these stand out from white and from black."""


def escaped(value: object, limit: int = 0) -> str:
    """Escaped text on one line, for the inside of an element or of a quoted attribute."""
    return html.escape(clean(value, limit), quote=True)


def ink(slot: int) -> str:
    """The colour of a line."""
    return f"var(--t-s{slot % 8},{FALLBACK[slot % 8]})"


def chart(plot: Plot, key: str) -> str:
    """The chart as one SVG element.

    Args:
        plot: What it shows.
        key: Unique in the page; the ids of its title and description are made of it.
    """
    frame = _Frame(plot)
    inner = [frame.grid(), *(_line(line, slot, frame) for line, slot in _slots(plot)), frame.named()]
    told = f"{plot.lead} {_summary(plot)}".strip()
    return (
        f'<svg class="t-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-t {key}-d" '
        f'font-size="12.5" font-family="system-ui, sans-serif" fill="currentColor">'
        f'<title id="{key}-t">{escaped(plot.title)}</title><desc id="{key}-d">{escaped(told)}</desc>'
        f"{''.join(inner)}</svg>"
    )


def legend(plot: Plot) -> str:
    """How each line is drawn, in HTML below the chart; nothing where the lines are named at their ends."""
    shown = [(line, slot) for line, slot in _slots(plot) if not line.faint]
    if plot.ends or len(shown) < 2:
        return ""
    entries = "".join(
        f'<span style="white-space:nowrap;margin-right:1.1em"><svg width="34" height="12" viewBox="-17 -6 34 12" '
        f'aria-hidden="true" style="vertical-align:middle;margin-right:.4em"><path d="M-16 0H16" stroke="{ink(slot)}" '
        f'stroke-width="2" stroke-dasharray="{DASHES[slot % 8]}"/>'
        f'<path d="{MARKS[slot % 8]}" fill="{ink(slot)}"/></svg>'
        f"{escaped(line.name, 40)}</span>"
        for line, slot in shown
    )
    return f'<div class="t-legend" style="font-size:.85em">{entries}</div>'


def _slots(plot: Plot) -> list[tuple[Line, int]]:
    """Faint lines first, so that the others lie on top of them; each of the others with its slot."""
    strong = [line for line in plot.lines if not line.faint]
    numbered = ((line, i if line.slot < 0 else line.slot) for i, line in enumerate(strong))
    return [*((line, -1) for line in plot.lines if line.faint), *numbered]


def _summary(plot: Plot) -> str:
    """The ends of each line in words."""
    write = percent if plot.share else number
    parts = [
        f"{line.name}: {write(line.points[0][1])} to {write(line.points[-1][1])}"
        for line in plot.lines
        if line.points and not line.faint
    ]
    return "; ".join(parts) + "." if parts else ""


class _Frame:
    """The axes of one chart: where a value lies, and what is written beside it."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.right = WIDTH - (NAMES if plot.ends else 14)
        self.floor = HEIGHT - BOTTOM
        xs = [x for line in plot.lines for x, _ in line.points]
        self.x_low, self.x_high = min(xs, default=0.0), max(xs, default=1.0)
        if self.x_high <= self.x_low:
            self.x_low, self.x_high = self.x_low - 0.5, self.x_high + 0.5
        ys = [y for line in plot.lines for _, y in line.points]
        self.lost = any(not math.isfinite(y) for y in ys)
        finite = [y for y in ys if math.isfinite(y)]
        self.zero = plot.log and any(y <= 0 for y in finite)
        self.ticks = _shares() if plot.share else _decades(finite) if plot.log else _nice(finite)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def x(self, value: float) -> float:
        inset = 10
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + inset + share * (self.right - LEFT - 2 * inset)

    def y(self, value: float) -> float:
        top, bottom = TOP + (22 if self.lost else 0), self.floor - (22 if self.zero else 0)
        if not math.isfinite(value):
            return TOP + 4
        if self.plot.log:
            if value <= 0:
                return self.floor - 4
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return bottom - share * (bottom - top)

    def grid(self) -> str:
        """Lines, tick labels and titles of both axes."""
        muted = 'fill="var(--t-muted,currentColor)"'
        parts = []
        ticks = [(self.y(t), self._written(t)) for t in self.ticks]
        ticks += [(self.y(0.0), "0")] if self.zero else []
        ticks += [(self.y(math.nan), "nan, inf")] if self.lost else []
        for y, word in ticks:
            parts.append(
                f'<path d="M{LEFT} {y:.1f}H{self.right}" stroke="var(--t-grid,#8884)" stroke-width="1"/>'
                f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" {muted}>{word}</text>'
            )
        for x, word in self._x_ticks():
            parts.append(
                f'<text x="{x:.1f}" y="{self.floor + 17}" text-anchor="middle" {muted}>{escaped(word)}</text>'
            )
        middle = (LEFT + self.right) / 2
        parts.append(
            f'<path d="M{LEFT} {self.floor}H{self.right}" stroke="var(--t-muted,#888)" stroke-width="1"/>'
            f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escaped(self.plot.x_title)}</text>'
            f'<text transform="translate(13 {(TOP + self.floor) / 2:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escaped(self.plot.y_title, 34)}</text>"
        )
        return "".join(parts)

    def _written(self, tick: float) -> str:
        if self.plot.share:
            return f"{100 * tick:.0f}%"
        if self.plot.log:
            power = str(round(math.log10(tick))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
            return f"10{power}"
        return f"{tick:g}"

    def _x_ticks(self) -> list[tuple[float, str]]:
        places = _nice([self.x_low, self.x_high], 6)
        if self.plot.whole:
            places = [place for place in places if place == round(place)]
        if self.x_low == 1.0 and self.plot.whole:  # layers and passes count from 1
            places = [1.0, *(place for place in places if place > 1.0)]
        ticks = {place: f"{place:,.0f}" if self.plot.whole else f"{place:g}" for place in places}
        ticks = {p: w for p, w in ticks.items() if self.x_low <= p <= self.x_high}
        for place, word in self.plot.named.items():
            near = (self.x_high - self.x_low) * 0.09
            ticks = {p: w for p, w in ticks.items() if abs(p - place) > near} | {place: word}
        return [(self.x(place), word) for place, word in ticks.items()]

    def named(self) -> str:
        """The names at the ends of the lines, moved apart where they would overlap."""
        if not self.plot.ends:
            return ""
        ends = [
            (self.y(line.points[-1][1]), line.name, slot)
            for line, slot in _slots(self.plot)
            if line.points and not line.faint
        ]
        ends.sort()
        places: list[float] = []
        for y, _, _ in ends:
            places.append(max(y, places[-1] + 14) if places else y)
        for i in range(len(places) - 1, -1, -1):
            places[i] = min(places[i], places[i + 1] - 14 if i + 1 < len(places) else self.floor)
        return "".join(
            f'<text x="{self.right + 6}" y="{place + 4:.1f}" fill="{ink(slot)}" font-weight="600">'
            f"<title>{escaped(name)}</title>{escaped(name, 12)}</text>"
            for place, (_, name, slot) in zip(places, ends, strict=True)
        )


def _line(line: Line, slot: int, frame: _Frame) -> str:
    pieces: list[list[tuple[float, float]]] = [[]]
    crosses = []
    for x, y in line.points:
        if math.isfinite(y):
            pieces[-1].append((frame.x(x), frame.y(y)))
        else:
            crosses.append((frame.x(x), frame.y(y)))
            if pieces[-1]:
                pieces.append([])
    colour = "var(--t-muted,#888)" if line.faint else ink(slot)
    style = 'stroke-width="1" opacity=".45"' if line.faint else 'stroke-width="2"'
    dash = "" if line.faint else DASHES[slot % 8]
    drawn = [
        f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in piece)}" fill="none" stroke="{colour}" {style}'
        f'{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""} stroke-linejoin="round"/>'
        for piece in pieces
        if len(piece) > 1
    ]
    # Of a long line a few points are marked, enough to tell it from its neighbours.
    every = 1 if len(line.points) <= 40 else math.ceil(len(line.points) / 5)
    alone = len(frame.plot.lines) == 1 and every > 1 and all(len(piece) != 1 for piece in pieces)
    if not line.faint and not alone:
        write = percent if frame.plot.share else number
        drawn += [
            f'<path d="{MARKS[slot % 8]}" transform="translate({frame.x(x):.1f} {frame.y(y):.1f})" fill="{colour}">'
            f"<title>{escaped(line.name)}, {x:g}: {write(y)}</title></path>"
            for x, y in line.points[every // 2 :: every]
            if math.isfinite(y)
        ]
    bad = "var(--t-bad,#d03a2f)"
    step = math.ceil(len(crosses) / 12) if crosses else 1
    drawn += [
        f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="{bad}" stroke-width="2"/>'
        for x, y in crosses[::step]
    ]
    return "".join(drawn)


def _shares() -> list[float]:
    return [0.0, 0.25, 0.5, 0.75, 1.0]


def _nice(values: Sequence[float], most: int = 5) -> list[float]:
    """Round numbers from below the least to above the largest, at most about `most` of them."""
    low, high = max(min(values, default=0.0), -1e300), min(max(values, default=1.0), 1e300)
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-300):
        room = abs(high) * 0.5 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _decades(values: Sequence[float], most: int = 6) -> list[float]:
    """Powers of ten around the positive values, at most about `most` of them."""
    positive = [min(max(value, 1e-300), 1e300) for value in values if value > 0]
    low = math.floor(math.log10(min(positive, default=0.1)) + 1e-9)
    high = math.ceil(math.log10(max(positive, default=1.0)) - 1e-9)
    if high < low + 2:  # at least two decades: what differs by a factor of two is the same
        low, high = (
            (low - 1, low + 1)
            if high == low or min(positive, default=1.0) < 2 * 10.0**low
            else (low, low + 2)
        )
    step = math.ceil((high - low) / most)
    low = high - step * math.ceil((high - low) / step)
    return [10.0**power for power in range(low, high + 1, step)]
