"""Pictures of activations and their derivatives, with matplotlib and without a display.

Colour is never the only sign: every curve also has its own dash pattern and its name at its end, and the colours
(Okabe and Ito's, its yellow replaced by a brown that is legible on white) stay apart in the common forms of colour
blindness. Where curves lie on each other the earlier one is wider, so that each stays visible.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triode.curves import Array, Curve, Jump, class_score, minus, sample
from triode.errors import MissingExtra, TriodeError
from triode.normalising import Normalising

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from triode.activation import Activation

FORMATS = (".png", ".svg", ".pdf")
DEFAULT = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")
LAYOUTS = ("auto", "together", "grid")
MOST_TOGETHER = 8
"""Curves that one panel can tell apart; more go into a grid of small panels."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4B1E", "#000000")
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (5, 1.6),
    (1.4, 1.4),
    (7, 1.6, 1.4, 1.6),
    (3, 1.2),
    (9, 2),
    (1, 2.4),
    (5, 1.5, 1, 1.5, 1, 1.5),
)
INK, FAINT = "#222222", "#D9D9D9"
WIDEST, TALLEST = 1e6, 1e30
"""Largest coordinates that are drawn; what a function sends beyond them is cut off."""
TEMPERATURES = (0.5, 1.0, 2.0, 5.0)
GATES = (-1.0, 1.0, 2.0)


def figure(
    *activations: str | Activation,
    low: float = -5.0,
    high: float = 5.0,
    parameters: Mapping[str, float] | None = None,
    layout: str = "auto",
) -> Figure:
    """Draw activations and their first derivatives side by side.

    An open circle is a one-sided limit, a filled one the value that the convention takes at a kink. Softmax and
    log-softmax are drawn as the score of one class of two against the other held at 0, gated pairs against z with the
    gate's second input held.

    Args:
        activations: Names, aliases, `name=formula` texts or activations; none means the seven of a default bake-off.
        low: Left end of the horizontal axis, finite.
        high: Right end of the horizontal axis, finite and greater than `low`.
        parameters: Values by name, given to every activation that has a parameter of that name.
        layout: "together" (functions in one panel, derivatives in the other; at most eight), "grid" (a panel for each
            activation) or "auto" (together up to eight).

    Returns:
        A matplotlib figure, tied to no window; see `save`.

    Raises:
        TriodeError: An unknown name or layout, an empty interval, a parameter that no activation drawn has.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> drawn = figure("relu", "gelu")
        >>> [axes.get_title() for axes in drawn.axes]
        ['functions', 'derivatives']
    """
    chosen = [_resolve(activation) for activation in activations or DEFAULT]
    given = dict(parameters or {})
    if layout not in LAYOUTS:
        raise TriodeError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}.")
    if not -WIDEST <= low < high <= WIDEST:
        raise TriodeError(
            f"The interval from {low} to {high} cannot be drawn: low < high, both within ±{WIDEST:g}."
        )
    for name in given:
        if not any(name in activation.defaults() for activation in chosen):
            drawn = ", ".join(activation.name for activation in chosen)
            raise TriodeError(f"No activation drawn ({drawn}) has a parameter {name!r}.")
    if layout == "together" and len(chosen) > MOST_TOGETHER:
        raise TriodeError(
            f"{len(chosen)} curves in one panel cannot be told apart; at most {MOST_TOGETHER}: use a grid."
        )
    interval = (float(low), float(high))
    if layout == "grid" or len(chosen) > MOST_TOGETHER:
        return _grid(chosen, interval, given)
    if len(chosen) == 1:
        return _alone(chosen[0], interval, given)
    curves = [sample(activation, interval, given) for activation in chosen]
    return _together(curves, "functions", "derivatives")


def save(drawn: Figure, path: str | Path) -> None:
    """Write a figure to a file; the suffix (.png, .svg or .pdf) decides the format."""
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise TriodeError(f"{target} does not end in {', '.join(FORMATS)}, so its format is not known.")
    target.write_bytes(_rendered(drawn, target.suffix.lower()[1:]))


def svg(*activations: str | Activation) -> str:
    """Return the figure of `activations` as SVG text, for a notebook or a page."""
    return _rendered(figure(*activations), "svg").decode("utf-8")


def _rendered(drawn: Figure, kind: str) -> bytes:
    from matplotlib import rc_context

    # Without a date, and with names inside an SVG that are not random, the same figure is the same file.
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "triode"}):
        drawn.savefig(buffer, format=kind, dpi=160, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def _resolve(activation: str | Activation) -> Activation:
    if isinstance(activation, str):
        from triode.catalogue import get

        return get(activation)
    return activation


def _alone(activation: Activation, interval: tuple[float, float], given: Mapping[str, float]) -> Figure:
    # What is not a curve by nature is shown as several slices when it has the figure to itself.
    slices = {}
    title, slope = activation.name, f"derivative of {activation.name}"
    if isinstance(activation, Normalising) and "temperature" not in given:
        title, slope = f"first entry of {activation.name}([z, 0] / T)", "its derivative by z"
        slices = {f"T = {t:g}": class_score(activation, interval, t) for t in TEMPERATURES}
    elif activation.kind == "gated":
        title, slope = f"{activation.name}(z, u)", "its derivative by z"
        slices = {f"u = {minus(gate)}": sample(activation, interval, given, gate) for gate in GATES}
    curves = [dataclasses.replace(curve, label=label) for label, curve in slices.items()]
    return _together(curves or [sample(activation, interval, given)], title, slope)


def _canvas(width: float, height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "Drawing a picture", "plot") from None
    drawn = Figure(figsize=(width, height), layout="constrained")
    return drawn, list(drawn.subplots(rows, columns, squeeze=False).flat)


def _together(curves: Sequence[Curve], title: str, slope: str) -> Figure:
    drawn, (left, right) = _canvas(12.0, 5.0, 1, 2)
    for axes, heading, ordinate in ((left, title, "output f(z)"), (right, slope, "slope f′(z)")):
        _dress(axes, curves[0].z)
        axes.set_title(heading, loc="center", fontsize=13, color=INK, pad=10)
        axes.set_xlabel("pre-activation z", color=INK)
        axes.set_ylabel(ordinate, color=INK)
    for k, curve in enumerate(curves):
        style: dict[str, Any] = {
            "color": COLOURS[k],
            "dashes": DASHES[k],
            "linewidth": 3.4 - 2.0 * k / max(1, len(curves) - 1) if len(curves) > 1 else 2.2,
            "zorder": 3 + 0.1 * k,
        }
        left.plot(curve.z, curve.value, **style)
        right.plot(curve.z, curve.derivative, **style)
        _mark(left, curve.value_jumps, COLOURS[k])
        _mark(right, curve.derivative_jumps, COLOURS[k])
    for axes in (left, right):
        _frame(axes)
    _label_ends(left, [(curve.label, curve.value) for curve in curves], curves[0].z)
    _label_ends(right, [(curve.label, curve.derivative) for curve in curves], curves[0].z)
    if any(curve.value_jumps or curve.derivative_jumps for curve in curves):
        drawn.supxlabel("● value taken at a kink    ○ one-sided limit", fontsize=9, color="#555555")
    return drawn


def _grid(chosen: Sequence[Activation], interval: tuple[float, float], given: Mapping[str, float]) -> Figure:
    from math import ceil, sqrt

    columns = min(len(chosen), max(1, ceil(sqrt(1.4 * len(chosen)))))
    rows = ceil(len(chosen) / columns)
    drawn, panels = _canvas(max(2.35 * columns, 4.0), 1.95 * rows + 0.7, rows, columns)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    value_style = {"color": COLOURS[0], "linewidth": 1.9, "zorder": 3.0}
    slope_style = {"color": COLOURS[1], "linewidth": 1.6, "zorder": 3.1, "dashes": DASHES[1]}
    for k, (axes, activation) in enumerate(zip(panels, chosen, strict=False)):
        curve = sample(activation, interval, given)
        _dress(axes, curve.z)
        axes.plot(curve.z, curve.value, **value_style)  # type: ignore[arg-type]
        axes.plot(curve.z, curve.derivative, **slope_style)  # type: ignore[arg-type]
        _mark(axes, curve.value_jumps, COLOURS[0], size=4.0)
        _mark(axes, curve.derivative_jumps, COLOURS[1], size=4.0)
        _frame(axes)
        axes.set_title(curve.label, fontsize=10, color=INK, pad=4)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="y", nbins=4)
        if k + columns >= len(chosen):
            axes.set_xlabel("z", fontsize=9, color=INK)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label="f(z)", **value_style),  # type: ignore[arg-type]
        Line2D([], [], label="f′(z)", **slope_style),  # type: ignore[arg-type]
        *(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=5,
                color=INK,
                markerfacecolor=face,
                label=meaning,
            )
            for face, meaning in ((INK, "value taken at a kink"), ("white", "one-sided limit"))
        ),
    ]
    drawn.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=10, handlelength=3
    )
    return drawn


def _dress(axes: Axes, z: Array) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axhline(0.0, color="#BBBBBB", linewidth=0.9, zorder=1)
    if z[0] < 0.0 < z[-1]:
        axes.axvline(0.0, color="#BBBBBB", linewidth=0.9, zorder=1)
    axes.tick_params(colors=INK, length=0)
    axes.set_xlim(float(z[0]), float(z[-1]))


def _frame(axes: Axes) -> None:
    # A curve that explodes (exp) must not flatten the others: the axis ends where the middle of the data allows.
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    data = np.concatenate([values for values in drawn if values.size > 2])
    data = data[np.abs(data) <= TALLEST]  # nan and infinities fail this too
    if data.size == 0:
        return
    low, high = float(data.min()), float(data.max())
    inner_low, inner_high = np.percentile(data, [2.0, 98.0])
    reach = 4.0 * max(float(inner_high - inner_low), 0.25)
    low, high = max(low, float(inner_low) - reach), min(high, float(inner_high) + reach)
    margin = 0.06 * max(high - low, 0.1)
    axes.set_ylim(low - margin, high + margin)


def _mark(axes: Axes, jumps: Sequence[Jump], colour: str, size: float = 5.5) -> None:
    for jump in jumps:
        for limit in (jump.left, jump.right):
            if limit != jump.taken:
                axes.plot(
                    [jump.z], [limit], "o", color=colour, markersize=size, markerfacecolor="white", zorder=5
                )
        axes.plot([jump.z], [jump.taken], "o", color=colour, markersize=size, zorder=5.1)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, Array]], z: Array) -> None:
    """Write each curve's name beside its right end, moved apart, with a sample of its dashes leading to it."""
    bottom, top = axes.get_ylim()
    height = top - bottom
    gap = 0.062 * height
    finals = [float(np.clip(_last(values), bottom, top)) for _, values in ends]
    order = sorted(range(len(ends)), key=lambda k: finals[k])
    places = _apart([finals[k] for k in order], gap, bottom + 0.5 * gap, top - 0.5 * gap)
    right, width = float(z[-1]), float(z[-1] - z[0])
    for k, place in zip(order, places, strict=True):
        colour = COLOURS[k]
        margin = 0.02
        if len(ends) > 1:
            outside: dict[str, Any] = {"color": colour, "clip_on": False}
            leader = [right + 0.006 * width, right + 0.03 * width]
            axes.plot(leader, [finals[k], place], linewidth=0.7, alpha=0.7, **outside)
            axes.plot(
                [leader[1], right + 0.10 * width], [place, place], dashes=DASHES[k], linewidth=1.8, **outside
            )
            margin = 0.115
        axes.annotate(
            ends[k][0],
            (right + margin * width, place),
            annotation_clip=False,
            va="center",
            color=_darker(colour),
            fontsize=10.5,
        )


def _last(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else 0.0


def _apart(sorted_places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move sorted places apart to at least `gap`, as little as one pass up and one down allow, within bounds."""
    places = list(sorted_places)
    count = len(places)
    if count * gap > high - low:
        return [float(place) for place in np.linspace(low, high, count)]
    for _ in range(200):
        moved = False
        for k in range(count - 1):
            overlap = gap - (places[k + 1] - places[k])
            if overlap > 1e-9 * gap:
                places[k] -= overlap / 2
                places[k + 1] += overlap / 2
                moved = True
        if places and places[0] < low:
            places[0], moved = low, True
        if places and places[-1] > high:
            places[-1], moved = high, True
        if not moved:
            break
    return places


def _darker(colour: str) -> str:
    """Return the colour at 70 per cent of its brightness: thin letters need more contrast than lines."""
    red, green, blue = (int(int(colour[k : k + 2], 16) * 0.7) for k in (1, 3, 5))
    return f"#{red:02X}{green:02X}{blue:02X}"
