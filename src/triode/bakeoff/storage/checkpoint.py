"""The state of a training between two epochs as one file, which is whole or counts as absent.

A file is an uncompressed NumPy archive (`numpy.load` opens it): an array for each name of the state, and the records of
the epochs so far, so that it alone is enough to go on. Nothing in it is pickled.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
_ABOUT = "about.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What `write` was given."""

    epoch: int
    """Epochs finished."""
    state: dict[str, NDArray[Any]]
    records: tuple[tuple[str, ...], ...]
    """For each trial the lines of its epochs, epoch 0 first."""
    seconds: float
    """Wall time spent so far."""


def write(
    path: Path,
    state: Mapping[str, NDArray[Any]],
    records: Sequence[Sequence[str]],
    epoch: int,
    seconds: float = 0.0,
) -> None:
    """Give `path` this state at once: a reader sees the old checkpoint or the new one, never a part.

    It is not forced onto the disk (`fsync`): a process that is killed takes nothing with it that it had handed to the
    operating system, and after a power cut the sums of `read` tell a torn file from a whole one; what is lost then
    is time, no result. Seven megabytes take about 10 ms so, and many times that with `fsync`.

    Args:
        path: The file; its folder must exist.
        state: Arrays by name, of any shape, of numbers or booleans.
        records: For each trial the lines of its epochs.
        epoch: Epochs finished.
        seconds: Wall time spent so far.

    Raises:
        OSError: When it cannot be written; the old checkpoint is then still there.
    """
    about = {
        "format": FORMAT,
        "epoch": epoch,
        "seconds": seconds,
        "names": list(state),
        "records": [list(lines) for lines in records],
    }
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_ABOUT, json.dumps(about))
            for number, array in enumerate(state.values()):
                with archive.open(f"{number}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def read(path: Path) -> Checkpoint | None:
    """The checkpoint back; None where there is none, and (with a warning) where it is torn or altered.

    Every entry's sum (CRC-32) is checked before anything in it is looked at.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(_ABOUT))
            if about["format"] != FORMAT:
                raise ValueError(f"it has format {about['format']!r}, not {FORMAT}")
            state = {
                str(name): _array(archive.read(f"{number}.npy")) for number, name in enumerate(about["names"])
            }
        records = tuple(tuple(str(line) for line in lines) for lines in about["records"])
        return Checkpoint(int(about["epoch"]), state, records, float(about["seconds"]))
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - whatever altered bytes provoke in three parsers
        warnings.warn(
            f"{path} is torn or altered ({error}): the training starts over.",
            stacklevel=2,
        )
        return None


def _array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
