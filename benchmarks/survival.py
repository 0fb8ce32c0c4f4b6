"""Kill a bake-off again and again, finish it each time, and compare with one that nobody disturbed.

    python benchmarks/survival.py                     100 kills at random moments, then one at every file operation
    python benchmarks/survival.py --kills 1000 --seed 3 --no-sweep

A process that has loaded PyTorch forks a child for every start, so that a start costs a fraction of a second; the child
trains a real, small bake-off (tuning, stacked and single trainings, batch normalisation in turn) with an executor that
works in the child itself, so that one signal 9 ends command and worker at once. What is killed at a random moment is
started again, and perhaps killed again, until it is done; then every number but times and memory must be that of the
undisturbed run, bit for bit, and nothing may be left lying about.

The sweep kills the n-th start just before its n-th file operation (opening for writing, renaming, removing, making or
removing a folder), for every n there is: the moments between two files, which random ones rarely hit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from triode.bakeoff import Spec, load, run
from triode.bakeoff.storage.checkpoint import read

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class Inline(Executor):
    """Runs what it is given at once, in this process."""

    jobs = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


@dataclass
class Outcome:
    """What happened to one kind of bake-off."""

    name: str
    kills: int = 0
    starts: int = 0
    finished: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    resumed_epochs: int = 0
    differing: int = 0
    left_over: int = 0
    failed: int = 0

    @property
    def good(self) -> bool:
        """Whether every run ended as the undisturbed one."""
        return not (self.differing or self.left_over or self.failed) and self.finished > 0


class Victim:
    """A bake-off that can be started, killed and looked at."""

    def __init__(self, spec: Spec) -> None:
        """Run it once here, so that every child finds everything loaded, and once undisturbed in a child."""
        self.spec = spec
        run(spec, Inline(), progress=False)
        shutil.rmtree(spec.out)
        began = time.perf_counter()
        self._must_end(self.start())
        self.duration = time.perf_counter() - began
        self.undisturbed = numbers(spec.out)
        self.operations = int((spec.out.parent / "operations").read_text())

    def start(self, kill_at: int = 0) -> int:
        """Fork a child that runs the bake-off; with `kill_at` it ends itself before that file operation."""
        child = os.fork()
        if child:
            return child
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            _count_operations(self.spec.out, kill_at)
            warnings.simplefilter("ignore")
            run(self.spec, Inline(), progress=False)
        except BaseException as error:  # noqa: BLE001 - the child ends here, whatever it was
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        (self.spec.out.parent / "operations").write_text(str(_counted[0]))
        os._exit(0)

    def wait(self, child: int) -> int:
        """The exit status of a start; negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def stage(self) -> str:
        """What the last kill interrupted, as the files tell."""
        groups = list(self.spec.out.glob("groups/*"))
        torn = [path for path in self.spec.out.rglob(".*") if path.is_file()]
        for group in groups:
            try:
                keys = json.loads((group / "members.json").read_bytes())["members"]
            except (OSError, ValueError):
                return "between two files"
            trials = [self.spec.out / "trials" / key for key in keys]
            if any((trial / "result.json").exists() for trial in trials):
                return "finishing"
            found = read(group / "checkpoint.npz") if (group / "checkpoint.npz").exists() else None
            if found is None:
                return "before the first checkpoint"
            lines = [(trial / "epochs.jsonl").read_bytes().count(b"\n") for trial in trials]
            if torn or any(count > len(known) for count, known in zip(lines, found.records, strict=True)):
                return "between two files"
            if found.epoch == self.spec.epochs:
                return "finishing"
            return "in the middle of an epoch"
        return "between two files" if torn else "before or between trainings"

    def resumable(self) -> int:
        """Epochs that the next start finds in checkpoints, over all trials."""
        found = [read(path) for path in self.spec.out.glob("groups/*/checkpoint.npz")]
        return sum(one.epoch * len(one.records) for one in found if one is not None)

    def judge(self, outcome: Outcome) -> None:
        """Compare a finished run with the undisturbed one, and remove it."""
        outcome.finished += 1
        outcome.differing += numbers(self.spec.out) != self.undisturbed
        temporary = [path for path in self.spec.out.rglob(".*") if path.is_file()]
        outcome.left_over += bool(temporary or list(self.spec.out.glob("groups/*")))
        shutil.rmtree(self.spec.out)

    def _must_end(self, child: int) -> None:
        if self.wait(child):
            raise SystemExit("the undisturbed run failed")


def at_random(victim: Victim, name: str, kills: int, rng: random.Random) -> Outcome:
    """Kill starts at moments drawn from the duration of an undisturbed one, until `kills` have hit."""
    outcome = Outcome(name)
    shutil.rmtree(victim.spec.out)
    while outcome.kills < kills or victim.spec.out.exists():
        child = victim.start()
        outcome.starts += 1
        if outcome.kills < kills:
            time.sleep(rng.uniform(0.0, 1.0) * victim.duration)
            os.kill(child, signal.SIGKILL)
        status = victim.wait(child)
        if status == 0:
            victim.judge(outcome)
        elif status == -signal.SIGKILL:
            outcome.kills += 1
            outcome.stages[victim.stage()] += 1
            outcome.resumed_epochs += victim.resumable()
        else:
            outcome.failed += 1
            break
    return outcome


def at_every_operation(victim: Victim, name: str, every: int = 1) -> Outcome:
    """Kill one start just before each of its file operations, and finish each."""
    outcome = Outcome(name)
    for number in range(1, victim.operations + 1, every):
        shutil.rmtree(victim.spec.out, ignore_errors=True)
        outcome.starts += 1
        if victim.wait(victim.start(kill_at=number)) != -signal.SIGKILL:
            outcome.failed += 1
            continue
        outcome.kills += 1
        outcome.stages[victim.stage()] += 1
        outcome.resumed_epochs += victim.resumable()
        outcome.starts += 1
        if victim.wait(victim.start()):
            outcome.failed += 1
        else:
            victim.judge(outcome)
    return outcome


def numbers(directory: Path) -> str:
    """Every number of a bake-off but times and memory, to the last bit."""
    found = load(directory)
    plain = []
    for trial in (*found.tuning, *found.trials):
        epochs = tuple(replace(record, seconds=0.0) for record in trial.epochs)
        plain.append(repr(replace(trial, seconds=0.0, peak_memory=0, epochs=epochs)))
    return "\n".join(plain)


def small_data(folder: Path) -> Path:
    """A file of 240 + 60 pictures of 30 pixels, each with a bright bar in one of ten places."""
    rng = np.random.default_rng(7)
    parts = {}
    for part, n in (("train", 240), ("test", 60)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        pictures = rng.integers(0, 120, (n, 30)).astype(np.uint8)
        for row, label in enumerate(labels):
            pictures[row, 3 * label : 3 * label + 3] = 255
        parts[f"{part}_images"], parts[f"{part}_labels"] = pictures.reshape(n, 6, 5), labels
    np.savez(folder / "bars.npz", **parts)
    return folder / "bars.npz"


def specifications(folder: Path) -> dict[str, Spec]:
    """What is killed: plain networks, stacked; and networks that automatic differentiation trains one at a time."""
    shared: dict[str, Any] = {
        "dataset": str(small_data(folder)),
        "hidden": (9, 7),
        "batch_size": 32,
        "seeds": 1,
        "device": "cpu",
    }
    stacked = Spec(activations=("relu", "tanh"), learning_rates=(1e-3, 1e-2), epochs=3, stack=3, **shared)
    single = Spec(
        activations=("swish", "rrelu"), protocol="chapter", normalisation="batch", dropout=0.2, learn=True,
        epochs=3, stack=1, **shared,
    )  # fmt: skip
    return {
        "stacked, tuned": replace(stacked, out=folder / "stacked" / "out"),
        "single, batch normalisation and dropout": replace(single, out=folder / "single" / "out"),
    }


_counted = [0]


def _count_operations(directory: Path, kill_at: int) -> None:
    """Count this process's file operations in the directory; end it before the one numbered `kill_at`."""
    inside = str(directory)
    _counted[0] = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not isinstance(arguments[0], str | os.PathLike):
            return
        if not os.fspath(arguments[0]).startswith(inside):
            return
        if event == "open" and not (arguments[2] or 0) & WRITING:
            return
        _counted[0] += 1
        if _counted[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> int:
    """Kill, finish, compare, and print what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="kills at random moments, of each kind")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; drawn and printed by default")
    parser.add_argument(
        "--every", type=int, default=1, help="sweep every n-th file operation; 0 for no sweep"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch comes: a process with threads must not fork
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in specifications(Path(folder)).items():
            spec.out.parent.mkdir()
            victim = Victim(spec)
            if options.kills:
                rng = random.Random(seed)  # noqa: S311 - moments, no secrets
                outcomes.append(at_random(victim, f"{name}: at random moments", options.kills, rng))
            if options.every:
                outcomes.append(at_every_operation(victim, f"{name}: at every file operation", options.every))
    if options.json:
        plain = [vars(one) | {"good": one.good} for one in outcomes]
        print(json.dumps({"seed": seed, "outcomes": plain}))
    else:
        print(f"seed {seed}")
        for one in outcomes:
            stages = ", ".join(f"{count} {stage}" for stage, count in one.stages.most_common())
            print(
                f"{one.name}: {one.kills} kills ({stages}) in {one.starts} starts; {one.resumed_epochs} epochs "
                f"were resumed; {one.finished} runs ended, {one.differing} differed, {one.left_over} left files, "
                f"{one.failed} failed"
            )
    return 0 if all(one.good for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
