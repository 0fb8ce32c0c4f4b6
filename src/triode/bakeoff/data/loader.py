"""Data from the user's own code: `module:loader`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from triode.bakeoff.contestants import import_object
from triode.bakeoff.data.arrays import SPELLINGS, names_among, pick
from triode.bakeoff.data.assemble import from_arrays
from triode.bakeoff.data.check import check
from triode.bakeoff.data.dataset import Array, Dataset
from triode.bakeoff.data.fingerprint import fingerprint
from triode.errors import TriodeError

_EXPECTED = "a Dataset, (x_train, y_train, x_test, y_test), or a dict with those names"


def from_loader(name: str, data_dir: Path | None, task: str, content: bool) -> Dataset:
    """What the function `module:loader` returns, checked and turned into a data set.

    The module is found as `python -m` would find it, from the current folder on. The function is called without
    arguments, or with `data_dir` where it takes one of that name.

    Args:
        name: `module:loader`.
        data_dir: Passed on to the loader if it asks for it.
        task: classification, regression or auto.
        content: Whether every number of a large mapped file is checked.

    Returns:
        The data set; one that the loader made itself gets a fingerprint if it has none.

    Raises:
        TriodeError: There is no such function, it failed, or it returned something else than a `Dataset`, four arrays
            or tensors, or a dict of them.
    """
    made = _called(name, import_object(name, "dataset"), data_dir)
    if isinstance(made, Dataset):
        return _finished(name, made, task, content)
    if isinstance(made, Mapping):
        named = {str(key): value for key, value in made.items()}
        arrays = pick({key: _array(f"{name}: {key}", named[key]) for key in names_among(named, name)}, name)
    elif isinstance(made, tuple | list):
        # ((x, y), (x, y)), as Keras's data sets come, or all four in a row.
        pairs = len(made) == 2 and all(isinstance(part, tuple | list) and len(part) == 2 for part in made)
        parts = [*made[0], *made[1]] if pairs else list(made)
        if len(parts) != 4:
            raise TriodeError(f"{name} returned {len(parts)} things; {_EXPECTED} was expected.")
        four = [_array(f"{name}: {what}", part) for what, part in zip(SPELLINGS[1], parts, strict=True)]
        arrays = (four[0], four[1], four[2], four[3])
    else:
        raise TriodeError(f"{name} returned {type(made).__name__}; {_EXPECTED} was expected.")
    return from_arrays(name, *arrays, task=task, content=content)


def _called(name: str, loader: Any, data_dir: Path | None) -> Any:
    if not callable(loader):
        raise TriodeError(f"{name} is {type(loader).__name__}, not a function that returns {_EXPECTED}.")
    try:
        takes = "data_dir" in inspect.signature(loader).parameters
    except (TypeError, ValueError):  # built-in functions may have no signature
        takes = False
    try:
        return loader(data_dir=data_dir) if takes else loader()
    except TriodeError:
        raise
    except Exception as error:
        raise TriodeError(f"{name} raised {type(error).__name__}: {error}") from error


def _array(what: str, value: Any) -> Array:
    """An array from an array, a tensor, a data frame or nested lists, without importing what it comes from."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        elif hasattr(value, "to_numpy"):
            value = value.to_numpy()
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
            raise TriodeError(f"{what} is {type(value).__name__}; an array or a tensor was expected.")
        return np.asarray(value)
    except TriodeError:
        raise
    except Exception as error:
        raise TriodeError(
            f"{what} ({type(value).__name__}) cannot be turned into an array of numbers: {error}"
        ) from error


def _finished(name: str, data: Dataset, task: str, content: bool) -> Dataset:
    from dataclasses import replace

    if task not in ("auto", data.task):
        raise TriodeError(f"task = {task!r} does not fit {name}, which returns data of the task {data.task}.")
    arrays = [data.train_inputs, data.train_targets, data.test_inputs, data.test_targets]
    for field, array in zip(SPELLINGS[0], arrays, strict=True):
        if not isinstance(array, np.ndarray) or not array.ndim:
            raise TriodeError(
                f"{name} returned a Dataset whose {field} is {type(array).__name__}; an array with a row an example "
                "was expected."
            )
    check(data, content=content)
    if data.fingerprint:
        return data
    scaling = [np.asarray(v).tolist() for v in (data.shift, data.scale, data.target_shift, data.target_scale)]
    return replace(data, fingerprint=fingerprint(arrays, data.task, data.outputs, data.labels, scaling))
