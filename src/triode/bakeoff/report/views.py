"""The charts of a report as data: what each shows, its words and its rows; `charts` and `figures` draw them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from triode.bakeoff.records import EpochRecord
from triode.bakeoff.report.panels import (
    Chart,
    Panel,
    Row,
    Table,
    finite,
    finite_row,
    focused,
    log_domain,
    padded,
    reach,
)
from triode.bakeoff.report.summary import Spot, Summary, epoch_seconds
from triode.bakeoff.stats import Estimate

MOST_LAYERS = 6
"""Panels of a chart that has one for each layer; a deeper network shows this many, evenly spaced."""


def charts(summary: Summary) -> tuple[Chart, ...]:
    """Every chart that the results can fill, in the order of the report."""
    if not any(arm.trials for arm in summary.arms):
        return ()
    made = (
        accuracy(summary),
        learning(summary),
        gradients(summary),
        dead_units(summary),
        saturation(summary),
        spreads(summary),
        times(summary),
    )
    full = (replace(chart, panels=tuple(panel for panel in chart.panels if panel.rows)) for chart in made)
    return tuple(chart for chart in full if chart.panels)


def accuracy(summary: Summary) -> Chart:
    """Test accuracy with intervals, and the paired difference of each activation from the best."""
    ranked = [arm for arm in summary.ranked if arm.accuracy.n]
    best, order = summary.comparison.best, tuple(arm.name for arm in ranked)
    rows = tuple(_estimate_row(arm.name, arm.accuracy) for arm in ranked)
    seeds = tuple(
        {"activation": arm.name, "seed": t.seed, "value": t.test_accuracy}
        for arm in ranked
        for t in arm.trials
        if math.isfinite(t.test_accuracy)
    )
    differences = _differences(summary)
    domain = focused([_range(row, seeds) for row in rows])
    panels = (
        Panel("dots", "Test accuracy", "test accuracy", "", rows, seeds, domain, percent=True, order=order),
        Panel(
            "differences", f"Difference from {best}, seed by seed", f"percentage points from {best}", "",
            differences, (), focused([(0.0, 0.0), *(_range(row) for row in differences)]), order=order, signed=True,
        ),
    )  # fmt: skip
    pairs = summary.comparison.pairs
    table = Table(
        ("higher", "lower", "difference", "low", "high", "seeds", "corrected p", "verdict"),
        tuple(
            (
                p.a, p.b, 100 * p.difference.mean, 100 * p.difference.low, 100 * p.difference.high, p.difference.n,
                p.p_corrected, "real" if p.significant else "noise",
            )
            for p in pairs
        ),
        ("", "", ".2f", ".2f", ".2f", "d", ".4f", ""),
    )  # fmt: skip
    beyond = " A mean far from the others is written at the edge, so that it does not squeeze them together."
    return Chart(
        "accuracy",
        "Test accuracy",
        f"Left, how well each did. Right, how far each is from {best}: a filled point is a real difference, "
        "a hollow one may be luck.",
        "Left: mean over seeds (large point) with its 95% Student interval, each seed a small dot; the test "
        "set was used "
        f"once, after the last epoch. Right: the difference from {best} on the same seed, which removes "
        "what a seed "
        "does to both, with its own 95% interval; the point is filled where the difference stays "
        "significant after Holm's "
        f"correction for all {len(pairs)} pairs at {100 * summary.comparison.alpha:g}%, which asks more "
        "than that one interval does. "
        f"The table has every pair, in percentage points.{beyond * any(panel.outside for panel in panels)}",
        panels,
        table,
    )


def _differences(summary: Summary) -> tuple[Row, ...]:
    """Each activation minus the best, in percentage points."""
    rows = []
    for pair in summary.comparison.pairs:
        if pair.a == summary.comparison.best and pair.difference.n:
            d = pair.difference
            row = {
                "activation": pair.b,
                "mean": -100 * d.mean,
                "low": -100 * d.high,
                "high": -100 * d.low,
                "n": d.n,
            }
            rows.append({**finite_row(row), "p": finite(pair.p_corrected), "significant": pair.significant})
    return tuple(rows)


def _range(row: Row, seeds: Sequence[Row] = ()) -> tuple[float, float]:
    ends = reach([row], [seed for seed in seeds if seed["activation"] == row["activation"]])
    return min(ends), max(ends)


def learning(summary: Summary) -> Chart:
    """Losses and accuracies of training and validation, against the epoch."""
    measures: tuple[tuple[str, str, Callable[[EpochRecord], float]], ...] = (
        ("Training loss", "cross-entropy, nats", lambda r: r.train_loss),
        ("Validation loss", "cross-entropy, nats", lambda r: r.validation_loss),
        ("Training accuracy", "accuracy", lambda r: r.train_accuracy),
        ("Validation accuracy", "accuracy", lambda r: r.validation_accuracy),
    )
    curves = [
        _curves((arm.name, arm.curve(measure, start=0 if i < 2 else 1)) for arm in summary.arms)
        for i, (_, _, measure) in enumerate(measures)
    ]
    losses, shares = [*curves[0], *curves[1]], [*curves[2], *curves[3]]
    log = all(value > 0 for value in reach(losses))
    panels = tuple(
        Panel(
            "lines", title, "epoch (0 = before training)" if i < 2 else "epoch", unit, rows, (),
            (log_domain if log else padded)(reach(losses)) if i < 2 else padded(reach(shares), within=(0, 1)),
            log=log and i < 2, percent=i >= 2,
        )
        for i, ((title, unit, _), rows) in enumerate(zip(measures, curves, strict=True))
    )  # fmt: skip
    return Chart(
        "learning",
        "Learning",
        "How fast each learns, and where validation stops following training.",
        f"Mean over seeds (line) and the range from the lowest to the highest seed (band){_log_note(log)}. "
        "All four are "
        "measured at the end of each epoch, by a full pass over the training and over the validation "
        "examples with the "
        "weights as they then stand; epoch 0 is the untrained network, which guesses.",
        panels,
        _curve_table(
            "epoch", [(title, rows) for (title, _, _), rows in zip(measures, curves, strict=True)], ".4f"
        ),
    )


def gradients(summary: Summary) -> Chart:
    """Gradient norm against layer, in the first epoch and in the last."""
    epochs = sorted({summary.first_epoch, summary.last_epoch} - {0})
    curves = [_profiles(summary, lambda r: r.gradient_norm, epoch) for epoch in epochs]
    positive = [tuple(row for row in rows if row["low"] > 0) for rows in curves]
    domain = log_domain(reach([row for rows in positive for row in rows]))
    zeros = sum(len(rows) - len(drawn) for rows, drawn in zip(curves, positive, strict=True))
    note = (
        f" {zeros} points with a norm of exactly 0 in some seed have no place on this axis; the table has "
        "them." * bool(zeros)
    )
    panels = tuple(
        Panel(
            "lines", f"Gradient norm, epoch {epoch}", "layer (1 is next to the input)", "gradient norm", rows,
            (), domain,
            log=True, points=True,
        )
        for epoch, rows in zip(epochs, positive, strict=True)
    )  # fmt: skip
    return Chart(
        "gradients",
        "Gradient norm against layer",
        "A line that falls steeply towards the left is a vanishing gradient: the layers next to the input "
        "hardly learn.",
        "Euclidean norm of the gradient of each layer's weights and biases, mean over all steps of the "
        "epoch (not the last "
        f"batch), then over seeds; the band is the range over seeds. Logarithmic axis.{note}",
        panels,
        _curve_table("layer", [(f"epoch {e}", rows) for e, rows in zip(epochs, curves, strict=True)], ".3e"),
    )


def dead_units(summary: Summary) -> Chart:
    """Share of dead units against the epoch, a panel for each hidden layer."""
    layers = range(summary.hidden_layers)
    curves = {
        layer: _curves((arm.name, arm.curve(_at(lambda r: r.dead, layer))) for arm in summary.arms)
        for layer in layers
    }
    found = reach([row for rows in curves.values() for row in rows])
    domain = (-0.02 * max(0.05, *found), 1.06 * max(0.05, *found)) if found else (0.0, 1.0)
    shown = _evenly(list(layers), MOST_LAYERS)
    panels = tuple(
        Panel(
            "lines", f"Hidden layer {layer + 1}{_width(summary, layer)}", "epoch (0 = before training)", "dead units",
            curves[layer], (), domain, percent=True,
        )
        for layer in shown
    )  # fmt: skip
    left_out = f" The network has {len(layers)} hidden layers, of which {len(shown)} are drawn." * (
        len(shown) < len(layers)
    )
    return Chart(
        "dead",
        "Dead units across training",
        "Only an activation with a flat zero side can kill a unit; a dead one gets no gradient and rarely "
        "returns.",
        "Share of the units of a layer whose output is exactly zero for every example of a full pass over "
        "the "
        "training set, at the end of each epoch; mean over seeds, the band is the range over seeds. A unit "
        "that is "
        f"often zero but not always is sparse, not dead.{left_out}",
        panels,
        _curve_table("epoch", [(f"layer {layer + 1}", rows) for layer, rows in curves.items()], ".2%"),
    )


def saturation(summary: Summary) -> Chart:
    """Saturated share against layer, before training and after."""
    return _before_after(
        summary,
        lambda r: r.saturated,
        "saturated",
        "Saturated share against layer",
        "Where an activation is flat, the gradient that passes through it is all but gone.",
        "Share of the pairs (unit, training example) with |f′(z)| below 1% of the greatest |f′| on [-10, "
        "10], by a full pass over "
        "the training set; mean over seeds, the band is the range over seeds. For a rectifier, saturated "
        "means switched off.",
        "saturated share",
    )


def spreads(summary: Summary) -> Chart:
    """Standard deviation of the outputs against layer, before training and after."""
    return _before_after(
        summary,
        lambda r: r.spread,
        "spread",
        "Activation spread against layer",
        "A spread that shrinks from layer to layer carries ever less of the input; one that grows may "
        "explode.",
        "Standard deviation of a hidden layer's outputs over all its units and all training examples; mean "
        "over seeds, the band "
        "is the range over seeds.",
        "standard deviation",
    )


def times(summary: Summary) -> Chart:
    """Seconds for an epoch, and accuracy against time spent."""
    arms = sorted(
        (arm for arm in summary.arms if arm.epoch_seconds.n), key=lambda arm: arm.epoch_seconds.mean
    )
    rows = tuple(_estimate_row(arm.name, arm.epoch_seconds) for arm in arms)
    seeds = tuple(
        {"activation": arm.name, "seed": t.seed, "value": epoch_seconds(t)}
        for arm in arms
        for t in arm.trials
        if math.isfinite(epoch_seconds(t))
    )
    paced: list[Row] = []
    for arm in summary.arms:
        elapsed = list(itertools.accumulate(s.y for s in arm.curve(lambda r: r.seconds, start=1)))
        reached = arm.curve(lambda r: r.validation_accuracy, start=1)
        paced += _curves([(arm.name, tuple(replace(s, x=x) for s, x in zip(reached, elapsed, strict=False)))])
    panels = (
        Panel(
            "dots", "Seconds per epoch", "seconds per epoch", "", rows, seeds,
            padded([value for value in reach(rows, seeds) if value > 0] + [0.0], within=(0, math.inf)),
            order=tuple(arm.name for arm in arms),
        ),
        Panel(
            "lines", "Validation accuracy against time", "seconds of training", "validation accuracy", tuple(paced), (),
            padded(reach(paced), within=(0, 1)), percent=True, points=True, whole=False,
        ),
    )  # fmt: skip
    jobs = summary.results.spec.jobs
    return Chart(
        "time",
        "Time",
        "What each activation costs, and what it has reached by the time the others have.",
        "Left: wall time of one epoch's training steps (the measuring passes are not in it), the median "
        "over a trial's "
        "epochs (small dots), their mean over seeds (large point) and its 95% Student interval. Right: mean "
        "validation accuracy after each epoch "
        "against the training time up to it. Trials ran beside each other on one machine "
        f"({'one for each processor' if jobs == 0 else f'{jobs} at a time'}), so small differences in time "
        "mean little.",
        panels,
        _curve_table("seconds", [("validation accuracy", paced)], ".4f", x_format=".2f"),
    )


def _before_after(
    summary: Summary,
    measure: Callable[[EpochRecord], tuple[float, ...]],
    name: str,
    title: str,
    lead: str,
    caption: str,
    unit: str,
) -> Chart:
    epochs = sorted({0, summary.last_epoch})
    curves = [_profiles(summary, measure, epoch) for epoch in epochs]
    found = reach([row for rows in curves for row in rows])
    share = name == "saturated"
    log = not share and bool(found) and min(found) > 0 and max(found) > 20 * min(found)
    domain = log_domain(found) if log else padded([*found, 0.0], within=(0, 1) if share else (0, math.inf))
    panels = tuple(
        Panel(
            "lines", "Before training" if epoch == 0 else f"After epoch {epoch}", "hidden layer (1 is next "
            "to the input)",
            unit, rows, (), domain, log=log, percent=share, points=True,
        )
        for epoch, rows in zip(epochs, curves, strict=True)
    )  # fmt: skip
    table = _curve_table(
        "layer",
        [(f"epoch {e}", rows) for e, rows in zip(epochs, curves, strict=True)],
        ".2%" if share else ".4f",
    )
    return Chart(name, title, lead, caption + " Logarithmic axis." * log, panels, table)


def _curves(arms: Iterable[tuple[str, Sequence[Spot]]]) -> tuple[Row, ...]:
    return tuple(
        {"activation": name, "x": s.x, "y": s.y, "low": s.low, "high": s.high, "n": s.n}
        for name, spots in arms
        for s in spots
    )


def _profiles(
    summary: Summary, measure: Callable[[EpochRecord], Sequence[float]], epoch: int
) -> tuple[Row, ...]:
    return _curves((arm.name, arm.profile(measure, epoch)) for arm in summary.arms)


def _at(measure: Callable[[EpochRecord], Sequence[float]], layer: int) -> Callable[[EpochRecord], float]:
    def read(record: EpochRecord) -> float:
        values = measure(record)
        return values[layer] if layer < len(values) else math.nan

    return read


def _estimate_row(name: str, estimate: Estimate) -> Row:
    return finite_row(
        {
            "activation": name,
            "mean": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "n": estimate.n,
        }
    )


def _evenly(items: list[int], most: int) -> list[int]:
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _width(summary: Summary, layer: int) -> str:
    hidden = summary.results.spec.hidden
    return f" ({hidden[layer]} units)" if len(hidden) == summary.hidden_layers else ""


def _log_note(log: bool) -> str:
    return "; losses on a logarithmic axis" if log else ""


def _curve_table(
    x: str, groups: Sequence[tuple[str, Sequence[Row]]], form: str, x_format: str = "g"
) -> Table:
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
