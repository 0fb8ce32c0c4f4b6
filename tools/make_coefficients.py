"""Write src/triode/kernels/coefficients.py: the polynomials behind the elementary functions, with their errors.

Each polynomial interpolates its function at Chebyshev nodes in 80-digit arithmetic (within a factor of about two
of the minimax error), is expanded in the local variable t, rounded to float64, and its true error, measured on a
fine grid with the rounded coefficients, is written beside it. Run: ``python tools/make_coefficients.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath as mp

mp.mp.dps = 80
TARGET = Path(__file__).resolve().parent.parent / "src" / "triode" / "kernels" / "coefficients.py"
Function = Callable[[mp.mpf], mp.mpf]


def interpolate(function: Function, low: mp.mpf, high: mp.mpf, degree: int) -> list[mp.mpf]:
    """Return the monomial coefficients, constant first, of the Chebyshev interpolant."""
    count = degree + 1
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    values = [function((high - low) / 2 * x + (high + low) / 2) for x in nodes]
    series = [
        (2 - (j == 0))
        * sum(v * mp.cos(j * mp.pi * (2 * k + 1) / (2 * count)) for k, v in enumerate(values))
        / count
        for j in range(count)
    ]
    # Clenshaw's recurrence on polynomials in s, the variable scaled to [-1, 1] ...
    previous, current = [mp.mpf(0)], [mp.mpf(0)]
    for c in reversed(series[1:]):
        shifted = [mp.mpf(0), *(2 * a for a in current)]
        length = max(len(shifted), len(previous))
        padded = [
            (shifted[i] if i < len(shifted) else 0) - (previous[i] if i < len(previous) else 0)
            for i in range(length)
        ]
        padded[0] += c
        previous, current = current, padded
    result = [mp.mpf(0), *current]
    for i, a in enumerate(previous):
        result[i] -= a
    result[0] += series[0]
    # ... and then t = (high - low) / 2 * s + (high + low) / 2 undone.
    centre, half = (high + low) / 2, (high - low) / 2
    expanded = [mp.mpf(0)]
    for a in reversed(result):
        expanded = [
            (expanded[i - 1] / half if i else 0) - (expanded[i] * centre / half if i < len(expanded) else 0)
            for i in range(len(expanded) + 1)
        ]
        expanded[0] += a
    return expanded[:count]


def emit(name: str, what: str, function: Function, low: float, high: float, degree: int) -> str:
    """Return the lines of one polynomial."""
    a, b = mp.mpf(low), mp.mpf(high)
    coefficients = [float(c) for c in interpolate(function, a, b, degree)]
    worst = mp.mpf(0)
    for k in range(2001):
        t = a + (b - a) * k / 2000
        exact = function(t)
        worst = max(worst, abs(mp.polyval([mp.mpf(c) for c in reversed(coefficients)], t) / exact - 1))
    lines = "".join(f"    {c!r},\n" for c in coefficients)
    return f'{name} = (\n{lines})\n"""{what}; relative error {mp.nstr(worst, 2)}."""\n'


def exp_tail(r: mp.mpf) -> mp.mpf:
    """Return (e^r - 1 - r) / r^2."""
    return mp.mpf(1) / 2 if r == 0 else (mp.expm1(r) - r) / r**2


def log_tail(w: mp.mpf) -> mp.mpf:
    """Return (2 atanh(s) - 2 s) / s^3 with w = s^2."""
    s = mp.sqrt(w)
    return mp.mpf(2) / 3 if w == 0 else (2 * mp.atanh(s) - 2 * s) / s**3


def erfcx(x: mp.mpf) -> mp.mpf:
    """Return e^(x^2) erfc(x), by its continued fraction where erfc itself is too small."""
    return mp.exp(x * x) * mp.erfc(x)


NDTR_CENTRE = 5.0
ERFC_CENTRE = 3.5


def mills(t: mp.mpf) -> mp.mpf:
    """Return (a + k) e^(a^2/2) Phi(-a) at t = (a - k) / (a + k)."""
    k = mp.mpf(NDTR_CENTRE)
    if t == 1:
        return 1 / mp.sqrt(2 * mp.pi)
    a = k * (1 + t) / (1 - t)
    return (a + k) * (1 / (mp.sqrt(2 * mp.pi) * a) if a > 1e30 else erfcx(a / mp.sqrt(2)) / 2)


def erfc_scaled(t: mp.mpf) -> mp.mpf:
    """Return (x + k) e^(x^2) erfc(x) at t = (x - k) / (x + k)."""
    k = mp.mpf(ERFC_CENTRE)
    if t == 1:
        return 1 / mp.sqrt(mp.pi)
    x = k * (1 + t) / (1 - t)
    return (x + k) * (1 / (mp.sqrt(mp.pi) * x) if x > 1e30 else erfcx(x))


def erf_ratio(w: mp.mpf) -> mp.mpf:
    """Return erf(x) / x with w = x^2."""
    return 2 / mp.sqrt(mp.pi) if w == 0 else mp.erf(mp.sqrt(w)) / mp.sqrt(w)


def segment(y: mp.mpf) -> mp.mpf:
    """Return (atan(w) - w / (1 + w^2)) / w^3 with w^2 = (y + 1) / 2."""
    w = mp.sqrt((y + 1) / 2)
    return mp.mpf(2) / 3 if w < mp.mpf(10) ** -20 else (mp.atan(w) - w / (1 + w * w)) / w**3


def main() -> None:
    """Write the file."""
    half = float(mp.log(2) / 2)
    parts = [
        '"""Polynomial coefficients, constant term first. Written by tools/make_coefficients.py; do not edit."""\n',
        emit(
            "EXP_TAIL", "(e^r - 1 - r) / r^2 on |r| <= ln(2) / 2", exp_tail, -half * 1.0001, half * 1.0001, 9
        ),
        emit("LOG_TAIL", "(2 atanh(s) - 2 s) / s^3 in s^2, |s| <= 3 - 2 sqrt(2)", log_tail, 0.0, 0.0295, 6),
        f"NDTR_CENTRE = {NDTR_CENTRE}\n",
        emit(
            "NDTR_SCALED", "(a + k) e^(a^2/2) Phi(-a) in t = (a - k) / (a + k), a >= 0", mills, -1.0, 1.0, 26
        ),
        f"ERFC_CENTRE = {ERFC_CENTRE}\n",
        emit(
            "ERFC_SCALED",
            "(x + k) e^(x^2) erfc(x) in t = (x - k) / (x + k), x >= 0",
            erfc_scaled,
            -1.0,
            1.0,
            26,
        ),
        emit("ERF_RATIO", "erf(x) / x in x^2, |x| <= 0.75", erf_ratio, 0.0, 0.5626, 10),
        emit("SEGMENT_RATIO", "(atan(w) - w/(1 + w^2)) / w^3 in 2 w^2 - 1, |w| <= 1", segment, -1.0, 1.0, 22),
    ]
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
