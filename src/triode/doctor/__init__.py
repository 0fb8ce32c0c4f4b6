"""The doctor: finds what ails a network that will not train, shows the evidence, and says what to change.

    import triode
    diagnosis = triode.doctor.examine(model, batches, loss_fn, optimizer, epochs=3)
    diagnosis.findings, diagnosis.healthy

Importing this package imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.diagnosis import Diagnosis, Finding, Note, Prescription
    from triode.doctor.examination import examine, watch
    from triode.doctor.history import History
    from triode.doctor.linting import lint
    from triode.doctor.proof import prove
    from triode.doctor.rules._rule import Rule
    from triode.doctor.treatment import Training, treat

_HOMES = {
    "Diagnosis": "diagnosis",
    "Finding": "diagnosis",
    "Note": "diagnosis",
    "Prescription": "diagnosis",
    "History": "history",
    "Rule": "rules._rule",
    "Training": "treatment",
    "examine": "examination",
    "lint": "linting",
    "prove": "proof",
    "treat": "treatment",
    "watch": "examination",
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
    "explain",
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


def explain(diagnosis: str) -> Rule:
    """What a diagnosis means, why it hurts, the evidence that it needs, and what to do.

    Args:
        diagnosis: One of :func:`diagnoses`.

    Returns:
        The rule: its ``title``, ``means``, ``hurts``, ``needs`` and ``fix`` are sentences.

    Raises:
        TriodeError: For a word that is no diagnosis.

    Examples:
        >>> explain("dead_relu").title
        'dead ReLU units'
    """
    from triode.doctor.rules._rule import rules

    for rule in rules():
        if rule.diagnosis == diagnosis:
            return rule
    raise TriodeError(f"{diagnosis!r} is no diagnosis; expected one of {', '.join(diagnoses())}.")


def __getattr__(name: str) -> Any:
    """A public name, its module loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
