"""Where a bake-off ran: versions and machine, so that its numbers can be made again."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from triode import __version__

_PACKAGES = ("torch", "numpy", "scipy")


def describe(threads: str) -> dict[str, str]:
    """Versions, machine, processor, the threads in use and the time; everything as text."""
    found = {"triode": __version__, "python": platform.python_version()}
    return (
        found
        | {package: _version(package) for package in _PACKAGES}
        | {
            "machine": platform.platform(),
            "cpu": _cpu(),
            "threads": threads,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


@cache
def software() -> str:
    """What a training must not change in the middle: the versions that decide the last bits, and the machine's kind."""
    return f"triode {__version__}, torch {_version('torch')}, numpy {_version('numpy')}, {_cpu()}"


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes; 0 where the system does not tell."""
    try:
        # Linux: `getrusage` also counts what the parent held when it started this process.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
