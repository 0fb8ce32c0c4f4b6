"""Initial weights of a size at which signals die or explode on their way through the layers."""

from __future__ import annotations

import math

from triode.doctor.diagnosis import Finding, Prescription
from triode.doctor.history import History, Layer
from triode.doctor.rules._flow import flow, hidden_bounded
from triode.doctor.rules._losses import chance
from triode.doctor.rules._theory import gain, scale
from triode.doctor.rules._words import about, called, names, percent
from triode.doctor.rules.saturated import START, excess

TITLE = "initial weights of the wrong size"
MEANS = (
    "Weights are drawn with a standard deviation far from the one at which a layer neither shrinks nor swells its "
    "signal: the square root of 2 over the fan-in before ReLU, of 1 over the fan-in before tanh or nothing."
)
HURTS = (
    "The error multiplies from layer to layer: too small, and neither signal nor gradient gets through; too large, and "
    "functions saturate, losses start absurdly high, or numbers overflow."
)
NEEDS = "The initial weights of linear and convolution layers, and the signal in the first step."
FIX = "He's initialisation before the ReLU family, LeCun's before SELU and tanh, the critical one for other functions."
RANK = 31
CAUSES: tuple[str, ...] = ()

FACTOR = 5.0
"""How far off the standard deviation must be. Usual schemes, PyTorch's default among them, lie within 1.8 of the range
from LeCun's to the critical one; published faults begin at 6. (SageMaker Debugger: 3.2, a variance off by 10.)
Alone it is no fault: small output layers and scaled parametrisations are right; a consequence must show."""
FADED = 1e-3
"""What is left at the output of the input's variation."""
SWOLLEN = 10.0
"""By how much the layers that are too large together multiply the signal."""
ABSURD = 5.0
"""First loss over that of the best constant prediction."""


def check(history: History) -> Finding | None:
    """Compare initial weights with theory, and ask for the consequence."""
    layers = [layer for layer in history.weight_layers() if layer.trained and math.isfinite(scale(layer))]
    large = [layer for layer in layers if scale(layer) > FACTOR]
    small = [layer for layer in layers if scale(layer) < 1.0 / FACTOR]
    if large:
        shown = _swelling(history, large)
        if shown:
            return _finding(history, large, shown, "large")
    # The last layer alone may start small: outputs near zero are a good start. It takes several to lose a signal.
    if len(small) >= 2 or (small and small[0] is not layers[-1]):
        shown = _fading(history, small)
        if shown:
            return _finding(history, small, shown, "small")
    return None


def _swelling(history: History, large: list[Layer]) -> list[str]:
    """What too large weights have done, in sentences."""
    shown = []
    # Where it arrives: what is normalised right after is forgiven its size.
    start = min(layer.input_signal for layer in large)
    layers = history.weight_layers()
    later = [layer.input_signal for layer in layers if layer.depth > large[0].depth] + [layers[-1].signal]
    reached = max((signal for signal in later if math.isfinite(signal)), default=0.0)
    factor = reached / start if start > 0.0 else 0.0
    level = chance(history)
    first = history.losses[0] if history.losses else math.nan
    if math.isfinite(first) and first > ABSURD * level:
        shown.append(f"The first loss is {about(first)}, where a constant prediction scores {about(level)}.")
    # The output of one large layer may be large on purpose, if nothing suffers; of several it never is.
    if factor > SWOLLEN**2 or (factor > SWOLLEN and (len(large) > 1 or not math.isfinite(level))):
        shown.append(f"In the first step the signal grows {about(factor)} times on its way through.")
    for site in hidden_bounded(history):
        figures = site.initial
        if (
            figures is not None
            and excess(site, figures) > START
            and site.layer in {layer.name for layer in large}
        ):
            shown.append(
                f"{called(site.name)} starts saturated for {percent(figures.saturated)} of its inputs."
            )
            break
    if not all(math.isfinite(loss) for loss in history.losses):
        shown.append("The loss stopped being a finite number.")
    if not math.isfinite(first) and history.losses:
        shown.append("The very first loss was not a finite number.")
    return shown


def _fading(history: History, small: list[Layer]) -> list[str]:
    """What too small weights have done, in sentences."""
    layers = [layer for layer in history.weight_layers() if math.isfinite(layer.output_std)]
    if not layers:
        return []
    first, last = layers[0], layers[-1]
    if not first.input_signal > 0.0:
        return []
    left = last.output_std / first.input_signal
    shown = []
    # What the small layers took away themselves: a bottleneck elsewhere is not their doing.
    taken = math.prod(
        layer.output_std / layer.input_signal
        for layer in small
        if layer.input_signal > 0.0 and math.isfinite(layer.output_std)
    )
    gradients = flow(history)
    faded_back = gradients is not None and gradients.typical < FADED
    if left < FADED and taken < 10.0 * FADED and (faded_back or left < FADED**2):
        shown.append(
            f"Of inputs of size {about(first.input_signal)} a variation of {about(last.output_std)} reaches the output."
        )
        if gradients is not None and faded_back:
            shown.append(
                f"The gradient of {called(gradients.first.name)} is {about(gradients.typical)} times that of "
                f"{called(gradients.last.name)}."
            )
    return shown


def _finding(history: History, layers: list[Layer], shown: list[str], what: str) -> Finding:
    off = [scale(layer) if what == "large" else 1.0 / scale(layer) for layer in layers]
    worst = layers[off.index(max(off))]
    places = tuple(layer.name for layer in layers)
    # Compared with the figure beside it, not with the nearest end of what is usual.
    ratio = worst.initial_std / _right(worst)
    ratio = ratio if what == "large" else 1.0 / ratio
    before = f" before {worst.activation}" if worst.activation else ""
    # The function after the last layer is the output's, which no initialisation is for.
    hidden = {layer.activation for layer in layers if layer is not history.weight_layers()[-1]}
    scheme = "he" if hidden <= {"relu", "leaky_relu", "prelu", "rrelu", "relu6", ""} else "critical"
    evidence = [
        f"{called(layer.name)}: standard deviation {layer.initial_std:.3g}, where {_right(layer):.3g} keeps a "
        f"signal's size (fan-in {layer.fan_in})."
        for layer in layers[:6]
    ]
    return Finding(
        "bad_init",
        f"The initial weights of {names(places)} are too {what}: the standard deviation of {called(worst.name)} is "
        f"{worst.initial_std:.3g} where {_right(worst):.3g} would be right{before}, {about(ratio)} times "
        f"too {what}.",
        layer=layers[0].name,
        severity="critical" if not history.losses or not math.isfinite(history.losses[-1]) else "serious",
        confidence="likely",
        evidence=(*shown, *evidence),
        places=places,
        prescriptions=(
            Prescription(
                "initialise",
                {"scheme": scheme, "layers": places},
                "Signals then keep their size from layer to layer.",
            ),
            Prescription(
                "insert_batch_norm", {}, "Normalising after each layer forgives the size of its weights."
            ),
        ),
    )


def _right(layer: Layer) -> float:
    """The standard deviation that keeps a signal's size through the layer and the function after it."""
    return gain(layer.activation) / math.sqrt(layer.fan_in)
