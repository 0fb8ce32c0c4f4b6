"""The report of a bake-off: one offline HTML file, the same as Markdown with pictures, and files for other tools.

Reporting reads finished records and never trains. `summary` gathers, `verdict` judges, `views` decides what is shown;
`html` with `charts`, and `markdown` with `figures`, write it down; `compare` sets several runs side by side.
"""

from __future__ import annotations

from pathlib import Path

from triode.bakeoff.records import Results
from triode.bakeoff.report import exports, figures, html, markdown, notebook
from triode.bakeoff.report.compare import compare
from triode.bakeoff.report.palette import styles
from triode.bakeoff.report.published import Published
from triode.bakeoff.report.summary import summarise
from triode.bakeoff.report.verdict import Verdict, judge
from triode.bakeoff.report.views import charts
from triode.bakeoff.storage.store import write_csv, write_whole
from triode.errors import MissingExtra

__all__ = ["Published", "compare", "summary_html", "verdict", "write"]


def write(results: Results) -> Path:
    """Write the report and its files into the directory of the results.

    `report.html`, `report.md` with `figures/*.png`, `results.csv`, `results.tex`, `results.parquet` and
    `epochs.parquet`. Each is written beside its place and moved there, so that a reader never sees half of one. Without
    Matplotlib the Markdown has no pictures, without pyarrow there is no Parquet; the report says what to install.

    Args:
        results: Finished trials; some may be missing, which the report says.

    Returns:
        The path of report.html.
    """
    summary = summarise(results)
    shown, look = charts(summary), styles(results.activations)
    folder = results.directory
    note, pictures = "", {}
    files = [
        ("results.csv", "a row a trial"),
        ("results.tex", "the table of results for LaTeX, with booktabs"),
    ]
    write_csv(results)
    exports.write_tex(summary)
    try:
        exports.write_parquet(results)
        files += [
            ("results.parquet", "a row a trial, those of tuning too"),
            ("epochs.parquet", "a row an epoch and layer"),
        ]
    except MissingExtra as missing:
        files.append(("results.parquet", f"not written: {missing}"))
    try:
        written = figures.draw(shown, look, folder / "figures")
        pictures = {name: path.relative_to(folder) for name, path in written.items()}
        files.append(("report.md", "this report as Markdown, with pictures in figures/"))
    except MissingExtra as missing:
        note = str(missing)
        files.append(("report.md", f"this report as Markdown, without pictures: {note}"))
    write_whole(folder / "report.md", markdown.document(summary, shown, pictures, note, files))
    page = folder / "report.html"
    write_whole(page, html.page(summary, files))
    return page


def verdict(results: Results) -> Verdict:
    """What may be said of these results: which differences are real and which are noise."""
    return judge(summarise(results))


def summary_html(results: Results) -> str:
    """The verdict and the table of results as a small piece of HTML without scripts, for a notebook."""
    return notebook.fragment(summarise(results))
