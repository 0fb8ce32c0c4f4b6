"""From rules to a diagnosis: ranks, what follows from what, several patients, and rules that fail."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from collections.abc import Callable

import pytest

from triode.doctor.diagnose import diagnose, explains_exception
from triode.doctor.diagnosis import Diagnosis, Finding, Note
from triode.doctor.history import History
from triode.doctor.rules import loss_not_decreasing
from triode.doctor.rules._rule import Rule, rules

module = importlib.import_module("triode.doctor.diagnose")  # the package may export the function by this name

Check = Callable[[History], Finding | Note | None]


def rule(
    name: str, rank: int, causes: tuple[str, ...] = (), check: Check | None = None, lack: str = ""
) -> Rule:
    def found(history: History) -> Finding:
        return Finding(name, f"{name} of {history.name}.")

    return Rule(name, "", "", "", "", "", rank, causes, check or found, lambda history: lack)


@pytest.fixture
def with_rules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda *some: monkeypatch.setattr(module, "rules", lambda: some)


def order(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(finding.diagnosis, finding.follows) for finding in diagnosis.findings]


def test_causes_come_before_what_follows_from_them(with_rules: Callable[..., None]) -> None:
    with_rules(rule("loss", 50, ("input", "rate")), rule("rate", 42), rule("input", 60))
    # The loss outranks the inputs, but follows from them.
    assert order(diagnose([History()])) == [("rate", ""), ("input", ""), ("loss", "input")]


def test_a_cause_that_was_not_found_is_not_named(with_rules: Callable[..., None]) -> None:
    with_rules(rule("loss", 50, ("nothing", "rate")), rule("rate", 42))
    assert order(diagnose([History()])) == [("rate", ""), ("loss", "rate")]


def test_rules_that_name_each_other_do_not_go_round_for_ever(with_rules: Callable[..., None]) -> None:
    with_rules(rule("a", 1, ("b",)), rule("b", 2, ("a",)))
    assert order(diagnose([History()])) == [("a", ""), ("b", "a")]


def test_a_rule_that_fails_loses_no_other(with_rules: Callable[..., None]) -> None:
    def broken(history: History) -> Finding:
        raise ZeroDivisionError("division by zero")

    with_rules(
        rule("broken", 1, check=broken), rule("whole", 2), rule("blind", 3, lack="nothing was trained")
    )
    diagnosis = diagnose([History()])
    assert order(diagnosis) == [("whole", "")]
    assert diagnosis.checked == ("whole",)
    assert "ZeroDivisionError: division by zero" in diagnosis.unchecked["broken"]
    assert diagnosis.unchecked["blind"] == "nothing was trained"


def test_each_patient_has_its_own_findings_and_causes(with_rules: Callable[..., None]) -> None:
    def only_generator(history: History) -> Finding | None:
        return Finding("rate", "Too high.") if history.name == "generator" else None

    with_rules(rule("rate", 1, check=only_generator), rule("loss", 2, ("rate",)))
    found = diagnose([History(name="generator"), History(name="critic")])
    assert [(f.model, f.diagnosis, f.follows) for f in found.findings] == [
        ("generator", "rate", ""),
        ("generator", "loss", "rate"),
        ("critic", "loss", ""),
    ]


def test_notes_are_kept_apart(with_rules: Callable[..., None]) -> None:
    with_rules(rule("dead", 1, check=lambda history: Note("dead", "A few.")))
    found = diagnose([History(name="net")])
    assert found.healthy
    assert [(note.model, note.text) for note in found.notes] == [("net", "A few.")]


def test_adversaries_are_not_asked_for_a_falling_loss() -> None:
    names = [
        each.diagnosis for each in rules() if getattr(sys.modules[each.check.__module__], "ALONE", False)
    ]
    assert names == ["loss_not_decreasing"]
    long = {"losses": [0.7] * 300, "trained": True}
    together = diagnose([History(name="generator", **long), History(name="critic", **long)])
    assert "2 models" in together.unchecked["loss_not_decreasing"]
    assert "loss_not_decreasing" in diagnose([History(**long)]).checked


def test_every_rule_is_either_checked_or_says_why_not() -> None:
    empty = diagnose([History()])
    assert {*empty.checked, *empty.unchecked} == {each.diagnosis for each in rules()}
    assert not {*empty.checked} & {*empty.unchecked}
    assert "nothing was trained" in empty.unchecked["loss_not_decreasing"]
    assert empty.healthy


def test_every_cause_that_a_rule_names_is_a_rule() -> None:
    known = {each.diagnosis for each in rules()}
    unknown = {(each.diagnosis, cause) for each in rules() for cause in each.causes if cause not in known}
    assert not unknown
    assert loss_not_decreasing.CAUSES


def test_only_a_finding_of_the_same_model_that_quotes_an_error_explains_it() -> None:
    error = "RuntimeError: between 0 and 1"

    def told(model: str, *evidence: str) -> Diagnosis:
        finding = Finding(
            "missing_softmax", "Raw scores.", confidence="certain", evidence=evidence, model=model
        )
        return Diagnosis((finding,), histories=(History(name="net", exception=error),))

    assert explains_exception(told("net", f"The training ended with {error!r}."))
    assert not explains_exception(told("net", "The scores reach 3.1."))
    assert not explains_exception(told("critic", f"The training ended with {error!r}."))
    assert explains_exception(Diagnosis(histories=(History(),)))


def test_a_history_full_of_nan_breaks_no_rule() -> None:
    lost = History(losses=[math.nan] * 300, rates=[math.nan] * 300, overshoot=[math.nan], trained=True)
    assert not [why for why in diagnose([lost]).unchecked.values() if "failed" in why]


def test_no_rule_needs_a_framework() -> None:
    code = "import sys, triode.doctor.diagnose as d; d.diagnose([d.History()]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
