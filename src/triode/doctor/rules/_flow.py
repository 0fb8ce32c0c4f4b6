"""How gradients and signals change on their way through the layers: what several rules ask of a history."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triode.doctor.history import History, Layer, NonFinite, Site

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Flow:
    """The gradient of the first layer compared with that of the last, by watched step."""

    first: Layer
    last: Layer
    steps: NDArray[np.int64]
    ratio: Series
    """Norm of the first layer's gradient over that of the last layer; nan where either is unknown or 0."""
    blocked: NDArray[np.bool_]
    """Whether the first layer's gradient was exactly zero although the last layer's was not."""

    @property
    def typical(self) -> float:
        """Median ratio over the watched steps; nan where there is none."""
        known = self.ratio[np.isfinite(self.ratio)]
        return float(np.median(known)) if known.size else math.nan

    def share_below(self, threshold: float) -> float:
        """Share of the steps with a known ratio in which it lay below the threshold; nan without any."""
        known = self.ratio[np.isfinite(self.ratio)]
        return float((known < threshold).mean()) if known.size else math.nan


def trained_layers(history: History) -> list[Layer]:
    """Linear and convolution layers that take gradients and were watched, in order of depth."""
    return [layer for layer in history.weight_layers() if layer.trained and layer.steps]


def flow(history: History) -> Flow | None:
    """The gradient at both ends of the network; None with fewer than two depths of trained layers.

    By the Euclidean norm, which a network started well keeps from layer to layer whatever their widths; per weight, a
    wide first layer would seem to fade though all is well (0.01 with 512 units).
    """
    layers = trained_layers(history)
    if not layers or layers[0].depth == max(layer.depth for layer in layers):
        return None
    # Of several first layers (branches with inputs of their own) the one that receives most: one may be small by right.
    first = max((layer for layer in layers if layer.depth == layers[0].depth), key=_typical)
    last = max(layers, key=lambda layer: layer.depth)
    steps, of_first, of_last = np.intersect1d(first.steps, last.steps, return_indices=True)
    if not steps.size:
        return None
    top, bottom = np.asarray(first.gradient, float)[of_first], np.asarray(last.gradient, float)[of_last]
    known = np.isfinite(top) & np.isfinite(bottom) & (bottom > 0.0)
    ratio = np.full(len(steps), math.nan)
    np.divide(top, bottom, out=ratio, where=known & (top > 0.0))
    return Flow(first, last, steps.astype(np.int64), ratio, known & (top == 0.0))


def profile(layers: list[Layer]) -> list[tuple[str, float]]:
    """Median norm of the gradient of each layer, over its watched steps."""
    return [(layer.name, _typical(layer)) for layer in layers]


def _typical(layer: Layer) -> float:
    values = np.asarray(layer.gradient, float)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else math.nan


def total_gradient(history: History) -> tuple[NDArray[np.int64], Series]:
    """Steps, and the Euclidean norm of the gradient of all layers together; nan or inf where a layer's is."""
    squares: dict[int, float] = {}
    for layer in history.layers:
        if layer.trained:
            for step, norm in zip(layer.steps, layer.gradient, strict=False):
                # A product, not a power: a float's power raises where it overflows, and infinity is an answer here.
                squares[step] = squares.get(step, 0.0) + norm * norm
    steps = sorted(squares)
    return np.asarray(steps, np.int64), np.sqrt(np.asarray([squares[step] for step in steps], float))


def starts_dead(history: History) -> bool:
    """Whether some hidden site let nothing through in the first step: every unit silent, so no gradient passes."""
    return any(
        site.initial is not None and site.initial.dead.size > 0 and bool(site.initial.dead.all())
        for site in history.hidden()
        if site.can_die
    )


def ends_dead(history: History) -> bool:
    """Whether some hidden site is wholly silent at the end."""
    return any(
        site.last is not None and site.last.dead.size > 0 and bool(site.last.dead.all())
        for site in history.hidden()
        if site.can_die
    )


_UNDEFINED = (
    *(
        "log",
        "log2",
        "log10",
        "log1p",
        "logit",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "div",
        "divide",
        "true_divide",
        "pow",
    ),
    *(
        "acos",
        "asin",
        "acosh",
        "atanh",
        "lgamma",
        "digamma",
        "remainder",
        "fmod",
        "kl_div",
        "normalize",
        "norm",
        "std",
    ),
    *("cosine_similarity", "var", "masked_fill", "where", "full"),
)
"""Functions that are undefined somewhere: of any other, finite arguments leave the finite numbers by size alone."""


def overflow(history: History) -> NonFinite | None:
    """The first value that is not finite, where it is one that grew too large on the way through the network.

    A nan from `log` of a negative number, a mask of minus infinity or nan in the data are other stories.
    """
    found = history.nonfinite
    if found is None or found.what in ("input", "target"):
        return None
    if found.operation:
        return None if found.operation in _UNDEFINED else found
    return found if found.value == "inf" and found.what != "loss" else None


def hidden_bounded(history: History) -> list[Site]:
    """Hidden sites whose function is flat on both sides, in order of depth."""
    return sorted((site for site in history.hidden() if site.bounded), key=lambda site: site.depth)


USUAL_STEP = 0.03
"""Length of a long early step over the length of the weights, in the median layer, of trainings that go well: between
0.01 and 0.1, whatever the optimiser. Steps ten times as long kill units or overflow (five ReLU layers of 32 and 100
units, two data sets, gradient descent with and without momentum, Adam: fatal from 0.15 to 0.25 on)."""
EARLY = 10
"""Watched steps that count as early."""
LEFT = 3.0
"""Times the first loss above which a training has left the place that its first steps could be judged at."""


def too_long(history: History) -> float:
    """How many times longer than usual early steps were, about which factor the rate is too high; nan where unknown.

    From the length of steps compared with the weights. Along the gradient, a step is judged better by how far it
    went past the minimum (`History.overshoot`), but the next batch's noise hides any factor below 5; it serves where
    lengths were not measured.
    """
    first = history.losses[0] if history.losses else math.nan
    away = (step for step, loss in enumerate(history.losses) if not loss <= LEFT * abs(first))
    stop = next(away, len(history.losses))
    longest = []
    for layer in trained_layers(history):
        early = [
            u for step, u in zip(layer.steps, layer.update, strict=False) if step < stop and math.isfinite(u)
        ]
        if early:
            longest.append(max(early[:EARLY]))
    if longest:
        return float(np.median(longest)) / USUAL_STEP
    known = [r for r in history.overshoot if math.isfinite(r)]
    return known[0] if known else math.nan


def factor(times: float) -> str:
    """How a rate that is too high is spoken of: a figure where one was measured and means something.

    The figure is rough. Compared with the rate that trained best it lay within a factor of 5 in six trainings of
    ten, within 10 in nine of ten (six small networks, gradient descent with and without momentum, Adam, rates in
    steps of 2). Below 2 it says nothing: momentum has yet to gather speed where steps are measured.

    Examples:
        >>> factor(41.0), factor(1.2), factor(1e20), factor(math.nan)
        ('perhaps 40 times too high', 'too high', 'far too high', 'too high')
    """
    if times >= 1e3:
        return "far too high"
    return f"perhaps {float(f'{times:.1g}'):.0f} times too high" if times >= 2.0 else "too high"
