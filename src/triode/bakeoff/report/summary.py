"""What the report says about each activation: its trials gathered into one row of figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.stats import Comparison, Estimate, compare, mean_interval

Measure = Callable[[EpochRecord], float]
"""Reads one number from the record of an epoch."""


@dataclass(frozen=True)
class Spot:
    """One point of a curve: the mean over the seeds that have a finite value there, and the range of those seeds."""

    x: float
    y: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Arm:
    """One activation and all its trials."""

    name: str
    trials: tuple[TrialResult, ...]
    missing: tuple[int, ...]
    """Seeds that were asked for and have no result."""

    @property
    def specification(self) -> str:
        """Text from which the activation is rebuilt; its name where it has no trial."""
        return self.trials[0].specification if self.trials else self.name

    @property
    def parameters(self) -> int | None:
        """Number of trained parameters, or None without a trial."""
        return self.trials[0].parameters if self.trials else None

    @property
    def diverged(self) -> tuple[int, ...]:
        """Seeds whose loss stopped being a finite number."""
        return tuple(trial.seed for trial in self.trials if trial.diverged)

    @cached_property
    def accuracy(self) -> Estimate:
        """Test accuracy over seeds; a diverged trial counts with the accuracy it ended with.

        Student's interval knows nothing of shares, so it is cut where no accuracy can be.
        """
        e = mean_interval([trial.test_accuracy for trial in self.trials])
        if e.n < 2:
            return e
        return Estimate(e.mean, max(e.low, 0.0), min(e.high, 1.0), e.n)

    @cached_property
    def loss(self) -> Estimate:
        """Test loss over the seeds where it is finite."""
        return mean_interval([trial.test_loss for trial in self.trials])

    @cached_property
    def best_epoch(self) -> Estimate:
        """Epochs of training until the highest validation accuracy was first reached."""
        return mean_interval([best_epoch(trial) for trial in self.trials])

    @cached_property
    def epoch_seconds(self) -> Estimate:
        """Seconds for the training steps of one epoch: each seed's median over its epochs, then over seeds."""
        return mean_interval([epoch_seconds(trial) for trial in self.trials])

    def curve(self, measure: Measure, start: int = 0) -> tuple[Spot, ...]:
        """`measure` at every epoch from `start`."""
        epochs = sorted(
            {record.epoch for trial in self.trials for record in trial.epochs if record.epoch >= start}
        )
        spots = [
            spot(epoch, (measure(r) for trial in self.trials for r in trial.epochs if r.epoch == epoch))
            for epoch in epochs
        ]
        return tuple(s for s in spots if s.n)

    def profile(self, measure: Callable[[EpochRecord], Sequence[float]], epoch: int) -> tuple[Spot, ...]:
        """`measure` layer by layer (1 is next to the input) at one epoch."""
        records = [record for trial in self.trials for record in trial.epochs if record.epoch == epoch]
        layers = max((len(measure(record)) for record in records), default=0)
        spots = [spot(i + 1, (measure(r)[i] for r in records if i < len(measure(r)))) for i in range(layers)]
        return tuple(s for s in spots if s.n)

    def last_share(self, measure: Callable[[EpochRecord], Sequence[float]], widths: Sequence[int]) -> float:
        """Share over the units of all hidden layers after each trial's last epoch, mean over seeds."""
        shares = [weighted(measure(trial.epochs[-1]), widths) for trial in self.trials if trial.epochs]
        return mean_interval(shares).mean


@dataclass(frozen=True)
class Summary:
    """The whole bake-off as the report tells it: activations in the order of the specification, and their ranking."""

    results: Results
    arms: tuple[Arm, ...]

    @cached_property
    def comparison(self) -> Comparison:
        """Test accuracy, every pair of activations on the seeds both have, Holm-corrected."""
        return compare({arm.name: {t.seed: t.test_accuracy for t in arm.trials} for arm in self.arms})

    @property
    def ranked(self) -> tuple[Arm, ...]:
        """The activations, best mean test accuracy first."""
        arms = {arm.name: arm for arm in self.arms}
        return tuple(arms[name] for name in self.comparison.ranking)

    @property
    def first_epoch(self) -> int:
        """The first epoch with gradients: 1, where there is any."""
        return min((e for e in self._epochs if e > 0), default=0)

    @property
    def last_epoch(self) -> int:
        """The last epoch that any trial reached."""
        return max(self._epochs, default=0)

    @property
    def hidden_layers(self) -> int:
        """Number of hidden layers measured."""
        return max((len(r.dead) for r in self._records), default=0)

    @property
    def weight_layers(self) -> int:
        """Number of layers with weights: the hidden ones and the output."""
        return max((len(r.gradient_norm) for r in self._records), default=0)

    @property
    def _records(self) -> list[EpochRecord]:
        return [record for arm in self.arms for trial in arm.trials for record in trial.epochs]

    @cached_property
    def _epochs(self) -> list[int]:
        return [record.epoch for record in self._records]


def summarise(results: Results) -> Summary:
    """Gather the trials of `results` by activation, and note which are missing."""
    arms = []
    for name in results.activations:
        trials = tuple(sorted((t for t in results.trials if t.activation == name), key=lambda t: t.seed))
        done = {trial.seed for trial in trials}
        arms.append(Arm(name, trials, tuple(seed for seed in range(results.spec.seeds) if seed not in done)))
    return Summary(results, tuple(arms))


def spot(x: float, values: Iterable[float]) -> Spot:
    """The mean and range of the finite `values` at `x`."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Spot(x, math.nan, math.nan, math.nan, 0)
    return Spot(x, math.fsum(finite) / len(finite), min(finite), max(finite), len(finite))


def best_epoch(trial: TrialResult) -> float:
    """The first epoch of training with the trial's highest validation accuracy; nan without a trained epoch."""
    trained = [record for record in trial.epochs if record.epoch > 0]
    if not trained:
        return math.nan
    return float(max(trained, key=lambda record: (record.validation_accuracy, -record.epoch)).epoch)


def epoch_seconds(trial: TrialResult) -> float:
    """The median over epochs of the seconds of the training steps; one slow epoch does not move it."""
    seconds = sorted(record.seconds for record in trial.epochs if record.epoch > 0)
    if not seconds:
        return math.nan
    middle = len(seconds) // 2
    return seconds[middle] if len(seconds) % 2 else (seconds[middle - 1] + seconds[middle]) / 2


def weighted(shares: Sequence[float], widths: Sequence[int]) -> float:
    """The share over all units, from the share of each layer and its width."""
    if not shares:
        return math.nan
    if len(widths) != len(shares):
        widths = [1] * len(shares)
    return sum(share * width for share, width in zip(shares, widths, strict=True)) / sum(widths)
