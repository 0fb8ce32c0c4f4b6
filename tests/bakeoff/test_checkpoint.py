"""A checkpoint is whole or counts as absent, and nothing in it is ever executed."""

from __future__ import annotations

import pickle
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triode.bakeoff.storage import checkpoint

STATE: dict[str, Any] = {
    "network/0.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "../../odd name/é": np.array([True, False]),
    "steps": np.array(7),
    "none": np.zeros((0, 3)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}
RECORDS = [['{"epoch": 0}', '{"epoch": 1}'], ['{"epoch": 0}']]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "checkpoint.npz"
    checkpoint.write(place, STATE, RECORDS, 1, 2.5)
    return place


def test_everything_comes_back(path: Path) -> None:
    found = checkpoint.read(path)
    assert found is not None
    assert (found.epoch, found.seconds) == (1, 2.5)
    assert found.records == tuple(tuple(lines) for lines in RECORDS)
    assert list(found.state) == list(STATE)
    for name, array in STATE.items():
        assert found.state[name].dtype == array.dtype
        assert found.state[name].shape == array.shape
        assert np.array_equal(found.state[name], array)
        assert found.state[name].flags.writeable


def test_none_is_none_and_no_warning(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "checkpoint.npz") is None


def test_wherever_it_is_cut_short_it_counts_as_absent(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="torn or altered"):
            assert checkpoint.read(path) is None


def test_a_flipped_bit_is_noticed_or_harmless(path: Path) -> None:
    """Anywhere in the file: what comes back is what was written, or nothing."""
    whole = path.read_bytes()
    rng = random.Random(5)
    refused = 0
    for position in rng.sample(range(len(whole)), 300):
        altered = bytearray(whole)
        altered[position] ^= 1 << rng.randrange(8)
        path.write_bytes(altered)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = checkpoint.read(path)
        assert (found is None) == any("torn or altered" in str(one.message) for one in told)
        refused += found is None
        if found is not None:
            assert found.records == tuple(tuple(lines) for lines in RECORDS)
            assert all(np.array_equal(found.state[name], STATE[name]) for name in STATE)
    assert refused > 150


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('unpickled')",)


def test_objects_are_neither_written_nor_read(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"[Oo]bject arrays cannot be saved"):
        checkpoint.write(path, {"bomb": np.array([Bomb()], dtype=object)}, RECORDS, 2)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    with zipfile.ZipFile(path) as archive:
        about = archive.read("about.json")
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (10 + 0x76 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.json", about)
        for number in range(len(STATE)):
            archive.writestr(f"{number}.npy", header + pickle.dumps(np.array([Bomb()], dtype=object)))
    with pytest.warns(UserWarning, match="Object arrays cannot be loaded"):
        assert checkpoint.read(path) is None


def test_a_write_that_fails_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(path, STATE, RECORDS, 2)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_it_is_an_archive_that_numpy_opens(path: Path) -> None:
    with np.load(path, allow_pickle=False) as archive:
        assert np.array_equal(archive["0"], STATE["network/0.weight"])
