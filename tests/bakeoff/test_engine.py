"""A bake-off as a whole: nothing is trained twice, nothing is lost, and jobs do not change a bit."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.trainings import Observing, Pretending, files, numbers

torch = pytest.importorskip("torch")

from triode.bakeoff import (  # noqa: E402
    EpochRecord,
    Interrupted,
    Spec,
    Status,
    TrialResult,
    load,
    run,
)
from triode.bakeoff.plan import Trial, stackable  # noqa: E402
from triode.bakeoff.protocol import wanted  # noqa: E402
from triode.bakeoff.running import engine  # noqa: E402
from triode.bakeoff.running.groups import arrange  # noqa: E402
from triode.bakeoff.running.progress import clock  # noqa: E402
from triode.bakeoff.running.worker import run_task  # noqa: E402
from triode.bakeoff.running.workers import Workers  # noqa: E402
from triode.bakeoff.storage.store import Store  # noqa: E402
from triode.errors import MissingExtra  # noqa: E402

Small = Callable[..., Spec]
ALL = [("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)]


def test_a_bake_off_fills_its_directory(plain: Small, here: Any) -> None:
    results = run(plain(), here, progress=False)
    assert [(t.activation, t.seed) for t in results.trials] == ALL
    assert (results.activations, results.expected, results.task) == (("relu", "tanh"), 4, "classification")
    directory = results.directory
    whole = {"spec.toml", "plan.json", "environment.json", "results.csv", "trials", "lock", "groups"}
    assert {p.name for p in directory.iterdir()} == whole
    assert not list(directory.glob("groups/*"))
    assert Spec.from_toml(directory / "spec.toml") == plain(task="classification")
    for trial in results.trials:
        folder = directory / "trials" / trial.key
        assert {p.name for p in folder.iterdir()} == {"trial.json", "epochs.jsonl", "result.json"}
        lines = (folder / "epochs.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]
        assert trial.peak_memory > 2**20
    wanted = "torch numpy triode python cpu machine threads started wall_seconds device road"
    assert set(wanted.split()) <= set(results.environment)
    assert numbers(load(directory)) == numbers(results)
    assert repr(results).startswith("Results(4 of 4 trials, 2 activations on mnist")


def test_tuning_comes_first_and_its_winners_are_trained_anew(small: Small) -> None:
    worker = Pretending()
    results = run(small(learning_rates=(1e-3, 1e-2), stack=1), worker, progress=False)
    assert worker.trained[:4] == [("relu", 1_000_000)] * 2 + [("tanh", 1_000_000)] * 2
    assert sorted(worker.trained[4:]) == sorted(ALL)
    assert [t.purpose for t in results.tuning] == ["tune"] * 4
    for name in ("relu", "tanh"):
        tried = [t for t in results.tuning if t.activation == name]
        best = max(tried, key=lambda t: t.epochs[-1].validation_accuracy)
        finals = [t for t in results.trials if t.activation == name]
        assert {t.learning_rate for t in finals} == {best.learning_rate}
        assert all(t.tuned == {"learning_rate": best.learning_rate} for t in finals)
    assert numbers(load(results.directory)) == numbers(results)


def test_finals_of_one_activation_start_while_another_still_tunes(small: Small) -> None:
    class Slow(Pretending):
        """Keeps back what it is given until asked again, the tanh trials longest."""

        jobs = 4

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            task = json.loads(args[0])
            if task["kind"] == "train":
                order.append((task["trials"][0]["activation"], task["trials"][0]["purpose"]))
                if order[-1] == ("tanh", "tune"):
                    future: concurrent.futures.Future[str] = concurrent.futures.Future()
                    threading.Timer(0.5, lambda: future.set_result(self.work(args[0]))).start()
                    return future
            return super().submit(fn, *args, **kwargs)

    order: list[tuple[str, str]] = []
    run(small(learning_rates=(1e-3,), stack=1, seeds=1), Slow(), progress=False)
    assert order == [("relu", "tune"), ("tanh", "tune"), ("relu", "final"), ("tanh", "final")]


def test_a_second_start_repeats_nothing(plain: Small) -> None:
    worker = Pretending()
    first = run(plain(), worker, progress=False)
    before = files(first.directory)
    second = run(plain(), worker, progress=False)
    assert len(worker.trained) == 4
    assert files(first.directory) == before
    assert numbers(second) == numbers(load(first.directory)) == numbers(first)


def test_what_is_missing_is_finished_and_nothing_else(plain: Small) -> None:
    worker = Pretending()
    first = run(plain(), worker, progress=False)
    lost = first.trials[2]
    (first.directory / "trials" / lost.key / "result.json").unlink()
    before = files(first.directory)
    again = run(plain(), worker, progress=False)
    assert worker.trained[4:] == [("tanh", 0)]
    assert numbers(again) == numbers(first)
    changed = {path for path, content in files(first.directory).items() if before.get(path) != content}
    assert {Path(path).parent.name for path in changed} == {lost.key}


def test_more_seeds_and_activations_extend_a_directory(plain: Small) -> None:
    worker = Pretending()
    run(plain(seeds=1), worker, progress=False)
    larger = run(plain(activations=("tanh", "elu", "relu"), seeds=2), worker, progress=False)
    assert len(worker.trained) == 2 + 4
    assert [(t.activation, t.seed) for t in larger.trials] == [
        (n, s) for n in ("tanh", "elu", "relu") for s in (0, 1)
    ]
    smaller = run(plain(activations=("elu",), seeds=1), worker, progress=False)
    assert len(worker.trained) == 6
    assert [t.activation for t in smaller.trials] == ["elu"]


def test_other_settings_are_other_trials(plain: Small) -> None:
    worker = Pretending()
    run(plain(seeds=1), worker, progress=False)
    run(plain(seeds=1, epochs=1), worker, progress=False)
    assert len(worker.trained) == 4


def test_a_torn_result_is_trained_again(plain: Small) -> None:
    worker = Pretending()
    first = run(plain(), worker, progress=False)
    path = first.directory / "trials" / first.trials[0].key / "result.json"
    path.write_text(path.read_text()[:50])
    with pytest.warns(UserWarning, match="counts as missing"):
        again = run(plain(), worker, progress=False)
    assert len(worker.trained) == 5
    assert numbers(again) == numbers(first)


def test_a_torn_plan_is_written_anew(plain: Small) -> None:
    worker = Pretending()
    first = run(plain(), worker, progress=False)
    (first.directory / "plan.json").write_text('{"trials": [')
    with pytest.warns(UserWarning, match=r"plan\.json cannot be read"):
        run(plain(), worker, progress=False)
    assert len(worker.trained) == 4
    assert len(load(first.directory).trials) == 4


def test_foreign_files_are_left_alone(plain: Small, tmp_path: Path) -> None:
    mine = [
        tmp_path / "out" / name for name in ("notes.txt", ".hidden.json", "trials/readme", "groups/mine/file")
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    run(plain(), Pretending(), progress=False)
    assert len(load(tmp_path / "out").trials) == 4
    assert all(path.read_text() == "mine" for path in mine)


def test_jobs_stacks_and_processes_do_not_change_a_bit(small: Small, here: Any, tmp_path: Path) -> None:
    """This process alone, and two beside each other for several bake-offs in a row."""
    spec = small(
        activations=("relu", "gelu", "rrelu", "own=z * tanh(exp(z))"), learning_rates=(1e-3, 1e-2), stack=3
    )
    alone = run(spec, here, out=tmp_path / "alone", progress=False)
    assert (len(alone.trials), len(alone.tuning)) == (8, 8)
    assert {t.road for t in alone.trials} >= {"alone", "stacked with 2 others"}
    with Workers(2) as workers:
        two = run(spec, workers, out=tmp_path / "two", progress=False)
        assert numbers(two) == numbers(alone)
        more = run(dataclasses.replace(spec, seeds=3), workers, out=tmp_path / "two", progress=False)
    assert len(more.trials) == 12
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(run_task, "{}")


def test_a_trial_has_one_thread_and_gives_the_others_back(plain: Small) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(plain(seeds=1), Pretending(lambda *_: seen.append(torch.get_num_threads())), progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_any_executor_will_do(plain: Small) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        results = run(plain(seeds=1), pool, progress=False)
    assert len(results.trials) == 2


def test_workers_run_nothing_but_tasks() -> None:
    with Workers(1) as workers, pytest.raises(TypeError, match="run_task"):
        workers.submit(print, "hello")


def test_results_from_a_worker_with_another_disk_are_kept(plain: Small, tmp_path: Path) -> None:
    class Elsewhere(Pretending):
        def work(self, task: str) -> str:
            return super().work(json.dumps(json.loads(task) | {"directory": str(tmp_path / "another disk")}))

    told = Observing()
    results = run(plain(), Elsewhere(), progress=False, observers=[told])
    assert len(results.trials) == 4
    assert not (tmp_path / "another disk").exists()
    folder = results.directory / "trials" / results.trials[0].key
    assert {p.name for p in folder.iterdir()} == {"trial.json", "epochs.jsonl", "result.json"}
    assert told.epochs == [(*one, epoch) for one in sorted(ALL, key=lambda t: t[1]) for epoch in range(3)]


@pytest.mark.parametrize("stack", [1, 2])
def test_what_was_in_training_goes_on_where_it_was(plain: Small, tmp_path: Path, stack: int) -> None:
    """Stopped in the third epoch of four, a trial or a group goes on with it, and ends as if nothing had been."""
    undisturbed = run(
        plain(epochs=4, stack=stack), Pretending(), out=tmp_path / "undisturbed", progress=False
    )
    epochs: list[int] = []

    def stop(trials: tuple[Trial, ...], epoch: int) -> None:
        if epoch == 3 and trials[-1].activation == "tanh":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run(plain(epochs=4, stack=stack), Pretending(stop), progress=False)
    group = next((tmp_path / "out").glob("groups/*/members.json"))
    keys = json.loads(group.read_text())["members"]
    assert len(keys) == stack
    lines = tmp_path / "out" / "trials" / keys[-1] / "epochs.jsonl"
    assert lines.read_text().count("\n") == 3
    with lines.open("a") as file:
        file.write('{"epoch": 3, "train_lo')  # torn
    told = Observing()
    resumed = Pretending(lambda trials, epoch: epochs.append(epoch))
    again = run(plain(epochs=4, stack=stack), resumed, progress=False, observers=[told])
    assert epochs[:2] == [3, 4]
    assert numbers(again) == numbers(undisturbed)
    assert [json.loads(line)["epoch"] for line in lines.read_text().splitlines()] == [0, 1, 2, 3, 4]
    assert [epoch for name, seed, epoch in told.epochs if (name, seed) == ("tanh", 0)] == [0, 1, 2, 3, 4]
    assert not list((tmp_path / "out").glob("groups/*"))


def test_a_group_stopped_between_its_results_keeps_the_first_as_it_is(
    plain: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Store.finish, [1]

    def finish(store: Store, result: TrialResult) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(store, result)

    monkeypatch.setattr(Store, "finish", finish)
    with pytest.raises(Interrupted):
        run(plain(stack=2, seeds=1), Pretending(), progress=False)
    monkeypatch.undo()
    out = plain().out
    before = {path: content for path, content in files(out).items() if path.endswith("result.json")}
    assert len(before) == 1
    epochs: list[int] = []
    results = run(
        plain(stack=2, seeds=1), Pretending(lambda trials, epoch: epochs.append(epoch)), progress=False
    )
    assert len(results.trials) == 2
    assert not epochs
    assert before.items() <= files(out).items()


@pytest.mark.parametrize("damage", ["cut", "gone", "of others"])
def test_without_a_readable_checkpoint_a_group_starts_over(plain: Small, tmp_path: Path, damage: str) -> None:
    undisturbed = run(plain(epochs=3), Pretending(), out=tmp_path / "undisturbed", progress=False)

    def stop(trials: tuple[Trial, ...], epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run(plain(epochs=3), Pretending(stop), progress=False)
    path = next((tmp_path / "out").glob("groups/*/checkpoint.npz"))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "gone":
        path.unlink()
    else:
        from triode.bakeoff.storage import checkpoint

        found = checkpoint.read(path)
        assert found is not None
        checkpoint.write(path, {"numbers": found.state["numbers"][:0]}, found.records, found.epoch)
    epochs: list[int] = []
    complaint = (
        contextlib.nullcontext() if damage == "gone" else pytest.warns(UserWarning, match="start.? over")
    )
    with complaint:
        again = run(plain(epochs=3), Pretending(lambda trials, epoch: epochs.append(epoch)), progress=False)
    assert epochs == [1, 2, 3] * 4
    assert numbers(again) == numbers(undisturbed)


def test_a_group_that_is_wanted_no_more_is_dropped(plain: Small, tmp_path: Path) -> None:
    def stop(trials: tuple[Trial, ...], epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run(plain(), Pretending(stop), progress=False)
    assert list((tmp_path / "out").glob("groups/*"))
    run(plain(epochs=1), Pretending(), progress=False)
    assert not list((tmp_path / "out").glob("groups/*"))


def test_without_pytorch_one_sentence_says_what_to_install(
    plain: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs PyTorch.*pip install 'triode\[bakeoff\]'"):
        run(plain())


def test_observers_hear_of_everything_once(plain: Small) -> None:
    told = Observing()

    class Broken(Observing):
        def epoch(self, trial: Trial, record: EpochRecord) -> None:
            raise ConnectionError("the tracker is down")

    broken = Broken()
    with pytest.warns(UserWarning, match="Broken raised ConnectionError: the tracker is down"):
        results = run(plain(), Pretending(), progress=False, observers=[broken, told])
    assert told.begun == 4
    assert sorted(told.epochs) == sorted((*one, epoch) for one in ALL for epoch in range(3))
    assert sorted(told.results) == sorted(t.key for t in results.trials)
    assert told.ended == [results]
    assert not broken.ended


def test_progress_tells_what_runs_and_how_far(plain: Small) -> None:
    seen: list[Status] = []
    run(plain(), Pretending(), progress=seen.append)
    assert seen[-1].finished == seen[-1].total == 4
    assert seen[-1].epochs_done == seen[-1].epochs_total == 8
    assert seen[-1].remaining == 0
    assert sum(len(status.latest) for status in seen) == 4
    assert sum(len(status.news) for status in seen) == 12
    assert seen[0].phase == "rehearsing"
    early = dataclasses.replace(seen[-1], epochs_done=2, elapsed=10.0)
    assert clock(early.remaining) == "0:30"
    assert clock(dataclasses.replace(early, epochs_done=0).remaining) == "-:--"


def test_where_there_is_no_terminal_a_line_for_each_trial(
    plain: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    run(plain(), Pretending())
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]


def test_groups_do_not_depend_on_who_is_finished_first(small: Small) -> None:
    spec = small(
        activations=("relu", "tanh", "elu", "gelu", "rrelu"), protocol="chapter", task="classification"
    )
    trials = [(trial.key, trial) for trial in wanted(spec, "data", {})]

    def company(groups: list[tuple[tuple[str, Trial], ...]]) -> set[tuple[tuple[str, int], ...]]:
        return {tuple((t.activation, t.seed) for _, t in group) for group in groups}

    whole = company(arrange(trials, spec, 3))
    assert (("relu", 0), ("tanh", 0)) in whole
    assert (("rrelu", 1),) in whole  # it draws slopes at random: by itself
    early = [entry for entry in trials if entry[1].activation != "tanh"]
    assert company(arrange(early, spec, 3, awaited=["tanh"])) == {g for g in whole if g[0][0] != "relu"}
    assert all(stackable(t, "classification") == (t.activation != "rrelu") for _, t in trials)
    tuned = dataclasses.replace(spec, protocol="tuned", learning_rates=(1e-4, 1e-3))
    grid = [(trial.key, trial) for trial in wanted(tuned, "data", {})]
    assert sorted(len(group) for group in arrange(grid, tuned, 3)) == [1, 1, 2, 3, 3]
    assert company(arrange(trials, spec, 3, alone=[trials[0][0]])) >= {(("relu", 0),), (("tanh", 0),)}
