"""The output activation that fits the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import title
from triode.doctor.remedies.remove_output_activation import places, swap_output

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Replace the output activation"
ORDER = 7


def _function(prescription: Prescription) -> str:
    return str(prescription.parameters.get("function", "sigmoid"))


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    here = places(history, prescription) if history and history.graph.operations else []
    old = f"the {title(here[0].function)}" if here else "the activation"
    return f"Replace {old} at the output by {title(_function(prescription))}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Swap it."""
    swap_output(training, prescription, history, _function(prescription))


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change the call, or the module's constructor."""
    from triode.doctor.remedies.replace_activation import axis

    here = places(history, prescription)
    if not here:
        raise LookupError("no activation at the output")
    program.replace_activation(here, _function(prescription), axis(here[0]))


def snippet(history: History | None, prescription: Prescription) -> str:
    """What the end looks like."""
    from triode.doctor.remedies._source import spelled

    return f"return {spelled(_function(prescription))[1].format('self.output(x)')}"
