"""The results as a table: a row a trial, for `results.csv` and for whoever reads columns."""

from __future__ import annotations

import csv
import math
from io import StringIO
from statistics import median

from triode.bakeoff.records import Results, TrialResult

COLUMNS = (
    "activation",
    "specification",
    "seed",
    "test_accuracy",
    "test_loss",
    "validation_accuracy",
    "validation_loss",
    "best_validation_accuracy",
    "best_epoch",
    "train_loss",
    "train_accuracy",
    "epochs",
    "seconds_per_epoch",
    "seconds",
    "diverged",
    "learning_rate",
    "tuned",
    "parameters",
    "peak_memory",
    "road",
    "key",
)
"""Columns of `results.csv`. Validation and training are those of the last epoch; `best_epoch` is the first with the
best validation figure of the task (accuracy where there are classes, else loss); `seconds_per_epoch` is the median over
the epochs, of the training steps; `tuned` names what tuning chose or tried."""


def row(results: Results, trial: TrialResult) -> dict[str, object]:
    """One trial as plain values, a value a column."""
    measure = results.measure
    sign = 1.0 if measure.larger_is_better else -1.0
    last = trial.epochs[-1]
    trained = trial.epochs[1:]

    def figure(number: int) -> float:
        value = sign * float(getattr(trial.epochs[number], measure.validation_field))
        return -math.inf if math.isnan(value) else value

    best = trial.epochs[max(range(1, len(trial.epochs)), key=figure, default=0)]
    values: dict[str, object] = {
        "validation_accuracy": last.validation_accuracy,
        "validation_loss": last.validation_loss,
        "best_validation_accuracy": best.validation_accuracy,
        "best_epoch": best.epoch,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
        "epochs": len(trained),
        "seconds_per_epoch": median(record.seconds for record in trained) if trained else math.nan,
        "diverged": str(trial.diverged).lower(),
        "tuned": " ".join(f"{name}={value:g}" for name, value in trial.tuned.items()),
    }
    return {name: values[name] if name in values else getattr(trial, name) for name in COLUMNS}


def csv_text(results: Results) -> str:
    """The final trials under a line with the names of the columns; those of tuning stay in their folders."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for trial in results.trials:
        table.writerow(row(results, trial).values())
    return text.getvalue()
