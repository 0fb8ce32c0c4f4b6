"""nan, infinities, zeros and the ends of the format: the limit, never nan, never a warning."""

from __future__ import annotations

import math
import warnings

import ml_dtypes
import numpy as np
import pytest

import triode
from triode import oracle

ELEMENTWISE = [a for a in triode.activations() if a.kind == "elementwise"]
DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def limit(activation: triode.Activation, order: int, side: float) -> float:
    """Return the limit at an infinity, from exact values ever farther out."""
    formula = activation.derived(order)
    near, far = (float(oracle.value(formula, z=side * x, **activation.defaults())) for x in (1e40, 1e80))
    if abs(far) > 1e30:
        return math.copysign(math.inf, far)
    return 0.0 if abs(far) < 1e-30 else near


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_infinities_give_the_limit(activation: triode.Activation, order: int) -> None:
    for dtype in DTYPES:
        got = activation.derivative(np.array([math.inf, -math.inf], dtype=dtype), order=order)
        for value, side in zip(got, (1.0, -1.0), strict=True):
            expected = limit(activation, order, side)
            rounded = float(np.array(expected).astype(dtype))
            # In float64 a constant limit carries the function's own two or three ulp; elsewhere it is rounded exactly.
            slack = (
                3 * np.spacing(abs(rounded)) if dtype is np.float64 and 0 < abs(rounded) < math.inf else 0.0
            )
            assert float(value) == rounded or abs(float(value) - rounded) <= slack, (
                dtype,
                side,
                value,
                expected,
            )


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_no_nan_and_no_warning_from_any_number(activation: triode.Activation, order: int) -> None:
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for dtype in (np.float32, np.float64):
            powers = np.concatenate([np.ldexp(1.0, np.arange(-1074, 1024)), [0.0, math.inf]])
            with np.errstate(all="ignore"):
                x = np.concatenate([powers, -powers, -1.5 * powers]).astype(dtype)
            assert not np.isnan(activation.derivative(x, order=order)).any()


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_nan_gives_nan_in_every_lane(activation: triode.Activation, order: int) -> None:
    for dtype in DTYPES:
        for length in (1, 2, 9, 33):
            for position in range(length):
                x = np.zeros(length, dtype=dtype)
                x[position] = np.nan
                got = np.isnan(activation.derivative(x, order=order).astype(np.float64))
                assert got.tolist() == [i == position for i in range(length)]


def test_signed_zeros() -> None:
    for name in ("gelu", "gelu_tanh", "swish", "mish", "laplace_gelu"):
        value = triode.get(name)(-math.inf)
        assert value == 0.0
        assert math.copysign(1.0, value) == -1.0, name
    for name in ("tanh", "softsign", "gelu", "swish", "mish", "identity", "elu", "leaky_relu", "hard_tanh"):
        assert math.copysign(1.0, triode.get(name)(-0.0)) == -1.0, name


def test_subnormals_are_not_flushed() -> None:
    tiny = np.array([5e-324, 1e-310, -1e-310])
    assert triode.tanh(tiny).tolist() == tiny.tolist()
    assert triode.elu(tiny).tolist() == tiny.tolist()
    assert triode.swish(np.float64(-745.0)) == float(oracle.value(triode.swish.formula, z=-745.0, beta=1.0))
    assert triode.gelu(np.float64(-38.5)) == float(oracle.value(triode.gelu.formula, z=-38.5))
    assert triode.gelu(np.float32(-14.2)) == np.float32(
        oracle.value(triode.gelu.formula, z=float(np.float32(-14.2)))
    )


@pytest.mark.parametrize(
    "text", ["z / (1 + abs(z))", "z * exp(z) / 2", "(1 + z) / (3 + z)", "z * z * normal_pdf(z)"]
)
def test_a_users_formula_has_its_limit_too(text: str) -> None:
    own = triode.Activation("own", text)
    assert own(-math.inf) == pytest.approx(own(-1e12), rel=1e-9, abs=1e-9)


def test_domains_stay_undefined() -> None:
    assert math.isnan(triode.Activation("own", "log(z)")(-1.0))
    assert triode.Activation("own", "log(z)")(math.inf) == math.inf
    assert triode.Activation("own", "sqrt(z)")(math.inf) == math.inf
    assert triode.Activation("own", "z * log(abs(z))")(0.0) == 0.0
