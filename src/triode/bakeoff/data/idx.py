"""Files in the format of MNIST: four files of bytes, plain (mapped, not read) or gzip."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from triode.bakeoff.data.dataset import Array
from triode.bakeoff.data.fingerprint import chunks
from triode.errors import TriodeError

Bytes = npt.NDArray[np.uint8]

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
LARGEST_FILE = 2**31
"""Content beyond this many bytes is refused where it would have to be unpacked into memory."""
_MOST_AXES = 4


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def find(folder: Path, stem: str) -> Path | None:
    """The file of one part in either spelling, with or without a colour axis, packed or not; None when absent."""
    # Most keep "train-images-idx3-ubyte", some mirrors "train-images.idx3-ubyte"; colour images have four axes.
    for spelled in (stem, stem.replace("idx3", "idx4")):
        for name in (spelled, spelled.replace("-idx", ".idx")):
            for candidate in (folder / f"{name}.gz", folder / name):
                if candidate.is_file():
                    return candidate
    return None


def has_any(folder: Path) -> bool:
    """Whether a folder holds at least one of the four files."""
    return any(find(folder, stem) for stem in IDX_FILES.values())


def has_all(folder: Path) -> bool:
    """Whether the four files of a data set in IDX format lie in `folder`."""
    return all(find(folder, stem) for stem in IDX_FILES.values())


def read_four(name: str, folder: Path, sha256: dict[str, str] | None = None) -> tuple[Bytes, ...]:
    """The four arrays of a folder in the order of `IDX_FILES`.

    Args:
        name: What the data set is called, for errors.
        folder: Where the files lie.
        sha256: What the unpacked content of each must hash to, by part; None where nothing is known.

    Returns:
        Training images, training labels, test images, test labels; images have 3 or 4 axes.

    Raises:
        TriodeError: A file is missing, is not what its name says, or does not belong to the others.
    """
    arrays: dict[str, Bytes] = {}
    for part, stem in IDX_FILES.items():
        path = find(folder, stem)
        if path is None:
            raise TriodeError(f"{folder} has no {stem}.gz, one of the four files of {name}.")
        arrays[part] = array = read_idx(path, sha256[part] if sha256 else None)
        if array.ndim not in ((3, 4) if part.endswith("images") else (1,)):
            raise TriodeError(
                f"{path} holds an array of shape {array.shape}, not the {part.replace('_', ' ')} of {name}."
            )
        if part.endswith("labels"):
            images = arrays[part.replace("labels", "images")]
            if len(images) != len(array):
                raise TriodeError(
                    f"{path} has {len(array):,} labels for {len(images):,} images; "
                    "the files do not belong together."
                )
    return tuple(arrays.values())


def read_idx(path: Path, sha256: str | None = None) -> Bytes:
    """An array from an IDX file of unsigned bytes, plain or gzip; refused by name when truncated or altered.

    The format: two zero bytes, the type (8: unsigned byte), the number of axes, each axis as a big-endian 32-bit
    number, then the elements (LeCun, Cortes and Burges, the MNIST database, 1998).

    Args:
        path: The file.
        sha256: What its content, unpacked, must hash to; None where nothing is known.

    Returns:
        The array, read-only; a `numpy.memmap` where the file is plain.

    Raises:
        TriodeError: One sentence that names the file.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return _plain(path, raw, sha256)
            with gzip.GzipFile(fileobj=raw) as file:
                return _packed(path, file, sha256)
    except EOFError as error:
        raise TriodeError(
            f"{path} is truncated: its gzip data ends before the end; fetch it again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TriodeError(
            f"{path} is damaged: its gzip data cannot be unpacked ({error}); fetch it again."
        ) from error
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error


def _plain(path: Path, file: _Readable, sha256: str | None) -> Bytes:
    header, shape = _header(path, file)
    body = path.stat().st_size - len(header)
    if body != math.prod(shape):
        if sha256 is not None:
            raise _not_published(path)
        raise _wrong_length(path, shape, len(header), f"it has {body + len(header):,}", body)
    array: Bytes = np.memmap(path, np.uint8, "r", offset=len(header), shape=shape)
    if sha256 is not None:
        _must_hash(path, header, array, sha256)
    return array


def _packed(path: Path, file: _Readable, sha256: str | None) -> Bytes:
    header, shape = _header(path, file)
    promised = math.prod(shape)
    if promised > LARGEST_FILE:
        raise TriodeError(
            f"{path} is refused: its header promises {promised:,} bytes (shape {_times(shape)}), and more than "
            f"{LARGEST_FILE:,} are not unpacked into memory; unpack it with gunzip, and it is read from the disk."
        )
    # One byte more than promised tells a file that is too long, whatever it would unpack to.
    body = file.read(promised + 1)
    if len(body) != promised:
        if sha256 is not None:
            raise _not_published(path)
        had = "more follows" if len(body) > promised else f"it has {len(body) + len(header):,}"
        raise _wrong_length(path, shape, len(header), had, len(body))
    array = np.frombuffer(body, np.uint8).reshape(shape)
    if sha256 is not None:
        _must_hash(path, header, array, sha256)
    return array


def _header(path: Path, file: _Readable) -> tuple[bytes, tuple[int, ...]]:
    start = file.read(4)
    axes = start[3] if len(start) == 4 else 0
    rest = file.read(4 * axes) if 1 <= axes <= _MOST_AXES else b""
    if start[:3] != b"\0\0\x08" or not rest or len(rest) < 4 * axes:
        raise TriodeError(
            f"{path} does not start as an IDX file of bytes does (00 00 08 and the number of axes)."
        )
    shape = tuple(int(n) for n in np.frombuffer(rest, ">u4"))
    if 0 in shape:  # nothing cannot be mapped, and a part without examples is of no use
        raise TriodeError(f"{path} is empty: its header gives the shape {_times(shape)}.")
    return start + rest, shape


def _must_hash(path: Path, header: bytes, array: Array, sha256: str) -> None:
    digest = hashlib.sha256(header)
    for _, piece in chunks(array):
        digest.update(piece.data)
    if digest.hexdigest() != sha256:
        raise _not_published(path)


def _not_published(path: Path) -> TriodeError:
    return TriodeError(
        f"{path} is not the published file: its content has another SHA-256 than expected; it was altered "
        "or damaged, so fetch it again."
    )


def _wrong_length(path: Path, shape: tuple[int, ...], header: int, had: str, body: int) -> TriodeError:
    expected = math.prod(shape)
    fault = "truncated" if body < expected else "too long"
    return TriodeError(
        f"{path} is {fault}: its header promises {header + expected:,} bytes (shape {_times(shape)}) and {had}."
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
