"""The end of a user's script: its exit functions, and its exceptions as Python shows them."""

from __future__ import annotations

import atexit
import linecache
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OWN = str(Path(__file__).parent)
"""Folder of the doctor, whose frames are no part of the user's program."""
LAUNCH = str(Path(__file__).with_name("launch.py"))
"""Compiles and starts the script: a syntax error there is the script's."""
DETOURS = ("torch/overrides.py", "torch\\overrides.py")
"""Ends of the names of files through which PyTorch calls the doctor."""
PASSES_ON = "(*args"
"""How the doctor's frames call the user's function: what fails in such a line is the user's."""


@contextmanager
def at_exit_of_script() -> Iterator[None]:
    """Collect what the script registers with `atexit`, and call it, the last first, when the script has ended.

    Python would call it when the process ends; but what the script says there belongs before the diagnosis.
    """
    register, unregister = atexit.register, atexit.unregister
    collected: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def collect(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        collected.append((function, args, kwargs))
        return function

    def forget(function: Callable[..., Any], /) -> None:
        collected[:] = [entry for entry in collected if entry[0] != function]
        unregister(function)

    atexit.register, atexit.unregister = collect, forget
    try:
        yield
    finally:
        try:
            while collected:
                function, args, kwargs = collected.pop()
                try:
                    function(*args, **kwargs)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # noqa: BLE001 (Python, too, reports it and goes on)
                    print(f"Exception ignored in atexit callback: {function!r}", file=sys.stderr)
                    traceback.print_exception(clean(error))
        finally:
            atexit.register, atexit.unregister = register, unregister
            for function, args, kwargs in reversed(collected):
                register(function, *args, **kwargs)


def show_error(error: BaseException) -> None:
    """Show an exception as Python does at the end of a script: through `sys.excepthook`, which may be the user's."""
    sys.stderr.flush()
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:  # noqa: BLE001 (a broken hook must not hide the error)
        sys.__excepthook__(type(error), error, error.__traceback__)


def last_line(error: BaseException) -> str:
    """What Python writes last of an exception: `ValueError: too many`."""
    return traceback.format_exception_only(error)[-1].strip()


def clean(error: BaseException) -> BaseException:
    """Take the doctor's own frames out of an exception's traceback, and out of those that it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = _without_own(one.__traceback__)
            waiting += [one.__cause__, one.__context__]
            waiting += getattr(one, "exceptions", ())
    return error


def _without_own(trace: types.TracebackType | None) -> types.TracebackType | None:
    kept: list[types.TracebackType] = []
    detour, own_error, whole = False, False, trace
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(OWN) or name.endswith(DETOURS):
            detour = True
            own_error = name != LAUNCH and PASSES_ON not in linecache.getline(name, trace.tb_lineno)
        elif detour and kept and kept[-1].tb_frame.f_code is trace.tb_frame.f_code:
            # The function that PyTorch handed over is entered a second time: the call that failed is the second.
            kept[-1] = trace
            detour = False
        else:
            kept.append(trace)
            detour = False
        own_error = own_error and detour
        trace = trace.tb_next
    if own_error:  # raised by the doctor itself: its frames are what a report of the bug needs
        return whole
    result: types.TracebackType | None = None
    for part in reversed(kept):
        result = types.TracebackType(result, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return result
