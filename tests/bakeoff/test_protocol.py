"""Every activation gets the same budget, nothing but validation data chooses, and a restart is told the same points."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from triode.bakeoff.plan import Trial
from triode.bakeoff.protocol import TUNING_SEED, budget, chosen, expected_trials, wanted
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.spec import Spec


def asked(**values: Any) -> Spec:
    """A specification with three rates to try."""
    return Spec(**({"learning_rates": (3e-4, 1e-3, 3e-3)} | values))


def result(trial: Trial, accuracy: float = math.nan, loss: float = 1.0, **changes: Any) -> TrialResult:
    """A result whose last epoch has these validation figures, after a first that was better."""
    figures: dict[str, Any] = {"gradient_norm": (), "dead": (), "saturated": (), "mean": (), "spread": ()}
    epochs = tuple(
        EpochRecord(
            epoch=i, train_loss=1.0, train_accuracy=0.5, validation_loss=v, validation_accuracy=a, **figures
        )
        for i, (a, v) in enumerate([(0.99, 0.01), (accuracy, loss)])
    )
    values: dict[str, Any] = {
        "key": trial.key, "activation": trial.activation, "specification": trial.specification, "seed": trial.seed,
        "purpose": trial.purpose, "learning_rate": trial.setting.learning_rate, "tuned": {}, "parameters": 1,
        "layers": (), "sites": (), "units": (), "epochs": epochs, "test_loss": math.nan, "test_accuracy": math.nan,
        "diverged": False, "seconds": 1.0,
    }  # fmt: skip
    return TrialResult(**(values | changes))


def play(spec: Spec, judge: Any, most: int = 1000) -> list[Trial]:
    """Finish wanted trials one at a time until none is missing, in the order of their being asked for."""
    finished: dict[str, TrialResult] = {}
    order: list[Trial] = []
    for _ in range(most):
        missing = [t for t in wanted(spec, "data", finished) if t.key not in finished]
        if not missing:
            return order
        order.append(missing[0])
        finished[missing[0].key] = judge(missing[0])
    raise AssertionError("it never ends")


def test_the_chapters_protocol_trains_only_what_is_reported() -> None:
    spec = asked(protocol="chapter", seeds=2, learning_rate=0.02)
    trials = wanted(spec, "data", {})
    assert len(trials) == 14 == expected_trials(spec)
    assert {t.purpose for t in trials} == {"final"}
    assert {t.setting.learning_rate for t in trials} == {0.02}
    assert chosen(spec, "data", {}) == {}


def test_finals_wait_for_their_own_tuning_alone() -> None:
    spec = asked(activations=("relu", "tanh"), seeds=2, tuning_seeds=2)
    trials = wanted(spec, "data", {})
    assert Counter(t.activation for t in trials) == {"relu": 6, "tanh": 6}
    assert {t.purpose for t in trials} == {"tune"}
    assert {t.seed for t in trials} == {TUNING_SEED, TUNING_SEED + 1}
    done = {t.key: result(t, accuracy=0.5) for t in trials if t.activation == "tanh"}
    more = [t for t in wanted(spec, "data", done) if t.purpose == "final"]
    assert [(t.activation, t.seed) for t in more] == [("tanh", 0), ("tanh", 1)]


def test_the_last_validation_figure_chooses_not_the_best_one() -> None:
    spec = asked(activations=("relu",))
    scores = {3e-4: 0.6, 1e-3: 0.8, 3e-3: 0.7}
    order = play(spec, lambda t: result(t, accuracy=scores.get(t.setting.learning_rate, 0.0)))
    assert {t.setting.learning_rate for t in order if t.purpose == "final"} == {1e-3}
    assert len(order) == expected_trials(spec)


def test_losses_choose_where_there_are_no_classes() -> None:
    spec = asked(activations=("relu",), task="regression", dataset="data.csv")
    losses = {3e-4: 0.6, 1e-3: 0.8, 3e-3: 0.7}
    order = play(spec, lambda t: result(t, loss=losses[t.setting.learning_rate]))
    assert {t.setting.learning_rate for t in order if t.purpose == "final"} == {3e-4}


def test_seeds_of_a_point_are_averaged_and_ties_take_the_smaller_rate() -> None:
    spec = asked(activations=("relu",), tuning_seeds=2)

    def judge(trial: Trial) -> TrialResult:
        lucky = trial.setting.learning_rate == 3e-3 and trial.seed == TUNING_SEED
        return result(trial, accuracy=0.9 if lucky else 0.4 if trial.setting.learning_rate == 3e-3 else 0.7)

    order = play(spec, judge)
    assert {t.setting.learning_rate for t in order if t.purpose == "final"} == {3e-4}


def test_a_diverged_point_is_never_chosen_unless_all_diverged() -> None:
    spec = asked(activations=("relu",))

    def judge(trial: Trial) -> TrialResult:
        return result(trial, accuracy=0.9, diverged=trial.setting.learning_rate > 5e-4)

    assert {t.setting.learning_rate for t in play(spec, judge) if t.purpose == "final"} == {3e-4}
    every = play(spec, lambda t: result(t, accuracy=0.9, diverged=True))
    assert {t.setting.learning_rate for t in every if t.purpose == "final"} == {3e-4}


def test_trials_that_raise_do_not_hold_up_the_rest() -> None:
    spec = asked(activations=("relu",))
    trials = wanted(spec, "data", {})
    done = {t.key: result(t, accuracy=0.5) for t in trials[1:]}
    assert all(t.purpose == "tune" for t in wanted(spec, "data", done))
    finals = [t for t in wanted(spec, "data", done, failed=[trials[0].key]) if t.purpose == "final"]
    assert {t.setting.learning_rate for t in finals} == {1e-3}
    nothing = wanted(spec, "data", {}, failed=[t.key for t in trials])
    assert {t.purpose for t in nothing} == {"tune"}


def test_weight_decays_make_a_grid_of_two() -> None:
    spec = asked(activations=("relu",), weight_decays=(0.0, 0.1))
    assert budget(spec) == 6
    order = play(spec, lambda t: result(t, accuracy=t.setting.weight_decay - t.setting.learning_rate))
    assert {(t.setting.learning_rate, t.setting.weight_decay) for t in order if t.purpose == "final"} == {
        (3e-4, 0.1)
    }
    assert len({t.key for t in order}) == len(order)


def test_tuning_may_be_shorter_but_is_as_long_by_default() -> None:
    lengths = {
        t.purpose: t.epochs for t in play(asked(epochs=5, tuning_epochs=2), lambda t: result(t, accuracy=0.1))
    }
    assert lengths == {"tune": 2, "final": 5}
    assert {t.epochs for t in wanted(asked(epochs=5), "data", {})} == {5}


def test_optuna_gives_each_the_same_number_of_points_and_a_restart_the_same_ones() -> None:
    pytest.importorskip("optuna")
    spec = asked(activations=("relu", "tanh"), tuner="optuna", tuning_trials=7, seeds=1)

    def judge(trial: Trial) -> TrialResult:
        return result(trial, accuracy=-abs(math.log10(trial.setting.learning_rate / 8e-4)))

    order = play(spec, judge)
    assert Counter((t.activation, t.purpose) for t in order) == {
        ("relu", "tune"): 7, ("tanh", "tune"): 7, ("relu", "final"): 1, ("tanh", "final"): 1,
    }  # fmt: skip
    assert [t.key for t in play(spec, judge)] == [t.key for t in order]
    rates = [t.setting.learning_rate for t in order if t.activation == "relu" and t.purpose == "tune"]
    assert len(set(rates)) > 4
    assert all(3e-4 <= rate <= 3e-3 for rate in rates)
    best = min(rates, key=lambda rate: abs(math.log10(rate / 8e-4)))
    assert {t.setting.learning_rate for t in order if t.activation == "relu" and t.purpose == "final"} == {
        best
    }
