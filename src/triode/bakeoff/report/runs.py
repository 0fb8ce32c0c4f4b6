"""A measure against the run: a line for each activation, intervals, and published figures as hollow marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triode.bakeoff.report import encodings as encode
from triode.bakeoff.report.encodings import Spec, forward, number_format
from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import Panel, Row

RUNS_HEIGHT = 340
"""Height of the plotting area in pixels."""
SHARE = 0.3
"""Share of the way between two runs over which activations are spread, so that their intervals stay apart."""


def offsets(panel: Panel, styles: Mapping[str, Style]) -> dict[str, float]:
    """How far each activation stands to the right of its run, as a share of `SHARE`, from -0.5 to 0.5."""
    present = {row["activation"] for row in (*panel.rows, *panel.marked)}
    names = [name for name in styles if name in present]
    return {name: (i - (len(names) - 1) / 2) / max(1, len(names) - 1) for i, name in enumerate(names)}


def runs(panel: Panel, styles: Mapping[str, Style]) -> Spec:
    """Runs from left to right in their order."""
    place = {run: i for i, run in enumerate(panel.order)}
    beside = offsets(panel, styles)
    colour, dash, shape = encode.colour(styles), encode.dash(styles), encode.shape(styles)

    def placed(rows: Sequence[Row]) -> list[Row]:
        return [{**row, "x": place[row["run"]] + SHARE * beside[row["activation"]]} for row in rows]

    # The names of runs are data: as text marks they need no expression, which an axis would.
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "axis": {
            "title": None,
            "labels": False,
            "ticks": False,
            "values": list(place.values()),
            "grid": True,
        },
        "scale": {"domain": [-0.5, len(place) - 0.5], "nice": False, "zero": False},
    }
    form = number_format(panel, precise=True)
    y_scale: Spec = {"domain": list(panel.domain), "nice": False}
    y_scale |= {"type": "log"} if panel.log else {"zero": False}
    y: Spec = {
        "field": "mean",
        "type": "quantitative",
        "axis": {"title": panel.y_title, "format": number_format(panel), "tickCount": 6}
        | ({"values": panel.ticks} if panel.log else {}),
        "scale": y_scale,
    }
    tooltip: list[Spec] = [
        {"field": "activation", "type": "nominal", "title": "activation"},
        {"field": "run", "type": "nominal", "title": "run"},
        {"field": "mean", "type": "quantitative", "title": panel.y_title, "format": form},
    ]
    own: list[Spec] = [
        {"field": "low", "type": "quantitative", "title": "95% from", "format": form},
        {"field": "high", "type": "quantitative", "title": "95% to", "format": form},
        {"field": "n", "type": "quantitative", "title": "seeds", "format": "d"},
    ]
    rows = placed(panel.rows)
    measured = [row for row in rows if row["low"] is not None]
    at = {"x": x, "y": y, "color": colour}
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "strokeWidth": 1.6, "clip": True},
            "encoding": {**at, "strokeDash": dash, "opacity": forward(0.75)},
        },
        {
            "data": {"name": "intervals", "values": measured},
            "mark": {"type": "rule", "strokeWidth": 2.5, "clip": True},
            "encoding": {**at, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "opacity": forward(0.45)},
        },
        {
            "mark": {
                "type": "point",
                "filled": True,
                "size": 75,
                "clip": True,
                "cursor": "pointer",
                "opacity": 1,
            },
            "encoding": {**at, "shape": shape, "opacity": forward(), "tooltip": [*tooltip, *own]},
        },
    ]
    if panel.marked:
        published = [{**row, "mean": row["y"]} for row in placed(panel.marked)]
        cited: Spec = {"field": "source", "type": "nominal", "title": "source"}
        layers.append(
            {
                "data": {"name": "published", "values": published},
                "mark": {
                    "type": "point",
                    "filled": False,
                    "size": 110,
                    "clip": True,
                    "strokeWidth": 1.8,
                    "opacity": 1,
                },
                "encoding": {**at, "shape": shape, "opacity": forward(), "tooltip": [*tooltip, cited]},
            }
        )
    slanted = len(place) > 8
    layers.append(
        {
            "data": {"name": "names", "values": [{"run": run, "x": i} for run, i in place.items()]},
            "mark": {
                "type": "text",
                "baseline": "top",
                "dy": 8,
                "limit": 120,
                "angle": -35 if slanted else 0,
                "align": "right" if slanted else "center",
            },
            "encoding": {
                "x": x,
                "y": {"value": {"expr": "height"}},
                "text": {"field": "run", "type": "nominal"},
            },
        }
    )
    return {
        "height": RUNS_HEIGHT,
        "padding": {"left": 2, "top": 8, "bottom": 4, "right": 8},
        "data": {"name": "values", "values": rows},
        "layer": layers,
    }
