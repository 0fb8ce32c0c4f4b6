"""What the charts show, as plain numbers: gradients by depth, deaths by time, the loss, the signal at the start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from triode.doctor.history import Graph, History, Layer, Operation
from triode.doctor.report.column import Row

Point = tuple[float, float]
KEPT = 400
"""Points of a line: no screen shows more."""
LINES = 8
"""Lines of a chart that are drawn one by one, each with its own colour, dash and shape."""


@dataclass(frozen=True)
class Line:
    """A line of a chart; y may be nan or infinite, which breaks it and is marked."""

    name: str
    points: tuple[Point, ...]
    faint: bool = False
    """Drawn behind the others, without a name."""
    slot: int = -1
    """Which colour, dash and mark; -1 for the next."""


@dataclass(frozen=True)
class Plot:
    """One chart."""

    id: str
    title: str
    lead: str
    """What to look for, a sentence or two."""
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    log: bool = False
    share: bool = False
    """Whether y is a share, drawn from 0% to 100%."""
    named: Mapping[float, str] = field(default_factory=dict)
    """Words for places on the x axis."""
    whole: bool = True
    """Whether only whole numbers make sense on the x axis."""
    ends: bool = False
    """Whether the lines are named where they end, instead of in a legend."""


def plots(history: History, column: Sequence[Row]) -> list[Plot]:
    """The charts of one model for which there is anything to show.

    Args:
        history: What was seen.
        column: Its rows, whose numbers are the x axis of the charts by depth.
    """
    found = (gradients(history, column), deaths(history), losses(history), signal(history, column))
    return [plot for plot in found if plot is not None]


def gradients(history: History, column: Sequence[Row]) -> Plot | None:
    """Gradient of each layer against depth: in the first watched step, the median, in the last."""
    place = {row.name: row.number for row in column if row.kind == "layer"}
    layers = [layer for layer in history.layers if layer.gradient and layer.name in place]
    layers = [layer for layer in layers if layer.kind in ("linear", "conv")] or layers
    if not layers:
        return None
    values = {place[layer.name]: layer.gradient_rms for layer in layers}
    at = sorted(values)
    lines = [Line("first step", tuple((x, float(values[x][0])) for x in at), slot=2)]
    if max(len(one) for one in values.values()) > 1:
        lines.append(Line("median of all watched steps", tuple((x, _median(values[x])) for x in at), slot=1))
        lines.append(Line("last step", tuple((x, float(values[x][-1])) for x in at), slot=0))
    return Plot(
        "gradients",
        "Gradient against depth",
        "Root mean square of each layer's gradient, so that wide and narrow layers compare. A line that falls towards "
        "the input by orders of magnitude is a vanishing gradient; on the line marked 0 nothing arrives at all.",
        "layer, from input to output",
        "gradient per weight",
        tuple(lines),
        log=True,
    )


def _median(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def deaths(history: History) -> Plot | None:
    """Share of dead units of each site against time."""
    sites = [
        site for site in history.sites if site.can_die and site.role in ("hidden", "output") and site.passes
    ]
    if not sites:
        return None
    last = max(len(site.passes) for site in sites) + 1
    held = any(site.final for site in sites)
    lines = []
    for site in sites:
        points = [(float(i), one.dead_share) for i, one in enumerate(site.passes, 1)]
        if site.final is not None:
            points.append((float(last), site.final.dead_share))
        lines.append(Line(site.name, thin(points)))
    worst = sorted(range(len(lines)), key=lambda i: -_end(lines[i]))[:LINES]
    if len(lines) > LINES:
        lines = [Line(line.name, line.points, faint=i not in worst) for i, line in enumerate(lines)]
    end = " The last point is a pass with the weights held still." if held else ""
    return Plot(
        "deaths",
        "Dead units against time",
        "A unit is dead in a pass over the data if its output was exactly zero for every example of it. Below 10% is "
        f"healthy, above 50% critical.{end}",
        "pass over the data" if history.epochs_known else "window of training steps",
        "dead units",
        tuple(lines),
        share=True,
        named={float(last): "after"} if held else {},
        ends=True,
    )


def _end(line: Line) -> float:
    return line.points[-1][1] if line.points and math.isfinite(line.points[-1][1]) else -1.0


def losses(history: History) -> Plot | None:
    """Loss of each training step."""
    if not history.losses:
        return None
    points = thin([(float(i), loss) for i, loss in enumerate(history.losses)])
    return Plot(
        "loss",
        "Loss",
        "Of each training step, as the program computed it.",
        "training step",
        history.loss.name.replace("_", " ") or "loss",
        (Line("loss", points),),
        log=spans(points),
    )


def proof(before: Sequence[float], after: Sequence[float], measure: str = "loss") -> Plot | None:
    """Loss (or skill) of the patient and of its treated copy, trained from the same seed on the same data."""
    lines = [
        Line(name, thin([(float(i), loss) for i, loss in enumerate(curve)]), slot=slot)
        for name, curve, slot in (("before", before, 5), ("after", after, 0))
        if len(curve)
    ]
    if not lines:
        return None
    points = [point for line in lines for point in line.points]
    return Plot("proof", "Before and after", "", "training step", measure, tuple(lines), log=spans(points))


def signal(history: History, column: Sequence[Row]) -> Plot | None:
    """Size of the signal in the first step, and what mean-field theory predicts of it for a plain stack of layers."""
    place = {row.name: row.number for row in column if row.kind == "layer"}
    layers = [
        layer for layer in history.weight_layers() if math.isfinite(layer.signal) and layer.name in place
    ]
    if len(layers) < 2:
        return None
    layers.sort(key=lambda layer: place[layer.name])
    lines = [Line("measured", tuple((float(place[layer.name]), layer.signal) for layer in layers))]
    theory = predicted(history, layers)
    said = ""
    if theory:
        lines.append(
            Line(
                "theory",
                tuple((float(place[layer.name]), q) for layer, q in zip(layers, theory, strict=True)),
            )
        )
        said = " Theory: the variance map of the functions between, with each layer's own weights and without biases."
    return Plot(
        "signal",
        "Signal at the start",
        "Root mean square of what each layer puts out in the first step, before any update. It should neither die out "
        f"nor grow from layer to layer.{said}",
        "layer, from input to output",
        "root mean square",
        tuple(lines),
        log=True,
    )


_SHAPES_ONLY = frozenset(
    {
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "clone",
        "to",
        "float",
        "identity",
        "ravel",
    }
)
"""Carriers that leave the size of every entry as it is."""


def predicted(history: History, layers: Sequence[Layer]) -> list[float]:
    r"""Predicted root mean square of each layer's output: :math:`q_{l+1} = \sigma_w^2 E[f(\sqrt{q_l} z)^2]`.

    Starts from what the first layer put out. Empty where the layers are not a plain stack: fully connected, one after
    the other, with one catalogued function between neighbours and nothing else that changes sizes.
    """
    between = _functions(history.graph, layers)
    if len(between) != len(layers) - 1 or any(layer.kind != "linear" for layer in layers):
        return []
    from triode.analysis import variance_map
    from triode.errors import TriodeError

    q = [layers[0].signal ** 2]
    for function, layer in zip(between, layers[1:], strict=True):
        try:
            q.append(float(variance_map(function, q[-1], layer.initial_std * math.sqrt(layer.fan_in))))
        except TriodeError:  # a function or a number that the theory has nothing to say of
            return []
    return [math.sqrt(one) for one in q]


def _functions(graph: Graph, layers: Sequence[Layer]) -> list[str]:
    """The one function between each two neighbours of a plain stack; shorter where it is none."""
    owner = {name: i for i, layer in enumerate(layers) for name in layer.parameters}
    at: dict[int, Operation] = {}
    for operation in graph:
        mine = {owner[name] for name in operation.parameters if name in owner}
        if operation.kind == "weights" and len(mine) == 1:
            at.setdefault(mine.pop(), operation)
    found: list[str] = []
    for i in range(1, len(layers)):
        if i not in at or i - 1 not in at or not at[i].inputs:
            break
        function, here = "", graph[at[i].inputs[0]]
        while here.index != at[i - 1].index and here.inputs and len(graph.users(here.index)) == 1:
            if here.kind == "activation" and not function:
                function = here.name
            elif here.name not in _SHAPES_ONLY:
                break
            here = graph[here.inputs[0]]
        if here.index != at[i - 1].index or not function or len(graph.users(here.index)) != 1:
            break
        found.append(_triode_name(function))
    return found


def _triode_name(function: str) -> str:
    return {"silu": "swish", "hardtanh": "hard_tanh", "hardsigmoid": "hard_sigmoid"}.get(function, function)


def spans(points: Sequence[Point], decades: float = 1.5) -> bool:
    """Whether the values are positive and so far apart that only a logarithmic axis shows them."""
    finite = [y for _, y in points if math.isfinite(y)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > 10**decades


def thin(points: Sequence[Point], most: int = KEPT) -> tuple[Point, ...]:
    """At most about `most` points, with every peak, every trough and the first value that is not finite kept.

    >>> (500.0, 1.0) in thin([(float(i), float(i == 500)) for i in range(1000)], 20)
    True
    """
    if len(points) <= most:
        return tuple(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        finite = [point for point in part if math.isfinite(point[1])]
        chosen = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])} if finite else set()
        lost = next((point for point in part if not math.isfinite(point[1])), None)
        # nan is not equal to itself: a set would not know it again.
        kept += sorted([*chosen, *([lost] if lost else [])], key=lambda point: point[0])
    if kept[-1][0] != points[-1][0]:
        kept.append(points[-1])
    return tuple(kept)
