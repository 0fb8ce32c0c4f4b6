"""What a worker does: text that describes a trial in, text of its result out.

`run_task` is an ordinary function, which any `concurrent.futures.Executor` can be given. `python -m
triode.bakeoff.worker` serves it over pipes, a line of JSON a task: nothing is pickled, and no script of the user's is
imported a second time, as `multiprocessing` would.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path

from triode.bakeoff.data import load_cached
from triode.bakeoff.plan import Trial
from triode.bakeoff.store import Store, dump_epoch, dump_result
from triode.errors import TriodeError


def make_task(trial: Trial, directory: Path, data_dir: Path | None) -> str:
    """The text that `run_task` understands."""
    place = None if data_dir is None else str(data_dir.resolve())
    return json.dumps({"trial": trial.to_plain(), "directory": str(directory.resolve()), "data_dir": place})


def run_task(task: str) -> str:
    """Train the trial, leave its files in the directory, and return its result as text.

    With one thread, whatever the machine: the number of threads changes the order of sums and so the last bits, and
    trials side by side use the processors better than threads do.
    """
    wanted = json.loads(task)
    trial = Trial.from_plain(wanted["trial"])
    store = Store(Path(wanted["directory"]))
    stored = store.result(trial.key)
    if stored is not None:
        return dump_result(stored)
    data = load_cached(trial.dataset, Path(wanted["data_dir"]) if wanted["data_dir"] else None)
    if data.fingerprint != trial.fingerprint:
        raise TriodeError(
            f"{trial.dataset} on this worker is not the data that the bake-off was planned with."
        )
    import torch

    from triode.bakeoff.train import train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with store.start(trial) as lines:
            result = train(trial, data, lambda record: print(dump_epoch(record), file=lines))
    finally:
        torch.set_num_threads(threads)
    store.finish(result)
    return dump_result(result)


def main() -> None:
    """Serve tasks from standard input, a line each, until it closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(line)
        # The parent is gone, perhaps killed: stop in the middle, for the store forgets what is half done.
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    from triode.bakeoff import train  # noqa: F401  (loads PyTorch while the parent still reads the data)

    while True:
        task = tasks.get()
        try:
            answer = {"result": run_task(task)}
        except TriodeError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - the parent reports it, the next trial goes on
            answer = {"error": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
