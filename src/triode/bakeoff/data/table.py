"""CSV as a data set: what is predicted, and what the classes are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triode.bakeoff.data.assemble import FEW, from_arrays
from triode.bakeoff.data.csvfile import MISSING, Table, is_number, read_csv
from triode.bakeoff.data.dataset import Array, Dataset, hold_out
from triode.errors import TriodeError

MOST_CLASSES = 1_000


def read_tables(name: str, train_path: Path, test_path: Path | None, task: str) -> Dataset:
    """A data set from one CSV file, or from one for each part.

    The target is the column named target, label, class or y, or else the last; all others are features and must be
    numbers. A first column without a name that only counts the rows is left out. Targets of at most 50 whole numbers,
    or of text, are classes, named and numbered in ascending order; other numbers are predicted by regression.

    Args:
        name: What the user calls the data.
        train_path: The file to train on.
        test_path: The file to test on; None: a fixed fifth of the rows is held out.
        task: classification, regression, or auto.

    Returns:
        The data set, its features standardised by the training part's mean and deviation.

    Raises:
        TriodeError: One sentence with the file, the line and the column of the fault.
    """
    train = read_csv(train_path)
    tables = [train] if test_path is None else [train, read_csv(test_path, train)]
    if train.counts_rows:
        tables = [table.without_first() for table in tables]
    if not tables[0].features.shape[1]:
        raise TriodeError(f"{train_path} has no column of numbers beside its target {train.target_name!r}.")
    for table in tables:
        for line, cell in zip(table.lines, table.targets, strict=True):
            if cell.lower() in MISSING:
                raise TriodeError(
                    f"{table.path} has no target in line {line}, column {table.target_name!r}; leave that row out."
                )
    labels: tuple[str, ...] = ()
    chosen = _task(train) if task == "auto" else task
    if chosen == "classification":
        labels = _labels(train)
        targets = [_class_numbers(table, labels, train) for table in tables]
    else:
        targets = [_target_numbers(table) for table in tables]
    features = [table.features for table in tables]
    if test_path is None:
        rows = hold_out(len(features[0]))
        features, targets = [features[0][r] for r in rows], [targets[0][r] for r in rows]
    return from_arrays(name, features[0], targets[0], features[1], targets[1], task=chosen, labels=labels)


def _task(table: Table) -> str:
    values = set(table.targets)
    if not all(map(is_number, values)):
        return "classification"
    numbers = {float(value) for value in values}
    few = len(numbers) <= FEW and all(number.is_integer() for number in numbers)
    return "classification" if few else "regression"


def _labels(table: Table) -> tuple[str, ...]:
    """Names of the classes, ascending: as numbers where all are numbers, else as text."""
    names = tuple(sorted({_class_name(cell) for cell in table.targets}, key=_ascending))
    if len(names) > MOST_CLASSES or (len(table.targets) >= 20 and 2 * len(names) > len(table.targets)):
        odd = next((i for i, cell in enumerate(table.targets) if not is_number(cell)), None)
        cause = (
            "numbers to predict need the task regression"
            if odd is None
            else f"{table.targets[odd][:40]!r} in line {table.lines[odd]} is no number, so they were taken for classes"
        )
        raise TriodeError(
            f"{table.path} has {len(names):,} different targets in {len(table.targets):,} rows (column "
            f"{table.target_name!r}), too many for classes; {cause}."
        )
    return names


def _class_name(cell: str) -> str:
    """One name for a class however its number is written: 1 and 1.0 are the same.

    >>> _class_name("1.0"), _class_name("-0.5"), _class_name("cat")
    ('1', '-0.5', 'cat')
    """
    if not is_number(cell):
        return cell
    number = float(cell)
    return str(int(number)) if number.is_integer() else str(number)


def _ascending(name: str) -> tuple[bool, float, str]:
    return (False, float(name), name) if is_number(name) else (True, 0.0, name)


def _class_numbers(table: Table, labels: tuple[str, ...], train: Table) -> Array:
    numbers = {name: number for number, name in enumerate(labels)}
    found = np.empty(len(table.targets), np.int64)
    for row, cell in enumerate(table.targets):
        number = numbers.get(_class_name(cell))
        if number is None:
            raise TriodeError(
                f"{table.path} has the class {cell[:40]!r} in line {table.lines[row]}, and {train.path} has no "
                "example of it, so it is never trained on."
            )
        found[row] = number
    return found


def _target_numbers(table: Table) -> Array:
    for line, cell in zip(table.lines, table.targets, strict=True):
        if not is_number(cell):
            raise TriodeError(
                f"{table.path} has the target {cell[:40]!r} in line {line}, column {table.target_name!r}, where "
                "regression needs a number; text targets need the task classification."
            )
    return np.array([float(cell) for cell in table.targets])
