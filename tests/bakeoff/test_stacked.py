"""Networks trained as one are the networks trained alone, and gradients written by hand are those of autograd."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from triode.bakeoff.data.dataset import Dataset  # noqa: E402
from triode.bakeoff.plan import Trial  # noqa: E402
from triode.bakeoff.protocol import wanted  # noqa: E402
from triode.bakeoff.records import EpochRecord  # noqa: E402
from triode.bakeoff.spec import Spec  # noqa: E402
from triode.bakeoff.training import stacked  # noqa: E402
from triode.bakeoff.training.elementwise import Elementwise  # noqa: E402
from triode.bakeoff.training.stacked import StackedTraining, measure, supports  # noqa: E402
from triode.bakeoff.training.train import SingleTraining  # noqa: E402
from triode.catalogue import get  # noqa: E402

# As in a worker; on small layers threads that wait for each other are slower than one.
torch.set_num_threads(1)

SEVERAL = ("relu", "tanh", "gelu", "sigmoid")


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    """150 + 40 pictures of 4 x 5 pixels in three classes; with 127 for training the last batch of 32 is short."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 190).astype(np.uint8)
    images = rng.integers(0, 90, (190, 1, 4, 5)).astype(np.uint8)
    images[np.arange(190), 0, labels, :] = 250
    return Dataset(
        "pictures", "classification", images[:150], labels[:150], images[150:], labels[150:], (1, 4, 5), 3,
        shift=127.5, scale=127.5, fingerprint="pictures",
    )  # fmt: skip


@pytest.fixture(scope="module")
def numbers() -> Dataset:
    """150 + 40 vectors of 6 numbers with two to predict, which are not centred."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(190, 6)).astype(np.float32)
    y = np.stack([np.sin(x[:, 0]) + 3, x[:, 1] * x[:, 2]], axis=1).astype(np.float32)
    return Dataset(
        "numbers", "regression", x[:150], y[:150], x[150:], y[150:], (6,), 2,
        target_shift=y.mean(axis=0), target_scale=y.std(axis=0), fingerprint="numbers",
    )  # fmt: skip


def trials(data: Dataset, names: tuple[str, ...] = SEVERAL, **changes: Any) -> tuple[Trial, ...]:
    values = {
        "activations": names, "dataset": "data.npz", "task": data.task, "hidden": (9, 7), "batch_size": 32, "seeds": 1,
        "protocol": "chapter", "epochs": 3,
    }  # fmt: skip
    return wanted(Spec(**(values | changes)), data.fingerprint, {})


def record_values(record: EpochRecord) -> list[float]:
    """Every figure of a record but its time."""
    fields = replace(record, seconds=0.0)
    single = (fields.train_loss, fields.train_accuracy, fields.validation_loss, fields.validation_accuracy)
    several = (fields.gradient_norm, fields.dead, fields.saturated, fields.mean, fields.spread)
    return [*single, *(value for values in several for value in values)]


def epochs(training: Any, count: int) -> list[tuple[EpochRecord, ...]]:
    return [training.begin(), *(training.epoch() for _ in range(count))]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_records_are_those_of_automatic_differentiation(
    task: str, optimizer: str, pictures: Dataset, numbers: Dataset
) -> None:
    data = pictures if task == "classification" else numbers
    for trial in trials(data, optimizer=optimizer, weight_decay=0.01, learning_rate=0.01):
        ours = epochs(StackedTraining([trial], data), 3)
        theirs = epochs(SingleTraining([trial], data), 3)
        for (mine,), (other,) in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(record_values(mine), record_values(other), rtol=2e-4, atol=2e-5)


def test_many_small_steps_of_another_seed_are_those_of_automatic_differentiation(pictures: Dataset) -> None:
    # Of 32 steps four are watched, whose figures are averaged; in four pictures some units are silent, in all few are.
    every = trials(pictures, ("relu", "tanh"), seeds=2, batch_size=4, optimizer="sgd", learning_rate=0.01)
    chosen = [trial for trial in every if trial.seed == 1]
    ours = epochs(StackedTraining(chosen, pictures), 1)
    for s, trial in enumerate(chosen):
        theirs = epochs(SingleTraining([trial], pictures), 1)
        for mine, (other,) in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(record_values(mine[s]), record_values(other), rtol=2e-4, atol=2e-5)


def test_results_are_those_of_automatic_differentiation(pictures: Dataset) -> None:
    trial = trials(pictures, learning_rate=0.01)[2]
    found = []
    for kind in (StackedTraining, SingleTraining):
        training = kind([trial], pictures)
        records = tuple(record for (record,) in epochs(training, 3))
        (result,) = training.finish((records,), 1.5)
        found.append(replace(result, epochs=()))
    mine, other = found
    assert mine.test_loss == pytest.approx(other.test_loss, rel=1e-4)
    assert mine.peak_memory > 10_000_000
    rest = [replace(result, test_loss=0.0, peak_memory=0) for result in found]
    assert rest[0] == rest[1]
    assert 0.4 < mine.test_accuracy <= 1.0
    assert mine.parameters == 20 * 9 + 9 + 9 * 7 + 7 + 7 * 3 + 3


def test_a_slice_is_the_network_alone(pictures: Dataset) -> None:
    every = trials(pictures)
    together = epochs(StackedTraining(every, pictures), 2)
    for s, trial in enumerate(every):
        alone = epochs(StackedTraining([trial], pictures), 2)
        for records, (record,) in zip(together, alone, strict=True):
            np.testing.assert_allclose(record_values(records[s]), record_values(record), rtol=1e-4, atol=1e-6)


def test_large_products_are_made_one_by_one_with_the_same_result(
    pictures: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = trials(pictures)
    batched = epochs(StackedTraining(every, pictures), 2)
    monkeypatch.setattr(stacked, "SMALL", 0)
    one_by_one = epochs(StackedTraining(every, pictures), 2)
    for some, others in zip(batched, one_by_one, strict=True):
        for mine, other in zip(some, others, strict=True):
            np.testing.assert_allclose(record_values(mine), record_values(other), rtol=1e-4, atol=1e-6)


def test_each_slice_has_its_own_learning_rate(pictures: Dataset) -> None:
    spec = Spec(
        activations=("tanh",), dataset="data.npz", task="classification", hidden=(9,), batch_size=32,
        learning_rates=(0.001, 0.1), seeds=1,
    )  # fmt: skip
    rates = wanted(spec, pictures.fingerprint, {})
    both = epochs(StackedTraining(rates, pictures), 1)[1]
    alone = [epochs(StackedTraining([trial], pictures), 1)[1][0] for trial in rates]
    for mine, other in zip(both, alone, strict=True):
        np.testing.assert_allclose(record_values(mine), record_values(other), rtol=1e-4, atol=1e-6)
    assert both[0].train_loss != pytest.approx(both[1].train_loss, rel=1e-2)


def test_a_state_restored_goes_on_bit_for_bit(pictures: Dataset) -> None:
    every = trials(pictures)
    first = StackedTraining(every, pictures)
    epochs(first, 1)
    state = {name: value.copy() for name, value in first.state().items()}
    second = StackedTraining(every, pictures)
    second.begin()
    second.restore(state)
    for _ in range(2):
        for mine, other in zip(first.epoch(), second.epoch(), strict=True):
            assert mine is not None
            assert other is not None
            assert record_values(mine) == record_values(other)
            assert mine.epoch == other.epoch


def test_a_slice_that_diverges_leaves_the_others_alone(pictures: Dataset) -> None:
    names = ("tanh", "blow=exp(exp(exp(z * z)))", "relu")
    with np.errstate(all="ignore"):
        training = StackedTraining(trials(pictures, names, learning_rate=0.05), pictures)
        history = epochs(training, 2)
    alone = epochs(StackedTraining(trials(pictures, ("tanh",), learning_rate=0.05), pictures), 2)
    assert training.diverged == (False, True, False)
    assert history[-1][1] is None
    broken = [records[1] for records in history if records[1] is not None][-1]
    assert not math.isfinite(broken.train_loss)
    for records, (record,) in zip(history, alone, strict=True):
        np.testing.assert_allclose(record_values(records[0]), record_values(record), rtol=1e-4, atol=1e-6)
    kept = tuple(tuple(r[s] for r in history if r[s] is not None) for s in range(3))
    results = training.finish(kept, 3.0)
    assert [r.diverged for r in results] == [False, True, False]
    assert 0.0 <= results[1].test_accuracy <= 1.0
    assert results[0].road == "stacked with 2 others"


def test_what_a_diverged_slice_recorded_does_not_depend_on_its_company(pictures: Dataset) -> None:
    names = ("tanh", "cubed=z * z * z", "relu")
    settings: dict[str, Any] = {
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "batch_size": 4,
        "initialisation": "lecun",
    }
    every = trials(pictures, names, **settings)
    with np.errstate(all="ignore"):
        together = epochs(StackedTraining(every, pictures), 1)
        alone = epochs(StackedTraining(every[1:2], pictures), 1)
        autograd = epochs(SingleTraining(every[1:2], pictures), 1)
    broken = [
        [records[which] for records in history]
        for history, which in ((together, 1), (alone, 0), (autograd, 0))
    ]
    for mine, single, other in zip(*broken, strict=True):
        assert (mine is None) == (single is None) == (other is None)
        if mine is not None and single is not None and other is not None:
            np.testing.assert_allclose(record_values(mine), record_values(single), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(record_values(mine), record_values(other), rtol=2e-4, atol=2e-5)
    before, last = broken[0]
    assert before is not None
    assert last is not None
    # It broke in the middle of the epoch, and the others went on.
    assert math.isfinite(before.train_loss)
    assert not math.isfinite(last.train_loss)
    assert math.isfinite(last.mean[0])


@pytest.mark.parametrize("kind", [StackedTraining, SingleTraining])
def test_an_accuracy_is_over_all_examples_though_a_loss_is_not_finite(kind: Any, pictures: Dataset) -> None:
    # Only the first test picture overflows: the others are answered, and the loss over all is not finite.
    inputs = np.zeros((1040, 1, 4, 5), np.float32)
    inputs[:, 0, 0, 0] = 1.0
    inputs[0] = math.inf
    data = replace(
        pictures, test_inputs=inputs, test_targets=np.full(1040, 2, np.uint8), shift=0.0, scale=1.0,
        train_inputs=pictures.train_inputs.astype(np.float32) / 255,
    )  # fmt: skip
    training = kind(trials(data, ("relu",)), data)
    records = tuple(record for (record,) in epochs(training, 1))
    (result,) = training.finish((records,), 1.0)
    assert result.test_accuracy in (0.0, 1039 / 1040)
    found = {result.test_accuracy}
    for label in (0, 1):
        other = replace(data, test_targets=np.full(1040, label, np.uint8))
        again = kind(trials(other, ("relu",)), other)
        again.restore(training.state())
        found.add(again.finish((records,), 1.0)[0].test_accuracy)
    assert found == {0.0, 1039 / 1040}
    assert result.diverged  # a loss that is no number is never a result like any other
    assert not math.isfinite(result.test_loss)


@pytest.mark.parametrize("kind", [StackedTraining, SingleTraining])
def test_a_network_that_breaks_in_the_last_step_of_an_epoch_has_diverged(
    kind: Any, pictures: Dataset
) -> None:
    # One step an epoch: its loss is finite, and the weights after it are not.
    training = kind(
        trials(pictures, ("identity",), optimizer="sgd", learning_rate=1e38, batch_size=128, hidden=(5, 5)),
        pictures,
    )
    _, (record,) = epochs(training, 1)
    assert math.isfinite(record.train_loss)
    assert not math.isfinite(record.validation_loss)
    assert training.diverged == (True,)
    assert training.epoch() == (None,)


@pytest.mark.parametrize("kind", [StackedTraining, SingleTraining])
def test_a_gradient_that_has_all_but_vanished_is_not_called_zero(kind: Any, pictures: Dataset) -> None:
    # Six layers that each take a factor of ten thousand: the square of 1e-24 is no number of single precision.
    trial = trials(pictures, ("faint=z / 10000",), hidden=(9,) * 6, initialisation="he", learning_rate=1e-9)
    _, (record,) = epochs(kind(trial, pictures), 1)
    norms = record.gradient_norm
    assert all(0 < low < high for low, high in pairwise(norms))
    assert 1e-30 < norms[0] < 1e-21


def test_dead_units_are_counted_over_the_whole_epoch(pictures: Dataset) -> None:
    training = StackedTraining(trials(pictures, ("relu",)), pictures)
    with torch.no_grad():
        training.biases[0][0, :4] = -1e3  # four of nine can never answer
        training.biases[1][0, :] = 1e3
    (record,) = training.begin()
    assert record.dead == (pytest.approx(4 / 9), 0.0)
    (after,) = training.epoch()
    assert after is not None
    assert after.dead == (pytest.approx(4 / 9), 0.0)


def test_a_unit_that_answers_once_in_an_epoch_is_not_dead(pictures: Dataset) -> None:
    training = StackedTraining(trials(pictures, ("relu",), batch_size=4, learning_rate=1e-9), pictures)
    with torch.no_grad():
        training.biases[0][0, :4] = -1e3
        x = training.training.inputs(slice(0, len(training.training))).flatten(1)
        first, second = (x @ training.weights[0][0, 4]).topk(2).values
        training.biases[0][0, 4] = -(first + second) / 2
    (record,) = training.epoch()
    assert record is not None
    assert record.dead[0] == pytest.approx(4 / 9)


def test_a_tuning_trial_never_sees_the_test_part(pictures: Dataset) -> None:
    hidden = replace(
        pictures, test_inputs=np.empty((0, 1, 4, 5), np.uint8), test_targets=np.empty(0, np.uint8)
    )
    spec = Spec(
        activations=("relu",), dataset="data.npz", task="classification", hidden=(5,), batch_size=32, epochs=1
    )
    trial = wanted(spec, hidden.fingerprint, {})[0]
    training = StackedTraining([trial], hidden)
    (result,) = training.finish((tuple(r for (r,) in epochs(training, 1)),), 1.0)
    assert math.isnan(result.test_accuracy)
    assert math.isnan(result.test_loss)


def test_what_cannot_be_stacked_is_not(pictures: Dataset) -> None:
    assert supports(trials(pictures), pictures)
    for changes in (
        {"normalisation": "batch"},
        {"dropout": 0.1},
        {"model": "cnn"},
        {"learn": True, "names": ("swish",)},
    ):
        assert not supports(trials(pictures, **changes), pictures)  # type: ignore[arg-type]
    assert not supports(trials(pictures, ("prelu",)), pictures)
    assert not supports(trials(pictures, ("rrelu",)), pictures)
    assert not supports((trials(pictures)[0], trials(pictures, seeds=2)[1]), pictures)
    assert not supports((trials(pictures)[0], trials(pictures, hidden=(9, 8))[0]), pictures)
    # Or the test part would be asked for a trial that tunes.
    assert not supports((trials(pictures)[0], replace(trials(pictures)[1], purpose="tune")), pictures)


def test_the_size_of_a_stack_is_measured_and_said(pictures: Dataset) -> None:
    size, sentence = measure(trials(pictures), pictures, jobs=2)
    assert 1 <= size <= 4
    assert "ms" in sentence
    assert measure(trials(pictures, ("prelu", "relu")), pictures, jobs=2)[0] == 1


@pytest.mark.parametrize("names", [("gelu", "gelu", "leaky_relu"), ("elu",), ("tanh", "relu", "tanh")])
def test_kernels_reach_their_own_slices_and_no_others(names: tuple[str, ...]) -> None:
    formulas = [get(name) for name in names]
    z = torch.randn(len(names), 5, 13)
    value, slope = torch.full_like(z, math.nan), torch.full_like(z, math.nan)
    gradient = torch.randn_like(z)
    before = gradient.clone()
    elementwise = Elementwise(formulas)
    elementwise.value(z, value)
    elementwise.slope(z, slope)
    elementwise.backward(z, gradient)
    for s, formula in enumerate(formulas):
        assert torch.equal(value[s], formula(z[s]))
        assert torch.equal(slope[s], formula.derivative(z[s]))
        torch.testing.assert_close(gradient[s], before[s] * formula.derivative(z[s]))
    assert elementwise.steepest()[0] == pytest.approx(
        float(formulas[0].derivative(torch.linspace(-10, 10, 801)).abs().max())
    )


def test_where_kernels_cannot_reach_the_formula_is_composed() -> None:
    names = ("gelu", "relu", "leaky_relu")
    z, gradient = torch.randn(3, 4, 6), torch.randn(3, 4, 6)
    elementwise = Elementwise([get(name) for name in names])
    value, product = torch.empty_like(z), gradient.clone()
    elementwise._compose((), z, None, value)
    elementwise._compose(("z",), z, gradient, product)
    for s, name in enumerate(names):
        torch.testing.assert_close(value[s], get(name)(z[s]))
        torch.testing.assert_close(product[s], gradient[s] * get(name).derivative(z[s]))
