"""The report's charts as PNG files, drawn by Matplotlib from the same panels as the interactive ones.

No pyplot: a figure is an object of its own here, so drawing needs no display, changes no global state, and can run in
any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triode.bakeoff.report import strokes
from triode.bakeoff.report.heat import heat_height
from triode.bakeoff.report.intervals import BAND
from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import PANEL_HEIGHT, Chart, Panel
from triode.bakeoff.report.runs import RUNS_HEIGHT
from triode.bakeoff.report.strokes import LOOK, printable
from triode.errors import MissingExtra

INCH = 100
"""Pixels of the panel's layout in an inch of the figure."""
DPI = 130
MOST_ACROSS = 4
"""Heat maps side by side."""
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

    kind = chart.panels[0].kind
    columns = min(len(chart.panels), {"heat": MOST_ACROSS, "runs": 1}.get(kind, 2))
    rows = -(-len(chart.panels) // columns)
    heights = [_height(panel) for panel in chart.panels]
    # Each row of panels as high as its highest; a heat map is narrow.
    ratios = [max(heights[i * columns : (i + 1) * columns]) for i in range(rows)]
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.04, hspace=0.05)
    width = 3.0 if kind == "heat" else 7.6 if columns == 1 else 5.6
    size = (max(width * columns, 5.6), sum(ratio + 95 for ratio in ratios) / INCH)
    figure = Figure(figsize=size, dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns, height_ratios=ratios)
    drawn: list[Any] = []
    for i, panel in enumerate(chart.panels):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        if panel.kind == "heat":
            drawn.append((axes, strokes.heat(axes, panel)))
        else:
            draw = {
                "lines": strokes.lines, "dots": strokes.dots, "differences": strokes.differences, "runs": strokes.runs,
            }[panel.kind]  # fmt: skip
            draw(axes, panel, styles)
        axes.set_title(printable(panel.title, 22 if kind == "heat" else 52), pad=9)
        axes.set_xlabel(printable(panel.x_title, 58))
    if drawn:
        bar = figure.colorbar(drawn[0][1], ax=[axes for axes, _ in drawn], shrink=0.8, aspect=30, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
    figure.savefig(
        path,
        facecolor="white",
        metadata={"Software": "Triode", "Title": chart.title},
        pil_kwargs={"compress_level": 3},
    )


def _height(panel: Panel) -> int:
    if panel.kind in ("dots", "differences"):
        return BAND * len(panel.order)
    if panel.kind == "heat":
        return heat_height(panel)
    return RUNS_HEIGHT if panel.kind == "runs" else PANEL_HEIGHT
