"""What a worker does: text that describes a task in, text of its results out.

`run_task` is an ordinary function, which any `concurrent.futures.Executor` can be given.
`python -m triode.bakeoff.running.worker` serves it over pipes, a line of JSON a task: nothing is pickled, and no script
of the user's is imported a second time, as `multiprocessing` would.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from triode.bakeoff.data import load_cached
from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.storage import checkpoint
from triode.bakeoff.storage.codec import dump_epoch, parse_epoch, plain
from triode.bakeoff.storage.environment import peak_memory, software
from triode.bakeoff.storage.lock import shares
from triode.bakeoff.storage.store import StorageError, Store, storing
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.training.train import Training

Start = Callable[[tuple[Trial, ...], "Dataset", str], "Training"]
"""What makes the training of a group: `train.start`, or another in its place."""


def make_task(
    kind: str,
    trials: Sequence[Trial],
    *,
    directory: Path,
    token: str,
    data_dir: Path | None,
    device: str,
    tuned: Sequence[str] = (),
    jobs: int = 1,
) -> str:
    """The text that `run_task` understands.

    Args:
        kind: `train` a group; `rehearse` it; `measure` how many should train as one.
        trials: The group.
        directory: Of the results.
        token: What the lock of the directory gave out: a worker that does not find it there has another disk.
        data_dir: Where to look for data first.
        device: cpu, cuda or auto.
        tuned: Names of the settings that tuning chooses, to be named in the results.
        jobs: How many tasks run at the same time, which `measure` needs to know.
    """
    place = None if data_dir is None else str(data_dir.resolve())
    described = {
        "kind": kind,
        "trials": [trial.to_plain() for trial in trials],
        "directory": str(directory.resolve()),
        "token": token,
        "data_dir": place,
        "device": device,
        "tuned": list(tuned),
        "jobs": jobs,
    }
    return json.dumps(described)


def run_task(task: str, start: Start | None = None) -> str:
    """Do the task and return its outcome as text: for `train` a list of results, in the order of its trials.

    Training leaves its files in the directory, and goes on from the checkpoint that it finds there. It takes one
    thread, whatever the machine: the number of threads changes the order of sums and so the last bits, and trials side
    by side use the processors better than threads do.

    Args:
        task: From `make_task`.
        start: What makes a training, in place of `train.start`.
    """
    wanted = json.loads(task)
    trials = tuple(Trial.from_plain(one) for one in wanted["trials"])
    directory = Path(wanted["directory"])
    store = Store(directory) if shares(directory, wanted["token"]) else None
    keys = [trial.key for trial in trials]
    if wanted["kind"] == "train" and store is not None:
        stored = [store.result(key) for key in keys]
        if all(result is not None for result in stored):
            store.drop_group(keys)
            return json.dumps(plain(stored))
    first = trials[0]
    place = Path(wanted["data_dir"]) if wanted["data_dir"] else None
    data = load_cached(first.setting.dataset, place, first.setting.task)
    if data.fingerprint != first.fingerprint:
        raise TriodeError(
            f"{first.setting.dataset} on this worker is not the data that the bake-off was planned with."
        )
    with one_thread():
        if wanted["kind"] != "train" and start is not None:
            return json.dumps({"rehearse": "cpu", "measure": [1, "one at a time"]}[wanted["kind"]])
        device = "cpu" if start is not None else _device(wanted["device"])
        if wanted["kind"] == "rehearse":
            from triode.bakeoff.training.rehearse import rehearse

            rehearse(first.setting, [trial.specification for trial in trials], data)
            return json.dumps(device)
        if wanted["kind"] == "measure":
            from triode.bakeoff.training.stacked import measure

            return json.dumps(measure(trials, data, wanted["jobs"], device))
        begin = start or _trainings()
        group = _Group(trials, keys, store, wanted["tuned"])
        return json.dumps(plain(group.train(lambda: begin(trials, data, device))))


def _trainings() -> Start:
    """What begins a real training; loading it loads PyTorch."""
    from triode.bakeoff.training.train import start

    return start


class _Group:
    """Trials that train as one, and what they leave on disk as they go."""

    def __init__(
        self, trials: tuple[Trial, ...], keys: list[str], store: Store | None, tuned: Sequence[str]
    ) -> None:
        self._trials = trials
        self._tuned = tuned
        self._keys = keys
        self._store = store
        self._lines: list[list[str]] = [[] for _ in trials]
        self._records: list[list[EpochRecord]] = [[] for _ in trials]
        self._files: list[TextIO] = []

    def train(self, start: Callable[[], Training]) -> tuple[TrialResult, ...]:
        """Go on from the checkpoint, or begin; then epoch by epoch to the end."""
        path = None if self._store is None else self._store.start_group(self._keys, software())
        training = start()
        found = None if path is None else checkpoint.read(path)
        if found is not None and not self._restore(training, found):
            training, found = start(), None
        began = time.perf_counter() - (found.seconds if found else 0.0)
        epoch = found.epoch if found else 0
        with ExitStack() as stack:
            if self._store is not None:
                for key, trial, lines in zip(self._keys, self._trials, self._lines, strict=True):
                    self._files.append(stack.enter_context(self._store.start(key, trial, lines)))
            if found is None:
                self._note(training.begin())
            while epoch < self._trials[0].setting.epochs and not all(training.diverged):
                self._note(training.epoch())
                epoch += 1
                if path is not None and self._store is not None:
                    with storing(self._store.directory):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        checkpoint.write(
                            path, training.state(), self._lines, epoch, time.perf_counter() - began
                        )
        records = tuple(tuple(one) for one in self._records)
        results = training.finish(records, time.perf_counter() - began)
        memory = peak_memory()
        results = tuple(
            replace(r, peak_memory=memory, tuned={name: getattr(t.setting, name) for name in self._tuned})
            for r, t in zip(results, self._trials, strict=True)
        )
        return results if self._store is None else self._keep(results)

    def _restore(self, training: Training, found: checkpoint.Checkpoint) -> bool:
        try:
            records = [[parse_epoch(line) for line in lines] for lines in found.records]
            if len(records) != len(self._trials) or not all(records):
                raise ValueError(f"it is of {len(records)} trials")
            training.restore(found.state)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            warnings.warn(f"a checkpoint does not fit its trials ({error}): they start over.", stacklevel=2)
            return False
        self._records, self._lines = records, [list(lines) for lines in found.records]
        return True

    def _note(self, records: Sequence[EpochRecord | None]) -> None:
        for number, record in enumerate(records):
            if record is None:
                continue
            line = dump_epoch(record)
            self._records[number].append(record)
            self._lines[number].append(line)
            if self._store is not None:
                with storing(self._store.directory):
                    self._files[number].write(line + "\n")

    def _keep(self, results: tuple[TrialResult, ...]) -> tuple[TrialResult, ...]:
        """Store what is not stored yet; what is, stays as it is."""
        assert self._store is not None  # noqa: S101 - for the type checker
        kept = []
        for result in results:
            stored = self._store.result(result.key)
            if stored is None:
                self._store.finish(result)
            kept.append(stored or result)
        self._store.drop_group(self._keys)
        return tuple(kept)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute with one thread, and give it the others back."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TriodeError(
            f"device = {name!r}, but PyTorch finds no CUDA device on this worker; name cpu or auto."
        )
    return name


def main() -> None:
    """Serve tasks from standard input, a line each, until it closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(line)
        # The parent is gone, perhaps killed: stop in the middle, for the checkpoint has the last epoch.
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    from triode.bakeoff.training import train  # noqa: F401  (loads PyTorch before the first task comes)

    while True:
        task = tasks.get()
        answer: Mapping[str, str]
        try:
            answer = {"result": run_task(task)}
        except StorageError as error:
            answer = {"error": str(error), "kind": "storage"}
        except TriodeError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - the parent reports it, the next trial goes on
            answer = {"error": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
