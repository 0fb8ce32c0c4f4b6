"""What the report says about each activation: its trials gathered into one row of figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from triode.bakeoff.records import Measure, Results, TrialResult
from triode.bakeoff.report.curves import Read, ReadMany, Spot, median, spot, weighted
from triode.bakeoff.stats import (
    Against,
    Comparison,
    Estimate,
    TargetTime,
    against,
    compare,
    iqm_interval,
    mean_interval,
    median_time,
    time_to_target,
)

TARGET_SHARE = 0.9
"""Where no target is given: the share of the baseline's way, from the untrained network to its best epoch."""


@dataclass(frozen=True)
class Arm:
    """One activation and all its trials."""

    name: str
    trials: tuple[TrialResult, ...]
    missing: tuple[int, ...]
    """Seeds that were asked for and have no result."""
    measure: Measure
    tuning: tuple[TrialResult, ...] = ()

    @property
    def specification(self) -> str:
        """Text from which the activation is rebuilt; its name where it has no trial."""
        return self.trials[0].specification if self.trials else self.name

    @property
    def parameters(self) -> int | None:
        """Number of trained parameters, or None without a trial."""
        return self.trials[0].parameters if self.trials else None

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates of the trials: one, except in results put together by hand."""
        return tuple(sorted({trial.learning_rate for trial in self.trials}))

    @property
    def settings(self) -> dict[str, float]:
        """What tuning chose, or the learning rate that all share; empty without a trial."""
        if not self.trials:
            return {}
        return self.trials[0].tuned or {"learning_rate": self.trials[0].learning_rate}

    @property
    def diverged(self) -> tuple[int, ...]:
        """Seeds whose loss stopped being a finite number."""
        return tuple(trial.seed for trial in self.trials if trial.diverged)

    @property
    def peak_memory(self) -> int:
        """Largest resident memory of the processes that trained it, in bytes; 0 where unknown."""
        return max((trial.peak_memory for trial in self.trials), default=0)

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the learned parameters of the activation."""
        names = (name for trial in self.trials for record in trial.epochs for name in record.learned)
        return tuple(dict.fromkeys(names))

    @cached_property
    def values(self) -> dict[int, float]:
        """Seed -> the measure of its trial, nan where the trial diverged without one."""
        return {trial.seed: float(getattr(trial, self.measure.field)) for trial in self.trials}

    @cached_property
    def score(self) -> Estimate:
        """The measure over seeds; a diverged trial counts with the accuracy that it ended with.

        Student's interval knows nothing of shares or losses, so it is cut where none can be.
        """
        e = mean_interval(list(self.values.values()))
        if e.n < 2:
            return e
        return Estimate(e.mean, max(e.low, 0.0), min(e.high, 1.0) if self.measure.percent else e.high, e.n)

    @cached_property
    def iqm(self) -> Estimate:
        """Interquartile mean of the measure, with its bootstrap interval."""
        return iqm_interval(list(self.values.values()))

    @cached_property
    def loss(self) -> Estimate:
        """Test loss over the seeds where it is finite."""
        return mean_interval([trial.test_loss for trial in self.trials])

    @cached_property
    def best_epoch(self) -> Estimate:
        """Epochs of training until the best validation figure was first reached."""
        return mean_interval([best_epoch(trial, self.measure) for trial in self.trials])

    @cached_property
    def epoch_seconds(self) -> Estimate:
        """Seconds for the training steps of one epoch: each seed's median over its epochs, then over seeds."""
        return mean_interval([epoch_seconds(trial) for trial in self.trials])

    def curve(self, measure: Read, start: int = 0) -> tuple[Spot, ...]:
        """`measure` at every epoch from `start`."""
        found: dict[int, list[float]] = {}
        for trial in self.trials:
            for record in trial.epochs:
                if record.epoch >= start:
                    found.setdefault(record.epoch, []).append(measure(record))
        spots = [spot(epoch, found[epoch]) for epoch in sorted(found)]
        return tuple(s for s in spots if s.n)

    def profile(self, measure: ReadMany, epoch: int) -> tuple[Spot, ...]:
        """`measure` layer by layer (1 is next to the input) at one epoch."""
        records = [record for trial in self.trials for record in trial.epochs if record.epoch == epoch]
        layers = max((len(measure(record)) for record in records), default=0)
        spots = [spot(i + 1, (measure(r)[i] for r in records if i < len(measure(r)))) for i in range(layers)]
        return tuple(s for s in spots if s.n)

    def overall(self, measure: ReadMany) -> Read:
        """`measure` over all units of the network, each site counting with its width."""
        units = self.trials[0].units if self.trials else ()
        return lambda record: weighted(measure(record), units)

    def last_share(self, measure: ReadMany) -> float:
        """Share over all units after each trial's last epoch, mean over seeds."""
        shares = [weighted(measure(trial.epochs[-1]), trial.units) for trial in self.trials if trial.epochs]
        return mean_interval(shares).mean

    def tried(self) -> tuple[Spot, ...]:
        """For each learning rate tried in tuning the last validation figure; without those that diverged."""
        rates = sorted({trial.learning_rate for trial in self.tuning})
        spots = [
            spot(
                rate,
                (
                    float(getattr(trial.epochs[-1], self.measure.validation_field))
                    for trial in self.tuning
                    if trial.learning_rate == rate and trial.epochs and not trial.diverged
                ),
            )
            for rate in rates
        ]
        return tuple(s for s in spots if s.n)


@dataclass(frozen=True)
class Summary:
    """The whole bake-off as the report tells it: activations in the order of the specification, and their ranking."""

    results: Results
    arms: tuple[Arm, ...]

    @property
    def measure(self) -> Measure:
        """What the trials are judged by."""
        return self.results.measure

    @property
    def matrix(self) -> dict[str, dict[int, float]]:
        """The measure of every trial."""
        return {arm.name: arm.values for arm in self.arms}

    @cached_property
    def comparison(self) -> Comparison:
        """Every pair of activations on the seeds both have, Holm-corrected over all pairs."""
        return compare(self.matrix, larger_is_better=self.measure.larger_is_better)

    @property
    def baseline(self) -> str:
        """The activation that the others are held against."""
        names = [arm.name for arm in self.arms]
        wanted = self.results.spec.baseline
        return wanted if wanted in names else names[0]

    @cached_property
    def against(self) -> Against:
        """Every activation against the baseline on the seeds both have, Holm-corrected over these comparisons."""
        return against(self.matrix, self.baseline, self.measure.larger_is_better)

    @property
    def ranked(self) -> tuple[Arm, ...]:
        """The activations, best mean first."""
        arms = {arm.name: arm for arm in self.arms}
        return tuple(arms[name] for name in self.comparison.ranking)

    def arm(self, name: str) -> Arm:
        """The activation of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    @cached_property
    def target(self) -> float:
        """The validation figure whose first reaching is timed; nan where there is none to be had.

        Where the specification gives none: at nine tenths of the way from the untrained network to the best epoch of
        the baseline's middle seed.
        """
        if self.results.spec.target > 0:
            return self.results.spec.target
        ways = []
        for trial in self.arm(self.baseline).trials:
            figures = [float(getattr(record, self.measure.validation_field)) for record in trial.epochs]
            figures = [figure for figure in figures if math.isfinite(figure)]
            if len(figures) > 1:
                best = max(figures) if self.measure.larger_is_better else min(figures)
                ways.append(figures[0] + TARGET_SHARE * (best - figures[0]))
        return median(ways)

    def times(self, arm: Arm) -> dict[int, float]:
        """Seed -> epoch in which the target was first reached, inf for never."""
        field, larger = self.measure.validation_field, self.measure.larger_is_better
        return {
            trial.seed: time_to_target(
                [float(getattr(record, field)) for record in trial.epochs],
                [float(record.epoch) for record in trial.epochs],
                self.target,
                larger,
            )
            for trial in arm.trials
        }

    def time(self, arm: Arm) -> TargetTime:
        """Over seeds, the epoch in which the target was first reached."""
        return median_time(list(self.times(arm).values()))

    @property
    def first_epoch(self) -> int:
        """The first epoch with gradients: 1, where there is any."""
        return min((e for e in self._epochs if e > 0), default=0)

    @property
    def last_epoch(self) -> int:
        """The last epoch that any trial reached."""
        return max(self._epochs, default=0)

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the places where the activation stands."""
        return max((t.sites for arm in self.arms for t in arm.trials), key=len, default=())

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with weights."""
        return max((t.layers for arm in self.arms for t in arm.trials), key=len, default=())

    @property
    def roads(self) -> tuple[str, ...]:
        """The ways in which trials were trained: alone, or as one with others."""
        return tuple(dict.fromkeys(t.road for arm in self.arms for t in (*arm.trials, *arm.tuning)))

    @property
    def peak_memory(self) -> int:
        """Largest resident memory of any process that trained, in bytes; 0 where unknown."""
        trials = (t for arm in self.arms for t in (*arm.trials, *arm.tuning))
        return max((trial.peak_memory for trial in trials), default=0)

    @cached_property
    def _epochs(self) -> list[int]:
        return [record.epoch for arm in self.arms for trial in arm.trials for record in trial.epochs]


def summarise(results: Results) -> Summary:
    """Gather the trials of `results` by activation, and note which are missing."""
    arms = []
    for name in results.activations:
        trials = _own(results.trials, name)
        done = {trial.seed for trial in trials}
        missing = tuple(seed for seed in range(results.spec.seeds) if seed not in done)
        arms.append(Arm(name, trials, missing, results.measure, _own(results.tuning, name)))
    return Summary(results, tuple(arms))


def best_epoch(trial: TrialResult, measure: Measure) -> float:
    """The first epoch of training with the trial's best validation figure; nan without a trained epoch."""
    sign = 1.0 if measure.larger_is_better else -1.0
    trained = [
        (sign * float(getattr(r, measure.validation_field)), -r.epoch) for r in trial.epochs if r.epoch > 0
    ]
    finite = [pair for pair in trained if math.isfinite(pair[0])]
    return float(-max(finite)[1]) if finite else math.nan


def epoch_seconds(trial: TrialResult) -> float:
    """The median over epochs of the seconds of the training steps; one slow epoch does not move it."""
    return median([record.seconds for record in trial.epochs if record.epoch > 0])


def _own(trials: Iterable[TrialResult], name: str) -> tuple[TrialResult, ...]:
    return tuple(sorted((t for t in trials if t.activation == name), key=lambda t: t.seed))
