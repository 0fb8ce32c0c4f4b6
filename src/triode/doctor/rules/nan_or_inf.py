"""A value that is not a number, or infinite, entered the computation: what made it first."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History, NonFinite
from triode.doctor.rules._words import called, plural

TITLE = "nan or infinity"
MEANS = "An operation with finite inputs gave a result that is not a number, or infinite; everything after it is lost."
HURTS = "One nan in a gradient makes every weight it reaches nan; no later step can repair that."
NEEDS = "A value that is not finite in the loss, an activation, a gradient, a parameter or the data."
FIX = (
    "Cure what made it: clean the data; use a loss that takes raw scores instead of a logarithm of one's own; "
    "lower the rate; initialise as He did; clip gradients."
)
RANK = 40
CAUSES: tuple[str, ...] = (
    "missing_softmax",
    "softmax_before_ce",
    "relu_output",
    "input_not_scaled",
    "bad_init",
    "exploding_gradient",
)


def check(history: History) -> Finding | Note | None:
    """Name the first operation whose result was not finite, unless nothing came of it."""
    found = history.nonfinite
    if found is None:
        lost = next((step for step, loss in enumerate(history.losses) if not math.isfinite(loss)), None)
        if lost is None:
            return None
        found = NonFinite(lost, "loss", "nan" if math.isnan(history.losses[lost]) else "inf")
    if _passed(history, found):
        if found.what == "gradient":
            # A gradient scaler of mixed precision looks for its scale in this way, and skips those steps.
            return Note(
                "nan_or_inf",
                f"A gradient was not finite in step {found.step + 1}, and training went on unharmed.",
            )
        return None  # a mask of minus infinity before a softmax, as attention has it
    summary = _summary(found)
    evidence = []
    lost_losses = sum(not math.isfinite(loss) for loss in history.losses)
    if lost_losses:
        evidence.append(
            f"{lost_losses} of {plural(history.steps, 'loss', 'losses')} "
            f"{'was' if lost_losses == 1 else 'were'} not finite."
        )
    if found.step > 0:
        before = [loss for loss in history.losses[: found.step + 1] if math.isfinite(loss)]
        if before:
            evidence.append(f"Until then the loss went from {before[0]:.4g} to {before[-1]:.4g}.")
    return Finding(
        "nan_or_inf",
        summary,
        layer=found.layer,
        severity="critical",
        confidence="certain",
        evidence=tuple(evidence),
        places=(found.layer,) if found.layer else (),
        prescriptions=_prescriptions(history, found),
    )


def _passed(history: History, found: NonFinite) -> bool:
    """Whether training went on as if nothing had been: then the value was meant, or was dealt with."""
    if found.what not in ("activation", "gradient") or (found.value == "nan" and found.what == "activation"):
        return False
    after = history.losses[found.step :]
    return len(after) > 1 and all(math.isfinite(loss) for loss in history.losses)


def _summary(found: NonFinite) -> str:
    """Where the first value that is not finite came from, as a sentence."""
    step = f"step {found.step + 1}"
    if found.what in ("input", "target"):
        given = "an input of the model" if found.what == "input" else "a target"
        return f"The data are not finite: {given} was nan or infinite in {step}."
    if found.what == "gradient":
        of = f" of {called(found.layer)}" if found.layer else ""
        return f"The gradient{of} was the first value that was not finite, in {step}."
    if found.what == "parameter":
        whose = f"weights of {called(found.layer)}" if found.layer else "some weights"
        if found.step == 0:
            return f"The {whose} were nan or infinite before the first update.".replace("The some", "Some")
        return f"The update of step {found.step} left {whose} that are not finite, which {step} met."
    where = f" ({found.where})" if found.where else ""
    summary = f"{_what(found)}{where} gave the first {_value(found)}, in {step}"
    return f"{summary}: {found.explanation}." if found.explanation else f"{summary}."


def _what(found: NonFinite) -> str:
    place = f" of {called(found.layer)}" if found.layer else ""
    if found.operation:
        return f"The operation {found.operation}{place}"
    return "The loss" if found.what == "loss" else f"An activation{place}"


def _value(found: NonFinite) -> str:
    return "infinity" if found.value == "inf" else "nan"


def _prescriptions(history: History, found: NonFinite) -> tuple[Prescription, ...]:
    if found.what in ("input", "target"):
        return ()
    in_loss = found.operation in ("log", "divide", "div", "pow", "sqrt") or (
        found.what == "loss" and found.step == 0
    )
    if in_loss and history.loss.family in ("categorical", "binary"):
        to = "cross_entropy" if history.loss.family == "categorical" else "binary_cross_entropy_with_logits"
        return (
            Prescription(
                "change_loss", {"to": to}, "It takes raw scores and never forms the logarithm of zero."
            ),
            Prescription(
                "lower_rate", {"factor": 10.0}, "Smaller steps keep probabilities away from 0 and 1."
            ),
        )
    if found.operation == "exp":
        return (
            Prescription(
                "replace_activation", {"function": "relu"}, "It grows as a line, not as a power of e."
            ),
            Prescription("insert_batch_norm", {}, "Inputs of the exponential then stay near 0."),
        )
    return (
        Prescription("lower_rate", {"factor": 10.0}, "Each step then changes the weights ten times less."),
        Prescription("initialise", {"scheme": "he"}, "Signals then keep their size from layer to layer."),
        Prescription("clip_gradients", {"norm": 1.0}, "No single step can then throw the weights away."),
    )
