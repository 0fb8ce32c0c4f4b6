"""Finds the commands, builds the Cyclopts application, and turns every outcome into an exit status."""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

import triode
import triode.cli
from triode.errors import TriodeError

DONE, WRONG, USAGE, INTERRUPTED = 0, 1, 2, 130

SUMMARY = """The workbench for activation functions: exact values and derivatives, and bake-offs whose report says \
which differences are real."""

FIRST_STEPS = """Example:
  triode list
  triode show gelu
  triode bakeoff"""


def commands() -> tuple[str, ...]:
    """Names of the commands: the modules of this package that do not start with an underscore."""
    found = pkgutil.iter_modules(triode.cli.__path__)
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def build(only: str | None = None) -> App:
    """Assemble the application.

    Args:
        only: The one command to import, so that `triode list` does not pay for what `triode bakeoff` needs. None, or
            a word that is no command, imports all: help and the nearest right name need them.
    """
    app = App(
        name="triode",
        help=SUMMARY,
        help_epilogue=FIRST_STEPS,
        help_format="plaintext",
        version=lambda: f"triode {triode.__version__}",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative=(), show_default=_shown),
    )
    names = commands()
    for name in [only] if only in names else names:
        command = importlib.import_module(f"triode.cli.{name}").run
        app.command(command, name=name, help=_description(command), help_epilogue=_epilogue(command))
    return app


def examples(command: Callable[..., Any]) -> tuple[str, ...]:
    """Return the command lines of the `Examples` section of a command's docstring."""
    _, _, section = (inspect.getdoc(command) or "").partition("\nExamples:\n")
    section = section.split("\n\n")[0]
    return tuple(line.strip() for line in section.splitlines() if line.strip())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; every failure that a user can cause is one sentence on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _tolerate_narrow_encodings()
    try:
        words = _arranged(words)
        app = build(words[0] if words else None)
        outcome = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return DONE  # the reader has seen enough (`triode list | head`)
    except KeyboardInterrupt as error:
        print(f"triode: {str(error) or 'interrupted.'}", file=sys.stderr)
        return INTERRUPTED
    except CycloptsError as error:
        return _refuse(str(error))
    except TriodeError as error:
        _refuse(str(error))
        return error.exit_status
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _discard_output()
            print("triode: the output could not be written: no space is left on the device.", file=sys.stderr)
            return WRONG
        if error.filename is None:
            raise
        return _refuse(f"{error.filename}: {(error.strerror or str(error)).lower()}.")
    return outcome if isinstance(outcome, int) else DONE


def _arranged(words: list[str]) -> list[str]:
    """Let a command part its own words from those that it passes on: `triode doctor train.py --steps 5`."""
    if not words or words[0] not in commands():
        return words
    arrange = getattr(importlib.import_module(f"triode.cli.{words[0]}"), "arrange", None)
    return words if arrange is None else [words[0], *arrange(words[1:])]


def _description(command: Callable[..., Any]) -> str:
    """Return the docstring above its first section, each paragraph on one line: the terminal's width wraps it."""
    text, _, _ = (inspect.getdoc(command) or "").partition("\nArgs:\n")
    text, _, _ = text.partition("\nExamples:\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _epilogue(command: Callable[..., Any]) -> str:
    return "\n  ".join(["Example:", *examples(command)])


def _shown(default: Any) -> str | None:
    # An absent flag or an empty list is what anybody expects; only a default that says something is shown.
    return None if default is False or default == () else str(default)


def _refuse(sentence: str) -> int:
    print(f"triode: {' '.join(sentence.split())}", file=sys.stderr)
    return USAGE


def _tolerate_narrow_encodings() -> None:
    # A terminal in the C locale cannot show a Greek letter; a question mark is better than a traceback.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _discard_output() -> None:
    # Python flushes standard output once more on exit; it must find somewhere to write.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
