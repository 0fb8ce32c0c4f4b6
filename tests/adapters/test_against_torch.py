"""Ours beside PyTorch's own: agreement where PyTorch is right, and one named test for each place where it is not.

The faults are PyTorch 2.13's on a CPU, with their issue numbers where they are known. Each has a test that ours is
right against 50 digits, and a row in ``FAULTS`` that records PyTorch's behaviour and is skipped once it is mended.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import triode
from triode import oracle

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
INF = math.inf


@dataclass(frozen=True)
class Peer:
    """PyTorch's function of one input, where it is right, and how far it then is from ours, in ulp.

    Measured with AVX512, with AVX2 and without either (``ATEN_CPU_CAPABILITY``).

    Args:
        function: PyTorch's.
        value: Largest distance of values, in units of the last place.
        slope: Largest distance of first derivatives, in units of the last place of 1/16 at least: near their roots
            PyTorch's derivatives are sums of larger terms.
        value_on: Where PyTorch's values are right.
        slope_on: Where its first derivatives are.
        slope_types: The types in which they are.
    """

    function: Callable[[Tensor], Tensor]
    value: int
    slope: int
    value_on: tuple[float, float] = (-INF, INF)
    slope_on: tuple[float, float] = (-INF, INF)
    slope_types: tuple[torch.dtype, ...] = (F32, F64)


PEERS = {
    # float32 sigmoid and silu are 0 below -88.7; the slope s (1 - s) cancels for z > 0
    "sigmoid": Peer(torch.sigmoid, 3, 4, (-80, INF), (-80, 1)),
    # 1 - tanh^2 cancels on both sides
    "tanh": Peer(torch.tanh, 2, 4, slope_on=(-1, 1)),
    "relu": Peer(F.relu, 0, 0),
    "leaky_relu": Peer(F.leaky_relu, 1, 0),
    "prelu": Peer(lambda x: F.prelu(x, torch.tensor(0.25, dtype=x.dtype)), 0, 0),
    "rrelu": Peer(lambda x: F.rrelu(x, training=False), 1, 0),
    "relu6": Peer(F.relu6, 0, 0),
    "elu": Peer(F.elu, 1, 1),
    "selu": Peer(F.selu, 3, 3),
    "celu": Peer(F.celu, 1, 1),
    # 1 + erf and 1 + tanh cancel in the left tail
    "gelu": Peer(F.gelu, 32, 20, (-2, INF), (-2, INF)),
    "gelu_tanh": Peer(lambda x: F.gelu(x, approximate="tanh"), 12, 24, (-2, INF), (-2, 1e18)),
    # s (1 + z (1 - s)) loses digits in 1 - s, of which z times as many remain
    "swish": Peer(F.silu, 3, 18, (-80, INF), (-80, INF)),
    "mish": Peer(F.mish, 5, 16, (-80, INF), (-80, INF)),
    # beyond its threshold of 20 PyTorch returns z itself, which in float64 is 10^-10 off
    "softplus": Peer(F.softplus, 2, 2, (-INF, 19.5), (-INF, 19.5)),
    "softsign": Peer(F.softsign, 1, 4, slope_on=(-4, 4)),
    "log_sigmoid": Peer(F.logsigmoid, 2, 2),
    # its float64 slope is the float32 number nearest to 1/6
    "hard_sigmoid": Peer(F.hardsigmoid, 1, 0, slope_types=(F32,)),
    "hard_swish": Peer(F.hardswish, 2, 3),
    "hard_tanh": Peer(F.hardtanh, 0, 0),
}

every_peer = pytest.mark.parametrize("name", PEERS)
both = pytest.mark.parametrize("dtype", [F32, F64], ids=str)


def wide(dtype: torch.dtype, on: tuple[float, float] = (-INF, INF)) -> Tensor:
    """Return many inputs: normal ones, a fine line through the interesting part, and sizes from 1e-30 to 1e30."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-30, 30, 500, dtype=F64)
    line = torch.linspace(-100, 100, 4001, dtype=F64) + 1e-4
    x = torch.cat([3 * torch.randn(5000, dtype=F64, generator=generator), line, sizes, -sizes])
    return x[(x >= on[0]) & (x <= on[1])].to(dtype)


def slope_of(function: Callable[[Tensor], Tensor], x: Tensor, order: int = 1) -> Tensor:
    """Return a derivative by backward passes."""
    x = x.detach().clone().requires_grad_()
    y = function(x)
    for n in range(order):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=n + 1 < order)
    return y.detach()


def ulps(ours: Tensor, theirs: Tensor, floor: float = 0.0) -> Tensor:
    """Return the distance in units of the last place of ours, or of ``floor`` where that is larger."""
    return (ours.double() - theirs.double()).abs() / _unit(ours.abs().double().clamp(min=floor), ours.dtype)


def _unit(size: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the distance of neighbours in the binade that a number is in; below the normal ones it is fixed."""
    info = torch.finfo(dtype)
    exponent = torch.frexp(size.clamp(min=info.smallest_normal))[1] - 1
    return info.eps * torch.exp2(exponent.double())


def exact(name: str, z: float, order: int = 0) -> float:
    """Return the true derivative, from the textbook formula at 50 digits."""
    activation = triode.get(name)
    return float(oracle.value(activation.derived(order), z=z, **activation.defaults()))


def true(ours: Tensor, name: str, z: Tensor, order: int = 0, within: float = 1.0) -> bool:
    """Say whether every element is within so many ulp of the truth, relative to the element: tails included."""
    wanted = torch.tensor([exact(name, value, order) for value in z.tolist()], dtype=F64)
    unit = _unit(wanted.abs(), ours.dtype)
    return bool(((ours.double() - wanted).abs() <= within * unit).all())


# --- agreement -----------------------------------------------------------------------------------------------


@every_peer
@both
def test_values_agree_where_pytorch_is_right(name: str, dtype: torch.dtype) -> None:
    peer = PEERS[name]
    x = wide(dtype, peer.value_on)
    distance = ulps(triode.get(name)(x), peer.function(x))
    assert distance.max() <= peer.value, x[distance.argmax()].item()


@every_peer
@both
def test_slopes_agree_where_pytorch_is_right(name: str, dtype: torch.dtype) -> None:
    peer = PEERS[name]
    if dtype not in peer.slope_types:
        pytest.skip("a named fault, below")
    x = wide(dtype, peer.slope_on)
    distance = ulps(slope_of(triode.get(name), x), slope_of(peer.function, x), floor=1 / 16)
    assert distance.max() <= peer.slope, x[distance.argmax()].item()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(triode.softmax, torch.softmax), (triode.log_softmax, torch.log_softmax)]
)
@pytest.mark.parametrize("axis", [0, 1, -1])
@both
def test_normalising_functions_agree(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], axis: int, dtype: torch.dtype
) -> None:
    x = 5 * torch.randn(7, 11, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    # PyTorch's softmax rounds the difference of the inputs, of some 20, to the type: 17 ulp of the result were seen.
    # Its log-softmax rounds the logarithm of a sum, so the unit is that of 1.
    ours_is_log = ours is triode.log_softmax
    distance = ulps(ours(x, axis=axis), theirs(x, axis), floor=1.0 if ours_is_log else 0.0)
    assert distance.max() <= (2 if ours_is_log else 17)
    seed = torch.randn(7, 11, 5, dtype=dtype, generator=torch.Generator().manual_seed(1))
    pulled = slope_of(lambda v: ours(v, axis=axis) * seed, x)
    assert ulps(pulled, slope_of(lambda v: theirs(v, axis) * seed, x), floor=1.0).max() <= 6


@both
def test_glu_agrees(dtype: torch.dtype) -> None:
    x = 3 * torch.randn(50, 40, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ours = triode.torch.GLU()
    assert ulps(ours(x), F.glu(x)).max() <= 3
    assert ulps(slope_of(ours, x), slope_of(F.glu, x), floor=1.0).max() <= 5


@pytest.mark.parametrize(
    ("name", "function", "parameters"),
    [
        ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), {"alpha": 0.2}),
        ("elu", lambda x: F.elu(x, 0.7), {"alpha": 0.7}),
        ("celu", lambda x: F.celu(x, 1.5), {"alpha": 1.5}),
        ("softplus", lambda x: F.softplus(x, beta=2.5, threshold=1e9), {"beta": 2.5}),
        ("rrelu", lambda x: F.rrelu(x, 0.2, 0.6), {"lower": 0.2, "upper": 0.6}),
    ],
)
def test_parameters_mean_what_they_mean_in_pytorch(
    name: str, function: Callable[[Tensor], Tensor], parameters: dict[str, float]
) -> None:
    x = wide(F64, (-30, 30))
    torch.testing.assert_close(triode.get(name)(x, **parameters), function(x), rtol=1e-14, atol=0)
    slope = triode.get(name).derivative(x, **parameters)
    torch.testing.assert_close(slope, slope_of(function, x), rtol=1e-14, atol=0)


@both
def test_two_classes_of_softmax_are_a_sigmoid_of_the_difference(dtype: torch.dtype) -> None:
    z = torch.stack([wide(dtype, (-100, 100)), wide(dtype, (-100, 100)).flip(0)], -1)
    difference = z[:, 0].double() - z[:, 1].double()
    assert ulps(triode.softmax(z)[:, 0], triode.sigmoid(difference).to(dtype)).max() <= 2
    # What PyTorch's own softmax loses here is its rounding of the difference to float32.
    assert ulps(triode.log_softmax(z)[:, 0], triode.log_sigmoid(difference).to(dtype)).max() <= 2


# --- conventions at kinks ------------------------------------------------------------------------------------

AGREED = {
    "relu": {0.0: 0.0},
    "leaky_relu": {0.0: 0.01},
    "prelu": {0.0: 0.25},
    "relu6": {0.0: 0.0, 6.0: 0.0},
    "hard_tanh": {-1.0: 0.0, 1.0: 0.0},
    "hard_sigmoid": {-3.0: 0.0, 3.0: 0.0},
    "hard_swish": {-3.0: 0.0, 3.0: 1.0},
    "elu": {0.0: 1.0},
    "celu": {0.0: 1.0},
    "selu": {0.0: 1.0507009873554804934193349852946 * 1.6732632423543772848170429916717},
    "rrelu": {0.0: (1 / 8 + 1 / 3) / 2},
}
"""The derivative at each kink, by our convention, which is PyTorch's too."""


@pytest.mark.parametrize("name", AGREED)
def test_the_convention_at_a_kink_is_pytorchs(name: str) -> None:
    x = torch.tensor(list(AGREED[name]), dtype=F64)
    wanted = torch.tensor(list(AGREED[name].values()), dtype=F64)
    torch.testing.assert_close(slope_of(triode.get(name), x), wanted, rtol=4e-16, atol=0)
    torch.testing.assert_close(slope_of(PEERS[name].function, x), wanted, rtol=4e-16, atol=0)


def test_every_kink_in_the_slope_that_pytorch_has_too_is_in_the_list() -> None:
    kinked = {name for name in PEERS if any(kink.order == 1 for kink in triode.get(name).kinks)}
    assert kinked <= set(AGREED)


def test_the_second_derivative_of_softsign_at_0_is_the_mean_of_its_limits() -> None:
    x = torch.zeros(1, dtype=F64)
    assert slope_of(triode.softsign, x, 2).item() == 0.0
    assert slope_of(F.softsign, x, 2).item() == 0.0


def test_the_slope_at_nan_is_nan_where_pytorch_has_a_number() -> None:
    """A difference by intent: PyTorch's rectifiers have the slope of one of their branches at nan."""
    x = torch.tensor([math.nan])
    for name in PEERS:
        # Where the slope is the same number for every input, nan in is still nan out.
        assert slope_of(triode.get(name), x).isnan().all(), name
    assert slope_of(F.relu, x).item() == 1.0
    assert slope_of(F.hardsigmoid, x).item() == 0.0


def test_a_row_of_minus_infinity_is_uniform_where_pytorch_has_nan() -> None:
    """A difference by intent: softmax takes every limit; PyTorch's is nan when a whole row is masked."""
    row = torch.full((4,), -INF)
    assert triode.softmax(row).tolist() == [0.25] * 4
    assert triode.softmax(torch.tensor([INF, 1.0, INF])).tolist() == [0.5, 0.0, 0.5]
    assert torch.softmax(row, 0).isnan().all()


# --- the faults of PyTorch, one test each --------------------------------------------------------------------


@both
def test_gelu_keeps_its_relative_accuracy_in_the_left_tail(dtype: torch.dtype) -> None:
    """PyTorch forms 1 + erf, which cancels (#187806): at -5 in float32 it is off by 4 % or 17 %, by the lane."""
    z = torch.tensor([-3.0, -4.0, -5.0, -5.5, -8.0, -8.5, -10.0, -12.5, -13.0, -13.5], dtype=dtype)
    assert true(triode.gelu(z), "gelu", z)
    assert true(slope_of(triode.gelu, z), "gelu", z, 1, within=2)


def test_gelu_is_not_zero_before_it_underflows() -> None:
    """PyTorch's is exactly 0 from -5.51 on in float32, from -8.38 on in float64 (#187806)."""
    for dtype, low in ((F32, -14.0), (F64, -38.0)):
        assert (triode.gelu(torch.linspace(low, -5.0, 500, dtype=dtype)) < 0).all()


@both
def test_gelu_tanh_keeps_its_relative_accuracy_in_the_left_tail(dtype: torch.dtype) -> None:
    """PyTorch forms 1 + tanh: 0 from -5.07 on in float32, from -7.2 on in float64."""
    z = torch.tensor([-3.0, -5.0, -5.5, -7.5, -9.0], dtype=dtype)
    assert true(triode.gelu_tanh(z), "gelu_tanh", z)
    assert true(slope_of(triode.gelu_tanh, z), "gelu_tanh", z, 1, within=2)


@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64], ids=str)
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "swish", "mish", "hard_swish"])
def test_minus_infinity_gives_zero(name: str, dtype: torch.dtype) -> None:
    """PyTorch multiplies -inf by 0 (#185770, #160876)."""
    for length in (1, 9, 65):
        x = torch.full((length,), -INF, dtype=dtype)
        assert (triode.get(name)(x) == 0).all()
        assert (slope_of(triode.get(name), x) == 0).all()


@both
def test_softsign_of_infinity_is_its_limit(dtype: torch.dtype) -> None:
    """PyTorch divides inf by inf."""
    assert triode.softsign(torch.tensor([INF, -INF], dtype=dtype)).tolist() == [1.0, -1.0]


def test_the_slope_of_tanh_does_not_vanish_in_float32() -> None:
    """PyTorch forms 1 - tanh^2 (#195685): twice too large at -9.01, 0 from -9.02 on; the truth there is 6e-8."""
    z = torch.tensor([-9.01, -9.02, -9.5, 20.0, -40.0])
    assert true(slope_of(triode.tanh, z), "tanh", z, 1)


def test_the_slope_of_tanh_does_not_vanish_in_float64() -> None:
    """PyTorch's is 0 from |z| = 19.1 on (#195681)."""
    z = torch.tensor([19.0, 19.1, 25.0, -300.0, 370.0], dtype=F64)
    assert true(slope_of(triode.tanh, z), "tanh", z, 1, within=2)


@both
def test_the_slope_of_sigmoid_does_not_vanish(dtype: torch.dtype) -> None:
    """PyTorch forms s (1 - s) (#195681): 0 from 16.7 on in float32, from 36.8 on in float64."""
    z = torch.tensor([16.0, 17.0, 36.0, 37.0, 80.0], dtype=dtype)
    assert true(slope_of(triode.sigmoid, z), "sigmoid", z, 1, within=2)


@both
def test_the_second_derivative_of_silu_does_not_vanish(dtype: torch.dtype) -> None:
    """PyTorch's is 0 at 40 (#195682), in float32 from 16.7 on."""
    z = torch.tensor([17.0, 20.0, 40.0, 80.0], dtype=dtype)
    assert true(slope_of(triode.swish, z, 2), "swish", z, 2, within=2)


NAN_SLOPES = {
    "hard_tanh": F.hardtanh,
    "relu6": F.relu6,
    "elu": F.elu,
    "celu": F.celu,
    "hard_swish": F.hardswish,
}


@pytest.mark.parametrize("name", NAN_SLOPES)
@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64], ids=str)
def test_a_nan_gradient_does_not_depend_on_length(name: str, dtype: torch.dtype) -> None:
    """In PyTorch nan takes one branch in the vector loop and another in its remainder (#195075)."""
    for length in range(1, 70):
        assert slope_of(triode.get(name), torch.full((length,), math.nan, dtype=dtype)).isnan().all()


@pytest.mark.parametrize("shape", [(1, 7, 7, 1), (1, 9, 9, 1)], ids=str)
def test_the_bfloat16_slope_of_hard_swish_does_not_depend_on_shape(shape: tuple[int, ...]) -> None:
    """PyTorch had 1 in the vector loop and 3/2 in its remainder at 3 (#136345); 2.13 no longer does."""
    assert slope_of(triode.hard_swish, torch.full(shape, 3.0, dtype=BF16)).unique().tolist() == [1.0]
    assert slope_of(triode.hard_swish, torch.full(shape, -3.0, dtype=BF16)).unique().tolist() == [0.0]


MISROUNDED = (-0.00047278404235839844, -0.0006103515625, 1.5712890625)


def test_mish_in_float16_is_correctly_rounded() -> None:
    """PyTorch rounds to float32 first (#174775): three of 63,488 values are then rounded to the wrong side."""
    z = torch.tensor([*MISROUNDED, -20.0, -17.0, -100.0, 11.0], dtype=F16)
    assert true(triode.mish(z), "mish", z, within=0.5)


def test_silu_and_its_slope_reach_into_the_smallest_numbers() -> None:
    """PyTorch's float32 sigmoid forms 1 + exp(88.75), which overflows: silu is 0 where the truth is -2.5e-37."""
    z = torch.tensor([-88.0, -88.75, -90.0, -100.0])
    assert true(triode.swish(z), "swish", z)
    assert true(triode.sigmoid(z), "sigmoid", z)
    assert true(slope_of(triode.swish, z), "swish", z, 1)


def test_the_slope_of_mish_keeps_its_sign_in_the_tail() -> None:
    """PyTorch's float32 slope at -88.75 is 2.9e-39; the truth is -2.5e-37."""
    z = torch.tensor([-88.0, -88.75, -90.0])
    assert true(slope_of(triode.mish, z), "mish", z, 1)


def test_softplus_has_no_threshold() -> None:
    """Beyond 20 PyTorch returns z: in float64 that is half a million ulp off."""
    z = torch.tensor([19.9, 20.1, 25.0, 30.0], dtype=F64)
    assert true(triode.softplus(z), "softplus", z)
    assert true(slope_of(triode.softplus, z), "softplus", z, 1)


@both
def test_the_slope_of_softsign_does_not_vanish(dtype: torch.dtype) -> None:
    """PyTorch forms a difference of two reciprocals: 24 ulp off at 15, and 0 beyond 1.5e7 in float32."""
    z = torch.tensor([15.0, -1000.0, 2e7, 1e15], dtype=dtype)
    assert true(slope_of(triode.softsign, z), "softsign", z, 1, within=2)


def test_the_float64_slope_of_hard_sigmoid_is_a_sixth() -> None:
    """PyTorch's is the float32 number nearest to 1/6: 0.1666666716."""
    assert slope_of(triode.hard_sigmoid, torch.zeros(1, dtype=F64)).item() == 1 / 6


def test_the_float64_slope_of_celu_uses_the_whole_alpha() -> None:
    """PyTorch takes the slope with a float32 alpha: at -3 with alpha = 1.3 it is off by 5e-8."""
    z = torch.tensor([-0.1, -1.5, -3.0, -30.0], dtype=F64)
    wanted = [float(oracle.value(triode.celu.derived(1), z=value, alpha=1.3)) for value in z.tolist()]
    slope = slope_of(lambda x: triode.celu(x, alpha=1.3), z)
    torch.testing.assert_close(slope, torch.tensor(wanted, dtype=F64), rtol=4e-16, atol=0)


@both
def test_log_softmax_is_accurate_near_zero(dtype: torch.dtype) -> None:
    """PyTorch adds the logarithm of 1 + e^-18, which in float32 is the logarithm of 1."""
    z = torch.tensor([0.0, 18.0], dtype=dtype)
    wanted = exact("log_sigmoid", 18.0)
    assert triode.log_softmax(z)[1].item() == pytest.approx(wanted, rel=torch.finfo(dtype).eps)


@both
def test_the_slope_of_gelu_tanh_at_large_inputs_is_one(dtype: torch.dtype) -> None:
    """PyTorch squares z: in float32 its slope is nan from 1.9e19 on, at finite inputs."""
    z = torch.tensor([1e10, 2e19, 3e38], dtype=dtype)
    assert slope_of(triode.gelu_tanh, z).tolist() == [1.0, 1.0, 1.0]
    assert slope_of(triode.gelu_tanh, -z).tolist() == [0.0, 0.0, 0.0]


def _one(z: float, dtype: torch.dtype = F32, length: int = 64) -> Tensor:
    return torch.full((length,), z, dtype=dtype)


def _is_nan(*values: Tensor) -> bool:
    return all(bool(value.isnan().all()) for value in values)


def _half_mish() -> bool:
    z = torch.tensor(MISROUNDED, dtype=F16)
    return not true(F.mish(z), "mish", z, within=0.5)


def _lengths(function: Callable[[Tensor], Tensor]) -> bool:
    slopes = slope_of(function, _one(math.nan, length=65))
    return str(slopes[0].item()) != str(slopes[-1].item())


FAULTS: dict[str, Callable[[], bool]] = {
    "gelu's left tail (#187806)": lambda: bool(abs(F.gelu(_one(-5.0))[0] / exact("gelu", -5.0) - 1) > 0.03),
    "gelu's exact zeros (#187806)": lambda: F.gelu(_one(-6.0))[0].item() == 0.0,
    "gelu's exact zeros in float64 (#187806)": lambda: F.gelu(_one(-8.5, F64))[0].item() == 0.0,
    "gelu_tanh's exact zeros": lambda: F.gelu(_one(-5.5), approximate="tanh")[0].item() == 0.0,
    "gelu(-inf) (#185770)": lambda: _is_nan(F.gelu(_one(-INF)), F.gelu(_one(-INF), approximate="tanh")),
    "silu(-inf) (#160876)": lambda: _is_nan(F.silu(_one(-INF))),
    "mish(-inf) (#160876)": lambda: _is_nan(F.mish(_one(-INF))),
    "hardswish(-inf)": lambda: _is_nan(F.hardswish(_one(-INF))),
    "softsign(inf)": lambda: _is_nan(F.softsign(_one(INF))),
    "tanh' in float32 (#195685)": lambda: slope_of(torch.tanh, _one(-9.05))[0].item() == 0.0,
    "tanh' in float64 (#195681)": lambda: slope_of(torch.tanh, _one(20.0, F64))[0].item() == 0.0,
    "sigmoid' in float64 (#195681)": lambda: slope_of(torch.sigmoid, _one(37.0, F64))[0].item() == 0.0,
    "silu'' at 40 (#195682)": lambda: slope_of(F.silu, _one(40.0, F64), 2)[0].item() == 0.0,
    "hardtanh' at nan (#195075)": lambda: _lengths(F.hardtanh),
    "elu' at nan (#195075)": lambda: _lengths(F.elu),
    "hardswish' at nan (#195075)": lambda: _lengths(F.hardswish),
    "hardswish' in bfloat16 (#136345)": lambda: len(slope_of(F.hardswish, _one(3.0, BF16, 81)).unique()) > 1,
    "mish in float16 (#174775)": _half_mish,
    "silu in float32 at -88.75": lambda: F.silu(_one(-88.75))[0].item() == 0.0,
    "mish' in float32 at -88.75": lambda: slope_of(F.mish, _one(-88.75))[0].item() > 0.0,
    "softplus in float64 beyond 20": lambda: F.softplus(_one(20.1, F64))[0].item() == 20.1,
    "softsign' in float32 at 2e7": lambda: slope_of(F.softsign, _one(2e7))[0].item() == 0.0,
    "hardsigmoid' in float64": lambda: slope_of(F.hardsigmoid, _one(0.0, F64))[0].item() != 1 / 6,
    "celu' in float64 with alpha = 1.3": lambda: bool(
        abs(slope_of(lambda x: F.celu(x, 1.3), _one(-3.0, F64))[0] / math.exp(-3.0 / 1.3) - 1) > 1e-8
    ),
    "log_softmax in float32 near 0": lambda: torch.log_softmax(torch.tensor([0.0, 18.0]), 0)[1].item() == 0.0,
    "gelu_tanh' at 2e19": lambda: _is_nan(slope_of(lambda x: F.gelu(x, approximate="tanh"), _one(2e19))),
}
"""Whether this PyTorch has the fault; on 2.13 all do but #136345."""


@pytest.mark.parametrize("fault", FAULTS)
def test_pytorch_still_has_the_fault(fault: str) -> None:
    if not FAULTS[fault]():
        pytest.skip(
            f"PyTorch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()} does not have it"
        )
