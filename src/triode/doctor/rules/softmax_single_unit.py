"""A softmax over one number is 1 whatever the number."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.graphs import roles
from triode.doctor.history import History, Operation
from triode.doctor.rules._outputs import binary_valued, endings, over_examples, place, source
from triode.doctor.rules._words import called

TITLE = "softmax over a single unit"
MEANS = (
    "A softmax normalises over a dimension of length one: its result is 1 (its logarithm 0) for every input."
)
HURTS = (
    "The output is a constant with slope zero, and nothing before it is trained; over the examples of a batch it is "
    "something else for every batch."
)
NEEDS = "The length of the dimension that the softmax runs over, from one traced step."
FIX = "A sigmoid for two classes in one unit, two units for a softmax over two classes, nothing for a regression."
RANK = 10
CAUSES: tuple[str, ...] = ()

OUT_OF_BOUNDS = "is out of bounds"
"""What PyTorch says of a class for which cross_entropy got no score."""


def unable(history: History) -> str:
    """Say what is missing: a traced step."""
    return "" if history.graph.operations else "no step was traced"


def check(history: History) -> Finding | None:
    """Find a softmax over one unit that what is learned, or returned, depends on."""
    graph = history.graph
    heard = graph.upstream(graph.loss)
    if graph.loss < 0:
        heard = set().union(*(graph.upstream(index) for index in graph.outputs))
    part = roles(graph)
    single = [
        operation
        for operation in graph
        if operation.kind == "softmax"
        and operation.index in heard
        and part[operation.index] not in ("attention", "gate")
        and _units(operation) == 1
    ]
    if not single:
        return _inside_the_loss(history)
    here = single[0]
    constant = "0" if here.name == "log_softmax" else "1"
    across = over_examples(here)
    summary = (
        f"{called(place(history, here))} runs over a single unit, so that it returns {constant} whatever "
        "the network computes."
    )
    if across:
        summary = (
            f"{called(place(history, here))} has a single unit and runs over the examples of the batch, so "
            "that an example's output depends on its neighbours and all of them together make 1."
        )
    shape = " x ".join(str(length) for length in here.shape)
    return Finding(
        "softmax_single_unit",
        summary,
        layer=place(history, here),
        severity="critical",
        confidence="certain",
        evidence=(
            f"Its result{source(here)} has shape {shape} and is normalised over dimension {here.details.get('dim')}, "
            f"of length {here.details.get('size')}.",
            *(() if across else ("exp(z) / exp(z) = 1, and its derivative is 0 everywhere.",)),
        ),
        places=tuple(place(history, operation) for operation in single),
        prescriptions=_prescriptions(history, here),
    )


def _units(operation: Operation) -> int:
    """How many units the softmax chooses from; those of the one column where it runs over the examples instead."""
    return operation.shape[1] if over_examples(operation) else int(operation.details.get("size", 0))


def _inside_the_loss(history: History) -> Finding | None:
    """Cross-entropy of a single score: the softmax over one unit is the loss's own."""
    graph = history.graph
    made = [
        graph[each.loss.prediction]
        for each in endings(history)
        if each.loss.name == "cross_entropy" and len(graph[each.loss.prediction].shape) > 1
    ]
    refused = OUT_OF_BOUNDS in history.exception and len(graph.outputs) == 1
    made += [graph[graph.outputs[0]]] if refused else []
    single = [operation for operation in made if len(operation.shape) > 1 and operation.shape[1] == 1]
    if not single:
        return None
    name = place(history, single[0])
    return Finding(
        "softmax_single_unit",
        f"cross_entropy applies a softmax over the scores of each example, and {called(name)} gives it a single one.",
        layer=name,
        severity="critical",
        confidence="certain",
        evidence=(
            f"The scores have shape {' x '.join(map(str, single[0].shape))}; the softmax of one number is 1.",
            *((f"The training ended with {history.exception!r}.",) if refused else ()),
        ),
        places=(name,),
        prescriptions=(
            Prescription(
                "change_loss",
                {"to": "binary_cross_entropy_with_logits"},
                "One unit stands for one of two classes.",
            ),
        ),
    )


def _prescriptions(history: History, here: Operation) -> tuple[Prescription, ...]:
    term = next((each for each in endings(history) if each.activation is here), None)
    family = term.loss.family if term else ""
    sigmoid = Prescription(
        "replace_output_activation",
        {"function": "sigmoid"},
        "One unit gives the probability of one of two classes.",
    )
    free = Prescription(
        "remove_output_activation", {}, "The targets are not probabilities: let the output reach them."
    )
    if family == "binary":
        return (sigmoid,)
    if family == "categorical":
        change = Prescription(
            "change_loss",
            {"to": "binary_cross_entropy_with_logits"},
            "One unit stands for two classes; a loss over several classes needs a unit for each.",
        )
        return change, sigmoid
    classes = term is not None and term.targets is not None and binary_valued(term.targets)
    return (sigmoid, free) if classes else (free,)
