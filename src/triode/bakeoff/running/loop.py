"""The middle of a bake-off: groups go out to workers, results come back, and whoever watches is told.

Only as many groups are out as keep the workers busy, and a result costs the same whether ten trials wait or a million.
"""

from __future__ import annotations

import json
import queue
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.running.observers import Observers
from triode.bakeoff.running.progress import Status
from triode.bakeoff.running.schedule import Group, Schedule
from triode.bakeoff.running.worker import run_task
from triode.bakeoff.running.workers import WorkerDied
from triode.bakeoff.storage.codec import build_result
from triode.bakeoff.storage.store import StorageError, Store
from triode.bakeoff.storage.tail import Tail
from triode.errors import TriodeError

TICK = 0.25
"""Seconds between two looks at how far the workers are."""
PATIENCE = 3
"""How many workers may die over a question before the bake-off begins."""
AHEAD = 16
"""At most so many groups wait at the workers for one to become free."""


@dataclass
class Crew:
    """Who trains."""

    executor: Executor
    slots: int
    """How many groups train at the same time."""
    place: str
    """For the record: who that is."""
    own: bool = False
    """Whether they are processes of this bake-off alone."""

    def submit(self, task: str) -> Future[str]:
        """Hand a task out."""
        try:
            return self.executor.submit(run_task, task)
        except BrokenExecutor as error:
            raise TriodeError(
                f"the executor takes no more tasks ({error}); start again with a new one: finished trials are kept."
            ) from error

    def ask(self, task: str) -> str:
        """Hand a task out and wait for its outcome; a worker that is killed over it is forgiven, some times."""
        for attempt in range(1, PATIENCE + 1):
            future = self.submit(task)
            try:
                return future.result()
            except BaseException as error:
                future.cancel()
                if attempt == PATIENCE or not _is_death(error):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")


class Loop:
    """Trains what a schedule wants."""

    def __init__(
        self,
        schedule: Schedule,
        store: Store,
        crew: Crew,
        make_task: Callable[[Sequence[Trial]], str],
        save_plan: Callable[[], None],
        show: Callable[[Status], None],
        observers: Observers,
    ) -> None:
        """Nothing is submitted yet."""
        self._schedule, self._store, self._crew = schedule, store, crew
        self._make_task, self._save_plan, self._show, self._observers = make_task, save_plan, show, observers
        self._tail = Tail(store)
        self._out: dict[Future[str], Group] = {}
        self._done: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._storage: StorageError | None = None
        self._started = time.monotonic()
        self._looked = 0.0
        self._latest: list[TrialResult] = []
        self._news: list[tuple[Trial, EpochRecord]] = []
        self._epochs_over = 0

    def run(self) -> StorageError | None:
        """Return when nothing is left to do; with the reason, if that is because the disk takes nothing more."""
        try:
            while True:
                if self._schedule.refill(idle=not self._out and not self._schedule.queue):
                    self._save_plan()
                self._submit()
                if not self._out:
                    break
                self._collect()
                self._tell()
        except BaseException:
            for future in self._out:
                future.cancel()
            raise
        self._tell(last=True)
        return self._storage

    def _submit(self) -> None:
        window = self._crew.slots + min(self._crew.slots, AHEAD)
        # An executor that works at once, in this process, has done it by now: hear of it before the next.
        while self._schedule.queue and len(self._out) < window and self._done.empty() and not self._storage:
            group = self._schedule.queue.popleft()
            for key in group.keys:
                self._tail.watch(key)
            future = self._crew.submit(self._make_task(group.trials))
            self._out[future] = group
            future.add_done_callback(self._done.put)

    def _collect(self) -> None:
        """Wait a tick for the first result, and take all that are there."""
        with suppress(queue.Empty):
            self._take(self._done.get(timeout=TICK))
            while True:
                self._take(self._done.get_nowait())

    def _take(self, future: Future[str]) -> None:
        group = self._out.pop(future)
        try:
            results = self._keep(group, future.result())
        except StorageError as error:
            self._storage = self._storage or error
            return
        except (Exception, CancelledError) as error:  # noqa: BLE001 - it is the trial's, and recorded
            self._failed(group, error)
            return
        for result in results:
            self._schedule.finish(result)
            trial = self._schedule.trials[result.key]
            self._tell_epochs((trial, record) for record in self._tail.end(result))
            self._observers.trial(trial, result)
            self._latest.append(result)
            self._epochs_over += trial.epochs

    def _keep(self, group: Group, text: str) -> list[TrialResult]:
        """The results a worker sent, which it has stored as well unless its disk is another one."""
        results = [build_result(plain) for plain in json.loads(text)]
        if [result.key for result in results] != list(group.keys):
            raise TriodeError(
                "a worker sent the results of other trials: does it run another version of Triode?"
            )
        for result in results:
            if not (self._store.trial_dir(result.key) / "result.json").is_file():
                self._store.adopt(result, self._schedule.trials[result.key])
        return results

    def _failed(self, group: Group, error: BaseException) -> None:
        if _is_death(error):
            self._look()
            if self._schedule.died(group, min(self._tail.epochs(key) for key in group.keys)):
                return
        else:
            # What raised may raise again from the same checkpoint: the next attempt begins at the beginning.
            self._store.drop_group(group.keys)
        reason = str(error) or type(error).__name__
        account = "".join(traceback.format_exception(error))
        for key in group.keys:
            self._tail.drop(key)
        told = self._schedule.fail(group, reason.splitlines()[0], account)
        self._epochs_over += sum(
            trial.epochs
            for key, trial in zip(group.keys, group.trials, strict=True)
            if key in self._schedule.given_up
        )
        try:
            for key, failure in told.items():
                self._store.fail(key, failure)
        except StorageError as full:
            self._storage = self._storage or full

    def _look(self) -> None:
        self._tell_epochs((self._schedule.trials[key], record) for key, record in self._tail.look())
        self._looked = time.monotonic()

    def _tell_epochs(self, news: Iterable[tuple[Trial, EpochRecord]]) -> None:
        for trial, record in news:
            self._news.append((trial, record))
            self._observers.epoch(trial, record)

    def _tell(self, last: bool = False) -> None:
        if not last and time.monotonic() - self._looked < TICK:
            return
        self._look()
        running = [
            (trial, max(0, self._tail.epochs(key)))
            for group in self._out.values()
            for key, trial in zip(group.keys, group.trials, strict=True)
            if self._tail.epochs(key) >= 0
        ]
        schedule = self._schedule
        self._show(
            Status(
                total=schedule.expected,
                stored=schedule.before,
                finished=len(schedule.finished),
                epochs_done=self._epochs_over + sum(done for _, done in running),
                epochs_total=schedule.epochs,
                running=tuple(running),
                latest=tuple(self._latest),
                elapsed=time.monotonic() - self._started,
                news=tuple(self._news),
                phase="tuning" if schedule.tuning else "training",
            )
        )
        self._latest, self._news = [], []


def _is_death(error: BaseException) -> bool:
    # Dask's word for a task whose workers died; the package may not be here.
    return isinstance(error, WorkerDied) or type(error).__name__ == "KilledWorker"
