"""A data set is looked at once before anything long starts: each fault is one sentence that names the place."""

from __future__ import annotations

import numpy as np

from triode.bakeoff.data.dataset import Array, Dataset
from triode.bakeoff.data.fingerprint import chunks
from triode.errors import TriodeError


def check(data: Dataset, *, content: bool = True) -> Dataset:
    """The data set itself, if a network can be trained on it.

    Args:
        data: What a reader or a loader made.
        content: Whether to look at every number; otherwise only at shapes and types. A mapped file is read through
            in pieces.

    Returns:
        `data`, unchanged.

    Raises:
        TriodeError: An empty part, inputs or targets that do not belong together, labels out of range, a class
            without an example, nan or inf, or nothing to learn because all is constant.

    >>> x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 7])
    >>> check(Dataset("mine", "classification", x, y, x, y, (2,), 3))
    Traceback (most recent call last):
    ...
    triode.errors.TriodeError: mine: the training part has the label 7 in row 3, and 3 classes are numbered 0 to 2...
    """
    if data.task not in ("classification", "regression", "next-character"):
        raise TriodeError(
            f"{data.name}: the task {data.task!r} is not one of classification, regression, next-character."
        )
    for part, inputs, targets in _parts(data):
        _check_shapes(data, part, inputs, targets)
    _check_numbers(data)
    if content:
        for part, inputs, targets in _parts(data):
            _check_finite(data.name, f"the {part} inputs", inputs)
            _check_finite(data.name, f"the {part} targets", targets)
            if data.task == "classification":
                _check_labels(data, part, targets)
        _check_varies(data)
    return data


def _parts(data: Dataset) -> tuple[tuple[str, Array, Array], ...]:
    return (
        ("training", data.train_inputs, data.train_targets),
        ("test", data.test_inputs, data.test_targets),
    )


def _check_numbers(data: Dataset) -> None:
    if data.task == "classification" and data.outputs < 2:
        _check_labels(data, "training", data.train_targets)  # a label below 0 is no class
    if data.outputs < (1 if data.task == "regression" else 2):
        what = {"classification": "one class", "next-character": "one character"}.get(data.task, "no target")
        raise TriodeError(
            f"{data.name} has {what} only, so there is nothing to learn; is it the right column?"
        )
    if data.task == "classification" and data.outputs > len(data.train_targets):
        raise TriodeError(
            f"{data.name}: its labels go up to {data.outputs - 1}, and the training part has only "
            f"{len(data.train_targets):,} rows for those {data.outputs:,} classes; numbers to predict need the task "
            "regression."
        )
    for name in ("scale", "target_scale"):
        value = np.asarray(getattr(data, name))
        if not (np.isfinite(value).all() and (value > 0).all()):
            raise TriodeError(f"{data.name}: {name} must be positive and finite everywhere.")


def _check_shapes(data: Dataset, part: str, inputs: Array, targets: Array) -> None:
    if not len(inputs) or not len(targets):
        raise TriodeError(f"{data.name}: the {part} part is empty; every part needs examples.")
    if inputs.shape[1:] != data.shape or not inputs.size:
        raise TriodeError(
            f"{data.name}: an example of the {part} inputs has the shape {inputs.shape[1:]}, and {data.shape} was "
            "expected; training and test part must be made in the same way."
        )
    if len(inputs) != len(targets):
        raise TriodeError(
            f"{data.name}: the {part} part has {len(inputs):,} inputs and {len(targets):,} targets; "
            "they do not belong together."
        )
    whole = data.task != "regression"
    if targets.shape[1:] != (() if whole else (data.outputs,)):
        expected = "one class a row" if whole else f"{data.outputs} a row"
        raise TriodeError(
            f"{data.name}: the {part} targets have the shape {targets.shape}, and {expected} was expected."
        )
    if whole and targets.dtype.kind not in "iu":
        raise TriodeError(
            f"{data.name}: the {part} targets are {targets.dtype}, and {data.task} takes whole numbers; for numbers "
            "to predict choose the task regression."
        )


def _check_finite(name: str, what: str, array: Array) -> None:
    if array.dtype.kind not in "fc":
        return
    count, value = 0, 0.0
    place: tuple[int, ...] = ()
    for first, piece in chunks(array):
        bad = ~np.isfinite(piece)
        found = int(np.count_nonzero(bad))
        if found and not count:
            row, *rest = np.unravel_index(int(bad.argmax()), bad.shape)
            place, value = (first + int(row), *map(int, rest)), float(piece[(row, *rest)])
        count += found
    if count:
        # A division by zero or an overflow gives inf, a gap in a table nan.
        cause = (
            "gaps must be filled or their rows left out"
            if np.isnan(value)
            else "a division by zero or a number beyond float32 is the likely cause"
        )
        more = "" if count == 1 else f" ({count:,} numbers of that kind in all)"
        raise TriodeError(f"{name}: {what} hold {value} in {_where(place)}{more}; {cause}.")


def _where(place: tuple[int, ...]) -> str:
    row, *rest = place
    if not rest:
        return f"row {row:,}"
    if len(rest) == 1:
        return f"row {row:,}, column {rest[0]:,} (both counted from 0)"
    return f"row {row:,} at {tuple(rest)} (all counted from 0)"


def _check_labels(data: Dataset, part: str, targets: Array) -> None:
    counts = np.zeros(data.outputs, np.int64)
    numbered = f"{data.outputs} classes are numbered 0 to {data.outputs - 1}"
    if data.outputs < 2:
        numbered = "classes are numbered from 0"
    for first, piece in chunks(targets):
        wrong = (piece < 0) | (piece >= data.outputs)
        if wrong.any():
            row = int(wrong.argmax())
            raise TriodeError(
                f"{data.name}: the {part} part has the label {piece[row]} in row {first + row:,}, and {numbered}; "
                f"{_cause_of_label(part, int(piece[row]))}."
            )
        counts += np.bincount(piece, minlength=data.outputs)
    if part == "training" and not counts.all():
        absent = np.flatnonzero(counts == 0)
        name = f" ({data.labels[absent[0]]})" if data.labels else ""
        shift = (
            "labels start at 1 where they must start at 0"
            if absent.tolist() == [0]
            else "numbers to predict need the task regression, and rare classes more rows"
        )
        more = "" if len(absent) == 1 else f", nor of {len(absent) - 1:,} other classes"
        raise TriodeError(
            f"{data.name}: the training part has no example of class {absent[0]}{name}{more}, though labels up to "
            f"{data.outputs - 1} occur; {shift}."
        )


def _cause_of_label(part: str, label: int) -> str:
    if label < 0:
        return "classes of -1 and 1 must become 0 and 1, and rows without a label be left out"
    if part == "test":
        return "training never sees it, so the parts are of different data, it seems"
    return "labels that start at 1 must have 1 taken off"


def _check_varies(data: Dataset) -> None:
    if data.task != "classification":
        targets = data.train_targets
        if _constant(targets):
            raise TriodeError(
                f"{data.name}: every training target is {np.ravel(targets[:1])[0]}, so there is nothing to learn; "
                "is it the right column?"
            )
    if data.task != "next-character" and _constant(data.train_inputs):
        raise TriodeError(
            f"{data.name}: every training input is {np.ravel(data.train_inputs[:1])[0]}, so there is nothing to "
            "learn from; the file was written before it was filled, it seems."
        )


def _constant(array: Array) -> bool:
    first = np.ravel(array[:1])[0]
    return all(bool((piece == first).all()) for _, piece in chunks(array))
