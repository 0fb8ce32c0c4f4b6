"""The rubric applied to honest, broken and forged directories."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from triode.bakeoff import Spec, run
from triode.bakeoff.grade import criteria, grade
from triode.bakeoff.grade.forms import COLUMNS, gradescope, nbgrader
from triode.bakeoff.grade.judge import gather
from triode.bakeoff.grade.rerun import CLOSE, IMPOSSIBLE, REFUTED, SAME, choose, compare
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.spec import CHAPTER_SEVEN
from triode.bakeoff.storage.codec import dump_epoch, parse_result
from triode.errors import TriodeError

Edit = Callable[[dict[str, Any]], None]


class Here(Executor):
    """Runs at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bake-off of the chapter's seven and one of our own, really trained on a few hundred digits."""
    out = tmp_path_factory.mktemp("grade") / "honest"
    spec = Spec(
        activations=(*CHAPTER_SEVEN, "grade_own=z * sigmoid(2 * z)"),
        dataset="digits",
        hidden=(12, 10, 8, 7),
        seeds=2,
        epochs=3,
        batch_size=64,
        protocol="chapter",
        initialisation="pytorch",
        out=out,
    )
    run(spec, Here(), progress=False)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def folder_of(directory: Path, activation: str, seed: int) -> Path:
    for path in sorted(directory.glob("trials/*/trial.json")):
        plain = json.loads(path.read_text())
        if (plain["activation"], plain["seed"]) == (activation, seed):
            return path.parent
    raise AssertionError(f"no trial of {activation}")


def forge(directory: Path, edit: Edit, activation: str = "sigmoid", seed: int = 1) -> None:
    """Change a result, and its epochs.jsonl with it, as somebody would who knows the format."""
    folder = folder_of(directory, activation, seed)
    plain = json.loads((folder / "result.json").read_text())
    edit(plain)
    (folder / "result.json").write_text(json.dumps(plain))
    (folder / "epochs.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in plain["epochs"]))


def points(judged: Any, identity: str) -> float:
    return next(one.score.points for one in judged.judged if one.criterion.id == identity)


def stored(directory: Path, activation: str = "relu", seed: int = 0) -> TrialResult:
    return parse_result((folder_of(directory, activation, seed) / "result.json").read_text())


def test_the_rubric_has_a_hundred_points() -> None:
    assert sum(criterion.maximum for criterion in criteria()) == 100
    assert len({criterion.id for criterion in criteria()}) == len(criteria())


def test_an_honest_bake_off_contradicts_nothing_and_comes_back_to_the_last_bit(finished: Path) -> None:
    said: list[str] = []
    judged = grade(finished, cell="relu:1", progress=said.append)
    assert judged.contradictions == ()
    assert judged.notes == ()
    assert judged.found == 16
    assert (judged.rerun.verdict, judged.rerun.epochs) == (SAME, 3), judged.rerun.sentence
    assert points(judged, "implementation") == 20
    assert points(judged, "custom-activation") == 10
    assert any("epoch 3 of 3" in line for line in said)


def test_without_the_rerun_it_says_so(finished: Path) -> None:
    judged = grade(finished, retrain=False)
    assert judged.rerun.verdict == "skipped"
    assert "nothing shows" in judged.rerun.sentence


def epochs(change: Edit) -> Edit:
    def edit(plain: dict[str, Any]) -> None:
        for epoch in plain["epochs"][1:]:
            change(epoch)

    return edit


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda plain: plain.update(test_accuracy=0.9123456), "whole number of 300 examples"),
        (epochs(lambda e: e.update(validation_accuracy=0.7654321)), "whole number of 225 examples"),
        (lambda plain: plain.update(test_loss=0.001, test_accuracy=0.5), "costs at least"),
        (epochs(lambda e: e.update(train_loss=0.01234567890123, train_accuracy=0.1)), "costs at least"),
        (lambda plain: plain.update(learning_rate=0.01), "learning rate"),
        (lambda plain: plain.update(activation="tanh"), "result.json says activation"),
        (lambda plain: plain["epochs"].pop(), "2 epochs of the 3"),
        (lambda plain: plain["epochs"].pop(1), "numbered 0, 2, 3"),
        (epochs(lambda e: e.update(dead=[0.05, 0, 0, 0])), "whole number of 12 units"),
        (epochs(lambda e: e.update(mean=[1.5, 0.5, 0.5, 0.5])), "gives values from"),
        (epochs(lambda e: e.update(spread=[0.7, 0.1, 0.1, 0.1])), "half the range"),
        (epochs(lambda e: e.update(saturated=[1.5, 0, 0, 0])), "outside 0 to 1"),
        (epochs(lambda e: e.update(gradient_norm=[0.1] * 4)), "norms for 5 layers"),
        (epochs(lambda e: e.update(gradient_norm=[0.1] * 5)), "gradient norm is the same"),
        (
            epochs(lambda e: e.update(train_loss=round(e["train_loss"], 3), validation_loss=1.25)),
            "six decimals",
        ),
        (epochs(lambda e: e.update(seconds=1.0)), "the time is the same"),
        (epochs(lambda e: e.update(seconds=0.0)), "positive number of seconds"),
        (epochs(lambda e: e.update(seconds=100 + e["train_loss"])), "the whole of it only"),
        (lambda plain: plain.update(parameters=12345), "12,345 parameters"),
        (lambda plain: plain.update(units=[12, 10, 8, 8]), "its settings say 12, 10, 8, 7"),
        (epochs(lambda e: e.update(train_loss=None)), "without divergence"),
    ],
)
def test_an_impossible_record_is_named_and_does_not_count(copy: Path, edit: Edit, expected: str) -> None:
    forge(copy, edit)
    judged = grade(copy, retrain=False)
    assert any(expected in line for line in judged.contradictions), judged.contradictions
    assert judged.found == 15
    assert points(judged, "implementation") < 20


def test_the_files_of_a_trial_have_to_agree(copy: Path) -> None:
    path = folder_of(copy, "elu", 0) / "epochs.jsonl"
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 3'))
    (one,) = grade(copy, retrain=False).contradictions
    assert "epochs.jsonl and result.json differ" in one
    path.unlink()  # a worker on another machine keeps it
    assert grade(copy, retrain=False).contradictions == ()


def test_settings_changed_afterwards_have_another_hash(copy: Path) -> None:
    path = folder_of(copy, "elu", 0) / "trial.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    (one,) = grade(copy, retrain=False).contradictions
    assert "changed afterwards" in one


def test_one_training_cannot_stand_for_two(copy: Path) -> None:
    first = json.loads((folder_of(copy, "relu", 0) / "result.json").read_text())
    forge(copy, lambda plain: plain.update(epochs=first["epochs"]), "relu", 1)
    judged = grade(copy, retrain=False)
    assert any("to the last bit" in line for line in judged.contradictions)
    assert judged.found == 14


def changed(record: EpochRecord, factor: float) -> EpochRecord:
    return dataclasses.replace(
        record, train_loss=record.train_loss * factor, validation_loss=record.validation_loss * factor
    )


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ((1, 1, 1, 1), SAME),
        ((1 + 1e-8, 1.004, 1.01, 0.98), CLOSE),  # another processor
        ((1.001, 1.001, 1.001, 1.001), REFUTED),  # the untrained network is not this one
        ((1, 1, 1, 0.99), REFUTED),  # the same arithmetic, then other figures
        ((1 + 1e-8, 0.7, 0.6, 0.5), REFUTED),
    ],
)
def test_how_much_a_rerun_may_differ(finished: Path, factors: tuple[float, ...], verdict: str) -> None:
    evidence, _ = gather(finished)
    cell = choose(evidence.cells, "relu:0")
    truth = cell.result.epochs
    told = tuple(changed(record, factor) for record, factor in zip(truth, factors, strict=True))
    cell = dataclasses.replace(cell, result=dataclasses.replace(cell.result, epochs=told))
    assert compare(cell, truth).verdict == verdict
    assert compare(cell, truth[:1]).verdict == (
        REFUTED if factors[0] == 1.001 else compare(cell, truth[:1]).verdict
    )


def test_a_better_test_figure_is_found(finished: Path) -> None:
    evidence, _ = gather(finished)
    cell = choose(evidence.cells, "relu:0")
    told = dataclasses.replace(cell.result, test_accuracy=cell.result.test_accuracy + 1 / 300)
    found = compare(dataclasses.replace(cell, result=told), cell.result.epochs, cell.result)
    assert found.verdict == REFUTED
    assert "test accuracy" in found.sentence


def test_an_invented_log_is_refuted_and_fails(copy: Path) -> None:
    rng = random.Random(4)

    def invent(plain: dict[str, Any]) -> None:
        for number, epoch in enumerate(plain["epochs"]):
            loss = 2.31 * 0.8**number + rng.random() / 100
            epoch.update(train_loss=loss, validation_loss=loss + rng.random() / 50)

    forge(copy, invent, "gelu", 0)
    judged = grade(copy, cell="gelu:0")
    assert judged.contradictions == ()
    assert judged.rerun.verdict == REFUTED, judged.rerun.sentence
    assert points(judged, "implementation") == 0
    assert not judged.passed(0)


def test_the_trial_to_repeat_hangs_on_every_result(finished: Path, copy: Path) -> None:
    evidence, _ = gather(finished)
    assert choose(evidence.cells).name == choose(tuple(reversed(evidence.cells))).name
    picked = set()
    for number in range(12):
        forge(copy, lambda plain, n=number: plain.update(seconds=plain["seconds"] + n), "relu", 0)
        picked.add(choose(gather(copy)[0].cells).name)
    assert len(picked) > 3
    with pytest.raises(TriodeError, match="names no finished trial"):
        choose(evidence.cells, "relu:7")


def test_code_of_a_stranger_is_not_imported(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "grade_trap.py").write_text("from pathlib import Path\nPath('sprung').touch()\nmade = 1\n")
    spec = copy / "spec.toml"
    spec.write_text(spec.read_text().replace('"sigmoid"', '"grade_trap:made"'))
    trial = folder_of(copy, "relu", 0) / "trial.json"
    trial.write_text(
        trial.read_text().replace('"specification": "relu"', '"specification": "grade_trap:made"')
    )
    judged = grade(copy, retrain=False)
    assert any("code of its own (grade_trap:made)" in note for note in judged.notes)
    assert not (tmp_path / "sprung").exists()


def test_data_that_are_not_there_are_said(copy: Path) -> None:
    for path in copy.glob("trials/*/trial.json"):
        plain = json.loads(path.read_text())
        plain["setting"]["dataset"] = "nowhere/data.npz"
        from triode.bakeoff.plan import Trial

        key = Trial.from_plain(plain).key
        path.write_text(json.dumps(plain))
        result = json.loads((path.parent / "result.json").read_text()) | {"key": key}
        (path.parent / "result.json").write_text(json.dumps(result))
        path.parent.rename(path.parent.with_name(key))
    judged = grade(copy, seconds=20)
    assert judged.rerun.verdict == IMPOSSIBLE
    assert "data.npz" in judged.rerun.sentence
    assert points(judged, "implementation") == 10  # what nobody can repeat counts half


def mutations(seed: int) -> Iterator[Callable[[bytes], bytes]]:
    rng = random.Random(seed)
    swaps = [b"null", b"[]", b"{}", b'"x"', b"1e999", b"-1", b"true", b"9" * 400, b"1e308"]
    yield lambda text: b""
    yield lambda text: text[: rng.randrange(len(text) + 1)]
    yield lambda text: bytes(rng.randrange(256) for _ in range(60))
    yield lambda text: b"[" * 20_000

    def swap(text: bytes) -> bytes:
        import re

        values = list(re.finditer(rb"(?<=[:\[,])\s*(-?\d[\d.e+-]*|\"[^\"]*\"|null)", text))
        if not values:
            return text
        one = rng.choice(values)
        return text[: one.start()] + rng.choice(swaps) + text[one.end() :]

    for _ in range(6):
        yield swap


def test_no_directory_stops_the_grader(finished: Path, tmp_path: Path) -> None:
    """Ten damages to each kind of file; whatever is left is judged, and never better than the whole."""
    small = tmp_path / "small"
    names = {"sigmoid", "relu", "gelu"}
    shutil.copytree(finished, small)
    for path in list(small.glob("trials/*/trial.json")):
        plain = json.loads(path.read_text())
        if plain["activation"] not in names:
            shutil.rmtree(path.parent)
    best = grade(small, retrain=False).total
    kept = sorted(small.glob("trials/*"))[0]
    for name in ("spec.toml", "trial.json", "result.json", "epochs.jsonl", "plan.json"):
        path = small / name if (small / name).exists() else kept / name
        whole = path.read_bytes()
        for damage in mutations(len(name)):
            path.write_bytes(damage(whole))
            judged = grade(small, retrain=False)
            assert 0 <= judged.total <= best, (name, path.read_bytes()[:200])
            json.dumps(judged.plain(), allow_nan=False)
        path.write_bytes(whole)


def test_an_empty_directory_gets_nothing_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    judged = grade(tmp_path)
    assert judged.total == 0
    assert all(one.score.hint for one in judged.judged)
    with pytest.raises(TriodeError, match="is no folder"):
        grade(tmp_path / "nowhere")


def essay(directory: Path, winner: str | None = None, shift: float = 0.0) -> str:
    evidence, _ = gather(directory)
    means = {
        name: sum(t.test_accuracy for t in evidence.trials(name)) / len(evidence.trials(name))
        for name in evidence.activations
    }
    best = winner or max(means, key=lambda name: means[name])
    filler = (
        "The reason lies in the slope, which decides how much of the error reaches the first layers. " * 12
    )
    rows = " ".join(f"{name} ended at {means[name] + shift:.2%}." for name in list(means)[:4])
    return f"# What won\n\n{best} won with {means[best] + shift:.2%} of the test examples right. {rows}\n\n{filler}"


def test_a_true_analysis_gets_all_points_and_says_what_is_not_checked(copy: Path) -> None:
    (copy / "analysis.md").write_text(essay(copy))
    judged = grade(copy, retrain=False)
    assert points(judged, "written-analysis") == 15
    evidence = next(one.score.evidence for one in judged.judged if one.criterion.id == "written-analysis")
    assert "for a person" in evidence[-1]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (lambda copy: essay(copy, shift=0.0371), 10.0),  # figures that are not in the records
        (lambda copy: essay(copy, winner="sigmoid"), 12.5),
        (lambda copy: "gelu won. " + "word " * 20, 6.0),
        (lambda copy: "```\n" + "word " * 200 + "\n```", 0.0),
    ],
)
def test_a_poor_analysis_loses_points(copy: Path, text: Callable[[Path], str], most: float) -> None:
    (copy / "ANALYSIS.txt").write_text(text(copy))
    assert points(grade(copy, retrain=False), "written-analysis") <= most


def test_a_figure_brings_its_points(copy: Path) -> None:
    assert points(grade(copy, retrain=False), "convergence") == 14
    (copy / "loss_curves.png").write_bytes(b"\x89PNG")
    assert points(grade(copy, retrain=False), "convergence") == 20


def test_a_missing_activation_costs_its_share(copy: Path) -> None:
    for seed in (0, 1):
        shutil.rmtree(folder_of(copy, "relu", seed))
    judged = grade(copy, retrain=False)
    assert points(judged, "dead-neurons") == 0
    assert points(judged, "gradient-flow") <= 15
    assert points(judged, "implementation") == pytest.approx(20 * 6 / 7, abs=0.1)


def test_other_graders_can_read_it(finished: Path) -> None:
    judged = grade(finished, retrain=False)
    form = json.loads(gradescope(judged))
    assert form["score"] == judged.total == pytest.approx(sum(test["score"] for test in form["tests"]))
    assert {"name", "score", "max_score", "output", "visibility"} == set(form["tests"][0])
    header, row = nbgrader(judged, "bake-off", "ada").splitlines()
    assert header == ",".join(COLUMNS)
    assert dict(zip(COLUMNS, row.split(","), strict=True))["score"] == str(judged.total)


def test_the_lines_of_a_record_are_what_the_store_writes(finished: Path) -> None:
    folder = folder_of(finished, "relu", 0)
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    assert lines == [dump_epoch(record) for record in stored(finished).epochs]
