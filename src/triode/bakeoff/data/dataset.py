"""What a data set is to a bake-off: four arrays, what they mean, and how its training part is split; NumPy only.

Pixels stay whole numbers in one byte until a batch is made of them: a quarter of the memory of float32, and a file
larger than memory stays on disk, mapped, until its rows are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triode.bakeoff.setting import split_sizes

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
Affine = float | npt.NDArray[np.float32]

HELD_OUT_SHARE = 0.2
"""Share of the examples that becomes the test part of data that comes without one."""
_HELD_OUT_SEED = 1  # another stream than the validation split's, which is cut from what remains


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples and targets of one task, with what a network needs to know of them; arrays are never written to.

    The network's input is `(x - shift) / scale` in float32, and for regression the number to predict is
    `(y - target_shift) / target_scale`. Shapes below have n examples; any array may be a `numpy.memmap`.
    """

    name: str
    """What the user called it: a built-in name, a path, or module:loader."""
    task: str
    """classification, regression or next-character; never auto."""
    train_inputs: Array
    """Images (n, channels, height, width) and vectors (n, features), uint8 or float32; a text is the row of its
    characters' numbers (n,), uint8 or uint16."""
    train_targets: Array
    """Classes (n,), uint8 or int64, from 0 to `outputs` - 1; numbers to predict (n, `outputs`), float32; for a text
    the same array as the inputs: the target of a window is the window one character later."""
    test_inputs: Array
    test_targets: Array
    shape: tuple[int, ...]
    """Of one example: (channels, height, width), (features,), or () for a text."""
    outputs: int
    """Numbers that the network gives for an example: classes, numbers to predict, or characters of the alphabet."""
    shift: Affine = 0.0
    """Taken from the inputs; a number, or an array that broadcasts to `shape`."""
    scale: Affine = 1.0
    """Divides the shifted inputs; positive."""
    target_shift: Affine = 0.0
    """Taken from the targets of a regression; a number, or (outputs,)."""
    target_scale: Affine = 1.0
    """Divides the shifted targets of a regression; positive. Its square turns the loss into the targets' own units."""
    fingerprint: str = ""
    """SHA-256 of the content and the task; part of what names a trial."""
    labels: tuple[str, ...] = ()
    """Names of the classes, or the characters of the alphabet, in the order of their numbers; () when unnamed."""


def split(examples: int, validation_share: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Row numbers for training and for validation, each ascending: a fixed draw that no trial's seed changes.

    Raw bits of PCG64 sort the rows, a stream which NumPy promises never to change.

    Args:
        examples: Number of rows.
        validation_share: Share of them held out, between 0 and 1.
        seed: Another one is another draw.

    Returns:
        The two sets of rows; together they are every row once.

    >>> [rows.tolist() for rows in split(10, 0.2)]
    [[0, 1, 2, 3, 4, 6, 7, 8], [5, 9]]
    """
    train, _ = split_sizes(examples, validation_share)
    order = np.argsort(np.random.PCG64(seed).random_raw(examples), kind="stable")
    return np.sort(order[:train]), np.sort(order[train:])


def hold_out(examples: int) -> tuple[Indices, Indices]:
    """Rows for training and for testing, where data comes without a test part: a fixed fifth is kept for testing.

    >>> [len(rows) for rows in hold_out(50)]
    [40, 10]
    """
    return split(examples, HELD_OUT_SHARE, _HELD_OUT_SEED)
