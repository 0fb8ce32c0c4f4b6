"""One command a directory: a lock that the operating system takes back when its holder is gone, however it went."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triode.errors import TriodeError

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_BYTE = 1 << 20
"""Windows locks bytes and keeps others from reading them: this one lies behind the text."""
_held: set[int] = set()


class DirectoryBusy(TriodeError):
    """Another command works in the directory."""


@contextmanager
def hold(directory: Path) -> Iterator[str]:
    """Hold `DIR/lock`, and give its token: a process that reads the same token there sees the same disk.

    The file stays behind, for removing it would let two commands lock two files of one name. Where the file system
    cannot lock, a warning says so and the work goes on.

    Raises:
        DirectoryBusy: When another command holds it, naming the process and its machine.
        OSError: When the file cannot be opened or written.
    """
    path = directory / "lock"
    token = secrets.token_hex(8)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in _BUSY:
                raise DirectoryBusy(
                    f"{directory} is in use by another bake-off ({holder(directory)}): wait for it or stop it, or "
                    "name another folder with --out."
                ) from error
            warnings.warn(
                f"{directory} lies on a file system that cannot lock ({error.strerror}): see to it that no other "
                "command writes there.",
                stacklevel=3,
            )
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "token": token})
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())
        _held.add(handle)
        yield token
    finally:
        _held.discard(handle)
        with contextlib.suppress(OSError):  # a fork has closed it
            os.close(handle)  # which unlocks


def holder(directory: Path) -> str:
    """Who wrote the lock last: `process 123 on host`."""
    found = _content(directory)
    return f"process {found.get('pid', 'unknown')} on {found.get('host', 'an unknown machine')}"


def shares(directory: Path, token: str) -> bool:
    """Whether the directory that this process sees is the one in which `token` was given out."""
    return bool(token) and _content(directory).get("token") == token


def _content(directory: Path) -> dict[str, object]:
    try:
        found = json.loads((directory / "lock").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _release_in_child() -> None:
    # A fork has the lock's handle too, and would keep the directory locked after the holder was killed.
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
