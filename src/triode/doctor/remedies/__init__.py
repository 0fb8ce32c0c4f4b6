"""What the doctor can do about it: a file a remedy, discovered from this folder. Importing it imports no framework."""

from __future__ import annotations

from triode.doctor.remedies._remedy import Remedy, remedies

REMEDIES: dict[str, Remedy] = remedies()
"""Every remedy by its kind.

>>> REMEDIES["lower_rate"].title
'Lower the learning rate'
"""

__all__ = ["REMEDIES", "Remedy"]
