"""Each fault of four arrays is one sentence that names the row, and what is right is scaled as promised."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from triode.bakeoff import data
from triode.errors import TriodeError

Array = npt.NDArray[Any]
RNG = np.random.default_rng(1)
X = RNG.normal(3, 5, (60, 4)).astype(np.float32)
Y = np.arange(60) % 3
NUMBERS = RNG.normal(100, 7, (60, 2))


def changed(array: Array, place: Any, value: float) -> Array:
    copy = array.copy()
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("arrays", "task", "words"),
    [
        ((changed(X, (7, 2), np.nan), Y, X, Y), "auto", "training inputs hold nan in row 7, column 2"),
        ((changed(X, (7, 2), -np.inf), Y, X, Y), "auto", "inputs hold -inf in row 7, column 2"),
        ((changed(X, slice(5, 7), np.nan), Y, X, Y), "auto", r"row 5, column 0 .*\(8 numbers of that kind"),
        ((X, Y, changed(X, (59, 3), np.nan), Y), "auto", "the test inputs hold nan in row 59, column 3"),
        ((np.full((60, 4), 1e300), Y, X, Y), "auto", "inf in row 0, .*beyond float32"),
        ((X, changed(NUMBERS, (8, 1), np.nan), X, NUMBERS), "auto", "targets hold nan in row 8, column 1"),
        ((X, Y, X, changed(Y, 4, 3)), "auto", "test part has the label 3 in row 4, and 3 classes .* 0 to 2"),
        ((X, changed(Y, 9, -1), X, Y), "auto", "label -1 in row 9, .*-1 and 1 must become 0 and 1"),
        (
            (X, Y + 1, X, Y + 1),
            "auto",
            "no example of class 0, though labels up to 3 occur; labels start at 1",
        ),
        ((X, changed(Y, 9, 7), X, Y), "auto", "no example of class 3, nor of 3 other classes"),
        ((X, changed(Y, 9, 10**9), X, Y), "classification", "go up to 1000000000, and .*60 rows"),
        ((X, Y / 2, X, Y), "classification", "the target in row 1 is 0.5, not the whole number"),
        ((X, changed(Y + 0.0, 2, np.nan), X, Y), "classification", "the target in row 2 is nan"),
        ((X, Y * 0, X, Y * 0), "auto", "one class only"),
        ((X, -(Y % 2), X, Y % 2), "auto", "label -1 in row 1, and classes are numbered from 0"),
        ((X, Y * 0, X, Y * 0), "regression", "every training target is 0.0"),
        ((X * 0 + 3, Y, X, Y), "auto", "every training input is 3.0"),
        ((X, Y[:59], X, Y), "auto", "60 inputs and 59 targets"),
        ((X, Y, X[:0], Y[:0]), "auto", "the test part is empty"),
        ((X[:0], Y[:0], X, Y), "auto", "the training part is empty"),
        ((X[:, :0], Y, X[:, :0], Y), "auto", r"has the shape \(0,\)|shape \(0,\)"),
        ((X, Y, X[:, :3], Y), "auto", r"shape \(3,\), and \(4,\) was expected"),
        ((X, NUMBERS, X, NUMBERS[:, :1]), "auto", r"test targets have the shape \(60, 1\), and 2 a row"),
        ((X, np.eye(3)[Y], X, np.eye(3)[Y]), "classification", "one-hot rows"),
        ((X, Y, X, Y), "next-character", "needs a text file"),
        ((X + 1j, Y, X, Y), "auto", "training inputs are of type complex"),
    ],
)
def test_each_fault_is_one_sentence_that_names_the_place(
    arrays: tuple[Array, Array, Array, Array], task: str, words: str
) -> None:
    with pytest.raises(TriodeError, match=words) as refusal:
        data.from_arrays("mine.npz", *arrays, task=task)
    assert str(refusal.value).startswith("mine.npz")
    assert "\n" not in str(refusal.value)


def test_a_fault_in_an_image_is_named_by_its_pixel() -> None:
    images = changed(RNG.normal(size=(60, 5, 4)), (9, 3, 2), np.nan)
    with pytest.raises(TriodeError, match=r"nan in row 9 at \(0, 3, 2\)"):
        data.from_arrays("mine", images, Y, images, Y)


def test_a_fault_far_down_a_large_array_is_named_by_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from triode.bakeoff.data import fingerprint

    monkeypatch.setattr(fingerprint, "CHUNK", 64)
    with pytest.raises(TriodeError, match="nan in row 41, column 1"):
        data.from_arrays("mine", changed(X, (41, 1), np.nan), Y, X, Y)
    with pytest.raises(TriodeError, match="label -2 in row 41"):
        data.from_arrays("mine", X, changed(Y, 41, -2), X, Y)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, ">f4", bool])
@pytest.mark.parametrize("shape", [(60, 4), (60, 2, 2), (60, 3, 2, 2), (60, 2, 2, 3)])
def test_inputs_are_standardised_whatever_their_type_and_layout(dtype: Any, shape: tuple[int, ...]) -> None:
    x = (10 * RNG.normal(size=shape)).astype(dtype) if dtype is not bool else RNG.random(shape) < 0.3
    found = data.from_arrays("mine", x, Y, x, Y)
    assert found.train_inputs.dtype == np.float32
    inputs = (found.train_inputs - found.shift) / found.scale
    assert inputs.dtype == np.float32
    axes = (0,) if len(shape) == 2 else (0, 2, 3)
    np.testing.assert_allclose(inputs.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axes), 1, atol=1e-5)
    assert found.shape == {(4,): (4,), (2, 2): (1, 2, 2)}.get(shape[1:], (3, 2, 2))


def test_bytes_and_float32_are_views_and_never_written() -> None:
    images = RNG.integers(0, 256, (60, 5, 4)).astype(np.uint8)
    for inputs in (images, X):
        before = inputs.copy()
        found = data.from_arrays("mine", inputs, Y, inputs, Y)
        assert np.shares_memory(found.train_inputs, inputs)
        np.testing.assert_array_equal(inputs, before)


@pytest.mark.parametrize("values", [50, 51])
@pytest.mark.parametrize("kind", [np.float64, np.int32])
def test_few_whole_numbers_are_classes(values: int, kind: Any) -> None:
    targets = (np.arange(102) % values * 1).astype(kind)
    x = RNG.normal(size=(102, 2))
    task = data.from_arrays("mine", x, targets, x, targets).task
    # Integers that are exactly 0 to k are classes however many; floats beyond 50 values are numbers.
    assert task == ("regression" if values == 51 and kind is np.float64 else "classification")


def test_the_fingerprint_tells_content_shape_and_task_apart() -> None:
    base = data.from_arrays("a", X, Y, X, Y).fingerprint
    assert data.from_arrays("b", X.copy(), Y, np.asfortranarray(X), Y).fingerprint == base
    others = [
        data.from_arrays("a", changed(X, (59, 3), 0.5), Y, X, Y),
        data.from_arrays("a", X, Y, changed(X, (59, 3), 0.5), Y),
        data.from_arrays("a", X, changed(Y, 0, 1), X, Y),
        data.from_arrays("a", X, Y, X, changed(Y, 0, 1)),
        data.from_arrays("a", X, Y, X, Y, task="regression"),
        data.from_arrays("a", X, Y, X, Y, labels=("p", "q", "r")),
        data.from_arrays("a", X.reshape(60, 2, 2), Y, X.reshape(60, 2, 2), Y),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == len(others) + 1


def test_reading_data_loads_no_framework() -> None:
    code = (
        "import sys; from triode.bakeoff.data import load; load('fashion-subset');"
        "print({'torch', 'scipy', 'matplotlib', 'PIL', 'pandas', 'sklearn'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
