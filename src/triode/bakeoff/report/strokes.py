"""The kinds of panels as Matplotlib draws them, from the same rows as the interactive charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from triode.bakeoff.report.lines import LONGEST_LABEL, x_ends
from triode.bakeoff.report.palette import HEAT, THEMES, Style
from triode.bakeoff.report.panels import Panel, log_ticks
from triode.bakeoff.report.runs import SHARE, offsets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOK = THEMES["light"]
MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "cross": "P", "triangle-up": "^", "triangle-down": "v",
    "triangle-right": ">", "triangle-left": "<",
}  # fmt: skip


def _dash(style: Style) -> Any:
    return "-" if style.dash == (1, 0) else (0, tuple(d / 2 for d in style.dash))


def lines(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    """Draw a line for each activation, named at its end."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    for name, style in styles.items():
        rows = [row for row in panel.rows if row["activation"] == name]
        if not rows:
            continue
        x, y = [row["x"] for row in rows], [row["y"] for row in rows]
        if panel.whole:
            low, high = [row["low"] for row in rows], [row["high"] for row in rows]
            axes.fill_between(x, low, high, color=style.light, alpha=0.13, linewidth=0)
        mark: dict[str, Any] = {"marker": MARKERS[style.shape], "markersize": 5.5} if panel.dotted else {}
        if panel.steps:
            mark["label"] = printable(name, LONGEST_LABEL)
            mark["drawstyle"] = {"before": "steps-pre", "after": "steps-post"}[panel.steps]
        axes.plot(x, y, color=style.light, linestyle=_dash(style), linewidth=1.7, **mark)
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator(panel.ticks))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(*panel.domain)
    axes.yaxis.set_major_formatter(_formatter(panel))
    axes.set_ylabel(panel.y_title)
    axes.grid(axis="y")
    for row in panel.marked:
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": styles[row["activation"]].light}
        axes.plot(row["x"], row["y"], "o", markersize=12, markeredgewidth=1.6, **ring)
    if panel.reference is not None:
        axes.axhline(panel.reference, color=LOOK["muted"], linestyle=(0, (4, 3)), linewidth=1.1)
    if panel.x_log:
        axes.set_xscale("log")
        xs = sorted({row["x"] for row in panel.rows})
        axes.xaxis.set_major_locator(FixedLocator(xs if len(xs) <= 6 else log_ticks(x_ends(panel))))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif panel.x_percent:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    axes.set_xlim(*x_ends(panel))
    if panel.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _names(axes, panel, styles)
    if panel.steps:
        axes.legend(fontsize=8.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _names(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    """The names at the right, at the heights where they do not overlap."""
    place: dict[str, Any] = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
        "va": "center",
    }
    for row in panel.labels:
        style = styles.get(row["activation"])
        if style is None:  # several lines under one label
            axes.annotate(
                row["label"],
                (1.045, row["label_y"]),
                xytext=(7, 0),
                annotation_clip=False,
                fontsize=9,
                **place,
            )
            continue
        if row["x"] == row["edge"]:
            low, high = axes.get_xlim()
            place_of = math.log if panel.x_log else float
            at = (place_of(row["x"]) - place_of(low)) / (place_of(high) - place_of(low))
            leader: dict[str, Any] = {"color": style.light, "linewidth": 0.8, "alpha": 0.5, "clip_on": False}
            axes.plot([at, 1.03], [row["y"], row["label_y"]], transform=axes.get_yaxis_transform(), **leader)
        axes.plot(
            1.045, row["label_y"], marker=MARKERS[style.shape], color=style.light, markersize=5.5, clip_on=False,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        name = printable(row["label"], LONGEST_LABEL)
        axes.annotate(
            name, (1.045, row["label_y"]), xytext=(7, 0), annotation_clip=False, fontsize=9, **place
        )


def _formatter(panel: Panel) -> Any:
    from matplotlib.ticker import FuncFormatter

    if panel.percent:
        return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
    return FuncFormatter(lambda value, _: f"{value:g}")


def printable(text: str, longest: int = 64) -> str:
    """A text without its control characters, for which no font has a glyph, cut where it would push the axes away."""
    printable = "".join(c for c in text if c.isprintable())
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def _bands(axes: Axes, panel: Panel) -> dict[str, int]:
    heights = {name: len(panel.order) - 1 - i for i, name in enumerate(panel.order)}
    axes.set_yticks(list(heights.values()), [printable(name, LONGEST_LABEL) for name in heights])
    axes.tick_params(axis="y", labelcolor=LOOK["ink"], labelsize=10)
    axes.set_ylim(-0.6, len(heights) - 0.4)
    axes.set_xlim(*panel.domain)
    axes.xaxis.set_major_formatter(_formatter(panel))
    axes.grid(axis="both")
    for row in panel.outside:
        side = "left" if row["edge"] == panel.domain[0] else "right"
        place: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": 9}
        axes.annotate(
            row["label"],
            (row["edge"], heights[row["activation"]]),
            xytext=(4 if side == "left" else -4, 0),
            **place,
        )
    return heights


def dots(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    """Draw means with intervals and single seeds, an activation a row."""
    heights, beyond = _bands(axes, panel), {row["activation"] for row in panel.outside}
    if panel.reference is not None:
        axes.axvline(panel.reference, color=LOOK["muted"], linestyle=(0, (4, 3)), linewidth=1.2)
    for row in panel.rows:
        if row["activation"] in beyond:
            continue
        style, at = styles[row["activation"]], float(heights[row["activation"]])
        if row["low"] is not None:
            axes.plot(
                [row["low"], row["high"]],
                [at, at],
                color=style.light,
                alpha=0.28,
                linewidth=6,
                solid_capstyle="round",
            )
        axes.plot(row["mean"], at, marker=MARKERS[style.shape], color=style.light, markersize=8.5)
    for row in panel.seeds:
        at = heights[row["activation"]] - 0.27
        axes.plot(row["value"], at, "o", color=styles[row["activation"]].light, markersize=3.6, alpha=0.8)


def differences(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    """Draw differences around zero: filled where they are real."""
    heights, beyond = _bands(axes, panel), {row["activation"] for row in panel.outside}
    axes.axvline(0.0, color=LOOK["muted"], linestyle=(0, (4, 3)), linewidth=1.2)
    for row in panel.rows:
        style, at = styles[row["activation"]], float(heights[row["activation"]])
        if row["low"] is not None and row["activation"] not in beyond:
            axes.plot([row["low"], row["high"]], [at, at], color=style.light, linewidth=1.8)
        inside = style.light if row["significant"] else "white"
        axes.plot(
            row["mean"], at, marker=MARKERS[style.shape], color=style.light, markerfacecolor=inside, markersize=8.5,
            markeredgewidth=1.8,
        )  # fmt: skip


def heat(axes: Axes, panel: Panel) -> Any:
    """Draw the cells of one activation; returns what a colour bar needs."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    xs, ys = sorted({row["x"] for row in panel.rows}), sorted({row["y"] for row in panel.rows})
    grid = np.full((len(ys), len(xs)), np.nan)
    zeros = np.zeros(grid.shape, dtype=bool)
    for row in panel.rows:
        place = ys.index(row["y"]), xs.index(row["x"])
        zeros[place] = row["value"] is None
        grid[place] = math.nan if row["value"] is None else row["value"]
    edges = [np.append(np.array(v, dtype=float) - 0.5, v[-1] + 0.5) for v in (xs, ys)]
    scale: Any = LogNorm if panel.log else Normalize
    colours = LinearSegmentedColormap.from_list("heat", HEAT)
    axes.pcolormesh(*edges, np.where(zeros, 1.0, np.nan), cmap=_single(LOOK["zero"]), vmin=0, vmax=1)
    drawn = axes.pcolormesh(*edges, np.clip(grid, *panel.domain), cmap=colours, norm=scale(*panel.domain))
    axes.set_ylabel(panel.y_title)
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    return drawn


def _single(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])


def runs(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    """Draw the measure against the run, activations beside each other at each run."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    place = {run: i for i, run in enumerate(panel.order)}
    beside = {name: SHARE * offset for name, offset in offsets(panel, styles).items()}
    for name, style in styles.items():
        rows = [row for row in panel.rows if row["activation"] == name and row["mean"] is not None]
        x = [place[row["run"]] + beside[name] for row in rows]
        y = [row["mean"] for row in rows]
        axes.plot(
            x, y, color=style.light, linestyle=_dash(style), linewidth=1.3, marker=MARKERS[style.shape], markersize=6.5,
            label=printable(name, LONGEST_LABEL),
        )  # fmt: skip
        for at, row in zip(x, rows, strict=True):
            if row["low"] is not None:
                axes.plot([at, at], [row["low"], row["high"]], color=style.light, linewidth=2, alpha=0.45)
    for row in panel.marked:
        style, at = styles[row["activation"]], place[row["run"]] + beside[row["activation"]]
        axes.plot(
            at,
            row["y"],
            marker=MARKERS[style.shape],
            markerfacecolor="none",
            markeredgecolor=style.light,
            markersize=9,
        )
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator(panel.ticks))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(*panel.domain)
    axes.set_xticks(
        list(place.values()), [printable(run, 20) for run in place], rotation=0 if len(place) <= 8 else 40
    )
    axes.yaxis.set_major_formatter(_formatter(panel))
    axes.set_ylabel(panel.y_title)
    axes.grid(axis="y")
    axes.legend(fontsize=8.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
