"""A loss that wants probabilities, or their logarithms, and gets raw scores."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.graphs import logarithms, losses_of, output_activation, probability
from triode.doctor.history import History, Loss, Operation
from triode.doctor.rules._outputs import outputs_of, over_examples, place, source, value_range
from triode.doctor.rules._words import called

TITLE = "no softmax or sigmoid before the loss"
MEANS = (
    "The loss takes a logarithm of probabilities, or log-probabilities, but the network hands it raw scores."
)
HURTS = "The logarithm of a negative score is not a number; nll_loss of raw scores falls without end and means nothing."
NEEDS = "The operations between the last layer of weights and the loss, from one traced step."
FIX = (
    "A loss that takes raw scores (cross_entropy, binary_cross_entropy_with_logits), or the missing function."
)
RANK = 11
CAUSES: tuple[str, ...] = ("sigmoid_output_multiclass", "relu_output")

OUTSIDE = "between 0 and 1"
"""What PyTorch says when binary_cross_entropy is given anything else."""
LOGS = ("log_softmax", "log_sigmoid")
NORMALISED = ("logsumexp", "logaddexp", "logcumsumexp")


def unable(history: History) -> str:
    """Say what is missing: a traced loss, or the error that ended it."""
    return "" if history.loss.name or OUTSIDE in history.exception else "the loss was not recognised"


def check(history: History) -> Finding | None:
    """Find raw scores where a probability or its logarithm is wanted."""
    for loss in losses_of(history.graph):
        if loss.operation >= 0 and loss.prediction >= 0:
            found = _named(history, loss)
            if found is not None:
                return found
    if OUTSIDE in history.exception and "target" not in history.exception:
        return _raised(history)
    return _by_hand(history)


def _named(history: History, loss: Loss) -> Finding | None:
    graph = history.graph
    operation = graph[loss.operation]
    last = output_activation(graph, loss.prediction)
    if loss.name in ("nll_loss", "kl_div") and last is not None and over_examples(last):
        return _across(history, last, loss.name)
    if loss.name in ("nll_loss", "kl_div"):
        given = graph.source(operation.inputs[0])
        wants = "log-probabilities"
        if given.name == "log":  # of what, is asked below
            return _by_hand(history)
        wrong = _raw(given) or (given.kind == "softmax" and given.name not in LOGS)
        if given.kind == "activation" and given.name not in LOGS:
            wrong = True
        if not wrong and given.kind in ("combine", "other", "normalise", "product"):
            seen = outputs_of(history, loss.prediction)
            above = seen is not None and seen.most > 1e-3
            normalised = any(
                graph[index].name in (*NORMALISED, *LOGS, "log") for index in graph.upstream(given.index)
            )
            wrong = above and not normalised
        remedy = Prescription("change_loss", {"to": "cross_entropy"}, "It takes raw scores.")
        insert = Prescription(
            "insert_activation",
            {"function": "log_softmax", "after": ""},
            "Its results are log-probabilities.",
        )
        if given.kind == "softmax":
            replace = Prescription(
                "replace_output_activation", {"function": "log_softmax"}, "nll_loss wants the logarithm."
            )
            remedies: tuple[Prescription, ...] = (replace, remedy)
        else:
            remedies = (remedy, insert) if loss.name == "nll_loss" else (insert,)
        return _finding(history, given, loss.name, wants, remedies) if wrong else None
    if loss.name == "binary_cross_entropy":
        given = graph.source(loss.prediction)
        low = value_range(last.name)[0] if last is not None else 0.0
        # A ReLU here is told by its own rule.
        signed = last is not None and last.kind == "activation" and low < 0.0
        return (
            _finding(history, given, loss.name, "probabilities", _binary(history))
            if _raw(given) or signed
            else None
        )
    return None


def _across(history: History, last: Operation, who: str) -> Finding:
    """A softmax over the wrong axis: no row is a distribution."""
    name = place(history, last)
    return Finding(
        "missing_softmax",
        f"{who} wants a distribution over the classes in each row, but {called(name)} runs over the examples of "
        "the batch.",
        layer=name,
        severity="critical",
        confidence="certain",
        evidence=(
            f"Its result{source(last)} has shape {last.shape[0]} x {last.shape[1]} and is normalised over dimension "
            f"{last.details.get('dim')}: columns sum to 1, rows do not.",
        ),
        places=(name,),
        prescriptions=(
            Prescription("change_loss", {"to": "cross_entropy"}, "It normalises over the classes itself."),
        ),
    )


def _by_hand(history: History) -> Finding | None:
    """A logarithm of raw scores in a loss that is written out, or under nll_loss."""
    graph = history.graph
    for log in logarithms(graph):
        if log.name != "log" or not log.inputs:
            continue
        given = graph[probability(graph, log.inputs[0])]
        signed = given.name in ("tanh", "hard_tanh", "softsign", "leaky_relu", "elu", "selu")
        if not _raw(given) and not (given.kind == "activation" and signed):
            continue
        remedies = (
            _binary(history)
            if history.loss.family == "binary"
            else (Prescription("change_loss", {"to": "cross_entropy"}, "It takes raw scores."),)
        )
        return _finding(history, given, f"the logarithm{source(log)}", "probabilities", remedies)
    return None


def _raw(operation: Operation) -> bool:
    return operation.kind == "weights"


def _binary(history: History) -> tuple[Prescription, ...]:
    one_hot = any(targets.one_hot >= 0.99 and (targets.shape or (0,))[-1] > 2 for targets in history.targets)
    logits = Prescription(
        "change_loss",
        {"to": "binary_cross_entropy_with_logits"},
        "It takes raw scores and is exact for large ones.",
    )
    sigmoid = Prescription(
        "insert_activation", {"function": "sigmoid", "after": ""}, "Its results are probabilities."
    )
    if one_hot:
        return (
            Prescription("change_loss", {"to": "cross_entropy"}, "Each example is of exactly one class."),
            logits,
            sigmoid,
        )
    return logits, sigmoid


def _finding(
    history: History, given: Operation, who: str, wants: str, prescriptions: tuple[Prescription, ...]
) -> Finding:
    name = place(history, given)
    what = "raw scores" if _raw(given) else f"the result of {given.name}"
    evidence = [f"What {called(name)} gives{source(given)} reaches {who} with no softmax or sigmoid between."]
    seen = outputs_of(history, given.index)
    if seen is not None and seen.count:
        evidence.append(f"It ran from {seen.least:.3g} to {seen.most:.3g}.")
    return Finding(
        "missing_softmax",
        f"{who.replace('the ', 'The ', 1)} wants {wants}, but gets {what} from {called(name)}.",
        layer=name,
        severity="critical",
        confidence="certain",
        evidence=tuple(evidence),
        places=(name,),
        prescriptions=prescriptions,
    )


def _raised(history: History) -> Finding | None:
    """The loss itself refused what it was given."""
    graph = history.graph
    last = next((graph[index] for index in graph.outputs if graph.operations), None)
    end = output_activation(graph, last.index) if last is not None else None
    if end is not None and end.name in ("sigmoid", "softmax", "hard_sigmoid"):
        return None  # not for want of one: nan, or something after it
    name = place(history, last) if last is not None else ""
    what = f"the result of {end.name}" if end is not None else "raw scores"
    seen = history.outputs[0] if history.outputs else None
    evidence = [f"The training ended with {history.exception!r}."]
    if seen is not None and seen.count:
        evidence.append(f"The outputs ran from {seen.least:.3g} to {seen.most:.3g}.")
    return Finding(
        "missing_softmax",
        f"binary_cross_entropy wants probabilities, but gets {what}"
        + (f" from {called(name)}." if name else ": values outside [0, 1]."),
        layer=name,
        severity="critical",
        confidence="certain",
        evidence=tuple(evidence),
        places=(name,) if name else (),
        prescriptions=_binary(history),
    )
