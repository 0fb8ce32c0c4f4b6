"""A prescription as a change to the user's own source: a unified diff, or a few lines where the place is not found."""

from __future__ import annotations

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies import REMEDIES
from triode.doctor.remedies._program import Program
from triode.errors import TriodeError, nearest


def code(history: History | None, prescription: Prescription) -> str:
    """What to change in the source.

    The file is read, never written, and nothing of it is run. Only the call that is meant is touched; if it cannot be
    told for certain which that is, or the result would not be Python, there is a snippet instead.

    Args:
        history: What was seen, with the lines of the user's that called each function.
        prescription: What to change.

    Returns:
        A unified diff that `patch -p1` takes, or lines of code with what they replace in a comment.

    Raises:
        TriodeError: For an unknown kind.

    Examples:
        >>> print(code(None, Prescription("clip_gradients", {"norm": 1.0})))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
    """
    remedy = REMEDIES.get(prescription.kind)
    if remedy is None:
        raise TriodeError(f"there is no remedy {prescription.kind!r}{nearest(prescription.kind, REMEDIES)}.")
    if history is not None and remedy.edit is not None:
        try:
            program = Program(history)
            remedy.edit(program, prescription, history)
            patch = program.diff()
        except (LookupError, TriodeError):
            patch = ""
        if patch:
            return patch
    return remedy.snippet(history, prescription)
