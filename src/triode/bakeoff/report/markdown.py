"""The report as Markdown, with pictures: for a repository, a pull request, a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from triode.bakeoff.report.facts import facts, machine, question, steps
from triode.bakeoff.report.panels import Chart, Table
from triode.bakeoff.report.shell import table_number
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.verdict import judge
from triode.bakeoff.report.words import CLOSE, OPEN, gap, interval, percent, plain, rate, value

SPECIAL = "\\`*_{}[]<>#|~&$"


def document(
    summary: Summary,
    charts: Sequence[Chart],
    pictures: Mapping[str, Path],
    note: str = "",
    files: Sequence[tuple[str, str]] = (),
) -> str:
    """The whole report; `pictures` are named relative to it, `note` says why there are none, `files` lie beside it."""
    results, verdict = summary.results, judge(summary)
    parts = [
        f"# {escaped(question(results))}",
        " · ".join(f"{escaped(fact.name)} **{escaped(fact.value)}**" for fact in facts(results)),
        "## Verdict",
        f"**{escaped(plain(verdict.headline))}** {marked(' '.join(verdict.findings))}",
        *(
            f"**{title}**\n\n{_bullets(map(marked, lines))}"
            for title, lines in (("Wins", verdict.wins), ("Ties", verdict.ties), ("Losses", verdict.losses))
            if lines
        ),
        "**Beside this**",
        _bullets([*(f"**!** {marked(line)}" for line in verdict.failures), *map(marked, verdict.caveats)]),
        "## Results",
        _results(summary),
        f"Means over seeds, best {summary.measure.name} first; the order alone proves nothing, see the verdict. Dead "
        "units: share of all units whose output was exactly zero for every training example of the last epoch. Best "
        "epoch: the first with the best validation figure. The test set was used once, after the last epoch.",
        *([escaped(note)] if note else []),
    ]
    for chart in charts:
        parts += [f"## {escaped(chart.title)}", escaped(chart.lead)]
        if chart.id in pictures:
            parts.append(f"![{escaped(chart.title)}]({pictures[chart.id].as_posix()})")
        parts.append(f"*{escaped(chart.caption)}*")
        if chart.id == "measure":
            parts += ["Every pair of activations, corrected for all pairs:", table(chart.table)]
    parts += [
        "## Reproduce",
        _fenced("\n".join(steps(results)), "sh"),
        "`spec.toml`:",
        _fenced(results.spec.to_toml(), "toml"),
        rows([("made with", ""), *((escaped(fact.name), escaped(fact.value)) for fact in machine(summary))]),
    ]
    if results.failures:
        failed = [(escaped(who), escaped(line)) for who, line in results.failures.items()]
        parts.append(rows([("trials that raised", "last line of the traceback"), *failed]))
    if files:
        parts.append(rows([("file", ""), *((escaped(name), escaped(what)) for name, what in files)]))
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no break of a table's row."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return "".join(
        f"&{'lt' if c == '<' else 'gt'};" if c in "<>" else f"\\{c}" if c in SPECIAL else c for c in printable
    )


def marked(sentence: str) -> str:
    """Escaped text with the marked names in bold."""
    parts = sentence.replace(CLOSE, OPEN).split(OPEN)
    return "".join(
        f"**{escaped(part)}**" if i % 2 and part else escaped(part) for i, part in enumerate(parts)
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _results(summary: Summary) -> str:
    loss = ["test loss"] if summary.measure.percent else []
    titles = [
        "activation", summary.measure.name, "95% interval", "interquartile mean", f"from {escaped(summary.baseline)}",
        "standing", *loss, "learning rate", "best epoch", "seconds per epoch", "dead units", "parameters",
    ]  # fmt: skip
    return rows([titles, *(_result(arm, summary) for arm in summary.ranked)])


def _result(arm: Arm, summary: Summary) -> list[str]:
    measure, name = summary.measure, escaped(arm.name)
    if arm.diverged:
        name += f" ({len(arm.diverged)} diverged)"
    if arm.missing:
        name += f" ({len(arm.missing)} missing)"
    difference, standing = "–", "baseline"
    if arm.name != summary.baseline:
        rival = summary.against.rival(arm.name)
        d = rival.difference.mean
        difference, standing = f"{'−' if d < 0 else '+' if d > 0 else ''}{gap(measure, d)}", rival.standing
    chosen = arm.settings.get("learning_rate")
    return [
        name,
        value(measure, arm.score.mean),
        interval(measure, arm.score.low, arm.score.high),
        value(measure, arm.iqm.mean),
        difference,
        standing,
        *([table_number(arm.loss.mean, ".3f")] if measure.percent else []),
        "–" if chosen is None else rate(chosen),
        table_number(arm.best_epoch.mean, ".1f"),
        table_number(arm.epoch_seconds.mean, ".2f"),
        percent(arm.last_share(lambda r: r.dead)),
        "–" if arm.parameters is None else f"{arm.parameters:,}",
    ]


def table(numbers: Table) -> str:
    """A table of numbers."""
    body = (
        tuple(
            escaped(v) if isinstance(v, str) else table_number(v, f)
            for v, f in zip(row, numbers.formats, strict=True)
        )
        for row in numbers.rows
    )
    return rows([[escaped(column) for column in numbers.columns], *body])


def rows(cells: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, numbers to the right."""
    head, *body = cells
    rule = ["---", *["---:"] * (len(head) - 1)] if len(head) > 2 else ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def _fenced(text: str, language: str) -> str:
    """A block of code, fenced by more backticks than it holds in a row."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip(os.linesep)}\n{fence}"
