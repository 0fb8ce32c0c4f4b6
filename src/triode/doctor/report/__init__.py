"""What the doctor found, for people and for programs: terminal, one offline HTML file, Markdown, notebook, JSON.

`story` decides what is told and in which order, `column` is the network as rows, `series` what the charts show;
`terminal`, `markdown`, `plain` and `html` (with `network`, `findings` and `svg`) write it down. Nothing here trains.
"""

from __future__ import annotations

from triode.doctor.report import html
from triode.doctor.report.markdown import markdown
from triode.doctor.report.plain import plain
from triode.doctor.report.terminal import show

__all__ = ["html", "markdown", "plain", "show"]
