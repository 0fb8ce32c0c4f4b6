"""A text by its characters, and files that are no text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import text as texts
from triode.errors import TriodeError


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def decoded(found: data.Dataset) -> str:
    return "".join(found.labels[i] for part in (found.train_inputs, found.test_inputs) for i in part)


def test_the_numbers_give_the_text_back(tmp_path: Path) -> None:
    text = "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich 🥊.\n" * 10
    found = data.load(written(tmp_path / "a.txt", text))
    assert decoded(found) == text
    assert list(found.labels) == sorted(set(text))
    assert (found.task, found.shape, found.outputs) == ("next-character", (), len(set(text)))
    assert len(found.test_inputs) == len(text) // 10
    assert found.train_targets is found.train_inputs
    assert found.train_inputs.dtype == np.uint8


@pytest.mark.parametrize("name", ["a.md", "a.csv", "a"])
def test_any_file_is_a_text_when_the_task_says_so(tmp_path: Path, name: str) -> None:
    text = "to be, or not to be\n" * 10
    assert decoded(data.load(written(tmp_path / name, text), task="next-character")) == text


def test_line_ends_and_byte_order_mark_change_nothing_and_one_letter_does(tmp_path: Path) -> None:
    text = "one\ntwo\nthree\n" * 10
    unix = data.load(written(tmp_path / "a.txt", text)).fingerprint
    windows = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    assert data.load(written(tmp_path / "b.txt", windows)).fingerprint == unix
    # Another alphabet of the same shape: the numbers are the same, the text is not.
    assert data.load(written(tmp_path / "c.txt", text.replace("w", "x"))).fingerprint != unix
    assert data.load(written(tmp_path / "d.txt", text[:-2] + "n\n")).fingerprint != unix


def test_a_large_alphabet_with_enough_examples_is_kept(tmp_path: Path) -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 1500)))
    found = data.load(written(tmp_path / "a.txt", characters * 50))
    assert (found.outputs, found.train_inputs.dtype) == (1500, np.uint16)
    assert decoded(found) == characters * 50
    with pytest.raises(TriodeError, match=r"1,500 different characters in 73,500, too few .* likely cause"):
        data.load(written(tmp_path / "a.txt", characters * 49))


@pytest.mark.parametrize(("letters", "kind"), [(256, np.uint8), (257, np.uint16)])
def test_the_smallest_type_that_holds_the_alphabet(tmp_path: Path, letters: int, kind: type) -> None:
    text = "".join(map(chr, range(0x400, 0x400 + letters))) * 3
    found = data.load(written(tmp_path / "a.txt", text))
    assert found.train_inputs.dtype == kind
    assert decoded(found) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"short", "the test part is empty"),
        (b"a" * 100, "one character only"),
        ("schön".encode("latin-1") * 10, r"not UTF-8 text \(byte 3 is 0xf6\)"),
        ("hello".encode("utf-16"), r"not UTF-8 text \(byte 0 is 0xff\)"),
        (b"\x80\x81", "another encoding or no text"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(TriodeError, match=words):
        data.load(written(tmp_path / "a.txt", content))


def test_a_text_beyond_the_memory_and_another_task_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.txt", "abc" * 100)
    with pytest.raises(TriodeError, match="'classification' does not fit"):
        data.load(path, task="classification")
    monkeypatch.setattr(texts, "LARGEST_FILE", 299)
    with pytest.raises(TriodeError, match=r"has 300 bytes; texts of up to 299"):
        data.load(path)
