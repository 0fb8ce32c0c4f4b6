"""What the views share: curves and estimates as rows, and rows as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from triode.bakeoff.report.curves import ReadMany, Spot
from triode.bakeoff.report.panels import Row, Table, finite_row, reach
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.stats import Estimate

EPOCH = "epoch (0 = before training)"
LAYER = "layer (1 is next to the input)"
BAND = "mean over seeds, the band is the range over seeds"


def curves(arms: Iterable[tuple[str, Sequence[Spot]]]) -> tuple[Row, ...]:
    """Rows of lines."""
    return tuple(
        {"activation": name, "x": s.x, "y": s.y, "low": s.low, "high": s.high, "n": s.n}
        for name, spots in arms
        for s in spots
    )


def profiles(summary: Summary, measure: ReadMany, epoch: int) -> tuple[Row, ...]:
    """A line over the layers for each activation, at one epoch."""
    return curves((arm.name, arm.profile(measure, epoch)) for arm in summary.arms)


def estimate_row(name: str, estimate: Estimate) -> Row:
    """A row of dots."""
    return finite_row(
        {
            "activation": name,
            "mean": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "n": estimate.n,
        }
    )


def span(row: Row, seeds: Sequence[Row] = ()) -> tuple[float, float]:
    """From the least to the greatest number that an axis must hold for this row."""
    ends = reach([row], [seed for seed in seeds if seed["activation"] == row["activation"]])
    return min(ends), max(ends)


def curve_table(x: str, groups: Sequence[tuple[str, Sequence[Row]]], form: str, x_format: str = "g") -> Table:
    """A row for each activation and x, a column for each group of curves: the mean over seeds."""
    keys: dict[tuple[str, float], dict[str, float]] = {}
    for title, rows in groups:
        for row in rows:
            keys.setdefault((row["activation"], row["x"]), {})[title] = row["y"]
    titles = [title for title, _ in groups]
    body = tuple(
        (name, at, *(found.get(title, math.nan) for title in titles)) for (name, at), found in keys.items()
    )
    return Table(("activation", x, *titles), body, ("", x_format, *[form] * len(titles)))


def layer_names(names: Sequence[str], n: int, word: str) -> list[str]:
    """Column headings: the number of each layer and, where it says more, its name."""
    return [
        f"{i + 1}: {names[i]}" if i < len(names) and len(names[i]) <= 24 else f"{word} {i + 1}"
        for i in range(n)
    ]
