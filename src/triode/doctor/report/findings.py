"""Findings, their prescriptions, proofs, notes and what was checked, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.report import story
from triode.doctor.report.series import proof
from triode.doctor.report.svg import chart, escaped, legend
from triode.doctor.report.words import counted, sentence


def anchor(diagnosis: Diagnosis, name: str) -> str:
    """The id of the first finding of that diagnosis."""
    order = [finding.diagnosis for finding in diagnosis.findings]
    return f"finding-{order.index(name) if name in order else 0}"


def finding(told: story.Told, diagnosis: Diagnosis, named: bool) -> str:
    """One finding, and under it what follows from it.

    Args:
        told: The finding.
        diagnosis: What it belongs to; its place there is its id.
        named: Whether to say which model it was found in.
    """
    one = told.finding
    index = next(i for i, other in enumerate(diagnosis.findings) if other is one)
    chips = [one.severity, one.confidence, *([one.model] if named and one.model else [])]
    marks = "".join(f'<span class="chip">{escaped(chip, 40)}</span>' for chip in chips)
    places = [place for place in one.places if place] or ([one.layer] if one.layer else [])
    at = "".join(f"<code>{escaped(place, 36)}</code> " for place in places[:12])
    more = f" and {counted(len(places) - 12, 'more place')}" if len(places) > 12 else ""
    facts = "".join(f"<li>{escaped(line)}</li>" for line in one.evidence)
    parts = [
        f'<article id="finding-{index}" class="finding {escaped(one.severity)}">',
        f"<h3>{escaped(told.title)}{marks}</h3>",
        f'<p class="summary">{escaped(sentence(one.summary))}</p>',
        f"<p><b>Why it hurts.</b> {escaped(told.hurts)}</p>" if told.hurts else "",
        f"<h4>Evidence</h4><ul>{facts}</ul>" if facts else "",
        f'<p class="muted">Seen at {at}{more}</p>' if at else "",
    ]
    if told.prescriptions:
        items = "".join(_advice(each, i == 0) for i, each in enumerate(told.prescriptions))
        parts.append(f"<h4>What to do, the best first</h4><ol class='advice'>{items}</ol>")
    if told.follow:
        inner = "".join(finding(each, diagnosis, named) for each in told.follow)
        parts.append(f'<div class="follow"><h4>What follows from it</h4>{inner}</div>')
    return "".join([*parts, "</article>"])


def _advice(advice: story.Advice, first: bool) -> str:
    words = f"<b>{escaped(advice.words)}</b>"
    why = f" {escaped(advice.why)}" if advice.why else ""
    code = (
        f"<details{' open' if first else ''}><summary>In code</summary><pre>{coloured(advice.code)}</pre></details>"
        if advice.code
        else ""
    )
    return f"<li>{words}{why}{code}</li>"


def coloured(code: str) -> str:
    """Code or a unified diff, escaped; added and removed lines set apart by colour beside their signs."""
    lines = []
    for line in code.splitlines():
        kept = escaped_line(line)
        if line.startswith("+") and not line.startswith("+++"):
            kept = f'<span class="added" style="color:var(--t-good,#2c8a52)">{kept}</span>'
        elif line.startswith("-") and not line.startswith("---"):
            kept = f'<span class="removed" style="color:var(--t-bad,#d03a2f)">{kept}</span>'
        elif line.startswith(("@@", "+++", "---")):
            kept = f'<span style="opacity:.65">{kept}</span>'
        lines.append(kept)
    return "\n".join(lines)


def escaped_line(line: str) -> str:
    """A line of code, escaped, its indentation kept."""
    body = line.expandtabs(4)
    start = len(body) - len(body.lstrip(" "))
    return " " * start + escaped(body)


def proofs(trials: Sequence[story.Trial]) -> list[str]:
    """The section about what retraining showed; nothing where nothing was retrained."""
    if not trials:
        return []
    drawn = []
    for i, trial in enumerate(trials):
        plot = proof(trial.before, trial.after, trial.measure)
        left = (
            f"<p class='muted'>Still found after it: {escaped(story.titles(trial.left))}.</p>"
            if trial.left
            else ""
        )
        given = f"<p class='muted'>{escaped(trial.given)}</p>" if trial.given else ""
        shown = f"<div>{chart(plot, f'p{i}')}{legend(plot)}</div>" if plot else ""
        word = "helped" if trial.helped else "did not help"
        drawn.append(
            f'<div class="card trial {"yes" if trial.helped else "no"}"><div><h3>{"✓" if trial.helped else "✗"} '
            f'{escaped(trial.title)}<span class="chip">{word}</span></h3><p class="summary">'
            f"{escaped(trial.words)}</p><p>{escaped(trial.sentence)}</p>{given}{left}</div>{shown}</div>"
        )
    return [
        '<section id="cure"><h2>The cure and its proof</h2><p class="lead">The network and a treated copy of it, '
        f"trained from the same seed on the same data.</p>{''.join(drawn)}</section>"
    ]


def notes(diagnosis: Diagnosis) -> list[str]:
    """The section about what is worth knowing and no fault."""
    if not diagnosis.notes:
        return []
    named = len(diagnosis.histories) > 1
    items = "".join(
        f"<li>{f'{escaped(note.model, 40)}: ' if named and note.model else ''}{escaped(note.text)}</li>"
        for note in diagnosis.notes
    )
    return [
        f'<section id="notes"><h2>Notes</h2><p class="lead">Worth knowing, and no fault.</p><ul>{items}</ul></section>'
    ]


def checks(diagnosis: Diagnosis) -> str:
    """The section about what was checked, what could not be, and what it cost."""
    parts = [f"<p>{escaped(story.checked(diagnosis))}</p>"]
    if diagnosis.unchecked:
        items = "".join(
            f"<dt>{escaped(name.replace('_', ' '))}</dt><dd>{escaped(why)}</dd>"
            for name, why in diagnosis.unchecked.items()
        )
        parts.append(f'<h3>What could not be checked</h3><dl class="unchecked">{items}</dl>')
    limits = story.limits(diagnosis.histories)
    if limits:
        parts.append(
            f"<h3>What could not be seen</h3><ul>{''.join(f'<li>{escaped(x)}</li>' for x in limits)}</ul>"
        )
    cost = story.watching(diagnosis.histories)
    if cost:
        parts.append(f'<p class="muted">{escaped(cost)}</p>')
    return f'<section id="checked"><h2>What was checked</h2>{"".join(parts)}</section>'
