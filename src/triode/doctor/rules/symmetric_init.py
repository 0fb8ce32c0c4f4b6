"""Units that start alike and are treated alike stay alike for ever."""

from __future__ import annotations

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History
from triode.doctor.rules._words import called, names, percent

TITLE = "symmetric initialisation"
MEANS = (
    "Units of a layer start with the same incoming weights, and the next layer treats them alike: their gradients are "
    "equal, so they stay copies of one another for as long as training lasts."
)
HURTS = "However many copies there are, together they can only compute what one of them does."
NEEDS = "The initial weights of every layer and of the layers that read it."
FIX = "Draw the weights at random (He's or LeCun's initialisation); only biases may start equal."
RANK = 22
CAUSES: tuple[str, ...] = ()

TWINS = 0.5
"""Share of a layer's units that must be copies. Random weights have none, constant ones have nothing else; half leaves
a layer that is wholly or mostly alike, and passes a few units that were pruned or padded with zeros."""


def check(history: History) -> Finding | None:
    """Find layers most of whose units are copies that nothing will tell apart."""
    alike = [
        layer
        for layer in history.layers
        if layer.trained and layer.units >= 2 and layer.twin_users and layer.twins >= TWINS
    ]
    # Dropout or noise between the layers can part twins; then nothing is lost.
    lasting = [layer for layer in alike if not history.trained or layer.twins_after >= TWINS]
    if not lasting:
        return None
    first = lasting[0]
    whole = first.twins >= 1.0
    evidence = [
        f"{called(layer.name)}: {percent(layer.twins)} of its {layer.units} units equal another unit before training"
        + (f", {percent(layer.twins_after)} after {history.steps} steps." if history.trained else ".")
        for layer in lasting
    ]
    places = tuple(layer.name for layer in lasting)
    return Finding(
        "symmetric_init",
        f"The weights of {names(places)} do not start at random: {'all' if whole else 'most'} units of "
        f"{called(first.name)} are copies of one another and receive equal gradients, so they can never differ.",
        layer=first.name,
        severity="critical",
        confidence="certain",
        evidence=tuple(evidence),
        places=places,
        prescriptions=(
            Prescription(
                "initialise", {"scheme": "he", "layers": places}, "Random weights break the symmetry."
            ),
        ),
    )
