"""The images of a bake-off: found, checked against what they must be, and split; NumPy only.

Pixels stay whole numbers in one byte until a batch is made of them: a sixth of the memory traffic of float32 and, for
a worker process, 47 MB in place of 188 for the full Fashion-MNIST.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triode.bakeoff.spec import split_sizes
from triode.errors import MissingExtra, TriodeError

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]

FASHION_SYSTEM_DIR = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""
SUBSET_FILE = Path(__file__).with_name("fashion_subset.npz")
SUBSET_SHA256 = "97ccf604bafa889c48cad74f51eba2de3365c4631220677e6bfa086a5b6f2441"

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
# Of the *unpacked* files. Debian recompresses what Zalando publishes (the gzip header differs, the content does not),
# so a checksum of the .gz would refuse one of the two.
FASHION_SHA256 = {
    "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LARGEST_FILE = 2**31
"""An unpacked file beyond this many bytes is refused: a small .gz can unpack to fill the memory."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as rows of bytes from 0 to `brightest`, and their classes from 0 to `classes` - 1."""

    name: str
    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes
    brightest: int
    classes: int
    fingerprint: str
    """SHA-256 of the content; part of what names a trial."""

    @property
    def pixels(self) -> int:
        """Inputs of the network: pixels of one image."""
        return int(self.train_images.shape[1])


def load(name: str, data_dir: Path | None = None, *, download: bool = True) -> Dataset:
    """The dataset `name`: from `data_dir`, from this machine, or (Fashion-MNIST only) downloaded.

    Raises `TriodeError` naming the file that is missing, truncated or altered, and what to do about it.
    """
    if name == "fashion-subset":
        return _fashion_subset()
    if name == "digits":
        return _digits()
    if name == "mnist":
        return _read_folder("mnist", _mnist_dir(data_dir))
    return read_fashion_mnist(_fashion_dir(data_dir, download))


@lru_cache(maxsize=2)
def load_cached(name: str, data_dir: Path | None = None) -> Dataset:
    """`load`, kept in memory: a worker process runs many trials on the same images."""
    return load(name, data_dir, download=False)


def split(examples: int, validation_share: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Row numbers for training and for validation, each ascending: a fixed draw that no trial's seed changes.

    Raw bits of PCG64 sort the rows, a stream which NumPy promises never to change.
    """
    train, _ = split_sizes(examples, validation_share)
    order = np.argsort(np.random.PCG64(seed).random_raw(examples), kind="stable")
    return np.sort(order[:train]), np.sort(order[train:])


def read_fashion_mnist(folder: Path) -> Dataset:
    """The full Fashion-MNIST from the four official files in `folder`, each checked against its SHA-256."""
    return _read_folder("fashion-mnist", folder, FASHION_SHA256)


def read_idx(path: Path, sha256: str | None = None) -> Bytes:
    """An array from an IDX file of unsigned bytes, plain or gzip; refused by name when truncated or altered.

    The format: two zero bytes, the type (8: unsigned byte), the number of axes, each axis as a big-endian 32-bit
    number, then the elements (LeCun, Cortes and Burges, the MNIST database, 1998).
    """
    content = _unpacked(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise TriodeError(
            f"{path} is not the published file: its content has another SHA-256 than expected; it was altered "
            "or damaged, so fetch it again."
        )
    axes = content[3] if len(content) >= 4 else 0
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= axes <= 4 or len(content) < 4 + 4 * axes:
        raise TriodeError(
            f"{path} does not start as an IDX file of bytes does (00 00 08 and the number of axes)."
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=axes, offset=4))
    expected = 4 + 4 * axes + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise TriodeError(
            f"{path} is {fault}: its header promises {expected:,} bytes (shape {' x '.join(map(str, shape))}) "
            f"and it has {len(content):,}."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def cache_dir() -> Path:
    """Where downloaded data is kept, by the custom of the operating system; `TRIODE_CACHE` moves it."""
    if named := os.environ.get("TRIODE_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "triode"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "triode"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triode"


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return raw.read(LARGEST_FILE)
            with gzip.GzipFile(fileobj=raw) as file:
                return file.read(LARGEST_FILE)
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


def _find(folder: Path, stem: str) -> Path | None:
    # Both spellings are about: most keep "train-images-idx3-ubyte", some mirrors "train-images.idx3-ubyte".
    for name in (f"{stem}.gz", stem, f"{stem.replace('-idx', '.idx')}.gz", stem.replace("-idx", ".idx")):
        if (folder / name).is_file():
            return folder / name
    return None


def has_all(folder: Path) -> bool:
    """Whether the four files of a dataset in IDX format lie in `folder`."""
    return all(_find(folder, stem) for stem in IDX_FILES.values())


def _read_folder(name: str, folder: Path, sha256: dict[str, str] | None = None) -> Dataset:
    arrays: dict[str, Bytes] = {}
    for part, stem in IDX_FILES.items():
        path = _find(folder, stem)
        if path is None:
            raise TriodeError(f"{folder} has no {stem}.gz, one of the four files of {name}.")
        arrays[part] = array = read_idx(path, sha256[part] if sha256 else None)
        if array.ndim != (3 if part.endswith("images") else 1) or not array.size:
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
            if array.max() > 9:
                raise TriodeError(f"{path} holds the label {array.max()}; {name} has classes 0 to 9.")
    train, test = arrays["train_images"], arrays["test_images"]
    if train.shape[1:] != test.shape[1:]:
        raise TriodeError(
            f"{folder} has training images of {train.shape[1:]} pixels and test images of {test.shape[1:]}."
        )
    return _dataset(name, train, arrays["train_labels"], test, arrays["test_labels"])


def _dataset(
    name: str,
    train_images: Bytes,
    train_labels: Bytes,
    test_images: Bytes,
    test_labels: Bytes,
    brightest: int = 255,
) -> Dataset:
    digest = hashlib.sha256()
    for array in (train_images, train_labels, test_images, test_labels):
        digest.update(repr(array.shape).encode())
        digest.update(array.tobytes())
    return Dataset(
        name,
        train_images.reshape(len(train_images), -1),
        train_labels,
        test_images.reshape(len(test_images), -1),
        test_labels,
        brightest,
        10,
        digest.hexdigest(),
    )


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
        return _dataset("fashion-subset", *(stored[part] for part in IDX_FILES))


def _digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("scikit-learn", "the dataset digits", "all") from error
    data, target = load_digits(return_X_y=True)
    images, labels = data.astype(np.uint8), target.astype(np.uint8)
    # scikit-learn has no test part. Its digits come in the order of their writers: the last are other hands.
    return _dataset("digits", images[:-300], labels[:-300], images[-300:], labels[-300:], brightest=16)


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
    from triode.bakeoff.download import fetch_fashion_mnist

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
