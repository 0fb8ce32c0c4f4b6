"""From what was seen to what is said: every rule asked, findings ranked by cause."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from triode.doctor.diagnosis import Diagnosis, Finding, Note
from triode.doctor.history import History
from triode.doctor.rules._rule import Rule, rules


def diagnose(histories: Sequence[History]) -> Diagnosis:
    """Ask every rule of every history, and put causes before what follows from them.

    Args:
        histories: What was seen, one for each model that an optimiser trained.

    Returns:
        The findings of all models, ranked by cause; a finding that merely follows from another of the same model
        names it in `follows` and comes after it. A rule that fails is listed among the unchecked, and the others
        are heard all the same.

    Examples:
        >>> from triode.doctor.history import History
        >>> diagnose([History(losses=[0.7, 0.6], trained=True)])
        <Diagnosis: healthy, ... rules checked, 0 notes>
    """
    findings: list[Finding] = []
    notes: list[Note] = []
    checked: dict[str, None] = {}
    unchecked: dict[str, str] = {}
    for history in histories:
        found: list[Finding] = []
        for rule in rules():
            lack, answer = _ask(rule, history, len(histories))
            if lack:
                unchecked.setdefault(rule.diagnosis, lack)
                continue
            checked[rule.diagnosis] = None
            if isinstance(answer, Finding):
                found.append(replace(answer, model=history.name))
            elif isinstance(answer, Note):
                notes.append(replace(answer, model=history.name))
        findings += _by_cause(found)
    # What could be asked of one model counts as checked, even if another lacked what it needs.
    lacking = {name: why for name, why in unchecked.items() if name not in checked}
    ranks = {rule.diagnosis: rank for rank, rule in enumerate(rules())}
    return Diagnosis(
        tuple(findings),
        tuple(notes),
        tuple(histories),
        tuple(sorted(checked, key=ranks.__getitem__)),
        {name: lacking[name] for name in sorted(lacking, key=ranks.__getitem__)},
    )


def explains_exception(diagnosis: Diagnosis) -> bool:
    """Whether an error that ended a training is accounted for by what was found in the same model.

    A finding explains an error that it quotes as its evidence. Being certain is not enough: a softmax too many accounts
    for no missing key and no full memory.
    """
    for history in diagnosis.histories:
        if history.exception and not any(
            finding.model == history.name
            and any(repr(history.exception) in said for said in finding.evidence)
            for finding in diagnosis.findings
        ):
            return False
    return True


def _ask(rule: Rule, history: History, patients: int) -> tuple[str, Finding | Note | None]:
    """What the rule lacks, and what it says."""
    if patients > 1 and _declares(rule, "ALONE"):
        return f"{patients} models were trained together, and one may hold another where it is", None
    try:
        lack = rule.unable(history)
        return (lack, None) if lack else ("", rule.check(history))
    except Exception as error:  # noqa: BLE001 - a fault in one rule must not cost the patient the other answers
        return f"the rule failed ({type(error).__name__}: {error})", None


def _declares(rule: Rule, name: str) -> bool:
    """Whether the module of the rule sets this constant."""
    return bool(getattr(sys.modules[rule.check.__module__], name, False))


def _by_cause(found: list[Finding]) -> list[Finding]:
    """Say of each finding what it follows from, and place it after that; the rank decides among the rest."""
    present = {finding.diagnosis for finding in found}
    causes = {rule.diagnosis: rule.causes for rule in rules()}
    ranks = {rule.diagnosis: (rule.rank, rule.diagnosis) for rule in rules()}
    symptoms = {rule.diagnosis for rule in rules() if _declares(rule, "SYMPTOM")}
    named = []
    for finding in found:
        follows = next((cause for cause in causes.get(finding.diagnosis, ()) if cause in present), "")
        named.append(replace(finding, follows=follows))
        if follows and finding.diagnosis in symptoms:
            named[-1] = replace(named[-1], prescriptions=())
    placed: list[Finding] = []
    waiting = sorted(named, key=lambda finding: ranks[finding.diagnosis])
    while waiting:
        said = {finding.diagnosis for finding in placed}
        # Two rules that name each other as cause would wait for ever: then the rank decides.
        following = next((f for f in waiting if not f.follows or f.follows in said), waiting[0])
        if following.follows and following.follows not in said:
            following_as_cause = replace(following, follows="")
            waiting[waiting.index(following)] = following_as_cause
            following = following_as_cause
        placed.append(following)
        waiting.remove(following)
    return placed
