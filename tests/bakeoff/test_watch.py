"""What is watched while a network trains, against plain definitions: all outputs kept in one array, and NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import triode  # noqa: E402
from triode.bakeoff.training.watch import (  # noqa: E402
    Figures,
    Watch,
    activation_sites,
    slope,
    steepest_slope,
    weight_layers,
)

torch.set_num_threads(1)


def network(name: str, **options: float) -> nn.Sequential:
    torch.manual_seed(0)
    make: Callable[[], nn.Module] = lambda: triode.torch.Activation(name, **options)  # noqa: E731
    return nn.Sequential(nn.Linear(30, 9), make(), nn.Linear(9, 7), make(), nn.Linear(7, 10))


def walk(net: nn.Module, parts: list[torch.Tensor], *, backward: bool = False) -> tuple[Watch, Figures]:
    """One watched pass over the batches."""
    watch = Watch(net)
    watch.begin()
    for x in parts:
        watch.step()
        output = net(x)
        if backward:
            net.zero_grad()
            output.square().mean().backward()
            watch.gradients()
    return watch, watch.figures()


def inputs(n: int = 150, *shape: int) -> torch.Tensor:
    return torch.randn(n, *(shape or (30,)), generator=torch.Generator().manual_seed(1))


def seen(net: nn.Sequential, x: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Input and output of every activation, in float64."""
    found = []
    with torch.no_grad():
        for module in net:
            z, x = x, module(x)
            if isinstance(module, triode.torch.Activation):
                found.append((z.double().numpy(), x.double().numpy()))
    return found


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "leaky_relu", "relu6", "spiky=z * exp(0 - z ** 2)"])
def test_every_figure_against_its_definition(name: str) -> None:
    net = network(name)
    with torch.no_grad():
        net[0].weight.mul_(8)  # reach the flat parts
        net[2].bias[3] = -1e6  # a dead unit, of those that can die
    parts = list(inputs().split(10))  # 15 steps, of which the first and the ninth are watched
    _, found = walk(net, parts)
    grid = np.linspace(-10, 10, 801)
    activation = triode.get(name)
    steepest = np.abs(activation.derivative(grid)).max()
    everything, watched = seen(net, torch.cat(parts)), seen(net, torch.cat([parts[0], parts[8]]))
    for site in (0, 1):
        assert found.dead[site] == pytest.approx((everything[site][1] == 0).all(axis=0).mean())
        z, output = watched[site]
        assert found.mean[site] == pytest.approx(output.mean(), rel=1e-5, abs=1e-6)
        assert found.spread[site] == pytest.approx(output.std(), rel=1e-5)
        flat = (np.abs(activation.derivative(z)) < 0.01 * steepest).mean()
        assert found.saturated[site] == pytest.approx(flat, abs=1.5 / z.size)


def test_a_planted_dead_unit_is_found_and_a_quiet_one_is_not() -> None:
    net = network("relu")
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.bias.fill_(5.0)  # everything fires
            layer.weight.mul_(0.1)
    assert walk(net, [inputs()])[1].dead == (0.0, 0.0)
    with torch.no_grad():
        for layer, unit, bias in ((net[0], 4, -1.0), (net[2], 2, 0.0), (net[2], 3, 1e-30)):
            layer.weight[unit] = 0
            layer.bias[unit] = bias
    assert walk(net, [inputs()])[1].dead == pytest.approx((1 / 9, 1 / 7))


@pytest.mark.parametrize("units", [4, 40])
@pytest.mark.parametrize("row", [0, 80, 149])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_example_in_any_step_is_enough_to_be_alive(row: int, sign: float, units: int) -> None:
    # A single step, a watched step in eight, or a mean near zero would call unit 1 dead; the largest value alone too.
    # Of 4 units, all but one silent, all are asked at each step; of 40 with three silent only those.
    net = nn.Sequential(nn.Linear(3, units), triode.torch.Activation("signed=max(0, z) - max(0, 0 - z - 1)"))
    x = torch.zeros(150, 3)
    x[row, 0] = 10.0
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-0.5)
        net[0].weight[1, 0] = sign
        net[0].bias[4:] = 1.0
    assert walk(net, list(x.split(10)))[1].dead == pytest.approx((3 / units,))


def test_a_channel_is_dead_only_where_it_is_dead_in_every_place() -> None:
    net = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), triode.torch.ReLU())
    x = torch.zeros(12, 1, 6, 6)
    x[7, 0, 2, 3] = 1.0
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-0.5)
        net[0].weight[2, 0, 1, 1] = 1.0  # fires at one place of one picture
    for form in (torch.contiguous_format, torch.channels_last):
        watch, found = walk(net, [part.to(memory_format=form) for part in x.split(4)])
        assert watch.units == (5,)
        assert found.dead == (0.8,)
    wide = nn.Sequential(nn.Conv2d(1, 40, 1), triode.torch.ReLU())
    with torch.no_grad():
        wide[0].weight.fill_(1.0)
        wide[0].bias.fill_(1.0)
        wide[0].bias[:2] = torch.tensor([-2.0, -0.5])  # the second fires once, when few are left to be asked
    assert walk(wide, list(x.split(4)))[1].dead == pytest.approx((1 / 40,))


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_the_figures_do_not_depend_on_how_pictures_lie_in_memory(form: torch.memory_format) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), triode.torch.PReLU(channels=4), nn.Flatten(), nn.Linear(144, 3))
    net = net.to(memory_format=form)
    with torch.no_grad():
        next(net[1].parameters()).copy_(torch.tensor([0.5, 0.001, 2000.0, -1.0]))
    x = inputs(6, 2, 8, 8)
    watch, found = walk(net, [x.contiguous(memory_format=form)])
    z, output = seen(net, x)[0]
    slopes = np.where(z > 0, 1.0, np.array([0.5, 0.001, 2000.0, -1.0])[:, None, None])
    steepest = np.array([1.0, 1.0, 2000.0, 1.0])[:, None, None]
    assert found.saturated[0] == pytest.approx((np.abs(slopes) < 0.01 * steepest).mean())
    assert found.mean[0] == pytest.approx(output.mean(), rel=1e-4)
    assert found.spread[0] == pytest.approx(output.std(), rel=1e-4)
    assert watch.units == (4,)


def test_the_last_axis_of_a_sequence_holds_the_units() -> None:
    net = nn.Sequential(nn.Linear(5, 6), triode.torch.ReLU())
    with torch.no_grad():
        net[0].bias[:2] = -1e3
    watch, found = walk(net, [inputs(4, 7, 5)])
    assert watch.units == (6,)
    assert found.dead == pytest.approx((1 / 3,))


def test_a_module_that_is_used_twice_is_one_site() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.act = nn.Linear(4, 4), triode.torch.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.layer(self.act(self.layer(x))))

    torch.manual_seed(0)
    net = Twice()
    x = inputs(20, 4)
    watch, found = walk(net, [x])
    one = net.act(net.layer(x))
    both = torch.cat([one, net.act(net.layer(one))]).detach().double().numpy()
    assert watch.sites == ("act",)
    assert found.mean[0] == pytest.approx(both.mean(), rel=1e-5)
    assert found.spread[0] == pytest.approx(both.std(), rel=1e-5)
    assert found.dead[0] == (both == 0).all(axis=0).mean()


def test_gradient_norms_are_means_over_watched_steps_of_weight_and_bias_together() -> None:
    net = network("gelu")
    parts = list(inputs().split(15))
    _, found = walk(net, parts, backward=True)
    norms = []
    for x in (parts[0], parts[8]):
        net.zero_grad()
        net(x).square().mean().backward()
        norms.append(
            [
                math.sqrt(sum(float(p.grad.double().square().sum()) for p in net[i].parameters()))
                for i in (0, 2, 4)
            ]
        )
    np.testing.assert_allclose(found.gradient_norm, np.mean(norms, axis=0), rtol=1e-5)


def test_what_is_a_weight_layer() -> None:
    net = nn.ModuleDict(
        {
            "embedding": nn.Embedding(3, 4),
            "norm": nn.BatchNorm2d(4),
            "places": nn.LayerNorm((4, 4)),
            "linear": nn.Linear(4, 4),
            "conv": nn.Conv1d(4, 4, 1),
            "lstm": nn.LSTM(4, 4),
            "attention": nn.MultiheadAttention(4, 2),
            "act": triode.torch.PReLU(channels=4),
        }
    )
    found = list(weight_layers(net))
    assert found == ["linear", "conv", "lstm", "attention", "attention.out_proj"]
    assert list(activation_sites(net)) == ["act"]


def test_saturation_and_learned_parameters_are_the_present_ones() -> None:
    net = network("prelu")
    assert walk(net, [inputs()])[1].saturated == (0.0, 0.0)  # slope 0.25 below zero
    with torch.no_grad():
        next(net[3].parameters()).fill_(0.001)
    _, found = walk(net, [inputs()])
    z = seen(net, inputs())[1][0]
    assert found.saturated == pytest.approx((0.0, (z < 0).mean()))
    assert found.learned == {"alpha": pytest.approx((0.25, 0.001))}


def test_the_steepest_slope_is_the_present_one() -> None:
    net = network("prelu")
    watch = Watch(net)
    shares = []
    for alpha in (0.25, 2000.0):  # beside a slope of 2000 one of 1 is flat
        with torch.no_grad():
            next(net[1].parameters()).fill_(alpha)
        watch.begin()
        watch.step()
        net(inputs())
        shares.append(watch.figures().saturated[0])
    z = seen(net, inputs())[0][0]
    assert shares == pytest.approx([0.0, (z > 0).mean()])


def test_spread_survives_a_large_mean() -> None:
    net = nn.Sequential(nn.Linear(4, 50), triode.torch.Activation("shifted=1000 + z"))
    with torch.no_grad():
        net[0].weight.mul_(0.01)
    parts = list(inputs(400, 4).split(25))
    _, found = walk(net, parts)
    output = seen(net, torch.cat([parts[0], parts[8]]))[0][1]
    assert found.spread[0] == pytest.approx(output.std(), rel=1e-3)


def test_an_answer_that_is_no_number_is_not_dead() -> None:
    net = nn.Sequential(nn.Linear(4, 3), triode.torch.ReLU())
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([math.nan, -1.0, 1.0]))
    assert walk(net, [inputs(5, 4)])[1].dead == pytest.approx((1 / 3,))


def test_a_module_of_ones_own_is_watched_too() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.contestant = "own"
            self.beta = nn.Parameter(torch.tensor(2.0))
            self.inner = nn.ReLU(inplace=True)  # what works in place must not spoil what is measured

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.inner(z * 1.0) * self.beta

    class InPlace(nn.ReLU):
        contestant = "in_place"

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), Own(), nn.Linear(6, 5), InPlace(inplace=True))
    x = inputs(40, 4)
    watch, found = walk(net, [x])
    assert watch.sites == ("1", "3")
    with torch.no_grad():
        z = net[0](x)
        z2 = net[2](2 * z.clamp_min(0))
    assert found.saturated == pytest.approx(
        (float((z <= 0).double().mean()), float((z2 <= 0).double().mean()))
    )
    assert found.learned["beta"][0] == 2.0
    assert math.isnan(found.learned["beta"][1])


def test_slopes_are_those_of_automatic_differentiation() -> None:
    z = inputs(50, 4) * 3
    for module in (
        triode.torch.Swish(learn=True, beta=1.7),
        triode.torch.Mish(),
        triode.torch.PReLU(channels=4),
    ):
        leaf = z.clone().requires_grad_()
        (expected,) = torch.autograd.grad(module(leaf).sum(), leaf)
        torch.testing.assert_close(slope(module, z), expected, rtol=1e-5, atol=1e-6)
    assert steepest_slope(triode.torch.PReLU(channels=4), z).shape == (4,)


def test_watching_changes_nothing() -> None:
    plain, watched = network("rrelu"), network("rrelu")
    x = inputs()
    torch.manual_seed(5)
    expected = plain(x)
    watch = Watch(watched)
    watch.begin()
    watch.step()
    torch.manual_seed(5)
    assert torch.equal(watched(x), expected)
    watch.end()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in watched.modules())
