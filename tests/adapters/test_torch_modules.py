"""Modules: one for every name and alias, with learned parameters, that saves, copies and refuses as modules should."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import triode
from triode import catalogue
from triode.activation import Activation, Parameter
from triode.errors import TriodeError

ALL = [activation for activation in catalogue.activations() if catalogue.is_curated(activation.name)]
NAMES = [(known, activation) for activation in ALL for known in (activation.name, *activation.aliases)]
LEARNABLE = [a for a in ALL if a.kind == "elementwise" and any(p.learnable for p in a.parameters)]

# As PyTorch's users write them; where PyTorch has the class under the same name, so do we.
CLASSES = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "RReLU": "rrelu",
    "ReLU6": "relu6",
    "SquaredReLU": "squared_relu",
    "ELU": "elu",
    "SELU": "selu",
    "CELU": "celu",
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "SiLU": "swish",
    "Swish": "swish",
    "Mish": "mish",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "LogSigmoid": "log_sigmoid",
    "Hardsigmoid": "hard_sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "Hardswish": "hard_swish",
    "Hardtanh": "hard_tanh",
    "Identity": "identity",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "LaplaceGELU": "laplace_gelu",
    "CauchyGELU": "cauchy_gelu",
    "GLU": "glu",
    "ReGLU": "reglu",
    "GEGLU": "geglu",
    "SwiGLU": "swiglu",
}

X = torch.tensor([[-2.0, -0.5, 0.25], [1.0, 3.0, -7.0]])


def name_of(activation: Activation) -> str:
    return activation.name


def example(activation: Activation) -> Tensor:
    return torch.cat([X, X.flip(0)], -1) if activation.kind == "gated" else X


def expected(activation: Activation, **parameters: float) -> Tensor:
    if activation.kind == "gated":
        z, u = example(activation).chunk(2, -1)
        return activation(z, u)
    return activation(X, **parameters)


every = pytest.mark.parametrize("activation", ALL, ids=name_of)


# --- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("known", "activation"), NAMES, ids=[known for known, _ in NAMES])
def test_a_module_for_every_name_and_alias(known: str, activation: Activation) -> None:
    module = triode.torch.Activation(known).eval()
    assert module.activation is activation
    assert torch.equal(module(example(activation)), expected(activation))
    assert getattr(triode.torch, known) is activation


@pytest.mark.parametrize(("title", "name"), CLASSES.items(), ids=list(CLASSES))
def test_classes_are_named_as_users_of_pytorch_expect(title: str, name: str) -> None:
    kind = getattr(triode.torch, title)
    assert issubclass(kind, triode.torch.Activation)
    assert kind().activation.name == name


def test_every_activation_has_a_class_in_the_list_above() -> None:
    assert {activation.name for activation in ALL} == set(CLASSES.values())


def test_every_class_is_listed_and_documented() -> None:
    listed = dir(triode.torch)
    for activation in ALL:
        title = type(
            getattr(triode.torch, next(t for t, n in CLASSES.items() if n == activation.name))()
        ).__name__
        assert title in listed
        assert activation.summary in (getattr(triode.torch, title).__doc__ or "")


def test_an_unknown_class_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no activation is called that"):
        triode.torch.Gleu  # noqa: B018


# --- persistence ---------------------------------------------------------------------------------------------


@every
def test_a_module_survives_copying_pickling_and_saving(activation: Activation) -> None:
    module = triode.torch.Activation(activation.name, learn=True).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    x = example(activation)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
    ):
        assert twin.activation is module.activation
        assert repr(twin) == repr(module)
        assert torch.equal(twin(x), module(x))
        assert all(a is not b for a, b in zip(twin.parameters(), module.parameters(), strict=True))


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("activation", LEARNABLE, ids=name_of)
def test_state_goes_round(activation: Activation, channels: int | None) -> None:
    def make() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(4, 3), triode.torch.Activation(activation.name, learn=True, channels=channels)
        )

    source, target = make(), make()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_()
    buffer = io.BytesIO()
    torch.save(source.state_dict(), buffer)
    buffer.seek(0)
    target.load_state_dict(torch.load(buffer, weights_only=True))
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(source(x), target(x))
    assert [key for key in source.state_dict() if key.startswith("1.")] == [
        f"1.{activation.parameters[0].name}"
    ]


def test_a_function_without_learned_parameters_has_no_state() -> None:
    assert dict(triode.torch.GELU().state_dict()) == {}
    assert dict(triode.torch.LeakyReLU().state_dict()) == {}


def test_a_users_own_module_is_rebuilt_in_another_process() -> None:
    module = triode.torch.Activation("module_test_own=z * tanh(exp(z)) + b * z; b=0.5", learn=True)
    code = (
        "import sys, pickle, torch; m = pickle.loads(sys.stdin.buffer.read());"
        "print(m); print(m(torch.tensor([-1.0, 2.0])).tolist()); print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(module), capture_output=True, check=True, timeout=60
    )
    shown, values, compiler = run.stdout.decode().splitlines()
    assert shown == repr(module)
    assert values == str(module(torch.tensor([-1.0, 2.0])).tolist())
    assert compiler == "False", "PyTorch's compiler takes two seconds to import and nobody asked for it"


# --- repr ----------------------------------------------------------------------------------------------------


def test_repr_reads_like_the_call() -> None:
    torch_room = triode.torch
    assert repr(torch_room.GELU()) == "GELU()"
    assert repr(torch_room.LeakyReLU(alpha=0.1)) == "LeakyReLU(alpha=0.1)"
    assert repr(torch_room.PReLU()) == "PReLU()"
    assert repr(torch_room.PReLU(channels=3)) == "PReLU(channels=3)"
    assert repr(torch_room.PReLU(learn=False)) == "PReLU(alpha=0.25, learn=False)"
    assert repr(torch_room.Swish()) == "Swish(beta=1)"
    assert repr(torch_room.Swish(learn=True)) == "Swish(learn=('beta',))"
    assert repr(torch_room.Softmax(dim=1)) == "Softmax(temperature=1, dim=1)"
    assert repr(torch_room.SwiGLU()) == "SwiGLU(dim=-1)"
    assert repr(torch_room.Activation("elu")) == "Activation('elu', alpha=1)"
    assert repr(torch_room.Activation("repr_test_own=z * z")) == "Activation('repr_test_own=z * z')"


@every
def test_repr_holds_no_address_and_no_internals(activation: Activation) -> None:
    shown = repr(triode.torch.Activation(activation.name))
    assert shown.startswith(f"Activation('{activation.name}'")
    assert " at 0x" not in shown
    assert "<" not in shown


# --- parameters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ALL, ids=name_of)
def test_what_is_learned_follows_the_declaration(activation: Activation) -> None:
    by_default = {name for name, _ in triode.torch.Activation(activation.name).named_parameters()}
    assert by_default == {parameter.name for parameter in activation.parameters if parameter.learned}
    asked = {name for name, _ in triode.torch.Activation(activation.name, learn=True).named_parameters()}
    assert asked == {parameter.name for parameter in activation.parameters if parameter.learnable}
    assert not list(triode.torch.Activation(activation.name, learn=False).parameters())


def test_learned_parameters_start_at_the_given_value() -> None:
    assert triode.torch.PReLU().alpha.item() == 0.25
    assert triode.torch.PReLU(alpha=0.1, channels=4).alpha.tolist() == pytest.approx([0.1] * 4)
    assert triode.torch.Swish(learn="beta", beta=1.5).beta.item() == 1.5
    assert triode.torch.Swish(learn=["beta"]).beta.requires_grad


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (2, 3, 4, 6)], ids=str)
def test_one_slope_a_channel(shape: tuple[int, ...]) -> None:
    module = triode.torch.PReLU(channels=3)
    with torch.no_grad():
        module.alpha.copy_(torch.tensor([0.1, 0.2, 0.3]))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(x), nn.functional.prelu(x, module.alpha))
    module(x).sum().backward()
    assert module.alpha.grad is not None
    assert module.alpha.grad.shape == (3,)
    dims = [dim for dim in range(x.dim()) if dim != 1]
    assert torch.allclose(module.alpha.grad, x.clamp(max=0).sum(dims), rtol=1e-5)


def test_a_single_channel_fits_every_shape() -> None:
    module = triode.torch.PReLU(channels=1)
    for shape in [(), (4,), (2, 5), (2, 5, 3)]:
        assert module(torch.full(shape, -1.0)).shape == shape


def test_an_optimiser_learns_the_slope_of_prelu() -> None:
    x = torch.linspace(-3, 3, 101)
    module = triode.torch.PReLU()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        (module(x) - nn.functional.leaky_relu(x, 0.7)).square().mean().backward()
        optimiser.step()
    assert module.alpha.item() == pytest.approx(0.7, abs=1e-5)


def test_an_optimiser_learns_the_sharpness_of_swish_for_each_channel() -> None:
    wanted = torch.tensor([0.5, 1.0, 2.0])
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    target = x * torch.sigmoid(wanted * x)
    module = triode.torch.Swish(learn=True, channels=3)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (module(x) - target).square().sum().backward()
        optimiser.step()
    assert module.beta.detach().tolist() == pytest.approx(wanted.tolist(), abs=2e-3)


def test_a_users_own_parameters_are_learned() -> None:
    module = triode.torch.Activation("learn_test_own=a * z + b * max(z, 0); a=0.0; b=0.0", learn=["a", "b"])
    x = torch.linspace(-2, 2, 41)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.3)
    for _ in range(200):
        optimiser.zero_grad()
        (module(x) - torch.where(x > 0, 3 * x, x)).square().mean().backward()
        optimiser.step()
    assert module.a.item() == pytest.approx(1.0, abs=1e-3)
    assert module.b.item() == pytest.approx(2.0, abs=1e-3)


def test_a_network_of_them_learns() -> None:
    """XOR: a line cannot separate it, so the activations have to do their part."""
    torch.manual_seed(0)
    room = triode.torch
    model = nn.Sequential(
        nn.Linear(2, 8), room.PReLU(channels=8), nn.Linear(8, 16), room.SwiGLU(), nn.Linear(8, 1)
    )
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
        optimiser.step()
    assert ((model(x) > 0).float() == y).all()


# --- modes and types -----------------------------------------------------------------------------------------


def test_rrelu_draws_in_training_and_takes_the_mean_in_evaluation() -> None:
    torch.manual_seed(0)
    module = triode.torch.RReLU(lower=0.1, upper=0.4)
    x = torch.full((40_000,), -2.0, dtype=torch.float64)
    slopes = module(x) / x
    assert slopes.min() >= 0.1
    assert slopes.max() <= 0.4
    # Kolmogorov-Smirnov against the uniform law: 1.95 / sqrt(n) is exceeded once in a thousand seeds.
    position = (slopes.sort().values - 0.1) / 0.3
    grid = torch.arange(1, len(x) + 1, dtype=torch.float64) / len(x)
    assert (position - grid).abs().max() < 1.95 / len(x) ** 0.5
    # Neighbours are independent: a correlation beyond 4 / sqrt(n) would be one in 16,000.
    centred = slopes - slopes.mean()
    assert ((centred[1:] * centred[:-1]).mean() / centred.square().mean()).abs() < 4 / len(x) ** 0.5
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert module(x).unique().tolist() == [-0.5]
    assert torch.equal(module(x.abs()), x.abs())


def test_rrelu_uses_one_draw_for_value_and_gradient() -> None:
    module = triode.torch.RReLU()
    x = torch.randn(1000, dtype=torch.float64).requires_grad_()
    y = module(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x.detach(), y.detach(), rtol=1e-15, atol=0)
    assert (gradient[x > 0] == 1).all()


def test_the_function_rrelu_is_the_mean_in_any_case() -> None:
    assert triode.rrelu(torch.tensor(-1.0), lower=0.1, upper=0.3).item() == pytest.approx(-0.2)


def test_training_mode_changes_nothing_else() -> None:
    for activation in ALL:
        if activation.sampled is None:
            module, x = triode.torch.Activation(activation.name), example(activation)
            assert torch.equal(module.train()(x), module.eval()(x)), activation.name


@pytest.mark.parametrize("name", ["glu", "reglu", "geglu", "swiglu"])
@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_a_gated_module_splits_one_tensor_in_halves(name: str, dim: int) -> None:
    activation = triode.get(name)
    x = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(0))
    module = triode.torch.Activation(name, dim=dim)
    z, u = x.chunk(2, dim)
    assert torch.equal(module(x), activation(z, u))
    assert torch.equal(module(z, u), activation(z, u))


def test_glu_splits_as_pytorch_does() -> None:
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(triode.torch.GLU()(x), nn.GLU()(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_move_to_a_type(dtype: torch.dtype) -> None:
    room = triode.torch
    model = nn.Sequential(nn.Linear(3, 4), room.PReLU(channels=4), room.Swish(learn=True), room.Softmax()).to(
        dtype
    )
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    y = model(X.to(dtype))
    assert y.dtype == dtype
    y[:, 0].sum().backward()
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {dtype}


def test_modules_move_to_meta() -> None:
    module = triode.torch.PReLU(channels=3).to("meta")
    assert module(torch.empty(2, 3, device="meta")).device.type == "meta"


def test_a_normalising_module_keeps_axis_and_temperature() -> None:
    module = triode.torch.Softmax(dim=0, temperature=2.0)
    assert torch.equal(module(X), triode.softmax(X, axis=0, temperature=2.0))
    torch.testing.assert_close(module(X).sum(0), torch.ones(3))


# --- a user's own formula ------------------------------------------------------------------------------------


def test_a_defined_formula_is_a_module_by_every_road() -> None:
    defined = triode.define("tanhexp_module_test", "z * tanh(exp(z))")
    wanted = X * torch.tanh(torch.exp(X))
    for module in (
        triode.torch.Activation("tanhexp_module_test"),
        triode.torch.Activation("tanhexp_module_test=z * tanh(exp(z))"),
        triode.torch.Activation(defined),
        triode.torch.TanhexpModuleTest(),
    ):
        assert module.activation is defined
        torch.testing.assert_close(module(X), wanted)


# --- refusals ------------------------------------------------------------------------------------------------

ROOM = triode.torch
REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown name": (lambda: ROOM.Activation("gleu"), "did you mean"),
    "no name": (lambda: ROOM.Activation(3), "named by text"),
    "unknown parameter": (lambda: ROOM.ELU(alhpa=1.0), "did you mean 'alpha'"),
    "parameter of another type": (lambda: ROOM.ELU(alpha="1"), "alpha must be a real number"),
    "parameter out of bounds": (lambda: ROOM.Softplus(beta=0.0), "beta must be > 0"),
    "lower above upper": (lambda: ROOM.RReLU(lower=0.5, upper=0.1), "lower must not be above upper"),
    "learns what is fixed": (lambda: ROOM.ELU(learn="alpha"), "alpha is not a parameter that can be learned"),
    "learns what is not there": (lambda: ROOM.Swish(learn="gamma"), "no parameter 'gamma'"),
    "learn of another type": (lambda: ROOM.Swish(learn=3), "learn must be"),
    "channels below one": (lambda: ROOM.PReLU(channels=0), "channels must be a whole number"),
    "channels of another type": (lambda: ROOM.PReLU(channels="3"), "channels must be a whole number"),
    "channels of nothing": (lambda: ROOM.GELU(channels=3), "no parameter is learned"),
    "dim of another type": (lambda: ROOM.Softmax(dim=None), "dim must be a whole number"),
    "temperature": (lambda: ROOM.Softmax(temperature=-1.0), "temperature must be a number >= 0"),
    "other channels": (lambda: ROOM.PReLU(channels=4)(X), "4 channels were declared"),
    "channels of a vector": (lambda: ROOM.PReLU(channels=3)(X[0]), "3 channels were declared"),
    "axis": (lambda: ROOM.Softmax(dim=2)(X), "axis 2 is not there"),
    "axis of a scalar": (lambda: ROOM.Softmax()(X[0, 0]), "axis -1 is not there"),
    "empty axis": (lambda: ROOM.Softmax()(torch.empty(2, 0)), "no entries"),
    "odd halves": (lambda: ROOM.SwiGLU()(X), "cannot be split in halves"),
    "halves of a scalar": (lambda: ROOM.SwiGLU()(X[0, 0]), "cannot be split in halves"),
    "two inputs": (lambda: ROOM.GELU()(X, X), "takes one input"),
    "two inputs of softmax": (lambda: ROOM.Softmax()(X, X), "takes one input"),
    "an array": (lambda: ROOM.GELU()(np.ones(3)), "a module takes tensors"),
    "complex": (lambda: ROOM.GELU()(X + 1j), "complex64 tensor cannot be computed with"),
    "sparse": (lambda: ROOM.ReLU()(X.to_sparse()), "sparse"),
    "two shapes": (lambda: ROOM.GLU()(X, torch.ones(4)), "do not broadcast"),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_wrong_arguments_are_refused_in_one_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TriodeError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_refusals_differ() -> None:
    """A message that fits every mistake would explain none."""
    said = []
    for call, _ in REFUSALS.values():
        try:
            call()
        except TriodeError as error:
            said.append(str(error))
    assert all(a != b for a, b in itertools.combinations(said, 2))


def test_a_module_of_a_users_formula_loads_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "module.pkl"
    code = (
        "import pathlib, pickle, sys, torch, triode; own = triode.define('loaded_elsewhere', 'z * tanh(exp(z))');"
        "model = torch.nn.Sequential(triode.torch.Loaded_Elsewhere(), triode.torch.PReLU(channels=3));"
        "pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(model))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    code = "import pathlib, pickle, sys; print(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()))"
    shown = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    assert "PReLU(channels=3)" in shown.stdout


def test_an_activation_made_by_hand_works_on_tensors_and_stays_out_of_the_catalogue() -> None:
    gate = triode.Activation("by_hand", "max(z, 0) * u", inputs=("z", "u"))
    z, u = torch.randn(4, dtype=torch.float64, requires_grad=True), torch.randn(4, dtype=torch.float64)
    assert torch.equal(gate(z, u), torch.relu(z) * u)
    assert torch.autograd.gradcheck(gate, (z, u))
    slope = Parameter("beta", 2.0, "slope")
    own = triode.Activation("by_hand", "z * beta", parameters=(slope,), stable={1: "beta"})
    assert pickle.loads(pickle.dumps(own))(3.0) == 6.0
    assert copy.deepcopy(triode.torch.Activation(own))(z).tolist() == (2 * z).tolist()
    assert "by_hand" not in triode.names()


def test_positional_options_are_refused_in_a_sentence() -> None:
    with pytest.raises(
        triode.TriodeError, match=r"LeakyReLU takes its options by keyword \(alpha, .*0\.1 was given"
    ):
        triode.torch.LeakyReLU(0.1)


def test_without_pytorch_one_sentence_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import triode\n"
        "try: triode.torch\n"
        "except triode.MissingExtra as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout == "triode.torch needs PyTorch, which is not installed: pip install 'triode[torch]'\n"
