"""The report's charts as PNG files, drawn by Matplotlib from the same panels as the interactive ones.

No pyplot: a figure is an object of its own here, so drawing needs no display, changes no global state, and can run in
any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.bakeoff.report.intervals import BAND
from triode.bakeoff.report.lines import LONGEST_LABEL
from triode.bakeoff.report.palette import THEMES, Style
from triode.bakeoff.report.panels import PANEL_HEIGHT, Chart, Panel
from triode.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCH = 100
"""Pixels of the panel's layout in an inch of the figure."""
DPI = 160
MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "cross": "P", "triangle-up": "^", "triangle-down": "v",
    "triangle-right": ">", "triangle-left": "<",
}  # fmt: skip
LOOK = THEMES["light"]
RC: dict[Any, Any] = {
    "font.size": 9.5, "axes.edgecolor": LOOK["line"], "axes.labelcolor": LOOK["muted"], "axes.titlecolor": LOOK["ink"],
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.spines.left": False, "xtick.color": LOOK["muted"], "ytick.color": LOOK["muted"],
    "ytick.major.size": 0, "axes.formatter.use_mathtext": False, "ytick.minor.size": 0, "xtick.minor.size": 0,
    "grid.color": LOOK["grid"], "axes.axisbelow": True,
    "text.color": LOOK["ink"], "text.parse_math": False,
}  # fmt: skip


def draw(charts: Sequence[Chart], styles: Mapping[str, Style], folder: Path) -> dict[str, Path]:
    """Write `folder/ID.png` for every chart.

    Raises `MissingExtra` where Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtra("matplotlib", "Drawing pictures of the charts", "plot") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with mpl.rc_context(RC):
        for chart in charts:
            written[chart.id] = folder / f"{chart.id}.png"
            _figure(chart, styles, written[chart.id])
    return written


def _figure(chart: Chart, styles: Mapping[str, Style], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = 2 if len(chart.panels) > 1 else 1
    rows = -(-len(chart.panels) // columns)
    heights = [BAND * len(panel.order) if panel.order else PANEL_HEIGHT for panel in chart.panels]
    height = max(heights)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.04, hspace=0.05)
    size = (5.6 * columns, rows * (height + 95) / INCH)
    figure = Figure(figsize=size, dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    for i, panel in enumerate(chart.panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        {"lines": _lines, "dots": _dots, "differences": _differences}[panel.kind](axes, panel, styles)
        axes.set_title(_plain(panel.title), pad=9)
        axes.set_xlabel(_plain(panel.x_title))
    figure.savefig(path, facecolor="white", metadata={"Software": "Triode", "Title": chart.title})


def _dash(style: Style) -> Any:
    return "-" if style.dash == (1, 0) else (0, tuple(d / 2 for d in style.dash))


def _lines(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

    for name, style in styles.items():
        rows = [row for row in panel.rows if row["activation"] == name]
        if not rows:
            continue
        x, y = [row["x"] for row in rows], [row["y"] for row in rows]
        if panel.whole:
            low, high = [row["low"] for row in rows], [row["high"] for row in rows]
            axes.fill_between(x, low, high, color=style.light, alpha=0.13, linewidth=0)
        mark: dict[str, Any] = {"marker": MARKERS[style.shape], "markersize": 5.5} if panel.dotted else {}
        axes.plot(x, y, color=style.light, linestyle=_dash(style), linewidth=1.7, **mark)
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator(panel.ticks))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(*panel.domain)
    axes.yaxis.set_major_formatter(_formatter(panel))
    axes.set_ylabel(panel.y_title)
    axes.grid(axis="y")
    first, last = min(row["x"] for row in panel.rows), max(row["x"] for row in panel.rows)
    room = 0.04 * (last - first) or 0.5
    room *= panel.dotted
    axes.set_xlim(first - room if panel.whole else 0.0, last + room)
    if panel.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _names(axes, panel, styles)


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
            at = (row["x"] - low) / (high - low)
            leader: dict[str, Any] = {"color": style.light, "linewidth": 0.8, "alpha": 0.5, "clip_on": False}
            axes.plot([at, 1.03], [row["y"], row["label_y"]], transform=axes.get_yaxis_transform(), **leader)
        axes.plot(
            1.045, row["label_y"], marker=MARKERS[style.shape], color=style.light, markersize=5.5, clip_on=False,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        name = _plain(row["label"], LONGEST_LABEL)
        axes.annotate(
            name, (1.045, row["label_y"]), xytext=(7, 0), annotation_clip=False, fontsize=9, **place
        )


def _formatter(panel: Panel) -> Any:
    from matplotlib.ticker import FuncFormatter

    if panel.percent:
        return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
    return FuncFormatter(lambda value, _: f"{value:g}")


def _plain(text: str, longest: int = 64) -> str:
    """A text without its control characters, for which no font has a glyph, cut where it would push the axes away."""
    printable = "".join(c for c in text if c.isprintable())
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def _bands(axes: Axes, panel: Panel) -> dict[str, int]:
    heights = {name: len(panel.order) - 1 - i for i, name in enumerate(panel.order)}
    axes.set_yticks(list(heights.values()), [_plain(name, LONGEST_LABEL) for name in heights])
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


def _dots(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
    heights, beyond = _bands(axes, panel), {row["activation"] for row in panel.outside}
    for row in panel.rows:
        style, at = styles[row["activation"]], float(heights[row["activation"]])
        if row["low"] is not None and row["activation"] not in beyond:
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


def _differences(axes: Axes, panel: Panel, styles: Mapping[str, Style]) -> None:
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
