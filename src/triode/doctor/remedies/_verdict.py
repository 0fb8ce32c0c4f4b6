"""Whether a treatment helped, from two trainings: by what the predictions are worth, and by the symptoms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History
from triode.doctor.remedies import REMEDIES
from triode.doctor.remedies._words import plural
from triode.doctor.rules._rule import rules

LEARNED = 0.9
"""Skill from which on two trainings are compared by how soon they were good, not only by how good they are."""
CHANGES_LOSS = ("change_loss", "scale_targets")


@dataclass(frozen=True)
class Curve:
    """One training of a copy.

    Attributes:
        losses: One for each step.
        skills: What each step's predictions were worth, from -1 to 1: 0 the best constant prediction, 1 perfect.
        measure: accuracy, R² or loss.
        value: The measure at the end, in evaluation mode; nan where training failed.
        skill: The same on the common scale.
        loss: Name of the loss.
        findings: Diagnoses found.
        history: What was seen.
        error: The error that ended it; "" for none.
        refused: Why the copy could not be treated; "" where it could.
        stopped: Whether time ran out.
    """

    losses: tuple[float, ...] = ()
    skills: tuple[float, ...] = ()
    measure: str = "loss"
    value: float = math.nan
    skill: float = math.nan
    loss: str = ""
    findings: tuple[str, ...] = ()
    history: History | None = field(default=None, repr=False, compare=False)
    error: str = ""
    refused: str = ""
    stopped: bool = False


@dataclass(frozen=True)
class Proof:
    """What retraining showed of a prescription, as plain data.

    Attributes:
        prescription: The (last) prescription that was tried.
        helped: Whether the finding is gone or much weaker and the predictions are better.
        before: The training without it.
        after: The training with it.
        findings_after: Diagnoses that are found with it.
        sentence: What was seen.
        prescriptions: All that were tried together.
        finding: The diagnosis that they are for.
        accepted: Prescriptions that had helped earlier and stay in force, before and after.
        seed: Of the random numbers of both.
    """

    prescription: Prescription
    helped: bool
    before: Curve
    after: Curve
    findings_after: tuple[str, ...] = ()
    sentence: str = ""
    prescriptions: tuple[Prescription, ...] = ()
    finding: str = ""
    accepted: tuple[Prescription, ...] = ()
    seed: int = 0


def judge(
    finding: Finding,
    several: tuple[Prescription, ...],
    before: Curve,
    after: Curve,
    accepted: tuple[Prescription, ...] = (),
) -> Proof:
    """Compare two trainings.

    Args:
        finding: What the prescriptions are for.
        several: They.
        before: Without them.
        after: With them.
        accepted: What holds for both.
    """
    if after.refused or after.error:
        why = f"could not be applied: {after.refused}" if after.refused else f"led to an error: {after.error}"
        return Proof(
            several[-1],
            False,
            before,
            after,
            after.findings,
            f"{_names(several)} {why.rstrip('.')}.",
            several,
            finding.diagnosis,
            accepted,
        )
    symptom = symptom_of(finding.diagnosis, before, after)
    comparable, good = better(before, after, several)
    helped = symptom != "stays" and (good or (not comparable and symptom == "gone"))
    seen = _symptom_words(finding.diagnosis, symptom)
    worth = _worth(before, after, comparable, good)
    ground = "same weights, data and seed"
    steps = plural(len(after.losses), "step")
    verdict = "helped" if helped else "did not help"
    return Proof(
        several[-1],
        helped,
        before,
        after,
        after.findings,
        f"{_names(several)} {verdict}: {seen}, {worth} ({steps}, {ground}).",
        several,
        finding.diagnosis,
        accepted,
    )


def better(before: Curve, after: Curve, several: Sequence[Prescription]) -> tuple[bool, bool]:
    """(Whether the two can be compared, whether the second is better)."""
    if after.measure != "loss":
        a = before.skill if before.skill == before.skill else -1.0
        b = after.skill if after.skill == after.skill else -1.0
        if b < 0.02:  # still no better than a constant
            return True, False
        if b - a >= max(0.02, 0.1 * (1 - max(a, 0.0))):
            return True, True
        if a >= LEARNED and b >= a - 0.02:
            return True, _mean(after.skills) - _mean(before.skills) >= 0.02
        return True, False
    if any(each.kind in CHANGES_LOSS for each in several) or (
        before.loss and after.loss and before.loss != after.loss
    ):
        return False, False
    a, b = _end(before.losses), _end(after.losses)
    start = before.losses[0] if before.losses else math.nan
    if not math.isfinite(a):
        return True, math.isfinite(b)
    scale = abs(start) if math.isfinite(start) and start else max(abs(a), 1e-12)
    return True, math.isfinite(b) and a - b >= 0.02 * min(scale, 50 * abs(a) + 1e-12)


def symptom_of(diagnosis: str, before: Curve, after: Curve) -> str:
    """`gone`, `less` (at most half as strong), `stays`, or `unseen`: the untreated copy did not show it either."""
    if diagnosis not in after.findings:
        return "gone" if diagnosis in before.findings else "unseen"
    a, b = strength(diagnosis, before.history), strength(diagnosis, after.history)
    return "less" if math.isfinite(a) and math.isfinite(b) and b <= a / 2 else "stays"


def strength(diagnosis: str, history: History | None) -> float:
    """How strong a symptom is, as a number that halves when it is half as bad; nan where no number says it."""
    if history is None:
        return math.nan
    last = [(site, site.last) for site in history.hidden() if site.last is not None]
    if diagnosis == "dead_relu":
        return _pooled([figures.dead for site, figures in last if figures is not None and site.can_die])
    if diagnosis == "saturated":
        return _pooled([figures.flat for site, figures in last if figures is not None and site.bounded])
    if diagnosis in ("vanishing_gradient", "sigmoid_hidden", "exploding_gradient"):
        layers = [layer for layer in history.weight_layers() if layer.gradient]
        if len(layers) < 2:
            return math.nan
        first, final = (float(np.median(layer.gradient_rms)) for layer in (layers[0], layers[-1]))
        if not (first > 0 and final > 0):
            return math.inf
        return abs(math.log10(first / final))  # decades between the ends
    return math.nan


def _pooled(masks: list[NDArray[np.bool_]]) -> float:
    every = [mask for mask in masks if mask.size]
    return float(np.concatenate(every).mean()) if every else math.nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else -1.0


def _end(losses: Sequence[float]) -> float:
    """Mean of the last tenth."""
    last = losses[-max(len(losses) // 10, 1) :]
    return float(np.mean(last)) if last else math.nan


def _names(several: Sequence[Prescription]) -> str:
    """`Lowering the learning rate and inserting batch normalisation`: titles as the subject of a sentence."""
    titles = [REMEDIES[p.kind].title if p.kind in REMEDIES else p.kind.replace("_", " ") for p in several]
    doing = [_doing(title) for title in dict.fromkeys(titles)]
    said = f"{', '.join(doing[:-1])} and {doing[-1]}" if len(doing) > 1 else doing[0]
    return said[:1].upper() + said[1:]


def _doing(title: str) -> str:
    """`lowering the learning rate` of `Lower the learning rate`.

    >>> _doing("Clip the gradients"), _doing("Change the loss")
    ('clipping the gradients', 'changing the loss')
    """
    verb, _, rest = title.partition(" ")
    verb = verb.lower()
    stem = verb[:-1] if verb.endswith("e") else verb + "p" if verb == "clip" else verb
    return f"{stem}ing {rest}".rstrip()


def _symptom_words(diagnosis: str, symptom: str) -> str:
    titles = {rule.diagnosis: rule.title for rule in rules()}
    name = f"'{titles.get(diagnosis, diagnosis.replace('_', ' '))}'"
    return {
        "gone": f"the finding {name} is gone",
        "less": f"the finding {name} is at most half as strong",
        "stays": f"the finding {name} is still there",
        "unseen": f"the fault {name} was not seen in so few steps, with or without the change",
    }[symptom]


def _worth(before: Curve, after: Curve, comparable: bool, good: bool) -> str:
    if not comparable:
        return f"and {before.loss or 'the old loss'} and {after.loss or 'the new one'} cannot be compared"
    if after.measure == "loss":
        a, b = _end(before.losses), _end(after.losses)
        than = "instead of" if good else "not clearly better than"
        return f"and the loss ends at {b:.3g}, {than} {a:.3g}"
    old, new = _shown(before), _shown(after)
    if good and abs(after.value - before.value) < 0.005:
        return f"and {after.measure} reaches {new} sooner"
    return (
        f"and {after.measure} is {new} instead of {old}"
        if good
        else f"and {after.measure} is {new}, {old} without it"
    )


def _shown(curve: Curve) -> str:
    if curve.value != curve.value:
        return "nothing (training failed)" if curve.error else "not a number"
    return f"{curve.value:.1%}" if curve.measure == "accuracy" else f"{curve.value:.2f}"
