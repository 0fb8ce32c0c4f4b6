"""Runs a user's script unchanged, as `python train.py` would, and says how it ended.

The script becomes the real `__main__`: what it pickles is found again, and worker processes, forked or spawned,
import it as they would without the doctor. PyTorch is not imported before the script does it: variables such as
OMP_NUM_THREADS, which a script may set in its first lines, still work.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, Literal

from triode.doctor.ending import at_exit_of_script, clean, last_line, show_error
from triode.errors import TriodeError

Ending = Literal["finished", "stopped", "interrupted", "failed"]


class Stopped(BaseException):
    """Ends the script from inside an optimiser's step; no `except Exception` of the user's swallows it."""


class Unwatchable(BaseException):
    """What was to happen when PyTorch arrives has failed: no fault of the script, which must not catch it either."""


class Terminated(BaseException):
    """Ends the script where the process was asked to end (SIGTERM): by `timeout`, or a cluster's scheduler."""


@dataclass(frozen=True)
class Command:
    """What to run: the words that would follow `python`.

    Attributes:
        target: Path of a script, of a folder or archive with a `__main__.py`, or with `module` the name of a module.
        arguments: The script's own.
        module: Whether it is run as `python -m target`.
    """

    target: str
    arguments: tuple[str, ...] = ()
    module: bool = False

    def __str__(self) -> str:
        """The script's name, for sentences."""
        return f"-m {self.target}" if self.module else self.target

    @property
    def words(self) -> list[str]:
        """The words after `python`."""
        return [*(["-m"] if self.module else []), self.target, *self.arguments]


@dataclass
class Outcome:
    """How a script ended.

    Attributes:
        ending: `finished` by itself, `stopped` after the steps asked for, `interrupted` by Ctrl-C or SIGTERM, `failed`
            with an exception of its own.
        status: Exit status that Python would have given.
        error: Last line of the exception; "" for none.
        namespace: The script's global names as they were at its end.
    """

    ending: Ending = "finished"
    status: int = 0
    error: str = ""
    namespace: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the script itself has nothing to answer for."""
        return self.status == 0 or self.ending in ("stopped", "interrupted")


def run(command: Command, start: Callable[[], Any] | None = None) -> Outcome:
    """Run a script to its end, whatever that is, and show what Python would show of it.

    Args:
        command: What to run.
        start: Called once, as soon as PyTorch is there: at once, or when the script has imported it. Returns a context
            manager that is left when the script ends, or None. Whatever it raises ends the script.

    Returns:
        How it ended. Output of the script, and the traceback of an exception that it did not catch, go where Python
        would send them; what it registered with `atexit` has been called.

    Raises:
        TriodeError: There is no such script or module, or it cannot be read as Python.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "hello.py").write_text("import sys; print(__name__, sys.argv[1:]); sys.exit(3)")
        ...     outcome = run(Command(f"{folder}/hello.py", ("--lr", "1")))
        __main__ ['--lr', '1']
        >>> outcome.ending, outcome.status
        ('finished', 3)
    """
    process = os.getpid()
    with _process_of(command) as (module, code), at_exit_of_script():
        outcome = Outcome(namespace=module.__dict__)
        try:
            with ExitStack() as watching:
                watching.enter_context(_torch_arrives(lambda: _enter(watching, start)))
                exec(code(), module.__dict__)  # noqa: S102 (to run it is what the user asked for)
        except Stopped:
            outcome.ending = "stopped"
        except (KeyboardInterrupt, Terminated) as error:
            outcome.ending = "interrupted"
            outcome.status = 130 if isinstance(error, KeyboardInterrupt) else 143
        except Unwatchable as error:
            raise error.__cause__ or error from None
        except SystemExit as error:
            outcome.status = _status(error.code)
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the script's, and it is shown)
            outcome.ending, outcome.status = "failed", 1
            outcome.error = last_line(error)
            show_error(clean(error))
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
    if os.getpid() != process:  # a child that the script forked by hand ends where the script ends
        os._exit(outcome.status)
    return outcome


def _enter(watching: ExitStack, start: Callable[[], Any] | None) -> None:
    try:
        context = start() if start is not None else None
        if context is not None:
            watching.enter_context(context)
    except Exception as error:
        raise Unwatchable from error


@contextmanager
def _process_of(command: Command) -> Iterator[tuple[types.ModuleType, Callable[[], types.CodeType]]]:
    """Make the process look like one that Python started for the command, and put it back afterwards."""
    saved = (sys.argv, sys.path[:], sys.modules.get("__main__"), sys.stdout, sys.stderr, sys.excepthook)
    sys.argv = [command.target, *command.arguments]
    with _terminated_politely():
        try:
            module, code = (_as_module if command.module else _as_file)(command)
            sys.modules["__main__"] = module
            yield module, code
        finally:
            # A script may have put a file of its own, closed by now, in place of standard output.
            sys.argv, sys.path[:], _, sys.stdout, sys.stderr, sys.excepthook = saved
            if saved[2] is not None:
                sys.modules["__main__"] = saved[2]


def _as_file(command: Command) -> tuple[types.ModuleType, Callable[[], types.CodeType]]:
    path = Path(command.target)
    if not path.exists():
        raise TriodeError(
            f"{command.target} is not there (looked in {Path.cwd()}); the doctor needs a training script, such as: "
            "triode doctor train.py."
        )
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (as Python: symbolic links stay in __file__)
    if path.is_dir() or path.suffix in (".zip", ".pyz"):
        _first_on_path(str(whole))
        spec = PathFinder.find_spec("__main__", [str(whole)])
        if spec is None:
            raise TriodeError(f"{command.target} has no __main__.py, so Python cannot run it.")
        return _of_spec(spec)
    _first_on_path(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    module = _main(__file__=str(whole), __cached__=None, __loader__=SourceFileLoader("__main__", str(whole)))
    with io.open_code(str(whole)) as file:
        source = file.read()
    if b"\0" in source:
        raise TriodeError(
            f"{command.target} is not Python source: it has null bytes; give the script as written."
        )
    return module, lambda: compile(source, str(whole), "exec", dont_inherit=True)


def _as_module(command: Command) -> tuple[types.ModuleType, Callable[[], types.CodeType]]:
    _first_on_path(str(Path.cwd()))
    sys.argv[0] = "-m"
    name = command.target
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise TriodeError(f"-m {command.target} cannot be run: {error}.") from None
    if spec is None:
        raise TriodeError(f"-m {command.target} cannot be run: there is no module named {name}.")
    sys.argv[0] = spec.origin or command.target
    return _of_spec(spec)


def _of_spec(spec: ModuleSpec) -> tuple[types.ModuleType, Callable[[], types.CodeType]]:
    loader: Any = spec.loader
    if not hasattr(loader, "get_code"):
        raise TriodeError(f"{spec.name} cannot be run: it is no module of Python code.")
    module = _main(__file__=spec.origin, __cached__=spec.cached, __loader__=loader)
    module.__package__, module.__spec__ = spec.parent, spec
    # A module called __main__ in a folder has no name that a worker process could import it by.
    if spec.name == "__main__":
        module.__package__ = ""

    def code() -> types.CodeType:
        found = loader.get_code(spec.name)
        if found is None:
            raise TriodeError(f"{spec.name} cannot be run: it is no module of Python code.")
        return found  # type: ignore[no-any-return]

    return module, code


def _main(**names: Any) -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__.update(names, __builtins__=builtins, __annotations__={})
    return module


def _first_on_path(folder: str) -> None:
    # The first entry is the folder of `triode` itself, as it would be the script's; -P asks for none at all.
    if not sys.flags.safe_path:
        sys.path[:1] = [folder]


def _status(code: object) -> int:
    """The exit status that Python makes of SystemExit's argument; a text is printed."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


@contextmanager
def _terminated_politely() -> Iterator[None]:
    """While the script runs, SIGTERM ends it as Ctrl-C does, unless it has an answer of its own."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    process = os.getpid()

    def end(number: int, frame: types.FrameType | None) -> None:
        del frame
        if os.getpid() != process:  # a forked worker: it dies as it would have
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            signal.signal(number, signal.SIG_DFL)  # the second time at once
            raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _torch_arrives(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` as soon as PyTorch is imported: now, or at the end of the script's import of it."""
    if "torch" in sys.modules:
        act()
        yield
        return
    finder = _Finder(act)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(finder)


class _Finder:
    """A meta path finder that finds PyTorch where it is found without it, and tells when it has been loaded."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torch")
        loader: Any = spec.loader if spec is not None else None
        if loader is None:
            return spec
        execute, act = loader.exec_module, self.act

        def and_tell(module: types.ModuleType) -> None:
            execute(module)
            loader.exec_module = execute
            act()

        loader.exec_module = and_tell
        return spec
