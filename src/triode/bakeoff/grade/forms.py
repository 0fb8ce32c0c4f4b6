"""A grade in the forms that graders of courses read: Otter-Grader and Gradescope, and nbgrader's table."""

from __future__ import annotations

import csv
import json
from io import StringIO

from triode.bakeoff.grade.judge import Grade

COLUMNS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score",
)  # fmt: skip
"""Of the table that `nbgrader export` writes, a row for each student and assignment."""


def gradescope(grade: Grade) -> str:
    """The text of a `results.json`, as Gradescope defines it and Otter-Grader writes it: a test for each criterion.

    Source: "Autograder Specifications", Gradescope documentation, section "Output format".
    """
    tests = [
        {
            "name": one.criterion.title,
            "score": one.score.points,
            "max_score": float(one.criterion.maximum),
            "output": "\n".join(
                [*one.score.evidence, *([f"Hint: {one.score.hint}."] if one.score.hint else [])]
            ),
            "visibility": "visible",
        }
        for one in grade.judged
    ]
    said = [grade.rerun.sentence, *grade.contradictions, *grade.notes]
    whole = {"score": grade.total, "output": "\n".join(said), "visibility": "visible", "tests": tests}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def nbgrader(grade: Grade, assignment: str, student: str) -> str:
    """Two lines of CSV with the columns that `nbgrader export` writes for an assignment of one student."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    row = dict.fromkeys(COLUMNS, "") | {"assignment": assignment, "student_id": student}
    points = {
        "raw_score": grade.total,
        "late_submission_penalty": 0.0,
        "score": grade.total,
        "max_score": grade.maximum,
    }
    table.writerow((row | points).values())
    return text.getvalue()
