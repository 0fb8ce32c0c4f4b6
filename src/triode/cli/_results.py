"""What `triode bakeoff` and `triode report` print about results: one table, or one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triode.cli._output import paragraph, table

if TYPE_CHECKING:
    from pathlib import Path

    from triode.bakeoff import Results

COMPLETE, INCOMPLETE = 0, 1


def status(results: Results) -> int:
    """Return 0, or 1 where trials are missing or diverged."""
    whole = len(results.trials) == results.expected
    return COMPLETE if whole and not any(trial.diverged for trial in results.trials) else INCOMPLETE


def show(results: Results, report: Path) -> None:
    """Print a line for each activation, best first, and where the report is."""
    from triode.bakeoff.report import verdict
    from triode.bakeoff.report.verdict import plain
    from triode.bakeoff.stats import compare

    rows = []
    comparison = compare(_accuracies(results))
    for name in comparison.ranking:
        estimate = comparison.estimates[name]
        trials = [trial for trial in results.trials if trial.activation == name]
        low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
        interval = f"{low:.2%} to {high:.2%}" if len(trials) > 1 else "one seed: none"
        standing = (
            "best"
            if name == comparison.best
            else ("not told apart" if name in comparison.rivals else "worse")
        )
        rows.append((name, f"{estimate.mean:.2%}", interval, str(len(trials)), standing))
    table(("activation", "test accuracy", "95% interval", "seeds", "against the best"), rows, right=(1, 2, 3))
    paragraph(plain(verdict(results).headline))
    for trial in results.trials:
        if trial.diverged:
            paragraph(f"Diverged: {trial.activation}, seed {trial.seed}.")
    missing = results.expected - len(results.trials)
    if missing:
        paragraph(
            f"{missing} of {results.expected} trials are missing; start the same bake-off again to finish them."
        )
    paragraph(f"Report: {report}")


def data(results: Results, report: Path) -> dict[str, Any]:
    """Return what `--json` prints: a number for everything that `show` prints, and every trial."""
    from triode.bakeoff.report import verdict
    from triode.bakeoff.report.verdict import plain

    return {
        "verdict": plain(verdict(results).headline),
        "directory": str(results.directory),
        "report": str(report),
        "expected_trials": results.expected,
        "trials": [
            {
                "activation": trial.activation,
                "specification": trial.specification,
                "seed": trial.seed,
                "learning_rate": trial.learning_rate,
                "test_accuracy": trial.test_accuracy,
                "test_loss": trial.test_loss,
                "diverged": trial.diverged,
                "epochs": len([record for record in trial.epochs if record.epoch > 0]),
                "seconds": trial.seconds,
            }
            for trial in results.trials
        ],
        "environment": results.environment,
    }


def _accuracies(results: Results) -> dict[str, dict[int, float]]:
    matrix: dict[str, dict[int, float]] = {name: {} for name in results.activations}
    for trial in results.trials:
        matrix[trial.activation][trial.seed] = trial.test_accuracy
    return {name: row for name, row in matrix.items() if row}
