"""A panel as a Vega-Lite specification: a plain dictionary, without colours of its own.

The page brings the theme: colours come from `config.range.category` in the order of the activations, so that one
specification serves light and dark. The parameter `highlight` holds the names to bring forward; the page sets it in
every chart at once. To hide an activation the page leaves out its rows, which all name it in `activation`. Expressions
are few and fixed: no name from the data is ever part of one.

Source: A. Satyanarayan et al., "Vega-Lite: a grammar of interactive graphics", IEEE TVCG, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping

from triode.bakeoff.report.encodings import Spec
from triode.bakeoff.report.heat import heat
from triode.bakeoff.report.intervals import differences, dots
from triode.bakeoff.report.lines import lines
from triode.bakeoff.report.palette import Style
from triode.bakeoff.report.panels import Panel
from triode.bakeoff.report.runs import runs

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name that says the version; nothing fetches it


def vega_lite(panel: Panel, styles: Mapping[str, Style], description: str = "") -> Spec:
    """The specification of `panel`, for the activations of `styles` in their order."""
    if panel.kind == "heat":
        drawn = heat(panel)
    else:
        draw = {"lines": lines, "dots": dots, "differences": differences, "runs": runs}[panel.kind]
        drawn = draw(panel, styles)
    return {
        "$schema": SCHEMA,
        "description": description or panel.title,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "params": [{"name": "highlight", "value": []}],
        **drawn,
    }
