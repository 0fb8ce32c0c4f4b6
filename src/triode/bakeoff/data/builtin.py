"""The data sets that have names: found on this machine or fetched, and checked against what they must be."""

from __future__ import annotations

import hashlib
import os
import sys
from io import BytesIO
from pathlib import Path

import numpy as np

from triode.bakeoff.data.assemble import from_arrays
from triode.bakeoff.data.dataset import Array, Dataset
from triode.bakeoff.data.idx import IDX_FILES, has_all, read_four
from triode.errors import MissingExtra, TriodeError

BUILT_IN = ("fashion-subset", "fashion-mnist", "mnist", "digits")
FASHION_SYSTEM_DIR = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""
SUBSET_FILE = Path(__file__).parents[1] / "fashion_subset.npz"
SUBSET_SHA256 = "97ccf604bafa889c48cad74f51eba2de3365c4631220677e6bfa086a5b6f2441"
# Of the *unpacked* files. Debian recompresses what Zalando publishes (the gzip header differs, the content does not),
# so a checksum of the .gz would refuse one of the two.
FASHION_SHA256 = {
    "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DIGITS = tuple("0123456789")


def load_built_in(name: str, data_dir: Path | None, download: bool) -> Dataset:
    """One of `BUILT_IN`.

    Args:
        name: Which.
        data_dir: Folder to look in first.
        download: Whether Fashion-MNIST may be fetched where this machine does not have it.

    Returns:
        The data set, its images (n, 1, height, width).

    Raises:
        TriodeError: The file that is missing, truncated or altered, and what to do about it.
    """
    if name == "fashion-subset":
        return _fashion_subset()
    if name == "digits":
        return _digits()
    if name == "mnist":
        return _images(name, read_four(name, _mnist_dir(data_dir)), DIGITS)
    return read_fashion_mnist(_fashion_dir(data_dir, download))


def read_fashion_mnist(folder: Path) -> Dataset:
    """The full Fashion-MNIST from the four official files in `folder`, each checked against its SHA-256."""
    return _images("fashion-mnist", read_four("fashion-mnist", folder, FASHION_SHA256), FASHION_CLASSES)


def cache_dir() -> Path:
    """Where downloaded data is kept, by the custom of the operating system; `TRIODE_CACHE` moves it."""
    if named := os.environ.get("TRIODE_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "triode"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "triode"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triode"


def _images(name: str, arrays: tuple[Array, ...], labels: tuple[str, ...], brightest: int = 255) -> Dataset:
    return from_arrays(name, *arrays, task="classification", labels=labels, brightest=brightest)


def _fashion_subset() -> Dataset:
    try:
        content = SUBSET_FILE.read_bytes()
    except OSError as error:
        raise TriodeError(
            f"{SUBSET_FILE} cannot be read ({error.strerror or error}); install Triode again."
        ) from error
    if hashlib.sha256(content).hexdigest() != SUBSET_SHA256:
        raise TriodeError(
            f"{SUBSET_FILE} was altered or damaged: its SHA-256 is not the one expected; install Triode again."
        )
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        arrays = [stored[part] for part in IDX_FILES]
    # The file holds an image as one row.
    arrays = [a.reshape(-1, 28, 28) if a.ndim == 2 else a for a in arrays]
    return _images("fashion-subset", tuple(arrays), FASHION_CLASSES)


def _digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("scikit-learn", "the dataset digits", "all") from error
    data, target = load_digits(return_X_y=True)
    images, labels = data.astype(np.uint8).reshape(-1, 8, 8), target.astype(np.uint8)
    # scikit-learn has no test part. Its digits come in the order of their writers: the last are other hands.
    return _images(
        "digits", (images[:-300], labels[:-300], images[-300:], labels[-300:]), DIGITS, brightest=16
    )


def _mnist_dir(data_dir: Path | None) -> Path:
    places = [data_dir, data_dir / "mnist"] if data_dir else [cache_dir() / "mnist"]
    for place in places:
        if has_all(place):
            return place
    raise TriodeError(
        f"MNIST is not in {data_dir or places[0]}: name the folder that holds "
        f"{', '.join(IDX_FILES.values())} (plain or .gz) with --data-dir."
    )


def _fashion_dir(data_dir: Path | None, download: bool) -> Path:
    cached = cache_dir() / "fashion-mnist"
    given = [data_dir, data_dir / "fashion-mnist", data_dir / "FashionMNIST" / "raw"] if data_dir else []
    for place in (*given, FASHION_SYSTEM_DIR, cached):
        if has_all(place):
            return place
    if not download:
        raise TriodeError(_nowhere(cached, data_dir, "they are not on this machine"))
    from triode.bakeoff.data.download import fetch_fashion_mnist

    try:
        fetch_fashion_mnist(cached)
    except OSError as error:
        raise TriodeError(_nowhere(cached, data_dir, f"the download failed ({error})")) from error
    return cached


def _nowhere(cached: Path, data_dir: Path | None, why: str) -> str:
    places = ", ".join(str(place) for place in (data_dir, FASHION_SYSTEM_DIR, cached) if place)
    return (
        f"Fashion-MNIST's four .gz files are not in {places}, and {why}: on Debian or Ubuntu run "
        "`apt-get install dataset-fashion-mnist`, or put the files in a folder and name it with --data-dir."
    )
