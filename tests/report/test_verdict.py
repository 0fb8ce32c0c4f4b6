"""The verdict names planted winners, calls planted noise a tie, and says what it cannot say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import TrialResult
from triode.bakeoff.report.summary import summarise
from triode.bakeoff.report.verdict import Verdict
from triode.bakeoff.report.words import plain

HERE = Path("nowhere")


def said(verdict: Verdict) -> str:
    return plain(verdict.paragraph)


def plus(base: list[float], *gaps: float) -> list[float]:
    return [value + gap for value, gap in zip(base, gaps, strict=True)]


def scored(values: dict[str, list[float]], **settings: object) -> Verdict:
    """The verdict on these accuracies, seed by seed."""
    n = len(next(iter(values.values())))
    made = made_up.results(HERE, tuple(values), seeds=n, epochs=1, hidden=(8,), **settings)  # type: ignore[arg-type]
    trials = tuple(replace(t, test_accuracy=values[t.activation][t.seed]) for t in made.trials)
    return report.verdict(replace(made, trials=trials))


def test_planted_wins_ties_and_losses() -> None:
    base = [0.860, 0.866, 0.863, 0.869, 0.864]
    verdict = scored(
        {
            "relu": base,
            "gelu": plus(base, 0.010, 0.011, 0.009, 0.010, 0.010),
            "swish": plus(base, 0.004, -0.003, 0.002, -0.002, 0.001),
            "sigmoid": plus(base, -0.050, -0.049, -0.051, -0.050, -0.050),
        }
    )
    assert (
        plain(verdict.headline)
        == "gelu beats the baseline relu; sigmoid loses to it; one other cannot be told from it."
    )
    assert [plain(line).split()[0] for line in verdict.wins] == ["gelu"]
    assert "gelu is better than relu by 1.0 points (95% interval 0.91 to 1.1, corrected p < 0.001)" in said(
        verdict
    )
    assert "it wins 100% of all pairings of runs" in plain(verdict.wins[0])
    assert [plain(line).split(":")[0] for line in verdict.ties] == ["swish"]
    assert [plain(line).split()[0] for line in verdict.losses] == ["sigmoid"]
    assert "sigmoid is worse than relu by 5.0 points" in said(verdict)


def test_a_tie_says_how_many_more_seeds_would_tell() -> None:
    base = [0.860, 0.866, 0.863]
    verdict = scored({"relu": base, "gelu": plus(base, 0.006, 0.001, 0.004)})
    (line,) = verdict.ties
    assert plain(verdict.headline) == "No significant difference from relu at this budget."
    # The paired differences are 0.6, 0.1 and 0.4 points: mean 0.367, deviation 0.252; by the noncentral t distribution
    # 6 seeds find it with power 0.81 and 5 with 0.69.
    assert "no significant difference at this budget (0.37 points better" in plain(line)
    assert plain(line).endswith("about 3 more seeds would be needed to see a difference of 0.37 points.")


def test_equal_runs_are_a_tie_without_a_number_of_seeds() -> None:
    verdict = scored({"relu": [0.86, 0.87], "gelu": [0.86, 0.87]})
    assert (
        plain(verdict.ties[0])
        == "gelu: no significant difference at this budget; no difference was seen at all."
    )


def test_the_baseline_of_the_specification_is_the_one_compared_with() -> None:
    base = [0.860, 0.866, 0.863, 0.869]
    values = {"relu": base, "gelu": plus(base, 0.010, 0.011, 0.009, 0.010)}
    assert plain(scored(values, baseline="gelu").headline) == "relu loses to the baseline gelu."


def test_for_losses_smaller_is_better() -> None:
    levels = {"relu": 0.87, "gelu": 0.90, "sigmoid": 0.7}
    made = made_up.results(HERE, tuple(levels), levels=levels, seeds=5, task="regression")
    verdict = report.verdict(made)
    assert plain(verdict.headline) == "gelu beats the baseline relu; sigmoid loses to it."
    assert "gelu has the lowest mean test loss, 0.1" in said(verdict)
    assert "points" not in said(verdict)


def test_a_lead_over_the_survivors_alone_is_no_win() -> None:
    levels = {"relu": 0.87, "gelu": 0.93}
    made = made_up.results(
        HERE, tuple(levels), levels=levels, seeds=6, task="regression",
        change=lambda t: made_up.broken(t) if (t.activation, t.seed) == ("gelu", 5) else t,
    )  # fmt: skip
    verdict = report.verdict(made)
    assert not verdict.wins
    assert "it leads where both survived, but it diverged on seed 5." in plain(verdict.ties[0])
    assert "It is better than" not in said(verdict)
    assert "none of its leads proves it better: it diverged more often" in said(verdict)
    assert any("has no loss to count" in line for line in verdict.failures)


def test_a_baseline_that_leads_where_it_survived_is_the_one_named() -> None:
    levels = {"relu": 0.93, "gelu": 0.87}
    lost = {("relu", 4), ("relu", 5), ("gelu", 4)}
    made = made_up.results(
        HERE, tuple(levels), levels=levels, seeds=7, task="regression",
        change=lambda t: made_up.broken(t) if (t.activation, t.seed) in lost else t,
    )  # fmt: skip
    verdict = report.verdict(made)
    assert not verdict.losses
    assert plain(verdict.ties[0]) == (
        "gelu: no significant difference at this budget: relu leads where both survived, but relu diverged on seeds 4 "
        "and 5, gelu only on seed 4."
    )


def test_seeds_that_diverged_are_not_called_missing() -> None:
    made = made_up.results(
        HERE, ("relu", "gelu", "tanh"), task="regression",
        change=lambda t: made_up.broken(t) if t.activation == "gelu" and t.seed else t,
    )  # fmt: skip
    assert "gelu is not tested: fewer than two seeds with a test loss in common with relu." in said(
        report.verdict(made)
    )


def test_noise_is_called_real_at_most_as_often_as_promised() -> None:
    made = made_up.results(HERE, ("relu", "gelu", "swish"), epochs=1, hidden=(8,))

    def shuffled(start: int) -> Verdict:
        rng = np.random.default_rng(start)  # other draws of the same noise
        trials = tuple(replace(t, test_accuracy=float(rng.normal(0.87, 0.003))) for t in made.trials)
        return report.verdict(replace(made, trials=trials))

    verdicts = [shuffled(start) for start in range(200)]
    assert (
        sum(bool(v.wins or v.losses) for v in verdicts) <= 20
    )  # 5% is 10; more than 20 has a chance below 1 in 500


def test_a_clear_winner_is_named() -> None:
    levels = {"relu": 0.6, "gelu": 0.9, "tanh": 0.75}
    verdict = report.verdict(made_up.results(HERE, tuple(levels), levels=levels, seeds=5))
    assert plain(verdict.headline) == "gelu and tanh beat the baseline relu."
    assert "It is better than every other activation tried here, corrected for all pairs." in said(verdict)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_chapter_protocol_is_called_unfair_and_why(seeds: int) -> None:
    made = made_up.results(HERE, ("relu", "gelu"), seeds=seeds, protocol="chapter", initialisation="pytorch")
    (line, paired, _) = report.verdict(made).caveats
    assert "the same batches in the same order" in paired
    assert line.startswith("This protocol is unfair")
    for why in (
        "one learning rate (0.001, adam)",
        "initial weights are of one kind for all (pytorch)",
        "nothing was tuned",
    ):
        assert why in line


def test_the_tuned_protocol_says_its_budget() -> None:
    made = made_up.results(HERE, ("relu", "gelu"), learning_rates=(1e-4, 1e-3, 1e-2), tuning_seeds=2, seeds=4)
    line = report.verdict(made).caveats[0]
    assert "every activation was tried at 3 learning rates (0.0001, 0.001, 0.01), with 2 seeds each" in line
    assert (
        "on validation data alone, then trained afresh with 4 other seeds; the test set was touched once"
        in line
    )
    assert "unfair" not in " ".join(report.verdict(made).caveats)
    assert "nor another outcome of the tuning" in report.verdict(made).caveats[-1]


def test_what_an_equal_budget_leaves_unequal_is_said() -> None:
    def lines(**settings: object) -> str:
        made = made_up.results(HERE, ("relu", "gelu"), epochs=4, **settings)  # type: ignore[arg-type]
        return " ".join(report.verdict(made).caveats)

    assert "equal in points and epochs, not in time" in lines()
    assert "With one tuning seed at each point" in lines()
    assert "may be luck" not in lines(tuning_seeds=3)
    short = lines(tuning_epochs=2)
    assert "2 epochs long instead of 4" in short
    assert "favour rates that are quick at first" in short
    assert "quick at first" not in lines()
    drawn = lines(tuner="optuna", weight_decays=(0.001, 0.1))
    assert "8 learning rates between 0.0003 and 0.003, drawn by Optuna together with a weight decay" in drawn
    assert "not in time" not in lines(protocol="chapter")


def test_tuning_that_is_not_complete_is_called_unequal() -> None:
    made = made_up.results(HERE, ("relu", "gelu"), learning_rates=(1e-4, 1e-3, 1e-2))
    short = replace(made, tuning=made.tuning[:-1])
    assert any(
        "Unequal so far: gelu finished fewer than the 3" in plain(line)
        for line in report.verdict(short).caveats
    )


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1e-2, "the largest that was tried (0.01). A larger one"),
        (1e-4, "the smallest that was tried (0.0001). A smaller"),
    ],
)
def test_a_rate_at_the_edge_of_its_grid_is_warned_of(rate: float, words: str) -> None:
    def change(trial: TrialResult) -> TrialResult:
        return (
            replace(trial, learning_rate=rate, tuned={"learning_rate": rate})
            if trial.activation == "gelu"
            else trial
        )

    made = made_up.results(HERE, ("relu", "gelu"), learning_rates=(1e-4, 1e-3, 1e-2), change=change)
    warnings = [plain(line) for line in report.verdict(made).failures]
    assert any(
        line.startswith("Edge of the grid: the rate chosen for gelu lies at") and words in line
        for line in warnings
    )
    assert not any("relu" in line.replace("gelu", "") for line in warnings)


def test_one_rate_is_no_tuning() -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), learning_rates=(1e-3,)))
    assert any(
        "Only one learning rate was tried (0.001), so nothing was tuned" in line for line in verdict.failures
    )


def test_one_rate_with_several_weight_decays_is_tuning() -> None:
    made = made_up.results(HERE, ("relu", "gelu"), learning_rates=(1e-3,))
    made = replace(made, spec=replace(made.spec, weight_decays=(0.0, 0.01)))
    assert any("so the rate was not tuned" in line for line in report.verdict(made).failures)


def test_one_seed_proves_nothing() -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), seeds=1))
    assert plain(verdict.headline).startswith("One seed says nothing about differences")
    assert (verdict.wins, verdict.ties, verdict.losses) == ((), (), ())


def test_one_activation_is_not_compared() -> None:
    assert "nothing is compared" in said(report.verdict(made_up.results(HERE, ("relu",))))


def test_no_trial_yet() -> None:
    verdict = report.verdict(made_up.results(HERE, ("relu", "gelu"), change=lambda trial: None))
    assert plain(verdict.headline).startswith("No trial has finished yet")
    assert any("6 of 6 trials have no result yet" in line for line in verdict.failures)


def test_a_baseline_without_results_is_said() -> None:
    made = made_up.results(
        HERE, ("relu", "gelu", "tanh"), change=lambda t: None if t.activation == "relu" else t
    )
    assert plain(report.verdict(made).headline).startswith("No activation shares two seeds with relu")
    assert summarise(made).ranked[-1].name == "relu"


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
