"""Longer steps, where the loss hardly moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._rate import factor, lines, rewrite, said, scale

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Raise the learning rate"
ORDER = 31


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    return said(history, prescription, factor(prescription), "Multiply")


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Change the rate of every parameter group."""
    scale(training, prescription, factor(prescription))


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change it where the optimiser is constructed."""
    rewrite(program, history, factor(prescription))


def snippet(history: History | None, prescription: Prescription) -> str:
    """The optimiser with the new rate."""
    return lines(history, factor(prescription))
