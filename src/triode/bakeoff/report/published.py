"""Figures from the literature that stand beside our own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One figure that somebody else measured, on the same scale as the measure of the run (0.989, not 98.9)."""

    run: str
    """Name of the run of ours that repeats the setting."""
    activation: str
    """Name of the activation as the run calls it."""
    value: float
    source: str
    """Where it was published: authors, title or link, table."""
    note: str = ""
    """What differs from our run: the best test epoch, a single seed."""

    @property
    def cited(self) -> str:
        """The source, with the note behind it."""
        return f"{self.source} ({self.note})" if self.note else self.source
