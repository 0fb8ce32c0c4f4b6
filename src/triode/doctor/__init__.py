"""The doctor: finds what ails a network that will not train, shows the evidence, and says what to change.

    import triode
    diagnosis = triode.doctor.examine(model, batches, loss_fn, optimizer, epochs=3)
    diagnosis.findings, diagnosis.healthy

Importing this package imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triode.doctor.diagnosis import Diagnosis, Finding, Note, Prescription
    from triode.doctor.examine import examine, watch
    from triode.doctor.history import History
    from triode.doctor.lint import lint
    from triode.doctor.prove import prove
    from triode.doctor.rules._rule import Rule, rules
    from triode.doctor.treat import Training, treat

_HOMES = {
    "Diagnosis": "diagnosis",
    "Finding": "diagnosis",
    "Note": "diagnosis",
    "Prescription": "diagnosis",
    "History": "history",
    "Rule": "rules._rule",
    "rules": "rules._rule",
    "Training": "treat",
    "examine": "examine",
    "lint": "lint",
    "prove": "prove",
    "treat": "treat",
    "watch": "examine",
}
__all__ = [
    "Diagnosis",
    "Finding",
    "History",
    "Note",
    "Prescription",
    "Rule",
    "Training",
    "diagnoses",
    "examine",
    "lint",
    "prove",
    "treat",
    "watch",
]


def diagnoses() -> tuple[str, ...]:
    """Identifiers of all diagnoses, causes before symptoms.

    >>> diagnoses()[0]
    'softmax_single_unit'
    """
    from triode.doctor.rules._rule import rules

    return tuple(rule.diagnosis for rule in rules())


def __getattr__(name: str) -> Any:
    """A public name, its module loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A function and its module may share a name (examine, treat): the function is what is meant.
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
