"""Initial weights: the distribution that each scheme names, and the same draws whatever the activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from support.networks import HIDDEN, pictures, setting, text, trial

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import triode  # noqa: E402
from triode.analysis.signal import critical_init  # noqa: E402
from triode.bakeoff.models import build, initialise  # noqa: E402
from triode.bakeoff.models.initialise import matched  # noqa: E402
from triode.bakeoff.training import train  # noqa: E402

torch.set_num_threads(1)

Layer = nn.Linear | nn.Conv2d


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("scheme", "variance", "uniform", "bias"),
    [
        ("pytorch", 1 / 3 / 300, True, True),
        ("he", 2 / 300, False, False),
        ("lecun", 1 / 300, False, False),
        ("glorot", 2 / 800, True, False),
    ],
)
def test_weights_have_the_named_distribution(scheme: str, variance: float, uniform: bool, bias: bool) -> None:
    layer = nn.Linear(300, 500)
    initialise(layer, scheme, triode.relu, generator())
    weight = layer.weight.detach().double()
    assert float(weight.var()) == pytest.approx(variance, rel=0.02)
    assert float(weight.mean()) == pytest.approx(0.0, abs=4 * math.sqrt(variance / 150_000))
    # Of a uniform distribution the largest is sqrt(3) deviations away, of so many normal ones more than four.
    assert (float(weight.abs().max()) / math.sqrt(variance) < 1.733) == uniform
    assert bool(layer.bias.detach().abs().max() > 0) == bias


@pytest.mark.parametrize("activation", ["gelu", "relu", "tanh", "mish"])
def test_critical_is_the_activations_own_in_layers_that_feed_it(activation: str) -> None:
    network = build(setting(hidden=(600, 600)), pictures(), lambda: triode.torch.Activation(activation))
    initialise(network, "critical", triode.get(activation), generator())
    first, second, last = (layer for layer in network.linear)  # type: ignore[union-attr]
    sigma_w, sigma_b = critical_init(activation)
    for layer, fan_in in ((first, 64), (second, 600)):
        assert float(layer.weight.detach().std()) * math.sqrt(fan_in) == pytest.approx(sigma_w, rel=0.02)
        spread = float(layer.bias.detach().std())
        assert spread == pytest.approx(sigma_b, rel=0.1) if sigma_b else spread == 0.0
    assert float(last.weight.detach().std()) * math.sqrt(600) == pytest.approx(1.0, rel=0.05)
    assert not last.bias.detach().any()


def test_critical_keeps_the_signal_through_thirty_layers() -> None:
    # What the scheme is for: under lecun relu's signal is halved, in square, at each layer.
    sizes = {}
    for scheme in ("critical", "lecun"):
        network = build(setting(hidden=(200,) * 30), pictures(), triode.torch.ReLU)
        initialise(network, scheme, triode.relu, generator())
        with torch.no_grad():
            sizes[scheme] = float(network(torch.randn(20, 1, 8, 8, generator=generator(1))).std())
    assert 0.05 < sizes["critical"] < 20
    assert sizes["lecun"] < 1e-3


def test_a_convolutions_fan_in_counts_its_window() -> None:
    layer = nn.Conv2d(20, 50, 3)
    initialise(layer, "he", triode.relu, generator())
    assert float(layer.weight.detach().var()) == pytest.approx(2 / 180, rel=0.05)


@pytest.mark.parametrize("model", sorted(HIDDEN))
def test_activations_with_one_seed_share_their_draws(model: str) -> None:
    # gelu's critical biases are drawn, relu's are 0: the draws after them must not move.
    data = text() if model in ("transformer", "lstm") else pictures()
    networks = [train.build(trial(data, name, model=model), data) for name in ("gelu", "relu", "tanh")]
    other = train.build(trial(data, "gelu", seed=1, model=model), data)
    for name, weight in networks[0].named_parameters():
        if weight.dim() < 2:
            continue
        for network in networks[1:]:
            theirs = network.get_parameter(name)
            torch.testing.assert_close(weight / weight.std(), theirs / theirs.std(), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(weight, other.get_parameter(name)), name


@pytest.mark.parametrize("scheme", ["critical", "pytorch", "he", "lecun", "glorot"])
@pytest.mark.parametrize("model", ["mlp", "residual-cnn", "transformer"])
def test_parameters_of_an_activation_move_no_draw(model: str, scheme: str) -> None:
    # prelu has parameters between the layers, gelu critical biases, relu neither.
    data = pictures()
    changes = {"model": model, "initialisation": scheme, "normalisation": "layer"}
    networks = [train.build(trial(data, name, **changes), data) for name in ("relu", "prelu", "gelu")]
    for name, weight in networks[0].named_parameters():
        if weight.dim() < 2:
            continue
        for network in networks[1:]:
            theirs = network.get_parameter(name)
            torch.testing.assert_close(weight / weight.std(), theirs / theirs.std(), rtol=1e-4, atol=1e-4)


class Drawing(nn.Module):
    """An activation of the user's own that draws numbers when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Embedding(4, 2)
        self.mixed = nn.Linear(3, 3)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.relu(z) * self.steps.weight.mean()


def own_network(activation: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9), activation(), nn.Linear(9, 7), activation(), nn.Linear(7, 4)
    )


@pytest.mark.parametrize("scheme", ["critical", "pytorch", "lecun"])
def test_an_activation_that_draws_for_itself_moves_no_draw_of_the_network(scheme: str) -> None:
    data = pictures()
    changes = {"model": f"{__name__}:own_network", "initialisation": scheme, "hidden": (9, 7)}
    plain = train.build(trial(data, "relu", **changes), data)
    drawing = train.build(trial(data, f"{__name__}:Drawing", **changes), data)
    for number in (1, 3, 5):
        one, other = (net.get_parameter(f"{number}.weight") for net in (plain, drawing))
        torch.testing.assert_close(one / one.std(), other / other.std(), rtol=1e-4, atol=1e-4)
    # Each site has draws of its own, which the scheme leaves alone.
    assert not torch.equal(drawing.get_parameter("2.steps.weight"), drawing.get_parameter("4.steps.weight"))


def test_gates_attention_and_output_are_drawn_as_lecun_drew() -> None:
    for model, data in (("lstm", text()), ("transformer", pictures())):
        critical = train.build(trial(data, "twofold=2 * z", model=model), data)
        lecun = train.build(trial(data, "twofold=2 * z", model=model, initialisation="lecun"), data)
        feeding = {id(layer) for layer in critical.feeding()}  # type: ignore[operator]
        compared = 0
        for name, module in critical.named_modules():
            if isinstance(module, nn.Linear) and id(module) not in feeding:
                theirs = lecun.get_parameter(f"{name}.weight")
                # Not the same draws (biases are drawn in one of them alone), the same size.
                ratio = float(module.weight.detach().std() / theirs.detach().std())
                assert ratio == pytest.approx(1.0, rel=0.35), name
                compared += 1
        assert compared >= 3


def test_a_module_without_a_formula_is_measured() -> None:
    class Doubled(nn.Module):
        contestant = "doubled"

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return 2 * torch.relu(z)

    sigma_w, sigma_b = matched(None, nn.Sequential(nn.Linear(2, 2), Doubled()))
    assert sigma_w == pytest.approx(1 / math.sqrt(2), rel=1e-6)  # E[f'^2] = 4/2
    assert sigma_b == 0.0


def test_an_activation_without_a_critical_point_is_drawn_all_the_same() -> None:
    assert matched(triode.get("stairs=log(0 - 1 - z ** 2)"), nn.Linear(1, 1)) == (1.0, 0.0)


def test_normalisation_and_learned_parameters_keep_their_start() -> None:
    data = pictures()
    network = train.build(trial(data, "prelu", normalisation="batch"), data)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.weight.detach().eq(1).all()
            assert module.bias.detach().eq(0).all()
        if isinstance(module, triode.torch.Activation):
            assert [p.item() for p in module.parameters()] == [0.25]
