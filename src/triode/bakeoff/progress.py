"""What a bake-off shows while it runs: what trains, how far it is, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import TrialResult

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Status:
    """How far a bake-off is."""

    total: int
    """Trials of the specification."""
    stored: int
    """Trials that were finished before this start."""
    finished: int
    """Trials finished now, the stored ones included."""
    epochs_done: int
    epochs_total: int
    """Epochs of this start alone."""
    running: tuple[tuple[Trial, int], ...]
    """Trials in training, with the epochs they have done."""
    latest: tuple[TrialResult, ...]
    """Trials finished since the last status."""
    elapsed: float
    """Seconds since the start."""

    @property
    def remaining(self) -> float | None:
        """Seconds left at the present pace; None before the first epoch is done."""
        if not self.epochs_done:
            return None
        return self.elapsed / self.epochs_done * (self.epochs_total - self.epochs_done)


def clock(seconds: float | None) -> str:
    """Seconds as `m:ss`, or `h:mm:ss`.

    >>> clock(75.2), clock(3661), clock(None)
    ('1:15', '1:01:01', '-:--')
    """
    if seconds is None:
        return "-:--"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def one_line(result: TrialResult, number: int, total: int) -> str:
    """The `number`-th finished trial of `total` in a line; the test accuracy waits for the report."""
    last = result.epochs[-1]
    outcome = (
        f"diverged in epoch {last.epoch}"
        if result.diverged
        else f"{last.validation_accuracy:.2%} of the validation images right after epoch {last.epoch}"
    )
    count = f"{number:>{len(str(total))}}/{total}"
    return f"{count}  {result.activation}, seed {result.seed}: {outcome} ({result.seconds:.1f} s)"


@contextmanager
def display(console: Console | None = None) -> Iterator[Callable[[Status], None]]:
    """Show statuses on the terminal (standard error); where there is no terminal, a line for each finished trial."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[epochs]}"),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    shown: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("[bold]whole bake-off", total=None, epochs="", note="starting")

        def update(status: Status) -> None:
            for number, result in enumerate(status.latest, status.finished - len(status.latest) + 1):
                console.print(one_line(result, number, status.total), highlight=False, soft_wrap=True)
            times = f"{clock(status.elapsed)} gone, {clock(status.remaining)} left"
            note = f"{status.finished}/{status.total} trials, {times}"
            done, total = status.epochs_done, status.epochs_total
            progress.update(whole, completed=done, total=total, epochs=f"{done}/{total} epochs", note=note)
            current = {trial.key for trial, _ in status.running}
            for key in [key for key in shown if key not in current]:
                progress.remove_task(shown.pop(key))
            for trial, done in status.running:
                if trial.key not in shown:
                    name = f"  {trial.activation}, seed {trial.seed}"
                    shown[trial.key] = progress.add_task(name, total=trial.epochs, epochs="", note="")
                progress.update(shown[trial.key], completed=done, epochs=f"{done}/{trial.epochs} epochs")

        yield update
