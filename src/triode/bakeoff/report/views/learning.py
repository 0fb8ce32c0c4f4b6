"""Losses and accuracies of training and validation, against the epoch."""

from __future__ import annotations

from triode.bakeoff.report.curves import Read
from triode.bakeoff.report.panels import Chart, Panel, log_domain, padded, reach
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.views import rows as shared
from triode.bakeoff.report.views.rows import curve_table


def curves(summary: Summary) -> Chart:
    """Four panels, or two where there are no classes."""
    unit = summary.measure.unit or "cross-entropy, nats"
    measures: list[tuple[str, str, Read]] = [
        ("Training loss", unit, lambda r: r.train_loss),
        ("Validation loss", unit, lambda r: r.validation_loss),
    ]
    if summary.measure.percent:
        measures += [
            ("Training accuracy", "accuracy", lambda r: r.train_accuracy),
            ("Validation accuracy", "accuracy", lambda r: r.validation_accuracy),
        ]
    drawn = [
        shared.curves((arm.name, arm.curve(measure, start=0 if i < 2 else 1)) for arm in summary.arms)
        for i, (_, _, measure) in enumerate(measures)
    ]
    losses = [row for rows in drawn[:2] for row in rows]
    shares = [row for rows in drawn[2:] for row in rows]
    log = all(value > 0 for value in reach(losses))
    panels = tuple(
        Panel(
            "lines", title, shared.EPOCH if i < 2 else "epoch", label, rows, (),
            (log_domain if log else padded)(reach(losses)) if i < 2 else padded(reach(shares), within=(0, 1)),
            log=log and i < 2, percent=i >= 2,
        )
        for i, ((title, label, _), rows) in enumerate(zip(measures, drawn, strict=True))
    )  # fmt: skip
    return Chart(
        "learning",
        "Learning",
        "How fast each learns, and where validation stops following training.",
        "Mean over seeds (line) and the range from the lowest to the highest seed (band)"
        f"{'; losses on a logarithmic axis' * log}. Validation: the network at the end of the epoch, on all validation "
        "examples. Training: the mean over the epoch’s steps, each before its update, so it lags behind by half an "
        "epoch. Epoch 0 is the untrained network, which guesses.",
        panels,
        curve_table("epoch", [(t, rows) for (t, _, _), rows in zip(measures, drawn, strict=True)], ".4f"),
    )
