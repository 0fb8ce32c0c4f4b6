"""The bake-off: train the same network with different activations, and say which differences are real.

    import triode
    results = triode.bakeoff.run(triode.bakeoff.Spec(activations=("relu", "gelu"), seeds=3))

Importing this package imports no framework; a worker process loads PyTorch when it trains.
"""

from __future__ import annotations

from .engine import Interrupted, run
from .progress import Status
from .records import EpochRecord, Results, TrialResult
from .spec import Spec
from .store import load

__all__ = ["EpochRecord", "Interrupted", "Results", "Spec", "Status", "TrialResult", "load", "run"]
