"""The SHA-256 of a data set: what names its trials, and what shows that a file has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from triode.bakeoff.data.dataset import Array

CHUNK = 2**24
"""Bytes of an array that are looked at in one go, so that a file larger than memory passes through."""
LARGE = 2**30
"""A mapped file beyond this many bytes is not read from end to end where a part of it will do."""
_ENDS = 2**20


def chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """The rows of an array in pieces of about `CHUNK` bytes, each with the number of its first row.

    >>> [(first, piece.shape) for first, piece in chunks(np.zeros((3, 2**22), np.float32))]
    [(0, (1, 4194304)), (1, (1, 4194304)), (2, (1, 4194304))]
    """
    rows = max(1, CHUNK // max(1, array[:1].nbytes))
    for first in range(0, len(array), rows):
        yield first, array[first : first + rows]


def is_large(array: Array) -> bool:
    """Whether an array is a mapped file of more than `LARGE` bytes."""
    return isinstance(array, np.memmap) and array.nbytes > LARGE


def fingerprint(arrays: Sequence[Array], *also: object) -> str:
    """SHA-256 over the shapes, types and content of the arrays, and over `also`.

    A mapped file larger than 1 GiB is not read whole, which would take minutes in every worker: its size, the time of
    its last change, and its first and last MiB stand for its content.

    Args:
        arrays: Of any shapes; their layout in memory changes nothing.
        also: Plain values that belong to the data: the task, the names of classes.

    Returns:
        64 hexadecimal digits.

    >>> fingerprint([np.arange(4)], "a") == fingerprint([np.arange(4)], "b")
    False
    """
    digest = hashlib.sha256(repr(also).encode())
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.newbyteorder('<').str}".encode())
        if is_large(array):
            for part in _ends(array):
                digest.update(part)
            continue
        for _, piece in chunks(array):
            little = piece.astype(piece.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def _ends(array: Array) -> Iterator[bytes]:
    path = Path(str(getattr(array, "filename", "")))
    state = path.stat()
    yield f"{state.st_size} {state.st_mtime_ns}".encode()
    with path.open("rb") as file:
        yield file.read(_ENDS)
        file.seek(-_ENDS, 2)
        yield file.read(_ENDS)
