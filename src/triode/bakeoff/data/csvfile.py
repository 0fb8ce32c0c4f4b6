"""One CSV file read strictly: columns of numbers, one column of targets, and the line of every row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triode.bakeoff.data.idx import LARGEST_FILE
from triode.errors import TriodeError

TARGETS = ("target", "label", "class", "y")
"""Names of the column that is to be predicted, the first that is there; otherwise it is the last column."""
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
"""What stands where a number is missing, in small letters."""
_BLOCK = 4096


@dataclass(frozen=True)
class Table:
    """A CSV file: `features` (rows, columns), `targets` as they are written, and where each row began."""

    path: Path
    header: tuple[str, ...] | None
    target_name: str
    features: npt.NDArray[np.float64]
    targets: list[str]
    lines: list[int]

    @property
    def counts_rows(self) -> bool:
        """Whether the first column has no name and only counts the rows, as pandas writes its index."""
        if self.header is None or not self.features.size:
            return False
        nameless = not self.header[0] or self.header[0].lower().startswith("unnamed: 0")
        return nameless and bool((np.diff(self.features[:, 0]) == 1).all())

    def without_first(self) -> Table:
        """The table without its first column."""
        header = None if self.header is None else self.header[1:]
        return Table(self.path, header, self.target_name, self.features[:, 1:], self.targets, self.lines)


def is_number(cell: str) -> bool:
    """Whether a cell holds a number; what stands for a missing one is none.

    >>> is_number("-1e3"), is_number("nan"), is_number("1_000")
    (True, False, False)
    """
    if "_" in cell or cell.lower() in MISSING:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_csv(path: Path, like: Table | None = None) -> Table:
    """The table in a CSV file: UTF-8, with or without a header, separated by commas, semicolons or tabs.

    Args:
        path: The file.
        like: The training table, whose columns a test table must have.

    Returns:
        The table; every feature is finite.

    Raises:
        TriodeError: The line and the column of what is empty, no number, or not what the other rows have.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise TriodeError(
                f"{path} has {size:,} bytes, and CSV of up to {LARGEST_FILE:,} is read; write its arrays as .npy files "
                "in a folder, and they are read from the disk."
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            delimiter = max(",;\t", key=start.count)
            file.seek(0)
            return _table(path, _rows(path, csv.reader(file, delimiter=delimiter, strict=True)), like)
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TriodeError(
            f"{path} is not UTF-8 text (byte {error.start:,}); a spreadsheet can save it as CSV UTF-8."
        ) from error


Row = tuple[int, list[str]]


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[Row]:
    """The rows that hold something, each with its line."""
    try:
        for cells in reader:
            if any(cell and not cell.isspace() for cell in cells):
                yield reader.line_num, cells  # type: ignore[attr-defined]
    except csv.Error as error:
        line = reader.line_num  # type: ignore[attr-defined]
        raise TriodeError(
            f"{path} is not CSV in line {line} ({error}); an opening quote without its end is the likely cause."
        ) from error


def _table(path: Path, rows: Iterator[Row], like: Table | None) -> Table:
    first = [(line, [cell.strip() for cell in cells]) for line, cells in islice(rows, 2)]
    if not first:
        raise TriodeError(f"{path} is empty; rows of numbers were expected.")
    width = len(first[0][1])
    header: tuple[str, ...] | None = None
    if _has_header(first[0][1], first[-1][1], like):
        header = tuple(first.pop(0)[1])
    if not first:
        raise TriodeError(f"{path} has a header and no rows.")
    if like is not None:
        _must_match(path, header, width, like)
    if width < 2:
        raise TriodeError(
            f"{path} has one column; at least one column of numbers and one to predict were expected, separated by "
            "commas, semicolons or tabs."
        )
    target = _target_column(header, width) if like is None else _target_column(like.header, width)
    names = header or tuple(f"{number + 1}" for number in range(width))
    features, targets, lines = _columns(path, first, rows, target, names)
    kept = None if header is None else header[:target] + header[target + 1 :]
    return Table(path, kept, names[target], features, targets, lines)


def _has_header(first: list[str], second: list[str], like: Table | None) -> bool:
    if like is not None and like.header is not None and set(first) & set(like.header) - {""}:
        return True

    def is_name(cell: str) -> bool:
        return not is_number(cell) and cell.lower() not in MISSING

    if any(is_name(a) and is_number(b) for a, b in zip(first, second, strict=False)):
        return True
    # Numbered columns over text classes: 0, 1, 2, class. A lone y may be a class itself.
    return any(cell.lower() in TARGETS[:3] for cell in first) or not any(map(is_number, first))


def _target_column(header: tuple[str, ...] | None, width: int) -> int:
    names = [name.lower() for name in header or ()]
    return next((names.index(name) for name in TARGETS if name in names), width - 1)


def _must_match(path: Path, header: tuple[str, ...] | None, width: int, like: Table) -> None:
    expected = like.features.shape[1] + 1
    if header is not None and like.header is not None:
        absent = [name for name in (*like.header, like.target_name) if name not in header]
        if absent:
            cause = (
                "; a test file without targets cannot be scored, so leave it away and a fifth of the rows is held out"
                if absent == [like.target_name]
                else ""
            )
            raise TriodeError(f"{path} has no column {absent[0]!r}, which {like.path} has{cause}.")
        position = _target_column(header, width)
        if header[:position] + header[position + 1 :] != like.header:
            raise TriodeError(f"{path} has other columns than {like.path}, or in another order.")
    if width != expected:
        raise TriodeError(f"{path} has {width} columns and {like.path} has {expected}.")


def _columns(
    path: Path, first: list[Row], rows: Iterator[Row], target: int, names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], list[str], list[int]]:
    blocks: list[npt.NDArray[np.float64]] = []
    targets: list[str] = []
    lines: list[int] = []
    gaps = 0
    where = ""
    block = first + list(islice(rows, _BLOCK))
    while block:
        numbers = []
        for line, cells in block:
            if len(cells) != len(names):
                raise TriodeError(
                    f"{path} has {len(cells)} cells in line {line} and {len(names)} in the first; every row needs as "
                    "many."
                )
            targets.append(cells.pop(target).strip())
            lines.append(line)
            try:
                row = [float(cell) for cell in cells]
            except ValueError:
                row = _numbers(
                    path, line, [cell.strip() for cell in cells], names[:target] + names[target + 1 :]
                )
            numbers.append(row)
        array = np.array(numbers, np.float64)
        bad = ~np.isfinite(array)
        if bad.any():
            if not gaps:
                row_number, column = np.unravel_index(int(bad.argmax()), bad.shape)
                name = (names[:target] + names[target + 1 :])[int(column)]
                what = "no number" if np.isnan(array[row_number, column]) else "inf"
                where = f"{what} in line {block[int(row_number)][0]}, column {name!r}"
            gaps += int(bad.sum())
        blocks.append(array)
        block = list(islice(rows, _BLOCK))
    if gaps:
        more = "" if gaps == 1 else f" ({gaps:,} such cells in all)"
        raise TriodeError(f"{path} has {where}{more}; fill the gaps or leave those rows out.")
    return np.concatenate(blocks), targets, lines


def _numbers(path: Path, line: int, cells: list[str], names: tuple[str, ...]) -> list[float]:
    """The cells as numbers, nan for a missing one."""
    for cell, name in zip(cells, names, strict=True):
        if not is_number(cell) and cell.lower() not in MISSING:
            raise TriodeError(
                f"{path} has {cell[:40]!r} in line {line}, column {name!r}, where a number was expected; turn "
                "text into numbers first, and write decimals with a point."
            )
    return [math.nan if cell.lower() in MISSING else float(cell) for cell in cells]
