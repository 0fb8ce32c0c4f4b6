"""A bake-off as a whole: nothing is trained twice, nothing is lost, and jobs do not change a bit."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.trainings import Pretending, numbers

torch = pytest.importorskip("torch")

from triode.bakeoff import (  # noqa: E402
    EpochRecord,
    Interrupted,
    Results,
    Spec,
    Status,
    TrialResult,
    load,
    run,
)
from triode.bakeoff.plan import Trial, stackable  # noqa: E402
from triode.bakeoff.protocol import wanted  # noqa: E402
from triode.bakeoff.running import engine  # noqa: E402
from triode.bakeoff.running.engine import TrialsFailed  # noqa: E402
from triode.bakeoff.running.groups import arrange  # noqa: E402
from triode.bakeoff.running.progress import clock  # noqa: E402
from triode.bakeoff.running.worker import run_task  # noqa: E402
from triode.bakeoff.running.workers import WorkerDied, Workers  # noqa: E402
from triode.bakeoff.storage.lock import DirectoryBusy, hold  # noqa: E402
from triode.bakeoff.storage.store import StorageError, Store  # noqa: E402
from triode.errors import MissingExtra, TriodeError  # noqa: E402

Small = Callable[..., Spec]
ALL = [("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)]


@pytest.fixture
def plain(small: Small) -> Small:
    """Two activations, two seeds, one rate, each trial by itself."""
    return lambda **changes: small(**({"protocol": "chapter", "stack": 1} | changes))


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Time of writing and content of everything the trials left."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(directory.glob("trials/*/*"))}


def failing(times: int, *which: tuple[str, int], at: int = 1) -> Callable[[tuple[Trial, ...], int], None]:
    """Raises in epoch `at`, so many times in all, when one of these (activation, seed) trains."""
    left = [times]

    def hook(trials: tuple[Trial, ...], epoch: int) -> None:
        if epoch == at and left[0] and any((t.activation, t.seed) in which for t in trials):
            left[0] -= 1
            raise RuntimeError("the disk caught fire")

    return hook


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


def test_a_trial_that_diverges_is_a_result(plain: Small) -> None:
    results = run(plain(learning_rate=2.0, stack=2), Pretending(), progress=False)
    assert [t.diverged for t in results.trials] == [True] * 4
    assert {len(t.epochs) for t in results.trials} == {2}  # the first epoch, in which it happened, is kept


def test_a_trial_that_raises_is_tried_again_and_the_rest_go_on(plain: Small) -> None:
    worker = Pretending(failing(1, ("relu", 1)))
    results = run(plain(), worker, progress=False)
    assert worker.trained.count(("relu", 1)) == 2
    assert len(results.trials) == 4
    assert not list(results.directory.glob("trials/*/error.json"))


def test_a_trial_that_always_raises_is_given_up_over_all_starts(plain: Small, tmp_path: Path) -> None:
    always = failing(100, ("relu", 1))
    worker = Pretending(always)
    with pytest.raises(
        TrialsFailed,
        match=r"1 of 4 trials failed.*relu, seed 1, tried 2 times: the disk caught.*--attempts 3",
    ) as told:
        run(plain(), worker, progress=False)
    assert told.value.exit_status == 1
    assert worker.trained.count(("relu", 1)) == 2
    partial = load(tmp_path / "out")
    assert (len(partial.trials), partial.expected) == (3, 4)
    assert partial.failures == {"relu, seed 1": "the disk caught fire"}
    account = json.loads(next((tmp_path / "out").glob("trials/*/error.json")).read_text())
    assert account["attempts"] == 2
    assert "RuntimeError: the disk caught fire" in account["traceback"]
    again = Pretending(always)
    with pytest.raises(TrialsFailed, match="tried 2 times"):
        run(plain(), again, progress=False)
    assert again.trained == []
    whole = run(plain(attempts=3), Pretending(), progress=False)
    assert len(whole.trials) == 4
    assert not whole.failures


def test_points_that_follow_from_others_are_found_in_the_same_company(small: Small, tmp_path: Path) -> None:
    """Optuna's next point depends on the last: groups go in step, and a run that is stopped takes the same road."""
    pytest.importorskip("optuna")
    spec = small(activations=("relu", "tanh", "elu"), tuner="optuna", tuning_trials=5, stack=2, seeds=1)
    worker = Pretending()
    whole = run(spec, worker, out=tmp_path / "whole", progress=False)
    assert [len(group) for group in worker.groups] == [2, 1] * 6

    def stop(trials: tuple[Trial, ...], epoch: int) -> None:
        stopping[0] -= 1
        if not stopping[0]:
            raise KeyboardInterrupt

    for after in (5, 3, 8, 4):
        stopping = [after]
        with pytest.raises(Interrupted):
            run(spec, Pretending(stop), progress=False)
    assert numbers(run(spec, Pretending(), progress=False)) == numbers(whole)


def test_a_group_that_raises_is_split_and_only_the_culprit_fails(plain: Small, tmp_path: Path) -> None:
    worker = Pretending(failing(100, ("relu", 1)))
    with pytest.raises(TrialsFailed, match=r"1 of 4 trials failed.*relu, seed 1, tried 2 times"):
        run(plain(stack=2), worker, progress=False)
    assert [len(group) for group in worker.groups] == [2, 2, 1, 1]
    assert not list((tmp_path / "out").glob("groups/*"))
    assert {t.road for t in load(tmp_path / "out").trials if t.seed == 1} == {"alone"}


def test_a_tuning_trial_that_fails_leaves_the_choice_to_the_others(small: Small) -> None:
    def raising(trials: tuple[Trial, ...], epoch: int) -> None:
        if trials[0].purpose == "tune" and trials[0].setting.learning_rate == 1e-2:
            raise RuntimeError("no")

    with pytest.raises(TrialsFailed, match=r"1000000, learning rate 0\.01, tried 2 times"):
        run(small(learning_rates=(1e-3, 1e-2), stack=1), Pretending(raising), progress=False)
    found = load(small().out)
    assert len(found.trials) == 4
    assert {t.learning_rate for t in found.trials} == {1e-3}


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(plain: Small, tmp_path: Path) -> None:
    class Tired(Pretending):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            if len(self.trained) == 3:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(
        Interrupted, match=r"Stopped: [23] of 4 trials are finished.*triode bakeoff .*spec\.toml"
    ):
        run(plain(), Tired(), progress=False)
    assert len(load(tmp_path / "out").trials) == 3
    worker = Pretending()
    assert len(run(plain(), worker, progress=False).trials) == 4
    assert len(worker.trained) == 1


def test_the_data_must_be_the_same_on_every_worker(plain: Small, here: Any) -> None:
    class Changing(type(here)):  # type: ignore[misc]
        def submit(self, fn: Any, /, task: str) -> Any:
            changed = json.loads(task)
            for trial in changed["trials"]:
                trial["fingerprint"] = "what the parent saw"
            return super().submit(fn, json.dumps(changed))

    with pytest.raises(TriodeError, match="not the data that the bake-off was planned with"):
        run(plain(), Changing(), progress=False)


def test_a_batch_larger_than_the_folders_data_is_refused(plain: Small, tmp_path: Path) -> None:
    worker = Pretending()
    with pytest.raises(TriodeError, match="batch_size = 205 is more than the 204 training examples"):
        run(plain(batch_size=205), worker, progress=False)
    assert not worker.groups
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_trained_is_refused_before_anything_long(
    small: Small, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triode.bakeoff.training import rehearse

    def refuse(*_: object) -> None:
        raise TriodeError("the model ignores the activation.")

    monkeypatch.setattr(rehearse, "rehearse", refuse)
    with pytest.raises(TriodeError, match="ignores the activation"):
        run(small(), here, progress=False)
    assert len(here.ran) == 1


def test_two_commands_at_once(plain: Small, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    worker = Pretending()
    with (
        hold(tmp_path / "out"),
        pytest.raises(DirectoryBusy, match=f"in use by another bake-off .process {os.getpid()}"),
    ):
        run(plain(), worker, progress=False)
    assert not worker.groups
    assert len(run(plain(), worker, progress=False).trials) == 4


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_in_the_middle(plain: Small, tiny_disk: Path) -> None:
    spec = plain(seeds=20, out=tiny_disk / "out")
    with pytest.raises(
        TrialsFailed, match=r"\d+ of 40 trials are not finished: results cannot be written.*No space left"
    ):
        run(spec, Pretending(), progress=False)
    stored = len(load(tiny_disk / "out").trials)
    assert 0 < stored < 40
    before = files(tiny_disk / "out")
    with pytest.raises(TriodeError, match="No space left on device; make room") as told:
        run(spec, Pretending(), progress=False)
    assert told.value.exit_status in (1, 2)
    assert len(load(tiny_disk / "out").trials) >= stored
    results = [path for path in before if path.endswith("result.json")]
    assert all(files(tiny_disk / "out")[path] == before[path] for path in results)
    subprocess.run(["mount", "-o", "remount,size=10m", str(tiny_disk)], check=True)
    worker = Pretending()
    assert len(run(spec, worker, progress=False).trials) == 40
    assert len(worker.trained) <= 40 - stored


def test_a_read_only_directory(plain: Small, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(
        StorageError, match=r"Read-only file system; make it writable, or name another.*--out"
    ):
        run(plain(out=tiny_disk / "out"), Pretending(), progress=False)


def test_without_pytorch_one_sentence_says_what_to_install(
    plain: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs PyTorch.*pip install 'triode\[bakeoff\]'"):
        run(plain())


class Observing:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.epochs: list[tuple[str, int, int]] = []
        self.results: list[str] = []
        self.ended: list[Results] = []

    def begin(self, spec: Spec, trials: tuple[Trial, ...]) -> None:
        self.begun = len(trials)

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        self.epochs.append((trial.activation, trial.seed, record.epoch))

    def trial(self, trial: Trial, result: TrialResult) -> None:
        assert (trial.activation, trial.seed, 2) in self.epochs
        self.results.append(result.key)

    def end(self, results: Results) -> None:
        self.ended.append(results)


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


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")


@needs_proc
def test_a_killed_process_costs_its_epoch(plain: Small, tmp_path: Path) -> None:
    """Kill the worker while it trains: its trial goes on in another process, and ends the same."""
    spec = plain(epochs=60, activations=("relu",), seeds=1, jobs=1)
    victims: list[int] = []

    def kill_once(status: Status) -> None:
        if status.running and status.running[0][1] and not victims:
            victims.append(children()[0])
            os.kill(victims[0], signal.SIGKILL)

    results = run(spec, progress=kill_once)
    assert len(victims) == 1
    assert not alive(victims[0])
    assert len(results.trials[0].epochs) == 61
    assert not list(results.directory.glob("trials/*/error.json"))


@pytest.mark.skipif(not Path("/bin/false").exists(), reason="needs /bin/false")
def test_a_process_that_always_dies_is_given_up(plain: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerDied, match=r"died \(exit status 1\)"), Workers(1) as workers:
        workers.submit(run_task, "{}").result(timeout=20)

    class Dying(Pretending):
        def work(self, task: str) -> str:
            if json.loads(task)["kind"] == "train":
                raise WorkerDied("the process that trained it died (signal 9).")
            return super().work(task)

    worker = Dying()
    with pytest.raises(TrialsFailed, match=r"2 of 2 trials failed.*tried 2 times: the process.*died"):
        run(plain(seeds=1), worker, progress=False)
    # The first death of each may be an accident of its beginning: it costs one attempt, as the others do.
    assert len(worker.trained) == 4


def test_deaths_that_cost_only_an_epoch_each_are_no_attempts(plain: Small) -> None:
    """As many as there are epochs: each time the trial gets further, and no epoch is trained twice."""
    trained: list[int] = []

    def die_before_new(trials: tuple[Trial, ...], epoch: int) -> None:
        trained.append(epoch)
        if trained.count(epoch) == 1:
            raise WorkerDied("the process that trained it died (signal 9).")

    results = run(plain(activations=("relu",), seeds=1, epochs=6), Pretending(die_before_new), progress=False)
    assert trained == [epoch for epoch in range(1, 7) for _ in range(2)]
    assert len(results.trials) == 1


def test_what_raised_begins_at_the_beginning(plain: Small) -> None:
    trained: list[int] = []

    def raise_once(trials: tuple[Trial, ...], epoch: int) -> None:
        trained.append(epoch)
        if trained == [1, 2, 3]:
            raise RuntimeError("no")

    told = Observing()
    spec = plain(activations=("relu",), seeds=1, epochs=3)
    run(spec, Pretending(raise_once), progress=False, observers=[told])
    assert trained == [1, 2, 3, 1, 2, 3]
    assert [epoch for *_, epoch in told.epochs] == [0, 1, 2, 3]


@needs_proc
def test_stopping_ends_the_processes() -> None:
    workers = Workers(2)
    found = children()
    assert len(found) >= 2
    pending = workers.submit(run_task, "{}")
    workers.stop()
    assert not any(alive(pid) for pid in found)
    assert pending.cancelled() or pending.exception(timeout=5) is not None
    assert threading.active_count() < 20


def children() -> list[int]:
    """Processes that this one started, by whichever of its threads."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


def alive(pid: int) -> bool:
    for _ in range(50):
        with contextlib.suppress(OSError, IndexError):
            if (Path("/proc") / str(pid) / "stat").read_text().rsplit(")")[-1].split()[0] != "Z":
                time.sleep(0.1)
                continue
        return False
    return True
