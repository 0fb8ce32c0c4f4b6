"""What lowering and raising the learning rate share."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import first_rate, number
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training


def factor(prescription: Prescription) -> float:
    """The factor, checked."""
    value = float(prescription.parameters.get("factor", 10.0))
    if not 0 < value < float("inf"):
        raise TriodeError(f"{prescription.kind}: factor is {value:g}; expected a positive number such as 10.")
    return value


def scale(training: Training, prescription: Prescription, by: float) -> None:
    """Multiply the rate of every group."""
    import torch

    from triode.doctor.treatment import needs_optimizer

    optimizer = needs_optimizer(training, prescription.kind)
    for group in optimizer.param_groups:
        for key in ("lr", "initial_lr"):
            rate: Any = group.get(key)
            if isinstance(rate, (float, int, torch.Tensor)):
                group[key] = rate * by
            elif key == "lr":
                raise TriodeError(
                    f"{type(optimizer).__name__} has the learning rate {rate!r}; expected a number that can be scaled."
                )


def said(history: History | None, prescription: Prescription, by: float, verb: str) -> str:
    """The change in words."""
    rate = first_rate(history)
    change = f": {number(rate)} becomes {number(rate * by)}" if rate else ""
    return f"{verb} the learning rate by {number(factor(prescription))}{change}."


def lines(history: History | None, by: float) -> str:
    """The change in code."""
    rate, name = first_rate(history), (history.optimizer if history else "") or "Adam"
    value = number(rate * by) if rate else "..."
    return f"optimizer = torch.optim.{name}(model.parameters(), lr={value})"


def rewrite(program: Program, history: History, by: float) -> None:
    """Change the rate where the optimiser is constructed."""
    source, call = program.constructor((history.optimizer,))
    given = next((each.value for each in call.keywords if each.arg == "lr"), None)
    if given is None and len(call.args) > 1:
        given = call.args[1]
    if given is None:
        rate = first_rate(history)
        if rate is None:
            raise LookupError("the rate is not in the call")
        source.append_argument(call, f"lr={number(rate * by)}")
    elif isinstance(given, ast.Constant) and isinstance(given.value, (int, float)):
        source.replace(given, number(given.value * by))
    else:
        text = source.text_of(given)
        text = text if isinstance(given, (ast.Name, ast.Attribute, ast.Subscript)) else f"({text})"
        source.replace(given, f"{text} / {number(1 / by)}" if by < 1 else f"{text} * {number(by)}")
