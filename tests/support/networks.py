"""Tiny data of every kind, and a trial on it, for tests that train networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from triode.bakeoff.contestants import contestant
from triode.bakeoff.data import Dataset
from triode.bakeoff.plan import Trial, make_trial
from triode.bakeoff.setting import Setting

HIDDEN: dict[str, tuple[int, ...]] = {
    "mlp": (9, 7),
    "cnn": (3, 4),
    "residual-mlp": (8, 6),
    "residual-cnn": (4, 6),
    "transformer": (8,),
    "lstm": (7,),
}
"""Widths so small that an epoch takes milliseconds."""


def pictures(n: int = 70, side: int = 8, channels: int = 1) -> Dataset:
    """Images of bytes in 4 classes: a bright row in noise."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, n + 30).astype(np.uint8)
    images = rng.integers(0, 120, (n + 30, channels, side, side)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] = 255
    return Dataset(
        name="pictures",
        task="classification",
        train_inputs=images[:n],
        train_targets=labels[:n],
        test_inputs=images[n:],
        test_targets=labels[n:],
        shape=(channels, side, side),
        outputs=4,
        shift=127.5,
        scale=127.5,
        fingerprint="pictures",
    )


def vectors(n: int = 70, features: int = 5, task: str = "classification") -> Dataset:
    """Vectors with a class, or with two numbers to predict."""
    rng = np.random.default_rng(4)
    x = rng.normal(3.0, 2.0, (n + 30, features)).astype(np.float32)
    y: Any = (x[:, 0] + x[:, 1] > 6).astype(np.int64)
    if task == "regression":
        y = np.stack([x[:, 0] * 10 + 100, np.sin(x[:, 1])], axis=1).astype(np.float32)
    return Dataset(
        name="vectors",
        task=task,
        train_inputs=x[:n],
        train_targets=y[:n],
        test_inputs=x[n:],
        test_targets=y[n:],
        shape=(features,),
        outputs=2,
        shift=x[:n].mean(axis=0),
        scale=x[:n].std(axis=0),
        target_shift=y[:n].mean(axis=0) if task == "regression" else 0.0,
        target_scale=y[:n].std(axis=0) if task == "regression" else 1.0,
        fingerprint=task,
    )


def text(n: int = 500) -> Dataset:
    """Characters of an alphabet of 5, each mostly followed by the next one."""
    rng = np.random.default_rng(5)
    ids = (np.cumsum(rng.choice([1, 2], n + 200, p=[0.9, 0.1])) % 5).astype(np.uint8)
    return Dataset(
        name="text",
        task="next-character",
        train_inputs=ids[:n],
        train_targets=ids[:n],
        test_inputs=ids[n:],
        test_targets=ids[n:],
        shape=(),
        outputs=5,
        fingerprint="text",
    )


def setting(**changes: Any) -> Setting:
    """A setting for tiny data; keywords change it."""
    model = changes.get("model", "mlp")
    values: dict[str, Any] = {
        "hidden": HIDDEN.get(model, ()),
        "epochs": 2,
        "batch_size": 16,
        "context": 8,
        "dataset": "tiny.npz",
    }
    return Setting(**(values | changes))


def trial(
    data: Dataset, activation: str = "gelu", seed: int = 0, purpose: str = "final", **changes: Any
) -> Trial:
    """A trial on tiny data."""
    return make_trial(contestant(activation), seed, purpose, data.fingerprint, setting(**changes))
