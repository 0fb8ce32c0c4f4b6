"""`triode grade`: the chapter's rubric applied to the directory of a bake-off."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from triode.cli._output import number, paragraph, print_json, section, table
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.grade import Grade


def run(
    directory: Path,
    /,
    *,
    pass_mark: Annotated[float, Parameter(name="--pass")] = 60.0,
    no_rerun: bool = False,
    cell: str = "",
    seconds: float = 45.0,
    data_dir: Path | None = None,
    trust_code: bool = False,
    json: bool = False,
    otter: Path | None = None,
    nbgrader: bool = False,
) -> int:
    """Judge a finished bake-off by the chapter's rubric of 100 points, from its records.

    Records are checked against each other, and one trial is trained again to see that they were not invented. The
    exit status is 0 where the points reach the pass mark, 1 where they do not.

    Args:
        directory: Folder that `triode bakeoff` wrote.
        pass_mark: Points from which it passes.
        no_rerun: Train nothing again; then nothing shows that the log comes from this code.
        cell: Trial to train again, such as relu:0; by default one that a hash of all results points at.
        seconds: Time after which no further epoch of it is begun.
        data_dir: Folder of the dataset's files, where they are not where spec.toml says.
        trust_code: Import models, data and activations that the folder names as module:object.
        json: Print one JSON object instead of a table.
        otter: Also write results.json here, in the form of Otter-Grader and Gradescope.
        nbgrader: Print a table of one line in the form of nbgrader's export instead.

    Examples:
        triode grade bakeoff
        triode grade bakeoff --no-rerun --json
        triode grade bakeoff --cell relu:0 --otter results.json
    """
    from triode.bakeoff.grade import grade
    from triode.bakeoff.grade.forms import gradescope
    from triode.bakeoff.grade.forms import nbgrader as as_csv

    if not 0 <= pass_mark <= 100:
        raise TriodeError(f"--pass {number(pass_mark)} is not a number of points from 0 to 100.")
    if not 0 < seconds <= 86_400:
        raise TriodeError(f"--seconds {number(seconds)} is not a time above 0 and of at most a day.")
    with _progress() as say:
        given = grade(
            directory,
            retrain=not no_rerun,
            cell=cell,
            seconds=seconds,
            data_dir=data_dir,
            trust_code=trust_code,
            progress=say,
        )
    if otter is not None:
        otter.write_text(gradescope(given), encoding="utf-8")
    if nbgrader:
        sys.stdout.write(as_csv(given, "bake-off", directory.resolve().name))
    elif json:
        print_json(given.plain() | {"pass_mark": pass_mark, "passed": given.passed(pass_mark)})
    else:
        _show(given, pass_mark)
    return 0 if given.passed(pass_mark) else 1


def _show(given: Grade, mark: float) -> None:
    rows = [
        (one.criterion.title, number(one.score.points), str(one.criterion.maximum)) for one in given.judged
    ]
    rows.append(("Total", number(given.total), str(given.maximum)))
    table(("criterion", "points", "of"), rows, right=(1, 2))
    for one in given.judged:
        hint = [f"Hint: {one.score.hint}."] if one.score.hint else []
        section(one.criterion.title, [*one.score.evidence, *hint])
    section("Trained again", [given.rerun.sentence])
    section("Contradictions", given.contradictions)
    section("Notes", given.notes)
    paragraph("")
    if given.rerun.refuted:
        paragraph("It does not pass: the log does not come from this code.")
    else:
        outcome = "passes" if given.passed(mark) else "does not pass"
        paragraph(
            f"{number(given.total)} of {given.maximum} points; it {outcome} (from {number(mark)} points on)."
        )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is going on, on standard error: one line that changes on a terminal, a line a step elsewhere."""
    from rich.console import Console

    out = Console(stderr=True, highlight=False, markup=False)
    if not out.is_terminal:
        yield lambda line: out.print(line, soft_wrap=True)
        return
    with out.status("reading") as spinner:
        yield spinner.update
