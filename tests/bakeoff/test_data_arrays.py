"""NPZ files and folders of NPY files: found under every usual name, never unpickled, mapped where that is possible."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import arrays as npz
from triode.bakeoff.data import fingerprint as prints
from triode.errors import TriodeError

Array = npt.NDArray[Any]
RNG = np.random.default_rng(3)


def four(rows: int = 40, columns: int = 3) -> dict[str, Array]:
    x = RNG.normal(5, 2, (rows + 10, columns)).astype(np.float32)
    y = np.arange(rows + 10) % 4
    return {
        "train_inputs": x[:rows],
        "train_targets": y[:rows],
        "test_inputs": x[rows:],
        "test_targets": y[rows:],
    }


def saved(folder: Path, values: dict[str, Array]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in values.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


@pytest.mark.parametrize("spelling", npz.SPELLINGS)
@pytest.mark.parametrize("packed", [True, False])
def test_every_spelling_gives_the_same_data(tmp_path: Path, spelling: tuple[str, ...], packed: bool) -> None:
    values = {name: np.full((3, 2), i, np.uint8) for i, name in enumerate(spelling)}
    path = tmp_path / "mine.npz"
    (np.savez_compressed if packed else np.savez)(path, **values)
    assert [int(array[0, 0]) for array in npz.read_npz(path)] == [0, 1, 2, 3]


def test_an_npz_and_a_folder_of_npy_are_one_data_set(tmp_path: Path) -> None:
    values = four()
    np.savez(tmp_path / "mine.npz", **values)
    one = data.load(str(tmp_path / "mine.npz"))
    two = data.load(str(saved(tmp_path / "mine", values)))
    assert (one.task, one.outputs, one.shape) == ("classification", 4, (3,))
    assert one.fingerprint == two.fingerprint
    np.testing.assert_array_equal(one.test_inputs, values["test_inputs"])


def test_npy_files_are_mapped_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "CHUNK", 2**20)
    values = four(100_000, 100)  # 40 MB
    values["train_targets"] = values["train_targets"].astype(np.uint8)
    folder = saved(tmp_path / "mine", values)
    tracemalloc.start()
    found = data.load(str(folder))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found.train_inputs, np.memmap)
    assert isinstance(found.test_inputs, np.memmap)
    assert not found.train_inputs.flags.writeable
    assert peak < 16_000_000
    np.testing.assert_allclose(found.shift, values["train_inputs"].mean(0, dtype=float), rtol=1e-5)
    np.testing.assert_allclose(found.scale, values["train_inputs"].std(0, dtype=float), rtol=1e-5)


def test_the_mean_of_many_pieces_is_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = four(1000, 3)
    whole = data.from_arrays("x", *values.values())
    monkeypatch.setattr(prints, "CHUNK", 100)
    pieces = data.from_arrays("x", *values.values())
    np.testing.assert_allclose(pieces.shift, whole.shift, rtol=1e-6)
    np.testing.assert_allclose(pieces.scale, whole.scale, rtol=1e-6)
    assert pieces.fingerprint == whole.fingerprint


def test_a_file_that_is_too_large_to_read_is_known_by_its_ends_and_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prints, "LARGE", 1000)
    monkeypatch.setattr(prints, "_ENDS", 200)
    folder = saved(tmp_path / "mine", four(400))
    first = data.load(str(folder)).fingerprint
    assert data.load(str(folder)).fingerprint == first
    path = folder / "train_inputs.npy"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert data.load(str(folder)).fingerprint != first


def test_a_worker_does_not_check_the_numbers_of_a_large_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = four(400)
    values["train_inputs"][3, 1] = np.nan
    folder = saved(tmp_path / "mine", values)
    with pytest.raises(TriodeError, match="nan"):
        data.load_cached(str(folder))
    monkeypatch.setattr(prints, "LARGE", 1000)
    monkeypatch.setattr(prints, "_ENDS", 200)
    data.load_cached(str(folder))
    with pytest.raises(TriodeError, match="nan"):
        data.load(str(folder))


def test_a_large_file_of_another_type_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = four(400)
    values["train_inputs"] = values["train_inputs"].astype(np.float64)
    folder = saved(tmp_path / "mine", values)
    assert data.load(str(folder)).train_inputs.dtype == np.float32
    monkeypatch.setattr(prints, "LARGE", 1000)
    with pytest.raises(
        TriodeError, match=r"train_inputs\.npy holds .* bytes of float64.*write it as float32"
    ):
        data.load(str(folder))


def test_without_a_test_part_a_fixed_fifth_is_held_out(tmp_path: Path) -> None:
    x = np.arange(100.0, dtype=np.float32)
    np.savez(tmp_path / "whole.npz", inputs=x, targets=x * 1.5)
    found = data.load(str(tmp_path / "whole.npz"))
    assert (found.task, found.outputs, found.shape) == ("regression", 1, (1,))
    assert (len(found.train_inputs), len(found.test_inputs)) == (80, 20)
    np.testing.assert_array_equal(found.test_inputs[:, 0], x[data.hold_out(100)[1]])
    np.testing.assert_array_equal(found.test_targets, 1.5 * found.test_inputs)
    assert found.target_shift == pytest.approx(float(found.train_targets.mean()), rel=1e-6)


def test_a_mapped_file_too_large_to_hold_out_from_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.arange(100, dtype=np.float32)
    folder = saved(tmp_path / "mine", {"images": x, "labels": x})
    assert len(data.load(str(folder)).test_inputs) == 20
    monkeypatch.setattr(npz, "LARGEST_FILE", 399)
    with pytest.raises(TriodeError, match=r"has no test part, and 400 bytes are too many .*train_inputs"):
        data.load(str(folder))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap(), [1, 2]], dtype=object)
    np.savez(tmp_path / "mine.npz", **(four() | {"train_inputs": trap}))
    folder = saved(tmp_path / "mine", four())
    np.save(folder / "train_targets.npy", trap, allow_pickle=True)
    for path in (tmp_path / "mine.npz", folder):
        with pytest.raises(TriodeError, match=r"train_(inputs|targets).*Python objects"):
            data.load(str(path))
    assert not (tmp_path / "sprung").exists()


def test_a_small_npz_that_promises_to_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez(path, **{k: v for k, v in four().items() if k != "test_inputs"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("test_inputs.npy", npy_header((2**20, 2**20)) + bytes(10**6))
    tracemalloc.start()
    with pytest.raises(
        TriodeError, match=r"test_inputs is refused: its header promises 4,398,046,511,104 bytes"
    ):
        data.load(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("cut", [0, 10, 300, -30])
def test_a_truncated_npz_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **four())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TriodeError, match=r"mine\.npz is damaged or no \.npz file"):
        data.load(str(path))


def test_an_altered_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **four())
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)
    with pytest.raises(TriodeError, match=r"mine\.npz is damaged"):
        data.load(str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no .npy file"),
        (b"PK\x03\x04 not npy at all", "is no .npy file"),
        (npy_header((40, 3))[:50], "is no .npy file"),
        (
            npy_header((40, 3)) + bytes(479),
            "is truncated: its header promises 480 bytes of numbers and it has 479",
        ),
        (npy_header((40, 3)) + bytes(481), "is too long"),
        (npy_header((2**40, 2**40)), "is truncated"),
        (npy_header((0, 3)), "the training part is empty"),
        (npy_header((-40, 3)) + bytes(480), "is damaged: its header has the shape"),
        (npy_header((40, 3), "<c8") + bytes(960), "of type complex64"),
        (npy_header((40, 3), "<U1") + bytes(480), "of type <U1"),
        (npy_header((), "<f4") + bytes(4), "are one number"),
        (npy_header((1, 1, 1, 1, 30), "<f4") + bytes(120), "have 5 axes"),
        (npy_header((39, 3)) + bytes(468), "39 inputs and 40 targets"),
    ],
)
def test_an_npy_file_that_is_not_what_it_says_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    folder = saved(tmp_path / "mine", four())
    (folder / "train_inputs.npy").write_bytes(content)
    with pytest.raises(TriodeError) as refusal:
        data.load(str(folder))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_other_names_are_refused_with_those_expected(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", weights=np.zeros(3), bias=np.zeros(3))
    with pytest.raises(TriodeError, match=r"holds bias, weights; train_inputs.* were expected"):
        data.load(str(tmp_path / "mine.npz"))
