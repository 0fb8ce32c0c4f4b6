"""A compact summary for notebooks: no script, no style sheet, nothing that another cell could disturb."""

from __future__ import annotations

import html
import math

from triode.bakeoff.report.facts import question
from triode.bakeoff.report.palette import SHAPE_PATHS, Style, styles
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.verdict import judge
from triode.bakeoff.report.words import CLOSE, OPEN, interval, percent, value

WIDTH = 180
"""Width of the little chart in a row, in pixels."""


def fragment(summary: Summary) -> str:
    """Title, verdict and a row for each activation, with its interval and its seeds drawn."""
    verdict, look = judge(summary), styles([arm.name for arm in summary.arms])
    values = [figure for arm in summary.arms for figure in _spread(arm)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.01
    rows = "".join(_row(arm, look[arm.name], (low - room, high + room), summary) for arm in summary.ranked)
    titles = (
        "activation",
        summary.measure.name,
        "95% interval over seeds",
        "",
        "test loss",
        "s/epoch",
        "dead units",
    )
    head = "".join(
        f'<th style="text-align:{"left" if i == 0 else "right"}">{title}</th>'
        for i, title in enumerate(titles)
    )
    told = (*verdict.wins, *verdict.losses, *verdict.ties)
    standings = f"<ul>{''.join(f'<li>{_marked(line)}</li>' for line in told)}</ul>" if told else ""
    notes = "".join(f"<li>{_marked(line)}</li>" for line in (*verdict.failures, *verdict.caveats[:1]))
    return (
        f'<div class="triode-bakeoff"><h3 style="margin:0">{html.escape(question(summary.results))}</h3>'
        f'<p style="max-width:50em"><b>{_marked(verdict.headline)}</b> '
        f"{_marked(' '.join(verdict.findings))}</p>{standings}"
        f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f'<ul style="max-width:50em;opacity:.8">{notes}</ul></div>'
    )


def _marked(sentence: str) -> str:
    return html.escape(sentence).replace(OPEN, "<b>").replace(CLOSE, "</b>")


def _spread(arm: Arm) -> list[float]:
    found = (*arm.values.values(), arm.score.low, arm.score.high)
    return [figure for figure in found if math.isfinite(figure)]


def _row(arm: Arm, style: Style, ends: tuple[float, float], summary: Summary) -> str:
    measure, score = summary.measure, arm.score
    loss = f"{arm.loss.mean:.3f}" if math.isfinite(arm.loss.mean) else "–"
    seconds = f"{arm.epoch_seconds.mean:.2f}" if math.isfinite(arm.epoch_seconds.mean) else "–"
    dead = percent(arm.last_share(lambda r: r.dead))
    mean, between = value(measure, score.mean), interval(measure, score.low, score.high)
    cells = (f"<b>{mean}</b>", between, _drawn(arm, style, ends, mean), loss, seconds, dead)
    name = html.escape("".join(c for c in arm.name if c.isprintable()))
    return (
        f'<tr><td style="text-align:left"><b>{name}</b></td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _drawn(arm: Arm, style: Style, ends: tuple[float, float], label: str) -> str:
    """Interval, mean and seeds of one activation as a small SVG, on the scale that all rows share."""

    def x(figure: float) -> str:
        return f"{8 + (figure - ends[0]) / (ends[1] - ends[0]) * (WIDTH - 16):.1f}"

    drawn, score = "", arm.score
    if math.isfinite(score.low):
        line = f'stroke="{style.light}" stroke-width="5" stroke-linecap="round" stroke-opacity=".35"'
        drawn += f'<path d="M{x(score.low)} 9H{x(score.high)}" {line}/>'
    for figure in arm.values.values():
        if math.isfinite(figure):
            drawn += f'<circle cx="{x(figure)}" cy="15" r="2" fill="{style.light}"/>'
    if math.isfinite(score.mean):
        at = f"translate({x(score.mean)} 9)"
        drawn += f'<path d="{SHAPE_PATHS[style.shape]}" transform="{at}" fill="{style.light}"/>'
    box = f'width="{WIDTH}" height="20" viewBox="0 0 {WIDTH} 20"'
    return f'<svg {box} role="img" aria-label="{label}">{drawn}</svg>'
