"""The report as one HTML file that opens from disk, runs no script and requests nothing; and a piece for notebooks."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History
from triode.doctor.report import story
from triode.doctor.report.column import Health, folded, rows
from triode.doctor.report.findings import checks, coloured, finding, notes, proofs
from triode.doctor.report.network import COLOURS, bare, facts, network, sign
from triode.doctor.report.series import Plot, plots
from triode.doctor.report.svg import chart, escaped, legend
from triode.doctor.report.words import clean


def write(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write the report as one HTML file.

    Args:
        diagnosis: What the doctor found.
        path: Where to; its folder must exist, a file there is replaced.

    Returns:
        The path.

    Raises:
        OSError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write(Diagnosis(checked=("dead_relu",)), Path(folder) / "doctor.html")
        ...     "nothing to act on" in written.read_text(encoding="utf-8")
        True
    """
    place = Path(path)
    place.write_text(page(diagnosis), encoding="utf-8")
    return place


def page(diagnosis: Diagnosis) -> str:
    """The whole page as a string of HTML; see :func:`write`."""
    from triode.bakeoff.report.shell import LOGO

    histories = diagnosis.histories
    title = ", ".join(clean(history.name, 60) for history in histories) or "no model"
    sections = [*_findings(diagnosis), *_cure(diagnosis)]
    columns = [network(diagnosis, history, len(histories) > 1) for history in histories]
    curves = [_curves(diagnosis, history, i, len(histories) > 1) for i, history in enumerate(histories)]
    body = [_verdict(diagnosis), *columns, *sections, *curves, *notes(diagnosis), checks(diagnosis)]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            # No script and no request of any kind, whatever the data may have smuggled in.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            "base-uri 'none'; form-action 'none'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="generator" content="Triode">',
            f"<title>{escaped(title)} · Triode doctor</title>",
            f"<style>\n{_variables()}\n{_css()}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#verdict">Skip to the verdict</a>',
            f'<header><div class="kicker">{LOGO}<span>Triode doctor</span></div><h1>{escaped(title)}</h1>'
            f"{''.join(facts(history) for history in histories[:1]) if len(histories) == 1 else ''}</header>",
            "<main>",
            *body,
            "</main>",
            "<footer>Written by Triode. This page is one file, works offline, runs no script and requests nothing."
            "</footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def fragment(diagnosis: Diagnosis) -> str:
    """The diagnosis as a piece of HTML for notebooks: no script, no style sheet, nothing that another cell could meet.

    Args:
        diagnosis: What the doctor found.

    Returns:
        One `div`.

    Examples:
        >>> fragment(Diagnosis(checked=("dead_relu",)))[:32]
        '<div class="triode-doctor" style'
    """
    health: Health = "sick" if diagnosis.findings else "well" if diagnosis.checked else "unknown"
    parts = [
        f'<p style="font-size:1.1em;margin:.2em 0 .8em">{sign(health)} <b>{escaped(story.verdict(diagnosis))}</b></p>',
        *map(_brief, story.causes(diagnosis)),
        *(
            f'<p style="margin:.3em 0">{sign("well" if trial.helped else "watch")} {escaped(trial.title)}: '
            f"{escaped(trial.sentence)}</p>"
            for trial in story.trials(diagnosis)
        ),
    ]
    for i, history in enumerate(diagnosis.histories):
        column = rows(diagnosis, history)
        name = f"<b>{escaped(history.name, 60)}</b>" if len(diagnosis.histories) > 1 else ""
        parts.append(name + bare(folded(column, 16)))
        drawn = "".join(
            f'<div style="display:inline-block;width:420px;max-width:100%;vertical-align:top;margin-right:1em">'
            f"<b>{escaped(plot.title)}</b>{chart(plot, _key(diagnosis, 'n', i, plot))}{legend(plot)}</div>"
            for plot in plots(history, column)
        )
        if drawn:
            parts.append(
                f'<details style="margin-top:.6em"><summary style="cursor:pointer">Curves</summary>{drawn}</details>'
            )
    return f'<div class="triode-doctor" style="max-width:62em;line-height:1.45">{"".join(parts)}</div>'


def _brief(told: story.Told) -> str:
    """A finding in a notebook: what, and the first thing to do; what follows from it in one line."""
    first = "".join(
        f'<div style="margin:.2em 0">→ {escaped(one.words)}</div>'
        + (
            f'<pre style="margin:.2em 0 .4em;white-space:pre-wrap">{coloured(one.code)}</pre>'
            if one.code
            else ""
        )
        for one in told.prescriptions[:1]
    )
    later = [one.title for one in told.tree[1:]]
    follows = (
        f'<div style="opacity:.75">What follows from it: {escaped(", ".join(later))}.</div>' if later else ""
    )
    return (
        f'<div style="border-left:3px solid {COLOURS["sick"]};padding:.1em 0 .1em .8em;margin:.5em 0">'
        f"<b>{escaped(told.title)}</b> ({told.finding.severity}, {told.finding.confidence}): "
        f"{escaped(told.finding.summary)}{first}{follows}</div>"
    )


def _verdict(diagnosis: Diagnosis) -> str:
    health: Health = "sick" if diagnosis.findings else "well" if diagnosis.checked else "unknown"
    if not diagnosis.findings and any(history.exception for history in diagnosis.histories):
        health = "watch"
    errors = "".join(f"<p class='ended'>{escaped(line)}</p>" for line in story.errors(diagnosis.histories))
    cures = " ".join(trial.words for trial in story.trials(diagnosis) if trial.helped)
    proved = f"<p>{sign('well')} Proved cure: {escaped(cures)}</p>" if cures else ""
    line = story.verdict(diagnosis)
    return (
        f'<section id="verdict" class="verdict {health}" aria-label="Verdict"><div>{sign(health, 30)}</div>'
        f"<div><h2>Verdict</h2><p class='headline'>{escaped(line[:1].upper() + line[1:])}</p>{proved}{errors}</div>"
        "</section>"
    )


def _findings(diagnosis: Diagnosis) -> list[str]:
    told = story.causes(diagnosis)
    if not told:
        return []
    named = len(diagnosis.histories) > 1
    return [
        '<section id="findings"><h2>Findings</h2>'
        f"{''.join(finding(one, diagnosis, named) for one in told)}</section>"
    ]


def _cure(diagnosis: Diagnosis) -> list[str]:
    return proofs(story.trials(diagnosis))


def _curves(diagnosis: Diagnosis, history: History, index: int, named: bool) -> str:
    column = rows(diagnosis, history)
    drawn = "".join(
        f'<figure class="card"><h3>{escaped(plot.title)}</h3><p class="caption">{escaped(plot.lead)}</p>'
        f"{chart(plot, _key(diagnosis, 'c', index, plot))}{legend(plot)}</figure>"
        for plot in plots(history, column)
    )
    heading = f"Curves{': ' + escaped(history.name, 60) if named else ''}"
    return (
        f'<section class="curves"><h2>{heading}</h2><div class="grid">{drawn}</div></section>'
        if drawn
        else ""
    )


def _key(diagnosis: Diagnosis, place: str, index: int, plot: Plot) -> str:
    """An id for a chart; in a notebook, where several diagnoses share a page, different for each of them."""
    return f"t-{place}{id(diagnosis):x}-{index}-{plot.id}" if place == "n" else f"{place}{index}-{plot.id}"


@cache
def _css() -> str:
    return files(__package__).joinpath("assets", "doctor.css").read_text(encoding="utf-8")


@cache
def _variables() -> str:
    from triode.bakeoff.report.palette import DARK, LIGHT, THEMES

    def block(theme: str) -> str:
        own = {f"s{i}": colour for i, colour in enumerate(LIGHT if theme == "light" else DARK)}
        pairs = " ".join(f"--t-{name}: {value};" for name, value in {**THEMES[theme], **own}.items())
        return f"color-scheme: {theme}; {pairs}"

    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {block('dark')} }} }}"
    return f":root {{ {block('light')} }}\n{dark}"
