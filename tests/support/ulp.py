"""Errors in ulp, and the points at which they are measured: the extremes of a format and random bit patterns."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import numpy.typing as npt

PRECISION = {"float64": (53, -1022, 1024), "float32": (24, -126, 128)}
"""Bits of the significand, least exponent of a normal number, exponent of the overflow threshold."""


def ulps(got: float, exact: mpmath.mpf, dtype: str, least: float = 0.0) -> float:
    """Return |got - exact| in units in the last place of ``exact`` (of ``least``, if that is larger).

    Subnormal numbers have the spacing of the smallest normal one; a value that overflows must be infinite.
    """
    precision, lowest, highest = PRECISION[dtype]
    if math.isnan(got):
        return math.inf
    if abs(exact) >= mpmath.mpf(2) ** highest * (1 - mpmath.mpf(2) ** -(precision + 1)):
        return 0.0 if math.isinf(got) and (got > 0) == (exact > 0) else math.inf
    if math.isinf(got):
        return math.inf
    size = max(abs(exact), mpmath.mpf(least))
    exponent = lowest if size == 0 else max(mpmath.frexp(size)[1] - 1, lowest)
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(2) ** (exponent - precision + 1))


def sample(dtype: str, count: int, seed: int = 2026) -> npt.NDArray[np.floating]:
    """Return finite inputs: random bit patterns (every exponent), ordinary ones, tails, and the hard points."""
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    bits = generator.integers(0, 2 ** (8 * kind.itemsize), 2 * count, dtype=f"uint{8 * kind.itemsize}").view(
        kind
    )
    limits = np.finfo(kind)
    deep = 745.0 if dtype == "float64" else 104.0
    hard = [0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0, -6.0, 9.01, -9.01, 40.0, -38.4, 1e-8, -1e-8]
    edge = [limits.smallest_subnormal, limits.smallest_normal, limits.max, limits.eps]
    with np.errstate(over="ignore"):
        parts = [
            bits[np.isfinite(bits)][:count],
            generator.normal(0.0, 3.0, count).astype(kind),
            generator.uniform(-deep, 40.0, count).astype(kind),
            np.array([*hard, *edge, *(-e for e in edge)], dtype=kind),
        ]
    return np.concatenate(parts)
