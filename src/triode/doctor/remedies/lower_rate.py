"""Shorter steps: the first thing to try where training throws the weights about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._rate import factor, lines, rewrite, said, scale

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Lower the learning rate"
ORDER = 30


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    return said(history, prescription, 1 / factor(prescription), "Divide")


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Change the rate of every parameter group."""
    scale(training, prescription, 1 / factor(prescription))


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change it where the optimiser is constructed."""
    rewrite(program, history, 1 / factor(prescription))


def snippet(history: History | None, prescription: Prescription) -> str:
    """The optimiser with the new rate."""
    return lines(history, 1 / factor(prescription))
