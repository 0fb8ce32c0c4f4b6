"""What PyTorch does to functions and tensors, ours bear: compiling, batching, types, layouts, other devices."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import triode
from triode import catalogue
from triode.activation import Activation
from triode.adapters import torch_operator
from triode.errors import TriodeError

# PyTorch's own forward mode uses, on its first call, what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

ALL = [activation for activation in catalogue.activations() if catalogue.is_curated(activation.name)]
POINTWISE = [activation for activation in ALL if activation.kind == "elementwise"]
BY_FORMULA = [activation for activation in ALL if activation.kind != "normalising"]
TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def name_of(activation: Activation) -> str:
    return activation.name


every = pytest.mark.parametrize("activation", ALL, ids=name_of)
every_pointwise = pytest.mark.parametrize("activation", POINTWISE, ids=name_of)


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, dtype=torch.float64, generator=generator)).to(dtype)


def arguments(activation: Activation, x: Tensor) -> tuple[Tensor, ...]:
    return (x, x.flip(0)) if activation.kind == "gated" else (x,)


def same(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit, nan with nan."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(torch.nan_to_num(a, 0.5), torch.nan_to_num(b, 0.5))
    )


# --- torch.compile -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_compiles_whole_forward_and_backward() -> None:
    """One compile, about ten seconds: a graph without breaks through every kind of module."""
    torch.manual_seed(0)
    room = triode.torch
    eager = nn.Sequential(
        nn.Linear(8, 8), room.GELU(), room.PReLU(channels=8), nn.Linear(8, 12), room.SwiGLU(), room.Softmax()
    )
    compiled = torch.compile(copy.deepcopy(eager), fullgraph=True)
    x = noise(5, 8, dtype=torch.float32)
    a, b = eager(x), compiled(x)
    a[:, 0].sum().backward()
    b[:, 0].sum().backward()
    # Inductor may reorder the sums of the linear layers and of softmax: 2 ulp was seen.
    torch.testing.assert_close(a, b, rtol=4e-7, atol=0)
    for ours, theirs in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["mish", "elu", "glu", "log_softmax", "rrelu", "compile_test_own=z * tanh(exp(z))"]
)
def test_a_single_module_is_one_graph(name: str) -> None:
    torch._dynamo.reset()
    module = triode.torch.Activation(name).eval()
    x = noise(4, 6).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    a, b = module(x), compiled(twin)
    assert same(a.detach(), b.detach())
    seed = noise(*a.shape, seed=1)
    a.backward(seed)
    b.backward(seed)
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-14, atol=1e-15)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_compiled_function_serves_several_activations() -> None:
    """The name of the activation is a constant of the graph; another activation must make another graph."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda activation, x: activation(x), fullgraph=True, backend="aot_eager")
    x = noise(7)
    for name in ("gelu", "mish", "compile_test_square=z * z", "compile_test_cube=z * z * z", "gelu"):
        assert same(compiled(triode.get(name), x), triode.get(name)(x)), name


def test_the_graph_holds_one_operator_under_its_name() -> None:
    exported = torch.export.export(nn.Sequential(triode.torch.GELU()), (noise(3, dtype=torch.float32),))
    targets = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert targets == ["triode.evaluate.default"]


X = noise(4, 3, dtype=torch.float32)
CALLS: dict[str, tuple[str, str, list[Tensor], list[str], list[float]]] = {
    "function": ("gelu", "", [X.clone().requires_grad_()], ["z"], [0.0]),
    "parameter": ("elu", "", [X.clone().requires_grad_()], ["z"], [0.7]),
    "second derivative": ("mish", "z,z", [X.double().requires_grad_()], ["z"], [0.0]),
    "learned": (
        "prelu",
        "",
        [X.clone().requires_grad_(), torch.rand(3).requires_grad_()],
        ["z", "alpha"],
        [0.0],
    ),
    "gated": ("swiglu", "z", [X.clone().requires_grad_(), X.clone()], ["z", "u"], [0.0]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_the_operator_keeps_pytorchs_rules(
    call: tuple[str, str, list[Tensor], list[str], list[float]],
) -> None:
    outcome = torch.library.opcheck(torch.ops.triode.evaluate.default, call)
    assert set(outcome.values()) == {"SUCCESS"}


# --- function transforms -------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_vmap_is_the_whole_batch_at_once(activation: Activation, dim: int) -> None:
    x = noise(4, 3, 5)
    mapped = torch.vmap(activation, in_dims=dim, out_dims=dim)(*arguments(activation, x))
    slices = [activation(*arguments(activation, x)[:0], *parts) for parts in _slices(activation, x, dim)]
    assert same(mapped, torch.stack(slices, dim))


def _slices(activation: Activation, x: Tensor, dim: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*(part.unbind(dim) for part in arguments(activation, x)), strict=True))


def test_vmap_over_one_of_two_arguments() -> None:
    z, u = noise(5), noise(3, 5, seed=1)
    assert same(torch.vmap(triode.swiglu, in_dims=(None, 0))(z, u), triode.swiglu(z.expand(3, 5), u))
    assert same(torch.vmap(triode.swiglu, in_dims=(0, None))(u, z), triode.swiglu(u, z.expand(3, 5)))


def test_vmap_over_a_parameter() -> None:
    x, alphas = noise(5), torch.tensor([0.1, 0.7])
    mapped = torch.vmap(lambda alpha: triode.prelu(x, alpha=alpha))(alphas)
    assert same(mapped, torch.stack([triode.prelu(x, alpha=alpha) for alpha in alphas]))


def test_vmap_over_inputs_and_channels_of_another_width() -> None:
    x, alphas = noise(2, 4, 3), torch.rand(2, 3, dtype=torch.float64)
    mapped = torch.vmap(lambda z, alpha: triode.prelu(z, alpha=alpha))(x, alphas)
    assert same(mapped, torch.stack([triode.prelu(z, alpha=a) for z, a in zip(x, alphas, strict=True)]))


def test_vmap_in_vmap() -> None:
    x = noise(2, 3, 4)
    assert same(torch.vmap(torch.vmap(triode.gelu))(x), triode.gelu(x))


@every_pointwise
def test_vmap_of_grad_is_the_derivative(activation: Activation) -> None:
    x = noise(20)
    assert same(torch.vmap(torch.func.grad(activation))(x), activation.derivative(x))
    twice = torch.vmap(torch.func.grad(torch.func.grad(activation)))(x)
    assert same(twice, activation.derivative(x, order=2))


@every_pointwise
def test_jvp_is_the_derivative_times_the_tangent(activation: Activation) -> None:
    x, tangent = noise(20), noise(20, seed=1)
    value, pushed = torch.func.jvp(activation, (x,), (tangent,))
    assert same(value, activation(x))
    assert same(pushed, activation.derivative(x) * tangent)


@pytest.mark.parametrize("name", ["gelu", "mish", "relu", "cauchy_gelu"])
def test_the_hessian_is_diagonal(name: str) -> None:
    activation, x = triode.get(name), noise(6)
    hessian = torch.func.hessian(lambda v: activation(v).sum())(x)
    assert torch.equal(hessian, torch.diag(activation.derivative(x, order=2)))


def test_the_jacobian_of_softmax_three_ways() -> None:
    x = noise(5)
    matrix = torch.as_tensor(triode.softmax.jacobian(x.numpy()))
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(jacobian(triode.softmax)(x), matrix, rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_hessian_of_a_normalising_function(name: str) -> None:
    activation, x = triode.get(name), noise(4)

    def loss(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda v: function(v).square().sum()

    ours = torch.func.hessian(loss(activation))(x)
    theirs = torch.func.hessian(loss(lambda v: getattr(torch, name)(v, -1)))(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_gradients_for_each_example_of_a_batch() -> None:
    module, x = triode.torch.PReLU(channels=3), noise(5, 3, dtype=torch.float32)

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(module, parameters, (row[None],)).sum()

    parameters = {name: value.detach() for name, value in module.named_parameters()}
    gradients = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)["alpha"]
    torch.testing.assert_close(gradients, x.clamp(max=0))


def test_checkpointing_gives_the_same_gradients() -> None:
    x = noise(10).requires_grad_()
    y = torch.utils.checkpoint.checkpoint(triode.mish, x, use_reentrant=False)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert same(gradient, triode.mish.derivative(x.detach()))


# --- types ---------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_each_float_type_is_kept_and_rounded_once(activation: Activation, dtype: torch.dtype) -> None:
    x = noise(257, dtype=dtype)
    y = activation(*arguments(activation, x))
    assert y.dtype == dtype
    wide = activation(*arguments(activation, x.double())).float() if dtype != torch.float64 else y
    # float64 -> float32 -> half rounds twice; where that differs, it is by one unit of the half type.
    error = (y.double() - wide.to(dtype).double()).abs()
    assert (error <= y.double().abs() * torch.finfo(dtype).eps + torch.finfo(dtype).smallest_normal).all()


@every
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint8, torch.bool], ids=str)
def test_integers_become_float64(activation: Activation, dtype: torch.dtype) -> None:
    x = torch.tensor([1, 0, 3, 2]).to(dtype)
    y = activation(*arguments(activation, x))
    assert same(y, activation(*arguments(activation, x.double())))


@every
@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn], ids=str)
def test_other_types_are_refused(activation: Activation, dtype: torch.dtype) -> None:
    x = torch.ones(2).to(dtype)
    with pytest.raises(TriodeError, match=f"{activation.name}: a {dtype} tensor cannot be computed with"):
        activation(*((x, x) if activation.kind == "gated" else (x,)))


def test_gated_inputs_of_two_types_meet_in_the_wider() -> None:
    z, u = noise(4, dtype=torch.float32), noise(4, seed=1)
    assert same(triode.glu(z, u), triode.glu(z.double(), u))
    assert triode.glu(z, u.numpy()).dtype == torch.float64
    assert same(triode.glu(z, 2.0), triode.glu(z, torch.full_like(z, 2.0)))


def test_autocast_to_bfloat16() -> None:
    """As with PyTorch's own: the linear layer hands over bfloat16, the activation keeps it, weights stay float32."""
    room = triode.torch
    model = nn.Sequential(
        nn.Linear(6, 6), room.PReLU(channels=6), nn.Linear(6, 8), room.SwiGLU(), room.Softmax()
    )
    x = noise(5, 6, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    y[:, 0].sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.dtype == torch.float32
        for parameter in model.parameters()
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert triode.gelu(x).dtype == torch.float32


# --- shapes and layouts --------------------------------------------------------------------------------------

_BASE = noise(4, 6, 8, 10)
LAYOUTS: dict[str, Tensor] = {
    "contiguous": _BASE,
    "channels last": _BASE.to(memory_format=torch.channels_last),
    "transposed": _BASE.transpose(0, 2),
    "permuted": _BASE.permute(3, 1, 0, 2),
    "strided": _BASE[::2, :, 1::3],
    "strided and transposed": _BASE[:, :, ::2].transpose(1, 3),
    "flipped": _BASE.flip(-1)[..., 1:],
    "expanded": _BASE[:, :1].expand(4, 6, 8, 10),
    "not aligned": _BASE.flatten()[1:],
    "one element": _BASE[0, 0, 0, :1],
    "scalar": _BASE[0, 0, 0, 0],
    "empty": _BASE[:0],
    "empty inside": _BASE[:, :, 3:3],
    "negative bit": torch._neg_view(_BASE),
    "imaginary part of a conjugate": torch.complex(_BASE, _BASE).conj().imag,
}


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("name", ["gelu", "relu", "prelu"])
def test_every_layout_has_the_values_and_the_layout_that_pytorch_gives(x: Tensor, name: str) -> None:
    y = triode.get(name)(x)
    plain = torch.from_numpy(
        np.array(triode.get(name)(x.resolve_neg().contiguous().numpy())).reshape(x.shape)
    )
    assert same(y, plain)
    assert not x.numel() or y.stride() == torch.sigmoid(x).stride()


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=list(LAYOUTS))
def test_gradients_of_every_layout(x: Tensor) -> None:
    leaf = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(triode.gelu(leaf).sum(), leaf)
    assert same(gradient, triode.gelu.derivative(x.resolve_neg().contiguous()))


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=list(LAYOUTS))
def test_gated_pairs_of_two_layouts(x: Tensor) -> None:
    other = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    assert same(triode.glu(x, other), triode.glu(x.resolve_neg().contiguous(), other))
    assert same(triode.glu(other, x), triode.glu(other, x.resolve_neg().contiguous()))


def test_a_tensor_of_zeros_without_memory() -> None:
    """PyTorch makes these inside derivatives; their address is null."""
    assert triode.sigmoid(torch._efficientzerotensor(3)).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("activation", ALL, ids=name_of)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 9, 31, 65])
def test_an_element_does_not_depend_on_its_place(activation: Activation, length: int) -> None:
    if activation.kind == "normalising":
        pytest.skip("works along an axis")
    x = noise(65, dtype=torch.float32)
    whole = activation(*(part[:65] for part in (x, x)[: len(activation.inputs)]))
    assert same(activation(*((x[:length],) * len(activation.inputs))), whole[:length])


# --- out= ----------------------------------------------------------------------------------------------------


@every
def test_out_is_written_and_returned(activation: Activation) -> None:
    x = noise(4, 5)
    out = torch.empty(4, 5, dtype=torch.float64)
    assert activation(*arguments(activation, x), out=out) is out
    assert same(out, activation(*arguments(activation, x)))


def test_out_may_be_the_input_or_strided() -> None:
    x = noise(4, 5)
    wanted = triode.gelu(x)
    strided = torch.empty(5, 8, dtype=torch.float64).t()[::2]
    triode.gelu(x, out=strided)
    assert same(strided, wanted)
    triode.gelu(x, out=x)
    assert same(x, wanted)


@pytest.mark.parametrize("name", ["gelu", "softmax"])
@pytest.mark.parametrize(
    "out", [torch.empty(2, 3), torch.empty(4), torch.empty(3, dtype=torch.float64), np.empty(3, np.float32)]
)
def test_an_out_that_does_not_fit_is_refused(name: str, out: Any) -> None:
    with pytest.raises(TriodeError, match="out="):
        triode.get(name)(torch.ones(3), out=out)


# --- tensors without data ------------------------------------------------------------------------------------


@every
def test_meta_tensors_have_shape_and_type(activation: Activation) -> None:
    x = torch.empty(2, 6, 4, device="meta", dtype=torch.bfloat16).transpose(0, 1)
    y = activation(*(x,) * len(activation.inputs))
    assert (y.device.type, y.shape, y.dtype) == ("meta", x.shape, x.dtype)
    if activation.kind != "normalising":  # PyTorch's own softmax returns contiguous memory too
        assert y.stride() == torch.sigmoid(x).stride()


@every
def test_fake_tensors_pass_forward_and_backward(activation: Activation) -> None:
    with torch._subclasses.FakeTensorMode():
        x = torch.randn(3, 4).requires_grad_()
        y = activation(*(x,) * len(activation.inputs))
        (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)


# --- other devices -------------------------------------------------------------------------------------------


def _elsewhere(activation: Activation, order: int, inputs: list[Tensor]) -> Tensor:
    """Return what a device without kernels computes."""
    scalars = [parameter.default for parameter in activation.parameters] or [0.0]
    variables = ",".join(["z"] * order)
    return torch_operator._evaluate_elsewhere(activation.name, variables, inputs, activation.inputs, scalars)


@pytest.mark.parametrize("activation", BY_FORMULA, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_composed_road_agrees_with_the_kernels(
    activation: Activation, dtype: torch.dtype, order: int
) -> None:
    """Within 16 + 2 z^2 ulp, as measured.

    A composed derivative is a sum of terms of about 1 that cancel near its roots: there, within |z| < 4, the unit is
    that of 1/16 at least. A tail such as exp(-z^2 / 2) multiplies the rounding of its argument by z^2. And a product
    with one subnormal factor has lost digits that the kernels keep: the unit is at least 1024 subnormal ones.
    """
    x = torch.cat([noise(2000), torch.linspace(-30, 30, 2001, dtype=torch.float64) + 1e-3]).to(dtype)
    inputs = [x] if activation.kind == "elementwise" else [x, torch.full_like(x, 0.7)]
    kernel = torch_operator._evaluate_cpu(
        activation.name,
        ",".join(["z"] * order),
        inputs,
        activation.inputs,
        [parameter.default for parameter in activation.parameters] or [0.0],
    )
    composed = _elsewhere(activation, order, inputs)
    info = torch.finfo(dtype)
    scale = kernel.abs().clamp(min=1024 * info.smallest_normal)
    scale = torch.where(x.abs() < 4, scale.clamp(min=1 / 16), scale)
    allowed = (16 + 2 * x.double() ** 2) * info.eps * scale.double()
    error = (composed.double() - kernel.double()).abs()
    worst = (error / allowed).argmax()
    assert (error <= allowed).all(), (x[worst].item(), kernel[worst].item(), composed[worst].item())


@pytest.mark.parametrize("activation", BY_FORMULA, ids=name_of)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_composed_road_has_the_same_limits(
    activation: Activation, dtype: torch.dtype, order: int
) -> None:
    x = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0], dtype=dtype)
    inputs = [x] if activation.kind == "elementwise" else [x, torch.full_like(x, 0.5)]
    scalars = [parameter.default for parameter in activation.parameters] or [0.0]
    variables = ",".join(["z"] * order)
    kernel = torch_operator._evaluate_cpu(activation.name, variables, inputs, activation.inputs, scalars)
    composed = _elsewhere(activation, order, inputs)
    assert composed.dtype == dtype
    torch.testing.assert_close(composed, kernel, rtol=8 * torch.finfo(dtype).eps, atol=0, equal_nan=True)
    assert torch.isnan(composed[2])


def test_the_composed_road_takes_learned_parameters() -> None:
    x, alpha = noise(4, 3, dtype=torch.float16), torch.tensor([0.1, 0.2, 0.3])
    composed = torch_operator._evaluate_elsewhere("prelu", "", [x, alpha], ["z", "alpha"], [0.0])
    assert same(composed, triode.prelu(x, alpha=alpha))
