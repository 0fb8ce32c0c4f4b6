"""Arrays under agreed names: one `.npz` file, or a folder of `.npy` files, which are mapped and not read."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from triode.bakeoff.data.dataset import Array, hold_out
from triode.bakeoff.data.idx import LARGEST_FILE
from triode.errors import TriodeError

SPELLINGS = (
    ("train_inputs", "train_targets", "test_inputs", "test_targets"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X_train", "y_train", "X_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_x", "train_y", "test_x", "test_y"),
)
"""Names of the four arrays, in the order of `Dataset`."""
WHOLE = (("inputs", "targets"), ("images", "labels"), ("x", "y"), ("X", "y"), ("data", "target"))
"""Names of the two arrays where there is no test part, and a fifth of the rows is held out."""

Four = tuple[Array, Array, Array, Array]


def pick(arrays: Mapping[str, Array], source: str) -> Four:
    """The four arrays among named ones, by the first of `SPELLINGS` or `WHOLE` that is complete."""
    names = names_among(arrays, source)
    found = [arrays[name] for name in names]
    if len(found) == 4:
        return found[0], found[1], found[2], found[3]
    inputs, targets = found
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets):
        raise TriodeError(
            f"{source}: {names[0]} has the shape {inputs.shape} and {names[1]} {targets.shape}; as many rows in each "
            "were expected."
        )
    if inputs.nbytes > LARGEST_FILE:
        raise TriodeError(
            f"{source} has no test part, and {inputs.nbytes:,} bytes are too many to copy a fifth of the rows out; "
            f"write {', '.join(SPELLINGS[0])} as files of their own."
        )
    train, test = hold_out(len(inputs))
    return inputs[train], targets[train], inputs[test], targets[test]


def names_among(names: Collection[str], source: str) -> tuple[str, ...]:
    """The first of `SPELLINGS` or `WHOLE` that is complete among `names`; `source` names them in errors."""
    for spelling in (*SPELLINGS, *WHOLE):
        if all(name in names for name in spelling):
            return spelling
    held = ", ".join(sorted(names)[:12]) or "nothing"
    raise TriodeError(
        f"{source} holds {held}; {', '.join(SPELLINGS[0])} (or x_train, y_train, x_test, y_test, or inputs, targets) "
        "were expected."
    )


def read_npz(path: Path) -> Four:
    """The four arrays of a `.npz` file.

    Every header is read first: a small file that promises to fill the memory is refused before it can.

    Args:
        path: The file, as `numpy.savez` or `numpy.savez_compressed` writes it.

    Returns:
        Training inputs and targets, test inputs and targets.

    Raises:
        TriodeError: The file is damaged, has no such arrays, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            names = names_among(members, str(path))
            for name in names:
                with archive.open(f"{name}.npy") as file:
                    promised = _promised(f"{path}: {name}", file)
                if promised > LARGEST_FILE:
                    raise TriodeError(
                        f"{path}: {name} is refused: its header promises {promised:,} bytes, and more than "
                        f"{LARGEST_FILE:,} are not unpacked into memory; write the arrays as .npy files in a folder, "
                        "and they are read from the disk."
                    )
        with np.load(path, allow_pickle=False) as stored:
            return pick({name: stored[name] for name in names}, str(path))
    except TriodeError:
        raise
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise TriodeError(
            f"{path} is damaged or no .npz file, as numpy.savez writes it ({error}); write it again."
        ) from error


def has_npy(folder: Path) -> bool:
    """Whether a folder holds `.npy` files."""
    return any(folder.glob("*.npy"))


def read_npy_folder(folder: Path) -> Four:
    """The four arrays of a folder of `.npy` files, each mapped: its rows are read when they are asked for.

    Args:
        folder: Where the files lie, named as the arrays of a `.npz` file would be.

    Returns:
        Training inputs and targets, test inputs and targets.

    Raises:
        TriodeError: A file is absent, damaged, or holds Python objects.
    """
    names = names_among({path.stem for path in folder.glob("*.npy")}, f"the folder {folder}")
    return pick({name: _map(folder / f"{name}.npy") for name in names}, str(folder))


def _map(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            promised = _promised(str(path), file)
            had = path.stat().st_size - file.tell()
        if had != promised:
            fault = "truncated" if had < promised else "too long"
            raise TriodeError(
                f"{path} is {fault}: its header promises {promised:,} bytes of numbers and it has {had:,}."
            )
        mapped: Array = np.load(path, mmap_mode="r" if promised else None, allow_pickle=False)
        return mapped
    except TriodeError:
        raise
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise TriodeError(f"{path} is no .npy file, as numpy.save writes it ({error}).") from error


def _promised(what: str, file: IO[bytes]) -> int:
    """Bytes of numbers that the header at the start of a `.npy` file promises; the file is left behind it."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise TriodeError(
            f"{what} is of version {version} of the .npy format, which arrays of numbers do not need."
        )
    if dtype.hasobject:
        raise TriodeError(
            f"{what} holds Python objects, which are code to run and are refused; rows of unequal length are the "
            "likely cause, so save an array of numbers."
        )
    if any(axis < 0 for axis in shape):
        raise TriodeError(f"{what} is damaged: its header has the shape {shape}.")
    return math.prod(shape) * dtype.itemsize
