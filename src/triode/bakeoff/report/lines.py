"""Lines against epoch, layer or time, each named at its end, with a rule that reads all of them at once."""

from __future__ import annotations

from collections.abc import Mapping

from triode.bakeoff.report import encodings as encode
from triode.bakeoff.report.encodings import Spec, forward, number_format
from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import PANEL_HEIGHT, Panel, Row, log_domain, log_ticks

LONGEST_LABEL = 14
"""Letters of a name written beside its line; a longer one is cut there and whole in the tooltip."""


def lines(panel: Panel, styles: Mapping[str, Style]) -> Spec:
    """A line for each activation, with the range of its seeds."""
    xs = sorted({row["x"] for row in panel.rows})
    x_axis: Spec = {"title": panel.x_title, "grid": False}
    if panel.whole:
        x_axis |= {
            "format": "d",
            "tickMinStep": 1,
            "tickCount": 6,
            **({"values": xs} if len(xs) <= 8 else {}),
        }
        x_axis |= {"labelOverlap": "greedy"}
    ends = x_ends(panel)
    x_scale: Spec = {"domain": list(ends), "nice": False}
    if panel.x_log:
        x_scale |= {"type": "log"}
        # All rates of a grid where they have room; otherwise powers of ten.
        x_axis |= {
            "values": xs if len(xs) <= 6 else log_ticks(ends),
            "format": "~g",
            "labelOverlap": "greedy",
        }
    else:
        x_scale |= {"zero": False}
        x_axis |= {"format": ".3~%"} if panel.x_percent else {}
    x: Spec = {"field": "x", "type": "quantitative", "axis": x_axis, "scale": x_scale}
    y_axis: Spec = {"title": panel.y_title, "format": number_format(panel), "tickCount": 6}
    y_scale: Spec = {"domain": list(panel.domain), "nice": False}
    y_scale |= {"type": "log"} if panel.log else {"zero": False}
    if panel.log:
        y_axis["values"] = panel.ticks
    y: Spec = {"field": "y", "type": "quantitative", "axis": y_axis, "scale": y_scale}
    colour, dash, shape = encode.colour(styles), encode.dash(styles), encode.shape(styles)
    layers: list[Spec] = []
    if panel.whole:
        layers.append(
            {
                "mark": {"type": "area", "tooltip": None},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": colour,
                    "opacity": forward(0.13, 0.03),
                },
            }
        )
    layers.append(
        {
            "mark": {"type": "line", "strokeWidth": 2, "strokeJoin": "round"}
            | ({"interpolate": f"step-{panel.steps}"} if panel.steps else {}),
            "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash, "opacity": forward()}
            | ({"tooltip": {"field": "activation", "type": "nominal"}} if panel.steps else {}),
        }
    )
    if panel.dotted:
        layers.append(
            {
                "mark": {"type": "point", "filled": True, "size": 46, "cursor": "pointer", "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "opacity": forward()}
                | ({} if panel.whole else {"tooltip": _tooltip(panel)}),
            }
        )
    if panel.marked:
        ring = {"type": "point", "filled": False, "size": 190, "strokeWidth": 2, "opacity": 1}
        at = {"x": x, "y": y, "color": colour, "opacity": forward(), "tooltip": _tooltip(panel)}
        layers.append(
            {"data": {"name": "marked", "values": list(panel.marked)}, "mark": ring, "encoding": at}
        )
    if panel.reference is not None:
        layers.append(
            {
                "data": {"name": "reference", "values": [{"reference": panel.reference}]},
                "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.2},
                "encoding": {"y": {**y, "field": "reference"}},
            }
        )
    if panel.whole:
        layers.append(_reader(panel, styles, x))
    layers += _end_labels(panel, colour, shape, x, y)
    return {
        "height": PANEL_HEIGHT,
        "padding": {"left": 2, "top": 8, "bottom": 2, "right": 8},
        "data": {"name": "values", "values": list(panel.rows)},
        "layer": layers,
    }


def x_ends(panel: Panel) -> tuple[float, float]:
    """Ends of the horizontal axis: the values, with room for points; time starts at zero."""
    xs = [row["x"] for row in panel.rows]
    low, high = min(xs), max(xs)
    if panel.x_log:
        return log_domain(xs)
    room = (0.04 * (high - low) or 0.5) * (panel.dotted or not panel.whole)
    if panel.x_free:
        return low, high
    return (low - room if panel.whole else 0.0), high + room


def _tooltip(panel: Panel) -> list[Spec]:
    return [
        {"field": "activation", "type": "nominal", "title": "activation"},
        {
            "field": "x",
            "type": "quantitative",
            "title": panel.x_title,
            "format": ".4~%" if panel.x_percent else ".3~g",
        },
        {
            "field": "y",
            "type": "quantitative",
            "title": panel.y_title,
            "format": number_format(panel, precise=True),
        },
    ]


def _reader(panel: Panel, styles: Mapping[str, Style], x: Spec) -> Spec:
    """A rule at the x nearest to the pointer, whose tooltip reads all lines there.

    Its columns are called a0, a1, ...: a name from the data may hold a dot or a bracket, which Vega would
    take for a path.
    """
    columns = {name: f"a{i}" for i, name in enumerate(styles)}
    wide: dict[float, Row] = {}
    for row in panel.rows:
        wide.setdefault(row["x"], {"x": row["x"]})[columns[row["activation"]]] = row["y"]
    present = {row["activation"] for row in panel.rows}
    last = max(wide)
    order = sorted((n for n in columns if n in present), key=lambda n: -wide[last].get(columns[n], -1e300))
    form = number_format(panel, precise=True)
    tooltip: list[Spec] = [
        {"field": "x", "type": "quantitative", "title": panel.x_title.split(" (")[0], "format": "d"}
    ]
    tooltip += [{"field": columns[n], "type": "quantitative", "title": n, "format": form} for n in order]
    return {
        "data": {"name": "reader", "values": [wide[at] for at in sorted(wide)]},
        "mark": {"type": "rule", "strokeWidth": 1},
        "params": [
            {
                "name": "at",
                "select": {
                    "type": "point",
                    "on": "pointerover",
                    "clear": "pointerout",
                    "nearest": True,
                    "encodings": ["x"],
                },
            }
        ],
        "encoding": {
            "x": x,
            "opacity": {"condition": {"param": "at", "empty": False, "value": 0.45}, "value": 0},
            "tooltip": tooltip,
        },
    }


def _end_labels(panel: Panel, colour: Spec, shape: Spec, x: Spec, y: Spec) -> list[Spec]:
    """The names at the right, each after its shape, joined to the end of its line."""
    rows = [dict(row) for row in panel.labels]
    if not rows:
        return []
    for row in rows:
        name = row["label"]
        row["label"] = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
    edge = {**x, "field": "edge"}
    data = {"name": "labels", "values": rows}
    # With a tooltip a mark takes part in events, so that its name can be pressed.
    value = {
        "field": "y",
        "type": "quantitative",
        "title": panel.y_title,
        "format": number_format(panel, precise=True),
    }
    tooltip = [{"field": "label", "type": "nominal", "title": "line"}, value]
    at = {"x": edge, "y": {**y, "field": "label_y"}, "opacity": forward(1.0, 0.25), "tooltip": tooltip}
    joined = [row for row in rows if row["x"] == row["edge"]]
    leader: Spec = {
        "data": {"name": "leaders", "values": [row for row in joined if row["activation"]]},
        "mark": {"type": "rule", "strokeWidth": 1, "xOffset": 3, "x2Offset": 12},
        "encoding": {"x": edge, "x2": {"field": "edge"}, "y": y, "y2": {"field": "label_y"}, "color": colour}
        | {"opacity": forward(0.5, 0.05)},
    }
    marker: Spec = {
        "data": {"name": "markers", "values": [row for row in rows if row["activation"]]},
        "mark": {
            "type": "point",
            "filled": True,
            "size": 52,
            "xOffset": 18,
            "cursor": "pointer",
            "opacity": 1,
        },
        "encoding": {**at, "color": colour, "shape": shape},
    }
    text: Spec = {
        "data": data,
        "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 26, "cursor": "pointer"},
        "encoding": {**at, "text": {"field": "label", "type": "nominal"}},
    }
    return [leader, marker, text]
