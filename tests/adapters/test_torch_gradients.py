"""Every activation is differentiable in PyTorch, to any order and in every mode, by inputs and by parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import triode
from triode import catalogue
from triode.activation import Activation

# PyTorch's own forward mode uses, on its first call, what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

ALL = [activation for activation in catalogue.activations() if catalogue.is_curated(activation.name)]
POINTWISE = [activation for activation in ALL if activation.kind == "elementwise"]
GATED = [activation for activation in ALL if activation.kind == "gated"]
NORMALISING = [activation for activation in ALL if activation.kind == "normalising"]
LEARNABLE = [
    (activation, parameter.name)
    for activation in ALL
    for parameter in activation.parameters
    if activation.kind == "elementwise" and parameter.learnable
]

# Finite differences must not straddle a kink: the kinks are at whole numbers, and none of these is near one.
POINTS = (-4.3, -2.6, -1.37, -0.42, 0.31, 0.83, 2.4, 5.2, 7.1)
AXES = ((0, 1.0), (1, 0.5), (-1, 3.0), (-2, 1.0))


def name_of(activation: Activation) -> str:
    return activation.name


every_pointwise = pytest.mark.parametrize("activation", POINTWISE, ids=name_of)
every_gated = pytest.mark.parametrize("activation", GATED, ids=name_of)
every_normalising = pytest.mark.parametrize("activation", NORMALISING, ids=name_of)


def points(requires_grad: bool = True) -> Tensor:
    return torch.tensor(POINTS, dtype=torch.float64, requires_grad=requires_grad)


def rows(requires_grad: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    return (2 * x).requires_grad_(requires_grad)


def pair() -> tuple[Tensor, Tensor]:
    return points(), points(requires_grad=False).flip(0).mul(0.7).requires_grad_()


def nth(function: Callable[..., Tensor], x: Tensor, order: int) -> Tensor:
    """Return the order-th derivative of an elementwise function by repeated backward passes."""
    y = function(x)
    for _ in range(order):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y


def test_the_points_keep_away_from_every_kink() -> None:
    kinks = {float(kink.at) for activation in ALL for kink in activation.kinks}
    assert min(abs(point - kink) for point, kink in itertools.product(POINTS, kinks)) > 0.15


@every_pointwise
def test_first_derivatives_of_pointwise(activation: Activation) -> None:
    assert gradcheck(activation, points(), check_forward_ad=True, check_batched_grad=True)


@every_pointwise
def test_second_derivatives_of_pointwise(activation: Activation) -> None:
    assert gradgradcheck(activation, points(), check_fwd_over_rev=True, check_rev_over_rev=True)


@every_gated
def test_first_derivatives_of_gated(activation: Activation) -> None:
    assert gradcheck(activation, pair(), check_forward_ad=True, check_batched_grad=True)


@every_gated
def test_second_derivatives_of_gated(activation: Activation) -> None:
    assert gradgradcheck(activation, pair(), check_fwd_over_rev=True)


@every_gated
def test_gated_pairs_broadcast_and_their_gradients_are_summed_back(activation: Activation) -> None:
    z = points()
    u = torch.tensor([[0.6], [-1.3]], dtype=torch.float64, requires_grad=True)
    assert activation(z, u).shape == (2, len(POINTS))
    assert gradcheck(activation, (z, u), check_forward_ad=True)


@every_normalising
@pytest.mark.parametrize(("axis", "temperature"), AXES)
def test_first_derivatives_along_an_axis(activation: Activation, axis: int, temperature: float) -> None:
    def function(x: Tensor) -> Tensor:
        return activation(x, axis=axis, temperature=temperature)

    assert gradcheck(function, rows(), check_forward_ad=True, check_batched_grad=True)


@every_normalising
@pytest.mark.parametrize(("axis", "temperature"), AXES)
def test_second_derivatives_along_an_axis(activation: Activation, axis: int, temperature: float) -> None:
    def function(x: Tensor) -> Tensor:
        return activation(x, axis=axis, temperature=temperature)

    assert gradgradcheck(function, rows(), check_fwd_over_rev=True, check_rev_over_rev=True)


@every_normalising
@pytest.mark.parametrize("temperature", [0.0, torch.inf])
def test_the_limits_of_temperature_have_gradient_zero(activation: Activation, temperature: float) -> None:
    x = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    if activation.name == "log_softmax" and temperature == 0.0:
        # The logarithm itself is -inf off the maximum; only its gradient is asked for here.
        (gradient,) = torch.autograd.grad(activation(x, temperature=temperature)[1], x)
    else:
        (gradient,) = torch.autograd.grad(activation(x, temperature=temperature)[0], x)
    assert gradient.tolist() == [0.0, 0.0, 0.0]


def test_a_nearly_one_hot_gradient_does_not_cancel() -> None:
    # ds1/dz1 = s1 s2 = e^-45 with s1 = 1 in float64: 1 - s1 would give 0.
    x = torch.tensor([45.0, 0.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(triode.softmax(x)[0], x)
    expected = triode.logistic.derivative(45.0)
    assert gradient[0].item() == pytest.approx(expected, rel=1e-15)
    assert gradient[1].item() == pytest.approx(-expected, rel=1e-15)


@pytest.mark.parametrize(("activation", "name"), LEARNABLE, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)], ids=str)
def test_gradients_by_a_learnable_parameter(
    activation: Activation, name: str, shape: tuple[int, ...]
) -> None:
    x = points(requires_grad=False)[:6].reshape(2, 3).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    parameter = torch.rand(shape, dtype=torch.float64, generator=generator).add(0.2).requires_grad_()

    def function(x: Tensor, parameter: Tensor) -> Tensor:
        return activation(x, **{name: parameter})

    assert gradcheck(function, (x, parameter), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, (x, parameter))


def test_gradients_by_a_parameter_that_is_not_declared_learnable() -> None:
    # Any parameter may be a tensor; `learnable` is about what a module offers.
    alpha = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda a: triode.elu(points(requires_grad=False), alpha=a), alpha)


def test_gradients_by_two_parameters_of_a_users_own_formula() -> None:
    own = triode.get("gradient_test_own=z * sigmoid(b * z) + c * z; b=1.0; c=0.1")
    b = torch.tensor(1.4, dtype=torch.float64, requires_grad=True)
    c = torch.rand(len(POINTS), dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, b, c: own(x, b=b, c=c), (points(), b, c), check_forward_ad=True)
    assert gradgradcheck(lambda x, b, c: own(x, b=b, c=c), (points(), b, c))


@every_pointwise
@pytest.mark.parametrize("order", [1, 2, 3])
def test_repeated_backward_is_the_derivative_of_that_order(activation: Activation, order: int) -> None:
    """Every order runs the same kernel, so the agreement is exact, not approximate."""
    x = points()
    assert torch.equal(nth(activation, x, order), activation.derivative(x, order=order))


@pytest.mark.parametrize("name", ["tanh", "gelu", "mish", "swish", "softplus"])
def test_the_third_derivative_is_the_slope_of_the_second(name: str) -> None:
    activation, step = triode.get(name), 2.0**-20
    x = points(requires_grad=False)
    slope = (activation.derivative(x + step, order=2) - activation.derivative(x - step, order=2)) / (2 * step)
    # A central difference with step h is off by h^2 f'''''/6 and by rounding / h: 4e-10 here, as measured.
    assert torch.allclose(nth(activation, points(), 3), slope, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["gelu", "relu", "mish"])
def test_the_one_sweep_backward_pass_rounds_once(name: str) -> None:
    """Without a graph the gradient is multiplied inside the kernel, in float64."""
    activation = triode.get(name)
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradient = torch.rand(1000, generator=torch.Generator().manual_seed(1))
    activation(x).backward(gradient)
    exact = activation.derivative(x.detach().double()) * gradient.double()
    assert x.grad is not None
    assert torch.equal(x.grad, exact.float())


@pytest.mark.parametrize("activation", ALL, ids=name_of)
def test_a_batch_of_gradients_at_once(activation: Activation) -> None:
    inputs = (points(), points(requires_grad=False)) if activation.kind == "gated" else (points(),)
    y = activation(*inputs)
    seeds = torch.eye(len(POINTS), dtype=torch.float64)
    (batched,) = torch.autograd.grad(y, inputs[0], seeds, retain_graph=True, is_grads_batched=True)
    single = [torch.autograd.grad(y, inputs[0], seed, retain_graph=True)[0] for seed in seeds]
    torch.testing.assert_close(batched, torch.stack(single), rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("activation", ALL, ids=name_of)
def test_forward_mode_is_the_transpose_of_backward(activation: Activation) -> None:
    inputs = pair() if activation.kind == "gated" else (points(),)
    generator = torch.Generator().manual_seed(2)
    tangents = [torch.randn(len(POINTS), dtype=torch.float64, generator=generator) for _ in inputs]
    gradient = torch.randn(len(POINTS), dtype=torch.float64, generator=generator)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x.detach(), t) for x, t in zip(inputs, tangents, strict=True)]
        tangent = forward_ad.unpack_dual(activation(*duals)).tangent
    assert tangent is not None
    backward = torch.autograd.grad(activation(*inputs), inputs, gradient)
    pushed = (gradient * tangent).sum()
    pulled = torch.stack([(g * t).sum() for g, t in zip(backward, tangents, strict=True)]).sum()
    torch.testing.assert_close(pushed, pulled, rtol=1e-13, atol=1e-14)


def test_no_graph_is_made_when_nobody_wants_gradients() -> None:
    assert triode.gelu(points(requires_grad=False)).grad_fn is None
    with torch.no_grad():
        assert triode.gelu(points()).grad_fn is None
    with torch.inference_mode():
        assert triode.gelu(torch.ones(3)).is_inference()


def test_a_parameters_gradient_is_summed_in_its_own_precision() -> None:
    """100,000 slopes of -1 sum to -100,000, which float16, the input's type, cannot hold."""
    x = torch.full((100_000,), -1.0, dtype=torch.float16)
    alpha = torch.tensor(0.25, requires_grad=True)
    triode.prelu(x, alpha=alpha).backward(torch.ones_like(x))
    assert alpha.grad is not None
    assert alpha.grad.item() == -100_000.0


def test_an_expanded_or_transposed_gradient_is_read_in_the_right_order() -> None:
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    seed = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6)).t()
    (transposed,) = torch.autograd.grad(triode.gelu(x), x, seed)
    assert torch.equal(transposed, triode.gelu.derivative(x.detach()) * seed)
    (expanded,) = torch.autograd.grad(triode.gelu(x).sum(), x)
    assert torch.equal(expanded, triode.gelu.derivative(x.detach()))
