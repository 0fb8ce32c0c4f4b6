"""Calls: every kind, shape, layout and type of input; ``out=``; refusals; positions and threads do not matter."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import triode

RNG = np.random.default_rng(7)


def test_kinds() -> None:
    assert type(triode.gelu(1.0)) is float
    assert type(triode.gelu(1)) is float
    assert type(triode.gelu(True)) is float
    assert type(triode.gelu(np.float32(1))) is np.float32
    assert type(triode.gelu(np.int8(1))) is np.float64
    assert isinstance(triode.gelu(np.array(1.0)), np.ndarray)
    assert triode.gelu(np.array(1.0)).shape == ()
    assert isinstance(triode.gelu([1, 2.5]), np.ndarray)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_floats_keep_their_type(dtype: type) -> None:
    assert triode.mish(np.ones(3, dtype)).dtype == dtype
    assert triode.mish.derivative(np.ones(3, dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.int64, np.bool_])
def test_integers_become_float64(dtype: type) -> None:
    assert triode.sigmoid(np.array([0, 1], dtype)).dtype == np.float64
    assert triode.sigmoid(np.array([0, 1], dtype)).tolist() == [0.5, triode.sigmoid(1.0)]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7,), (8,), (9,), (5, 3, 4), (2, 1, 1, 17)])
def test_shapes(shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape)
    assert triode.gelu(x).shape == shape
    assert np.array_equal(triode.gelu(x).ravel(), [triode.gelu(float(v)) for v in x.ravel()])


def views() -> list[np.ndarray]:
    """Return one array seen in many layouts."""
    base = RNG.normal(size=(12, 10, 6))
    unaligned = np.frombuffer(b"x" + base.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    return [
        base[::2],
        base[:, ::-3],
        base.transpose(2, 0, 1),
        np.asfortranarray(base),
        base[..., 0],
        np.broadcast_to(base[:, :1], base.shape),
        base.astype(">f8"),
        base.astype(">f4"),
        unaligned,
        np.lib.stride_tricks.sliding_window_view(base.ravel(), 5)[::3],
    ]


@pytest.mark.parametrize("x", views(), ids=lambda x: f"{x.dtype}{x.shape}")
def test_layouts(x: np.ndarray) -> None:
    before = x.copy()
    expected = np.ascontiguousarray(x).astype(x.dtype.newbyteorder("="))
    for order in (0, 1):
        got = triode.swish.derivative(x, order=order)
        assert got.dtype == expected.dtype
        assert np.array_equal(got, triode.swish.derivative(expected, order=order))
    assert np.array_equal(x, before)


def test_fortran_order_is_kept() -> None:
    assert triode.tanh(np.asfortranarray(RNG.normal(size=(4, 5)))).flags.f_contiguous


def test_out() -> None:
    x = RNG.normal(size=(50, 3)).astype(np.float32)
    expected = triode.gelu(x)
    target = np.empty_like(x)
    assert triode.gelu(x, out=target) is target
    assert np.array_equal(target, expected)
    strided = np.zeros((50, 6), np.float32)[:, ::2]
    triode.gelu(x, out=strided)
    assert np.array_equal(strided, expected)
    derivative = triode.gelu.derivative(x)
    assert np.array_equal(triode.gelu.derivative(x, out=target), derivative)
    triode.gelu(x, out=x)  # in place
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("shift", [-9, -1, 1, 3, 8])
def test_out_that_overlaps_the_input(shift: int) -> None:
    buffer = RNG.normal(size=100)
    source = buffer[10:80]
    expected = triode.gelu(source.copy())
    triode.gelu(source, out=buffer[10 + shift : 80 + shift])
    assert np.array_equal(buffer[10 + shift : 80 + shift], expected)


def test_out_reversed_onto_itself() -> None:
    buffer = RNG.normal(size=33)
    expected = triode.gelu(buffer.copy())[::-1]
    triode.gelu(buffer[::-1], out=buffer)
    assert np.array_equal(buffer, expected)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (np.empty(3), "float64[3]"),
        (np.empty(4, np.float32), "float32[4]"),
        ([0.0], "must be a NumPy array"),
        (np.broadcast_to(np.zeros(1), (4,)), "cannot be written"),
    ],
)
def test_out_refused(out: object, said: str) -> None:
    with pytest.raises(triode.TriodeError, match="out=") as caught:
        triode.gelu(np.zeros(4), out=out)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (1j, "complex"),
        (np.zeros(2, np.complex64), "complex64"),
        ("text", "str"),
        (np.array(["a"]), "text"),
        (None, "object"),
        (np.array([Fraction(1, 2)], object), "object"),
        ([[1.0], [1.0, 2.0]], "array of numbers"),
        (np.array(["2020-01-01"], "M8[D]"), "dates"),
        (np.zeros(2, np.longdouble), "longdouble"),
        (np.zeros(2, [("a", float)]), "void"),
        ({}, "object"),
    ],
)
def test_refused_in_a_sentence(x: object, said: str) -> None:
    if said == "longdouble" and np.dtype(np.longdouble) == np.float64:
        pytest.skip("long double is float64 on this platform")
    with pytest.raises(triode.TriodeError, match="gelu") as caught:
        triode.gelu(x)
    sentence = str(caught.value)
    assert said in sentence or np.dtype(np.longdouble).name in sentence
    assert "\n" not in sentence


def test_parameters() -> None:
    assert triode.elu(-1.0, alpha=2.0) == 2.0 * math.expm1(-1.0)
    assert triode.leaky_relu(-2.0) == -0.02
    assert triode.swish(1.5, beta=0) == 0.75
    assert triode.elu.derivative(-1.0, wrt="alpha") == math.expm1(-1.0)
    assert triode.leaky_relu(np.float32(-1), alpha=0.1) == np.float32(-0.1)
    assert triode.leaky_relu(-math.inf, alpha=0.0) == 0.0  # not nan


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: triode.elu(1.0, alfa=2), "did you mean 'alpha'"),
        (lambda: triode.relu(1.0, alpha=2), "it has: none"),
        (lambda: triode.celu(1.0, alpha=0), "> 0"),
        (lambda: triode.celu(1.0, alpha=-1), "> 0"),
        (lambda: triode.elu(1.0, alpha=math.nan), "nan"),
        (lambda: triode.elu(1.0, alpha="1"), "real number"),
        (lambda: triode.elu(1.0, alpha=True), "real number"),
        (lambda: triode.elu(1.0, alpha=[1, 2]), "real number"),
        (lambda: triode.gelu.derivative(1.0, order=-1), "order"),
        (lambda: triode.gelu.derivative(1.0, order=1.5), "order"),
        (lambda: triode.gelu.derivative(1.0, order=99), "order"),
        (lambda: triode.gelu(1.0, 2.0), "one input"),
        (lambda: triode.gelu(), "one input"),
        (lambda: triode.swiglu(1.0), "two inputs"),
        (lambda: triode.swiglu(np.zeros(3), np.zeros(4)), "(3,) and (4,)"),
        (lambda: triode.gelu.derivative(1.0, wrt="beta"), "no parameter"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(call: object, said: str) -> None:
    with pytest.raises(triode.TriodeError) as caught:
        call()  # type: ignore[operator]
    assert said in str(caught.value)


def test_order_as_second_argument() -> None:
    assert triode.tanh.derivative(0.5, 2) == triode.tanh.derivative(0.5, order=2)
    assert triode.tanh.derivative(0.5, order=0) == triode.tanh(0.5)


@pytest.mark.parametrize("name", ["glu", "reglu", "geglu", "swiglu"])
def test_gated_pairs(name: str) -> None:
    gate = triode.get(name)
    z, u = RNG.normal(size=(5, 1)), RNG.normal(size=(1, 7)).astype(np.float32)
    assert gate(z, u).shape == (5, 7)
    assert gate(z, u).dtype == np.float64
    by_z, by_u = gate.derivative(z, u)
    step = 1e-6
    assert np.allclose(by_z, (gate(z + step, u) - gate(z - step, u)) / (2 * step), atol=1e-6)
    wide = u.astype(np.float64)
    assert np.allclose(by_u, (gate(z, wide + step) - gate(z, wide - step)) / (2 * step), atol=1e-6)
    assert np.array_equal(gate.derivative(z, u, wrt="u"), by_u)
    product = {"glu": z * triode.sigmoid(u), "reglu": triode.relu(z) * u, "geglu": triode.gelu(z) * u}
    if name in product:
        assert np.allclose(gate(z, u), product[name], rtol=1e-6)


def test_result_does_not_depend_on_length_position_or_alignment() -> None:
    for dtype in (np.float32, np.float64, np.float16):
        x = RNG.normal(0, 5, 67).astype(dtype)
        whole = triode.mish(x)
        for start in range(20):
            for stop in range(start, 67, 5):
                assert np.array_equal(triode.mish(x[start:stop]), whole[start:stop])


def test_concurrent_callers_agree() -> None:
    x = RNG.normal(0, 5, 100_000)
    formulas = [f"z * sigmoid({k} * z)" for k in range(2, 10)]
    made = [triode.Activation(f"own{k}", text) for k, text in enumerate(formulas)]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda a: a(x), made * 3))
    for activation, result in zip(made * 3, parallel, strict=True):
        assert np.array_equal(result, activation(x))
