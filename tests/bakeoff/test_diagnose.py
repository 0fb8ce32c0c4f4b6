"""The diagnosis against plain definitions: all outputs kept in one array, and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import triode  # noqa: E402
from triode.bakeoff import diagnose  # noqa: E402
from triode.bakeoff.diagnose import Examples, evaluate, survey  # noqa: E402
from triode.bakeoff.models import Network, initialise  # noqa: E402


def make(name: str, widths: tuple[int, ...] = (30, 9, 7, 10)) -> Network:
    network = Network(widths, lambda: triode.torch.Activation(name))
    initialise(network, "pytorch", torch.Generator().manual_seed(0))
    return network


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Examples:
    monkeypatch.setattr(diagnose, "BATCH", 64)  # several batches, the last one not full
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (150, 30), generator=g, dtype=torch.uint8)
    return Examples(images, torch.randint(0, 10, (150,), generator=g), 255)


def layers_of(network: Network, x: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pre-activations and outputs of every hidden layer, in float64."""
    found = []
    with torch.no_grad():
        for linear, activation in zip(network.layers, network.activation, strict=False):
            z = linear(x)
            x = activation(z)
            found.append((z.double().numpy(), x.double().numpy()))
    return found


def test_inputs_are_scaled_as_in_the_chapter(examples: Examples) -> None:
    x = examples.inputs(torch.tensor([3, 1]))
    expected = (examples.images[[3, 1]].double() / 255 - 0.5) / 0.5
    torch.testing.assert_close(x.double(), expected, rtol=0, atol=2e-7)


def test_loss_and_accuracy(examples: Examples) -> None:
    network = make("gelu")
    with torch.no_grad():
        logits = network(examples.inputs(slice(None)))
    loss = nn.functional.cross_entropy(logits.double(), examples.labels)
    right = (logits.argmax(1) == examples.labels).double().mean()
    for found in (
        evaluate(network, examples),
        (survey(network, examples).loss, survey(network, examples).accuracy),
    ):
        assert found == pytest.approx((float(loss), float(right)), rel=1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "leaky_relu", "relu6", "spiky=z * exp(0 - z ** 2)"])
def test_every_figure_against_its_definition(name: str, examples: Examples) -> None:
    network = make(name)
    with torch.no_grad():
        network.layers[0].weight.mul_(8)  # reach the flat parts
    found = survey(network, examples)
    activation = triode.get(name)
    grid = np.linspace(-10, 10, 20_001)
    steepest = np.abs(activation.derivative(grid)).max()
    for layer, (z, output) in zip(
        found.layers, layers_of(network, examples.inputs(slice(None))), strict=True
    ):
        assert layer.dead == pytest.approx((output == 0).all(axis=0).mean())
        assert layer.mean == pytest.approx(output.mean(), abs=1e-6)
        assert layer.spread == pytest.approx(output.std(), rel=1e-5)
        flat = (np.abs(activation.derivative(z)) < 0.01 * steepest).mean()
        assert layer.saturated / layer.count == pytest.approx(flat, abs=1.5 / z.size)


def plant(network: Network, layer: int, unit: int, bias: float) -> None:
    with torch.no_grad():
        network.layers[layer].weight[unit] = 0
        network.layers[layer].bias[unit] = bias


def test_a_planted_dead_unit_is_found_and_a_quiet_one_is_not(examples: Examples) -> None:
    network = make("relu")
    with torch.no_grad():
        for layer in network.layers[:2]:
            layer.bias.fill_(5.0)  # everything fires
            layer.weight.mul_(0.1)
    assert [layer.dead for layer in survey(network, examples).layers] == [0.0, 0.0]
    plant(network, 0, 4, -1.0)
    plant(network, 1, 2, 0.0)  # relu(0) is 0: dead as well
    plant(network, 1, 3, 1e-30)  # as quiet as can be, and alive
    assert [layer.dead for layer in survey(network, examples).layers] == pytest.approx([1 / 9, 1 / 7])


@pytest.mark.parametrize("row", [0, 80, -1])
def test_one_example_in_any_batch_is_enough_to_be_alive(examples: Examples, row: int) -> None:
    network = make("relu", (30, 4, 10))
    examples.images[:, 0] = 0
    examples.images[row, 0] = 255
    with torch.no_grad():
        network.layers[0].weight.zero_()
        network.layers[0].bias.fill_(-0.5)
        network.layers[0].weight[1, 0] = 1.0
    # A single batch, or a mean near zero, would call unit 1 dead.
    assert survey(network, examples).layers[0].dead == pytest.approx(3 / 4)


def test_no_unit_of_a_smooth_activation_is_called_dead(examples: Examples) -> None:
    network = make("gelu")
    plant(network, 0, 0, -9.0)  # gelu(-9) is -1e-18, which is not 0
    assert survey(network, examples).layers[0].dead == 0.0


def test_spread_survives_a_large_mean(examples: Examples) -> None:
    sums = diagnose.LayerSums(torch.zeros(50, dtype=torch.bool))
    values = 1000 + 1e-2 * torch.randn(400, 50, generator=torch.Generator().manual_seed(0))
    for part in torch.split(values, 100):
        sums.add(part, torch.ones_like(part), torch.ones(50))
    assert sums.spread == pytest.approx(float(values.double().std(unbiased=False)), rel=1e-3)


def test_saturation_knows_what_the_activation_has_learned(examples: Examples) -> None:
    network = make("prelu")
    assert survey(network, examples).layers[1].saturated == 0  # slope 0.25 below zero
    with torch.no_grad():
        for parameter in network.activation[1].parameters():
            parameter.fill_(0.001)
    found = survey(network, examples)
    z = layers_of(network, examples.inputs(slice(None)))[1][0]
    assert found.layers[0].saturated == 0
    assert found.layers[1].saturated == (z < 0).sum()


def test_a_sampled_slope_is_measured_at_its_mean(examples: Examples) -> None:
    network = make("rrelu")
    assert network.training
    assert survey(network, examples).loss == survey(network, examples).loss
    assert network.training


def test_an_answer_that_is_no_number_is_wrong(examples: Examples) -> None:
    network = make("relu")
    with torch.no_grad():
        network.layers[-1].bias[0] = math.nan
    loss, accuracy = evaluate(network, examples)
    assert math.isnan(loss)
    assert accuracy == 0.0
    assert [layer.dead for layer in survey(network, examples).layers] == [
        layer.dead for layer in survey(make("relu"), examples).layers
    ]
