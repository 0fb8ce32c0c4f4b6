"""The training as it runs, in the last lines of the terminal: steps, loss, each layer's dead units and gradient.

The panel lives below a scroll region, on standard error. What the script prints, whether through Python, from C or by a
process of its own, and progress bars that redraw their line, go on above it as if the terminal were a little shorter.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from triode.doctor.history import History

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

BETWEEN = 1.0
"""Seconds between two drawings."""
BETWEEN_LINES = 10.0
"""Seconds between two lines where standard error is no terminal."""
SHARE = 0.03
"""Largest share of the time that reading and drawing may take; then there is more time between drawings."""
MOST_ROWS = 14
"""Most layers shown for all networks together."""
CRITICAL, CONCERNING = 0.5, 0.1
"""Shares of dead units from which a layer is shown in red, in yellow."""
_SAVE, _RESTORE, _DOWN = "\x1b7", "\x1b8", "\x1bD"


@dataclass(frozen=True)
class Row:
    """One layer: its name, the share of dead units of the activation behind it, and its gradient now."""

    name: str
    activation: str
    dead: float
    """nan where its activation cannot die, or none follows."""
    gradient: float
    """Euclidean norm at the last watched step."""


@dataclass(frozen=True)
class View:
    """What is shown of one network."""

    name: str
    steps: int
    epoch: int
    """Counted from 1; 0 where nothing says what an epoch is."""
    losses: tuple[float, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, history: History) -> View:
        """What a history says now."""
        dead: dict[str, float] = {}
        for site in history.sites:
            figures = site.last
            if site.can_die and figures is not None and not math.isnan(figures.dead_share):
                dead[site.layer] = max(figures.dead_share, dead.get(site.layer, 0.0))
        rows = tuple(
            Row(
                layer.name,
                layer.activation,
                dead.get(layer.name, math.nan),
                layer.gradient[-1] if layer.gradient else math.nan,
            )
            for layer in history.layers
            if layer.kind != "normalise"
        )
        epoch = history.epochs[-1] + 1 if history.epochs and history.epochs_known else 0
        return cls(history.name, history.steps, epoch, tuple(history.losses), rows)

    def sentence(self) -> str:
        """In one line."""
        parts = [f"{self.name}: step {self.steps}"]
        if self.epoch:
            parts.append(f"epoch {self.epoch}")
        if self.losses:
            parts.append(f"loss {self.losses[-1]:.4g}")
        dying = [row for row in self.rows if row.dead >= CONCERNING]
        if dying:
            worst = max(dying, key=lambda row: row.dead)
            parts.append(f"{worst.dead:.0%} of {worst.name}'s units dead")
        return ", ".join(parts)


class Live:
    """Draws what `read` says, at most about once a second, when `tick` is called.

    Drawn only from there, in the thread that trains: nothing is read while it changes.
    """

    def __init__(self, read: Callable[[], Sequence[History]], stream: TextIO | None = None) -> None:
        """Show on `stream`, by default standard error."""
        self.read = read
        self.stream = sys.stderr if stream is None else stream
        self.screen = _Bottom(self.stream) if _is_screen(self.stream) else None
        self.between = BETWEEN if self.screen else BETWEEN_LINES
        self.due = time.monotonic() + (0.0 if self.screen else self.between)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self.screen is not None:
            self.screen.close()

    def tick(self, *_: Any) -> None:
        """Draw if it is time to; cheap otherwise. Takes and ignores the arguments of an optimiser's hook."""
        start = time.monotonic()
        if start < self.due:
            return
        self.show([View.of(history) for history in self.read()])
        end = time.monotonic()
        self.due = end + max(self.between, (end - start) / SHARE)

    def show(self, views: Sequence[View]) -> None:
        """Draw."""
        if self.screen is None:
            self.stream.write("".join(f"{view.sentence()}\n" for view in views))
            self.stream.flush()
            return
        from rich.console import Console

        columns, lines = self.screen.size()
        console = Console(file=self.stream, force_terminal=True, width=columns, highlight=False, markup=False)
        with console.capture() as captured:
            console.print(draw(views, console, min(MOST_ROWS, lines // 3)))
        self.screen.show(captured.get().splitlines())


def draw(views: Sequence[View], console: Console, room: int) -> RenderableType:
    """The panel: a line for each network, and under it its layers, the ill ones first where there is no room for all.

    Args:
        views: What to show.
        console: Says how wide it may be, and whether the terminal has more than letters.
        room: Most lines for layers.
    """
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    from triode.bakeoff.running.live import BLOCKS, LETTERS, spark

    fine = "utf" in (console.encoding or "").lower()
    parts: list[RenderableType] = [Rule("triode doctor", style="dim", characters="─" if fine else "-")]
    each = max(1, room // max(1, len(views)))
    for view in views:
        line = Text(view.sentence(), no_wrap=True, overflow="ellipsis", style="bold")
        line.append("  " + spark(view.losses, 24, BLOCKS if fine else LETTERS), style="cyan")
        parts.append(line)
        shown = _chosen(view.rows, each)
        grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, show_header=False)
        for justify in ("left", "left", "right", "right"):
            grid.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
        for row in shown:
            grid.add_row(
                Text(f"  {row.name}"),
                Text(row.activation, style="dim"),
                Text(*_dead(row.dead)),
                Text("" if math.isnan(row.gradient) else f"gradient {row.gradient:.1e}"),
            )
        if shown:
            parts.append(grid)
        if len(shown) < len(view.rows):
            parts.append(Text(f"  and {len(view.rows) - len(shown)} more layers", style="dim"))
    return Group(*parts)


def _chosen(rows: Sequence[Row], room: int) -> list[Row]:
    """As many rows as there is room for: those with most dead units, then the first ones; in their order."""
    if len(rows) <= room:
        return list(rows)
    ranked = sorted(range(len(rows)), key=lambda k: (-rows[k].dead if rows[k].dead >= CONCERNING else 0.0, k))
    return [rows[k] for k in sorted(ranked[:room])]


def _dead(share: float) -> tuple[str, str]:
    if math.isnan(share):
        return "", ""
    style, sign = (
        ("red", " !!") if share >= CRITICAL else ("yellow", " !") if share >= CONCERNING else ("green", "")
    )
    return f"{share:.1%} dead{sign}", style


def _is_screen(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb" if os.name != "nt" else "") != "dumb"
    except ValueError:
        return False


class _Bottom:
    """The last lines of a terminal, kept out of its scroll region."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shape = (0, 0, 0)
        """Columns and lines of the terminal, and lines of the panel, as set up."""

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            return 80, 24
        return size.columns or 80, size.lines or 24

    def show(self, lines: Sequence[str]) -> None:
        """Put the panel's lines there; the cursor stays where the script has left it."""
        columns, height = self.size()
        room = min(height // 2, max(len(lines), self.shape[2] if self.shape[:2] == (columns, height) else 0))
        if room < 1:
            return
        parts: list[str] = []
        if self.shape != (columns, height, room):
            same = self.shape[:2] == (columns, height)
            missing = room - self.shape[2] if same else room
            # Moving down makes room at the bottom without changing the column, as a new line would.
            parts += ["" if same else f"{_SAVE}\x1b[r{_RESTORE}", _DOWN * missing, f"\x1b[{missing}A"]
            parts += [_SAVE, f"\x1b[1;{height - room}r", _RESTORE]
            self.shape = (columns, height, room)
        parts.append(_SAVE)
        for k in range(room):
            text = lines[k] if k < len(lines) else ""
            parts.append(f"\x1b[{height - room + 1 + k};1H\x1b[0m\x1b[2K{text}")
        parts.append(_RESTORE)
        self._write("".join(parts))

    def close(self) -> None:
        """Give the lines back."""
        height, room = self.shape[1:]
        if room:
            self._write(f"{_SAVE}\x1b[r\x1b[{height - room + 1};1H\x1b[0m\x1b[J{_RESTORE}")
            self.shape = (0, 0, 0)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass
