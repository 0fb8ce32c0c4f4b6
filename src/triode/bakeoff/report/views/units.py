"""What happens at the activations: dead and saturated units, the spread of outputs, learned parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

from triode.bakeoff.records import EpochRecord
from triode.bakeoff.report.curves import ReadMany, at
from triode.bakeoff.report.panels import Chart, Panel, Row, Table, log_domain, padded, reach
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.views.rows import BAND, EPOCH, curve_table, curves, layer_names, profiles

SITE = "activation site (1 is next to the input)"


def dead(summary: Summary) -> Chart:
    """Dead units against the epoch, and where they are after the last."""
    return _shares(
        summary,
        lambda r: r.dead,
        "dead",
        "Dead units",
        "Only an activation with a flat zero side can kill a unit; a dead one gets no gradient and rarely returns.",
        "Share of the units whose output was exactly zero for every training example of the epoch; a channel of a "
        "convolution counts as one unit, over all positions. A unit that is often zero but not always is sparse, not "
        "dead.",
    )


def saturated(summary: Summary) -> Chart:
    """Saturated share against the epoch, and where it is after the last."""
    return _shares(
        summary,
        lambda r: r.saturated,
        "saturated",
        "Saturated share",
        "Where an activation is flat, the gradient that passes through it is all but gone.",
        "Share of the pairs (unit, training example) with |f′(z)| below 1% of the greatest |f′| on [-10, 10], mean "
        "over the watched steps of the epoch. For a rectifier, saturated means switched off.",
    )


def _shares(summary: Summary, measure: ReadMany, name: str, title: str, lead: str, caption: str) -> Chart:
    over = curves((arm.name, arm.curve(arm.overall(measure))) for arm in summary.arms)
    last = profiles(summary, measure, summary.last_epoch)
    count = len(summary.sites)
    table = _by_site(summary, measure, ".2%")
    panels = tuple(
        Panel(
            "lines", heading, x, title.lower(), rows, (), _share_domain(rows), percent=True, points=points,
        )
        for heading, x, rows, points in (
            ("All units of the network, against the epoch", EPOCH, over, False),
            (f"By site, epoch {summary.last_epoch}", SITE, last, count <= 12),
        )
    )  # fmt: skip
    return Chart(
        name, title, lead, f"{caption} Left: over all units of the network; {BAND}. The table has every site.",
        panels, table,
    )  # fmt: skip


def spread(summary: Summary) -> Chart:
    """Standard deviation of the outputs against the site, before training and after."""
    epochs = sorted({0, summary.last_epoch})
    drawn = [profiles(summary, lambda r: r.spread, epoch) for epoch in epochs]
    found = reach([row for rows in drawn for row in rows])
    log = bool(found) and min(found) > 0 and max(found) > 20 * min(found)
    domain = log_domain(found) if log else padded([*found, 0.0], within=(0, math.inf))
    panels = tuple(
        Panel(
            "lines", "Before training" if epoch == 0 else f"Epoch {epoch}", SITE, "standard deviation", rows, (),
            domain, log=log, points=len(summary.sites) <= 12,
        )
        for epoch, rows in zip(epochs, drawn, strict=True)
    )  # fmt: skip
    return Chart(
        "spread",
        "Activation spread",
        "A signal that shrinks from layer to layer leaves the last ones little to tell examples apart by.",
        "Standard deviation of the outputs of a site over all units and examples of the watched steps (epoch 0: all "
        f"training examples); {BAND}.{' Logarithmic axis.' * log}",
        panels,
        _by_site(summary, lambda r: r.spread, ".4f"),
    )


def learned(summary: Summary) -> Chart:
    """Learned parameters of the activations against the epoch, a panel for each parameter."""
    panels, groups = [], []
    arms = [arm for arm in summary.arms if arm.learned]
    for parameter in dict.fromkeys(name for arm in arms for name in arm.learned):
        rows: tuple[Row, ...] = curves(
            (arm.name, arm.curve(arm.overall(_learned(parameter))))
            for arm in arms
            if parameter in arm.learned
        )
        panels.append(
            Panel("lines", parameter, EPOCH, f"{parameter}, mean over units", rows, (), padded(reach(rows)))
        )
        groups += [
            (
                f"{parameter}, {site}",
                curves((arm.name, arm.curve(at(_learned(parameter), i))) for arm in arms),
            )
            for i, site in enumerate(layer_names(summary.sites, len(summary.sites), "site"))
        ]
    return Chart(
        "learned",
        "Learned parameters",
        "Where training takes the parameters that an activation learns.",
        f"Mean over the units of the network after each epoch; {BAND}. The table has every site.",
        tuple(panels),
        curve_table("epoch", groups, ".4f"),
    )


def _learned(parameter: str) -> Callable[[EpochRecord], tuple[float, ...]]:
    return lambda record: record.learned.get(parameter, ())


def _share_domain(rows: tuple[Row, ...]) -> tuple[float, float]:
    most = max([0.05, *reach(rows)])
    return -0.02 * most, min(1.06 * most, 1.02)


def _by_site(summary: Summary, measure: ReadMany, form: str) -> Table:
    """A row for each activation and epoch, a column for each site."""
    names = layer_names(summary.sites, len(summary.sites), "site")

    def rows(arm: Arm) -> list[list[float]]:
        columns = [{s.x: s.y for s in arm.curve(at(measure, i))} for i in range(len(names))]
        epochs = sorted({x for column in columns for x in column})
        return [[epoch, *(column.get(epoch, math.nan) for column in columns)] for epoch in epochs]

    return Table(
        ("activation", "epoch", *names),
        tuple((arm.name, *row) for arm in summary.arms for row in rows(arm)),
        ("", "g", *[form] * len(names)),
    )
