"""What the commands share: a console that behaves in a pipe, tables that never crop, JSON, numbers, parameters."""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.activation import Activation

UNLIMITED = 100_000
"""Columns assumed in a pipe: a line of a table is then one line of text, for grep and awk."""

GAP = 2
"""Columns between two columns."""

NARROWEST = 12
"""Columns below which a cell that may wrap is no longer readable."""

PROSE = 96
"""Widest line of running text, in columns."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the caller decide; Rich's own answer is to exit with status 1."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console on standard output: as wide as the terminal, or unlimited in a pipe unless COLUMNS says."""
    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else UNLIMITED
    return _Console(width=width, highlight=False, emoji=False, markup=False, soft_wrap=False)


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    fold: Sequence[int] = (),
) -> None:
    """Print a table, or, where it is wider than the terminal, a block of lines for each row.

    Args:
        headers: Column headings; the first column is the heading of a block.
        rows: The cells, row by row.
        right: Indices of the columns to align on the right.
        fold: Indices of the columns that may wrap within a cell before the table gives way to blocks.
    """
    out = console()
    widths = [max(len(row[k]) for row in [headers, *rows]) for k in range(len(headers))]
    least = [min(width, NARROWEST) if k in fold else width for k, width in enumerate(widths)]
    if sum(least) + GAP * (len(least) - 1) > out.width:
        _blocks(out, headers, rows)
        return
    # The box of a terminal's table brings one of the columns between two columns.
    box, gap = (SIMPLE_HEAD, GAP - 1) if sys.stdout.isatty() else (None, GAP)
    grid = Table(box=box, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for k, header in enumerate(headers):
        grid.add_column(
            header,
            justify="right" if k in right else "left",
            no_wrap=k not in fold,
            min_width=least[k],
            overflow="fold",
            header_style="bold",
        )
    for row in rows:
        grid.add_row(*map(Text, row))
    _print_without_trailing_blanks(out, grid)


def section(title: str, lines: Sequence[str]) -> None:
    """Print a heading and indented paragraphs under it; nothing where there are no lines."""
    if lines:
        heading(title)
    for line in lines:
        paragraph(line, indent="  ", hanging="  ")


def heading(title: str) -> None:
    """Print an empty line and a heading."""
    out = console()
    out.print()
    out.print(Text(title, style="bold"))


def paragraph(text: str, *, indent: str = "", hanging: str = "", style: str = "") -> None:
    """Print running text wrapped at the terminal's width, with the later lines indented a little more."""
    out = console()
    width = max(20, min(out.width, PROSE))
    later = " " * len(indent) + hanging
    wrapped = textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=later,
        break_on_hyphens=False,
        break_long_words=False,
    )
    for line in wrapped or [""]:
        out.print(Text(line, style=style), soft_wrap=True)


def print_json(data: object) -> None:
    """Print data as strict JSON: a number that JSON lacks becomes the string "nan", "inf" or "-inf"."""
    sys.stdout.write(json.dumps(_strict(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def number(value: Any) -> str:
    """Write a number with as many digits as its own type needs to be read back unchanged, and no more."""
    text = str(value)
    return text.removesuffix(".0")


def formula(activation: Activation) -> str:
    """Return an activation's formula as text; a normalising one has no expression, only its text."""
    return str(getattr(activation, "text", activation.formula))


def parameters(given: Sequence[str]) -> dict[str, float]:
    """Read `name=value` words into parameters of an activation.

    Args:
        given: Such as `["alpha=0.5"]`.

    Returns:
        The values by name. Whether a name and its value suit an activation is for the activation to say.

    Raises:
        TriodeError: A word without `=`, a value that is not a number, or a name given twice.
    """
    read: dict[str, float] = {}
    for word in given:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name:
            raise TriodeError(f"--param {word!r} is not of the form name=value, such as --param alpha=0.5.")
        if name in read:
            raise TriodeError(f"--param {name} is given twice.")
        try:
            read[name] = float(text)
        except ValueError:
            raise TriodeError(f"--param {word!r}: {text!r} is not a number.") from None
    return read


def _blocks(out: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    label = max(map(len, headers[1:]), default=0)
    for row in rows:
        out.print(Text(f"{headers[0]} {row[0]}", style="bold"), soft_wrap=True)
        for header, cell in zip(headers[1:], row[1:], strict=True):
            if cell:
                paragraph(cell, indent=f"  {header:<{label}}  ")


def _print_without_trailing_blanks(out: Console, grid: Table) -> None:
    if out.is_terminal:
        out.print(grid)
        return
    with out.capture() as captured:
        out.print(grid)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _strict(data: object) -> object:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, Mapping):
        return {str(key): _strict(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(value) for value in data]
    return data
