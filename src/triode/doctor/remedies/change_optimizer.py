"""Another optimiser over the same parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import number
from triode.errors import TriodeError, nearest

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Change the optimiser"
ORDER = 75
RATES = {"SGD": 0.01, "RMSprop": 1e-3, "Adagrad": 1e-2}
"""Rates to start with; 0.001 for all others."""


def _given(prescription: Prescription) -> tuple[str, float]:
    name = str(prescription.parameters.get("to", "Adam"))
    return name, float(prescription.parameters.get("lr", RATES.get(name, 1e-3)))


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    name, rate = _given(prescription)
    before = f" in place of {history.optimizer}" if history and history.optimizer else ""
    return f"Train with {name} at a rate of {number(rate)}{before}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Build it over the copied parameters, group by group."""
    import torch

    from triode.doctor.treatment import needs_optimizer

    old = needs_optimizer(training, "change_optimizer")
    wanted, rate = _given(prescription)
    classes = {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    kind = classes.get(wanted.lower())
    if kind is None:
        raise TriodeError(f"PyTorch has no optimiser {wanted!r}{nearest(wanted, classes)}.")
    groups = [
        {
            "params": group["params"],
            **({"weight_decay": group["weight_decay"]} if "weight_decay" in group else {}),
            "lr": rate,
        }
        for group in old.param_groups
    ]
    training.optimizer = kind(groups)  # type: ignore[call-arg]


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change the class and the rate; options that only the old one knows go."""
    name, rate = _given(prescription)
    source, call = program.constructor((history.optimizer,))
    owner = source.text_of(call.func).rpartition(".")[0] or f"{source.module('torch')}.optim"
    keep = [source.text_of(each) for each in call.args[:1]]
    keep += [f"params={source.text_of(each.value)}" for each in call.keywords if each.arg == "params"]
    keep += [
        f"weight_decay={source.text_of(each.value)}" for each in call.keywords if each.arg == "weight_decay"
    ]
    source.replace(call, f"{owner}.{name}({', '.join([*keep, f'lr={number(rate)}'])})")


def snippet(history: History | None, prescription: Prescription) -> str:
    """The new optimiser."""
    name, rate = _given(prescription)
    return f"optimizer = torch.optim.{name}(model.parameters(), lr={number(rate)})"
