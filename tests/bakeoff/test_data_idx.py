"""Folders in MNIST's format: every damage is refused by the name of the file, and plain files stay on the disk."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import fingerprint, idx
from triode.errors import TriodeError

Bytes = npt.NDArray[np.uint8]
Images = dict[str, Bytes]
AsIdx = Callable[[Bytes], bytes]


def write(folder: Path, arrays: Images, as_idx: AsIdx, axes: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    for part, stem in data.IDX_FILES.items():
        (folder / stem.replace("idx3", f"idx{axes}")).write_bytes(as_idx(arrays[part]))
    return folder


@pytest.mark.parametrize("by_path", [True, False])
def test_idx_files_plain_and_packed(folder: Path, images: Images, by_path: bool) -> None:
    found = data.load(str(folder)) if by_path else data.load("mnist", folder)
    np.testing.assert_array_equal(found.train_inputs[:, 0], images["train_images"])
    np.testing.assert_array_equal(found.test_targets, images["test_labels"])
    assert (found.shape, found.outputs, found.shift, found.scale) == ((1, 6, 5), 10, 127.5, 127.5)


def test_a_path_is_also_looked_for_in_the_data_folder(folder: Path) -> None:
    assert data.load(folder.name, folder.parent).fingerprint == data.load(str(folder)).fingerprint


def test_the_other_spelling_is_found(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(data.load(str(folder)).train_inputs) == 240


def test_plain_files_are_mapped_and_give_the_fingerprint_of_packed_ones(
    tmp_path: Path, folder: Path, images: Images, idx_bytes: AsIdx
) -> None:
    found = data.load(str(write(tmp_path / "plain", images, idx_bytes)))
    for array in (found.train_inputs, found.train_targets, found.test_inputs, found.test_targets):
        assert isinstance(array, np.memmap)
        assert array.base is not None
        assert not array.flags.writeable
    assert found.fingerprint == data.load(str(folder)).fingerprint


def test_a_large_plain_file_does_not_enter_the_memory(
    tmp_path: Path, idx_bytes: AsIdx, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(64, dtype=np.uint8) % 2
    small = {
        "train_images": np.zeros((64, 2, 2), np.uint8),
        "train_labels": labels,
        "test_images": np.zeros((64, 700, 700), np.uint8),
        "test_labels": labels,
    }
    folder = write(tmp_path / "large", small, idx_bytes)
    with (folder / "train-images-idx3-ubyte").open(
        "wb"
    ) as file:  # 31 MB, all but the last byte a hole in the file
        file.write(idx_bytes(np.zeros((64, 700, 700), np.uint8))[:16])
        file.seek(16 + 64 * 700 * 700 - 1)
        file.write(b"\x80")
    monkeypatch.setattr(fingerprint, "CHUNK", 2**20)
    tracemalloc.start()
    found = data.load(str(folder))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.train_inputs[-1, 0, -1, -1] == 128
    assert peak < 10_000_000


@pytest.mark.parametrize("last", [True, False])
def test_colour_images_of_another_size(tmp_path: Path, idx_bytes: AsIdx, last: bool) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (12, 7, 9, 3) if last else (12, 3, 7, 9)).astype(np.uint8)
    labels = np.arange(12, dtype=np.uint8) % 4
    arrays = {
        "train_images": pictures,
        "train_labels": labels,
        "test_images": pictures,
        "test_labels": labels,
    }
    found = data.load(str(write(tmp_path / "colour", arrays, idx_bytes, axes=4)))
    assert (found.shape, found.outputs) == ((3, 7, 9), 4)
    np.testing.assert_array_equal(found.train_inputs, np.moveaxis(pictures, 3, 1) if last else pictures)
    assert np.shares_memory(found.train_inputs, found.train_inputs.base)


@pytest.mark.parametrize(("brightest", "half"), [(1, 0.5), (16, 8), (127, 63.5), (128, 127.5), (255, 127.5)])
def test_bytes_are_scaled_by_the_range_that_they_use(
    tmp_path: Path, images: Images, idx_bytes: AsIdx, brightest: int, half: float
) -> None:
    arrays = dict(images)
    arrays["train_images"] = images["train_images"] // 8 * 0 + (images["train_images"] % 2) * np.uint8(
        brightest
    )
    found = data.load(str(write(tmp_path / "dim", arrays, idx_bytes)))
    assert (found.shift, found.scale) == (half, half)


@pytest.mark.parametrize("keep", [5, 11, 200, -1])
def test_a_truncated_packed_file_is_refused_by_name(folder: Path, keep: int) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TriodeError, match=r"train-images-idx3-ubyte\.gz is (truncated|damaged)"):
        data.load("mnist", folder)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not start as an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0", "does not start as an IDX file"),
        (b"\0\0\x08\x01\0\0", "does not start as an IDX file"),
        (b"\0\0\x08\x05" + b"\0\0\0\x01" * 5 + b"\0", "does not start as an IDX file"),
        (b"\0\0\x08\x01\0\0\0\x09" + bytes(8), "is truncated: its header promises 17 bytes"),
        (b"\0\0\x08\x01\0\0\0\x02" + bytes(8), "is too long"),
        (np.zeros((2, 3), np.uint8), "shape (2, 3)"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", "is empty"),
        (np.zeros(239, np.uint8), "239 labels for 240 images"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_by_name(
    folder: Path, content: bytes | Bytes, words: str, idx_bytes: AsIdx, packed: bool
) -> None:
    written = content if isinstance(content, bytes) else idx_bytes(content)
    path = folder / ("train-labels-idx1-ubyte.gz" if packed else "train-labels-idx1-ubyte")
    path.write_bytes(gzip.compress(written) if packed else written)
    with pytest.raises(TriodeError) as refusal:
        data.load("mnist", folder)
    assert "train-labels-idx1-ubyte" in str(refusal.value)
    assert words in str(refusal.value)


def test_a_header_that_promises_everything_is_refused_at_once(folder: Path) -> None:
    huge = b"\0\0\x08\x04" + b"\xff" * 16
    (folder / "train-labels-idx1-ubyte").write_bytes(huge)
    with pytest.raises(
        TriodeError, match=r"train-labels-idx1-ubyte is truncated: its header promises 340,\d"
    ):
        data.load("mnist", folder)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(huge))
    with pytest.raises(TriodeError, match=r"labels-idx1-ubyte\.gz is refused: .*unpack it with gunzip"):
        data.load("mnist", folder)


def test_a_small_packed_file_cannot_fill_the_memory(folder: Path) -> None:
    bomb = gzip.compress(b"\0\0\x08\x01\0\0\0\xf0" + bytes(60_000_000), 1)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(TriodeError, match=r"is too long: its header promises 248 bytes .* and more follows"):
        data.load("mnist", folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_label_beyond_the_classes_of_mnist_is_refused(folder: Path, idx_bytes: AsIdx) -> None:
    labels = np.arange(240, dtype=np.uint8) % 10
    labels[17] = 10
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(TriodeError, match="label 10 in row 17, and 10 classes are numbered 0 to 9"):
        data.load("mnist", folder)


def test_a_missing_file_and_parts_of_two_sizes_are_refused(folder: Path, idx_bytes: AsIdx) -> None:
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(TriodeError, match=r"has no t10k-images-idx3-ubyte\.gz"):
        data.load(str(folder))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.ones((60, 6, 6), np.uint8)))
    with pytest.raises(TriodeError, match=r"\(1, 6, 6\), and \(1, 6, 5\) was expected"):
        data.load(str(folder))


def test_one_file_of_the_four_is_not_the_folder(folder: Path) -> None:
    assert idx.has_any(folder)
    with pytest.raises(TriodeError, match="name the folder"):
        data.load(str(folder / "train-labels-idx1-ubyte"))
