"""Errors that are one sentence for the user: what was given, what was expected, the likely cause."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TriodeError(ValueError):
    """One sentence for the user; a command prints it and ends with ``exit_status``."""

    exit_status = 2  # bad usage; an error that is not the user's says 1


class MissingExtra(TriodeError, ImportError):
    """A package that is not part of the base install is needed; the sentence says what to install."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        """Say that ``purpose`` needs ``package``, which ``pip install 'triode[extra]'`` brings."""
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'triode[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name that is nearest to ``name``, or nothing.

    Args:
        name: What the user wrote.
        known: The names that would have been right.

    Returns:
        A clause to append to an error sentence; empty when nothing is near.

    Examples:
        >>> nearest("gleu", ["relu", "gelu", "tanh"])
        "; did you mean 'gelu'?"
    """
    wanted = name.lower()
    matches = difflib.get_close_matches(wanted, list(known), n=5, cutoff=0.5)
    if not matches:
        return ""
    # Swapped letters are the commonest slip of all, and difflib undervalues them.
    return f"; did you mean {min(matches, key=lambda match: sorted(match) != sorted(wanted))!r}?"
