"""Gradient norms against layer and epoch, and over how many layers they are spread."""

from __future__ import annotations

import math

from triode.bakeoff.report.curves import at
from triode.bakeoff.report.panels import Chart, Panel, Row, Table, log_domain, padded, reach
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.views.rows import LAYER, curve_table, curves, layer_names, profiles
from triode.bakeoff.stats import effective_depth

DECADES = 12.0
"""Most powers of ten that the colours span; what lies below has the lowest colour."""


def over_training(summary: Summary) -> Chart:
    """A heat map for each activation: epoch to the right, layer upwards."""
    cells: dict[str, list[Row]] = {}
    table: dict[tuple[str, int], dict[int, float]] = {}
    count = len(summary.layers)
    for arm in summary.arms:
        for layer in range(count):
            for s in arm.curve(at(lambda r: r.gradient_norm, layer), start=1):
                value = float(f"{s.y:.4g}") if s.y > 0 else None
                cells.setdefault(arm.name, []).append(
                    {"activation": arm.name, "x": int(s.x), "y": layer + 1, "value": value}
                )
                table.setdefault((arm.name, int(s.x)), {})[layer] = s.y
    found = [row["value"] for rows in cells.values() for row in rows if row["value"] is not None]
    low, high = (min(found), max(found)) if found else (0.1, 1.0)
    floor = max(low, 10.0 ** (math.log10(high) - DECADES))
    domain = (floor, high) if high > floor else (floor / 2, high * 2)
    zeros = any(row["value"] is None for rows in cells.values() for row in rows)
    panels = tuple(
        Panel(
            "heat", arm.name, "epoch", "layer", tuple(cells.get(arm.name, ())), (), domain, log=True,
            owner=arm.name, what="gradient norm",
        )
        for arm in summary.arms
    )  # fmt: skip
    below = f" Norms below {floor:.0e} have the colour of {floor:.0e}." * (low < floor)
    return Chart(
        "gradients",
        "Gradient norm against layer and epoch",
        "Dark bottom rows are layers next to the input that get next to no gradient.",
        "Euclidean norm of the gradient of each layer’s weights and biases, mean over the watched steps of the epoch "
        f"(every eighth), then over seeds. One logarithmic scale of colours for all.{below}"
        f"{' Grey cells: a norm of exactly 0.' * zeros} Layer 1 is next to the input.",
        panels,
        Table(
            ("activation", "epoch", *layer_names(summary.layers, count, "layer")),
            tuple(
                (name, epoch, *(values.get(layer, math.nan) for layer in range(count)))
                for (name, epoch), values in sorted(
                    table.items(),
                    key=lambda item: (summary.results.activations.index(item[0][0]), item[0][1]),
                )
            ),
            ("", "d", *[".2e"] * count),
        ),
    )


def by_layer(summary: Summary) -> Chart:
    """Gradient norm against layer, in the first epoch and in the last."""
    epochs = sorted({summary.first_epoch, summary.last_epoch} - {0})
    drawn = [profiles(summary, lambda r: r.gradient_norm, epoch) for epoch in epochs]
    positive = [tuple(row for row in rows if row["low"] > 0) for rows in drawn]
    domain = log_domain(reach([row for rows in positive for row in rows]))
    zeros = sum(len(rows) - len(kept) for rows, kept in zip(drawn, positive, strict=True))
    note = (
        f" {zeros} points with a norm of exactly 0 in some seed have no place on this axis; the table has them."
        * bool(zeros)
    )
    panels = tuple(
        Panel(
            "lines", f"Gradient norm, epoch {epoch}", LAYER, "gradient norm", rows, (), domain,
            log=True, points=len(summary.layers) <= 12,
        )
        for epoch, rows in zip(epochs, positive, strict=True)
    )  # fmt: skip
    return Chart(
        "layers",
        "Gradient norm, first epoch and last",
        "A line that falls steeply towards the left is a vanishing gradient: the layers next to the input hardly "
        "learn.",
        "The same norms as lines; mean over seeds, the band is the range over seeds. Logarithmic axis."
        + note,
        panels,
        curve_table("layer", [(f"epoch {e}", rows) for e, rows in zip(epochs, drawn, strict=True)], ".3e"),
    )


def depth(summary: Summary) -> Chart:
    """Effective depth against the epoch."""
    rows = curves(
        (arm.name, arm.curve(lambda r: effective_depth(r.gradient_norm), start=1)) for arm in summary.arms
    )
    most = len(summary.layers)
    return Chart(
        "depth",
        "Effective depth",
        f"Over how many of the {most} layers with weights the gradient is spread: a line near 1 is a deep network that "
        "learns as a shallow one.",
        "Participation ratio of the layers’ gradient norms, (Σ g)² / Σ g²: the number of layers where all are equal, 1 "
        "where one layer has all the gradient; mean over seeds, the band is the range over seeds.",
        (
            Panel(
                "lines", f"Effective depth, of {most} layers", "epoch", "effective depth", rows, (),
                padded([*reach(rows), 1.0], within=(0.0, max(1.0, most) * 1.02)),
            ),
        ),
        curve_table("epoch", [("effective depth", rows)], ".3f"),
    )  # fmt: skip
