"""Training against an independent computation by hand, and what must not influence what."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from triode.bakeoff import Spec, train  # noqa: E402
from triode.bakeoff.data import Dataset, load, split  # noqa: E402
from triode.bakeoff.models import count_parameters  # noqa: E402
from triode.bakeoff.plan import Trial, plan  # noqa: E402
from triode.bakeoff.records import TrialResult  # noqa: E402
from triode.bakeoff.store import dump_result, parse_result  # noqa: E402

# As in a worker; on small layers threads that wait for each other are slower than one.
torch.set_num_threads(1)

Array = npt.NDArray[np.float64]
Small = Callable[..., Spec]


def trial_of(spec: Spec) -> tuple[Trial, Dataset]:
    data = load(spec.dataset, spec.data_dir)
    return plan(spec, data.fingerprint)[0], data


def gradients(layers: list[tuple[Array, Array]], x: Array, labels: npt.NDArray[np.int64]) -> list[float]:
    """Norm of every layer's gradient of the mean cross-entropy of a ReLU network: back-propagation in NumPy."""
    inputs, positive = [], []
    for i, (weight, bias) in enumerate(layers):
        inputs.append(x)
        x = x @ weight.T + bias
        if i < len(layers) - 1:
            positive.append(x > 0)
            x = np.maximum(x, 0)
    delta = np.exp(x - x.max(axis=1, keepdims=True))
    delta /= delta.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    norms = []
    for i in range(len(layers) - 1, -1, -1):
        norms.append(math.sqrt(((delta.T @ inputs[i]) ** 2).sum() + (delta.sum(axis=0) ** 2).sum()))
        if i:
            delta = delta @ layers[i][0] * positive[i - 1]
    return norms[::-1]


def test_gradient_norms_are_the_mean_over_the_epochs_steps(small: Small) -> None:
    # Steps of 1e-30 leave the weights alone, so each batch's gradient can be computed again from the start.
    spec = small(
        activations=("relu",), optimizer="sgd", learning_rate=1e-30, epochs=1, batch_size=80, seeds=1
    )
    trial, data = trial_of(spec)
    record = train.train(trial, data).epochs[1]
    network = train.build(trial, data)
    layers = [(n.weight.detach().double().numpy(), n.bias.detach().double().numpy()) for n in network.layers]
    rows, _ = split(240, spec.validation_share)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1)).numpy()
    batches = [rows[order[start : start + 80]] for start in range(0, len(rows), 80)]
    assert [len(batch) for batch in batches] == [80, 80, 44]  # the last one counts too
    each = [
        gradients(layers, (data.train_images[b] / 255 - 0.5) / 0.5, data.train_labels[b].astype(np.int64))
        for b in batches
    ]
    np.testing.assert_allclose(record.gradient_norm, np.mean(each, axis=0), rtol=2e-5)


def test_epoch_zero_is_the_network_before_training(small: Small) -> None:
    trial, data = trial_of(small())
    first, second, _ = train.train(trial, data).epochs
    assert (first.epoch, second.epoch, first.seconds) == (0, 1, 0.0)
    assert all(math.isnan(norm) for norm in first.gradient_norm)
    assert first.train_loss == pytest.approx(math.log(10), abs=0.3)
    assert len(first.gradient_norm) == 3
    assert len(first.dead) == len(first.saturated) == len(first.mean) == len(first.spread) == 2


def test_it_learns(small: Small) -> None:
    trial, data = trial_of(small(hidden=(32,), epochs=30, learning_rate=0.01, activations=("gelu",)))
    result = train.train(trial, data)
    assert result.test_accuracy > 0.9
    assert result.epochs[-1].train_loss < 0.2 < result.epochs[1].train_loss
    assert result.parameters == 30 * 32 + 32 + 32 * 10 + 10


def numbers(result: TrialResult) -> object:
    """Everything but the times."""
    epochs = [dataclasses.replace(record, seconds=0.0) for record in result.epochs]
    return repr(dataclasses.replace(result, seconds=0.0, epochs=tuple(epochs)))


def test_the_same_trial_gives_the_same_bits(small: Small) -> None:
    for name in ("gelu", "rrelu"):  # rrelu draws slopes while it trains
        trial, data = trial_of(small(activations=(name,)))
        torch.rand(5)  # the state of the global generator must not matter
        assert numbers(train.train(trial, data)) == numbers(train.train(trial, data))


def test_seeds_are_paired_across_activations(small: Small) -> None:
    data = load("mnist", small().data_dir)
    trials = plan(small(activations=("relu", "tanh"), seeds=2), data.fingerprint)
    weights = [[layer.weight.detach().numpy() for layer in train.build(t, data).layers] for t in trials]
    for one, other in zip(weights[0], weights[2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(weights[0][0], weights[1][0])


@pytest.mark.parametrize(
    ("scheme", "variance", "bias"),
    [("pytorch", 1 / 3 / 784, True), ("he", 2 / 784, False), ("glorot", 2 / 1296, False)],
)
def test_initial_weights_have_the_named_distribution(scheme: str, variance: float, bias: bool) -> None:
    data = load("fashion-subset")
    trial = plan(Spec(initialisation=scheme, seeds=1), data.fingerprint)[0]
    first = train.build(trial, data).layers[0]
    assert float(first.weight.detach().var()) == pytest.approx(variance, rel=0.01)
    assert bool(first.bias.detach().abs().max() > 0) == bias


def test_the_test_part_has_no_say(small: Small) -> None:
    trial, data = trial_of(small())
    other = dataclasses.replace(data, test_images=255 - data.test_images)
    one, two = train.train(trial, data), train.train(trial, other)
    assert [repr(dataclasses.replace(e, seconds=0.0)) for e in one.epochs] == [
        repr(dataclasses.replace(e, seconds=0.0)) for e in two.epochs
    ]
    assert one.test_loss != two.test_loss


def test_learnable_parameters_belong_to_their_layer(small: Small) -> None:
    trial, data = trial_of(small(activations=("prelu",)))
    network = train.build(trial, data)
    plain, _ = trial_of(small(activations=("relu",)))
    assert count_parameters(network) == count_parameters(train.build(plain, data)) + 2
    optimizer = train.make_optimizer(trial, network)
    rows = train.examples(data.train_images, data.train_labels, data)
    train.train_epoch(network, optimizer, rows, 32, torch.Generator().manual_seed(0))
    one, other = (next(iter(module.parameters())).item() for module in network.activation)
    assert one != other


def test_divergence_is_a_result(small: Small) -> None:
    spec = small(activations=("identity",), optimizer="sgd", learning_rate=1e30, epochs=4)
    trial, data = trial_of(spec)
    seen = []
    result = train.train(trial, data, seen.append)
    assert result.diverged
    assert len(result.epochs) == len(seen) == 2  # epoch 0, and the one in which it happened
    assert 0.0 <= result.test_accuracy <= 1.0
    text = dump_result(result)
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert parse_result(text).diverged


def test_a_network_that_never_was_finite(small: Small) -> None:
    trial, data = trial_of(small(activations=("bad=log(0 - 1 - z ** 2)",)))
    result = train.train(trial, data)
    assert result.diverged
    assert len(result.epochs) == 1
    assert result.test_accuracy == 0.0


def test_an_activation_of_ones_own(small: Small) -> None:
    own, data = trial_of(small(activations=("ownrelu=max(0, z)",)))
    relu, _ = trial_of(small(activations=("relu",)))
    assert own.specification.startswith("ownrelu=")
    mine, curated = train.train(own, data), train.train(relu, data)
    assert mine.test_loss == pytest.approx(curated.test_loss, rel=1e-6)
