"""When to look closely: often at the start, then as often as the budget of time allows."""

from __future__ import annotations

import time


class Rhythm:
    """Decides for each step whether it is sampled, and measures what watching costs.

    The first `EARLY` steps are sampled, then every `every`-th, and ever more rarely as training goes on and changes
    less from step to step. Where watching takes more than its budget, samples
    become rarer, and if that does not suffice units are not asked at every step any more: who is dead is then said of
    the batches that were seen, and the figures say so. The first seconds are free, so that small networks are seen
    exactly.
    """

    EARLY = 5
    RARE = 16
    """At the rarest one step in so many times `every` is sampled."""
    FREE = 2.0
    CALL = 4e-6
    """Seconds that the mode takes to be told of one function, measured."""

    def __init__(self, budget: float) -> None:
        """Begin with `budget` as a share of the time."""
        self.budget = budget
        self.own, self.calls, self.steps = 0.0, 0, 0
        self.every, self.ask_every = 8, 1
        self._next = 0
        self.sampling, self.asking = True, True
        self._mark = (time.perf_counter(), 0.0)
        self._due = 32
        self.setup = 0.0
        """Seconds of `total` that were spent once, on tracing the models and loading what looks at them."""

    @property
    def total(self) -> float:
        """Seconds that watching has taken."""
        return self.own + self.calls * self.CALL

    @property
    def spacing(self) -> int:
        """Steps from one sampled step to the next."""
        return min(max(self.every, self.steps // 8), self.RARE * self.every)

    def begin(self) -> None:
        """A step begins."""
        self.sampling = self.steps < self.EARLY or self.steps >= self._next
        if self.sampling:
            self._next = self.steps + self.spacing
        self.asking = self.sampling or self.steps % self.ask_every == 0

    def asked(self, seconds: float) -> None:
        """So long were units looked at."""
        self.own += seconds

    def end(self, fresh: bool) -> None:
        """A step is over; `fresh` while a model is still being traced, which happens once."""
        self.steps += 1
        if fresh:
            self.setup = self.total
            self._mark = (time.perf_counter(), self.setup)
        if fresh or self.steps < self._due:
            return
        now, total = time.perf_counter(), self.total
        share = (total - self._mark[1]) / max(now - self._mark[0], 1e-9)
        self._mark, self._due = (now, total), self.steps + 32
        if total - self.setup < self.FREE:
            return
        if share > self.budget:
            if self.every < 128:
                self.every *= 2
            else:
                self.ask_every = min(self.ask_every * 2, 64)
        elif share < self.budget / 3 and self.ask_every > 1:
            self.ask_every //= 2
