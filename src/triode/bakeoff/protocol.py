"""Which trials a bake-off needs: a pure function of the specification and of the results so far.

Under the protocol `tuned` every activation gets the same budget: the same number of tuning trials, with seeds of their
own, each judged by its last validation figure; its best setting is then trained anew with the seeds that are reported.
Nothing here is remembered between two calls, so a bake-off that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import product

from triode.bakeoff.contestants import Contestant
from triode.bakeoff.plan import Trial, make_trial
from triode.bakeoff.records import MEASURES, TrialResult
from triode.bakeoff.spec import Spec
from triode.errors import MissingExtra

TUNING_SEED = 1_000_000
"""The first seed of tuning: no final trial has it."""
Choice = dict[str, float]
"""A point of the search: `learning_rate`, and `weight_decay` where several are tried."""


def wanted(
    spec: Spec, fingerprint: str, finished: Mapping[str, TrialResult], failed: Collection[str] = ()
) -> tuple[Trial, ...]:
    """Every trial known to be wanted so far, finished or not, tuning first; ask again as results arrive.

    Args:
        spec: What is compared.
        fingerprint: Of the data.
        finished: The results so far, by key; others than this bake-off's do no harm.
        failed: Keys of trials that raised and will not be tried again.

    An activation's final trials appear when its tuning is complete. Where every tuning trial of an activation failed,
    it has no final ones.
    """
    tuning: list[Trial] = []
    final: list[Trial] = []
    for who in spec.contestants:
        if spec.protocol == "chapter":
            final += finals(spec, who, fingerprint, {})
            continue
        trials, best = _tuned(spec, who, fingerprint, finished, failed)
        tuning += trials
        if best is not None:
            final += finals(spec, who, fingerprint, best)
    return (*tuning, *final)


def chosen(spec: Spec, fingerprint: str, finished: Mapping[str, TrialResult]) -> dict[str, Choice]:
    """What tuning chose for each activation whose tuning is complete; empty under the protocol `chapter`."""
    if spec.protocol == "chapter":
        return {}
    found = {who.name: _tuned(spec, who, fingerprint, finished, ())[1] for who in spec.contestants}
    return {name: best for name, best in found.items() if best is not None}


def finals(spec: Spec, who: Contestant, fingerprint: str, choice: Choice) -> list[Trial]:
    """The trials that are reported: seeds 0 to N - 1 at the chosen point."""
    alone = spec.alone(**choice)
    return [make_trial(who, seed, "final", fingerprint, alone) for seed in range(spec.seeds)]


def budget(spec: Spec) -> int:
    """Number of points at which each activation is tried in tuning."""
    if spec.protocol == "chapter":
        return 0
    return spec.tuning_trials if spec.tuner == "optuna" else len(_grid(spec))


def expected_trials(spec: Spec) -> int:
    """Number of trials in all, those of tuning included."""
    return len(spec.activations) * (budget(spec) * spec.tuning_seeds + spec.seeds)


def _tuned(
    spec: Spec,
    who: Contestant,
    fingerprint: str,
    finished: Mapping[str, TrialResult],
    failed: Collection[str],
) -> tuple[list[Trial], Choice | None]:
    """The tuning trials of one activation so far, and its best point once all are there."""
    trials: list[Trial] = []
    scores: list[tuple[float, Choice]] = []
    for number in range(budget(spec)):
        choice = _point(spec, who.name, number, tuple(score for score, _ in scores))
        here = [_tuning_trial(spec, who, fingerprint, choice, i) for i in range(spec.tuning_seeds)]
        trials += here
        results = [finished.get(trial.key) for trial in here]
        over = all(r is not None or t.key in failed for r, t in zip(results, here, strict=True))
        if over:
            scores.append((_score(spec, [r for r in results if r is not None]), choice))
        elif spec.tuner == "optuna":
            return trials, None  # the next point depends on this one
    if len(scores) < budget(spec) or all(score == -math.inf for score, _ in scores):
        # Where every point diverged the smallest rate is the one to report; where all raised there is none.
        diverged = [trial for trial in trials if trial.key in finished]
        complete = len(scores) == budget(spec) and bool(diverged)
        return trials, min((c for _, c in scores), key=lambda c: c["learning_rate"]) if complete else None
    best = max(score for score, _ in scores)
    # Equal figures: the smaller rate is the safer one.
    return trials, min((c for score, c in scores if score == best), key=lambda c: c["learning_rate"])


def _tuning_trial(spec: Spec, who: Contestant, fingerprint: str, choice: Choice, number: int) -> Trial:
    alone = spec.alone(**choice, epochs=spec.tuning_epochs or spec.epochs)
    return make_trial(who, TUNING_SEED + number, "tune", fingerprint, alone)


def _score(spec: Spec, results: list[TrialResult]) -> float:
    """How good a point is, larger is better: the mean over its seeds of the last validation figure."""
    if not results or any(result.diverged for result in results):
        return -math.inf
    measure = MEASURES["classification" if spec.task == "auto" else spec.task]
    figures = [float(getattr(result.epochs[-1], measure.validation_field)) for result in results]
    mean = math.fsum(figures) / len(figures)
    if not math.isfinite(mean):
        return -math.inf
    return mean if measure.larger_is_better else -mean


def _grid(spec: Spec) -> list[Choice]:
    if not spec.weight_decays:
        return [{"learning_rate": rate} for rate in spec.learning_rates]
    pairs = product(spec.learning_rates, spec.weight_decays)
    return [{"learning_rate": rate, "weight_decay": decay} for rate, decay in pairs]


def _point(spec: Spec, name: str, number: int, scores: tuple[float, ...]) -> Choice:
    if spec.tuner == "grid":
        return _grid(spec)[number]
    spaces = [("learning_rate", min(spec.learning_rates), max(spec.learning_rates))]
    if spec.weight_decays:
        spaces.append(("weight_decay", min(spec.weight_decays), max(spec.weight_decays)))
    return dict(_suggested(name, tuple(spaces), scores))


@lru_cache(maxsize=4096)
def _suggested(
    name: str, spaces: tuple[tuple[str, float, float], ...], scores: tuple[float, ...]
) -> tuple[tuple[str, float], ...]:
    """The next point of a seeded tree-structured Parzen estimator that was told these scores, in this order.

    Told again from the start each time, so that a bake-off that was killed is given the same points.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("Optuna", "tuner optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
    )
    for score in (*scores, None):
        trial = study.ask()
        point = []
        for parameter, low, high in spaces:
            value = trial.suggest_float(parameter, low, high, log=low > 0)
            point.append((parameter, float(f"{value:.3g}")))
        if score is None:
            return tuple(point)
        study.tell(trial, max(score, -1e6))
    raise AssertionError("unreachable: the last score is None")
