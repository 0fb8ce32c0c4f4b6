"""A folder of images for each class: train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triode.bakeoff.data.assemble import from_arrays
from triode.bakeoff.data.dataset import Array, Dataset, hold_out
from triode.errors import MissingExtra, TriodeError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_DECODED = 2**34
"""Images that take more bytes than this once decoded are refused."""
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")


def has_pictures(folder: Path) -> bool:
    """Whether a folder holds folders with images, or train/ with such folders."""
    return bool(_classes(_train_folder(folder)))


def read_pictures(name: str, folder: Path) -> Dataset:
    """Every image of a folder, decoded once into bytes; the names of the folders are the classes.

    Grey images have one channel. As soon as one has colour, all have three; transparency is dropped. Without a test
    folder a fixed fifth of the images is held out.

    Args:
        name: What the user calls the data.
        folder: Holds train/ (and test/) with a folder for each class, or those folders themselves.

    Returns:
        The data set; classes are numbered in the order of their names, as numbers where all are whole numbers.

    Raises:
        TriodeError: Images of different sizes, an image that cannot be decoded, a class of the test part only.
    """
    start = _train_folder(folder)
    labels = _classes(start)
    test = folder / "test"
    tested = _classes(test) if start != folder else []
    if tested:
        strange = [label for label in tested if label not in labels]
        if strange:
            raise TriodeError(
                f"{test} has a folder {strange[0]} and {start} has none, so that class is never trained on."
            )
        places = [(start, labels), (test, tested)]
    else:
        places = [(start, labels)]
    files = [
        [(path, labels.index(c)) for c in found for path in _files(place / c)] for place, found in places
    ]
    paths = [path for part in files for path, _ in part]
    mode, size = _common(paths)
    pixels = [_decoded([path for path, _ in part], mode, size) for part in files]
    numbers = [np.array([number for _, number in part], np.int64) for part in files]
    if len(files) == 1:
        rows = hold_out(len(numbers[0]))
        pixels, numbers = [pixels[0][r] for r in rows], [numbers[0][r] for r in rows]
    return from_arrays(
        name, pixels[0], numbers[0], pixels[1], numbers[1], task="classification", labels=tuple(labels)
    )


def _train_folder(folder: Path) -> Path:
    return folder / "train" if (folder / "train").is_dir() and _classes(folder / "train") else folder


def _classes(folder: Path) -> list[str]:
    """Names of the folders with images, sorted; as numbers where they are whole numbers."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and _files(p)]
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _common(paths: Sequence[Path]) -> tuple[str, tuple[int, int]]:
    """Mode (L or RGB) and (width, height) of all images, from their headers."""
    first: tuple[Path, tuple[int, int]] | None = None
    mode = "L"
    for path in paths:
        with _opened(path) as image:
            if image.mode in _DEEP:
                raise TriodeError(
                    f"{path} has more than 8 bits a pixel (mode {image.mode}), which is not read; save it with 8."
                )
            if image.mode not in ("1", "L", "LA"):
                mode = "RGB"
            if first is None:
                first = path, image.size
            elif image.size != first[1]:
                raise TriodeError(
                    f"{path} is {_by(image.size)} pixels and {first[0]} {_by(first[1])}; all images must have one "
                    "size, so resize or crop them first."
                )
    if first is None:
        raise TriodeError("no images were found.")
    total = len(paths) * len(mode) * first[1][0] * first[1][1]
    if total > LARGEST_DECODED:
        raise TriodeError(
            f"{first[0].parent.parent}: the {len(paths):,} images take {total:,} bytes once decoded, more than "
            f"{LARGEST_DECODED:,}; write them as .npy files in a folder, and they are read from the disk."
        )
    return mode, first[1]


def _decoded(paths: Sequence[Path], mode: str, size: tuple[int, int]) -> Array:
    width, height = size
    pixels = np.empty((len(paths), len(mode), height, width), np.uint8)
    for row, path in enumerate(paths):
        with _opened(path) as image:
            try:
                # (height, width) or (height, width, channels)
                decoded = np.asarray((image.convert("RGBA") if image.mode == "P" else image).convert(mode))
            except (OSError, SyntaxError, ValueError) as error:
                raise TriodeError(
                    f"{path} cannot be decoded ({error}); it is truncated or damaged."
                ) from error
        pixels[row] = decoded if decoded.ndim == 2 else np.moveaxis(decoded, 2, 0)
    return pixels


def _opened(path: Path) -> Image:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("pillow", "a folder of images", "plot") from error
    unreadable: Any = (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError)
    try:
        return Image.open(path, formats=("PNG", "JPEG"))
    except unreadable as error:
        raise TriodeError(f"{path} is no PNG or JPEG image that can be read ({error}).") from error
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
