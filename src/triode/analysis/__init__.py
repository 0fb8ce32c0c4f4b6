"""Activations analysed: what the theory says of a function before any network is trained."""

from __future__ import annotations

from triode.analysis.signal import (
    CriticalPoint,
    FixedPoint,
    chi,
    chi_parallel,
    critical_init,
    critical_point,
    fixed_points,
    variance_map,
)

__all__ = [
    "CriticalPoint",
    "FixedPoint",
    "chi",
    "chi_parallel",
    "critical_init",
    "critical_point",
    "fixed_points",
    "variance_map",
]
