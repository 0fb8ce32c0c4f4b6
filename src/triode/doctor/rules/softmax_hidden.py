"""A softmax between layers."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.graphs import roles
from triode.doctor.history import History
from triode.doctor.rules._outputs import place, source
from triode.doctor.rules._words import names

TITLE = "softmax as a hidden activation"
MEANS = "A softmax stands between two layers as if it were an activation function; it weighs nothing."
HURTS = "Its outputs sum to one, so that of n units each carries about 1/n: signal and gradient shrink by that factor."
NEEDS = (
    "What every softmax of one traced step feeds; attention and gates, which multiply something, are none."
)
FIX = (
    "Use ReLU, or another elementwise function, in hidden layers; keep the softmax for outputs and attention."
)
RANK = 20
CAUSES: tuple[str, ...] = ()


def unable(history: History) -> str:
    """Say what is missing: a traced step."""
    return "" if history.graph.operations else "no step was traced"


def check(history: History) -> Finding | None:
    """Find a softmax whose result goes into a layer of weights."""
    graph = history.graph
    heard = graph.upstream(graph.loss) if graph.loss >= 0 else None
    part = roles(graph)
    found = [
        operation
        for operation in graph
        if operation.kind == "softmax"
        and part[operation.index] == "hidden"
        and (heard is None or operation.index in heard)
        # One unit is a matter of its own.
        and operation.details.get("size") != 1
    ]
    if not found:
        return None
    here = found[0]
    places = tuple(dict.fromkeys(place(history, operation) for operation in found))
    size = here.details.get("size", 0)
    return Finding(
        "softmax_hidden",
        f"A {here.name} stands between layers as their activation ({names(places)}), where it turns {size} units into "
        f"{'logarithms of ' if here.name == 'log_softmax' else ''}shares of one.",
        layer=places[0],
        severity="serious",
        confidence="certain",
        evidence=(
            f"Its result{source(here)} goes into a layer of weights and multiplies nothing.",
            "It ties all units together: one can only rise where the others fall."
            if here.name == "log_softmax"
            else f"The outputs of {size} units sum to 1: their mean is {1 / max(size, 1):.3g}, no slope exceeds 1/4.",
        ),
        places=places,
        prescriptions=(
            Prescription(
                "replace_activation", {"function": "relu", "sites": places}, "Units then act each for itself."
            ),
        ),
    )
