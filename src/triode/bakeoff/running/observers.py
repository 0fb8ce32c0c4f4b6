"""Whoever wants to hear of a bake-off as it goes on: a tracker, a table on the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.spec import Spec


class Observer(Protocol):
    """What is told of a bake-off. Each epoch of a trial is told once in a start, in order, before the trial's end.

    A trial that goes on from a checkpoint tells its earlier epochs again; one that an earlier start finished, nothing.
    """

    def begin(self, spec: Spec, trials: tuple[Trial, ...]) -> None:
        """Training is about to start; these trials are known to be wanted. What it raises ends the bake-off."""

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        """A trial has done an epoch (epoch 0: it is about to begin)."""

    def trial(self, trial: Trial, result: TrialResult) -> None:
        """A trial is finished."""

    def end(self, results: Results) -> None:
        """Nothing is left to do."""


class Observers:
    """Several observers as one; one that raises is told nothing more, for training goes on without it."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Who is told."""
        self._observers = list(observers)

    def begin(self, spec: Spec, trials: tuple[Trial, ...]) -> None:
        """Tell of the start; what an observer raises here goes through."""
        for observer in self._observers:
            observer.begin(spec, trials)

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        """Tell of an epoch."""
        self._tell(lambda observer: observer.epoch(trial, record))

    def trial(self, trial: Trial, result: TrialResult) -> None:
        """Tell of a result."""
        self._tell(lambda observer: observer.trial(trial, result))

    def end(self, results: Results) -> None:
        """Tell of the end."""
        self._tell(lambda observer: observer.end(results))

    def _tell(self, what: Callable[[Observer], None]) -> None:
        for observer in list(self._observers):
            try:
                what(observer)
            except Exception as error:  # noqa: BLE001 - a tracker's fault must not cost the training
                self._observers.remove(observer)
                warnings.warn(
                    f"{type(observer).__name__} raised {type(error).__name__}: {error}; it is told nothing more, and "
                    "the bake-off goes on.",
                    stacklevel=2,
                )
