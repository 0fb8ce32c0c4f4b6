"""What a criterion is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triode.bakeoff.grade.evidence import Evidence


@dataclass(frozen=True)
class Score:
    """The judgement of one criterion."""

    points: float
    evidence: tuple[str, ...]
    """Sentences with figures from the records."""
    hint: str = ""
    """What would bring the missing points; empty where none are missing."""


@dataclass(frozen=True)
class Criterion:
    """One line of the rubric. Each file of `criteria/` holds one, as `CRITERION`; a new file is a new line."""

    id: str
    title: str
    maximum: int
    place: int
    """Lines are shown in this order."""
    judge: Callable[[Evidence], Score]
    """Pure: it reads the evidence and nothing else."""


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names in a sentence.

    >>> listed(["relu", "gelu", "elu"])
    'relu, gelu and elu'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
