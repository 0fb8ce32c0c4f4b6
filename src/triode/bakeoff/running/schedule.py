"""What is to be trained next: the trials wanted, those that are over, and the groups that wait for a worker.

Bookkeeping alone: nothing here touches a disk or a process. What a result costs does not grow with the number of
trials; the protocol is asked for more only when an activation's known tuning is over.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triode.bakeoff.plan import Trial
from triode.bakeoff.protocol import expected_trials, wanted
from triode.bakeoff.records import TrialResult
from triode.bakeoff.running.groups import arrange, by_seed
from triode.bakeoff.spec import Spec
from triode.bakeoff.storage.store import Failure

PATIENCE = 20
"""The protocol is asked again after this many times the time that the last question took: 5% of the time at most."""


@dataclass(eq=False)
class Group:
    """Trials that train as one."""

    keys: tuple[str, ...]
    trials: tuple[Trial, ...]
    reached: int = -1
    """Epochs that were done when its process last died."""

    @property
    def tuning(self) -> bool:
        """Whether its trials are of tuning."""
        return self.trials[0].purpose == "tune"


class Schedule:
    """The trials of one bake-off, as they become known, and as they are over."""

    def __init__(
        self,
        spec: Spec,
        fingerprint: str,
        stored: Callable[[str], TrialResult | None],
        failure: Callable[[str], Failure | None],
    ) -> None:
        """Ask what is wanted.

        Args:
            spec: What is compared, with the task of the data.
            fingerprint: Of the data.
            stored: The result of a trial that an earlier start finished.
            failure: How a trial failed in an earlier start.
        """
        self._spec = spec
        self._fingerprint = fingerprint
        self._stored = stored
        self._failure = failure
        self.trials: dict[str, Trial] = {}
        """Every trial known to be wanted, by key and in order."""
        self.finished: dict[str, TrialResult] = {}
        self.failures: dict[str, Failure] = {}
        """Of trials that failed and may be tried again, or not."""
        self.given_up: set[str] = set()
        self.queue: deque[Group] = deque()
        self.stack = 1
        self._keys: dict[Trial, str] = {}
        self._placed: set[str] = set()
        self._open: Counter[str] = Counter()
        self._stale = False
        self._asked = self._cost = 0.0
        self._ask()
        self.before = len(self.finished)
        """Trials that were finished before this start."""
        final = len(spec.activations) * spec.seeds
        tuning = (expected_trials(spec) - final) * (spec.tuning_epochs or spec.epochs)
        over = sum(self.trials[key].epochs for key in (*self.finished, *self.given_up))
        self.epochs = tuning + final * spec.epochs - over
        """Epochs that this start has to do."""

    @property
    def missing(self) -> list[tuple[str, Trial]]:
        """The trials known that are neither finished nor given up."""
        return [(k, t) for k, t in self.trials.items() if k not in self.finished and k not in self.given_up]

    @property
    def expected(self) -> int:
        """Number of trials there will be in all."""
        return max(len(self.trials), expected_trials(self._spec))

    @property
    def tuning(self) -> bool:
        """Whether some activation's tuning goes on."""
        return +self._open != Counter()

    def resume(self, groups: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Queue the groups that have a checkpoint, as they were; returns those that nobody wants in this form."""
        refused = []
        for keys in groups:
            usable = all(k in self.trials and k not in self._placed and k not in self.given_up for k in keys)
            if usable and not all(key in self.finished for key in keys):
                self._place(keys)
            else:
                refused.append(keys)
        return refused

    def refill(self, idle: bool) -> bool:
        """Queue what has become known since; True where the plan has grown. `idle`: there is nothing else to do."""
        due = time.monotonic() - self._asked > (1 if self.queue else 0) * PATIENCE * self._cost
        if not (self._stale and (idle or due)):
            return False
        known = len(self.trials)
        self._ask()
        self.arrange()
        return len(self.trials) > known

    def arrange(self) -> None:
        """Queue the groups of the trials that wait for nobody."""
        known = [(key, self.trials[key]) for key in self.trials]
        awaited = [name for name, count in self._open.items() if count]
        groups = arrange(known, self._spec, self.stack, awaited, self.failures)
        over = self.finished.keys() | self.given_up | self._placed
        rest = [tuple(entry for entry in group if entry[0] not in over) for group in groups]
        for group in by_seed(group for group in rest if group):
            self._place(tuple(key for key, _ in group))

    def finish(self, result: TrialResult) -> None:
        """A trial is finished."""
        self.finished[result.key] = result
        self.failures.pop(result.key, None)
        self._over(result.key)

    def died(self, group: Group, reached: int) -> bool:
        """Its process died: the group goes on if it got any further than before; else False, and it has failed."""
        if reached <= group.reached:
            return False
        group.reached = reached
        self.queue.appendleft(group)
        return True

    def fail(self, group: Group, reason: str, traceback: str) -> dict[str, Failure]:
        """A group raised: split it, try it again or give it up; returns what is to be said of each member.

        Nobody knows whose fault the failure of several was, so each has one more try by itself at least.
        """
        together = len(group.keys)
        told = {}
        for key, trial in zip(group.keys, group.trials, strict=True):
            before = self.failures.get(key)
            attempts = (before.attempts if before else 0) + 1
            told[key] = self.failures[key] = Failure(attempts, together, reason, traceback)
            if together == 1 and attempts >= self._spec.attempts:
                self.given_up.add(key)
                self._over(key)
            else:
                self.queue.append(Group((key,), (trial,)))
        return told

    def _place(self, keys: tuple[str, ...]) -> None:
        self._placed.update(keys)
        self.queue.append(Group(keys, tuple(self.trials[key] for key in keys)))

    def _over(self, key: str) -> None:
        trial = self.trials[key]
        if trial.purpose == "tune":
            self._open[trial.activation] -= 1
            self._stale = self._stale or self._open[trial.activation] <= 0

    def _ask(self) -> None:
        """Learn what is wanted, again as long as what is stored already leads to more."""
        self._stale = True
        while self._stale:
            began = time.monotonic()
            self._stale = False
            found: dict[str, Trial] = {}
            for trial in wanted(self._spec, self._fingerprint, self.finished, self.given_up):
                key = self._keys.get(trial)
                if key is None:
                    key = self._keys[trial] = trial.key
                    self.trials[key] = trial
                    self._learn(key, trial)
                found[key] = trial
            self.trials = found
            self._asked = time.monotonic()
            self._cost = self._asked - began

    def _learn(self, key: str, trial: Trial) -> None:
        self._open[trial.activation] += trial.purpose == "tune"
        result = self._stored(key)
        if result is not None:
            self.finish(result)
            return
        failure = self._failure(key)
        if failure is not None:
            self.failures[key] = failure
            if failure.together == 1 and failure.attempts >= self._spec.attempts:
                self.given_up.add(key)
                self._over(key)
