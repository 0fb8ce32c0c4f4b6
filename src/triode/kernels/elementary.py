r"""The elementary functions, in float64 arithmetic, with the bound of each stated and tested.

Every decaying function has a multiplier: ``exp(x, times=a)`` is :math:`a e^x` with *one* rounding at the bottom
of the range, because the factor enters before the last scaling by a power of two. That is what keeps
:math:`z \sigma(z)` accurate where :math:`\sigma(z)` alone is already subnormal, and what makes the product of an
infinite factor with a function that has decayed to zero the limit, zero, instead of nan.

Bounds are in ulp of float64, measured against 50-digit arithmetic (tests/kernels/test_elementary.py holds them).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from triode.kernels import coefficients as table
from triode.kernels.vector import Vector, clamp, filled, polynomial

_LOG2E = 1.4426950408889634
# ln 2 in two parts: the first has 21 trailing zero bits, so that k * _LN2_HIGH is exact for |k| < 2^21.
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer and leaves that integer in the low bits of the sum.
_SHIFTER = 6755399441055744.0
_LOWEST = -1416.0  # a finite factor times e^-1416 is zero for every factor below 1e290

_INV_SQRT_2PI = 0.3989422804014327
_INV_PI = 0.3183098861837907


def _reduce(x: Vector) -> tuple[Vector, Vector]:
    """Return k and r with x = k ln 2 + r, |r| <= ln(2) / 2."""
    k = x.fma(_LOG2E, _SHIFTER) - _SHIFTER
    return k, k.fma(-_LN2_LOW, k.fma(-_LN2_HIGH, x))


def _two_to(k: Vector) -> Vector:
    """Return 2^k for an integer -1022 <= k <= 1023, by building the exponent field."""
    return (((k + _SHIFTER).bits() + 1023) << 52).floats()


def exp(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a e^x`; 0.9 ulp without a factor, 1.4 ulp with one.

    :math:`e^x = 2^k (1 + r + r^2 q(r))`. The scaling is split in halves so that neither leaves the range of
    normal numbers, and the factor enters between them.
    """
    k, r = _reduce(clamp(x, _LOWEST, 710.0))
    p = 1.0 + (r * r).fma(polynomial(r, table.EXP_TAIL), r)
    first = k.fma(0.5, _SHIFTER) - _SHIFTER
    scaled = p * _two_to(first)
    if times is None:
        return scaled * _two_to(k - first)
    product = (scaled * times) * _two_to(k - first)
    return (x < _LOWEST).select(filled(x, 0.0).with_sign_of(times), product)


def expm1(x: Vector) -> Vector:
    r"""Return :math:`e^x - 1`; 1.2 ulp. With :math:`s = 2^k`: :math:`s (e^r - 1) + (s - 1)`."""
    k, r = _reduce(clamp(x, -60.0, 710.0))
    q = (r * r).fma(polynomial(r, table.EXP_TAIL), r).with_sign_of(r)  # the sum would turn -0 into 0
    half = _two_to(k - 1.0)  # half of s, which itself overflows for k = 1024
    return k.equals(0.0).select(q, 2.0 * half.fma(q, half - 0.5))


def _log_of(u: Vector, correction: Vector | float) -> Vector:
    """Return ln(u) + correction for a normal positive u; u = 2^k m with m in [sqrt(1/2), sqrt(2))."""
    shifted = u.bits() + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    k = ((shifted >> 52) | 0x4330000000000000).floats() - (4503599627370496.0 + 1023.0)
    m = ((shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).floats()
    f = m - 1.0
    s = f / (2.0 + f)
    w = s * s
    # ln(1 + f) = f - f^2/2 + s (f^2/2 + tail): the leading terms are kept apart, so that they round once.
    half_square = (0.5 * f) * f
    rest = s * (half_square + w * polynomial(w, table.LOG_TAIL))
    return k.fma(_LN2_HIGH, f - (half_square - (rest + k.fma(_LN2_LOW, correction))))


def log(x: Vector) -> Vector:
    """Return ln(x); 0.8 ulp; -inf at 0, nan below."""
    small = x < 2.2250738585072014e-308
    result = _log_of(small.select(x * 18014398509481984.0, x), small.select(-54 * math.log(2.0), 0.0))
    result = x.equals(0.0).select(-math.inf, (x < 0.0).select(math.nan, result))
    return x.equals(math.inf).select(x, result)


def log1p(x: Vector) -> Vector:
    """Return ln(1 + x); 0.8 ulp; what 1 + x rounds away comes back as a correction."""
    u = 1.0 + x
    lost = (x < 1.0).select(x - (u - 1.0), 1.0 - (u - x))
    result = _log_of(u, lost / u)
    result = (x <= -1.0).select((x < -1.0).select(math.nan, -math.inf), result)
    return x.equals(math.inf).select(x, x.equals(0.0).select(x, result))


def softplus(x: Vector) -> Vector:
    r"""Return :math:`\ln(1 + e^x) = \max(x, 0) + \ln(1 + e^{-|x|})`; 1.4 ulp."""
    return (x > 0.0).select(x, 0.0) + log1p(exp(-x.abs()))


def tanh(x: Vector) -> Vector:
    r"""Return :math:`-m / (m + 2)` with :math:`m = e^{-2|x|} - 1`; 2.4 ulp."""
    m = expm1(-2.0 * x.abs())
    return (m / (m + 2.0)).with_sign_of(x)


def sigmoid(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a\sigma(x)`: :math:`a / (1 + e^{-x})`, or :math:`a e^x / (1 + e^x)` for negative x; 1.9 ulp."""
    e = exp(-x.abs())
    factor = filled(x, 1.0) if times is None else times
    below = exp(-x.abs(), times=factor)
    return (x < 0.0).select(below, factor) / (1.0 + e)


def logistic_pdf(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a e^{-|x|} / (1 + e^{-|x|})^2`; 3.1 ulp."""
    d = 1.0 + exp(-x.abs())
    factor = 1.0 / (d * d) if times is None else times / (d * d)
    return exp(-x.abs(), times=factor)


def _square(x: Vector, scale: float, bound: float) -> tuple[Vector, Vector, Vector]:
    """Return scale x^2 in two parts (the second what rounding lost), and |x| clamped to where e^-it is zero."""
    a = clamp(x.abs(), high=bound)
    high = a * a
    return scale * high, scale * a.fma(a, -high), a


def _ratio(b: Vector, r: Vector, k: float) -> Vector:
    """Return (b - k) / (b + k) from r = 1 / (b + k): as 2 b r - 1 or 1 - 2 k r, whichever makes r's error small."""
    return (b < k).select((2.0 * b).fma(r, -1.0), r.fma(-2.0 * k, 1.0))


def gaussian(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a e^{-x^2}`; 1.4 ulp: the rounding error of x^2, up to 700 times an ulp, is put back."""
    high, low, _ = _square(x, 1.0, 40.0)
    factor = 1.0 - low
    return exp(-high, times=factor if times is None else factor * times)


def normal_pdf(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a e^{-x^2/2} / \sqrt{2\pi}`; 2.8 ulp."""
    high, low, _ = _square(x, 0.5, 55.0)
    factor = _INV_SQRT_2PI * (1.0 - low)
    return exp(-high, times=factor if times is None else factor * times)


def ndtr(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a\Phi(x)`; 3.7 ulp.

    For negative x: :math:`\Phi(-b) = e^{-b^2/2} R(b)` with R a polynomial in :math:`t = (b - k)/(b + k)` over
    :math:`b + k`, smooth on the whole half-line; for positive x: :math:`1 - \Phi(-x)`.
    """
    high, low, b = _square(x, 0.5, 55.0)
    r = 1.0 / (b + table.NDTR_CENTRE)
    scaled = polynomial(_ratio(b, r, table.NDTR_CENTRE), table.NDTR_SCALED) * r * (1.0 - low)
    if times is None:
        tail = exp(-high, times=scaled)
        return (x < 0.0).select(tail, 1.0 - tail)
    above = 1.0 - exp(-high, times=scaled)
    return (x < 0.0).select(exp(-high, times=scaled * times), above * times)


def erfc(x: Vector, times: Vector | None = None) -> Vector:
    r"""Return :math:`a\operatorname{erfc}(x)`, by the same road as :func:`ndtr`; 3.4 ulp."""
    high, low, b = _square(x, 1.0, 40.0)
    r = 1.0 / (b + table.ERFC_CENTRE)
    scaled = polynomial(_ratio(b, r, table.ERFC_CENTRE), table.ERFC_SCALED) * r * (1.0 - low)
    if times is None:
        tail = exp(-high, times=scaled)
        return (x > 0.0).select(tail, 2.0 - tail)
    below = 2.0 - exp(-high, times=scaled)
    return (x > 0.0).select(exp(-high, times=scaled * times), below * times)


def erf(x: Vector) -> Vector:
    """Return the error function: an odd polynomial up to 0.75, then 1 - erfc; 1.4 ulp."""
    a = x.abs()
    small = x * polynomial(clamp(a, high=0.75) * clamp(a, high=0.75), table.ERF_RATIO)
    return (a < 0.75).select(small, (1.0 - erfc(a)).with_sign_of(x))


def cauchy_cdf(x: Vector) -> Vector:
    r"""Return :math:`\operatorname{atan2}(1, -x) / \pi`, which does not cancel on the left; 1.7 ulp."""
    return filled(x, 1.0).by_lane("atan2", -x) * _INV_PI


def cauchy_pdf(x: Vector) -> Vector:
    r"""Return :math:`1 / (\pi (1 + x^2))`; 2.4 ulp; by 1/x twice where x^2 would overflow."""
    r = 1.0 / x.abs()
    return (x.abs() < 1e9).select(_INV_PI / (1.0 + x * x), (r * _INV_PI) * r)


def segment_area(x: Vector) -> Vector:
    """Return atan(x) - x / (1 + x^2), the area of a circular segment of half-angle atan(x); 2.4 ulp."""
    square = x * x
    near = x * square * polynomial(clamp(2.0 * square - 1.0, high=1.0), table.SEGMENT_RATIO)
    far = x.by_lane("atan") - 1.0 / (x + 1.0 / x)
    return (x.abs() < 1.0).select(near, far)


def sign(x: Vector) -> Vector:
    """Return -1, 0 or 1; exact; keeps the sign of a zero."""
    return (x > 0.0).select(1.0, (x < 0.0).select(-1.0, x))


def _library(name: str) -> Callable[[Vector], Vector]:
    return lambda x: x.by_lane(name)


PLAIN: dict[str, Callable[..., Vector]] = {
    "abs": lambda x: x.abs(),
    "sign": sign,
    "min": lambda a, b: (a < b).select(a, b),
    "max": lambda a, b: (a > b).select(a, b),
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "sqrt": lambda x: x.sqrt(),
    "tanh": tanh,
    "softplus": softplus,
    "erf": erf,
    "cauchy_cdf": cauchy_cdf,
    "cauchy_pdf": cauchy_pdf,
    "segment_area": segment_area,
    # The C library's are within one ulp and reduce huge arguments exactly; no curated activation needs them.
    "sin": _library("sin"),
    "cos": _library("cos"),
    "atan": _library("atan"),
    "asinh": _library("asinh"),
}
"""Primitives without a multiplier."""

DECAYING: dict[str, Callable[..., Vector]] = {
    "exp": exp,
    "sigmoid": sigmoid,
    "logistic_pdf": logistic_pdf,
    "gaussian": gaussian,
    "normal_pdf": normal_pdf,
    "ndtr": ndtr,
    "erfc": erfc,
}
"""Primitives that fall to zero exponentially on some side: each takes ``times=``."""
