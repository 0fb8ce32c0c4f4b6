"""The verdict says real where a difference was planted, noise where none was, and what it cannot say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import TrialResult
from triode.bakeoff.report.verdict import Verdict, plain

HERE = Path("nowhere")


def said(verdict: Verdict) -> str:
    return plain(verdict.paragraph)


def test_a_planted_difference_is_real() -> None:
    levels = {"relu": 0.87, "gelu": 0.871, "sigmoid": 0.6}
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu", "sigmoid"), levels=levels, seeds=5))
    assert "sigmoid is worse than" in said(verdict)
    assert "relu is worse" not in said(verdict)
    assert "1 of 3 pairs shows no significant difference" in said(verdict)
    assert "cannot be told from it; sigmoid is worse." in plain(verdict.headline)


def test_planted_noise_is_noise() -> None:
    names = ("relu", "gelu", "swish", "tanh")
    verdict = report.verdict(made_up.results(HERE, names, levels=dict.fromkeys(names, 0.87), scatter=0.01))
    assert plain(verdict.headline) == "No significant difference at this budget."
    assert "Real:" not in said(verdict)
    assert "none of the 6 pairs shows a significant difference at this budget" in said(verdict)
    assert "With 3 seeds only large differences can show" in said(verdict)
    assert "“no significant difference” does not mean “equal”" in said(verdict)


def test_noise_is_called_real_at_most_as_often_as_promised() -> None:
    def shuffled(start: int) -> Verdict:
        # Other draws of the same noise: each trial's accuracy from a stream of its own.
        import numpy as np

        rng = np.random.default_rng(start)
        made = made_up.results(HERE, ("relu", "gelu", "swish"), epochs=1)
        trials = tuple(replace(t, test_accuracy=float(rng.normal(0.87, 0.003))) for t in made.trials)
        return report.verdict(replace(made, trials=trials))

    alarms = sum("Real:" in said(shuffled(start)) for start in range(200))
    assert alarms <= 20  # 5% of 200 is 10; more than 20 has a chance below 1 in 500


def test_a_clear_winner_is_named() -> None:
    levels = {"relu": 0.6, "gelu": 0.9, "tanh": 0.75}
    verdict = report.verdict(made_up.results(HERE, tuple(levels), levels=levels, seeds=5))
    assert plain(verdict.headline) == "gelu is better than every other activation tried here."
    assert "Every pair differs by more than chance explains." in said(verdict)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_shared_learning_rate_is_called_unfair(seeds: int) -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), seeds=seeds))
    assert any("same learning rate (0.001, adam)" in line and "unfair" in line for line in verdict.caveats)


def test_one_seed_proves_nothing() -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), seeds=1))
    assert plain(verdict.headline).startswith("One seed says nothing about differences")


def test_one_activation_is_not_compared() -> None:
    assert "nothing is compared" in said(report.verdict(made_up.results(HERE, ("relu",))))


def test_no_trial_yet() -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), change=lambda trial: None))
    assert plain(verdict.headline).startswith("No trial has finished yet")
    assert any("6 of 6 trials have no result yet" in line for line in verdict.failures)


def test_divergence_and_a_network_that_never_learned_are_said() -> None:
    def change(trial: TrialResult) -> TrialResult:
        if trial.activation == "tanh":
            return made_up.broken(trial)
        if trial.activation == "sigmoid":
            stuck = tuple(replace(record, train_loss=2.303) for record in trial.epochs)
            return replace(trial, epochs=stuck)
        return trial

    verdict = report.verdict(made_up.results(HERE, ("relu", "tanh", "sigmoid"), change=change))
    failures = [plain(line) for line in verdict.failures]
    assert any(
        line.startswith("tanh diverged") and "3 of 3 trials: seed 0, 1 and 2" in line for line in failures
    )
    assert any(
        line.startswith("sigmoid hardly learned: its training loss ended at 100%") for line in failures
    )
