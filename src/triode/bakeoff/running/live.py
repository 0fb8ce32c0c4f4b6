"""The bake-off as it runs, on the terminal: one bar for the whole, and a row for each activation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord
from triode.bakeoff.running.progress import Status, clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

BETWEEN = 1.0
"""Seconds between two drawings: a drawing costs milliseconds, and an eye needs no more."""
SPARK = 12
"""Widest sparkline, in columns."""
SHORTEST = 12
"""Columns kept for the bar."""
BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
"""Heights of a sparkline, and what stands for them where the terminal has letters only."""


@dataclass
class Course:
    """What is known of one trial: its epochs so far."""

    trial: Trial
    records: list[EpochRecord] = field(default_factory=list)
    finished: bool = False

    @property
    def score(self) -> float:
        """Its last validation figure, larger being better: the accuracy, or minus the loss where there is none."""
        last = self.records[-1]
        value = last.validation_accuracy if _by_accuracy(self.trial, last) else -last.validation_loss
        return value if math.isfinite(value) else -math.inf


def _by_accuracy(trial: Trial, record: EpochRecord) -> bool:
    """Whether the accuracy judges: a text is judged by its loss, as in the report."""
    return trial.setting.task != "next-character" and math.isfinite(record.validation_accuracy)


class Board:
    """Everything shown so far, by activation; a pure reader of statuses."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.courses: dict[str, dict[str, Course]] = {}

    def take(self, status: Status) -> None:
        """Learn what a status says."""
        for trial, record in status.news:
            key = trial.key
            course = self.courses.setdefault(trial.activation, {}).setdefault(key, Course(trial))
            if course.records and record.epoch <= course.records[-1].epoch:
                # The trial began again.
                course.records = [known for known in course.records if known.epoch < record.epoch]
            course.records.append(record)
        for result in status.latest:
            known = self.courses.get(result.activation, {}).get(result.key)
            if known is not None:
                known.finished = True

    def rows(self) -> list[Row]:
        """A row for each activation that has begun, in order of appearance."""
        return [Row.of(name, list(courses.values())) for name, courses in self.courses.items()]


@dataclass(frozen=True)
class Row:
    """One activation. In tuning the figures are those of its best trial, later means over the seeds."""

    activation: str
    phase: str
    finished: int
    running: int
    epoch: int
    epochs: int
    validation: float
    is_accuracy: bool
    rate: float
    """The learning rate chosen, or the best so far."""
    dead: float
    """Mean share over sites and seeds."""
    first: float
    """Gradient norm of the first layer."""
    last: float
    losses: tuple[float, ...]
    """Validation loss after each epoch."""

    @classmethod
    def of(cls, activation: str, courses: Sequence[Course]) -> Row:
        """The row of an activation, from all its trials with at least one epoch."""
        final = [course for course in courses if course.trial.purpose == "final"]
        shown = final or [max(courses, key=lambda course: course.score)]
        ends = [course.records[-1] for course in shown]
        accuracy = all(_by_accuracy(course.trial, course.records[-1]) for course in shown)
        running = [course for course in courses if not course.finished]
        newest = max(running or shown, key=lambda course: course.records[-1].epoch)
        length = min(len(course.records) for course in shown)
        return cls(
            activation=activation,
            phase="final" if final else "tuning",
            finished=len(courses) - len(running),
            running=len(running),
            epoch=newest.records[-1].epoch,
            epochs=newest.trial.epochs,
            validation=_mean([r.validation_accuracy if accuracy else r.validation_loss for r in ends]),
            is_accuracy=accuracy,
            rate=shown[0].trial.setting.learning_rate,
            dead=_mean([_mean(record.dead) for record in ends]),
            first=_mean([record.gradient_norm[0] for record in ends if record.gradient_norm]),
            last=_mean([record.gradient_norm[-1] for record in ends if record.gradient_norm]),
            losses=tuple(
                _mean([course.records[k].validation_loss for course in shown]) for k in range(length)
            ),
        )


def spark(values: Sequence[float], width: int = SPARK, levels: str = BLOCKS) -> str:
    """Values as a line of blocks, the lowest to the highest; more than `width` are thinned out, the last one kept.

    >>> spark([3.0, 2.0, 1.0, 1.0])
    '█▅▁▁'
    """
    if len(values) > width:
        values = [values[round(k * (len(values) - 1) / (width - 1))] for k in range(width)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(levels[round((value - low) * scale)] if math.isfinite(value) else "!" for value in values)


def draw(
    status: Status, rows: Sequence[Row], width: int, height: int, levels: str = BLOCKS
) -> RenderableType:
    """The screen: the bar, and as many rows and columns as there is room for.

    Args:
        status: How far the bake-off is.
        rows: The activations.
        width: Columns of the terminal.
        height: Lines of the terminal.
        levels: Heights of the sparkline.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = [replace(row, activation=_short(row.activation, max(8, width // 5), levels)) for row in rows]
    columns = _columns(rows, width)
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        grid.add_column(
            column.heading, justify=column.justify, min_width=column.least, no_wrap=True, overflow="crop"
        )
    room = max(1, height - 6)
    for row in rows[:room]:
        grid.add_row(*(Text(column.cell(row, levels)) for column in columns))
    parts: list[RenderableType] = [_bar(status, width, levels)]
    if rows:
        parts += [Text(""), grid]
    if len(rows) > room:
        parts.append(Text(f"and {len(rows) - room} more", style="dim"))
    return Group(*parts)


@contextmanager
def live(console: Console) -> Iterator[Callable[[Status], None]]:
    """Draw statuses in place on a terminal; the last drawing stays."""
    from rich.live import Live

    board = Board()
    levels = BLOCKS if "utf" in (console.encoding or "").lower() else LETTERS
    drawn = -math.inf
    newest: Status | None = None
    # Drawn only from here, whole and in one write: a thread of its own would draw what has not changed.
    with Live(console=console, auto_refresh=False, transient=False) as screen:

        def show(status: Status, refresh: bool = True) -> None:
            drawing = draw(status, board.rows(), console.width, console.height, levels)
            screen.update(drawing, refresh=refresh)

        def update(status: Status) -> None:
            nonlocal drawn, newest
            board.take(status)
            newest = status
            if time.monotonic() - drawn >= BETWEEN:
                drawn = time.monotonic()
                show(status)

        try:
            yield update
        finally:
            if newest is not None:
                show(newest, refresh=False)  # the end of `screen` draws it


@dataclass(frozen=True)
class _Column:
    heading: str
    cell: Callable[[Row, str], str]
    place: int
    """The higher, the sooner it gives way where the terminal is narrow."""
    justify: Literal["left", "right"] = "right"
    least: int = 0


_ALL = (
    _Column("activation", lambda row, _: row.activation, 0, "left"),
    _Column("phase", lambda row, _: row.phase, 4, "left", 6),
    _Column(
        "done", lambda row, _: f"{row.finished}" + (f"+{row.running}" if row.running else ""), 1, least=5
    ),
    _Column("epoch", lambda row, _: f"{row.epoch}/{row.epochs}" if row.running else "", 5, least=5),
    _Column("valid.", lambda row, _: _figure(row), 0, least=7),
    _Column("rate", lambda row, _: f"{row.rate:.3g}", 6, least=6),
    _Column("dead", lambda row, _: f"{row.dead:.1%}" if math.isfinite(row.dead) else "", 3, least=6),
    _Column("grad 1st/last", lambda row, _: _norms(row), 7),
    _Column("valid. loss", lambda row, levels: spark(row.losses, SPARK, levels), 2, "left", SPARK),
)


def _columns(rows: Sequence[Row], width: int) -> list[_Column]:
    """The columns that fit, in their order."""

    def needed(column: _Column) -> int:
        return max([len(column.heading), column.least, *(len(column.cell(row, LETTERS)) for row in rows)]) + 1

    kept = list(_ALL)
    while len(kept) > 2 and sum(map(needed, kept)) > width:
        kept.remove(max(kept, key=lambda column: column.place))
    return kept


def _bar(status: Status, width: int, levels: str) -> RenderableType:
    from rich.text import Text

    total = status.epochs_total
    share = status.epochs_done / total if total else 0.0
    said = status.phase
    for part in (
        f"{status.finished}/{status.total} trials",
        f"{clock(status.remaining)} left",
        f"{status.epochs_done}/{total} epochs",
        f"{clock(status.elapsed)} gone",
    ):
        if len(said) + len(part) + 2 <= width - SHORTEST:
            said += f"  {part}"
    length = max(1, min(40, width - len(said) - 3))
    full = min(length, round(share * length))
    on, off = ("━", "─") if levels == BLOCKS else ("#", "-")
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(on * full, style="green")
    line.append(off * (length - full), style="dim")
    return line.append(f"  {said}")


def _figure(row: Row) -> str:
    if not math.isfinite(row.validation):
        return "diverged"
    return f"{row.validation:.2%}" if row.is_accuracy else f"{row.validation:.4f}"


def _short(name: str, most: int, levels: str) -> str:
    return name if len(name) <= most else name[: most - 1] + ("…" if levels == BLOCKS else "~")


def _norms(row: Row) -> str:
    known = math.isfinite(row.first) and math.isfinite(row.last)
    return f"{row.first:.1e}/{row.last:.1e}".replace("e-0", "e-").replace("e+00", "e0") if known else ""


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else math.nan
