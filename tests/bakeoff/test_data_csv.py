"""CSV as people write it, and the line and column of every fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triode.bakeoff import data
from triode.bakeoff.data import csvfile
from triode.errors import TriodeError


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def flowers(rows: int = 60) -> list[str]:
    return [f"{1 + i % 7},{i * 0.25},{'rose' if i % 2 else 'lily'}" for i in range(rows)]


@pytest.mark.parametrize("header", ["a,b,species\n", "", "0,1,class\n", '"a, with comma",b,"target"\n'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_classes_with_any_header_line_end_and_byte_order_mark(
    tmp_path: Path, header: str, end: str, mark: bytes
) -> None:
    text = (header + "\n".join(flowers()) + "\n").replace("\n", end)
    found = data.load(written(tmp_path / "flowers.csv", mark + text.encode()))
    assert (found.task, found.outputs, found.labels, found.shape) == (
        "classification",
        2,
        ("lily", "rose"),
        (2,),
    )
    assert (len(found.train_inputs), len(found.test_inputs)) == (48, 12)
    rows = data.hold_out(60)[1]
    np.testing.assert_array_equal(found.test_inputs[:, 1], rows * 0.25)
    np.testing.assert_array_equal(found.test_targets, rows % 2)


def test_features_are_standardised_by_the_training_part_and_a_constant_column_is_left(tmp_path: Path) -> None:
    # 0.1 is no binary fraction: the mean of many is not exactly 0.1, and the deviation not exactly 0.
    lines = [f"{i},0.1,{i % 3}" for i in range(100)]
    found = data.load(written(tmp_path / "t.csv", "a,b,label\n" + "\n".join(lines)))
    train = (found.train_inputs - found.shift) / found.scale
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), [1, 0], atol=1e-6)
    assert np.asarray(found.scale)[1] == 1
    assert found.labels == ("0", "1", "2")


def test_places_that_float32_would_lose_are_kept(tmp_path: Path) -> None:
    lines = [f"{1_700_000_000 + i},{1e9 + i / 8}" for i in range(50)]
    found = data.load(written(tmp_path / "t.csv", "time,y\n" + "\n".join(lines)))
    assert found.task == "regression"
    inputs = ((found.train_inputs - found.shift) / found.scale)[:, 0]
    targets = ((found.train_targets - found.target_shift) / found.target_scale)[:, 0]
    rows = data.hold_out(50)[0].astype(float)
    expected = (rows - rows.mean()) / rows.std()
    np.testing.assert_allclose(inputs, expected, atol=1e-6)
    np.testing.assert_allclose(targets, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("targets", "task", "expected", "labels"),
    [
        (["1", "2", "7"], "auto", "classification", ("1", "2", "7")),
        (["1.0", "2", "7"], "auto", "classification", ("1", "2", "7")),
        (["10", "9"], "auto", "classification", ("9", "10")),
        (["10", "nine"], "auto", "classification", ("10", "nine")),
        (["1", "2.5"], "auto", "regression", ()),
        (["1", "2.5"], "classification", "classification", ("1", "2.5")),
        ([str(i) for i in range(51)], "auto", "regression", ()),
        (["1", "2"], "regression", "regression", ()),
    ],
)
def test_the_task_follows_from_the_targets_or_is_forced(
    tmp_path: Path, targets: list[str], task: str, expected: str, labels: tuple[str, ...]
) -> None:
    lines = [f"{i},{targets[i % len(targets)]}" for i in range(200)]
    found = data.load(written(tmp_path / "t.csv", "\n".join(lines)), task=task)
    assert (found.task, found.labels) == (expected, labels)
    if expected == "regression":
        scaled = (found.train_targets - found.target_shift) / found.target_scale
        assert found.train_targets.shape == (160, 1)
        assert (float(scaled.mean()), float(scaled.std())) == pytest.approx((0, 1), abs=1e-5)


def test_a_named_target_need_not_be_the_last_column(tmp_path: Path) -> None:
    lines = [f"{i % 2},{i},{i * i}" for i in range(30)]
    found = data.load(written(tmp_path / "t.csv", "Label,a,b\n" + "\n".join(lines)))
    np.testing.assert_array_equal(found.train_inputs[:, 0], data.hold_out(30)[0])
    assert (found.task, found.outputs) == ("classification", 2)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_row_numbers_that_pandas_writes_are_no_feature(tmp_path: Path, name: str) -> None:
    lines = [f"{i},{i % 5},{i % 2}" for i in range(40)]
    found = data.load(written(tmp_path / "t.csv", f"{name},a,class\n" + "\n".join(lines)))
    assert found.shape == (1,)
    assert found.train_inputs.max() == 4


def test_semicolons_and_tabs(tmp_path: Path) -> None:
    prints = {
        data.load(
            written(tmp_path / f"{i}.csv", "a,b,y\n".replace(",", c) + "\n".join(flowers()).replace(",", c))
        ).fingerprint
        for i, c in enumerate(",;\t")
    }
    assert len(prints) == 1


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", "a,b,y\n" + "\n".join(flowers(20)))
    written(tmp_path / "test.csv", "a,b,y\n3,4.0,rose\n5,0.5,lily\n")
    found = data.load(str(tmp_path))
    assert (len(found.train_inputs), found.test_targets.tolist()) == (20, [1, 0])
    np.testing.assert_array_equal(found.test_inputs, [[3, 4], [5, 0.5]])


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("a,b,y\n3,4,tulip\n", "test.csv has the class 'tulip' in line 2, and"),
        ("a,b\n3,4\n", "has no column 'y', which .*train.csv has; a test file without targets"),
        ("a,c,y\n3,4,rose\n", "has no column 'b'"),
        ("b,a,y\n3,4,rose\n", "or in another order"),
        ("3,rose\n", "has 2 columns and .*train.csv has 3"),
        ("a,b,y\n", "has a header and no rows"),
    ],
)
def test_a_test_file_of_other_data_is_refused(tmp_path: Path, test: str, words: str) -> None:
    written(tmp_path / "train.csv", "a,b,y\n" + "\n".join(flowers(20)))
    written(tmp_path / "test.csv", test)
    with pytest.raises(TriodeError, match=words):
        data.load(str(tmp_path))


GOOD = "".join(f"{i},{i},{i % 2}\n" for i in range(40))


# The only row of a class is among those held out.
ABSENT = "".join(f"{i},{i},{5 if i == data.hold_out(40)[1][0] else i % 2}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; rows of numbers"),
        ("\n\r\n  \n", "is empty; rows of numbers"),
        ("a,b,y\n", "has a header and no rows"),
        ("y\n1\n2\n", "has one column; at least one"),
        ("a,b,y\n" + GOOD + "1,,0\n,,1\n", "no number in line 42, column 'b' (3 such cells in all)"),
        ("a,b,y\n" + GOOD + "1,NaN,0\n", "no number in line 42, column 'b';"),
        ("a,b,y\n" + GOOD + "1,inf,0\n", "inf in line 42, column 'b'"),
        ("a,b,y\n" + GOOD + "1,2,\n", "has no target in line 42, column 'y'"),
        ("a,b,y\n" + GOOD + "1,2,0,5\n", "has 4 cells in line 42 and 3 in the first"),
        ("a,b,y\n" + GOOD + "1,2\n", "has 2 cells in line 42"),
        ("a,b,y\n" + GOOD + "1,red,0\n", "has 'red' in line 42, column 'b', where a number was expected"),
        (GOOD + '1,"1,5",0\n', "has '1,5' in line 41, column '2'"),
        ("a,b,y\n" + GOOD + '1,"2,0\n', "is not CSV in line 42"),
        ("a,b,y\n" + GOOD + '1,2,0\n\n\n3,"x\n', "is not CSV in line 45"),
        ("a,b,y\n" + "".join(f"{i},{i},name{i}\n" for i in range(40)), "40 different targets in 40 rows"),
        (
            "a,b,y\n" + "".join(f"{i},{i},{i / 3}\n" for i in range(40)) + "1,2,about 7\n",
            "'about 7' in line 42 is no number",
        ),
        ("a,b,y\n" + "".join(f"{i},{i},3\n" for i in range(40)), "one class only"),
        ("a,b,y\n" + "".join(f"7,7,{i % 2}\n" for i in range(40)), "every training input is 7.0"),
        ("a,b,y\n" + ABSENT, "no example of class 2 (5)"),
    ],
)
def test_each_fault_is_one_sentence_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path / "mine.csv", text)
    with pytest.raises(TriodeError) as refusal:
        data.load(path)
    assert words in str(refusal.value)
    assert "mine.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("regression", "the target 'lily' in line 2, column 'y', where regression needs a number"),
        ("next-character", None),
    ],
)
def test_a_forced_task(tmp_path: Path, task: str, words: str | None) -> None:
    path = written(tmp_path / "mine.csv", "a,b,y\n" + "\n".join(flowers()))
    if words is None:
        assert data.load(path, task=task).task == "next-character"
        return
    with pytest.raises(TriodeError, match=words):
        data.load(path, task=task)


def test_another_encoding_and_a_file_beyond_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "mine.csv", "a,größe,y\n1,2,3\n".encode("latin-1"))
    with pytest.raises(TriodeError, match="is not UTF-8 text"):
        data.load(path)
    monkeypatch.setattr(csvfile, "LARGEST_FILE", 10)
    with pytest.raises(TriodeError, match=r"as \.npy files"):
        data.load(path)


def test_rows_of_many_blocks_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "mine.csv", "a,b,y\n" + GOOD)
    whole = data.load(path)
    monkeypatch.setattr(csvfile, "_BLOCK", 7)
    assert data.load(path).fingerprint == whole.fingerprint
