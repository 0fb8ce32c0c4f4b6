"""No activation at the output: the loss contains it, or the targets lie outside its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._places import Spot, at_output, spots
from triode.doctor.remedies._words import names_of, title
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Remove the output activation"
ORDER = 6


def places(history: History, prescription: Prescription) -> list[Spot]:
    """The output's activation."""
    return at_output(history, names_of(prescription, "sites"))


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    here = places(history, prescription) if history and history.graph.operations else []
    what = f"the {title(here[0].function)}" if here else "the activation"
    where = "in the loss" if here and not here[0].in_model else "at the output"
    return f"Remove {what} {where}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Put the identity in its place."""
    swap_output(training, prescription, history, "identity")


def swap_output(
    training: Training, prescription: Prescription, history: History | None, function: str
) -> None:
    """Put `function` in the place of the output's activation."""
    from triode.doctor.remedies._surgery import activation, bare, is_activation, modules, replace, swap
    from triode.doctor.remedies.replace_activation import axis

    if history is not None and history.graph.operations:
        here = places(history, prescription)
        if not here:
            raise TriodeError(
                f"{history.name} has no activation at its output; its prediction comes from a layer of weights."
            )
        replace(training, here, lambda spot: activation(function, axis(spot)), spots(history.graph))
        return
    model = bare(training.model)
    last = next(reversed(modules(model).values()))
    if last is model or not is_activation(last):
        raise TriodeError(
            "the model's last module is no activation; expected one, or a history that shows where it is."
        )
    swap(model, last, activation(function, -1))


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Remove the call, or the module's constructor."""
    here = (
        places(history, prescription)
        if prescription.kind.endswith("output_activation")
        else at_output(history)
    )
    if not here:
        raise LookupError("no activation at the output")
    program.remove_activation(here)


def snippet(history: History | None, prescription: Prescription) -> str:
    """What the end looks like."""
    here = places(history, prescription) if history and history.graph.operations else []
    old = here[0].function if here else "activation"
    return f"return self.output(x)  # without {old}"
