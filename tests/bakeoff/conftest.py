"""Small real shapes to train on: a dataset in the format of MNIST that fits in a few kilobytes."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from triode.bakeoff import Spec
from triode.bakeoff.data import IDX_FILES


def as_idx(array: npt.NDArray[np.uint8]) -> bytes:
    """An array in IDX format."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def idx_bytes() -> Callable[[npt.NDArray[np.uint8]], bytes]:
    return as_idx


@pytest.fixture(scope="session")
def images() -> dict[str, npt.NDArray[np.uint8]]:
    """240 + 60 images of 6 x 5 pixels that can be learned: a bright bar, in one of ten places, in noise."""
    rng = np.random.default_rng(7)
    found = {}
    for part, n in (("train", 240), ("test", 60)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        pictures = rng.integers(0, 120, (n, 30)).astype(np.uint8)
        for row, label in enumerate(labels):
            pictures[row, 3 * label : 3 * label + 3] = 255
        found[f"{part}_images"], found[f"{part}_labels"] = pictures.reshape(n, 6, 5), labels
    return found


@pytest.fixture
def folder(tmp_path: Path, images: dict[str, npt.NDArray[np.uint8]]) -> Path:
    """The images as four files, two of them packed."""
    place = tmp_path / "data"
    place.mkdir()
    for part, stem in IDX_FILES.items():
        content = as_idx(images[part])
        if part.endswith("images"):
            (place / f"{stem}.gz").write_bytes(gzip.compress(content))
        else:
            (place / stem).write_bytes(content)
    return place


@pytest.fixture
def small(tmp_path: Path, folder: Path) -> Callable[..., Spec]:
    """A specification that trains in a fraction of a second; keywords change it."""

    def make(**changes: Any) -> Spec:
        values: dict[str, Any] = {
            "activations": ("relu", "tanh"),
            "dataset": "mnist",
            "data_dir": folder,
            "hidden": (9, 7),
            "seeds": 2,
            "epochs": 2,
            "batch_size": 32,
            "out": tmp_path / "out",
        }
        return Spec(**(values | changes))

    return make


class Here(Executor):
    """An executor that runs at once, in this process, and counts."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.ran.append(str(args))
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture
def plain(small: Callable[..., Spec]) -> Callable[..., Spec]:
    """Two activations, two seeds, one rate, each trial by itself."""
    return lambda **changes: small(**({"protocol": "chapter", "stack": 1} | changes))
