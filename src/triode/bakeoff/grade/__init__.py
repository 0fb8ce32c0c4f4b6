"""The chapter's rubric applied to the directory of a bake-off, from its records and one trial trained again.

    from triode.bakeoff.grade import grade
    judged = grade("bakeoff")
    judged.total

Importing this package imports no framework; the trial is trained in a process of its own.
"""

from __future__ import annotations

from triode.bakeoff.grade.criteria import criteria
from triode.bakeoff.grade.judge import Grade, Judged, grade
from triode.bakeoff.grade.rerun import Rerun
from triode.bakeoff.grade.score import Criterion, Score

__all__ = ["Criterion", "Grade", "Judged", "Rerun", "Score", "criteria", "grade"]
