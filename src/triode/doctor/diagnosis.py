"""What the doctor says: findings with their causes and prescriptions, and observations that are no faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from triode.doctor.history import History

Severity = Literal["critical", "serious", "moderate"]
Confidence = Literal["certain", "likely", "possible"]


@dataclass(frozen=True)
class Prescription:
    """One thing to change. `kind` names a remedy of :mod:`triode.doctor.remedies`; `parameters` are its arguments."""

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    """One sentence."""


@dataclass(frozen=True)
class Finding:
    """A fault to act on.

    Attributes:
        diagnosis: One of the identifiers of :func:`triode.doctor.diagnoses`.
        model: Name of the patient it was found in.
        layer: The first layer or site that shows it; "" for the whole network.
        severity: How much it hurts.
        confidence: `certain` for what follows from the program itself, `likely` and `possible` for what was measured.
        summary: The cause, in one sentence.
        evidence: What was measured, a sentence each.
        places: The layers or sites concerned.
        prescriptions: What to do, the best first.
        follows: The diagnosis that this one merely follows from; "" for a cause.
    """

    diagnosis: str
    summary: str
    layer: str = ""
    severity: Severity = "serious"
    confidence: Confidence = "likely"
    evidence: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    prescriptions: tuple[Prescription, ...] = ()
    follows: str = ""
    model: str = ""


@dataclass(frozen=True)
class Note:
    """An observation that is no fault."""

    diagnosis: str
    text: str
    places: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The doctor's answer.

    Attributes:
        findings: Faults to act on, the cause first; what merely follows from one comes after it (`Finding.follows`).
        notes: Observations that are no faults.
        histories: What was seen, one for each model that an optimiser trains.
        checked: Identifiers of the rules that had what they need.
        unchecked: Identifier of each rule that had not, with a sentence that says why.
        proofs: What retraining showed of the prescriptions; empty where nothing was retrained.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    histories: tuple[History, ...] = ()
    checked: tuple[str, ...] = ()
    unchecked: Mapping[str, str] = field(default_factory=dict)
    proofs: tuple[Any, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to act on."""
        return not self.findings

    @property
    def prescriptions(self) -> tuple[Prescription, ...]:
        """The prescriptions of all findings, those of the cause first, each once."""
        found: list[Prescription] = []
        for finding in self.findings:
            for prescription in finding.prescriptions:
                if not any(
                    p.kind == prescription.kind and dict(p.parameters) == dict(prescription.parameters)
                    for p in found
                ):
                    found.append(prescription)
        return tuple(found)

    def with_proofs(self, proofs: tuple[Any, ...]) -> Diagnosis:
        """The same diagnosis with what retraining showed."""
        return replace(self, proofs=proofs)

    def __repr__(self) -> str:
        if self.healthy:
            return f"<Diagnosis: healthy, {len(self.checked)} rules checked, {len(self.notes)} notes>"
        return f"<Diagnosis: {', '.join(finding.diagnosis for finding in self.findings)}>"

    def _repr_html_(self) -> str:
        from triode.doctor.report.html import fragment

        return fragment(self)
