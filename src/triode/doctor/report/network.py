"""The network as a column of rows, in HTML: health by colour and by shape, figures with a bar or a point each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History
from triode.doctor.report import story
from triode.doctor.report.column import MEANINGS, Fold, Health, Row, folded, rows
from triode.doctor.report.findings import anchor
from triode.doctor.report.svg import escaped
from triode.doctor.report.words import clean, number, percent

SHAPES: dict[Health, str] = {
    "well": '<circle r="8"/><path class="t-in" d="M-3.6 .2L-1 3L3.8 -2.8"/>',
    "watch": '<path d="M0 -8.6L9 7.2H-9Z"/><path class="t-in" d="M0 -3V2.2M0 4.4V5"/>',
    "sick": '<path d="M-3.6 -8.6H3.6L8.6 -3.6V3.6L3.6 8.6H-3.6L-8.6 3.6V-3.6Z"/>'
    '<path class="t-in" d="M-3.2 -3.2L3.2 3.2M3.2 -3.2L-3.2 3.2"/>',
    "unknown": '<circle r="4"/>',
}
"""Circle and tick, triangle and exclamation mark, octagon and cross, dot: told apart without any colour."""
COLOURS: dict[Health, str] = {
    "well": "var(--t-good,#2c8a52)",
    "watch": "var(--t-warn,#b27400)",
    "sick": "var(--t-bad,#d03a2f)",
    "unknown": "var(--t-zero,#999)",
}


def sign(health: Health, size: int = 17) -> str:
    """The sign of a state of health, with its name for who does not see it."""
    return (
        f'<svg class="t-sign" viewBox="-10 -10 20 20" width="{size}" height="{size}" role="img" '
        f'aria-label="{MEANINGS[health]}" fill="{COLOURS[health]}" style="vertical-align:-.2em">'
        f'<g stroke="none">{SHAPES[health]}</g></svg>'
    ).replace(
        'class="t-in"',
        'fill="none" stroke="var(--t-card,#fff)" stroke-width="2.2" stroke-linecap="round"',
    )


def bare(shown: Sequence[Row | Fold]) -> str:
    """The column as a table without any style sheet, for notebooks."""
    cell = 'style="text-align:left;padding:.1em .7em .1em 0;white-space:nowrap"'
    right = 'style="text-align:right;padding:.1em .7em"'
    known = _shown([row for one in shown for row in (one.rows if isinstance(one, Fold) else (one,))])
    lines = []
    for one in shown:
        if isinstance(one, Fold):
            lines.append(
                f'<tr><td {cell}>{sign(one.health)}</td><td colspan="6" {cell}><i>{escaped(one.words)}</i></td></tr>'
            )
            continue
        figures = [
            (percent if field in ("dead", "saturated") else number)(getattr(one, field))
            if getattr(one, field) is not None
            else ""
            for _, field in known
        ]
        what = " ".join([clean(one.what, 50), *one.functions])
        lines.append(
            f"<tr><td {cell}>{sign(one.health)}</td><td {cell}><code>{escaped(one.name, 32)}</code></td>"
            f"<td {cell}>{escaped(what, 60)}</td>{''.join(f'<td {right}>{figure}</td>' for figure in figures)}</tr>"
        )
    if not lines:
        return ""
    head = "".join(f"<th {right}>{title}</th>" for title, _ in known)
    return (
        '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums;margin-top:.6em">'
        f"<thead><tr><th></th><th></th><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def facts(history: History) -> str:
    """What was examined, as a list of names and values."""
    entries = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in story.facts(history)
    )
    return f'<dl class="facts">{entries}</dl>'


def network(diagnosis: Diagnosis, history: History, named: bool) -> str:
    """The section that draws one model; `named` where there are several."""
    column = rows(diagnosis, history)
    heading = f"The network{': ' + escaped(history.name, 60) if named else ''}"
    known = facts(history) if named else ""
    if not column:
        return f"<section><h2>{heading}</h2>{known}<p class='muted'>Nothing of it was seen running.</p></section>"
    used: list[Health] = [
        h for h in ("sick", "watch", "well", "unknown") if any(row.health == h for row in column)
    ]
    key = "".join(f"<span>{sign(one)} {MEANINGS[one]}</span>" for one in used)
    scale = _Scale(column)
    columns = _shown(column)
    head = "".join(f'<th scope="col" class="figure">{title}</th>' for title, _ in columns)
    shown, body = folded(column), ""
    for one in shown:
        if isinstance(one, Row):
            body += f"<tbody>{_tr(one, scale, diagnosis)}</tbody>"
            continue
        inside = "".join(_tr(row, scale, diagnosis) for row in one.rows)
        body += (
            f'<tbody class="fold"><tr class="{one.health}"><td class="spine">{sign(one.health)}</td>'
            f'<th scope="row" colspan="{2 + len(columns)}"><label><input type="checkbox"> {escaped(one.words)}</label>'
            f'</th></tr></tbody><tbody class="folded">{inside}</tbody>'
        )
    return (
        f'<section class="network"><h2>{heading}</h2>{known}<div class="card"><div class="key">{key}</div>'
        f'<table class="column"><thead><tr><th><span class="unseen">health</span></th><th scope="col">layer</th>'
        f"<th></th>{head}</tr></thead>{body}</table>"
        f"<p class='caption'>{_caption(columns)}</p></div></section>"
    )


_TITLES = {
    "dead": "Dead: units whose output was exactly zero for every example at the end.",
    "saturated": "Saturated: inputs on the flat parts of the function.",
    "gradient": "Gradient: root mean square per weight, median over the watched steps.",
    "update": "Update: length of a step over length of the weights, about 1e-3 where training is comfortable.",
}
"""What each column shows."""


def _caption(columns: Sequence[tuple[str, str]]) -> str:
    return " ".join(["From input to output.", *(_TITLES[field] for _, field in columns)])


def _shown(column: Sequence[Row]) -> list[tuple[str, str]]:
    """Titles and fields of the columns that hold anything."""
    known = (("dead", "dead"), ("saturated", "saturated"), ("gradient", "gradient"), ("update", "update"))
    return [pair for pair in known if any(getattr(row, pair[1]) is not None for row in column)]


class _Scale:
    """Where a gradient or an update lies between the least and the largest of its column, on a logarithmic scale."""

    def __init__(self, column: Sequence[Row]) -> None:
        self.column = column
        self.shown = _shown(column)
        self.ends = {}
        for field in ("gradient", "update"):
            values = [getattr(row, field) for row in column]
            positive = [v for v in values if v is not None and math.isfinite(v) and v > 0]
            self.ends[field] = (min(positive, default=1.0), max(positive, default=1.0))

    def share(self, field: str, value: float) -> float:
        low, high = self.ends[field]
        if not math.isfinite(value) or value <= 0:
            return 0.0 if value == 0 else 1.0
        # At least two decades: what differs by a factor of two is the same.
        room = max(0.0, 2.0 - math.log10(high / low)) / 2
        bottom, top = math.log10(low) - room, math.log10(high) + room
        return 0.06 + 0.94 * (math.log10(value) - bottom) / (top - bottom)


def _tr(row: Row, scale: _Scale, diagnosis: Diagnosis) -> str:
    tags = "".join(
        f'<a class="tag" href="#{anchor(diagnosis, name)}">{escaped(name.replace("_", " "))}</a>'
        for name in row.findings
    )
    tags += "".join(f'<span class="note">{escaped(text)}</span>' for text in row.notes[:2])
    functions = "".join(f'<span class="function">{escaped(name, 28)}</span>' for name in row.functions[:6])
    if len(row.functions) > 6:
        functions += f'<span class="function">and {len(row.functions) - 6} more</span>'
    frozen = "" if row.trained or row.kind != "layer" else '<span class="function">frozen</span>'
    count = f'<span class="count">{row.number}</span>' if row.number else ""
    cells = "".join(_figure(title, field, getattr(row, field), scale) for title, field in scale.shown)
    return (
        f'<tr class="{row.health} {row.kind}"><td class="spine">{sign(row.health)}</td>'
        f'<th scope="row">{count}<code title="{escaped(row.name)}">{escaped(row.name, 26)}</code></th>'
        f'<td class="what"><span title="{escaped(row.where)}">{escaped(row.what, 44)}</span> {functions}{frozen}'
        f"{f'<div class=tags>{tags}</div>' if tags else ''}</td>{cells}</tr>"
    )


def _figure(title: str, field: str, value: float | None, scale: _Scale) -> str:
    """A number, and below it a bar for a share or a point on the column's scale."""
    if value is None:
        return '<td class="figure none"></td>'
    if field in ("dead", "saturated"):
        level = "high" if value >= 0.5 else "some" if value >= 0.1 else "low"
        mark = (
            f'<span class="bar {level}"><i style="width:{100 * min(max(value, 0.0), 1.0):.1f}%"></i></span>'
        )
        word = percent(value)
    else:
        lost = " lost" if not math.isfinite(value) or value == 0 else ""
        mark = f'<span class="dot{lost}"><i style="left:{100 * scale.share(field, value):.1f}%"></i></span>'
        word = number(value)
    return f'<td class="figure" data-title="{title}"><span class="value">{word}</span>{mark}</td>'
