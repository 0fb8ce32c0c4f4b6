"""The report as Markdown: for a pull request, an issue, a chat."""

from __future__ import annotations

from collections.abc import Sequence

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History
from triode.doctor.report import story
from triode.doctor.report.column import SIGNS, Fold, Row, folded, rows
from triode.doctor.report.series import deaths, gradients
from triode.doctor.report.words import clean, number, percent, sentence, sparkline

_SPECIAL = "\\`*_{}[]<>#|~&$"


def markdown(diagnosis: Diagnosis) -> str:
    """The whole report as Markdown.

    Args:
        diagnosis: What the doctor found.

    Returns:
        Text that ends with a line break.

    Examples:
        >>> print(markdown(Diagnosis(checked=("dead_relu",))).splitlines()[2])
        **✓ healthy: 1 rule checked, nothing to act on**
    """
    histories, many = diagnosis.histories, len(diagnosis.histories) > 1
    mark = "✗" if diagnosis.findings else "✓" if diagnosis.checked else "·"
    parts = ["# Doctor's report", f"**{mark} {escaped(story.verdict(diagnosis))}**"]
    parts += [escaped(line) for line in story.errors(histories)]
    for history in histories:
        parts += _network(diagnosis, history, many)
    told = story.causes(diagnosis)
    if told:
        parts += ["## Findings", *(_finding(one, 3, many) for one in told)]
    trials = story.trials(diagnosis)
    if trials:
        parts += [
            "## The cure and its proof",
            "The network and a treated copy of it, trained from the same seed on the same data.",
            *map(_trial, trials),
        ]
    for history in histories:
        parts += _curves(diagnosis, history, many)
    if diagnosis.notes:
        parts += [
            "## Notes",
            _bullets(
                [
                    f"{note.model}: {note.text}" if many and note.model else note.text
                    for note in diagnosis.notes
                ]
            ),
        ]
    parts += ["## What was checked", escaped(story.checked(diagnosis))]
    if diagnosis.unchecked:
        lines = [f"{name.replace('_', ' ')}: {why}" for name, why in diagnosis.unchecked.items()]
        parts += ["What could not be checked:", _bullets(lines)]
    limits = story.limits(histories)
    parts += ["What could not be seen:", _bullets(limits)] if limits else []
    parts.append(escaped(story.watching(histories)))
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text on one line that Markdown shows as it is: no markup, no HTML, no break of a table's row."""
    named = {"<": "&lt;", ">": "&gt;"}
    return "".join(named.get(c) or (f"\\{c}" if c in _SPECIAL else c) for c in clean(text))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns are text."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _network(diagnosis: Diagnosis, history: History, named: bool) -> list[str]:
    facts = " · ".join(f"{name} **{escaped(value)}**" for name, value in story.facts(history))
    lines = [_row(one) for one in folded(rows(diagnosis, history))]
    head = ("", "layer", "", "dead", "saturated", "gradient", "update")
    return [
        f"## The network{f': {escaped(history.name)}' if named else ''}",
        facts,
        _table(head, lines, 3) if lines else "Nothing of it was seen running.",
        "✓ healthy, ! worth knowing, ✗ named by a finding, · not measured. Gradient: root mean square per weight, "
        "median over the watched steps. Update: length of a step over length of the weights."
        if lines
        else "",
    ]


def _row(one: Row | Fold) -> list[str]:
    if isinstance(one, Fold):
        return [SIGNS[one.health], "…", f"*{escaped(one.words)}*", "", "", "", ""]
    what = " ".join([escaped(clean(one.what, 60)), *(f"**{escaped(f)}**" for f in one.functions[:6])])
    name = f"{one.number} {escaped(clean(one.name, 40))}" if one.number else escaped(one.name)
    figures = (percent(one.dead), percent(one.saturated), number(one.gradient), number(one.update))
    return [SIGNS[one.health], name, what.strip(), *(escaped(figure) for figure in figures)]


def _finding(told: story.Told, level: int, named: bool) -> str:
    one = told.finding
    who = f", {escaped(one.model)}" if named and one.model else ""
    parts = [
        f"{'#' * min(level, 6)} {escaped(told.title)}",
        f"**{escaped(sentence(one.summary))}** ({one.severity}, {one.confidence}{who})",
    ]
    if told.hurts:
        parts.append(f"Why it hurts: {escaped(told.hurts)}")
    if one.evidence:
        parts += ["Evidence:", _bullets(one.evidence)]
    if told.prescriptions:
        parts.append("What to do, the best first:")
        parts += [_advice(i, advice) for i, advice in enumerate(told.prescriptions, 1)]
    if told.follow:
        parts.append("What follows from it:")
        parts += [_finding(deeper, level + 1, named) for deeper in told.follow]
    return "\n\n".join(parts)


def _advice(i: int, advice: story.Advice) -> str:
    line = f"{i}. **{escaped(advice.words)}** {escaped(advice.why)}".rstrip()
    if not advice.code:
        return line
    fence = "```"
    while fence in advice.code:
        fence += "`"
    diff = any(row.startswith(("+", "-")) for row in advice.code.splitlines())
    body = [f"{fence}{'diff' if diff else 'python'}", *advice.code.splitlines(), fence]
    return f"{line}\n\n" + "\n".join(f"   {row}" for row in body)


def _trial(trial: story.Trial) -> str:
    word = "✓ helped" if trial.helped else "✗ did not help"
    parts = [f"**{word}: {escaped(trial.words)}** {escaped(trial.sentence)}"]
    both = (*trial.before, *trial.after)
    curves = [
        f"| {name} | {number(curve[0], 3)} | {number(curve[-1], 3)} | {sparkline(curve, beside=both)} |"
        for name, curve in (("before", trial.before), ("after", trial.after))
        if curve
    ]
    if curves:
        parts.append(
            "\n".join([f"| {trial.measure} | first | last | |", "| :-- | --: | --: | :-- |", *curves])
        )
    if trial.given:
        parts.append(escaped(trial.given))
    if trial.left:
        parts.append(f"Still found after it: {escaped(story.titles(trial.left))}.")
    return "\n\n".join(parts)


def _curves(diagnosis: Diagnosis, history: History, named: bool) -> list[str]:
    """The charts as tables: their first and last numbers."""
    column = rows(diagnosis, history)
    parts = []
    if history.losses:
        ends = f"{number(history.losses[0], 3)} to {number(history.losses[-1], 3)}"
        parts.append(f"Loss: {ends} {sparkline(history.losses)}")
    flow = gradients(history, column)
    if flow is not None and len(flow.lines[0].points) <= 30:
        names = {float(row.number): row.name for row in column}
        lines = [
            [escaped(clean(names.get(x, ""), 40)), *(number(line.points[i][1]) for line in flow.lines)]
            for i, (x, _) in enumerate(flow.lines[0].points)
        ]
        parts.append(_table(("gradient per weight", *(line.name for line in flow.lines)), lines, 1))
    died = deaths(history)
    if died is not None:
        lines = [
            [
                escaped(clean(line.name, 40)),
                percent(line.points[0][1]),
                percent(line.points[-1][1]),
                sparkline([y for _, y in line.points], 30),
            ]
            for line in died.lines
            if not line.faint and line.points
        ]
        parts.append(_table(("dead units", "first pass", "last", "over time"), lines, 1))
    heading = f"## Curves{f': {escaped(history.name)}' if named else ''}"
    return [heading, *parts] if parts else []
