"""The bake-off: train the same network with different activations, and say which differences are real.

    import triode
    results = triode.bakeoff.run(triode.bakeoff.Spec(activations=("relu", "gelu"), seeds=3))

Importing this package imports no framework; a worker process loads PyTorch when it trains.
"""

from __future__ import annotations

from triode.bakeoff.engine import Interrupted, run
from triode.bakeoff.progress import Status
from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.spec import Spec
from triode.bakeoff.store import load

__all__ = ["EpochRecord", "Interrupted", "Results", "Spec", "Status", "TrialResult", "load", "run"]
