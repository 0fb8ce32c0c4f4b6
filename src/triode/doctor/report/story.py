"""What is told, whatever it is written on: the verdict, findings under their causes, prescriptions in words, proofs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from triode.doctor.diagnosis import Diagnosis, Finding, Prescription
from triode.doctor.history import History
from triode.doctor.report.words import capital, clean, counted, number, percent, sentence
from triode.doctor.rules._rule import Rule, rules
from triode.doctor.rules._words import called
from triode.doctor.rules._words import names as listed


@dataclass(frozen=True)
class Told:
    """A finding with what belongs to it, and under it what merely follows from it."""

    finding: Finding
    title: str
    hurts: str
    prescriptions: tuple[Advice, ...]
    follow: tuple[Told, ...] = ()

    @property
    def tree(self) -> list[Told]:
        """This one and all that follows from it, in order."""
        return [self, *(deeper for one in self.follow for deeper in one.tree)]


@dataclass(frozen=True)
class Advice:
    """A prescription in words and in code."""

    prescription: Prescription
    title: str
    words: str
    code: str
    why: str


@dataclass(frozen=True)
class Trial:
    """What retraining showed of one prescription, or of several together."""

    advices: tuple[Advice, ...]
    helped: bool
    sentence: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    measure: str
    """What `before` and `after` are: `loss`, or `skill` where the two losses are not comparable."""
    left: tuple[str, ...]
    """Diagnoses that were still found after it."""
    already: tuple[Advice, ...]
    """What had helped earlier and was in force both before and after."""

    @property
    def title(self) -> str:
        """A few words."""
        return " and ".join([self.advices[0].title, *(_small(one.title) for one in self.advices[1:])])

    @property
    def words(self) -> str:
        """What was changed, in sentences."""
        return " ".join(one.words for one in self.advices)

    @property
    def given(self) -> str:
        """A sentence about what was in force already; empty for nothing."""
        return (
            f"Both with this already: {' '.join(one.words for one in self.already)}" if self.already else ""
        )


def _small(title: str) -> str:
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def verdict(diagnosis: Diagnosis) -> str:
    """The answer in one line.

    Args:
        diagnosis: What the doctor found.

    Returns:
        A sentence: that the network is healthy and how much was checked, or the first cause.

    Examples:
        >>> verdict(Diagnosis(checked=("dead_relu", "saturated")))
        'healthy: 2 rules checked, nothing to act on'
    """
    if diagnosis.findings:
        roots = causes(diagnosis)
        first, rest = roots[0].finding, len(roots) - 1
        who = f"{clean(first.model)}: " if first.model and len(diagnosis.histories) > 1 else ""
        more = f" ({counted(rest, 'more cause')} below.)" if rest else ""
        return f"{who}{sentence(first.summary)}{more}"
    ended = next((history.exception for history in diagnosis.histories if history.exception), "")
    if ended:
        return f"no fault found that explains it, but the training ended with an error: {clean(ended)}"
    if not diagnosis.checked:
        return "no verdict: no rule had what it needs"
    return f"healthy: {counted(len(diagnosis.checked), 'rule')} checked, nothing to act on"


def causes(diagnosis: Diagnosis) -> list[Told]:
    """The findings that follow from no other, in order, each with those that follow from it."""
    findings = diagnosis.findings

    def parent(index: int) -> int:
        """The finding that this one follows from: of the same model, and never one that it explains itself."""
        mine = findings[index]
        for i, other in enumerate(findings):
            if i != index and other.diagnosis == mine.follows and other.model == mine.model:
                return i
        return -1

    parents = [parent(index) if one.follows else -1 for index, one in enumerate(findings)]
    for index in range(len(findings)):  # a circle would hide all its members
        seen, up = {index}, parents[index]
        while up >= 0 and up not in seen:
            seen.add(up)
            up = parents[up]
        if up == index:
            parents[index] = -1

    def told(index: int) -> Told:
        finding, rule = findings[index], rule_of(findings[index].diagnosis)
        history = patient(diagnosis, finding.model)
        return Told(
            finding,
            capital(rule.title if rule else finding.diagnosis.replace("_", " ")),
            rule.hurts if rule else "",
            tuple(advice(one, history) for one in finding.prescriptions),
            tuple(told(i) for i, up in enumerate(parents) if up == index),
        )

    return [told(index) for index, up in enumerate(parents) if up < 0]


def rule_of(diagnosis: str) -> Rule | None:
    """The rule of that name, if there is one."""
    return next((rule for rule in rules() if rule.diagnosis == diagnosis), None)


def titles(names: Iterable[str]) -> str:
    """What diagnoses are called, in a row.

    >>> titles(("dead_relu", "nan_or_inf"))
    'dead ReLU units, nan or infinity'
    """
    known = [(name, rule_of(name)) for name in names]
    return ", ".join(rule.title if rule else name.replace("_", " ") for name, rule in known)


def patient(diagnosis: Diagnosis, model: str) -> History | None:
    """The history of the model of that name; of the only one where no name is given."""
    named = [history for history in diagnosis.histories if history.name == model]
    return next(iter(named or diagnosis.histories), None)


def advice(prescription: Prescription, history: History | None) -> Advice:
    """A prescription in words and in code, as far as its remedy has them."""
    title, words, code = prescription.kind.replace("_", " "), "", ""
    remedy = _remedy(prescription.kind)
    if remedy is not None:
        title = str(getattr(remedy, "title", "") or title)
        words = _asked(remedy, "words", history, prescription)
        code = _asked(remedy, "code", history, prescription)
    if not words:
        words = _call(prescription)
    return Advice(prescription, capital(title), sentence(words), code.strip("\n"), sentence(prescription.why))


def _remedy(kind: str) -> Any:
    try:
        from triode.doctor.remedies import REMEDIES
    except ImportError:  # a report may be written where no framework is installed
        return None
    return REMEDIES.get(kind)


def _asked(remedy: Any, what: str, history: History | None, prescription: Prescription) -> str:
    ask = getattr(remedy, what, None)
    if ask is None:
        return ""
    try:
        return str(ask(history, prescription) or "")
    # The source may have moved or changed since; one missing patch must not lose the report.
    except Exception:  # noqa: BLE001 - see above
        return ""


def _call(prescription: Prescription) -> str:
    """`lower rate (factor 10)`."""
    pairs = [f"{clean(name)} {_written(value)}" for name, value in prescription.parameters.items()]
    return prescription.kind.replace("_", " ") + (f" ({', '.join(pairs)})" if pairs else "")


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value))
    return f"{value:.3g}" if isinstance(value, float) else clean(value)


def trials(diagnosis: Diagnosis) -> list[Trial]:
    """What retraining showed, in the order in which the prescriptions were tried."""
    found = []
    for proof in diagnosis.proofs:
        together = tuple(getattr(proof, "prescriptions", ()) or (proof.prescription,))
        owner = next((f.model for f in diagnosis.findings if proof.prescription in f.prescriptions), "")
        history = patient(diagnosis, owner)
        measure, before, after = _compared(proof.before, proof.after)
        found.append(
            Trial(
                tuple(advice(one, history) for one in together),
                bool(proof.helped),
                sentence(str(getattr(proof, "sentence", "") or "")),
                before,
                after,
                measure,
                tuple(_names(getattr(proof, "findings_after", ()) or ())),
                tuple(advice(one, history) for one in getattr(proof, "accepted", ())),
            )
        )
    return found


def _compared(before: Any, after: Any) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    """The curves to show: losses, or how good the predictions were where the losses are two different functions."""
    changed = getattr(before, "loss", "") != getattr(after, "loss", "")
    if changed and getattr(before, "skills", ()) and getattr(after, "skills", ()):
        return "skill", _curve(before.skills), _curve(after.skills)
    return "loss", _curve(before), _curve(after)


def _curve(given: Any) -> tuple[float, ...]:
    values = getattr(given, "losses", given)
    return tuple(float(value) for value in values) if values is not None else ()


def _names(findings: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(getattr(finding, "diagnosis", finding)) for finding in findings))


def facts(history: History) -> list[tuple[str, str]]:
    """What was examined: name and value of each fact that is known."""
    rates = [rate for rate in history.rates if rate == rate]
    rate = f" at {rates[0]:.3g}" if rates else ""
    if rates and rates[-1] != rates[0]:
        rate += f" to {rates[-1]:.3g}"
    passes = len(set(history.epochs))
    over = f" in {counted(passes, 'pass', 'passes')} over the data" if history.epochs_known and passes else ""
    known = [
        ("parameters", f"{history.parameters:,}" if history.parameters else ""),
        ("loss", history.loss.name.replace("_", " ")),
        ("optimiser", f"{history.optimizer}{rate}" if history.optimizer else ""),
        ("training", f"{counted(history.steps, 'step')}{over}" if history.steps else "not trained"),
        ("framework", history.framework),
    ]
    return [(name, clean(value)) for name, value in known if value]


def about(history: History) -> str:
    """The same on one line."""
    words = {"parameters": "{} parameters", "loss": "loss {}"}
    return " · ".join(words.get(name, "{}").replace("{}", value) for name, value in facts(history))


def watching(histories: Sequence[History]) -> str:
    """What the watching cost; empty where it was not measured."""
    # Several models of one training were watched together: each history tells of the whole.
    seconds = max((history.seconds for history in histories), default=0.0)
    once = max((history.setup_seconds for history in histories), default=0.0)
    own = max((history.own_seconds for history in histories), default=0.0) - once
    if not seconds > once:
        return ""
    start = f", and {number(once)} s once at the start" if once >= 0.05 else ""
    share = percent(own / (seconds - once))
    return f"Watching took {number(own)} s of {number(seconds)} s, {share} of the time{start}."


def limits(histories: Sequence[History]) -> list[str]:
    """Sentences about what could not be seen, each once."""
    many = len(histories) > 1
    said = [
        (f"{clean(history.name)}: {sentence(line)}" if many else sentence(line))
        for history in histories
        for line in history.limits
    ]
    return list(dict.fromkeys(said))


def errors(histories: Sequence[History]) -> list[str]:
    """How training ended where it ended badly: the error, and the first number that was not one."""
    lines = []
    for history in histories:
        who = f"{clean(history.name)}: " if len(histories) > 1 else ""
        bad = history.nonfinite
        if bad is not None:
            by = f", made by {clean(bad.operation)}" if bad.operation else ""
            # That a parameter, an input or a target is not finite is all that theirs says.
            of = f" ({clean(bad.explanation)})" if bad.explanation and by else ""
            at = " ".join(
                filter(None, (f"in {called(clean(bad.layer))}" if bad.layer else "", clean(bad.where)))
            )
            lines.append(
                f"{who}The first {bad.value} was met in step {bad.step + 1}: {bad.what}{by}{of} {at}".strip()
                + "."
            )
        if history.exception:
            lines.append(f"{who}The training ended with an error: {clean(history.exception)}")
    return lines


def checked(diagnosis: Diagnosis) -> str:
    """One sentence: what was checked."""
    names = [name.replace("_", " ") for name in diagnosis.checked]
    if not names:
        return "No rule had what it needs."
    need = "it needs" if len(names) == 1 else "they need"
    return f"{counted(len(names), 'rule')} had what {need}: {listed(names, most=99)}."
