"""The charts of a report as data: what each shows, its words and its rows; `charts` and `figures` draw them."""

from __future__ import annotations

from dataclasses import replace

from triode.bakeoff.report.panels import Chart
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.views import cost, gradients, learning, scores, tuning, units

__all__ = ["charts"]


def charts(summary: Summary) -> tuple[Chart, ...]:
    """Every chart that the results can fill, in the order of the report."""
    if not any(arm.trials for arm in summary.arms):
        return ()
    made = (
        scores.measured(summary),
        scores.improvement(summary),
        tuning.rates(summary),
        learning.curves(summary),
        gradients.over_training(summary),
        gradients.by_layer(summary),
        gradients.depth(summary),
        units.dead(summary),
        units.saturated(summary),
        units.spread(summary),
        units.learned(summary),
        cost.speed(summary),
        cost.cost(summary),
    )
    full = (replace(chart, panels=tuple(panel for panel in chart.panels if panel.rows)) for chart in made)
    return tuple(chart for chart in full if chart.panels)
