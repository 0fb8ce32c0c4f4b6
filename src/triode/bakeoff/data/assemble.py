"""From four arrays to a data set: the task, the layout of images, the scale of inputs and targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from triode.bakeoff.data.check import check
from triode.bakeoff.data.dataset import Affine, Array, Dataset
from triode.bakeoff.data.fingerprint import chunks, fingerprint, is_large
from triode.errors import TriodeError

FEW = 50
"""Targets that are whole numbers of at most so many values are classes."""
_CHANNELS = (1, 3, 4)
_SAMPLE = 2**28
_FAR = 4096.0
"""A column that lies more than so many deviations from zero loses its digits in float32 (24 bits)."""

_Floats = npt.NDArray[np.float64]


def from_arrays(
    name: str,
    train_inputs: Array,
    train_targets: Array,
    test_inputs: Array,
    test_targets: Array,
    *,
    task: str = "auto",
    labels: tuple[str, ...] = (),
    brightest: int | None = None,
    classes: int | None = None,
    content: bool = True,
) -> Dataset:
    """A checked data set from arrays of any real type.

    Bytes stay bytes, and a mapped file of bytes or float32 stays on the disk; other types become float32. Inputs with
    two axes are vectors, with three grey images, with four colour images: the axis of 1, 3 or 4 channels may come
    first or last. Bytes are scaled to -1 to 1, other vectors are standardised column by column and other images
    channel by channel, with the mean and deviation of the training part (of a sample of it where the file is larger
    than 1 GiB). Targets of a regression are standardised.

    Args:
        name: What the user calls the data.
        train_inputs: Examples (n, ...), at most four axes; (n,) is one feature.
        train_targets: Classes (n,), or numbers to predict (n,) or (n, k).
        test_inputs: As for training.
        test_targets: As for training.
        task: classification or regression; auto takes whole numbers of at most 50 values, and integers that are
            exactly 0 to k, for classes.
        labels: Names of the classes.
        brightest: The largest value of a byte; None: 255 where any byte reaches 128, else the largest there is.
        classes: Number of classes; None: what the training targets hold.
        content: Whether to check every number, as `check` says.

    Returns:
        The data set, with its fingerprint.

    Raises:
        TriodeError: Something in the arrays that cannot be trained on.

    >>> x = np.arange(12.0).reshape(6, 2)
    >>> data = from_arrays("mine", x[:4], x[:4, 0] ** 1.5, x[4:], x[4:, 0] ** 1.5)
    >>> data.task, data.shape, data.outputs, data.shift
    ('regression', (2,), 1, array([3., 4.], dtype=float32))
    """
    arrays = [np.asanyarray(a) for a in (train_inputs, train_targets, test_inputs, test_targets)]
    for what, array in zip(
        ("training inputs", "training targets", "test inputs", "test targets"), arrays, strict=True
    ):
        _must_be_numbers(name, what, array)
    channels_last = _channels_last(arrays[0].shape)
    inputs = [_laid_out(name, arrays[i], channels_last) for i in (0, 2)]
    shift, scale = _input_scale(inputs, brightest)
    targets = [arrays[1], arrays[3]]
    if task == "auto":
        task = "classification" if _are_classes(targets[0]) else "regression"
    target_shift: Affine = 0.0
    target_scale: Affine = 1.0
    if task == "classification":
        targets = [_classes(name, t) for t in targets]
        if classes is None:
            classes = len(labels) or max(1, int(targets[0].max(initial=0)) + 1)
        outputs = classes
    elif task == "regression":
        targets = [t.reshape(len(t), -1) if t.size else t.reshape(len(t), 1) for t in targets]
        outputs = targets[0].shape[1]
        target_shift, target_scale = _standard(targets)
    else:
        raise TriodeError(f"{name} holds arrays of numbers, and the task {task} needs a text file.")
    stored = [inputs[0], targets[0], inputs[1], targets[1]]
    data = Dataset(
        name,
        task,
        train_inputs=stored[0],
        train_targets=stored[1],
        test_inputs=stored[2],
        test_targets=stored[3],
        shape=inputs[0].shape[1:],
        outputs=outputs,
        shift=shift,
        scale=scale,
        target_shift=target_shift,
        target_scale=target_scale,
        fingerprint=fingerprint(stored, task, outputs, labels),
        labels=labels,
    )
    return check(data, content=content or not any(is_large(a) for a in stored))


def _must_be_numbers(name: str, what: str, array: Array) -> None:
    if array.dtype.kind not in "biuf":
        cause = (
            "an array of objects is Python code to load and is refused"
            if array.dtype.hasobject
            else "real numbers were expected"
        )
        raise TriodeError(f"{name}: the {what} are of type {array.dtype}; {cause}.")
    if array.ndim == 0:
        raise TriodeError(f"{name}: the {what} are one number; an array with a row an example was expected.")


def _channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] not in _CHANNELS and shape[3] in _CHANNELS


def _laid_out(name: str, array: Array, channels_last: bool) -> Array:
    """A view in which images are (n, channels, height, width) and vectors (n, features)."""
    if array.ndim == 4:
        return np.moveaxis(array, 3, 1) if channels_last else array
    if array.ndim == 3:
        return array[:, np.newaxis]
    if array.ndim <= 2:
        return array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)
    raise TriodeError(
        f"{name}: inputs of shape {array.shape} have {array.ndim} axes; vectors have 2, images 3 or 4."
    )


def _input_scale(inputs: list[Array], brightest: int | None) -> tuple[Affine, Affine]:
    """Shift and scale of the inputs, which are turned into what is stored in place."""
    train = inputs[0]
    if train.dtype == np.uint8 and inputs[1].dtype == np.uint8:
        if brightest is None:
            largest = max((int(piece.max()) for _, piece in chunks(_sample(train)) if piece.size), default=0)
            brightest = 255 if largest >= 128 else largest
        half = max(brightest, 1) / 2
        return half, half
    return _standard(inputs)


def _standard(arrays: list[Array]) -> tuple[Affine, Affine]:
    """Mean and deviation of the first array, of a column or a channel; the list gets what is stored, in place."""
    train = _sample(arrays[0])
    if not train.size or any(a.shape[1:] != arrays[0].shape[1:] for a in arrays):
        arrays[:] = [_stored(a) for a in arrays]
        return 0.0, 1.0  # refused by `check`, which says why
    mean, deviation = _moments(train)
    # Rounding alone gives a constant column a deviation of some 1e-16 of its size.
    steady = deviation <= 1e-12 * np.abs(mean)
    scale = np.where(steady | (deviation == 0), 1.0, deviation)
    offset = np.zeros_like(mean)
    if all(not _kept(a) for a in arrays):
        offset = np.where(np.abs(mean) > _FAR * scale, mean, 0.0)
    arrays[:] = [_stored(a, offset) for a in arrays]
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        return 0.0, 1.0  # likewise
    with np.errstate(over="ignore"):
        shift = (mean - offset).astype(np.float32)
        # A deviation below float32's range would be a division by zero.
        return shift, np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)


def _sample(array: Array) -> Array:
    """The array, or rows evenly spread over it where it is a mapped file larger than 1 GiB."""
    if not is_large(array):
        return array
    return array[:: max(1, array.nbytes // _SAMPLE)]


def _moments(array: Array) -> tuple[_Floats, _Floats]:
    """Mean and standard deviation, pieces merged by Chan, Golub and LeVeque's rule (1979); in float64."""
    axes = (0, 2, 3) if array.ndim == 4 else (0,)
    seen = 0.0
    mean: _Floats = np.zeros(array.shape[1])
    squares: _Floats = np.zeros(array.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for _, piece in chunks(array):
            exact = piece.astype(np.float64)
            count = float(piece.size // array.shape[1])
            centre = exact.mean(axis=axes)
            apart = centre - mean
            spread = exact - centre.reshape((-1, *(1,) * (array.ndim - 2)))
            squares += (spread * spread).sum(axis=axes) + apart * apart * (seen * count / (seen + count))
            mean += apart * (count / (seen + count))
            seen += count
        deviation = np.sqrt(squares / seen)
    inner = (-1, *(1,) * (array.ndim - 2))
    return mean.reshape(inner), deviation.reshape(inner)


def _kept(array: Array) -> bool:
    return array.dtype in (np.uint8, np.float32)


def _stored(array: Array, offset: _Floats | float = 0.0) -> Array:
    if _kept(array):
        return array
    if is_large(array):
        raise TriodeError(
            f"{getattr(array, 'filename', 'a file')} holds {array.nbytes:,} bytes of {array.dtype}, too much to turn "
            "into float32 in memory; write it as float32 or uint8, and it is read from the disk."
        )
    with np.errstate(over="ignore"):
        return (np.asarray(array) - offset).astype(np.float32)


def _are_classes(targets: Array) -> bool:
    if targets.size != len(targets):
        return False
    if targets.dtype.kind == "f" and not all(_whole(piece) for _, piece in chunks(targets)):
        return False
    values = np.unique(np.asarray(targets))
    if targets.dtype.kind == "f" or len(values) <= FEW:
        return len(values) <= FEW
    return bool(values[0] == 0 and values[-1] == len(values) - 1)


def _whole(array: Array) -> bool:
    return bool((np.isfinite(array) & (array == np.floor(array))).all())


def _classes(name: str, targets: Array) -> Array:
    flat = targets.reshape(len(targets)) if targets.size == len(targets) else targets
    if flat.ndim != 1:
        raise TriodeError(
            f"{name}: the targets have the shape {targets.shape}, and classes are one whole number a row; turn "
            "one-hot rows into numbers with argmax(axis=1)."
        )
    if flat.dtype.kind == "f":
        fraction = ~(np.isfinite(flat) & (flat == np.floor(flat)))
        if fraction.any():
            row = int(fraction.argmax())
            raise TriodeError(
                f"{name}: the target in row {row:,} is {flat[row]}, not the whole number of a class; for numbers to "
                "predict choose the task regression."
            )
    return flat if flat.dtype in (np.uint8, np.int64) else np.asarray(flat).astype(np.int64)
