"""Examples as tensors: batches by index from memory or from disk, the loss of a task, and evaluation.

Bytes stay bytes until a batch is made of them: a quarter of the memory and of the traffic of float32. What the
dataset maps from a file is read batch by batch and never held whole.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting

EVALUATION_BATCH = 500
"""Examples at a time outside training: enough for the matrix products, little enough for the processor's cache."""
EVALUATION_BATCH_GPU = 4000
TEXT = "next-character"

Array = npt.NDArray[Any]
Rows = Tensor | slice
Loss = Callable[[Tensor, Tensor], Tensor]


class Column:
    """Rows of an array: held as one tensor on the device, or left in the file that the array is mapped from."""

    def __init__(self, array: Array, rows: Array | slice, device: torch.device) -> None:
        self.device = device
        self.rows: Array | None = None
        self.mapped: Array | None = None
        self.held: Tensor | None = None
        if is_mapped(array):
            self.mapped = array
            self.rows = np.arange(len(array))[rows]
        else:
            self.held = as_tensor(np.array(array[rows], order="C")).to(device)

    def __len__(self) -> int:
        return len(self.held) if self.held is not None else len(self.rows if self.rows is not None else ())

    def take(self, rows: Rows) -> Tensor:
        """The rows with these numbers, as stored, on the device."""
        if self.held is not None:
            if isinstance(rows, slice):
                return self.held[rows]
            return self.held.index_select(0, rows.to(self.device))
        assert self.mapped is not None  # noqa: S101 - one of the two is there
        assert self.rows is not None  # noqa: S101
        wanted = self.rows[rows] if isinstance(rows, slice) else self.rows[rows.numpy()]
        # Ascending reads follow the disk; a permutation in memory puts them back in order.
        order = np.argsort(wanted, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return as_tensor(np.asarray(self.mapped[wanted[order]])[back]).to(self.device)


class Examples:
    """One part of a dataset as a network sees it: `len`, `inputs(rows)` and `targets(rows)` by row number.

    - Images and vectors: inputs float32 of shape (n, *shape), which are (x - shift) / scale.
    - Classes: targets int64 (n,). Regression: targets float32 (n, outputs), standardised.
    - Text: example i is window i of `context` characters, inputs and targets int64 (n, context); the target of
      each character is the one after it, the last one's the first of the next window.
    """

    def __init__(
        self,
        data: Dataset,
        inputs: Array,
        targets: Array,
        rows: Array | slice,
        *,
        context: int = 64,
        device: str | torch.device = "cpu",
    ) -> None:
        """View the examples numbered `rows` of `inputs` and `targets`, which are a part of `data`."""
        self.task, self.outputs, self.shape = data.task, data.outputs, data.shape
        self.device = torch.device(device)
        self.context = context
        self.text: Array | Tensor | None = None
        self.batch = EVALUATION_BATCH if self.device.type == "cpu" else EVALUATION_BATCH_GPU
        if self.task == TEXT:
            self.windows = np.arange(windows(len(inputs), context))[rows]
            self.text = inputs if is_mapped(inputs) else as_tensor(inputs).to(self.device)
            return
        self.stored, self.answers = Column(inputs, rows, self.device), Column(targets, rows, self.device)
        self.shift, self.scale = self._constant(data.shift), self._constant(data.scale)
        self.target_shift, self.target_scale = (
            self._constant(data.target_shift),
            self._constant(data.target_scale),
        )

    def __len__(self) -> int:
        return len(self.windows) if self.text is not None else len(self.stored)

    def inputs(self, rows: Rows) -> Tensor:
        """The network's inputs for these rows."""
        if self.text is not None:
            return self._window(rows, 0)
        picked = self.stored.take(rows)
        if picked.dtype == torch.uint8 and not isinstance(self.shift, Tensor):
            # One pass makes numbers of the bytes and shifts them; a reciprocal costs a quarter of a division.
            return torch.sub(picked, self.shift).mul_(1.0 / self.scale)
        return picked.to(torch.float32, copy=True).sub_(self.shift).div_(self.scale)

    def targets(self, rows: Rows) -> Tensor:
        """What the network should answer for these rows."""
        if self.text is not None:
            return self._window(rows, 1)
        picked = self.answers.take(rows)
        if self.task == "classification":
            return picked.to(torch.int64).reshape(len(picked))
        wanted = picked.to(torch.float32, copy=True).reshape(len(picked), -1)
        return wanted.sub_(self.target_shift).div_(self.target_scale)

    def batches(self) -> list[slice]:
        """Slices that walk through all examples once, for evaluation."""
        return [slice(start, start + self.batch) for start in range(0, len(self), self.batch)]

    def _constant(self, value: Any) -> Any:
        if np.ndim(value) == 0:
            return float(value)
        return torch.tensor(np.asarray(value, np.float32), device=self.device)

    def _window(self, rows: Rows, ahead: int) -> Tensor:
        numbers = self.windows[rows] if isinstance(rows, slice) else self.windows[rows.numpy()]
        places = numbers[:, None] * self.context + np.arange(ahead, self.context + ahead)
        if isinstance(self.text, Tensor):
            return self.text[torch.from_numpy(places).to(self.device)].to(torch.int64)
        assert self.text is not None  # noqa: S101 - only called with text
        return torch.from_numpy(self.text[places].astype(np.int64)).to(self.device)


def windows(characters: int, context: int) -> int:
    """Number of windows of `context` characters, each with the character after it.

    >>> windows(129, 64), windows(128, 64)
    (2, 1)
    """
    return max(0, (characters - 1) // context)


def is_mapped(array: Array) -> bool:
    """Whether the array, or what it is a view of, is mapped from a file."""
    at: Any = array
    while isinstance(at, np.ndarray):
        if isinstance(at, np.memmap):
            return True
        at = at.base
    return False


def as_tensor(array: Array) -> Tensor:
    """A tensor of the array; types that PyTorch computes badly with become the next larger one that it does."""
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(array.dtype.name)
    array = array.astype(wider or array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


_parts: weakref.WeakKeyDictionary[Dataset, dict[tuple[object, ...], Examples]] = weakref.WeakKeyDictionary()


def part(data: Dataset, setting: Setting, which: str, device: str | torch.device = "cpu") -> Examples:
    """The training, validation or test part of `data`; trials in one process share one copy of each.

    Args:
        data: The dataset.
        setting: Says the validation share and, for text, the length of a window.
        which: "train", "validation" or "test".
        device: Where the tensors live.

    Returns:
        The examples. The validation part is a fixed draw of the training part that no seed changes; of a text it
        is its last windows.

    Raises:
        TriodeError: For a part without a single example.
    """
    key = (which, setting.validation_share, setting.context, str(device))
    kept = _parts.setdefault(data, {})
    if key not in kept:
        kept[key] = _make(data, setting, which, device)
    return kept[key]


def size(data: Dataset, setting: Setting, which: str) -> int:
    """Number of examples in a part of `data` (see `part`).

    Raises `TriodeError` for a part without a single one.
    """
    from triode.bakeoff.setting import split_sizes

    inputs = data.test_inputs if which == "test" else data.train_inputs
    found = windows(len(inputs), setting.context) if data.task == TEXT else len(inputs)
    if which != "test":
        found = split_sizes(found, setting.validation_share)[which == "validation"]
    if found < 1:
        unit = f"windows of {setting.context} characters" if data.task == TEXT else "examples"
        raise TriodeError(
            f"the {which} part of {data.name} has no {unit}: the data is too small for a validation share of "
            f"{setting.validation_share:g}."
        )
    return found


def _make(data: Dataset, setting: Setting, which: str, device: str | torch.device) -> Examples:
    from triode.bakeoff.data import split

    count = size(data, setting, which)
    rows: Array | slice = slice(None)
    inputs, targets = data.train_inputs, data.train_targets
    if which == "test":
        inputs, targets = data.test_inputs, data.test_targets
    elif data.task == TEXT:
        rows = slice(0, count) if which == "train" else slice(size(data, setting, "train"), None)
    else:
        rows = split(len(inputs), setting.validation_share)[which == "validation"]
    return Examples(data, inputs, targets, rows, context=setting.context, device=device)


def loss_of(task: str) -> Loss:
    """The mean loss of a batch: cross-entropy in nats (a character, for text), or the mean squared error."""
    if task == "regression":
        return functional.mse_loss
    if task == TEXT:
        return _character_loss
    return functional.cross_entropy


def _character_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def right_answers(task: str, logits: Tensor, targets: Tensor) -> Tensor:
    """How many answers of a batch are right (int64, on the device); a row of logits that is not finite is wrong."""
    finite = logits.isfinite().all(dim=-1)
    return ((logits.argmax(dim=-1) == targets) & finite).sum()


def answers(task: str, targets: Tensor) -> int:
    """Number of answers that the targets of a batch ask for: one an example, one a character for text."""
    return targets.numel() if task == TEXT else len(targets)


@torch.no_grad()
def evaluate(
    network: nn.Module, examples: Examples, before_batch: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Mean loss and accuracy of a network over all examples, in evaluation mode.

    Args:
        network: Gives (n, outputs) logits or predictions; (n, context, outputs) for text.
        examples: What to ask it.
        before_batch: Called before each batch of `EVALUATION_BATCH` examples.

    Returns:
        The mean loss and the share of right answers (nan for regression).
    """
    training = network.training
    network.eval()  # an activation with a sampled slope answers with its mean
    task, loss = examples.task, loss_of(examples.task)
    total, right, count = 0.0, 0, 0
    for rows in examples.batches():
        targets = examples.targets(rows)
        before_batch()
        logits = network(examples.inputs(rows))
        n = answers(task, targets)
        total += float(loss(logits, targets)) * n
        right += 0 if task == "regression" else int(right_answers(task, logits, targets))
        count += n
    network.train(training)
    return total / count, (math.nan if task == "regression" else right / count)
