"""A bake-off as a whole: nothing is trained twice, nothing is lost, and jobs do not change a bit."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from triode.bakeoff import Interrupted, Results, Spec, Status, TrialResult, engine, load, run  # noqa: E402
from triode.bakeoff.plan import plan  # noqa: E402
from triode.bakeoff.progress import clock, display, one_line  # noqa: E402
from triode.bakeoff.workers import Workers  # noqa: E402
from triode.errors import MissingExtra, TriodeError  # noqa: E402

Small = Callable[..., Spec]


def numbers(results: Results) -> list[str]:
    """Everything but the times, to the last bit."""

    def timeless(trial: TrialResult) -> str:
        epochs = tuple(dataclasses.replace(record, seconds=0.0) for record in trial.epochs)
        return repr(dataclasses.replace(trial, seconds=0.0, epochs=epochs))

    return [timeless(trial) for trial in results.trials]


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Time of writing and content of everything the trials left."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(directory.glob("trials/*/*"))}


def test_a_bake_off_fills_its_directory(small: Small, here: Any) -> None:
    results = run(small(), here, progress=False)
    assert [(t.activation, t.seed) for t in results.trials] == [
        ("relu", 0),
        ("relu", 1),
        ("tanh", 0),
        ("tanh", 1),
    ]
    assert (results.activations, results.expected) == (("relu", "tanh"), 4)
    directory = results.directory
    assert {p.name for p in directory.iterdir()} == {
        "spec.toml",
        "plan.json",
        "environment.json",
        "results.csv",
        "trials",
    }
    assert Spec.from_toml(directory / "spec.toml") == small()
    for trial in results.trials:
        folder = directory / "trials" / trial.key
        assert {p.name for p in folder.iterdir()} == {"trial.json", "epochs.jsonl", "result.json"}
        lines = (folder / "epochs.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]
    assert {
        "torch",
        "numpy",
        "triode",
        "python",
        "cpu",
        "machine",
        "threads",
        "started",
        "wall_seconds",
    } <= set(results.environment)
    assert numbers(load(directory)) == numbers(results)
    assert repr(results).startswith("Results(4 of 4 trials, 2 activations on mnist")
    assert "tanh" in results._repr_html_()


def test_a_second_start_repeats_nothing(small: Small, here: Any) -> None:
    first = run(small(), here, progress=False)
    before = files(first.directory)
    second = run(small(), here, progress=False)
    assert len(here.ran) == 4
    assert files(first.directory) == before
    assert second == load(first.directory)


def test_what_is_missing_is_finished_and_nothing_else(small: Small, here: Any) -> None:
    first = run(small(), here, progress=False)
    lost = first.trials[2]
    (first.directory / "trials" / lost.key / "result.json").unlink()
    before = files(first.directory)
    again = run(small(), here, progress=False)
    assert len(here.ran) == 5
    assert numbers(again) == numbers(first)
    changed = {path for path, content in files(first.directory).items() if before.get(path) != content}
    assert {Path(path).parent.name for path in changed} == {lost.key}


def test_more_seeds_and_activations_extend_a_directory(small: Small, here: Any) -> None:
    run(small(seeds=1), here, progress=False)
    larger = run(small(activations=("tanh", "elu", "relu"), seeds=2), here, progress=False)
    assert len(here.ran) == 2 + 4
    assert [(t.activation, t.seed) for t in larger.trials] == [
        (n, s) for n in ("tanh", "elu", "relu") for s in (0, 1)
    ]
    smaller = run(small(activations=("elu",), seeds=1), here, progress=False)
    assert len(here.ran) == 6
    assert [t.activation for t in smaller.trials] == ["elu"]


def test_other_settings_are_other_trials(small: Small, here: Any) -> None:
    run(small(seeds=1), here, progress=False)
    run(small(seeds=1, epochs=1), here, progress=False)
    assert len(here.ran) == 4


def test_a_torn_result_is_trained_again(small: Small, here: Any) -> None:
    first = run(small(), here, progress=False)
    path = first.directory / "trials" / first.trials[0].key / "result.json"
    path.write_text(path.read_text()[:50])
    with pytest.warns(UserWarning, match="counts as missing"):
        again = run(small(), here, progress=False)
    assert len(here.ran) == 5
    assert numbers(again) == numbers(first)


def test_jobs_do_not_change_a_bit(small: Small, here: Any, tmp_path: Path) -> None:
    """Two processes beside each other, and this process alone."""
    spec = small(activations=("relu", "gelu", "rrelu", "own=z * tanh(exp(z))"))
    alone = run(spec, here, out=tmp_path / "alone", progress=False)
    assert len(alone.trials) == 8
    assert numbers(run(dataclasses.replace(spec, jobs=2), out=tmp_path / "two", progress=False)) == numbers(
        alone
    )


def test_a_trial_has_one_thread_and_gives_the_others_back(
    small: Small, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triode.bakeoff import train as training

    real, seen = training.train, []

    def watching(*args: Any) -> TrialResult:
        seen.append(torch.get_num_threads())
        return real(*args)

    monkeypatch.setattr(training, "train", watching)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(small(seeds=1), here, progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]


def test_any_executor_will_do(small: Small) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        results = run(small(), pool, progress=False)
    assert len(results.trials) == 4


def test_results_from_a_worker_with_another_disk_are_kept(small: Small, here: Any, tmp_path: Path) -> None:
    class Elsewhere(type(here)):  # type: ignore[misc]
        def submit(self, fn: Any, /, task: str) -> Any:
            moved = json.loads(task) | {"directory": str(tmp_path / "another disk")}
            return super().submit(fn, json.dumps(moved))

    results = run(small(), Elsewhere(), progress=False)
    assert len(results.trials) == 4


def test_a_failed_trial_costs_only_itself(
    small: Small, here: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from triode.bakeoff import train as training

    real = training.train

    def sometimes(trial: Any, *args: Any) -> Any:
        if (trial.activation, trial.seed) == ("relu", 1):
            raise RuntimeError("the disk caught fire")
        return real(trial, *args)

    monkeypatch.setattr(training, "train", sometimes)
    with pytest.raises(TriodeError, match=r"1 of 4 trials failed.*relu with seed 1: the disk caught fire"):
        run(small(), here, progress=False)
    partial = load(tmp_path / "out")
    assert (len(partial.trials), partial.expected) == (3, 4)
    assert len(list((tmp_path / "out").glob("trials/*/error.txt"))) == 1
    monkeypatch.undo()
    assert len(run(small(), here, progress=False).trials) == 4
    assert not list((tmp_path / "out").glob("trials/*/error.txt"))


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(small: Small, here: Any, tmp_path: Path) -> None:
    class Tired(type(here)):  # type: ignore[misc]
        def submit(self, fn: Any, /, task: str) -> Any:
            if len(self.ran) == 3:
                raise KeyboardInterrupt
            return super().submit(fn, task)

    with pytest.raises(
        Interrupted, match=r"Stopped: 3 of 4 trials are finished.*triode bakeoff .*spec\.toml"
    ):
        run(small(), Tired(), progress=False)
    assert len(load(tmp_path / "out").trials) == 3
    assert len(run(small(), here, progress=False).trials) == 4
    assert len(here.ran) == 1


def test_the_data_must_be_the_same_on_every_worker(small: Small, here: Any, folder: Path) -> None:
    class Changing(type(here)):  # type: ignore[misc]
        def submit(self, fn: Any, /, task: str) -> Any:
            plain = json.loads(task)
            plain["trial"]["fingerprint"] = "what the parent saw"
            return super().submit(fn, json.dumps(plain))

    with pytest.raises(TriodeError, match="not the data that the bake-off was planned with"):
        run(small(), Changing(), progress=False)


def test_a_batch_larger_than_the_folders_data_is_refused(small: Small, here: Any, tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match="batch_size = 205 is more than the 204 training examples"):
        run(small(batch_size=205), here, progress=False)
    assert not here.ran
    assert not (tmp_path / "out").exists()


def test_without_pytorch_one_sentence_says_what_to_install(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs PyTorch.*pip install 'triode\[bakeoff\]'"):
        run(small())


def test_progress_tells_what_runs_and_how_far(small: Small, here: Any) -> None:
    seen: list[Status] = []
    run(small(), here, progress=seen.append)
    assert seen[-1].finished == seen[-1].total == 4
    assert seen[-1].epochs_done == seen[-1].epochs_total == 8
    assert seen[-1].remaining == 0
    assert sum(len(status.latest) for status in seen) == 4
    assert "1/4  relu, seed" in one_line(seen[0].latest[0], 1, 4).replace("tanh", "relu")
    early = dataclasses.replace(seen[-1], epochs_done=2, elapsed=10.0)
    assert clock(early.remaining) == "0:30"
    assert clock(dataclasses.replace(early, epochs_done=0).remaining) == "-:--"


def test_where_there_is_no_terminal_a_line_for_each_trial(
    small: Small, here: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(), here)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert "of the validation images right" in lines[0]


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")


def test_on_a_terminal_the_display_shows_what_runs_how_far_and_the_time_left(small: Small) -> None:
    trials = plan(small(epochs=8), "data")
    status = Status(
        total=4,
        stored=0,
        finished=2,
        epochs_done=19,
        epochs_total=32,
        running=((trials[2], 3),),
        latest=(),
        elapsed=38.0,
    )
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with display(terminal) as show:
        show(dataclasses.replace(status, epochs_done=0, finished=0, running=()))
        show(status)
        show(dataclasses.replace(status, running=((trials[3], 1),)))
        show(status)
    text = terminal.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "19/32 epochs",
        "2/4 trials",
        "0:38 gone",
        "0:26 left",
        "tanh, seed 0",
        "3/8 epochs",
    ):
        assert words in text


@needs_proc
def test_a_killed_process_costs_one_attempt(small: Small, tmp_path: Path) -> None:
    """Kill the worker while it trains: its trial is tried again, and the others never notice."""
    victims: list[int] = []

    def kill_once(status: Status) -> None:
        if status.running and not victims:
            victims.append(children()[0])
            os.kill(victims[0], signal.SIGKILL)

    results = run(small(epochs=40, activations=("relu",), seeds=2, jobs=1), progress=kill_once)
    assert len(results.trials) == 2
    assert victims
    assert not alive(victims[0])


@pytest.mark.skipif(not Path("/bin/false").exists(), reason="needs /bin/false")
def test_a_process_that_always_dies_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    workers = Workers(1)
    try:
        with pytest.raises(TriodeError, match=r"died 2 times \(exit status 1\)"):
            workers.submit("{}").result(timeout=20)
    finally:
        workers.stop()


@needs_proc
def test_stopping_ends_the_processes() -> None:
    workers = Workers(2)
    found = children()
    assert len(found) >= 2
    pending = workers.submit("{}")
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
