"""The rubric of the chapter's project: a file a criterion, discovered from this folder.

A module here holds one `CRITERION`; adding one is adding a file. The points follow the chapter's rubric of 100.
"""

from __future__ import annotations

import importlib
import pkgutil

from triode.bakeoff.grade.score import Criterion


def criteria() -> tuple[Criterion, ...]:
    """Every criterion, in the order of the rubric.

    >>> sum(criterion.maximum for criterion in criteria())
    100
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}").CRITERION for name in names]
    return tuple(sorted(found, key=lambda criterion: criterion.place))
