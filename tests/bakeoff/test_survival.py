"""Whatever is killed, whenever: the next start goes on, and ends as if nothing had been."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.trainings import numbers

pytest.importorskip("torch")

import triode
from triode.bakeoff import Spec, Status, load, run

ROOT = Path(__file__).parents[2]
Small = Callable[..., Spec]
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(triode.__file__).parents[1])}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_and_between_any_two_files() -> None:
    """The fast form of `benchmarks/survival.py`, whose longer form kills hundreds of times."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    command = [sys.executable, ROOT / "benchmarks" / "survival.py", "--kills", "13", "--every", "9", "--json"]
    done = subprocess.run(
        [*command, "--seed", str(seed)], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    outcomes = json.loads(done.stdout)["outcomes"]
    assert [one for one in outcomes if not one["good"]] == [], done.stderr
    assert done.returncode == 0
    assert sum(one["kills"] for one in outcomes) >= 26 + 10
    assert sum(one["resumed_epochs"] for one in outcomes) > 0
    stages = {stage for one in outcomes for stage in one["stages"]}
    assert stages >= {"before the first checkpoint", "between two files", "finishing"}


@needs_proc
def test_killed_workers_change_nothing(small: Small, here: Any, tmp_path: Path) -> None:
    spec = small(seeds=1, epochs=200, protocol="chapter", stack=1, jobs=2)
    undisturbed = run(spec, here, out=tmp_path / "undisturbed", progress=False)
    rng = random.Random(11)
    killed: dict[int, int] = {}
    started = time.monotonic()

    def kill(status: Status) -> None:
        """Two workers, each while a trial trains that has got further since the last."""
        furthest = max((epochs for _, epochs in status.running), default=0)
        if status.running and len(killed) < 2 and furthest > 5 and rng.random() < 0.7:
            victim = rng.choice(children(os.getpid()))
            if victim not in killed:
                killed[victim] = furthest
                os.kill(victim, signal.SIGKILL)

    results = run(dataclasses.replace(spec, attempts=5), progress=kill)
    assert killed, f"nothing was killed in {time.monotonic() - started:.1f} s"
    assert numbers(results) == numbers(undisturbed)
    assert not list(results.directory.glob("trials/*/error.json"))


@needs_proc
def test_the_command_itself_is_killed(small: Small, here: Any, tmp_path: Path) -> None:
    """Its workers end with it, and the same command again finishes what it began."""
    spec = small(activations=("tanh",), seeds=1, epochs=200, protocol="chapter", stack=1, jobs=1)
    undisturbed = run(spec, here, out=tmp_path / "undisturbed", progress=False)
    (tmp_path / "spec.toml").write_text(spec.to_toml())
    command = [sys.executable, "-m", "triode", "bakeoff", str(tmp_path / "spec.toml")]
    first = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _until(lambda: any((tmp_path / "out").glob("groups/*/checkpoint.npz")) or first.poll() is not None)
        workers = children(first.pid)
    finally:
        first.kill()
        status = first.wait()
    assert status == -signal.SIGKILL, "it was done before it could be killed"
    assert len(workers) == 1
    _until(lambda: not any(_lives(pid) for pid in workers))
    begun = {path.parent.name for path in (tmp_path / "out").glob("groups/*/checkpoint.npz")}
    assert begun
    second = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert numbers(load(tmp_path / "out")) == numbers(undisturbed), second.stderr
    assert not list((tmp_path / "out").glob("groups/*"))
    assert second.returncode == 0, second.stderr


def children(pid: int) -> list[int]:
    """Processes that a process started, by whichever of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 s")
