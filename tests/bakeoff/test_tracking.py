"""Trackers, read back by their own readers."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.running.tracking import make, outcome, scalars, settings
from triode.bakeoff.setting import Setting
from triode.bakeoff.spec import Spec
from triode.bakeoff.storage.codec import dump_result
from triode.bakeoff.storage.store import Store
from triode.errors import MissingExtra, TriodeError

LAST = 3


def trial(activation: str = "relu", seed: int = 0, purpose: str = "final") -> Trial:
    return Trial(
        activation, activation, "max(z, 0)", seed, purpose, "data", Setting(epochs=LAST, hidden=(4, 3))
    )


def record(epoch: int) -> EpochRecord:
    norms = (math.nan,) * 3 if epoch == 0 else (0.1, 0.2, 0.3 + epoch)
    learned = {"beta": (1.0 + epoch, 1.0)}
    return EpochRecord(
        epoch, 2.0 / (epoch + 1), 0.5, 2.5 / (epoch + 1), 0.25 * epoch, norms, (0.5, 0.0), (0.1, 0.2), (0.0, 0.1),
        (1.0, 2.0), learned, 0.5,
    )  # fmt: skip


def result(of: Trial) -> TrialResult:
    test = math.nan if of.purpose == "tune" else 0.75
    return TrialResult(
        of.key, of.activation, of.specification, of.seed, of.purpose, 1e-3, {}, 99, ("in", "middle", "out"),
        ("first", "second"), (4, 3), tuple(record(e) for e in range(LAST + 1)), test, test, False, 2.0,
    )  # fmt: skip


ALL = (trial(), trial("gelu", 1), trial("gelu", 1_000_000, "tune"))


def whole(directory: Path) -> Results:
    results = [result(t) for t in ALL]
    for one, of in zip(results, ALL, strict=True):
        store = Store(directory)
        store.start(of.key, of).close()
        store.finish(one)
    return Results(directory, Spec(), tuple(results[:2]), {}, (results[2],))


def follow(
    name: str, directory: Path, trials: tuple[Trial, ...] = ALL, until: int = LAST, end: bool = True
) -> None:
    """What the engine tells in one start."""
    (observer,) = make([name], directory)
    observer.begin(Spec(), ALL)
    for epoch in range(until + 1):
        for one in trials:
            observer.epoch(one, record(epoch))
    if until == LAST:
        for one in trials:
            observer.trial(one, result(one))
    if end:
        observer.end(whole(directory))


def from_tensorboard(directory: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    found = {}
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for folder in sorted(directory.glob("tensorboard/*/*")):
        reader = events.EventAccumulator(str(folder))
        reader.Reload()
        found[folder.name.rpartition("-")[0]] = {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }
    return found


def from_mlflow(directory: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    import mlflow.tracking

    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{directory / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name.startswith("triode")]
    found: dict[str, Any] = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.status == "FINISHED"
        assert run.data.params["hidden"] == "4-3"
        name = run.info.run_name.replace(", seed ", "-seed").removesuffix(" (tuning)")
        assert name not in found, "a run twice"
        found[name] = {
            tag: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, tag)]
            for tag in run.data.metrics
        }
    return found


READERS = {"tensorboard": from_tensorboard, "mlflow": from_mlflow}


@pytest.fixture(params=["tensorboard", "mlflow"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip(request.param)
    if request.param == "mlflow":
        pytest.importorskip("alembic")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return str(request.param)


def check(found: dict[str, dict[str, list[tuple[int, float]]]]) -> None:
    """Every run once, every epoch once, every figure as recorded."""
    assert sorted(found) == ["gelu-seed1", "gelu-seed1000000", "relu-seed0"]
    for name, tags in found.items():
        tune = name.endswith("1000000")
        for epoch in range(LAST + 1):
            for tag, value in scalars(record(epoch)).items():
                assert [v for step, v in tags[tag] if step == epoch] == [pytest.approx(value)], (
                    name,
                    tag,
                    epoch,
                )
        assert [step for step, _ in tags["loss/validation"]] == list(range(LAST + 1))
        assert [step for step, _ in tags["gradient_norm/01"]] == list(range(1, LAST + 1))  # nan is left out
        assert ("final/test_accuracy" in tags) != tune
        assert tags["final/parameters"][-1][1] == 99


def test_one_run_a_trial_with_every_figure_once(name: str, tmp_path: Path) -> None:
    follow(name, tmp_path)
    check(READERS[name](tmp_path))


def test_a_killed_and_a_finished_start_write_nothing_twice(name: str, tmp_path: Path) -> None:
    follow(name, tmp_path, until=1, end=False)  # killed in the second epoch
    follow(name, tmp_path)  # goes on from the checkpoint, telling the earlier epochs again
    follow(name, tmp_path, trials=())  # everything is finished: nothing but the end is told
    check(READERS[name](tmp_path))


def test_asked_for_at_the_end_it_writes_what_is_stored(name: str, tmp_path: Path) -> None:
    (observer,) = make([name], tmp_path)
    observer.end(whole(tmp_path))
    check(READERS[name](tmp_path))


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_library_is_one_sentence(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module or m == "torch.utils.tensorboard"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"triode\[{name}\]"):
        make([name], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match="mlflow"):
        make(["mlfow"], tmp_path)


def test_what_is_not_finite_is_left_out() -> None:
    assert all(math.isfinite(value) for value in scalars(record(0)).values())
    assert "gradient_norm/01" not in scalars(record(0))
    lost = dataclasses.replace(record(1), validation_loss=math.inf)
    assert "loss/validation" not in scalars(lost)
    assert "final/test_loss" not in outcome(result(ALL[2]))
    assert settings(ALL[0])["learning_rate"] == 1e-3
    assert dump_result(result(ALL[0]))
