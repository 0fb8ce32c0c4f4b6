"""The processes that train on this machine: one a slot, used again for group after group."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from triode.bakeoff.running.worker import run_task
from triode.bakeoff.storage.store import StorageError
from triode.errors import TriodeError


class WorkerDied(TriodeError):
    """The process of a task ended in the middle of it, killed perhaps; the task can be given to another."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Executor):
    """An executor of `jobs` processes that run tasks of `worker.run_task`, for one bake-off or several in a row.

    A process that dies costs its task (`WorkerDied`) and is replaced.
    """

    def __init__(self, jobs: int = 0) -> None:
        """Start the processes, by default one a processor; loading PyTorch takes them seconds, so start them early."""
        self.jobs = jobs or processors()
        self._queue: queue.SimpleQueue[tuple[str, Future[str]] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._closed = False
        self._slots = [_Slot(self._stopped) for _ in range(self.jobs)]
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in self._slots
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a task for `run_task`, the one function that these processes know; the future holds its text."""
        if fn is not run_task or len(args) != 1 or kwargs:
            raise TypeError("these processes run worker.run_task with the text of a task, and nothing else")
        if self._closed:
            raise RuntimeError("these processes have been shut down")
        future: Future[str] = Future()
        self._queue.put((args[0], future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their tasks are done; with `cancel_futures` only those in training are."""
        if self._closed:
            return
        self._closed = True
        if cancel_futures:
            with suppress(queue.Empty):
                while entry := self._queue.get_nowait():
                    entry[1].cancel()
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def stop(self) -> None:
        """End the processes now, in the middle of an epoch if there is one."""
        self._closed = True
        self._stopped.set()
        for slot in self._slots:
            slot.kill()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, slot: _Slot) -> None:
        while (entry := self._queue.get()) is not None:
            task, future = entry
            if self._stopped.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(slot.run(task))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                future.set_exception(error)
        slot.kill()
        slot.close()


class _Slot:
    """One process at a time, started again when it dies."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._lock = threading.Lock()
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the slot
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        home = str(Path(__file__).parents[3])  # the child must find the same Triode as we are
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        windows = sys.platform == "win32"
        return subprocess.Popen(
            [sys.executable, "-m", "triode.bakeoff.running.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env={**os.environ, **one_thread, "PYTHONPATH": path},
            encoding="utf-8",
            # Ctrl-C in the terminal is for the parent, which then ends its workers.
            start_new_session=not windows,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if windows else 0,
        )

    def run(self, task: str) -> str:
        """The outcome of one task; raises what it raised, or `WorkerDied`."""
        answer = self._ask(task)
        if answer.endswith("\n"):  # a process killed in the middle of a line has not answered
            plain = json.loads(answer)
            if "error" in plain:
                failure = (StorageError if plain.get("kind") == "storage" else TriodeError)(plain["error"])
                failure.add_note(plain.get("details", ""))
                raise failure
            return str(plain["result"])
        if self._stopped.is_set():
            raise TriodeError("the bake-off was stopped.")
        code = self._process.wait()
        words = self._last_words()
        with self._lock:
            if not self._stopped.is_set():
                self._close_pipes()
                self._process = self._start()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        hint = (
            "; signal 9 is mostly the system's answer to a lack of memory, so try fewer --jobs"
            if code == -9
            else ""
        )
        raise WorkerDied(f"the process that trained it died ({how}{hint}). {words}".strip())

    def kill(self) -> None:
        """End the process."""
        with self._lock:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Give back what the ended process leaves open."""
        self._close_pipes()
        if not self._messages.closed:
            self._messages.close()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # closing flushes what a dead process will not read
                    pipe.close()

    def _ask(self, task: str) -> str:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            return ""
        try:
            to.write(task + "\n")
            to.flush()
        except OSError:  # it died while idle
            return ""
        return back.readline()

    def _last_words(self) -> str:
        self._messages.seek(0, os.SEEK_END)
        end = self._messages.tell()
        self._messages.seek(max(0, end - 4096))
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        self._messages.seek(0)
        self._messages.truncate()  # the next process's words are its own
        return f"Its last words: {lines[-1]}" if lines else ""
