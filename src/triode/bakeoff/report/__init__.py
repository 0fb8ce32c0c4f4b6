"""The report of a bake-off: one offline HTML file, the same as Markdown with pictures, and a table of the trials.

Reporting reads finished records and never trains. `summary` gathers, `verdict` judges, `views` decides what is shown;
`html` with `charts`, and `markdown` with `figures`, write it down.
"""

from __future__ import annotations

from pathlib import Path

from triode.bakeoff.records import Results
from triode.bakeoff.report import figures, html, markdown, notebook
from triode.bakeoff.report.palette import styles
from triode.bakeoff.report.summary import summarise
from triode.bakeoff.report.verdict import Verdict, judge
from triode.bakeoff.report.views import charts
from triode.bakeoff.store import write_csv, write_whole
from triode.errors import MissingExtra

__all__ = ["summary_html", "verdict", "write"]


def write(results: Results) -> Path:
    """Write report.html, report.md, figures/*.png and results.csv into the directory of the results.

    Each file is written beside its place and moved there, so that a reader never sees half of one. Without Matplotlib
    the Markdown has no pictures and says what to install.

    Args:
        results: Finished trials; some may be missing, which the report says.

    Returns:
        The path of report.html.
    """
    summary = summarise(results)
    shown, look = charts(summary), styles(results.activations)
    folder = results.directory
    note, pictures = "", {}
    try:
        written = figures.draw(shown, look, folder / "figures")
        pictures = {name: path.relative_to(folder) for name, path in written.items()}
    except MissingExtra as missing:
        note = str(missing)
    write_csv(results)
    _placed(folder / "report.md", markdown.document(summary, shown, pictures, note))
    return _placed(folder / "report.html", html.page(summary))


def verdict(results: Results) -> Verdict:
    """What may be said of these results: which differences are real and which are noise."""
    return judge(summarise(results))


def summary_html(results: Results) -> str:
    """The verdict and the table of results as a small piece of HTML without scripts, for a notebook."""
    return notebook.fragment(summarise(results))


def _placed(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path
