"""Dask distributed as the executor: a real cluster of processes, one of which is killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.trainings import numbers

pytest.importorskip("torch")

from triode.bakeoff import Spec, Status, run
from triode.bakeoff.running.cluster import connect
from triode.errors import MissingExtra, TriodeError

Small = Callable[..., Spec]
QUIET = [
    # Dask's own, about sockets and event loops of processes that were killed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_without_dask_one_sentence_says_what_to_install(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"needs Dask.*pip install 'triode\[dask\]'"):
        run(small(dask="local:2"), progress=False)


class TestCluster:
    pytestmark = QUIET

    @pytest.fixture(autouse=True)
    def _needs_dask(self) -> None:
        pytest.importorskip("distributed")

    def test_a_number_of_workers_must_be_one(self) -> None:
        with pytest.raises(TriodeError, match=r"local:many.*local:4 names four workers"):
            connect("local:many").__enter__()

    def test_where_no_scheduler_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("triode.bakeoff.running.cluster.PATIENCE", 0.5)
        with pytest.raises(TriodeError, match=r"tcp://127\.0\.0\.1:9.*no scheduler with a worker answers"):
            connect("tcp://127.0.0.1:9").__enter__()

    @pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")
    def test_a_worker_killed_in_the_middle_changes_nothing(
        self, small: Small, here: Any, tmp_path: Path
    ) -> None:
        spec = small(epochs=150, protocol="chapter", stack=1, dask="local:2")
        undisturbed = run(
            dataclasses.replace(spec, dask=""), here, out=tmp_path / "undisturbed", progress=False
        )
        killed: list[int] = []

        def kill_once(status: Status) -> None:
            if not killed and any(0 < epochs < 100 for _, epochs in status.running):
                killed.extend(busiest())
                os.kill(killed[0], signal.SIGKILL)

        results = run(spec, progress=kill_once)
        assert len(killed) == 1
        assert numbers(results) == numbers(undisturbed)
        assert results.environment["threads"].endswith("Dask, 2 at a time")
        assert not list(results.directory.glob("trials/*/error.json"))


def busiest() -> list[int]:
    """The descendant of this process that has computed longest."""
    found, times = [os.getpid()], {}
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    for pid in found[1:]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        times[pid] = int(fields[11])
    return [max(times, key=lambda pid: times[pid])]
