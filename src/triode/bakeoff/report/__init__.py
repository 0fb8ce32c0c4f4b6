"""The report of a bake-off: one offline HTML file, the same as Markdown with pictures, and a table of the trials.

Reporting reads finished records and never trains. `summary` gathers, `verdict` judges, `views` decides what is shown;
`html` with `charts`, and `markdown` with `figures`, write it down.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from ...errors import MissingExtra
from ..records import Results, TrialResult
from . import figures, html, markdown, notebook
from .palette import styles
from .summary import best_epoch, epoch_seconds, summarise
from .verdict import Verdict, judge
from .views import charts

__all__ = ["summary_html", "verdict", "write"]


def write(results: Results) -> Path:
    """Write report.html, report.md, figures/*.png and results.csv into the directory of the results.

    Each file is written beside its place and moved there, so that a reader never sees half of one. Without Matplotlib
    the Markdown has no pictures and says what to install.

    Args:
        results: Finished trials; some may be missing, which the report says.

    Returns:
        The path of report.html.
    """
    summary = summarise(results)
    shown, look = charts(summary), styles(results.activations)
    folder = results.directory
    note, pictures = "", {}
    try:
        written = figures.draw(shown, look, folder / "figures")
        pictures = {name: path.relative_to(folder) for name, path in written.items()}
    except MissingExtra as missing:
        note = str(missing)
    _place(folder / "results.csv", table(results))
    _place(folder / "report.md", markdown.document(summary, shown, pictures, note))
    return _place(folder / "report.html", html.page(summary))


def verdict(results: Results) -> Verdict:
    """What may be said of these results: which differences are real and which are noise."""
    return judge(summarise(results))


def summary_html(results: Results) -> str:
    """The verdict and the table of results as a small piece of HTML without scripts, for a notebook."""
    return notebook.fragment(summarise(results))


def table(results: Results) -> str:
    """A row for each finished trial, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "activation", "specification", "seed", "learning_rate", "parameters", "test_accuracy", "test_loss",
            "best_validation_accuracy", "best_epoch", "epochs", "seconds_per_epoch", "seconds", "diverged", "key",
        ]
    )  # fmt: skip
    for trial in results.trials:
        writer.writerow(_row(trial))
    return text.getvalue()


def _row(trial: TrialResult) -> list[object]:
    trained = [record for record in trial.epochs if record.epoch > 0]
    best = max((record.validation_accuracy for record in trained), default=float("nan"))
    return [
        trial.activation, trial.specification, trial.seed, trial.learning_rate, trial.parameters, trial.test_accuracy,
        trial.test_loss, best, best_epoch(trial), len(trained), epoch_seconds(trial), trial.seconds, trial.diverged,
        trial.key,
    ]  # fmt: skip


def _place(path: Path, text: str) -> Path:
    """Write `text` to `path` at once: beside it first, then moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8", newline="\n")
    beside.replace(path)
    return path
