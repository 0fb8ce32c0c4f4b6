"""The report of one bake-off as a page: verdict, results, charts, and how to do it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triode.bakeoff.report import shell
from triode.bakeoff.report.caveats import edge
from triode.bakeoff.report.facts import facts, machine, question, steps
from triode.bakeoff.report.palette import Style, styles
from triode.bakeoff.report.shell import marked, swatch, text
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.verdict import Verdict, judge
from triode.bakeoff.report.views import charts
from triode.bakeoff.report.words import counted, gap, interval, named, percent, rate, value
from triode.bakeoff.stats import Estimate

STANDINGS = {"win": "better", "tie": "tie", "loss": "worse", "untested": "untested"}
EDGES = {"low": "smallest tried", "high": "largest tried"}


def page(summary: Summary, files: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report.

    Args:
        summary: What it tells.
        files: Name of each file beside it, and what it holds or why it is not there.
    """
    shown = charts(summary)
    look = styles([arm.name for arm in summary.arms])
    sections = [
        ("verdict", "Verdict"),
        ("results", "Results"),
        *((c.id, c.title) for c in shown),
        ("reproduce", "Reproduce"),
    ]
    body = [
        _verdict(judge(summary)),
        shell.filters(look),
        _results(summary, look),
        *(shell.chart(chart) for chart in shown),
        _reproduce(summary, files),
    ]
    header = shell.definitions((fact.name, fact.value) for fact in facts(summary.results))
    return shell.document(question(summary.results), header, body, sections, shown, look)


def _verdict(verdict: Verdict) -> str:
    told = "".join(
        f'<div class="told {kind}"><dt>{title}</dt>{"".join(f"<dd>{marked(line)}</dd>" for line in lines)}</div>'
        for kind, title, lines in (
            ("win", "Wins", verdict.wins),
            ("tie", "Ties", verdict.ties),
            ("loss", "Losses", verdict.losses),
        )
        if lines
    )
    caveats = "".join(f'<li class="failure">{marked(line)}</li>' for line in verdict.failures)
    caveats += "".join(f"<li>{marked(line)}</li>" for line in verdict.caveats)
    return (
        '<section class="verdict" id="verdict" aria-label="Verdict"><h2>Verdict</h2>'
        f'<p><span class="headline">{marked(verdict.headline)}</span> '
        f"{marked(' '.join(verdict.findings))}</p>"
        f"{f'<dl class=standings>{told}</dl>' if told else ''}"
        f'<ul class="caveats">{caveats}</ul></section>'
    )


@dataclass(frozen=True)
class _Column:
    title: str
    sorted: str = ""


def _columns(summary: Summary) -> list[_Column]:
    measure = summary.measure
    titles = [_Column("Activation"), _Column(f"{measure.name.capitalize()} (95% interval)", _first(summary))]
    titles += [_Column("Interquartile mean"), _Column(f"From {summary.baseline}")]
    if measure.percent:
        titles.append(_Column("Test loss"))
    titles.append(_Column("Learning rate"))
    titles += [_Column("Best epoch"), _Column("Seconds per epoch"), _Column("Dead units")]
    return [*titles, _Column("Parameters")] if _parameters_differ(summary) else titles


def _parameters_differ(summary: Summary) -> bool:
    return len({arm.parameters for arm in summary.arms if arm.parameters is not None}) > 1


def _first(summary: Summary) -> str:
    return "descending" if summary.measure.larger_is_better else "ascending"


def _results(summary: Summary, look: Mapping[str, Style]) -> str:
    head = "".join(
        f'<th scope="col"{" class=text" if i == 0 else ""}{f" aria-sort={c.sorted}" if c.sorted else ""}>'
        f'<button type="button">{text(c.title)}</button></th>'
        for i, c in enumerate(_columns(summary))
    )
    order = list(look)
    rows = "".join(_result(arm, summary, look[arm.name], order.index(arm.name)) for arm in summary.ranked)
    measure = summary.measure
    unit = f" ({measure.unit})" if measure.unit else ""
    loss = " Test loss: mean cross-entropy in nats." if measure.percent else ""
    return (
        f'<section id="results"><h2>Results</h2><p class="lead">Best mean {text(measure.name)} first; the order alone '
        "proves nothing, see the verdict. Press a heading to sort; the bar above chooses what is shown.</p>"
        '<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="Results">'
        f'<table class="results"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>'
        f'<p class="caption">Means over {counted(summary.results.spec.seeds, "seed")}. '
        f"{text(measure.name.capitalize() + unit)}: the network after the last epoch on the test set, used once.{loss} "
        f"From {text(summary.baseline)}: mean of the differences seed by seed; standing: after Holm’s correction. "
        "Best epoch: the first with the trial’s best validation figure. Dead units: share of all units whose output "
        "was exactly zero for every training example of the last epoch. A diverged trial counts with the accuracy "
        "that it ended with, and not in a loss.</p></section>"
    )


def _result(arm: Arm, summary: Summary, style: Style, index: int) -> str:
    badges = ""
    if arm.diverged:
        badges += f' <span class="badge">{len(arm.diverged)} diverged</span>'
    if arm.missing:
        badges += f' <span class="badge">{len(arm.missing)} missing</span>'
    formula = (
        f'<span class="formula">{text(arm.specification)}</span>' if arm.specification != arm.name else ""
    )
    measure, dead = summary.measure, arm.last_share(lambda r: r.dead)
    cells = [
        _estimate(arm.score, value(measure, arm.score.mean), interval(measure, arm.score.low, arm.score.high))
    ]
    cells.append(_estimate(arm.iqm, value(measure, arm.iqm.mean)))
    cells.append(_standing(arm, summary))
    if measure.percent:
        cells.append(_estimate(arm.loss, f"{arm.loss.mean:.3f}"))
    cells.append(_rate(arm, summary))
    cells += [
        _estimate(arm.best_epoch, f"{arm.best_epoch.mean:.1f}"),
        _estimate(arm.epoch_seconds, f"{arm.epoch_seconds.mean:.2f}"),
        _cell(percent(dead, 1), dead),
    ]
    if _parameters_differ(summary):
        cells.append(_cell("–" if arm.parameters is None else f"{arm.parameters:,}", arm.parameters))
    return (
        f'<tr data-name="{text(arm.name)}"><th scope="row" data-value="{text(arm.name)}"><span class="who">'
        f"{swatch(style, f'var(--series-{index})', line=False)}"
        f"<span>{text(arm.name)}{badges}{formula}</span></span></th>{''.join(cells)}</tr>"
    )


def _standing(arm: Arm, summary: Summary) -> str:
    if arm.name == summary.baseline:
        return _cell('<span class="standing tie">baseline</span>', 0.0)
    rival = summary.against.rival(arm.name)
    d = rival.difference
    sign = "" if not math.isfinite(d.mean) or d.mean == 0 else "+" if d.mean > 0 else "−"
    size = text(gap(summary.measure, d.mean)).removesuffix(" points")
    word = STANDINGS[rival.standing]
    return _cell(f'{sign}{size} <span class="standing {rival.standing}">{word}</span>', d.mean)


def _rate(arm: Arm, summary: Summary) -> str:
    chosen = arm.settings.get("learning_rate", math.nan)
    if not math.isfinite(chosen):
        return _cell("–", None)
    side = edge(arm, summary.results.spec)
    decay = arm.settings.get("weight_decay")
    shown = rate(chosen) + (f", decay {rate(decay)}" if decay is not None else "")
    badge = f' <span class="badge" title="{EDGES[side]}">edge</span>' if side else ""
    return _cell(text(shown) + badge, chosen)


def _estimate(estimate: Estimate, shown: str, ends: str = "") -> str:
    if not math.isfinite(estimate.mean):
        return _cell("–", None)
    markup = f'<span class="mean">{text(shown)}</span>' if ends else text(shown)
    if ends and ends != "–":
        markup += f' <small class="interval">{text(ends)}</small>'
    return _cell(markup, estimate.mean)


def _cell(markup: str, number: float | None) -> str:
    known = number is not None and math.isfinite(number)
    return f'<td data-value="{repr(number) if known else "nan"}">{markup}</td>'


def _reproduce(summary: Summary, files: Sequence[tuple[str, str]]) -> str:
    results = summary.results
    lines = "\n".join(steps(results))
    about = "".join(f"<dt>{text(fact.name)}</dt><dd>{text(fact.value)}</dd>" for fact in machine(summary))
    copy = '<button type="button" class="copy">copy</button>'
    failed = "".join(
        f"<dt>{marked(named(who))}</dt><dd><code>{text(line)}</code></dd>"
        for who, line in results.failures.items()
    )
    failures = f'<h3>Trials that raised</h3><dl class="raised">{failed}</dl>' if failed else ""
    beside = "".join(f"<dt><code>{text(name)}</code></dt><dd>{text(what)}</dd>" for name, what in files)
    held = f"<h3>Files beside this page</h3><dl>{beside}</dl>" if beside else ""
    return (
        '<section id="reproduce"><h2>Reproduce</h2><p class="lead">The same specification with the same versions gives '
        "the same numbers on the same kind of machine, times apart; another processor may round differently.</p>"
        '<div class="card reproduce"><div><h3>Commands</h3>'
        f'<div class="code">{copy}<pre tabindex="0">{text(lines)}</pre></div>'
        f'<h3>spec.toml</h3><div class="code">{copy}<pre tabindex="0">{text(results.spec.to_toml())}</pre></div></div>'
        f'<div class="machine"><h3>Made with</h3><dl>{about}</dl>{failures}{held}</div></div></section>'
    )
