"""No step longer than a bound: the cure of a gradient that explodes now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import number
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Clip the gradients"
ORDER = 70


class Clip:
    """Runs before each step of an optimiser; belongs to none, so that a copied optimiser clips its own gradients."""

    def __init__(self, norm: float) -> None:
        """Clip to this Euclidean norm of all gradients together."""
        self.norm = norm

    def __call__(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Clip."""
        import torch

        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.norm)


def _norm(prescription: Prescription) -> float:
    norm = float(prescription.parameters.get("norm", 1.0))
    if not norm > 0:
        raise TriodeError(f"clip_gradients: norm is {norm:g}; expected a positive number such as 1.")
    return norm


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    return f"Clip the gradients to norm {number(_norm(prescription))} between backward() and step()."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Clip before each step of the copied optimiser."""
    from triode.doctor.treatment import needs_optimizer

    optimizer = needs_optimizer(training, "clip_gradients")
    optimizer.register_step_pre_hook(Clip(_norm(prescription)))


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """A line before the optimiser's step."""
    source, statement, owner = program.step()
    clip = f"{source.module('torch')}.nn.utils.clip_grad_norm_"
    line = f"for group in {owner}.param_groups: {clip}(group['params'], {number(_norm(prescription))})"
    model = program.called_model(source)
    if model:
        line = f"{clip}({model}.parameters(), {number(_norm(prescription))})"
    source.insert_before(statement, line)


def snippet(history: History | None, prescription: Prescription) -> str:
    """The line between backward and step."""
    name = history.name if history and history.name.isidentifier() else "model"
    norm = number(_norm(prescription))
    return f"loss.backward()\ntorch.nn.utils.clip_grad_norm_({name}.parameters(), {norm})\noptimizer.step()"
