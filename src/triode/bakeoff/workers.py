"""The processes that train on this machine: one a slot, used again for trial after trial."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO

from triode.errors import TriodeError

ATTEMPTS = 2
"""A trial whose process dies is tried once more; a second death is the trial's fault, or the memory's."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """`jobs` processes that run tasks of `worker.run_task`; a process that dies costs one attempt of one trial."""

    def __init__(self, jobs: int) -> None:
        """Start the processes; loading PyTorch takes them seconds, so start them early."""
        self._queue: queue.SimpleQueue[tuple[str, Future[str]] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._slots = [_Slot(self._stopped) for _ in range(jobs)]
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in self._slots
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: str) -> Future[str]:
        """Queue a task; the future holds the text of its result."""
        future: Future[str] = Future()
        self._queue.put((task, future))
        return future

    def stop(self) -> None:
        """End the processes now, in the middle of a trial if there is one."""
        self._stopped.set()
        for slot in self._slots:
            slot.kill()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        for slot in self._slots:
            slot.close()

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


class _Slot:
    """One process at a time, started again when it dies."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._lock = threading.Lock()
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the slot
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        home = str(Path(__file__).parents[2])  # the child must find the same Triode as we are
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        windows = sys.platform == "win32"
        return subprocess.Popen(
            [sys.executable, "-m", "triode.bakeoff.worker"],
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
        """The result of one task, by as many processes as it takes (two at most)."""
        for _ in range(ATTEMPTS):
            answer = self._ask(task)
            if answer:
                plain = json.loads(answer)
                if "error" in plain:
                    failure = TriodeError(plain["error"])
                    failure.add_note(plain.get("details", ""))
                    raise failure
                return str(plain["result"])
            if self._stopped.is_set():
                break
            code = self._process.wait()
            with self._lock:
                if not self._stopped.is_set():
                    self._close_pipes()
                    self._process = self._start()
        if self._stopped.is_set():
            raise TriodeError("the bake-off was stopped.")
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        hint = (
            "; signal 9 is mostly the system's answer to a lack of memory, so try fewer --jobs"
            if code == -9
            else ""
        )
        raise TriodeError(
            f"the process that trained it died {ATTEMPTS} times ({how}{hint}). {self._last_words()}".strip()
        )

    def kill(self) -> None:
        """End the process."""
        with self._lock:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Give back what the ended process leaves open."""
        self._close_pipes()
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
        self._messages.seek(0)
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        return f"Its last words: {lines[-1]}" if lines else ""
