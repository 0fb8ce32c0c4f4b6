"""The comparison of several runs as Markdown, with pictures: for a repository or a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from triode.bakeoff.report.markdown import escaped, marked, rows
from triode.bakeoff.report.panels import Chart
from triode.bakeoff.report.published import Published
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.verdict import judge
from triode.bakeoff.report.words import interval, value

SIGNS = {"win": " +", "loss": " −", "tie": " =", "untested": " ?"}


def document(
    title: str,
    said: str,
    told: tuple[str, Sequence[str], Sequence[str]],
    runs: Sequence[tuple[str, Summary]],
    names: Sequence[str],
    published: Sequence[Published],
    shown: Sequence[Chart],
    pictures: Mapping[str, Path],
) -> str:
    """The whole comparison.

    Args:
        title: Of the document.
        said: What the runs ask, or nothing.
        told: Headline, a sentence for each activation, and what the figures leave out.
        runs: Name and summary of each run.
        names: Every activation of any run.
        published: Figures from the literature.
        shown: The charts.
        pictures: Where each chart's picture is, relative to the document.
    """
    first, lines, notes = told
    cells = [[escaped(name), *(_cell(run, s, name, published) for run, s in runs)] for name in names]
    each = [[escaped(run), escaped(s.baseline), marked(judge(s).headline)] for run, s in runs]
    parts = [
        f"# {escaped(title)}",
        escaped(said),
        "## Verdict",
        f"**{marked(first).replace('**', '')}**",
        "\n".join(f"- {marked(line)}" for line in (*lines, *notes)),
        "## Runs",
        rows([["activation", *(escaped(run) for run, _ in runs)], *cells]),
        "Means over seeds with 95% intervals; + better, − worse, = not told apart from the baseline of that run.",
    ]
    for chart in shown:
        parts += [f"## {escaped(chart.title)}", escaped(chart.lead)]
        if chart.id in pictures:
            parts.append(f"![{escaped(chart.title)}]({pictures[chart.id].as_posix()})")
        parts.append(f"*{escaped(chart.caption)}*")
    parts += ["## Each run", rows([["run", "baseline", "verdict"], *each])]
    if published:
        cited = [f"- {escaped(p.run)}, {escaped(p.activation)}: {escaped(p.cited)}" for p in published]
        parts += ["## Sources", "\n".join(cited)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(run: str, summary: Summary, name: str, published: Sequence[Published]) -> str:
    arm = next((arm for arm in summary.arms if arm.name == name), None)
    if arm is None or not arm.score.n:
        return "–"
    measure, e = summary.measure, arm.score
    sign = "" if name == summary.baseline else SIGNS[summary.against.rival(name).standing]
    said = f"{value(measure, e.mean)}{sign} ({interval(measure, e.low, e.high)})"
    theirs = [value(measure, p.value) for p in published if (p.run, p.activation) == (run, name)]
    return said + "".join(f", published {figure}" for figure in theirs)
