"""The encodings that all charts share: colour, shape and dash of an activation, and which are brought forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import Panel

Spec = dict[str, Any]
FORWARD = "!length(highlight) || indexof(highlight, datum.activation) >= 0"


def colour(styles: Mapping[str, Style]) -> Spec:
    """The colour of an activation, which the page's theme chooses by its place in the domain."""
    return {"field": "activation", "type": "nominal", "scale": {"domain": list(styles)}, "legend": None}


def shape(styles: Mapping[str, Style]) -> Spec:
    """The point shape of an activation."""
    scale = {"domain": list(styles), "range": [style.shape for style in styles.values()]}
    return {"field": "activation", "type": "nominal", "scale": scale, "legend": None}


def dash(styles: Mapping[str, Style]) -> Spec:
    """The dashes of an activation's line."""
    scale = {"domain": list(styles), "range": [list(style.dash) for style in styles.values()]}
    return {"field": "activation", "type": "nominal", "scale": scale, "legend": None}


def forward(there: float = 1.0, away: float = 0.12) -> Spec:
    """Opacity: full for the highlighted names, or for all while none is."""
    return {"condition": {"test": FORWARD, "value": there}, "value": away}


def number_format(panel: Panel, precise: bool = False) -> str:
    """The d3 format of the panel's values, on its axis or, more precise, in its tooltips."""
    if panel.percent:
        return ".2%" if precise else ".3~%"
    if panel.signed:
        return "+.3~r" if precise else "~r"
    # "g" writes a hundred as 1e+2; "r" writes a billionth with all its zeros.
    kind = "g" if panel.log and not 1e-4 <= panel.domain[0] <= panel.domain[1] <= 1e5 else "r"
    return f".4~{kind}" if precise else f".6~{kind}"
