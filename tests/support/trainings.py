"""Trainings that compute nothing, so that what surrounds a training can be tested by itself, quickly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.running.worker import run_task
from triode.bakeoff.spec import Spec

Hook = Callable[[tuple[Trial, ...], int], None]


class Pretended:
    """Numbers that depend on the trial and on every epoch before, as those of a real training do."""

    def __init__(self, trials: Sequence[Trial], before_epoch: Hook = lambda trials, epoch: None) -> None:
        self.trials = tuple(trials)
        self.before_epoch = before_epoch
        self.numbers: npt.NDArray[np.int64] = np.array([int(t.key[:7], 16) for t in trials])
        self.done = 0

    @property
    def diverged(self) -> tuple[bool, ...]:
        return tuple(bool(number < 0) for number in self.numbers)

    def begin(self) -> tuple[EpochRecord, ...]:
        return tuple(self._record(number) for number in self.numbers)

    def epoch(self) -> tuple[EpochRecord | None, ...]:
        self.done += 1
        self.before_epoch(self.trials, self.done)
        going = [not over for over in self.diverged]
        self.numbers = (self.numbers * 1_103_515_245 + 12_345) % 2**31
        for i, trial in enumerate(self.trials):
            if trial.setting.learning_rate >= 1:
                self.numbers[i] = -1
        return tuple(self._record(n) if g else None for n, g in zip(self.numbers, going, strict=True))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {"numbers": self.numbers, "done": np.array(self.done)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        if state["numbers"].shape != self.numbers.shape:
            raise ValueError("the state of others")
        self.numbers, self.done = state["numbers"].copy(), int(state["done"])

    def finish(self, epochs: tuple[tuple[EpochRecord, ...], ...], seconds: float) -> tuple[TrialResult, ...]:
        with_others = f"stacked with {len(self.trials) - 1} others" if len(self.trials) > 1 else "alone"
        return tuple(
            TrialResult(
                key=trial.key,
                activation=trial.activation,
                specification=trial.specification,
                seed=trial.seed,
                purpose=trial.purpose,
                learning_rate=trial.setting.learning_rate,
                tuned={},
                parameters=7,
                layers=("first",),
                sites=("only",),
                units=(3,),
                epochs=records,
                test_loss=math.nan if trial.purpose == "tune" else 0.5,
                test_accuracy=math.nan if trial.purpose == "tune" else float(number) / 2**31,
                diverged=over,
                seconds=seconds,
                road=with_others,
            )
            for trial, records, number, over in zip(
                self.trials, epochs, self.numbers, self.diverged, strict=True
            )
        )

    def _record(self, number: int) -> EpochRecord:
        value = math.nan if number < 0 else float(number) / 2**31
        return EpochRecord(self.done, value, value, value, value, (value,), (0.0,), (0.0,), (value,), (1.0,))


class Pretending(Executor):
    """Runs tasks at once, in this process, with trainings that compute nothing; keeps the trials of each."""

    jobs = 2

    def __init__(self, before_epoch: Hook = lambda trials, epoch: None) -> None:
        self.before_epoch = before_epoch
        self.groups: list[list[dict[str, Any]]] = []

    @property
    def trained(self) -> list[tuple[str, int]]:
        """Activation and seed of every trial that was handed out, as often as it was."""
        return [(trial["activation"], trial["seed"]) for group in self.groups for trial in group]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        task = json.loads(args[0])
        if task["kind"] == "train":
            self.groups.append(task["trials"])
        future: Future[Any] = Future()
        try:
            future.set_result(self.work(args[0]))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future

    def work(self, task: str) -> str:
        """The outcome of a task; a subclass may do it otherwise."""
        return run_task(task, start=lambda trials, data, device: Pretended(trials, self.before_epoch))


def numbers(results: Results) -> list[str]:
    """Everything but times and memory, to the last bit."""
    from dataclasses import replace

    def timeless(trial: TrialResult) -> str:
        epochs = tuple(replace(record, seconds=0.0) for record in trial.epochs)
        return repr(replace(trial, seconds=0.0, peak_memory=0, epochs=epochs))

    return [timeless(trial) for trial in (*results.tuning, *results.trials)]


def failing(times: int, *which: tuple[str, int], at: int = 1) -> Callable[[tuple[Trial, ...], int], None]:
    """Raises in epoch `at`, so many times in all, when one of these (activation, seed) trains."""
    left = [times]

    def hook(trials: tuple[Trial, ...], epoch: int) -> None:
        if epoch == at and left[0] and any((t.activation, t.seed) in which for t in trials):
            left[0] -= 1
            raise RuntimeError("the disk caught fire")

    return hook


class Observing:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.epochs: list[tuple[str, int, int]] = []
        self.results: list[str] = []
        self.ended: list[Results] = []

    def begin(self, spec: Spec, trials: tuple[Trial, ...]) -> None:
        self.begun = len(trials)

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        self.epochs.append((trial.activation, trial.seed, record.epoch))

    def trial(self, trial: Trial, result: TrialResult) -> None:
        assert (trial.activation, trial.seed, 2) in self.epochs
        self.results.append(result.key)

    def end(self, results: Results) -> None:
        self.ended.append(results)


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Time of writing and content of everything the trials left."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(directory.glob("trials/*/*"))}
