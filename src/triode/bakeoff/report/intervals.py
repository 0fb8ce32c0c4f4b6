"""Means with intervals, an activation a row: with the single seeds, or as differences around zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triode.bakeoff.report import encodings as encode
from triode.bakeoff.report.encodings import Spec, forward, number_format
from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import Panel, Row

BAND = 34
"""Height of an activation's band, in pixels."""


def _band_axis(panel: Panel) -> Spec:
    order = list(panel.order)
    return {
        "field": "activation",
        "type": "nominal",
        "sort": order,
        "scale": {"domain": order},
        "axis": {
            "title": None,
            "ticks": False,
            "domain": False,
            "grid": True,
            "labelPadding": 8,
            "labelLimit": 120,
        },
    }


def _value_axis(panel: Panel, name: str) -> Spec:
    axis = {"title": panel.x_title, "format": number_format(panel), "tickCount": 5, "grid": True}
    scale = {"domain": list(panel.domain), "nice": False, "zero": False}
    return {"field": name, "type": "quantitative", "axis": axis, "scale": scale}


def _interval_tooltip(panel: Panel, *more: Spec) -> list[Spec]:
    form = number_format(panel, precise=True)
    return [
        {"field": "activation", "type": "nominal", "title": "activation"},
        {"field": "mean", "type": "quantitative", "title": panel.centre, "format": form},
        {"field": "low", "type": "quantitative", "title": "95% from", "format": form},
        {"field": "high", "type": "quantitative", "title": "95% to", "format": form},
        {"field": "n", "type": "quantitative", "title": "seeds", "format": "d"},
        *more,
    ]


def dots(panel: Panel, styles: Mapping[str, Style]) -> Spec:
    """Mean, interval and single seeds of each activation."""
    y, colour = _band_axis(panel), encode.colour(styles)
    tooltip = _interval_tooltip(panel)
    measured = _measured(panel, panel.rows)
    form = number_format(panel, precise=True)
    return {
        "height": BAND * len(panel.order),
        "usermeta": {"band": BAND},
        "padding": {"left": 2, "top": 8, "bottom": 2, "right": 8},
        "data": {"name": "values", "values": list(panel.rows)},
        "layer": [
            *_reference(panel),
            {
                "data": {"name": "intervals", "values": measured},
                "mark": {"type": "rule", "strokeWidth": 7, "strokeCap": "round", "clip": True},
                "encoding": {
                    "y": y,
                    "x": _value_axis(panel, "low"),
                    "x2": {"field": "high"},
                    "color": colour,
                    "opacity": forward(0.28, 0.06),
                    "tooltip": tooltip,
                },
            },
            {
                "data": {"name": "seeds", "values": list(panel.seeds)},
                "mark": {
                    "type": "point",
                    "filled": True,
                    "size": 30,
                    "yOffset": 9,
                    "clip": True,
                    "opacity": 1,
                },
                "encoding": {
                    "y": y,
                    "x": _value_axis(panel, "value"),
                    "color": colour,
                    "opacity": forward(0.75, 0.08),
                    "tooltip": [
                        {"field": "activation", "type": "nominal", "title": "activation"},
                        {"field": "seed", "type": "quantitative", "title": "seed", "format": "d"},
                        {"field": "value", "type": "quantitative", "title": panel.x_title, "format": form},
                    ],
                },
            },
            {
                "mark": {
                    "type": "point",
                    "filled": True,
                    "size": 130,
                    "cursor": "pointer",
                    "clip": True,
                    "opacity": 1,
                },
                "encoding": {
                    "y": y,
                    "x": _value_axis(panel, "mean"),
                    "color": colour,
                    "shape": encode.shape(styles),
                    "opacity": forward(),
                    "tooltip": tooltip,
                },
            },
            *_outside(panel, y, tooltip),
        ],
    }


def _reference(panel: Panel) -> list[Spec]:
    if panel.reference is None:
        return []
    return [
        {
            "data": {"name": "reference", "values": [{"reference": panel.reference}]},
            "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5},
            "encoding": {"x": _value_axis(panel, "reference")},
        }
    ]


def _measured(panel: Panel, rows: Sequence[Row]) -> list[Row]:
    """The rows whose interval is drawn: not those that are written at the edge instead."""
    beyond = {row["activation"] for row in panel.outside}
    return [row for row in rows if row["low"] is not None and row["activation"] not in beyond]


def _outside(panel: Panel, y: Spec, tooltip: list[Spec]) -> list[Spec]:
    """Means beyond the axis, written at the end of it that they lie behind."""
    rows = {row["activation"]: row for row in panel.rows}
    written = []
    for align, end in (("left", panel.domain[0]), ("right", panel.domain[1])):
        beyond = [{**rows[row["activation"]], **row} for row in panel.outside if row["edge"] == end]
        if beyond:
            said = [tooltip[0], {"field": "label", "type": "nominal", "title": panel.centre}]
            worded = any("written" in row for row in beyond)
            written.append(
                {
                    "data": {"name": f"beyond-{align}", "values": beyond},
                    "mark": {
                        "type": "text",
                        "align": align,
                        "dx": 4 if align == "left" else -4,
                        "cursor": "pointer",
                    },
                    "encoding": {
                        "y": y,
                        "x": _value_axis(panel, "edge"),
                        "text": {"field": "label", "type": "nominal"},
                        "opacity": forward(1.0, 0.25),
                        "tooltip": said if worded else tooltip,
                    },
                }
            )
    return written


def differences(panel: Panel, styles: Mapping[str, Style]) -> Spec:
    """Differences from the best: filled where they are real, hollow where they may be luck."""
    y, colour = _band_axis(panel), encode.colour(styles)
    tooltip = _interval_tooltip(
        panel,
        {"field": "p", "type": "quantitative", "title": "corrected p", "format": ".3~g"},
        {"field": "verdict", "type": "nominal", "title": "verdict"},
    )
    rows = [{**row, "verdict": "real" if row["significant"] else "noise"} for row in panel.rows]
    measured = _measured(panel, rows)
    point = {"type": "point", "size": 130, "clip": True, "strokeWidth": 2, "cursor": "pointer", "opacity": 1}
    at = {
        "y": y,
        "x": _value_axis(panel, "mean"),
        "color": colour,
        "shape": encode.shape(styles),
        "tooltip": tooltip,
    }
    return {
        "height": BAND * len(panel.order),
        "usermeta": {"band": BAND},
        "padding": {"left": 2, "top": 8, "bottom": 2, "right": 8},
        "data": {"name": "values", "values": rows},
        "layer": [
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5},
                "encoding": {"x": _value_axis(panel, "zero")},
            },
            {
                "data": {"name": "intervals", "values": measured},
                "mark": {"type": "rule", "strokeWidth": 2, "clip": True},
                "encoding": {
                    "y": y,
                    "x": _value_axis(panel, "low"),
                    "x2": {"field": "high"},
                    "color": colour,
                    "opacity": forward(),
                    "tooltip": tooltip,
                },
            },
            {
                "data": {"name": "real", "values": [row for row in rows if row["significant"]]},
                "mark": {**point, "filled": True},
                "encoding": {**at, "opacity": forward()},
            },
            {
                "data": {"name": "noise", "values": [row for row in rows if not row["significant"]]},
                "mark": {**point, "filled": False},
                "encoding": {**at, "opacity": forward()},
            },
            *_outside(panel, y, tooltip),
        ],
    }
