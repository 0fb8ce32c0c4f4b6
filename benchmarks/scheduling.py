"""What the scheduling of a trial costs: a bake-off of 10,000 trials whose training is empty.

    python benchmarks/scheduling.py [TRIALS]

Everything is as in a real bake-off (planning, groups, tasks as text, checkpoints, results on disk, the plan, the final
gathering), but the trainings do nothing and there is one executor that works in this process. Times are wall time here;
a real bake-off does the worker's part of them in its workers. Statistics and report are not in it.

A million trials: the main process needs about 1.1 ms for each (all but the worker's lines), so one process feeds a
thousand workers whose trials take longer than a second, and is itself busy for some twenty minutes in all. Memory: a
result of ten epochs takes 15 to 25 kB, so a million of them want about 20 GB; from 10^5 trials on, split the
specification by seeds or activations over several directories, one command each, and let the report read them
together. On disk a trial is a folder of three small files: a million are four million inodes and some 16 GB in blocks
of 4 kB, which ext4 and XFS hold without trouble; nothing ever lists that folder, for the plan names the trials. A
restart reads every result once: 0.4 ms each while the disk's cache is warm, some seven minutes for a million. The
protocol is asked again only when an activation's tuning is over: with a hundred activations, a hundred questions of
some tens of seconds each, and never so often that they take more than a twentieth of the time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from triode.bakeoff import EpochRecord, Spec, TrialResult, run
from triode.bakeoff.plan import Trial
from triode.bakeoff.running import engine, loop, schedule, worker
from triode.bakeoff.storage import store


class Nothing:
    """A training that does nothing, in the time that it takes."""

    def __init__(self, trials: Sequence[Trial], *others: object) -> None:
        """Keep who they are."""
        self.trials = tuple(trials)
        self.diverged = (False,) * len(trials)
        self._done = 0

    def begin(self) -> tuple[EpochRecord, ...]:
        """Epoch 0."""
        layer = (0.5,) * 4
        return tuple(
            EpochRecord(self._done, 1.0, 0.1, 1.0, 0.1, (*layer, 0.5), layer, layer, layer, layer)
            for _ in self.trials
        )

    def epoch(self) -> tuple[EpochRecord, ...]:
        """The next."""
        self._done += 1
        return self.begin()

    def state(self) -> dict[str, Any]:
        """How far it is."""
        return {"done": np.array(self._done)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on there."""
        self._done = int(state["done"])

    def finish(self, epochs: tuple[tuple[EpochRecord, ...], ...], seconds: float) -> tuple[TrialResult, ...]:
        """Results as long as real ones."""
        return tuple(
            TrialResult(
                trial.key, trial.activation, trial.specification, trial.seed, trial.purpose, 1e-3, {}, 570_000,
                tuple("abcde"), tuple("abcd"), (512, 256, 128, 64), records, 1.0, 0.1, False, seconds,
            )
            for trial, records in zip(self.trials, epochs, strict=True)
        )  # fmt: skip


class Clock(Executor):
    """Runs empty trials at once, and counts the seconds in there."""

    jobs = 1

    def __init__(self) -> None:
        """Nothing has run."""
        self.spent: Counter[str] = Counter()
        self._inside = [0.0]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run an empty trial now."""
        future: Future[Any] = Future()
        with self.timed("worker: task, checkpoints, files"):
            future.set_result(worker.run_task(args[0], start=Nothing))
        return future

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what happens inside, apart from what is counted under another name there."""
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.spent[name] += spent - self._inside.pop()
            self._inside[-1] += spent

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count what a method takes."""
        real = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timed(name):
                return real(*args, **kwargs)

        setattr(owner, method, timed)


def main() -> None:
    """Run, and print milliseconds a trial."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    activations = ("relu", "gelu", "swish", "mish", "tanh")
    seeds = max(1, trials // len(activations) // 2)
    rates = tuple(1e-4 * (1 + i) for i in range(seeds))
    clock = Clock()
    clock.watch(schedule.Schedule, "_ask", "plan: ask the protocol, keys, look for stored results")
    clock.watch(schedule.Schedule, "arrange", "plan: groups")
    clock.watch(engine._Job, "_task", "submit: task as text")
    clock.watch(store.Store, "write_plan", "store: plan.json")
    clock.watch(loop.Loop, "_keep", "store: read results back")
    clock.watch(loop.Loop, "_tell", "status")
    clock.watch(engine._Job, "results", "gather, results.csv")
    clock.watch(os, "fsync", "worker: waiting for the disk (fsync)")
    with tempfile.TemporaryDirectory() as folder:
        spec = Spec(
            activations=activations, learning_rates=rates, seeds=seeds, epochs=1, stack=1, out=Path(folder)
        )
        began = time.perf_counter()
        results = run(spec, clock, progress=False)
        whole = time.perf_counter() - began
        clock.spent["the rest"] = whole - sum(clock.spent.values())
        parts = dict(clock.spent)
        number = len(results.trials) + len(results.tuning)
        began = time.perf_counter()
        run(spec, clock, progress=False)
        again = time.perf_counter() - began
    print(f"{number:,} empty trials in {whole:.1f} s; milliseconds a trial:")
    for name, seconds in parts.items():
        print(f"{1e3 * seconds / number:8.3f}  {name}")
    print(f"{1e3 * whole / number:8.3f}  all")
    print(f"{1e3 * again / number:8.3f}  a second start, which finds everything finished")


if __name__ == "__main__":
    main()
