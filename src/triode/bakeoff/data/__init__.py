"""The data of a bake-off: built-in sets, files and folders in common forms, or a loader of the user's own.

    data = load("fashion-subset")

Whatever it comes from is a checked `Dataset` of NumPy arrays; nothing here needs a framework.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from triode.bakeoff.data.assemble import from_arrays
from triode.bakeoff.data.builtin import (
    BUILT_IN,
    FASHION_SYSTEM_DIR,
    SUBSET_FILE,
    load_built_in,
    read_fashion_mnist,
)
from triode.bakeoff.data.check import check
from triode.bakeoff.data.dataset import Dataset, hold_out, split
from triode.bakeoff.data.idx import IDX_FILES, LARGEST_FILE, has_all, read_idx
from triode.errors import TriodeError

__all__ = [
    "BUILT_IN",
    "FASHION_SYSTEM_DIR",
    "IDX_FILES",
    "LARGEST_FILE",
    "SUBSET_FILE",
    "Dataset",
    "check",
    "from_arrays",
    "has_all",
    "hold_out",
    "load",
    "load_cached",
    "read_fashion_mnist",
    "read_idx",
    "split",
    "train_size",
]


def load(name: str, data_dir: Path | None = None, *, task: str = "auto", download: bool = True) -> Dataset:
    """The data set `name`, read, checked and fingerprinted.

    Args:
        name: A built-in name (`BUILT_IN`); `module:loader`; or a path: a folder of four IDX files, of `.npy` files, of
            train.csv and test.csv, or of images in a folder for each class; a `.npz`, `.csv` or `.txt` file.
        data_dir: Folder to look in first for built-in sets, and for a path that is not found from here.
        task: classification, regression or next-character; auto: what the data looks like.
        download: Whether Fashion-MNIST may be fetched where this machine does not have it.

    Returns:
        The data set.

    Raises:
        TriodeError: One sentence that names the file, what was expected and the likely cause.

    >>> load("fashion-subset").shape
    (1, 28, 28)
    """
    return _load(name, data_dir, task, download, content=True)


@lru_cache(maxsize=2)
def load_cached(name: str, data_dir: Path | None = None, task: str = "auto") -> Dataset:
    """`load`, kept in memory: a worker process runs many trials on the same data.

    Nothing is downloaded, and the numbers of a mapped file larger than 1 GiB are not checked again, since whoever
    started the worker has done so.
    """
    return _load(name, data_dir, task, download=False, content=False)


def train_size(name: str, data_dir: Path | None = None, task: str = "auto") -> int:
    """Number of examples in the training part, the validation share included; of a text, of its characters."""
    return len(load_cached(name, data_dir, task).train_inputs)


def _load(name: str, data_dir: Path | None, task: str, download: bool, *, content: bool) -> Dataset:
    if name in BUILT_IN:
        if task not in ("auto", "classification"):
            raise TriodeError(f"task = {task!r} does not fit {name}, whose images are of classes.")
        return load_built_in(name, data_dir, download)
    from triode.bakeoff.data.find import load_found

    return load_found(name, data_dir, task, content)
