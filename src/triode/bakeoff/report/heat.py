"""A number for every epoch and layer of one activation, as colours; one panel an activation, one scale for all."""

from __future__ import annotations

import math

from triode.bakeoff.report.encodings import Spec, number_format
from triode.bakeoff.report.palette import HEAT
from triode.bakeoff.report.panels import Panel

HEAT_HEIGHT = 150
"""Height of a heat map in pixels; deeper networks get thinner rows, and `TALL` where there are many."""
TALL = 240
MANY = 16
"""Layers from which a heat map is tall."""


def heat_height(panel: Panel) -> int:
    """Height of the plotting area of a heat map, in pixels."""
    return TALL if max((row["y"] for row in panel.rows), default=0) >= MANY else HEAT_HEIGHT


def heat(panel: Panel) -> Spec:
    """Cells from the first layer (below) to the last, epoch by epoch; an exact zero has a colour of its own."""
    xs, ys = (sorted({row[key] for row in panel.rows}) for key in ("x", "y"))
    axis: Spec = {
        "titlePadding": 4,
        "grid": False,
        "labelAngle": 0,
        "labelFontSize": 11,
        "ticks": False,
        "domain": False,
    }
    x = {
        "field": "x",
        "type": "ordinal",
        "axis": {"title": panel.x_title, **axis, "values": few(xs)},
        "scale": {"domain": xs, "padding": 0},
    }
    y = {
        "field": "y",
        "type": "ordinal",
        "axis": {"title": panel.y_title, **axis, "values": few(ys)},
        "scale": {"domain": ys[::-1], "padding": 0},
    }
    value = {
        "field": "value",
        "type": "quantitative",
        "legend": None,
        "scale": {
            "type": "log" if panel.log else "linear",
            "domain": _stops(panel),
            "range": list(HEAT),
            "interpolate": "rgb",
            "clamp": True,
            "nice": False,
        },
    }
    form = ".2e" if panel.log else number_format(panel, precise=True)
    tooltip: list[Spec] = [
        {"field": "x", "type": "quantitative", "title": panel.x_title, "format": "d"},
        {"field": "y", "type": "quantitative", "title": panel.y_title, "format": "d"},
    ]
    # The title says whose they are: a name in each of thousands of rows would fill the page.
    known = [{key: row[key] for key in ("x", "y", "value")} for row in panel.rows if row["value"] is not None]
    zero = [
        {"x": row["x"], "y": row["y"], "shown": "exactly 0"} for row in panel.rows if row["value"] is None
    ]
    shown: Spec = {"field": "value", "type": "quantitative", "title": panel.what, "format": form}
    layers: list[Spec] = [
        {
            "data": {"name": "cells", "values": known},
            "mark": {"type": "rect", "strokeWidth": 0},
            "encoding": {"x": x, "y": y, "color": value, "tooltip": [*tooltip, shown]},
        }
    ]
    if zero:
        said: Spec = {"field": "shown", "type": "nominal", "title": panel.what}
        layers.append(
            {
                "data": {"name": "zeros", "values": zero},
                "mark": {"type": "rect", "strokeWidth": 0, "style": "zero"},
                "encoding": {"x": x, "y": y, "tooltip": [*tooltip, said]},
            }
        )
    return {
        "height": heat_height(panel),
        "padding": {"left": 2, "top": 4, "bottom": 2, "right": 6},
        "layer": layers,
    }


def few(values: list[int]) -> list[int]:
    """At most six of the values, evenly spaced, for the marks of an axis.

    >>> few(list(range(1, 31)))
    [1, 10, 20, 30]
    """
    if len(values) <= 6:
        return values
    step = next(s for s in (2, 5, 10, 20, 50, 100, 200, 500, len(values)) if len(values) / s <= 5)
    return [v for v in values if v == values[0] or v % step == 0]


def _stops(panel: Panel) -> list[float]:
    """A value for each colour, evenly spaced on the axis of values."""
    low, high = (math.log(end) if panel.log else end for end in panel.domain)
    places = [low + (high - low) * i / (len(HEAT) - 1) for i in range(len(HEAT))]
    return [math.exp(place) if panel.log else place for place in places]
