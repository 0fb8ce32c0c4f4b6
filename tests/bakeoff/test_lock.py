"""One command a directory, and a killed one holds nothing."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from triode.bakeoff.storage import lock
from triode.bakeoff.storage.lock import DirectoryBusy, hold, shares

HOLDER = """
import sys, time
from pathlib import Path
from triode.bakeoff.storage.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_command_is_told_who_runs_until_the_first_is_killed(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=_environment()
    )
    assert first.stdout is not None
    with first, first.stdout:
        assert first.stdout.readline() == "held\n"
        who = f"process {first.pid} on {socket.gethostname()}"
        with pytest.raises(DirectoryBusy, match=rf"in use by another bake-off \({who}\).*--out") as told:
            hold(tmp_path).__enter__()
        assert told.value.exit_status == 2
        first.send_signal(signal.SIGKILL)
        first.wait()
    with hold(tmp_path):
        pass


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(lock.__file__).parents[2])}


def test_one_process_cannot_hold_it_twice_but_again(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(DirectoryBusy), hold(tmp_path):
        pass
    with hold(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A pool that forks must not keep the directory locked when the command is killed."""
    code = """
import os, sys, time
from pathlib import Path
from triode.bakeoff.storage.lock import hold
with hold(Path(sys.argv[1])):
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        os.write(tell, b"1")
        time.sleep(60)
    os.read(ready, 1)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=_environment()
    )
    assert run.stdout is not None
    with run.stdout:
        child = int(run.stdout.readline())
    try:
        assert run.wait() == -signal.SIGKILL
        with hold(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_token_tells_the_same_disk_from_another(tmp_path: Path) -> None:
    with hold(tmp_path) as token:
        assert shares(tmp_path, token)
        assert not shares(tmp_path, "")
        assert not shares(tmp_path / "elsewhere", token)
    with hold(tmp_path) as later:
        assert later != token
        assert not shares(tmp_path, token)
    (tmp_path / "lock").write_text("[]")
    assert not shares(tmp_path, later)


def test_where_nothing_can_be_locked_the_work_goes_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", refuse)
    with pytest.warns(UserWarning, match="cannot lock .No locks available"), hold(tmp_path) as token:
        assert shares(tmp_path, token)
