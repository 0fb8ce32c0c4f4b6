"""What the callbacks share: a fit that is watched from its begin to its end, however it ends, and its report."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from triode.doctor.diagnose import diagnose
from triode.doctor.diagnosis import Diagnosis
from triode.doctor.ending import last_line
from triode.doctor.observe.passes import Passes
from triode.doctor.observe.watcher import Watcher
from triode.errors import TriodeError

Report = Literal["terminal"] | None


class Told(Passes):
    """The framework says when a pass begins; a loader of validation data must not."""

    def due(self) -> bool:
        """Never by itself."""
        return False


class FitWatcher(Watcher):
    """Watches a fit: passes are told, never guessed, and models are called what their owner calls them."""

    def __init__(self, called: Mapping[int, str], scale: Callable[[], float] = lambda: 1.0) -> None:
        """Watch every model that trains.

        Args:
            called: Names of modules by `id`.
            scale: How many times the loss it is whose gradient is taken: mixed precision scales it up, accumulation
                of gradients down. Asked where the functions called do not show it.
        """
        super().__init__()
        self._called = called
        self._scale = scale
        self._passes = Told()

    def _begin(self, module: nn.Module, args: Any) -> None:
        super()._begin(module, args)
        root = self.roots.get(id(module))
        if root is not None:
            root.name = self._called.get(id(module), root.name)

    def _backward(self, loss: Tensor) -> None:
        super()._backward(loss)
        losses = self._step.losses
        if losses and self._step.plain:
            with self._ourselves():
                scale = self._scale()
                if scale != 1.0:
                    losses[-1] = losses[-1] / scale

    def about_to_step(self, optimizer: Any) -> None:
        """The gradients are there, and `optimizer` will use them; for optimisers that PyTorch's hooks do not reach."""
        self._before_step(optimizer, (), {})

    def stepped(self, optimizer: Any) -> None:
        """`optimizer` has moved the weights."""
        self._after_step(optimizer, (), {})


class Doctor:
    """Watches one fit after another.

    Args:
        report: `terminal` prints the report at the end of a fit; None prints nothing.
        html: Where to write the report as one HTML file; None for nowhere.
        every: After so many epochs each, renew the diagnosis (and the HTML file), and print a line; None: at the end.

    Raises:
        TriodeError: For a report that does not exist, or an `every` below 1.
    """

    def __init__(
        self, report: Report = "terminal", html: str | Path | None = None, every: int | None = None
    ) -> None:
        """Nothing is watched before a fit begins."""
        if report not in ("terminal", None):
            raise TriodeError(f"report is {report!r}; expected 'terminal', or None to print nothing.")
        if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
            raise TriodeError(f"every is {every!r}; expected a number of epochs, 1 or more, or None.")
        self.report, self.html, self.every = report, html, every
        self.speaks = True
        """Whether this process reports: one of several that train together does."""
        self.watcher: Watcher | None = None
        self._diagnosis: Diagnosis | None = None
        self._epochs = 0
        self._at_end: list[Callable[[], None]] = []

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis of the last fit; None before the first. A fit that was broken off is ended by asking."""
        if self.watcher is not None and self._diagnosis is None:
            self.renew()
        return self._diagnosis

    def begin(self, watcher: Watcher, *, speaks: bool = True) -> None:
        """A fit begins; one that never said that it ended is ended first."""
        self.end()
        self.watcher, self.speaks = watcher, speaks
        self._diagnosis, self._epochs = None, 0
        watcher.__enter__()
        # A framework need not tell its callbacks of an error or an interruption; the end of the program comes anyway.
        atexit.register(self.end)

    def at_end(self, undo: Callable[[], None]) -> None:
        """Call `undo` when the fit ends, before the report."""
        self._at_end.append(undo)

    def epoch(self) -> None:
        """A pass over the training data begins."""
        if self.watcher is None:
            return
        if self.every and self._epochs and self._epochs % self.every == 0:
            self.renew()
            self._line()
        self._epochs += 1
        self.watcher.epoch()

    def renew(self) -> None:
        """Diagnose what was seen so far."""
        if self.watcher is not None:
            self._diagnosis = diagnose(self.watcher.histories())
            self._write()

    def end(self, error: BaseException | None = None) -> None:
        """The fit has ended, by `error` or by itself: take the hooks off, diagnose, report. Once for each fit."""
        watcher, self.watcher = self.watcher, None
        if watcher is None:
            return
        atexit.unregister(self.end)
        while self._at_end:
            self._at_end.pop()()
        if isinstance(error, Exception):
            watcher.exception = last_line(error)
            if not watcher.patients:
                watcher.finish_step()
        watcher.__exit__(None, None, None)
        self._diagnosis = diagnose(watcher.histories())
        self._write()
        if self.report == "terminal" and self.speaks:
            from triode.doctor.report import show

            show(self._diagnosis)

    def _write(self) -> None:
        if self.html is not None and self.speaks and self._diagnosis is not None:
            from triode.doctor.report import html

            try:
                html.write(self._diagnosis, self.html)
            except OSError as error:  # a training of hours is not to end by this
                print(f"Triode doctor: the report was not written to {self.html}: {error}", file=sys.stderr)

    def _line(self) -> None:
        if self.report != "terminal" or not self.speaks or self._diagnosis is None:
            return
        first = next(iter(self._diagnosis.findings), None)
        what = f"{first.diagnosis}: {first.summary}" if first else "healthy so far"
        print(f"Triode doctor, {self._epochs} epoch{'s' * (self._epochs != 1)}: {what}")


def made(hooks: type, bases: tuple[type, ...], module: dict[str, Any]) -> type:
    """The class `DoctorCallback` of a framework: what the doctor does at its hooks, and the framework's own bases.

    Made when it is asked for, not when its module is imported: the module can be read where the framework is missing.

    Args:
        hooks: What the doctor does.
        bases: The framework's callback class or classes.
        module: The namespace that the class is kept in.
    """
    body = {"__doc__": hooks.__doc__, "__module__": module["__name__"]}
    module["DoctorCallback"] = cls = type("DoctorCallback", (hooks, *bases), body)
    return cls
