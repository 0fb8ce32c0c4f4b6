"""The files of a bake-off: whole or absent, and readable back to the last bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

from triode.bakeoff import EpochRecord, Results, Spec, TrialResult, load
from triode.bakeoff.store import COLUMNS, Store, dump_result, parse_result, write_csv, write_whole
from triode.errors import TriodeError


def epoch(number: int, accuracy: float = 0.8123456789012345, loss: float = 1 / 3) -> EpochRecord:
    per_layer = (0.1, 1e-300)
    norms = (math.nan,) * 3 if number == 0 else (0.1, 2.0, 3e10)
    return EpochRecord(
        number, loss, loss, accuracy, 0.9, norms, per_layer, per_layer, per_layer, per_layer, 0.25
    )


def result(key: str = "abc", epochs: int = 3) -> TrialResult:
    records = tuple(epoch(n, accuracy=0.5 - abs(n - 1) / 10) for n in range(epochs))
    return TrialResult(key, "gelu", "gelu", 1, 1e-3, 570, records, 0.5, 0.875, False, 12.5)


def test_a_result_comes_back_to_the_last_bit() -> None:
    original = result()
    assert repr(parse_result(dump_result(original))) == repr(original)  # repr, for nan is not equal to nan
    broken = dataclasses.replace(original, test_loss=math.inf, diverged=True)
    back = parse_result(dump_result(broken))
    assert math.isnan(back.test_loss)  # JSON has no word for infinity
    assert back.diverged


@pytest.mark.parametrize("cut", [0, 1, 10, -2])
def test_a_torn_result_is_missing_and_says_so(tmp_path: Path, cut: int) -> None:
    store = Store(tmp_path)
    store.finish(result())
    path = store.trial_dir("abc") / "result.json"
    path.write_text(path.read_text()[:cut])
    with pytest.warns(UserWarning, match=r"result\.json is torn or altered.*counts as missing"):
        assert store.result("abc") is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{}",
        '{"epochs": []}',
        dump_result(result("other")),
        dump_result(result()).replace('"diverged": false', '"diverged": "no"'),
        dump_result(result()).replace('"activation": "gelu"', '"activation": 3'),
        dump_result(result()).replace('"test_loss"', '"tset_loss"'),
        dump_result(result()).replace("[0.1, 2.0, 30000000000.0]", '"0.1"'),
        dump_result(result()).replace("[0.1, 2.0, 30000000000.0]", "0.1"),
        "[" * 100_000,
    ],
)
def test_an_altered_result_is_missing_and_says_so(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    store.finish(result())
    (store.trial_dir("abc") / "result.json").write_text(text)
    with pytest.warns(UserWarning, match="counts as missing"):
        assert store.result("abc") is None


def test_bytes_that_are_no_text_are_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.finish(result())
    (store.trial_dir("abc") / "result.json").write_bytes(b"\xff\xff\0")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert store.result("abc") is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new\udfff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_loading_what_is_no_bake_off(tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match=r"holds no bake-off \(no spec\.toml\)"):
        load(tmp_path)
    (tmp_path / "spec.toml").write_text(Spec().to_toml())
    for text in ("", "{}", '{"trials": 3}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(TriodeError, match=r"plan\.json cannot be read"):
            load(tmp_path)


def test_a_plan_cannot_point_out_of_its_directory(tmp_path: Path) -> None:
    inside = tmp_path / "bakeoff"
    Store(inside).prepare(Spec(out=inside), ())
    Store(tmp_path / "outside").finish(result())
    (inside / "plan.json").write_text(json.dumps({"trials": [{"key": "../../outside/trials/abc"}]}))
    assert load(inside).trials == ()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TriodeError, match=r"results cannot be written to .*--out"):
        Store(tmp_path / "file").prepare(Spec(), ())


def test_results_csv_has_a_row_a_trial(tmp_path: Path) -> None:
    found = Results(tmp_path, Spec(), (result("a"), result("b")), {})
    with write_csv(found).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["key"] for row in rows] == ["a", "b"]
    assert rows[0]["activation"] == "gelu"
    assert float(rows[0]["test_accuracy"]) == 0.875
    assert rows[0]["diverged"] == "false"
    assert float(rows[0]["seconds_per_epoch"]) == 0.25
    assert (rows[0]["best_epoch"], rows[0]["epochs"]) == ("1", "2")
    assert (float(rows[0]["validation_accuracy"]), float(rows[0]["best_validation_accuracy"])) == (0.4, 0.5)
