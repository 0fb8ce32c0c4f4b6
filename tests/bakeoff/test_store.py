"""The files of a bake-off: whole or absent, and readable back to the last bit."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import math
import os
from pathlib import Path

import pytest

from triode.bakeoff import EpochRecord, Results, Spec, TrialResult, load
from triode.bakeoff.contestants import contestant
from triode.bakeoff.plan import Trial, make_trial
from triode.bakeoff.storage.codec import dump_epoch, dump_result, parse_epoch, parse_result
from triode.bakeoff.storage.store import COLUMNS, Failure, StorageError, Store, write_csv, write_whole
from triode.bakeoff.storage.tail import Tail
from triode.errors import TriodeError


def epoch(number: int, accuracy: float = 0.8123456789012345, loss: float = 1 / 3) -> EpochRecord:
    sites = (0.1, 1e-300)
    norms = (math.nan,) * 3 if number == 0 else (0.1, 2.0, 3e10)
    return EpochRecord(
        number, loss, 0.9, loss, accuracy, norms, sites, sites, sites, sites, {"beta": (1.0, math.nan)}, 0.25
    )


def result(key: str = "abc", epochs: int = 3) -> TrialResult:
    records = tuple(epoch(n, accuracy=0.5 - abs(n - 1) / 10) for n in range(epochs))
    return TrialResult(
        key=key,
        activation="gelu",
        specification="gelu",
        seed=1,
        purpose="final",
        learning_rate=1e-3,
        tuned={"learning_rate": 1e-3},
        parameters=570,
        layers=("a", "b", "c"),
        sites=("a", "b"),
        units=(512, 256),
        epochs=records,
        test_loss=0.5,
        test_accuracy=0.875,
        diverged=False,
        seconds=12.5,
        peak_memory=2**30,
        road="stacked with 6 others",
    )


def trial(seed: int = 0) -> Trial:
    return make_trial(contestant("gelu"), seed, "final", "data", Spec().alone())


def test_a_result_comes_back_to_the_last_bit() -> None:
    original = result()
    assert repr(parse_result(dump_result(original))) == repr(original)  # repr, for nan is not equal to nan
    assert repr(parse_epoch(dump_epoch(epoch(1)))) == repr(epoch(1))
    broken = dataclasses.replace(original, test_loss=math.inf, diverged=True)
    back = parse_result(dump_result(broken))
    assert math.isnan(back.test_loss)  # JSON has no word for infinity
    assert back.diverged


def test_a_field_that_came_later_has_its_default() -> None:
    plain = json.loads(dump_result(result()))
    del plain["road"]
    assert parse_result(json.dumps(plain)).road == "alone"


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
        dump_result(dataclasses.replace(result(), epochs=())),
        dump_result(result("other")),
        dump_result(result()).replace('"diverged": false', '"diverged": "no"'),
        dump_result(result()).replace('"seed": 1', '"seed": true'),
        dump_result(result()).replace('"seed": 1', '"seed": 1.5'),
        dump_result(result()).replace('"activation": "gelu"', '"activation": 3'),
        dump_result(result()).replace('"test_loss"', '"tset_loss"'),
        dump_result(result()).replace("[0.1, 2.0, 30000000000.0]", '"0.1"'),
        dump_result(result()).replace("[0.1, 2.0, 30000000000.0]", "0.1"),
        dump_result(result()).replace('{"beta": [1.0, null]}', '["beta"]'),
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


def test_preparing_removes_what_a_killed_command_left_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        ".plan.json.abcd_123",
        ".results.csv.abcd_123",
        ".results.csv",
        ".gitignore",
        "plan.json.old",
    ):
        (tmp_path / name).write_text("")
    Store(tmp_path).prepare(Spec())
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".results.csv", ".gitignore", "plan.json.old", "spec.toml", "trials"}


def test_loading_what_is_no_bake_off(tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match=r"holds no bake-off \(no spec\.toml\)"):
        load(tmp_path)
    (tmp_path / "spec.toml").write_text(Spec().to_toml())
    for text in ("", "{}", '{"trials": 3}', '{"trials": [], "roads": 3}', "[]"):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(TriodeError, match=r"plan\.json cannot be read"):
            load(tmp_path)


def test_a_bake_off_killed_before_its_plan_is_one_without_results(tmp_path: Path) -> None:
    Store(tmp_path).prepare(Spec())
    assert load(tmp_path).trials == ()


def test_a_plan_cannot_point_out_of_its_directory(tmp_path: Path) -> None:
    inside = tmp_path / "bakeoff"
    Store(inside).prepare(Spec(out=inside))
    Store(tmp_path / "outside").finish(result())
    (inside / "plan.json").write_text(json.dumps({"trials": [{"key": "../../outside/trials/abc"}]}))
    assert load(inside).trials == ()


@pytest.mark.parametrize("members", ['["../../.."]', "[]", "[1]", '{"a": 1}', "torn", '["abc"]'])
def test_a_group_whose_members_are_odd_is_removed_and_nothing_else(tmp_path: Path, members: str) -> None:
    store = Store(tmp_path)
    path = store.start_group(["abc", "def"], "software")
    path.write_bytes(b"a checkpoint")
    (path.parent / "members.json").write_text(f'{{"members": {members}, "software": "software"}}')
    foreign = tmp_path / "groups" / "notes of mine"
    foreign.mkdir()
    store.finish(result())
    assert store.unfinished_groups() == []
    assert not path.parent.exists()
    assert foreign.exists()
    assert store.result("abc") is not None


def test_a_checkpoint_of_other_software_is_not_gone_on_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.start_group(["abc"], "torch 2")
    path.write_bytes(b"a checkpoint")
    assert store.start_group(["abc"], "torch 2").exists()
    assert store.unfinished_groups() == [("abc",)]
    assert not store.start_group(["abc"], "torch 3").exists()


def test_starting_again_keeps_the_lines_given_and_drops_what_a_killed_attempt_left(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.start("abc", trial()) as old:
        old.write("one\ntwo\nthr")
        old.flush()
        (store.trial_dir("abc") / ".result.json.ab12_xyz").write_text("torn")
        (store.trial_dir("abc") / ".mine.json").write_text("somebody's")
        with store.start("abc", trial(), ["one"]) as new:
            new.write("TWO\n")
            old.write("ee\n")  # of a process that does not know that it is over
            old.flush()
    assert store.epochs_file("abc").read_text() == "one\nTWO\n"
    names = {path.name for path in store.trial_dir("abc").iterdir()}
    assert names == {"trial.json", "epochs.jsonl", ".mine.json"}


def test_each_epoch_is_told_once_whoever_wrote_it(tmp_path: Path) -> None:
    store, lines = Store(tmp_path), [dump_epoch(epoch(n)) for n in range(5)]
    tail = Tail(store)
    tail.watch("abc")
    assert tail.look() == []
    with store.start("abc", trial()) as file:
        file.write(f"{lines[0]}\n{lines[1]}\n{lines[2][:20]}")
        file.flush()
        assert [record.epoch for _, record in tail.look()] == [0, 1]
        assert tail.look() == []
        file.write(lines[2][20:] + "\n")
        assert [record.epoch for _, record in tail.look()] == [2]
    with store.start("abc", trial(), lines[:1]) as file:  # killed, and resumed from an earlier checkpoint
        file.write(f"{lines[1]}\nnonsense\n{lines[2]}\n{lines[3]}\n")
        assert [record.epoch for _, record in tail.look()] == [3]
    assert tail.epochs("abc") == 3
    # Another attempt's file that is longer at once, and has its news where the old one was read already.
    with store.start("abc", trial(), [lines[4], *lines]):
        assert [record.epoch for _, record in tail.look()] == [4]
    assert [record.epoch for record in tail.end(result(epochs=6))] == [5]
    assert tail.look() == []


def test_failures_are_counted_and_a_result_ends_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    Store(tmp_path).prepare(Spec())
    failure = Failure(2, 1, "ValueError: no", "Traceback ...")
    with store.start("abc", trial()):
        store.fail("abc", failure)
    assert store.failure("abc") == failure
    store.write_plan([("abc", trial())], {})
    assert load(tmp_path).failures == {"gelu, seed 0": "ValueError: no"}
    store.error_file("abc").write_text("torn")
    assert store.failure("abc") is None
    store.finish(result())
    assert not store.error_file("abc").exists()
    assert load(tmp_path).failures == {}


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"results cannot be written to .*file.*--out") as told:
        Store(tmp_path / "file").prepare(Spec())
    assert told.value.exit_status == 2


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; make room on the disk"),
        (errno.EROFS, "Read-only file system; make it writable"),
        (errno.EACCES, "Permission denied; make it writable"),
    ],
)
def test_what_the_disk_refuses_is_one_sentence_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    store = Store(tmp_path)
    store.finish(result())

    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=rf"results cannot be written to .*: {advice}.*start again"):
        store.finish(dataclasses.replace(result(), test_loss=7.0))
    kept = store.result("abc")
    assert kept is not None
    assert kept.test_loss == 0.5
    assert {path.name for path in store.trial_dir("abc").iterdir()} == {"result.json"}


def test_results_csv_has_a_row_a_trial(tmp_path: Path) -> None:
    tune = dataclasses.replace(result("c"), purpose="tune")
    found = Results(tmp_path, Spec(), (result("a"), result("b")), {}, (tune,))
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
    assert (rows[0]["tuned"], rows[0]["learning_rate"]) == ("learning_rate=0.001", "0.001")
    assert (rows[0]["peak_memory"], rows[0]["road"]) == (str(2**30), "stacked with 6 others")


def test_the_best_epoch_of_a_regression_is_that_of_the_smallest_loss(tmp_path: Path) -> None:
    losses = (9.0, 3.0, math.nan, 2.0, 4.0)
    records = tuple(
        dataclasses.replace(epoch(n, accuracy=math.nan), validation_loss=v) for n, v in enumerate(losses)
    )
    one = dataclasses.replace(result(), epochs=records)
    with write_csv(Results(tmp_path, Spec(task="regression", dataset="a.csv"), (one,), {})).open() as file:
        assert next(csv.DictReader(file))["best_epoch"] == "3"
