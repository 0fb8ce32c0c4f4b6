"""What `triode bakeoff` and `triode report` print about results: one table, or one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triode.cli._output import paragraph, table

if TYPE_CHECKING:
    from pathlib import Path

    from triode.bakeoff import Results
    from triode.bakeoff.report.summary import Arm, Summary

COMPLETE, INCOMPLETE = 0, 1


def status(results: Results) -> int:
    """Return 0, or 1 where trials are missing or diverged."""
    whole = len(results.trials) == results.expected
    return COMPLETE if whole and not any(trial.diverged for trial in results.trials) else INCOMPLETE


def show(results: Results, report: Path) -> None:
    """Print a line for each activation, best first, and where the report is."""
    from triode.bakeoff.report.summary import summarise
    from triode.bakeoff.report.verdict import judge
    from triode.bakeoff.report.words import interval, plain, rate, value

    summary, rows = summarise(results), []
    measure = summary.measure
    for arm in summary.ranked:
        if not arm.trials:
            continue
        e = arm.score
        between = interval(measure, e.low, e.high) if e.n > 1 else "one seed: none"
        chosen = arm.settings.get("learning_rate")
        rates = "–" if chosen is None else rate(chosen)
        rows.append(
            (
                arm.name,
                value(measure, e.mean),
                between,
                str(len(arm.trials)),
                rates,
                _standing(summary, arm.name),
            )
        )
    heads = (
        "activation",
        measure.name,
        "95% interval",
        "seeds",
        "learning rate",
        f"against {summary.baseline}",
    )
    table(heads, rows, right=(1, 2, 3, 4))
    verdict = judge(summary)
    paragraph(plain(verdict.headline))
    for line in (*verdict.wins, *verdict.losses, *verdict.failures):
        paragraph(plain(line))
    paragraph(f"Report: {report}")


def data(results: Results, report: Path) -> dict[str, Any]:
    """Return what `--json` prints: a number for everything that `show` prints, and every trial."""
    from triode.bakeoff.report.summary import summarise
    from triode.bakeoff.report.verdict import judge
    from triode.bakeoff.report.words import plain

    summary = summarise(results)
    verdict = judge(summary)
    return {
        "verdict": plain(verdict.headline),
        "wins": [plain(line) for line in verdict.wins],
        "ties": [plain(line) for line in verdict.ties],
        "losses": [plain(line) for line in verdict.losses],
        "failures": [plain(line) for line in verdict.failures],
        "caveats": [plain(line) for line in verdict.caveats],
        "directory": str(results.directory),
        "report": str(report),
        "measure": summary.measure.name,
        "baseline": summary.baseline,
        "expected_trials": results.expected,
        "activations": [_arm(summary, arm) for arm in summary.ranked],
        "trials": [
            {
                "activation": trial.activation,
                "specification": trial.specification,
                "seed": trial.seed,
                "learning_rate": trial.learning_rate,
                "tuned": trial.tuned,
                "test_accuracy": trial.test_accuracy,
                "test_loss": trial.test_loss,
                "diverged": trial.diverged,
                "epochs": len([record for record in trial.epochs if record.epoch > 0]),
                "seconds": trial.seconds,
                "peak_memory": trial.peak_memory,
                "road": trial.road,
            }
            for trial in results.trials
        ],
        "tuning_trials": len(results.tuning),
        "raised": results.failures,
        "environment": results.environment,
    }


def _arm(summary: Summary, arm: Arm) -> dict[str, Any]:
    return {
        "activation": arm.name,
        "mean": arm.score.mean,
        "low": arm.score.low,
        "high": arm.score.high,
        "interquartile_mean": arm.iqm.mean,
        "seeds": arm.score.n,
        "settings": arm.settings,
        "standing": _standing(summary, arm.name),
    }


def _standing(summary: Summary, name: str) -> str:
    if name == summary.baseline:
        return "baseline"
    words = {"win": "better", "tie": "not told apart", "loss": "worse", "untested": "not tested"}
    return words[summary.against.rival(name).standing]
