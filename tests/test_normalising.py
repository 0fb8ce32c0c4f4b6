"""Softmax and its logarithm against 50-digit arithmetic; axes, temperatures, limits, Jacobian and its products."""

from __future__ import annotations

import math
import warnings

import ml_dtypes
import mpmath
import numpy as np
import pytest

import triode
from support.ulp import ulps

RNG = np.random.default_rng(3)


def exact(row: np.ndarray, temperature: float = 1.0) -> list[mpmath.mpf]:
    """Return softmax of one row to 50 digits."""
    with mpmath.workdps(60):
        e = [mpmath.exp(mpmath.mpf(float(z)) / mpmath.mpf(temperature)) for z in row]
        total = mpmath.fsum(e)
        return [x / total for x in e]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 7.5])
def test_against_exact_values(dtype: str, temperature: float) -> None:
    worst = 0.0
    for _ in range(40):
        row = RNG.normal(0, 5, RNG.integers(1, 12)).astype(dtype)
        probabilities = triode.softmax(row, temperature=temperature)
        logarithms = triode.log_softmax(row, temperature=temperature)
        for p, ln, e in zip(probabilities, logarithms, exact(row, temperature), strict=True):
            with mpmath.workdps(60):
                # exp multiplies the rounding of (z - max)/T, an ulp, by the size of that argument.
                spread = float(np.ptp(row.astype(np.float64))) / temperature
                slope = 1.0 if dtype == "float32" else max(1.0, spread)
                worst = max(worst, ulps(float(p), e, dtype) / slope)
                worst = max(worst, ulps(float(ln), mpmath.log(e), dtype) / slope)
    assert worst <= (0.51 if dtype == "float32" else 3.0), worst


def test_chapter_values() -> None:
    assert np.round(triode.softmax([2.0, 1.0, 0.1]), 3).tolist() == [0.659, 0.242, 0.099]
    assert np.round(triode.softmax([2.0, 1.0, 0.1], temperature=10), 3).tolist() == [0.366, 0.331, 0.303]
    assert np.round(triode.softmax([2.0, 1.9, 1.8]), 3).tolist() == [0.367, 0.332, 0.301]
    assert np.allclose(triode.softmax([1000, 1001, 1002]), triode.softmax([0, 1, 2]))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_axes(axis: int) -> None:
    x = RNG.normal(size=(3, 4, 5))
    got = triode.softmax(x, axis=axis)
    e = np.exp(x - x.max(axis, keepdims=True))
    assert np.allclose(got, e / e.sum(axis, keepdims=True), rtol=1e-14)
    assert np.allclose(np.exp(triode.log_softmax(x, axis=axis)), got, rtol=1e-13)
    assert triode.softmax.jacobian(x, axis=axis).shape[-2:] == (x.shape[axis],) * 2


def test_two_classes_are_a_sigmoid() -> None:
    z = RNG.normal(0, 20, (200, 2))
    assert np.allclose(triode.softmax(z)[:, 0], triode.sigmoid(z[:, 0] - z[:, 1]), rtol=1e-14)


def test_limits_are_exact_and_silent() -> None:
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        assert triode.softmax([1.0, 3.0, 2.0], temperature=0).tolist() == [0, 1, 0]
        assert triode.softmax([1.0, 3.0, 3.0], temperature=0).tolist() == [0, 0.5, 0.5]
        assert triode.log_softmax([1.0, 3.0, 2.0], temperature=0).tolist() == [-math.inf, 0, -math.inf]
        assert triode.softmax([1.0, 3.0, 2.0], temperature=math.inf).tolist() == [1 / 3] * 3
        assert triode.softmax([1.0, 3.0, 2.0], temperature=5e-324).tolist() == [0, 1, 0]
        assert triode.softmax([math.inf, 0.0, math.inf]).tolist() == [0.5, 0, 0.5]
        assert triode.softmax([-math.inf, 0.0]).tolist() == [0, 1]
        assert triode.softmax([-math.inf, -math.inf]).tolist() == [0.5, 0.5]
        assert triode.log_softmax([0.0, 1e4]).tolist() == [-1e4, 0]
        assert np.isnan(triode.softmax([math.nan, 1.0])).all()
        assert triode.softmax([1e308, -1e308]).tolist() == [1, 0]


def test_logarithm_near_zero_keeps_its_digits() -> None:
    got = triode.log_softmax([0.0, -50.0])[0]
    assert ulps(float(got), -mpmath.log1p(mpmath.exp(-50)), "float64") <= 2.0


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_jacobian_and_product(name: str, temperature: float) -> None:
    function = triode.get(name)
    x, g = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4))
    jacobian = function.jacobian(x, temperature=temperature)
    step = 1e-6
    numeric = np.stack(
        [
            (
                function(x + step * unit, temperature=temperature)
                - function(x - step * unit, temperature=temperature)
            )
            / (2 * step)
            for unit in np.eye(4)
        ],
        axis=-1,
    )
    assert np.allclose(jacobian, numeric, atol=1e-8)
    assert np.allclose(
        function.vjp(x, g, temperature=temperature), np.einsum("ni,nij->nj", g, jacobian), atol=1e-14
    )


def test_product_of_a_nearly_one_hot_row_does_not_cancel() -> None:
    x, g = np.array([0.0, -40.0]), np.array([1.0, 0.5])
    s = exact(x)
    expected = s[0] * s[1] * (mpmath.mpf(1) - mpmath.mpf("0.5"))
    assert ulps(float(triode.softmax.vjp(x, g)[0]), expected, "float64") <= 4.0
    assert ulps(float(triode.softmax.jacobian(x)[0, 0]), s[0] * s[1], "float64") <= 4.0


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_types_are_kept(dtype: type) -> None:
    x = RNG.normal(size=(3, 5)).astype(dtype)
    for result in (
        triode.softmax(x),
        triode.log_softmax(x),
        triode.softmax.jacobian(x),
        triode.softmax.vjp(x, x),
    ):
        assert result.dtype == dtype
    target = np.empty_like(x)
    assert triode.softmax(x, out=target) is target
    # A sum of many bfloat16 terms must not stick at 256.
    assert float(triode.softmax(np.zeros(10_000, dtype))[0]) == float(np.array(1e-4).astype(dtype))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: triode.softmax(1.0), "axis -1"),
        (lambda: triode.softmax([1.0], axis=1), "axis 1"),
        (lambda: triode.softmax(np.zeros((2, 0))), "no entries"),
        (lambda: triode.softmax([1.0], temperature=-1), "temperature"),
        (lambda: triode.softmax([1.0], temperature=math.nan), "temperature"),
        (lambda: triode.softmax([1j]), "complex"),
        (lambda: triode.softmax([1.0], tau=1), "tau"),
        (lambda: triode.softmax.derivative([1.0]), "jacobian"),
        (lambda: triode.softmax.vjp([1.0, 2.0], [1.0]), "shape"),
    ],
)
def test_refusals(call: object, said: str) -> None:
    with pytest.raises(triode.TriodeError) as caught:
        call()  # type: ignore[operator]
    assert said in str(caught.value)


def test_jacobian_and_product_of_tensors_are_tensors() -> None:
    import torch

    x, g = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
    for dtype in (torch.float64, torch.bfloat16):
        t = torch.tensor(x, dtype=dtype, requires_grad=True)
        exact = t.detach().to(torch.float64).numpy()
        jacobian = triode.softmax.jacobian(t)
        assert jacobian.dtype == dtype
        assert torch.equal(jacobian, torch.tensor(triode.softmax.jacobian(exact)).to(dtype))
    product = triode.log_softmax.vjp(torch.tensor(x), torch.tensor(g), axis=0)
    assert np.array_equal(product.numpy(), triode.log_softmax.vjp(x, g, axis=0))
