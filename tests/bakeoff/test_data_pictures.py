"""Folders of images: sizes, colours, classes, and files that are no images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import pictures
from triode.errors import MissingExtra, TriodeError

Image = pytest.importorskip("PIL.Image")


def picture(path: Path, value: int, size: tuple[int, int] = (4, 3), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16", "P") else (value,) * len(mode)).save(path)


def classes(folder: Path, names: tuple[str, ...] = ("ant", "bee"), each: int = 10, mode: str = "L") -> Path:
    for number, name in enumerate(names):
        for i in range(each):
            picture(folder / name / f"{i:02}.png", 100 * number + i, mode=mode)
    return folder


def test_a_folder_for_each_class_with_a_fifth_held_out(tmp_path: Path) -> None:
    (classes(tmp_path) / "ant" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "notes.txt").write_text("of the photographer")
    found = data.load(str(tmp_path))
    assert (found.task, found.labels, found.shape) == ("classification", ("ant", "bee"), (1, 3, 4))
    assert (len(found.train_inputs), len(found.test_inputs)) == (16, 4)
    assert found.train_inputs.dtype == np.uint8
    rows = data.hold_out(20)[1]
    np.testing.assert_array_equal(found.test_inputs[:, 0, 0, 0], rows % 10 + 100 * (rows // 10))
    np.testing.assert_array_equal(found.test_targets, rows // 10)


def test_train_and_test_folders_in_colour(tmp_path: Path) -> None:
    classes(tmp_path / "train", ("10", "9"), mode="RGB")
    picture(tmp_path / "test" / "10" / "a.JPG", 7, mode="RGB")
    found = data.load(str(tmp_path))
    assert (found.labels, found.shape, found.test_targets.tolist()) == (("9", "10"), (3, 3, 4), [1])
    np.testing.assert_allclose(found.test_inputs.astype(int), 7, atol=2)  # JPEG rounds


def test_channels_keep_their_order(tmp_path: Path) -> None:
    classes(tmp_path, each=5)
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "ant" / "00.png")
    found = data.load(str(tmp_path))
    every = np.concatenate([found.train_inputs, found.test_inputs])
    assert any(np.array_equal(image, np.moveaxis(pixels, 2, 0)) for image in every)
    # One colour image among grey ones: those have three equal channels now.
    assert sum(bool((image == image[:1]).all()) for image in every) == 9


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparent_images_and_palettes_are_colour(tmp_path: Path, mode: str) -> None:
    path = classes(tmp_path, each=5) / "ant" / "00.png"
    pixels = np.zeros((3, 4, 4), np.uint8)
    pixels[1] = (200, 100, 50, 255)
    image = Image.fromarray(pixels, "RGBA")
    (image if mode == "RGBA" else image.convert("P")).save(path, transparency=None)
    found = data.load(str(tmp_path))
    assert found.shape == (3, 3, 4)
    every = np.concatenate([found.train_inputs, found.test_inputs]).astype(int)
    red, green, blue = max((image[:, 1, 1] for image in every), key=np.ptp)
    assert red > 150 > green > 80 > blue


def test_images_of_two_sizes_are_refused_with_the_first_two_that_differ(tmp_path: Path) -> None:
    picture(classes(tmp_path) / "bee" / "05.png", 1, size=(5, 3))
    with pytest.raises(TriodeError, match=r"bee.05\.png is 5 x 3 pixels and .*ant.00\.png 4 x 3; .*resize"):
        data.load(str(tmp_path))


@pytest.mark.parametrize("keep", [0, 20, 50])
def test_a_truncated_image_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    path = classes(tmp_path) / "bee" / "03.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 4)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TriodeError, match=r"bee.03\.png (is no PNG or JPEG|cannot be (decoded|read))"):
        data.load(str(tmp_path))


def test_a_text_called_png_and_an_image_of_16_bits_are_refused(tmp_path: Path) -> None:
    path = classes(tmp_path) / "ant" / "zz.png"
    path.write_text("<html>404</html>")
    with pytest.raises(TriodeError, match=r"zz\.png is no PNG or JPEG image"):
        data.load(str(tmp_path))
    picture(path, 1000, mode="I;16")
    with pytest.raises(TriodeError, match=r"zz\.png has more than 8 bits a pixel"):
        data.load(str(tmp_path))


def test_a_class_only_in_the_test_part_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / "test", ("ant", "wasp"))
    with pytest.raises(TriodeError, match=r"test has a folder wasp and .*train has none"):
        data.load(str(tmp_path))


def test_a_test_folder_without_classes_is_left_alone(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    picture(tmp_path / "test" / "unknown.png", 3)
    assert len(data.load(str(tmp_path)).test_inputs) == 4


def test_images_beyond_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST_DECODED", 239)
    with pytest.raises(TriodeError, match=r"the 20 images take 240 bytes once decoded, .*\.npy files"):
        data.load(str(classes(tmp_path)))


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match="one class only"):
        data.load(str(classes(tmp_path, ("ant",))))


def test_a_folder_without_data_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TriodeError, match=r"holds no data in a form that is read: .*IDX.*train\.csv.*images"):
        data.load(str(tmp_path))


def test_without_pillow_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"needs pillow.*pip install 'triode\[plot\]'"):
        data.load(str(tmp_path))


@pytest.mark.parametrize("task", ["regression", "next-character"])
def test_a_task_that_images_do_not_have_is_refused(tmp_path: Path, task: str) -> None:
    with pytest.raises(TriodeError, match=task):
        data.load(str(classes(tmp_path)), task=task)
