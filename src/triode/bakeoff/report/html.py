"""The report as one HTML file that opens from disk and fetches nothing.

Whatever comes from the data is escaped where it enters the page. As a second lock the page carries a content security
policy: no request of any kind, and no script but the five whose checksums it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from triode.bakeoff.report.charts import vega_lite
from triode.bakeoff.report.facts import DOTS, facts, machine, question, steps
from triode.bakeoff.report.palette import SHAPE_PATHS, THEMES, Style, styles
from triode.bakeoff.report.panels import Chart, Table
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.verdict import CLOSE, OPEN, Verdict, judge, percent
from triode.bakeoff.report.views import charts
from triode.bakeoff.stats import Estimate

SCRIPTS = ("vega/vega.min.js", "vega/vega-lite.min.js", "vega/vega-embed.min.js")
LOGO = (
    '<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
    'aria-hidden="true">'
    '<circle cx="16" cy="16" r="12.5"/><path d="M16 .8V9M9.5 9h13M4 16h3.2M10.4 16h3.2M18.4 16h3.2M24.8 '
    '16H28"/>'
    '<path d="M9.5 24.8V23.6a2 2 0 0 1 2-2h9a2 2 0 0 1 2 2v7.2"/></svg>'
)
"""The circuit symbol of a triode: anode, grid, cathode."""


def page(summary: Summary) -> str:
    """The whole report."""
    verdict, shown = judge(summary), charts(summary)
    look = styles([arm.name for arm in summary.arms])
    title = question(summary.results)
    data = _specifications(shown, look)
    scripts = [*(_asset(name) for name in SCRIPTS), _asset("page.js")]
    sections = [
        ("verdict", "Verdict"),
        ("results", "Results"),
        *((c.id, c.title) for c in shown),
        ("reproduce", "Reproduce"),
    ]
    body = [
        '<a class="skip" href="#verdict">Skip to the verdict</a>',
        '<div class="page">',
        _header(summary, title),
        f'<nav class="contents" aria-label="Contents">{_contents(sections)}</nav>',
        "<main>",
        f'<details class="contents-small"><summary>Contents</summary>{_contents(sections)}</details>',
        _verdict(verdict),
        _legend(look),
        _results(summary, look),
        *(_chart(chart) for chart in shown),
        _reproduce(summary),
        _footer(),
        "</main></div>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="generator" content="Triode">',
            f"<title>{_text(title)} · Triode</title>",
            f"<style>\n{_variables(look)}\n{_asset('page.css')}</style>",
            "</head>",
            "<body>",
            *body,
            f'<script type="application/json" id="specifications">{data}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _text(value: object) -> str:
    """Escaped text, for the inside of an element or of a quoted attribute; control characters are dropped."""
    return html.escape("".join(c for c in str(value) if c.isprintable() or c in "\n\t"), quote=True)


def _marked(sentence: str) -> str:
    """Escaped text in which the marked names are set apart."""
    parts = html.escape(sentence, quote=True)
    return parts.replace(OPEN, "<code>").replace(CLOSE, "</code>")


def _specifications(shown: Sequence[Chart], look: Mapping[str, Style]) -> str:
    """The charts' specifications as JSON that no HTML parser can take for markup."""
    panels = {
        f"{chart.id}-{i}": vega_lite(panel, look, f"{chart.title}: {panel.title}. {chart.lead}")
        for chart in shown
        for i, panel in enumerate(chart.panels)
    }
    text = json.dumps({"names": list(look), "panels": panels}, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _asset(name: str) -> str:
    """A file of the page, ready to stand inside a script or style element."""
    text = files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
    # Inside strings and regular expressions, the only places where these can stand, `\/` and `\!` mean the same.
    return text.replace("</script", "<\\/script").replace("</SCRIPT", "<\\/SCRIPT").replace("<!--", "<\\!--")


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


def _header(summary: Summary, title: str) -> str:
    entries = "".join(
        f"<div><dt>{_text(f.name)}</dt><dd>{_text(f.value)}</dd></div>" for f in facts(summary.results)
    )
    return (
        f'<header><div class="kicker">{LOGO}<span>Triode bake-off</span><button type="button" '
        'class="theme"></button></div>'
        f'<h1>{_text(title)}</h1><dl class="facts">{entries}</dl></header>'
    )


def _contents(sections: Iterable[tuple[str, str]]) -> str:
    return (
        "<ol>"
        + "".join(f'<li><a href="#{anchor}">{_text(title)}</a></li>' for anchor, title in sections)
        + "</ol>"
    )


def _verdict(verdict: Verdict) -> str:
    caveats = "".join(f'<li class="failure">{_marked(line)}</li>' for line in verdict.failures)
    caveats += "".join(f"<li>{_marked(line)}</li>" for line in verdict.caveats)
    return (
        '<section class="verdict" id="verdict" aria-label="Verdict"><h2>Verdict</h2>'
        f'<p><span class="headline">{_marked(verdict.headline)}</span> '
        f"{_marked(' '.join(verdict.findings))}</p>"
        f'<ul class="caveats">{caveats}</ul></section>'
    )


def swatch(style: Style, colour: str, line: bool = True) -> str:
    """A sample of an activation's line and point."""
    dash = "" if style.dash == (1, 0) else f' stroke-dasharray="{" ".join(str(d) for d in style.dash)}"'
    stroke = f'<path d="M1 7H33" stroke="{colour}" stroke-width="2"{dash}/>' if line else ""
    box = "0 0 34 14" if line else "10 0 14 14"
    return (
        f'<svg class="swatch{"" if line else " point"}" viewBox="{box}" aria-hidden="true">{stroke}'
        f'<path d="{SHAPE_PATHS[style.shape]}" transform="translate(17 7)" fill="{colour}"/></svg>'
    )


def _legend(look: Mapping[str, Style]) -> str:
    chips = "".join(
        f'<button type="button" class="chip" aria-pressed="false" data-name="{_text(name)}" style="--own: '
        f'var(--series-{i})">'
        f"{swatch(style, f'var(--series-{i})')}{_text(name)}</button>"
        for i, (name, style) in enumerate(look.items())
    )
    return (
        '<div class="legend" role="group" aria-label="Bring activations forward in every chart">'
        f'<span class="hint">Bring forward</span>{chips}<button type="button" class="chip '
        'all">all</button></div>'
    )


@dataclass(frozen=True)
class _Column:
    title: str
    kind: str = ""


def _results(summary: Summary, look: Mapping[str, Style]) -> str:
    titles = (
        "Activation", "Test accuracy (95% interval)", "Test loss", "Epochs to best validation", "Seconds "
        "per epoch",
        "Dead units", "Parameters",
    )  # fmt: skip
    head = "".join(
        f'<th scope="col"{" class=text" if i == 0 else ""}{" aria-sort=descending" if i == 1 else ""}>'
        f'<button type="button">{title}</button></th>'
        for i, title in enumerate(titles)
    )
    order = list(look)
    rows = "".join(_result(arm, summary, look[arm.name], order.index(arm.name)) for arm in summary.ranked)
    n = summary.results.spec.seeds
    return (
        '<section id="results"><h2>Results</h2><p class="lead">Best mean test accuracy first; the order '
        "alone proves nothing, "
        'see the verdict. Press a heading to sort.</p><div class="card"><div class="scroll" tabindex="0" '
        'role="region" aria-label="Results">'
        f'<table class="results"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>'
        f'<p class="caption">Means over {n} seed{"s" * (n != 1)}. Test accuracy and loss (mean '
        "cross-entropy in nats): the "
        "network after the last epoch on the test set, used once. Epochs to best validation: the first "
        "epoch with the trial’s highest "
        "validation accuracy. Dead units: share of all hidden units whose output is exactly zero for every "
        "training example after the "
        "last epoch. A diverged trial counts with the accuracy it ended with, and not in the loss when that "
        "is not a number.</p></section>"
    )


def _result(arm: Arm, summary: Summary, style: Style, index: int) -> str:
    badges = ""
    if arm.diverged:
        badges += f' <span class="badge">{len(arm.diverged)} diverged</span>'
    if arm.missing:
        badges += f' <span class="badge">{len(arm.missing)} missing</span>'
    formula = (
        f'<span class="formula">{_text(arm.specification)}</span>' if arm.specification != arm.name else ""
    )
    dead = arm.last_share(lambda r: r.dead, summary.results.spec.hidden)
    cells = (
        _estimate_cell(arm.accuracy, lambda v: percent(v, 2), lambda v: f"{100 * v:.1f}"),
        _estimate_cell(arm.loss, lambda v: f"{v:.3f}", lambda v: f"{v:.2f}", interval=False),
        _estimate_cell(arm.best_epoch, lambda v: f"{v:.1f}", lambda v: f"{v:.1f}", interval=False),
        _estimate_cell(arm.epoch_seconds, lambda v: f"{v:.2f}", lambda v: f"{v:.2f}", interval=False),
        _cell(percent(dead, 1), dead),
        _cell("–" if arm.parameters is None else f"{arm.parameters:,}", arm.parameters),
    )
    return (
        f'<tr data-name="{_text(arm.name)}"><th scope="row" data-value="{_text(arm.name)}"><span class="who">'
        f"{swatch(style, f'var(--series-{index})', line=False)}"
        f"<span>{_text(arm.name)}{badges}{formula}</span></span></th>"
        f"{''.join(cells)}</tr>"
    )


def _estimate_cell(estimate: Estimate, form: Any, short: Any, interval: bool = True) -> str:
    if not math.isfinite(estimate.mean):
        return _cell("–", None)
    text = f'<span class="mean">{form(estimate.mean)}</span>' if interval else form(estimate.mean)
    if interval and math.isfinite(estimate.low):
        text += f' <small class="interval">{short(estimate.low)}{DOTS}{short(estimate.high)}</small>'
    return _cell(text, estimate.mean)


def _cell(markup: str, value: float | None) -> str:
    known = value is not None and math.isfinite(value)
    return f'<td data-value="{repr(value) if known else "nan"}">{markup}</td>'


def _chart(chart: Chart) -> str:
    panels = "".join(
        f'<figure class="panel"><h3>{_text(panel.title)}</h3><div class="chart" '
        f'data-panel="{chart.id}-{i}"></div></figure>'
        for i, panel in enumerate(chart.panels)
    )
    return (
        f'<section id="{chart.id}"><h2>{_text(chart.title)}</h2><p class="lead">{_text(chart.lead)}</p>'
        f'<div class="card"><div class="panels">{panels}</div><p class="caption">{_text(chart.caption)}</p>'
        f"{_data(chart.table, chart.title)}</div></section>"
    )


def _data(table: Table, title: str) -> str:
    """The chart's numbers, folded away."""
    kinds = [all(isinstance(row[i], str) for row in table.rows) for i in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{" class=text" if kind else ""}><button type="button">{_text(column)}</button></th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_value(v, f) for v, f in zip(row, table.formats, strict=True)) + "</tr>"
        for row in table.rows
    )
    return (
        f'<details class="data"><summary>Data table: {_text(title.lower())}</summary><div class="scroll" '
        'tabindex="0" role="region" '
        f'aria-label="Data: {_text(title)}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div></details>"
    )


def _value(value: Any, form: str) -> str:
    if isinstance(value, str):
        return f'<td class="text">{_text(value)}</td>'
    return f'<td data-value="{value!r}">{table_number(value, form)}</td>'


def table_number(value: float, form: str) -> str:
    """A number in a table; a dash for what is not a finite number."""
    return format(value, form) if math.isfinite(value) else "–"


def _reproduce(summary: Summary) -> str:
    results = summary.results
    lines = "\n".join(steps(results))
    about = "".join(f"<dt>{_text(fact.name)}</dt><dd>{_text(fact.value)}</dd>" for fact in machine(results))
    copy = '<button type="button" class="copy">copy</button>'
    return (
        '<section id="reproduce"><h2>Reproduce</h2><p class="lead">The same specification with the same '
        "versions gives the same numbers "
        "on the same kind of machine, times apart; another processor may round differently.</p>"
        '<div class="card reproduce"><div><h3>Commands</h3>'
        f'<div class="code">{copy}<pre tabindex="0">{_text(lines)}</pre></div>'
        f'<h3>spec.toml</h3><div class="code">{copy}<pre '
        f'tabindex="0">{_text(results.spec.to_toml())}</pre></div></div>'
        f'<div class="machine"><h3>Made with</h3><dl>{about}</dl></div></div></section>'
    )


def _footer() -> str:
    licences = _text(_asset("vega/LICENSES.txt"))
    return (
        "<footer>Written by Triode. This page is one file, works offline and requests nothing."
        '<noscript><p class="undrawn">The charts need JavaScript; their numbers are in the tables, and '
        "pictures of them beside this "
        "page in report.md.</p></noscript>"
        "<details class=licences><summary>Charts by Vega, Vega-Lite and Vega-Embed: licences</summary>"
        f"<pre>{licences}</pre></details></footer>"
    )
