"""`triode report`: write the report of a finished or half-finished bake-off again, or compare several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triode.cli._output import print_json
from triode.errors import TriodeError

COMPARISON = "comparison.html"


def run(*directories: Path, out: Path | None = None, json: bool = False) -> int:
    """Write the report of each folder again from the trials on disk, and of several a comparison; nothing is trained.

    Args:
        directories: Folders that `triode bakeoff` wrote.
        out: With several folders, the file of the comparison; comparison.html in this folder if not given.
        json: Print a JSON list with an object for each folder instead of tables.

    Examples:
        triode report bakeoff
        triode report depth-10 depth-20 depth-30 --out depth.html
        triode report smooth bakeoff --json
    """
    from triode import bakeoff
    from triode.bakeoff import report
    from triode.cli._output import paragraph
    from triode.cli._results import data, show, status

    if not directories:
        raise TriodeError("report needs the folder of a bake-off, such as: triode report bakeoff.")
    if out is not None and len(directories) == 1:
        raise TriodeError(
            f"--out {out} names the file of a comparison, which needs two folders or more; the report of one folder "
            "is written into it."
        )
    loaded = [bakeoff.load(directory) for directory in directories]
    # A folder given twice is refused before anything is written.
    names = run_names(directories)
    written = [(results, report.write(results)) for results in loaded]
    comparison = None
    if len(loaded) > 1:
        comparison = report.compare(list(zip(names, loaded, strict=True)), out or Path(COMPARISON))
    if json:
        print_json([data(results, path) for results, path in written])
    else:
        for results, path in written:
            show(results, path)
        if comparison is not None:
            paragraph(f"Comparison: {comparison}")
    return max(status(results) for results in loaded)


def run_names(directories: Sequence[Path]) -> list[str]:
    """A name for each folder: its last part, or as much of the path as tells it from the others.

    >>> run_names([Path("a/deep"), Path("b/deep"), Path("wide")])
    ['a/deep', 'b/deep', 'wide']

    Raises:
        TriodeError: a folder is given twice.
    """
    whole = [directory.resolve() for directory in directories]
    for directory, path in zip(directories, whole, strict=True):
        if whole.count(path) > 1:
            raise TriodeError(f"{directory} is given twice; a comparison needs different folders.")
    names = []
    for path in whole:
        length = 1
        while sum(other.parts[-length:] == path.parts[-length:] for other in whole) > 1:
            length += 1
        names.append("/".join(path.parts[-length:]))
    return names
