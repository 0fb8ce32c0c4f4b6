"""What goes wrong in a bake-off: trials that raise, dead processes, full disks, two commands; each has one outcome."""

from __future__ import annotations

import contextlib
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

from support.trainings import Observing, Pretending, failing, files, numbers

torch = pytest.importorskip("torch")

from triode.bakeoff import (  # noqa: E402
    Interrupted,
    Spec,
    Status,
    load,
    run,
)
from triode.bakeoff.plan import Trial  # noqa: E402
from triode.bakeoff.running.engine import TrialsFailed  # noqa: E402
from triode.bakeoff.running.worker import run_task  # noqa: E402
from triode.bakeoff.running.workers import WorkerDied, Workers  # noqa: E402
from triode.bakeoff.storage.lock import DirectoryBusy, hold  # noqa: E402
from triode.bakeoff.storage.store import StorageError  # noqa: E402
from triode.errors import TriodeError  # noqa: E402

Small = Callable[..., Spec]
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")
ALL = [("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)]


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
