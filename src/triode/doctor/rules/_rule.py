"""What a rule is. A rule is a module of this package: its name is the diagnosis, its constants are the prose.

TITLE    the diagnosis in a few words
MEANS    what it is, one or two sentences
HURTS    why it hurts
NEEDS    the evidence it needs
FIX      the remedies in order, in words
RANK     causes before symptoms: the lower, the earlier among findings
CAUSES   diagnoses that, when also found, explain this one: it then follows from the first of them that was found
check    History -> Finding, Note, or None (nothing to say)
ALONE    True for a rule that is not asked where several models train together (optional)
SYMPTOM  True for a rule whose prescriptions fall away when it follows from a cause (optional)
unable   History -> a sentence that says what is missing, or "" when the rule can be applied (optional)
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from triode.doctor.diagnosis import Finding, Note
from triode.doctor.history import History


@dataclass(frozen=True)
class Rule:
    """One diagnosis: its prose and its check."""

    diagnosis: str
    title: str
    means: str
    hurts: str
    needs: str
    fix: str
    rank: int
    causes: tuple[str, ...]
    check: Callable[[History], Finding | Note | None]
    unable: Callable[[History], str]


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, causes before symptoms: the modules of this package that do not start with an underscore."""
    import triode.doctor.rules as package

    names = [
        module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")
    ]
    found = []
    for name in names:
        module = importlib.import_module(f"{package.__name__}.{name}")
        found.append(
            Rule(
                name,
                module.TITLE,
                module.MEANS,
                module.HURTS,
                module.NEEDS,
                module.FIX,
                module.RANK,
                tuple(module.CAUSES),
                module.check,
                getattr(module, "unable", lambda history: ""),
            )
        )
    return tuple(sorted(found, key=lambda rule: (rule.rank, rule.diagnosis)))
