"""What a bake-off shows while it runs: what trains, how far it is, and the time left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, TrialResult

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
    news: tuple[tuple[Trial, EpochRecord], ...] = ()
    """Epochs finished since the last status, those of `latest` included."""
    phase: str = "training"
    """What goes on: rehearsing, measuring, tuning, training."""

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


def one_line(result: TrialResult, number: int, total: int, task: str = "auto") -> str:
    """The `number`-th finished trial of `total` in a line; the test figures wait for the report.

    A text is judged by its loss, though the share of its characters that are guessed right is known too.
    """
    last = result.epochs[-1]
    if result.diverged:
        outcome = f"diverged in epoch {last.epoch}"
    elif math.isfinite(last.validation_accuracy) and task != "next-character":
        outcome = f"{last.validation_accuracy:.2%} of the validation examples right after epoch {last.epoch}"
    else:
        outcome = f"validation loss {last.validation_loss:.4f} after epoch {last.epoch}"
    count = f"{number:>{len(str(total))}}/{total}"
    what = f"tuning at rate {result.learning_rate:.3g}" if result.purpose == "tune" else f"seed {result.seed}"
    if result.purpose == "tune" and "weight_decay" in result.tuned:
        what += f", weight decay {result.tuned['weight_decay']:.3g}"
    return f"{count}  {result.activation}, {what}: {outcome} ({result.seconds:.1f} s)"


@contextmanager
def display(
    console: Console | None = None, *, live: bool = False, task: str = "auto"
) -> Iterator[Callable[[Status], None]]:
    """Show statuses on the terminal (standard error); where there is no terminal, a line for each finished trial.

    Args:
        console: Where to; by default standard error.
        live: On a terminal, a table with a row for each activation in place of a bar for each trial.
        task: What is learned, which says the figure that a finished trial is shown with.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if live and console.is_terminal:
        from triode.bakeoff.running.live import live as table

        with table(console) as update:
            yield update
        return
    with _bars(console, task) as update:
        yield update


@contextmanager
def _bars(console: Console, task: str) -> Iterator[Callable[[Status], None]]:
    """A bar for the whole and one for each trial in training, as many as the terminal has lines for."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[epochs]}"),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    shown: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("[bold]starting", total=None, epochs="", note="")

        def update(status: Status) -> None:
            for number, result in enumerate(status.latest, status.finished - len(status.latest) + 1):
                console.print(one_line(result, number, status.total, task), highlight=False, soft_wrap=True)
            times = f"{clock(status.elapsed)} gone, {clock(status.remaining)} left"
            progress.update(
                whole,
                description=f"[bold]{status.phase}",
                completed=status.epochs_done,
                total=status.epochs_total or None,
                epochs=f"{status.epochs_done}/{status.epochs_total} epochs",
                note=f"{status.finished}/{status.total} trials, {times}",
            )
            running = status.running[: max(1, console.height - 4)]
            current = {trial.key for trial, _ in running}
            for key in [key for key in shown if key not in current]:
                progress.remove_task(shown.pop(key))
            for trial, done in running:
                key = trial.key
                if key not in shown:
                    shown[key] = progress.add_task(
                        f"  {_name(trial)}", total=trial.epochs, epochs="", note=""
                    )
                progress.update(shown[key], completed=done, epochs=f"{done}/{trial.epochs} epochs")

        yield update


def _name(trial: Trial) -> str:
    if trial.purpose == "tune":
        return f"{trial.activation}, rate {trial.setting.learning_rate:.3g}"
    return f"{trial.activation}, seed {trial.seed}"
