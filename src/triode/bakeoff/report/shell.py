"""The frame that every page shares: one HTML file that opens from disk and fetches nothing.

Whatever comes from the data is escaped where it enters the page. As a second lock the page carries a content security
policy: no request of any kind, and no script but the four whose checksums it names and its own data.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from triode.bakeoff.report.charts import vega_lite
from triode.bakeoff.report.palette import HEAT, SHAPE_PATHS, THEMES, Style
from triode.bakeoff.report.panels import Chart, Panel, Table
from triode.bakeoff.report.words import CLOSE, OPEN

SCRIPTS = ("vega/vega.min.js", "vega/vega-lite.min.js", "vega/vega-embed.min.js")
LOGO = (
    '<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
    'aria-hidden="true">'
    '<circle cx="16" cy="16" r="12.5"/><path d="M16 .8V9M9.5 9h13M4 16h3.2M10.4 16h3.2M18.4 16h3.2M24.8 '
    '16H28"/>'
    '<path d="M9.5 24.8V23.6a2 2 0 0 1 2-2h9a2 2 0 0 1 2 2v7.2"/></svg>'
)
"""The circuit symbol of a triode: anode, grid, cathode."""


def document(
    title: str,
    header: str,
    body: Sequence[str],
    sections: Sequence[tuple[str, str]],
    shown: Sequence[Chart],
    look: Mapping[str, Style],
) -> str:
    """A whole page: its head, header, contents, body and scripts.

    Args:
        title: Of the page, as text.
        header: Markup below the title.
        body: Markup of the sections.
        sections: Anchor and title of each, for the table of contents.
        shown: The charts that `body` has places for.
        look: How each activation is drawn.
    """
    scripts = [*(_asset(name) for name in SCRIPTS), _asset("page.js")]
    contents = "".join(f'<li><a href="#{anchor}">{text(name)}</a></li>' for anchor, name in sections)
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="generator" content="Triode">',
        f"<title>{text(title)} · Triode</title>",
        f"<style>\n{_variables(look)}\n{_asset('page.css')}</style>",
        "</head>",
        "<body>",
        f'<a class="skip" href="#{sections[0][0]}">Skip to {text(sections[0][1].lower())}</a>',
        '<div class="page">',
        f'<header><div class="kicker">{LOGO}<span>Triode bake-off</span><button type="button" class="theme"></button>'
        f"</div><h1>{text(title)}</h1>{header}</header>",
        f'<nav class="contents" aria-label="Contents"><ol>{contents}</ol></nav>',
        "<main>",
        f'<details class="contents-small"><summary>Contents</summary><ol>{contents}</ol></details>',
        *body,
        _footer(),
        "</main></div>",
        f'<script type="application/json" id="specifications">{_specifications(shown, look)}</script>',
        *(f"<script>{script}</script>" for script in scripts),
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(lines)


def text(value: object) -> str:
    """Escaped text, for the inside of an element or of a quoted attribute; control characters are dropped."""
    return html.escape("".join(c for c in str(value) if c.isprintable() or c in "\n\t"), quote=True)


def marked(sentence: str) -> str:
    """Escaped text in which the marked names are set apart."""
    parts = html.escape(sentence, quote=True)
    return parts.replace(OPEN, "<code>").replace(CLOSE, "</code>")


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """The facts in the header."""
    entries = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{entries}</dl>'


def swatch(style: Style, colour: str, line: bool = True) -> str:
    """A sample of an activation's line and point."""
    dash = "" if style.dash == (1, 0) else f' stroke-dasharray="{" ".join(str(d) for d in style.dash)}"'
    stroke = f'<path d="M1 7H33" stroke="{colour}" stroke-width="2"{dash}/>' if line else ""
    box = "0 0 34 14" if line else "10 0 14 14"
    return (
        f'<svg class="swatch{"" if line else " point"}" viewBox="{box}" aria-hidden="true">{stroke}'
        f'<path d="{SHAPE_PATHS[style.shape]}" transform="translate(17 7)" fill="{colour}"/></svg>'
    )


def filters(look: Mapping[str, Style]) -> str:
    """The bar that chooses the activations shown in every chart and table, and says how each is drawn."""
    chips = "".join(
        f'<label class="chip" style="--own: var(--series-{i})"><input type="checkbox" checked '
        f'data-name="{text(name)}">{swatch(style, f"var(--series-{i})")}<span>{text(name)}</span></label>'
        for i, (name, style) in enumerate(look.items())
    )
    return (
        '<div class="filter" role="group" aria-label="Activations shown in every chart and table">'
        '<input type="search" id="find" placeholder="Filter by name" autocomplete="off" spellcheck="false" '
        'aria-label="Show only activations whose name contains this text">'
        f'<div class="chips">{chips}</div><button type="button" class="chip all">all</button>'
        '<button type="button" class="chip none">none</button>'
        '<output class="count" aria-live="polite"></output></div>'
    )


def chart(shown: Chart) -> str:
    """The section of a chart: its words, places for its panels, and its numbers."""
    panels = "".join(
        f'<figure class="panel"{_owner(panel)}><h3>{text(panel.title)}</h3><div class="chart" '
        f'data-panel="{shown.id}-{i}"></div></figure>'
        for i, panel in enumerate(shown.panels)
    )
    heat = shown.panels[0].kind == "heat"
    tables = [(shown.title, shown.table), *shown.more]
    return (
        f'<section id="{shown.id}"><h2>{text(shown.title)}</h2><p class="lead">{text(shown.lead)}</p>'
        f'<div class="card"><div class="panels{" small" if heat else ""}{" wide" if _wide(shown) else ""}">'
        f"{panels}</div>{_scale(shown.panels[0]) if heat else ''}"
        f'<p class="caption">{text(shown.caption)}</p>{"".join(folded(t, title) for title, t in tables)}'
        "</div></section>"
    )


def _wide(shown: Chart) -> bool:
    return len(shown.panels) == 1 or shown.panels[0].kind == "runs"


def _owner(panel: Panel) -> str:
    return f' data-name="{text(panel.owner)}"' if panel.owner else ""


def _scale(panel: Panel) -> str:
    """The colours of a heat map and what they stand for."""
    low, high = panel.domain
    words = [
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")
        for value in (low, math.sqrt(low * high), high)
    ]
    ends = "".join(f"<span>{word}</span>" for word in words)
    return (
        f'<div class="scale"><div class="ramp" style="background: linear-gradient(to right, {", ".join(HEAT)})"></div>'
        f'<div class="ends">{ends}</div></div>'
    )


def folded(table: Table, title: str) -> str:
    """A table of numbers, folded away."""
    if not table.columns:
        return ""
    kinds = [all(isinstance(row[i], str) for row in table.rows) for i in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{" class=text" if kind else ""}><button type="button">{text(column)}</button></th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    named = table.columns[0] == "activation"
    body = "".join(
        (f'<tr data-name="{text(row[0])}">' if named else "<tr>")
        + "".join(_value(v, f) for v, f in zip(row, table.formats, strict=True))
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<details class="data"><summary>Data table: {text(title[:1].lower() + title[1:])}</summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Data: {text(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _value(value: Any, form: str) -> str:
    if isinstance(value, str):
        return f'<td class="text">{text(value)}</td>'
    return f"<td>{table_number(value, form)}</td>"


def table_number(value: float, form: str) -> str:
    """A number in a table; a dash for what is not a finite number."""
    if not math.isfinite(value):
        return "never" if value == math.inf else "–"
    return format(value, form)


def _specifications(shown: Sequence[Chart], look: Mapping[str, Style]) -> str:
    """The charts' specifications as JSON that no HTML parser can take for markup."""
    panels = {
        f"{one.id}-{i}": vega_lite(panel, look, f"{one.title}: {panel.title}. {one.lead}")
        for one in shown
        for i, panel in enumerate(one.panels)
    }
    data = json.dumps(
        {"names": list(look), "panels": rounded(panels)}, separators=(",", ":"), allow_nan=False
    )
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def rounded(node: Any) -> Any:
    """The same with six digits in every number: no screen shows more, and it halves the page."""
    if isinstance(node, float):
        return float(f"{node:.6g}")
    if isinstance(node, dict):
        return {key: rounded(value) for key, value in node.items()}
    return [rounded(value) for value in node] if isinstance(node, list | tuple) else node


@cache
def _asset(name: str) -> str:
    """A file of the page, ready to stand inside a script or style element."""
    found = files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
    # Inside strings and regular expressions, the only places where these can stand, `\/` and `\!` mean the same.
    return found.replace("</script", "<\\/script").replace("</SCRIPT", "<\\/SCRIPT").replace("<!--", "<\\!--")


def _policy(scripts: Iterable[str]) -> str:
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _variables(look: Mapping[str, Style]) -> str:
    def block(theme: str) -> str:
        own = {
            f"series-{i}": style.light if theme == "light" else style.dark
            for i, style in enumerate(look.values())
        }
        return f"color-scheme: {theme}; " + " ".join(
            f"--{name}: {value};" for name, value in {**THEMES[theme], **own}.items()
        )

    return "\n".join(
        [
            f":root {{ {block('light')} }}",
            f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {block('dark')} }} }}",
            f":root[data-theme=dark] {{ {block('dark')} }}",
        ]
    )


def _footer() -> str:
    licences = text(_asset("vega/LICENSES.txt"))
    return (
        "<footer>Written by Triode. This page is one file, works offline and requests nothing."
        '<noscript><p class="undrawn">The charts need JavaScript; their numbers are in the tables, and pictures of '
        "them beside this page in report.md.</p></noscript>"
        "<details class=licences><summary>Charts by Vega, Vega-Lite and Vega-Embed: licences</summary>"
        f"<pre>{licences}</pre></details></footer>"
    )
