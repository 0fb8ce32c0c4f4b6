"""float16 and bfloat16: all 65,536 inputs, correctly rounded from the float64 kernel."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import triode

EVERY = np.arange(65536, dtype=np.uint16)
ELEMENTWISE = [a for a in triode.activations() if a.kind == "elementwise"]


def nearest_bfloat16(x: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16, ties to even, straight from float64 bits."""
    bits = np.abs(x).view(np.uint64)
    # A bfloat16 has 8 bits of exponent: below 2^-126 its spacing is 2^-133.
    quantum = np.ldexp(1.0, np.maximum(np.frexp(np.abs(x))[1] - 8, -133))
    rounded = np.rint(np.abs(x) / quantum) * quantum
    rounded = np.where(rounded >= 2.0**128, np.inf, rounded)
    rounded = np.where(bits >= np.uint64(0x7FF0000000000000), np.abs(x), rounded)
    upper = (rounded.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.where(np.signbit(x), upper | np.uint16(0x8000), upper)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_all_float16(activation: triode.Activation, order: int) -> None:
    x = EVERY.view(np.float16)
    got = activation.derivative(x, order=order)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = activation.derivative(x.astype(np.float64), order=order).astype(np.float16)
    assert got.dtype == np.float16
    nan = np.isnan(x)
    assert np.isnan(got[nan]).all()
    assert np.array_equal(got[~nan].view(np.uint16), expected[~nan].view(np.uint16))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_all_bfloat16(activation: triode.Activation, order: int) -> None:
    x = EVERY.view(ml_dtypes.bfloat16)
    got = activation.derivative(x, order=order)
    nan = np.isnan(x.astype(np.float32))
    with np.errstate(invalid="ignore"):
        expected = nearest_bfloat16(activation.derivative(x.astype(np.float64), order=order))
    assert got.dtype == ml_dtypes.bfloat16
    assert np.isnan(got[nan].astype(np.float32)).all()
    assert np.array_equal(got[~nan].view(np.uint16), expected[~nan])


def test_the_reference_rounding_is_right() -> None:
    # Exact rational arithmetic on a spread of values, ties included; independent of every vector operation above.
    values = np.array(
        [1.00390625, 1.01171875, 1.0000001, 3e38, 3.4e38, 1e-40, 9.2e-41, 4.6e-41, -1.01171875, 0.1]
    )
    for x, bits in zip(values, nearest_bfloat16(values), strict=True):
        low = np.array([int(bits) - 1, int(bits), int(bits) + 1], dtype=np.uint16).view(ml_dtypes.bfloat16)
        distances = [abs(Fraction(float(v)) - Fraction(x)) if np.isfinite(float(v)) else None for v in low]
        if distances[1] is None:
            assert abs(x) > 3.38e38
            continue
        others = [d for d in (distances[0], distances[2]) if d is not None]
        assert all(distances[1] <= d for d in others)
        assert all(distances[1] < d for d in others) or bits % 2 == 0


def test_rounding_is_not_through_float32() -> None:
    # 1 + 2^-8 + 2^-30 lies above the tie between two bfloat16s; through float32 it would become the tie itself.
    source = np.array([1 + 2.0**-8 + 2.0**-30])
    from triode.kernels import dispatch

    got = dispatch.deliver("identity", source, np.dtype(ml_dtypes.bfloat16), None)
    assert float(got[0]) == 1 + 2.0**-7
    assert float(source.astype(np.float32).astype(ml_dtypes.bfloat16)[0]) == 1.0


def test_rounding_cannot_carry_a_nan_into_zero_or_infinity() -> None:
    from triode.kernels import dispatch

    # The bits of a nan may be all ones; adding the rounding bit to them would overflow into the sign.
    bits = np.array([0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x7FF8000000000000], dtype=np.uint64)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32):
        rounded = dispatch.deliver("identity", bits.view(np.float64), np.dtype(dtype), None)
        assert np.isnan(rounded.astype(np.float64)).all(), dtype
