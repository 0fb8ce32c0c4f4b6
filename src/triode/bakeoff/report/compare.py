"""Several runs on one page: a sweep over depth or width, or runs that have nothing but activations in common."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from triode.bakeoff.records import Measure, Results
from triode.bakeoff.report import figures, shell
from triode.bakeoff.report.compare_markdown import document
from triode.bakeoff.report.facts import dataset, network
from triode.bakeoff.report.palette import Style, styles
from triode.bakeoff.report.panels import Chart, Panel, Row, Table, focused, padded, reach
from triode.bakeoff.report.pooled import Pooled, pool, verdict
from triode.bakeoff.report.published import Published
from triode.bakeoff.report.shell import marked, swatch, text
from triode.bakeoff.report.summary import Summary, summarise
from triode.bakeoff.report.verdict import judge
from triode.bakeoff.report.views.rows import estimate_row
from triode.bakeoff.report.words import interval, number, value
from triode.bakeoff.storage.store import write_whole
from triode.errors import MissingExtra, TriodeError, nearest

SIGNS = {"win": "+", "loss": "−", "tie": "=", "untested": "?"}


Told = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Headline, a sentence for each activation, and what the figures leave out."""


@dataclass(frozen=True)
class Sweep:
    """The runs, and what was published about them."""

    runs: tuple[tuple[str, Summary], ...]
    published: tuple[Published, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every activation of any run, in the order in which they appear."""
        return tuple(dict.fromkeys(arm.name for _, summary in self.runs for arm in summary.arms))

    @property
    def measure(self) -> Measure:
        """What all runs are judged by."""
        return self.runs[0][1].measure

    def cited(self, run: str, activation: str) -> tuple[Published, ...]:
        """What was published about this activation in the setting of this run."""
        return tuple(p for p in self.published if (p.run, p.activation) == (run, activation))


def compare(
    runs: Sequence[tuple[str, Results]],
    out: Path,
    published: Sequence[Published] = (),
    *,
    title: str = "",
    summary: str = "",
) -> Path:
    """Write one page that sets several runs side by side, and the same as Markdown with pictures beside it.

    The measure against the run, a table of runs and activations, and one verdict over all of them by a bootstrap that
    draws seeds inside each run.

    Args:
        runs: A name for each run, and its results, in the order of the page.
        out: The HTML file to write.
        published: Figures from the literature that stand beside ours.
        title: Of the page; by default the number of runs.
        summary: What the runs have in common or ask, in a sentence or two, below the title.

    Returns:
        `out`. `out` with the ending .md, and the pictures of a page `sweep.html` in `sweep-figures`, stand beside it;
        without Matplotlib there are no pictures.

    Raises:
        TriodeError: there is no run, a name comes twice, two runs are judged by different measures, or a published
            figure names a run or an activation that is not there.
    """
    names = [name for name, _ in runs]
    if not runs:
        raise TriodeError("There is no run to compare: give at least one.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TriodeError(f"Two runs are called {twice!r}: each needs a name of its own.")
    sweep = Sweep(tuple((name, summarise(results)) for name, results in runs), tuple(published))
    for name, other in sweep.runs:
        if other.measure != sweep.measure:
            raise TriodeError(
                f"{name} is judged by {other.measure.name} ({other.results.task}) and {names[0]} by "
                f"{sweep.measure.name} ({sweep.runs[0][1].results.task}), which cannot be compared."
            )
    for figure in published:
        if figure.run not in names:
            raise TriodeError(
                f"A published figure is for the run {figure.run!r}, which is not here{nearest(figure.run, names)}"
            )
        if figure.activation not in sweep.names:
            raise TriodeError(
                f"A published figure is for {figure.activation!r}, which no run compares"
                f"{nearest(figure.activation, sweep.names)}"
            )
    title = title or f"{number(len(runs)).capitalize()} run{'s' * (len(runs) != 1)} compared"
    pooled = pool(sweep.runs, sweep.measure)
    shown = charts(sweep, pooled)
    told = verdict(sweep.runs, pooled, sweep.measure)
    pictures: dict[str, Path] = {}
    with suppress(MissingExtra):  # the page itself needs no pictures
        drawn = figures.draw(shown, styles(sweep.names), out.parent / f"{out.stem}-figures")
        pictures = {name: path.relative_to(out.parent) for name, path in drawn.items()}
    written = document(title, summary, told, sweep.runs, sweep.names, published, shown, pictures)
    write_whole(out.with_suffix(".md"), written)
    write_whole(out, page(sweep, out.parent, title, summary, shown, told))
    return out


def page(sweep: Sweep, folder: Path, title: str, said: str, shown: Sequence[Chart], told: Told) -> str:
    """The comparison as a page that lies in `folder`, under a title and a sentence of its own."""
    look = styles(sweep.names)
    sections = [
        ("verdict", "Verdict"),
        ("runs", "Runs"),
        *((c.id, c.title) for c in shown),
        ("each", "Each run"),
    ]
    body = [
        _verdict(told),
        shell.filters(look),
        _table(sweep, look),
        *(shell.chart(chart) for chart in shown),
        _each(sweep, folder),
    ]
    if sweep.published:
        sections.append(("sources", "Sources"))
        body.append(_sources(sweep))
    trials = sum(len(summary.results.trials) for _, summary in sweep.runs)
    data = dict.fromkeys(dataset(summary.results.spec) for _, summary in sweep.runs)
    header = shell.definitions(
        (
            ("Runs", str(len(sweep.runs))),
            ("Activations", str(len(sweep.names))),
            ("Trials", f"{trials:,}"),
            ("Data", ", ".join(data)),
            ("Judged by", sweep.measure.name),
        )
    )
    header = (f'<p class="asked">{text(said)}</p>' if said else "") + header
    return shell.document(title, header, body, sections, shown, look)


def charts(sweep: Sweep, pooled: Pooled | None) -> tuple[Chart, ...]:
    """The measure against the run, and what all runs together say."""
    measure = sweep.measure
    rows: list[Row] = []
    for name, summary in sweep.runs:
        rows += [{**estimate_row(arm.name, arm.score), "run": name} for arm in summary.arms if arm.score.n]
    if not rows:
        return ()
    cited = tuple(
        {
            "activation": p.activation,
            "run": p.run,
            "y": p.value,
            "source": p.source + (f" ({p.note})" if p.note else ""),
        }
        for p in sweep.published
    )
    ends = (0.0, 1.0) if measure.percent else (0.0, math.inf)
    label = f"{measure.name}{f', {measure.unit}' if measure.unit else ''}"
    hollow = " Hollow marks are published figures, their sources below." * bool(cited)
    whole = padded(reach(rows, cited), within=ends)
    ranges = sorted(((r["mean"], r["mean"]) for r in rows), reverse=measure.larger_is_better)
    near = focused(ranges)
    wide = near[1] - near[0] > 0.4 * (whole[1] - whole[0])
    titles = [
        (measure.name.capitalize(), whole),
        *([] if wide else [("The same, the better ones nearer", near)]),
    ]
    made = [
        Chart(
            "sweep",
            f"{measure.name.capitalize()} against run",
            "Where lines part, the run decides which activation is better.",
            f"Mean over seeds with its 95% Student interval; activations stand beside each other at each run.{hollow}",
            tuple(
                Panel(
                    "runs", title, "", label, tuple(rows), (), domain, percent=measure.percent,
                    order=tuple(name for name, _ in sweep.runs), marked=cited,
                )
                for title, domain in titles
            ),
            _numbers(sweep),
        )
    ]  # fmt: skip
    if pooled:
        odds = tuple(estimate_row(r.name, r.odds) for r in pooled.rivals if math.isfinite(r.odds.mean))
        middle = tuple(estimate_row(r.name, r.iqm) for r in pooled.all if math.isfinite(r.iqm.mean))
        made.append(
            Chart(
                "together",
                "All runs together",
                f"How often a run of one activation beats a run of {pooled.baseline}, over all of these runs.",
                f"Left: probability that one training of an activation beats one of {pooled.baseline}, each run "
                "counting alike. Right: the interquartile mean over all trainings of all runs. 95% intervals by a "
                "stratified bootstrap: seeds are drawn inside each run, never across, so they say how the figures "
                "would move with other seeds in these runs, not in other ones. From three seeds a run they are too "
                "short.",
                (
                    Panel(
                        "dots", f"Probability of beating {pooled.baseline}", "probability", "", odds, (), (-0.02, 1.02),
                        percent=True, order=tuple(row["activation"] for row in odds), reference=0.5,
                        centre="probability",
                    ),
                    Panel(
                        "dots", "Interquartile mean", f"{measure.name}, interquartile mean", "", middle, (),
                        focused([(r["low"] if r["low"] is not None else r["mean"],
                                  r["high"] if r["high"] is not None else r["mean"]) for r in middle]),
                        percent=measure.percent, order=tuple(row["activation"] for row in middle), centre="IQM",
                    ),
                ),
            )
        )  # fmt: skip
    return tuple(made)


def _numbers(sweep: Sweep) -> Table:
    form = ".2%" if sweep.measure.percent else ".4g"
    body = []
    for name, summary in sweep.runs:
        for arm in summary.arms:
            cited = sweep.cited(name, arm.name)
            e = arm.score
            body.append((arm.name, name, e.mean, e.low, e.high, e.n, cited[0].value if cited else math.nan))
    columns = ("activation", "run", sweep.measure.name, "low", "high", "seeds", "published")
    return Table(columns, tuple(body), ("", "", form, form, form, "d", form))


def _verdict(told: Told) -> str:
    first, lines, notes = told
    each = "".join(f"<dd>{marked(line)}</dd>" for line in lines)
    standings = f'<dl class="standings"><div class="told"><dt>Each</dt>{each}</div></dl>' if each else ""
    caveats = "".join(f"<li>{marked(line)}</li>" for line in notes)
    return (
        '<section class="verdict" id="verdict" aria-label="Verdict"><h2>Verdict</h2>'
        f'<p><span class="headline">{marked(first)}</span></p>'
        f"{standings}"
        f'<ul class="caveats">{caveats}</ul></section>'
    )


def _table(sweep: Sweep, look: Mapping[str, Style]) -> str:
    """A row an activation, a column a run, published figures below ours."""
    head = '<th scope="col" class="text"><button type="button">Activation</button></th>' + "".join(
        f'<th scope="col"><button type="button">{text(name)}</button></th>' for name, _ in sweep.runs
    )
    rows = ""
    for i, name in enumerate(sweep.names):
        cells = "".join(_cell(sweep, run, summary, name) for run, summary in sweep.runs)
        rows += (
            f'<tr data-name="{text(name)}"><th scope="row" data-value="{text(name)}"><span class="who">'
            f"{swatch(look[name], f'var(--series-{i})', line=False)}<span>{text(name)}</span></span></th>{cells}</tr>"
        )
    return (
        '<section id="runs"><h2>Runs</h2><p class="lead">Means over seeds with 95% intervals; + better, − worse, = not '
        "told apart from the baseline of that run. Press a heading to sort.</p>"
        '<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="Runs and activations">'
        f'<table class="results"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div></section>'
    )


def _cell(sweep: Sweep, run: str, summary: Summary, name: str) -> str:
    arm = next((arm for arm in summary.arms if arm.name == name), None)
    if arm is None or not arm.score.n:
        return '<td data-value="nan">–</td>'
    measure, e = sweep.measure, arm.score
    standing, spoken = "", "baseline"
    if name != summary.baseline:
        rival = summary.against.rival(name)
        spoken = {"win": "better", "loss": "worse", "tie": "not told apart", "untested": "not tested"}[
            rival.standing
        ]
        standing = (
            f' <span class="standing {rival.standing}" title="{spoken}">{SIGNS[rival.standing]}'
            f'<span class="unseen">{spoken}</span></span>'
        )
    best = " best" if summary.ranked[0].name == name else ""
    markup = f'<span class="mean{best}">{text(value(measure, e.mean))}</span>{standing}'
    markup += f'<br><small class="interval">{text(interval(measure, e.low, e.high))}</small>'
    for cited in sweep.cited(run, name):
        shown = text(value(measure, cited.value))
        markup += f'<br><small class="published" title="{text(cited.cited)}">published {shown}</small>'
    return f'<td data-value="{e.mean!r}">{markup}</td>'


def _each(sweep: Sweep, folder: Path) -> str:
    rows = ""
    for name, summary in sweep.runs:
        told = judge(summary).headline
        counts = [len(x) for x in (summary.against.wins, summary.against.ties, summary.against.losses)]
        link = quote(Path(os.path.relpath(summary.results.directory / "report.html", folder)).as_posix())
        rows += (
            f'<tr><th scope="row" data-value="{text(name)}"><a href="{text(link)}">{text(name)}</a></th>'
            f'<td class="text">{text(network(summary.results.spec))}</td>'
            f'<td class="text">{text(summary.baseline)}</td>'
            + "".join(f"<td>{count}</td>" for count in counts)
            + f'<td class="text wrap">{marked(told)}</td></tr>'
        )
    titles = ("Run", "Network", "Baseline", "Wins", "Ties", "Losses", "Verdict")
    head = "".join(
        f'<th scope="col"{" class=text" if t not in ("Wins", "Ties", "Losses") else ""}>'
        f'<button type="button">{t}</button></th>'
        for t in titles
    )
    return (
        '<section id="each"><h2>Each run</h2><p class="lead">Wins, ties and losses against the baseline of the run, '
        "corrected by Holm within the run; the name leads to its own report.</p>"
        '<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="Each run">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div></section>"
    )


def _sources(sweep: Sweep) -> str:
    items = "".join(
        f"<li>{text(p.run)}, {text(p.activation)}: {text(value(sweep.measure, p.value))}. {text(p.cited)}</li>"
        for p in sweep.published
    )
    return (
        '<section id="sources"><h2>Sources</h2><p class="lead">Published figures, as their authors measured them; the '
        f'data, budget and seeds behind them are theirs.</p><ul class="sources">{items}</ul></section>'
    )
