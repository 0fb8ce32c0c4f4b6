"""The named data sets are what they claim to be, or are refused by the name of the file."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import builtin
from triode.errors import TriodeError

needs_debian = pytest.mark.skipif(
    not data.has_all(data.FASHION_SYSTEM_DIR),
    reason="Debian's package dataset-fashion-mnist is not installed",
)


def test_the_subset_is_real_stratified_and_small() -> None:
    subset = data.load("fashion-subset")
    assert subset.train_inputs.shape == (10_000, 1, 28, 28)
    assert subset.test_inputs.shape == (2_000, 1, 28, 28)
    assert subset.train_inputs.dtype == np.uint8
    assert (np.bincount(subset.train_targets) == 1000).all()
    assert (np.bincount(subset.test_targets) == 200).all()
    assert data.SUBSET_FILE.stat().st_size < 6_000_000
    # Published of the full training part: mean 0.2860, standard deviation 0.3530 of the pixels from 0 to 1.
    assert subset.train_inputs.mean() / 255 == pytest.approx(0.2860, abs=0.003)
    assert subset.train_inputs.std() / 255 == pytest.approx(0.3530, abs=0.003)
    assert (subset.task, subset.shape, subset.outputs, subset.shift, subset.scale) == (
        "classification",
        (1, 28, 28),
        10,
        127.5,
        127.5,
    )
    # Trousers are the only class that is empty between the legs and full above; labels follow the published order.
    trousers = subset.train_inputs[subset.train_targets == subset.labels.index("Trouser"), 0].mean(0)
    assert trousers[2:6, 14].mean() > 4 * trousers[20:, 14].mean()


def test_the_subset_comes_with_its_licence() -> None:
    text = data.SUBSET_FILE.with_name("fashion_subset.LICENSE.txt").read_text(encoding="utf-8")
    assert "The MIT License" in text
    assert "Zalando SE" in text


@needs_debian
def test_the_subset_is_of_the_official_images_and_parts_do_not_mix() -> None:
    full = data.read_fashion_mnist(data.FASHION_SYSTEM_DIR)
    subset = data.load("fashion-subset")
    assert full.fingerprint != subset.fingerprint
    with np.load(data.SUBSET_FILE, allow_pickle=False) as stored:
        for part in ("train", "test"):
            index = stored[f"{part}_index"]
            assert (np.diff(index.astype(int)) > 0).all()
            for what in ("inputs", "targets"):
                ours, theirs = getattr(subset, f"{part}_{what}"), getattr(full, f"{part}_{what}")
                np.testing.assert_array_equal(ours, theirs[index])


def test_an_altered_subset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(data.SUBSET_FILE.read_bytes())
    content[2_000_000] ^= 1
    altered = tmp_path / "subset.npz"
    altered.write_bytes(content)
    monkeypatch.setattr(builtin, "SUBSET_FILE", altered)
    with pytest.raises(TriodeError, match=r"subset\.npz was altered or damaged"):
        data.load("fashion-subset")


def test_other_files_under_the_names_of_fashion_mnist_are_refused(folder: Path) -> None:
    with pytest.raises(TriodeError, match=r"train-images-idx3-ubyte\.gz is not the published file"):
        data.load("fashion-mnist", folder)


@needs_debian
@pytest.mark.parametrize("packed", [True, False])
def test_one_altered_pixel_in_fashion_mnist_is_noticed(tmp_path: Path, packed: bool) -> None:
    for stem in data.IDX_FILES.values():
        (tmp_path / f"{stem}.gz").symlink_to(data.FASHION_SYSTEM_DIR / f"{stem}.gz")
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100_000] ^= 1
    path.unlink()
    path = path if packed else path.with_suffix("")
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    with pytest.raises(TriodeError, match=r"t10k-images-idx3-ubyte(\.gz)? is not the published file"):
        data.load("fashion-mnist", tmp_path)


def test_a_task_that_does_not_fit_a_named_set_is_refused() -> None:
    with pytest.raises(TriodeError, match="'regression' does not fit fashion-subset"):
        data.load("fashion-subset", task="regression")


def test_digits() -> None:
    pytest.importorskip("sklearn")
    digits = data.load("digits")
    assert (digits.shape, digits.shift, digits.scale, digits.outputs) == ((1, 8, 8), 8, 8, 10)
    assert (len(digits.train_targets), len(digits.test_targets)) == (1497, 300)
    assert digits.train_inputs.max() == 16
    assert digits.train_inputs.dtype == np.uint8


def test_digits_without_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"needs scikit-learn.*pip install"):
        data.load("digits")


def test_a_worker_reads_the_data_once_for_all_trials(folder: Path) -> None:
    assert data.load_cached("mnist", folder) is data.load_cached("mnist", folder)
    assert data.train_size("mnist", folder) == 240


@pytest.mark.parametrize(
    ("name", "words"),
    [("fashion-mnst", "did you mean 'fashion-mnist'"), ("no/such/folder", "nor a file or folder in")],
)
def test_a_name_that_is_nothing_is_refused_with_what_would_be_right(name: str, words: str) -> None:
    with pytest.raises(TriodeError, match=words):
        data.load(name)


def test_the_split_is_fixed_and_covers_everything() -> None:
    train, validation = data.split(10_000, 0.15)
    assert (len(train), len(validation)) == (8500, 1500)
    assert sorted([*train, *validation]) == list(range(10_000))
    # Recorded: another draw would quietly make old and new trials incomparable.
    assert validation[:8].tolist() == [5, 9, 12, 16, 26, 27, 37, 38]
    assert data.split(10_000, 0.15, seed=1)[1].tolist() != validation.tolist()


def test_held_out_rows_are_fixed_and_not_those_of_validation() -> None:
    train, test = data.hold_out(10_000)
    assert sorted([*train, *test]) == list(range(10_000))
    assert test[:8].tolist() == [1, 3, 6, 23, 24, 29, 35, 41]
    assert len(set(test) & set(data.split(10_000, 0.2)[1])) == pytest.approx(400, abs=80)
