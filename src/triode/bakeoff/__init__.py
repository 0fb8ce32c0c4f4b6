"""The bake-off: train the same network with different activations, and say which differences are real.

    import triode
    results = triode.bakeoff.run(triode.bakeoff.Spec(activations=("relu", "gelu"), seeds=3))

Importing this package imports no framework; a worker process loads PyTorch when it trains.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triode.bakeoff.records import EpochRecord, Results, TrialResult
    from triode.bakeoff.running.engine import Interrupted, run
    from triode.bakeoff.running.progress import Status
    from triode.bakeoff.setting import Setting
    from triode.bakeoff.spec import Spec
    from triode.bakeoff.storage.store import load

_HOMES = {
    "Interrupted": "running.engine",
    "run": "running.engine",
    "Status": "running.progress",
    "EpochRecord": "records",
    "Results": "records",
    "TrialResult": "records",
    "Setting": "setting",
    "Spec": "spec",
    "load": "storage.store",
}
__all__ = ["EpochRecord", "Interrupted", "Results", "Setting", "Spec", "Status", "TrialResult", "load", "run"]


def __getattr__(name: str) -> Any:
    """A public name, its module loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
