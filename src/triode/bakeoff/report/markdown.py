"""The report as Markdown, with pictures: for a repository, a pull request, a terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from triode.bakeoff.report.facts import DOTS, facts, machine, question, steps
from triode.bakeoff.report.html import table_number
from triode.bakeoff.report.panels import Chart, Table
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.verdict import CLOSE, OPEN, judge, percent, plain

SPECIAL = "\\`*_{}[]<>#|~&$"


def document(summary: Summary, charts: Sequence[Chart], pictures: Mapping[str, Path], note: str = "") -> str:
    """The whole report; `pictures` are named relative to it, and `note` says why there are none."""
    results, verdict = summary.results, judge(summary)
    parts = [
        f"# {escaped(question(results))}",
        " · ".join(f"{escaped(fact.name)} **{escaped(fact.value)}**" for fact in facts(results)),
        "## Verdict",
        f"**{escaped(plain(verdict.headline))}** {_marked(' '.join(verdict.findings))}",
        _bullets([*(f"**!** {_marked(line)}" for line in verdict.failures), *map(_marked, verdict.caveats)]),
        "## Results",
        _results(summary),
        "Means over seeds, best first; the order alone proves nothing, see the verdict. Dead units: share "
        "of all hidden units whose output "
        "is exactly zero for every training example after the last epoch. Epochs to best validation: the "
        "first epoch with the "
        "highest validation accuracy. The test set was used once, after the last epoch.",
        *([escaped(note)] if note else []),
    ]
    for chart in charts:
        parts += [f"## {escaped(chart.title)}", escaped(chart.lead)]
        if chart.id in pictures:
            parts.append(f"![{escaped(chart.title)}]({pictures[chart.id].as_posix()})")
        parts.append(f"*{escaped(chart.caption)}*")
        if chart.id == "accuracy":
            parts += ["Every pair, differences in percentage points:", _table(chart.table)]
    parts += [
        "## Reproduce",
        _fenced("\n".join(steps(results)), "sh"),
        "`spec.toml`:",
        _fenced(results.spec.to_toml(), "toml"),
        _rows([("made with", ""), *((escaped(fact.name), escaped(fact.value)) for fact in machine(results))]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no break of a table's row."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return "".join(
        f"&{'lt' if c == '<' else 'gt'};" if c in "<>" else f"\\{c}" if c in SPECIAL else c for c in printable
    )


def _marked(sentence: str) -> str:
    """Escaped text with the marked names in bold."""
    parts = sentence.replace(CLOSE, OPEN).split(OPEN)
    return "".join(
        f"**{escaped(part)}**" if i % 2 and part else escaped(part) for i, part in enumerate(parts)
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _results(summary: Summary) -> str:
    titles = (
        "activation", "test accuracy", "95% interval", "test loss", "epochs to best validation", "seconds "
        "per epoch",
        "dead units", "parameters",
    )  # fmt: skip
    return _rows([titles, *(_result(arm, summary) for arm in summary.ranked)])


def _result(arm: Arm, summary: Summary) -> tuple[str, ...]:
    name = escaped(arm.name)
    if arm.diverged:
        name += f" ({len(arm.diverged)} diverged)"
    if arm.missing:
        name += f" ({len(arm.missing)} missing)"
    accuracy = arm.accuracy
    interval = (
        f"{100 * accuracy.low:.1f}{DOTS}{100 * accuracy.high:.1f}" if math.isfinite(accuracy.low) else "–"
    )
    return (
        name,
        percent(accuracy.mean, 2),
        interval,
        table_number(arm.loss.mean, ".3f"),
        table_number(arm.best_epoch.mean, ".1f"),
        table_number(arm.epoch_seconds.mean, ".2f"),
        percent(arm.last_share(lambda r: r.dead, summary.results.spec.hidden)),
        "–" if arm.parameters is None else f"{arm.parameters:,}",
    )


def _table(table: Table) -> str:
    rows = (
        tuple(
            escaped(v) if isinstance(v, str) else table_number(v, f)
            for v, f in zip(row, table.formats, strict=True)
        )
        for row in table.rows
    )
    return _rows([table.columns, *rows])


def _rows(rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, numbers to the right."""
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)] if len(head) > 2 else ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def _fenced(text: str, language: str) -> str:
    """A block of code, fenced by more backticks than it holds in a row."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip(os.linesep)}\n{fence}"
