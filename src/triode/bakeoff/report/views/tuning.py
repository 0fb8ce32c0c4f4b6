"""The tuning of each activation: the validation figure against the learning rate, and the rate that was chosen."""

from __future__ import annotations

import math

from triode.bakeoff.report.panels import Chart, Panel, Row, Table, focused, padded, reach
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.views.rows import curves


def rates(summary: Summary) -> Chart:
    """Validation measure against learning rate, the chosen point ringed."""
    measure = summary.measure
    rows = curves((arm.name, arm.tried()) for arm in summary.arms)
    chosen = {arm.name: arm.settings.get("learning_rate", math.nan) for arm in summary.arms if arm.trials}
    ringed: tuple[Row, ...] = tuple(row for row in rows if chosen.get(row["activation"]) == row["x"])
    domain = _domain(rows, measure.larger_is_better, measure.percent)
    low, high = domain
    inside = tuple(row for row in rows if low <= row["y"] <= high)
    cut = len(rows) - len(inside)
    what = "validation accuracy" if measure.percent else "validation loss"
    trials = sorted(
        (t for arm in summary.arms for t in arm.tuning), key=lambda t: (t.activation, t.learning_rate, t.seed)
    )
    decays = any("weight_decay" in t.tuned for t in trials)
    spec = summary.results.spec
    return Chart(
        "tuning",
        "Tuning",
        "What each activation reached at each learning rate; the ring is the one that was chosen.",
        f"Last {what} of the tuning trials, mean over their {spec.tuning_seeds} seed{'s' * (spec.tuning_seeds != 1)}"
        f"{' and over weight decays' * decays}; the test set is not touched here, and these seeds are not used again. "
        "A curve that still rises at an end of the axis has not found its best rate. Trials that diverged are in the "
        f"table alone.{_cut(cut)}",
        (
            Panel(
                "lines", f"{what.capitalize()} against learning rate", "learning rate", what, inside, (), domain,
                percent=measure.percent, points=True, whole=False, x_log=True,
                marked=tuple(row for row in ringed if low <= row["y"] <= high),
            ),
        ),
        Table(
            ("activation", "learning rate", *(["weight decay"] if decays else []), "seed", what, "outcome"),
            tuple(
                (
                    t.activation, t.learning_rate, *([t.tuned.get("weight_decay", math.nan)] if decays else []),
                    t.seed,
                    float(getattr(t.epochs[-1], measure.validation_field)) if t.epochs else math.nan,
                    "diverged" if t.diverged
                    else "chosen" if chosen.get(t.activation) == t.learning_rate else "",
                )
                for t in trials
            ),
            ("", ".3g", *([".3g"] if decays else []), "d", ".2%" if measure.percent else ".4g", ""),
        ),
    )  # fmt: skip


def _domain(rows: tuple[Row, ...], larger_is_better: bool, percent: bool) -> tuple[float, float]:
    """An axis on which one hopeless rate does not squeeze the others together."""
    if not rows:
        return 0.0, 1.0
    ranked = sorted((row["y"] for row in rows), reverse=larger_is_better)
    low, high = focused([(y, y) for y in ranked])
    kept = [y for y in ranked if low <= y <= high]
    return padded(kept or reach(rows), within=(0, 1) if percent else (0, math.inf))


def _cut(n: int) -> str:
    if not n:
        return ""
    return f" {n} point{'s' * (n > 1)} far off the others {'are' if n > 1 else 'is'} in the table alone, too."
