"""`triode report`: write the report of a finished or half-finished bake-off again, without training."""

from __future__ import annotations

from pathlib import Path

from triode.cli._output import print_json
from triode.errors import TriodeError


def run(*directories: Path, json: bool = False) -> int:
    """Write report.html, report.md and results.csv again from the trials on disk; nothing is trained.

    Args:
        directories: Folders that `triode bakeoff` wrote.
        json: Print a JSON list with an object for each folder instead of tables.

    Examples:
        triode report bakeoff
        triode report smooth bakeoff --json
    """
    from triode import bakeoff
    from triode.bakeoff import report
    from triode.cli._results import data, show, status

    if not directories:
        raise TriodeError("report needs the folder of a bake-off, such as: triode report bakeoff.")
    loaded = [bakeoff.load(directory) for directory in directories]
    written = [(results, report.write(results)) for results in loaded]
    if json:
        print_json([data(results, path) for results, path in written])
    else:
        for results, path in written:
            show(results, path)
    return max(status(results) for results in loaded)
