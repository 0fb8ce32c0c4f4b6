"""Run a bake-off: ask what is wanted, skip what is stored, train the rest, read the results back."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from triode.bakeoff.data import load as load_data
from triode.bakeoff.plan import Trial
from triode.bakeoff.records import Results
from triode.bakeoff.running import tracking
from triode.bakeoff.running.groups import arrange, setting_name
from triode.bakeoff.running.loop import Crew, Loop
from triode.bakeoff.running.observers import Observer, Observers
from triode.bakeoff.running.progress import Status, display
from triode.bakeoff.running.schedule import Schedule
from triode.bakeoff.running.worker import make_task
from triode.bakeoff.running.workers import Workers, processors
from triode.bakeoff.setting import check_sizes
from triode.bakeoff.spec import Spec
from triode.bakeoff.storage.environment import describe
from triode.bakeoff.storage.lock import hold
from triode.bakeoff.storage.store import StorageError, Store, gather, label, storing, write_csv
from triode.errors import MissingExtra, TriodeError

UNKNOWN_SLOTS = 64
"""How many groups an executor is taken to train at a time when it does not tell."""


class TrialsFailed(TriodeError):
    """Some trials raised as often as they may be tried; the others are stored."""

    exit_status = 1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: finished trials and the last epoch of those in training are stored; the message says how to go on."""


def run(
    spec: Spec | None = None,
    executor: Executor | None = None,
    *,
    out: str | Path | None = None,
    progress: bool | Callable[[Status], None] = True,
    observers: Sequence[Observer] = (),
) -> Results:
    """Train every trial of `spec` that its directory does not hold yet, and return all results.

    Whatever stopped an earlier run, this one goes on: nothing finished is repeated, and what was in training continues
    from the end of its last epoch, to the same last bit.

    Args:
        spec: What to compare; the default is the chapter's seven activations, in about two minutes on two processors.
        executor: Where to train: any `concurrent.futures.Executor`. By default `spec.dask`, or as many processes as
            `spec.jobs` says. Numbers do not depend on it.
        out: Directory of the results, in place of `spec.out`.
        progress: Show a display on the terminal; or a function that is called with a `Status` several times a second.
        observers: Who is told of every epoch and every result.

    Returns:
        The results, in the order of the specification; the same as `load(out)` gives later.

    Raises:
        TriodeError: Before anything runs: for data that cannot be had, a folder that cannot be written or in which
            another command works, a model that cannot be trained.
        TrialsFailed: At the end, when a trial raised; the others are stored.
        Interrupted: After Ctrl-C.
    """
    if find_spec("torch") is None:
        raise MissingExtra("PyTorch", "a bake-off", "bakeoff")
    spec = spec or Spec()
    if out is not None:
        spec = replace(spec, out=Path(out))
    data = load_data(spec.dataset, spec.data_dir, task=spec.task)
    check_sizes(spec, len(data.train_inputs))
    spec = replace(spec, task=data.task)
    store = Store(spec.out)
    store.make()
    with ExitStack() as stack:
        with storing(spec.out):
            token = stack.enter_context(hold(spec.out))
        store.prepare(spec)
        watching = Observers([*observers, *tracking.make(spec.trackers, spec.out)])
        job = _Job(spec, store, token, data.fingerprint, watching)
        try:
            if job.schedule.missing:
                crew = stack.enter_context(_crew(spec, executor, len(job.schedule.missing)))
                job.train(crew, _shown(stack, progress, spec))
            results = job.results()
        except KeyboardInterrupt as error:
            kept, total = len(job.schedule.finished), job.schedule.expected
            raise Interrupted(
                f"Stopped: {kept} of {total} trials are finished and kept, and those in training as of their last "
                f"epoch. To go on: triode bakeoff {spec.out / 'spec.toml'}"
            ) from error
    job.complain()
    return results


class _Job:
    """One start of a bake-off, its directory held."""

    def __init__(self, spec: Spec, store: Store, token: str, fingerprint: str, observers: Observers) -> None:
        self.spec, self.store, self.token, self.observers = spec, store, token, observers
        self.schedule = Schedule(spec, fingerprint, store.result, store.failure)
        for keys in self.schedule.resume(self.store.unfinished_groups()):
            self.store.drop_group(keys)
        try:
            self.roads = store.plan().roads
        except TriodeError as error:
            warnings.warn(f"{error} It is written anew.", stacklevel=2)
            self.roads = {}
        self.storage: StorageError | None = None
        self.save_plan()

    def train(self, crew: Crew, show: Callable[[Status], None]) -> None:
        """Rehearse, choose a road, and train what is missing."""
        started = time.monotonic()
        try:
            before = float(self.store.environment().get("wall_seconds", "0"))
        except ValueError:
            before = 0.0
        self.observers.begin(self.spec, tuple(self.schedule.trials.values()))
        show(self._idle("rehearsing"))
        device = json.loads(crew.ask(self._task("rehearse", self._one_of_each())))
        if device != "cpu" and not self.spec.jobs and crew.own:
            crew.slots = 1  # processes that share an accelerator wait for each other
        self.schedule.stack, road = self._road(crew, show)
        self.schedule.arrange()
        environment = describe(f"1 for each trial, trials: {crew.place}") | {"device": device, "road": road}
        self.store.write_environment(environment | {"wall_seconds": f"{before:.1f}"})
        loop = Loop(self.schedule, self.store, crew, self._train_task, self.save_plan, show, self.observers)
        try:
            self.storage = loop.run()
        finally:
            seconds = before + time.monotonic() - started
            try:
                self.store.write_environment(environment | {"wall_seconds": f"{seconds:.1f}"})
            except StorageError as error:
                self.storage = self.storage or error

    def results(self) -> Results:
        """What there is now."""
        keys = ((key, trial.purpose) for key, trial in self.schedule.trials.items())
        results = gather(self.store, self.spec, keys, self.schedule.finished)
        try:
            write_csv(results)
        except StorageError as error:
            self.storage = self.storage or error
        self.observers.end(results)
        return results

    def complain(self) -> None:
        """Raise if something is missing that was to be trained."""
        total = self.schedule.expected
        if self.storage is not None:
            missing = total - len(self.schedule.finished)
            if not missing:
                raise self.storage
            raise TrialsFailed(
                f"{missing} of {total} trials are not finished: {self.storage}"
            ) from self.storage
        if not self.schedule.given_up:
            assert not self.schedule.missing, "the schedule left trials behind"  # noqa: S101
            return
        key = next(key for key in self.schedule.trials if key in self.schedule.given_up)
        trial, failure = self.schedule.trials[key], self.schedule.failures[key]
        name = label(trial.activation, trial.seed, trial.purpose, trial.setting.learning_rate)
        times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
        raise TrialsFailed(
            f"{len(self.schedule.given_up)} of {total} trials failed, the others are stored in {self.spec.out}; the "
            f"first is {name}, tried {times}: {failure.reason} (details: {self.store.error_file(key)}; to try again, "
            f"--attempts {failure.attempts + 1})"
        )

    def save_plan(self) -> None:
        """Write down which trials there are."""
        self.store.write_plan(self.schedule.trials.items(), self.roads)

    def _road(self, crew: Crew, show: Callable[[Status], None]) -> tuple[int, str]:
        """How many trials train as one, and why: as specified, as an earlier start measured, or as measured now."""
        if self.spec.stack:
            return self.spec.stack, f"up to {self.spec.stack} at a time, as specified"
        name = setting_name(self.spec.alone())
        if name not in self.roads:
            groups = arrange(self.schedule.missing, self.spec, 10**9)
            largest = max(groups, key=len, default=())
            if len(largest) < 2:
                return 1, "one at a time: no two trials can train as one"
            show(self._idle("measuring"))
            task = self._task("measure", [trial for _, trial in largest], jobs=crew.slots)
            stack, why = json.loads(crew.ask(task))
            self.roads[name] = (int(stack), str(why))
            self.save_plan()
        return self.roads[name]

    def _one_of_each(self) -> list[Trial]:
        first: dict[str, Trial] = {}
        for _, trial in self.schedule.missing:
            first.setdefault(trial.activation, trial)
        return list(first.values())

    def _train_task(self, trials: Sequence[Trial]) -> str:
        return self._task("train", trials)

    def _task(self, kind: str, trials: Sequence[Trial], jobs: int = 1) -> str:
        tuned = ("learning_rate", "weight_decay") if self.spec.weight_decays else ("learning_rate",)
        return make_task(
            kind,
            trials,
            directory=self.store.directory,
            token=self.token,
            data_dir=self.spec.data_dir,
            device=self.spec.device,
            tuned=tuned if self.spec.protocol == "tuned" else (),
            jobs=jobs,
        )

    def _idle(self, phase: str) -> Status:
        stored = self.schedule.before
        return Status(self.schedule.expected, stored, stored, 0, self.schedule.epochs, (), (), 0.0, (), phase)


def _shown(
    stack: ExitStack, progress: bool | Callable[[Status], None], spec: Spec
) -> Callable[[Status], None]:
    """What is called with every status: the terminal's display, the caller's function, or nothing."""
    if progress is True:
        return stack.enter_context(display(live=spec.live, task=spec.task))
    return progress or (lambda status: None)


@contextmanager
def _crew(spec: Spec, executor: Executor | None, missing: int) -> Iterator[Crew]:
    """Who trains: the executor given, Dask, or processes of our own, which end with the bake-off."""
    if executor is not None:
        told = getattr(executor, "jobs", getattr(executor, "_max_workers", None))
        slots = told if isinstance(told, int) else spec.jobs or UNKNOWN_SLOTS
        yield Crew(executor, slots, type(executor).__name__)
    elif spec.dask:
        from triode.bakeoff.running.cluster import connect

        with connect(spec.dask) as (cluster, slots):
            yield Crew(cluster, slots, f"Dask, {slots} at a time")
    else:
        jobs = min(spec.jobs or processors(), missing)
        workers = Workers(jobs)
        try:
            yield Crew(workers, jobs, f"{jobs} at a time", own=True)
        finally:
            workers.stop()
