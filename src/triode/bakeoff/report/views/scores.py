"""The measure with its intervals, differences from the baseline, and the probability of improvement."""

from __future__ import annotations

import math

from triode.bakeoff.report.panels import Chart, Panel, Row, Table, finite, finite_row, focused
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.views.rows import estimate_row, span
from triode.bakeoff.report.words import gap_unit, scaled

STANDINGS = {"win": "better", "loss": "worse", "tie": "no significant difference", "untested": "not tested"}


def measured(summary: Summary) -> Chart:
    """The measure with intervals, and the paired difference of each activation from the baseline."""
    measure = summary.measure
    ranked = [arm for arm in summary.ranked if arm.score.n]
    base, order = summary.baseline, tuple(arm.name for arm in ranked)
    rows = tuple(estimate_row(arm.name, arm.score) for arm in ranked)
    seeds = tuple(
        {"activation": arm.name, "seed": seed, "value": value}
        for arm in ranked
        for seed, value in arm.values.items()
        if math.isfinite(value)
    )
    apart = _differences(summary)
    unit = gap_unit(measure)
    title = measure.name.capitalize()
    better = "right" if measure.larger_is_better else "left"
    panels = (
        Panel(
            "dots", title, f"{measure.name}{f', {measure.unit}' if measure.unit else ''}", "", rows, seeds,
            focused([span(row, seeds) for row in rows]), percent=measure.percent, order=order,
        ),
        Panel(
            "differences", f"Difference from {base}, seed by seed", f"{unit} from {base} ({better} is better)", "",
            apart, (), focused([(0.0, 0.0), *(span(row) for row in apart)]), order=order, signed=True,
        ),
    )  # fmt: skip
    beyond = " A mean far from the others is written at the edge, so that it does not squeeze them together."
    return Chart(
        "measure",
        title,
        f"Left, how well each did. Right, how far each is from {base}: a filled point is a real difference, a hollow "
        "one may be luck.",
        "Left: mean over seeds (large point) with its 95% Student interval, each seed a small dot; the test set was "
        f"used once, after the last epoch. Right: the difference from {base} on the same seed, which removes what a "
        "seed does to both, with its own 95% interval; the point is filled where the difference stays significant "
        f"after Holm’s correction for every comparison with the baseline ({len(summary.against.rivals)} here) at "
        f"{100 * summary.against.alpha:g}%, which asks more than that one interval does. The table has every pair of "
        f"activations, corrected for all pairs.{beyond * any(panel.outside for panel in panels)}",
        panels,
        pairs(summary),
    )


def pairs(summary: Summary) -> Table:
    """Every pair, whichever the baseline."""
    scale = scaled(summary.measure)
    unit = "points" if summary.measure.percent else "loss"
    form = ".2f" if summary.measure.percent else ".4g"
    return Table(
        ("higher", "lower", f"difference, {unit}", "low", "high", "seeds", "corrected p", "verdict")
        if summary.measure.larger_is_better
        else ("better", "worse", f"difference, {unit}", "low", "high", "seeds", "corrected p", "verdict"),
        tuple(
            (
                p.a, p.b, scale * p.difference.mean, scale * p.difference.low, scale * p.difference.high,
                p.difference.n, p.p_corrected, "real" if p.significant else "noise",
            )
            for p in summary.comparison.pairs
        ),
        ("", "", form, form, form, "d", ".4f", ""),
    )  # fmt: skip


def improvement(summary: Summary) -> Chart:
    """How often a run of each activation beats a run of the baseline."""
    base, measure, scale = summary.baseline, summary.measure, scaled(summary.measure)
    rivals = [rival for rival in summary.against.rivals if math.isfinite(rival.improvement.probability)]
    rows: tuple[Row, ...] = tuple(
        finite_row(
            {
                "activation": rival.name,
                "mean": rival.improvement.probability,
                "low": rival.improvement.low,
                "high": rival.improvement.high,
                "n": rival.improvement.n,
            }
        )
        for rival in rivals
    )
    order = tuple(rival.name for rival in rivals)
    middles = tuple(estimate_row(arm.name, arm.iqm) for arm in summary.ranked if arm.iqm.n)
    form = ".2f" if measure.percent else ".4g"
    return Chart(
        "improvement",
        "Probability of improvement",
        f"How often one run of an activation beats one run of {base}: at 50% there is nothing to choose.",
        f"Left: the share of all pairs of a run and a run of {base} that it wins, ties counting half, with its 95% "
        "bootstrap interval; a diverged run loses. It says how often, not by how much. Right: the interquartile mean, "
        "the mean of the middle half of the runs, which one odd seed does not move, with its 95% stratified bootstrap "
        "interval. From three seeds a bootstrap interval is too short: it knows no values but those it saw.",
        (
            Panel(
                "dots", f"Probability that a run beats a run of {base}", "probability", "", rows, (), (-0.02, 1.02),
                percent=True, order=order, reference=0.5,
            ),
            Panel(
                "dots", "Interquartile mean", f"{measure.name}, interquartile mean", "", middles, (),
                focused([span(row) for row in middles]), percent=measure.percent,
                order=tuple(row["activation"] for row in middles),
            ),
        ),
        Table(
            ("activation", "difference from baseline", "low", "high", "corrected p", "standing", "probability",
             "from", "to", "seeds"),
            tuple(
                (
                    r.name, scale * r.difference.mean, scale * r.difference.low, scale * r.difference.high,
                    r.p_corrected, STANDINGS[r.standing], r.improvement.probability, r.improvement.low,
                    r.improvement.high, r.difference.n,
                )
                for r in summary.against.rivals
            ),
            ("", form, form, form, ".4f", "", ".0%", ".0%", ".0%", "d"),
        ),
    )  # fmt: skip


def _differences(summary: Summary) -> tuple[Row, ...]:
    """Each activation minus the baseline, in percentage points or as losses."""
    scale, rows = scaled(summary.measure), []
    for rival in summary.against.rivals:
        d = rival.difference
        if d.n:
            row = {
                "activation": rival.name,
                "mean": scale * d.mean,
                "low": scale * d.low,
                "high": scale * d.high,
                "n": d.n,
            }
            real = rival.standing in ("win", "loss")
            rows.append({**finite_row(row), "p": finite(rival.p_corrected), "significant": real})
    return tuple(rows)
