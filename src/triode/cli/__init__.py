"""The command line: a file a command, discovered from this folder.

A module of this package whose name starts with a letter is a command of the same name; its function `run` is what
the command does, `run`'s docstring is the help, and its `Examples` section is shown below it and executed by the
tests. Modules that start with an underscore are shared parts. So a new command is one new file.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The words after `triode`; by default those that the process was started with.

    Returns:
        The exit status: 0 done, 1 found something wrong, 2 bad usage, 130 interrupted.

    Examples:
        >>> main(["eval", "relu", "3", "--order", "0"])
        x  value
        3  3
        0
    """
    from triode.cli._app import run

    return run(arguments)
