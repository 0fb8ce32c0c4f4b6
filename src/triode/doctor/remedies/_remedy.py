"""What a remedy is. A remedy is a module of this package: its name is the kind that a prescription gives.

TITLE    the remedy in a few words
ORDER    its place when several are needed together: the lower, the earlier (the chapter's order for dying ReLUs:
         rate, batch normalisation, initial weights, leaky)
words    (history, prescription) -> what to change, in one sentence
apply    (patient, prescription, history) -> None: changes the copy that it is given; the only part with a framework
edit     (program, prescription, history) -> None: changes the user's source as far as the place is found (optional)
snippet  (history, prescription) -> lines of code for where it was not found
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program

Words = Callable[[History | None, Prescription], str]


@dataclass(frozen=True)
class Remedy:
    """One kind of treatment."""

    kind: str
    title: str
    order: int
    words: Words
    """What to change, in one sentence."""
    apply: Callable[[Any, Prescription, History | None], None]
    """Changes a copied :class:`triode.doctor.treat.Training` in place."""
    snippet: Words
    """Lines of code that do it, for a program whose source is not at hand."""
    edit: Callable[[Program, Prescription, History], None] | None = None

    def code(self, history: History | None, prescription: Prescription) -> str:
        """A unified diff of the user's source where the place is found, else a few lines of code."""
        from triode.doctor.patch import code

        return code(history, prescription)


def remedies() -> dict[str, Remedy]:
    """All remedies by kind: the modules of this package that do not start with an underscore."""
    import triode.doctor.remedies as package

    found = {}
    for name in sorted(each.name for each in pkgutil.iter_modules(package.__path__)):
        if name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{name}")
        found[name] = Remedy(
            name,
            module.TITLE,
            module.ORDER,
            module.words,
            module.apply,
            module.snippet,
            getattr(module, "edit", None),
        )
    return found
