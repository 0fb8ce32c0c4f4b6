"""Training against a plain loop, what must not influence what, and stopping and going on bit for bit."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.networks import HIDDEN, pictures, text, trial, vectors

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from triode.bakeoff.data import Dataset, split  # noqa: E402
from triode.bakeoff.plan import Trial  # noqa: E402
from triode.bakeoff.records import EpochRecord, TrialResult  # noqa: E402
from triode.bakeoff.training import train  # noqa: E402
from triode.bakeoff.training.train import SingleTraining, start  # noqa: E402
from triode.errors import TriodeError  # noqa: E402

# As in a worker; on small layers threads that wait for each other are slower than one.
torch.set_num_threads(1)


def run(one: Trial, data: Dataset) -> TrialResult:
    """Train a trial by itself, to its end."""
    training = SingleTraining((one,), data)
    records = list(training.begin())
    while len(records) <= one.epochs and not training.diverged[0]:
        records += [record for record in training.epoch() if record is not None]
    return training.finish((tuple(records),), 1.0)[0]


def numbers(epochs: tuple[EpochRecord, ...]) -> str:
    """Everything but the times."""
    return repr([dataclasses.replace(record, seconds=0.0) for record in epochs])


@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        ("adam", lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.02)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.02)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.02)),
    ],
)
def test_a_plain_loop_finds_the_same_numbers(optimizer: str, make: Any) -> None:
    data = pictures()
    one = trial(data, "relu", optimizer=optimizer, learning_rate=0.01, weight_decay=0.02)
    found = run(one, data)

    built = train.build(one, data)
    layers = [m for m in built.modules() if isinstance(m, nn.Linear)]
    net = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer_ = make(net.parameters())
    x = torch.tensor(data.train_inputs.astype(np.float32) / 127.5 - 1)
    y = torch.tensor(data.train_targets.astype(np.int64))
    rows, held_out = split(len(x), one.setting.validation_share)
    order = torch.Generator().manual_seed(1)
    for epoch in (1, 2):
        loss_sum, right = 0.0, 0
        for batch in torch.randperm(len(rows), generator=order).split(16):
            picked = torch.tensor(rows)[batch]
            logits = net(x[picked])
            loss = functional.cross_entropy(logits, y[picked])
            optimizer_.zero_grad()
            loss.backward()
            optimizer_.step()
            loss_sum += loss.item() * len(batch)
            right += int((logits.argmax(1) == y[picked]).sum())
        record = found.epochs[epoch]
        assert record.train_loss == pytest.approx(loss_sum / len(rows), rel=1e-4)
        assert record.train_accuracy == right / len(rows)
        with torch.no_grad():
            logits = net(x[held_out])
        assert record.validation_loss == pytest.approx(
            functional.cross_entropy(logits, y[held_out]).item(), rel=1e-4
        )
        assert record.validation_accuracy == (logits.argmax(1) == y[held_out]).double().mean().item()
    with torch.no_grad():
        logits = net(torch.tensor(data.test_inputs.astype(np.float32) / 127.5 - 1))
    wanted = torch.tensor(data.test_targets.astype(np.int64))
    assert found.test_loss == pytest.approx(functional.cross_entropy(logits, wanted).item(), rel=1e-4)
    assert found.parameters == 64 * 9 + 9 + 9 * 7 + 7 + 7 * 4 + 4
    assert (found.layers, len(found.sites), found.units) == (("linear.0", "linear.1", "linear.2"), 2, (9, 7))


def test_epoch_zero_is_the_network_before_training() -> None:
    data = pictures()
    one = trial(data, initialisation="lecun")
    first, second, _ = run(one, data).epochs
    assert (first.epoch, second.epoch, first.seconds) == (0, 1, 0.0)
    assert all(math.isnan(norm) for norm in first.gradient_norm)
    assert not any(math.isnan(norm) for norm in second.gradient_norm)
    rows, _ = split(70, one.setting.validation_share)
    net = train.build(one, data)
    with torch.no_grad():
        logits = net(torch.tensor(data.train_inputs[rows].astype(np.float32) / 127.5 - 1))
    labels = torch.tensor(data.train_targets[rows].astype(np.int64))
    assert first.train_loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert first.train_accuracy == (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("model", ["mlp", "residual-cnn", "transformer", "lstm"])
def test_it_learns(model: str) -> None:
    data = pictures(n=200)
    result = run(trial(data, model=model, hidden=(16,), epochs=12, learning_rate=0.02), data)
    assert result.test_accuracy > 0.9
    assert result.epochs[-1].train_loss < 0.3 < result.epochs[1].train_loss


def test_regression_is_judged_by_the_squared_error_of_standardised_targets() -> None:
    data = vectors(task="regression")
    one = trial(data, "tanh", hidden=(16,), epochs=40, learning_rate=0.02)
    result = run(one, data)
    assert math.isnan(result.test_accuracy)
    assert math.isnan(result.epochs[-1].train_accuracy)
    training = SingleTraining((one,), data)
    first = training.begin()[0]
    rows, _ = split(70, one.setting.validation_share)
    x = (data.train_inputs[rows] - data.shift) / data.scale
    y = (data.train_targets[rows] - data.target_shift) / data.target_scale
    with torch.no_grad():
        expected = np.mean((training.network(torch.tensor(x)).numpy() - y) ** 2)
    assert first.train_loss == pytest.approx(float(expected), rel=1e-5)
    assert result.test_loss < 0.3  # the mean alone answers with 1


def test_text_is_judged_character_by_character() -> None:
    data = text(800)
    one = trial(data, "gelu", model="transformer", hidden=(16,), epochs=12, learning_rate=0.01)
    result = run(one, data)
    # Nine in ten steps are by one: 0.325 nats are to be had.
    assert 0.25 < result.test_loss < 0.75
    assert result.test_accuracy > 0.75
    training = SingleTraining((one,), data)
    windows = [data.train_inputs[i * 8 : i * 8 + 9].astype(np.int64) for i in range(99)]
    kept = torch.tensor(np.stack(windows[: len(training.training)]))
    assert (len(training.training), len(training.validation)) == (84, 15)
    with torch.no_grad():
        logits = training.network(kept[:, :-1])
    expected = functional.cross_entropy(logits.reshape(-1, 5), kept[:, 1:].reshape(-1)).item()
    assert training.begin()[0].train_loss == pytest.approx(expected, rel=1e-5)


def test_the_same_trial_gives_the_same_bits_and_leaves_the_global_generator_alone() -> None:
    data = pictures()
    one = trial(data, "rrelu", dropout=0.3)  # both draw while the network trains
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = run(one, data)
    assert torch.equal(torch.rand(1), expected)
    assert numbers(first.epochs) == numbers(run(one, data).epochs)
    assert numbers(first.epochs) != numbers(run(trial(data, "rrelu", seed=1, dropout=0.3), data).epochs)


def test_every_epoch_draws_other_numbers() -> None:
    drawn = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        with train.Seeded(seed, epoch, torch.device("cpu")):
            drawn.append(torch.rand(1).item())
    assert len(set(drawn)) == 3


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("mlp", "prelu", {"normalisation": "batch", "dropout": 0.2}),
    ("mlp", "rrelu", {"optimizer": "sgd", "weight_decay": 0.01}),
    ("cnn", "gelu", {"optimizer": "sgd", "dropout": 0.2}),
    ("residual-mlp", "relu", {"normalisation": "batch", "optimizer": "adamw"}),
    ("residual-cnn", "gelu", {"normalisation": "batch", "normalise": "after"}),
    ("transformer", "gelu", {"feed_forward": "gated", "dropout": 0.2, "text": True}),
    ("lstm", "tanh", {"dropout": 0.2, "text": True}),
]


@pytest.mark.parametrize(("model", "activation", "changes"), CASES)
def test_a_resumed_training_ends_in_the_same_bits(
    model: str, activation: str, changes: dict[str, Any]
) -> None:
    changes = dict(changes)
    data = text() if changes.pop("text", False) else pictures()
    one = trial(data, activation, model=model, epochs=4, **changes)
    whole = SingleTraining((one,), data)
    records = [whole.begin(), *(whole.epoch() for _ in range(4))]

    first = SingleTraining((one,), data)
    first.begin()
    first.epoch()
    first.epoch()
    file = io.BytesIO()
    np.savez(file, **first.state())
    file.seek(0)
    torch.rand(7)
    again = SingleTraining((one,), data)
    with np.load(file, allow_pickle=False) as stored:
        again.restore(dict(stored))
    resumed = [again.epoch(), again.epoch()]
    assert [numbers(r) for r in records[3:]] == [numbers(r) for r in resumed]  # type: ignore[arg-type]
    one_state, other = whole.state(), again.state()
    assert one_state.keys() == other.keys()
    for name, array in one_state.items():
        assert array.tobytes() == other[name].tobytes(), name
    epochs = tuple(r[0] for r in records if r[0])
    assert repr(whole.finish((epochs,), 1.0)[0].test_loss) == repr(again.finish((epochs,), 1.0)[0].test_loss)
    assert whole.finish((epochs,), 1.0)[0].units == again.finish((epochs,), 1.0)[0].units


def test_every_model_is_among_those_resumed() -> None:
    assert {model for model, _, _ in CASES} == set(HIDDEN)


def test_a_training_resumed_at_its_end_knows_its_units() -> None:
    data = pictures()
    one = trial(data)
    training = SingleTraining((one,), data)
    records = (*training.begin(), *training.epoch())
    again = SingleTraining((one,), data)
    again.restore(training.state())
    before = again.state()
    assert again.finish((records,), 1.0)[0].units == (9, 7)  # type: ignore[arg-type]
    assert all(before[name].tobytes() == array.tobytes() for name, array in again.state().items())


def test_a_state_of_another_network_is_refused() -> None:
    data = pictures()
    training = SingleTraining((trial(data),), data)
    for other in (trial(data, hidden=(9,)), trial(data, hidden=(9, 8))):
        with pytest.raises(TriodeError, match="does not belong to trial"):
            training.restore(SingleTraining((other,), data).state())


def test_seeds_decide_the_order_and_activations_do_not() -> None:
    data = pictures()
    states = [
        SingleTraining((trial(data, name, seed),), data).state()["order"]
        for name, seed in (("relu", 0), ("tanh", 0), ("relu", 1))
    ]
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


def test_the_test_part_has_no_say_and_tuning_never_sees_it() -> None:
    data = pictures()
    other = dataclasses.replace(data, test_inputs=255 - data.test_inputs)
    one, two = run(trial(data), data), run(trial(data), other)
    assert numbers(one.epochs) == numbers(two.epochs)
    assert one.test_loss != two.test_loss
    poisoned = dataclasses.replace(data, test_inputs=None, test_targets=None)  # type: ignore[arg-type]
    tuning = run(trial(data, purpose="tune"), poisoned)
    assert math.isnan(tuning.test_loss)
    assert math.isnan(tuning.test_accuracy)


def test_a_learned_parameter_is_tracked_at_each_site() -> None:
    data = pictures()
    result = run(trial(data, "swish", learn=True, learning_rate=0.01), data)
    assert result.epochs[0].learned == {"beta": (1.0, 1.0)}
    one, other = result.epochs[-1].learned["beta"]
    assert len({one, other, 1.0}) == 3
    assert run(trial(data, "swish"), data).epochs[-1].learned == {}


def test_divergence_is_a_result() -> None:
    data = pictures()
    one = trial(data, "identity", optimizer="sgd", learning_rate=1e30, epochs=4)
    training = SingleTraining((one,), data)
    first, second = training.begin(), training.epoch()
    assert training.diverged == (True,)
    assert second[0] is not None
    assert not math.isfinite(second[0].train_loss)
    assert training.epoch() == (None,)
    result = training.finish(((first[0], second[0]),), 1.0)[0]
    assert result.diverged
    assert 0.0 <= result.test_accuracy <= 1.0
    again = SingleTraining((one,), data)
    again.restore(training.state())
    assert again.diverged == (True,)


def test_a_network_that_never_was_finite() -> None:
    data = pictures()
    result = run(trial(data, "bad=log(0 - 1 - z ** 2)"), data)
    assert result.diverged
    assert len(result.epochs) == 1
    assert result.test_accuracy == 0.0


def test_a_last_batch_of_one_example_can_be_normalised() -> None:
    data = pictures(n=58)  # 49 for training: three batches of 16, and one over
    assert len(split(58, 0.15)[0]) == 49
    result = run(trial(data, normalisation="batch"), data)
    assert not result.diverged
    sizes = [len(rows) for rows in train.batches(nn.BatchNorm1d(2), 49, 16, torch.Generator().manual_seed(0))]
    assert sizes == [16, 16, 17]
    assert [len(r) for r in train.batches(nn.ReLU(), 49, 16, torch.Generator())] == [16, 16, 16, 1]


@pytest.mark.parametrize("kind", ["pictures", "text"])
def test_data_in_a_file_gives_the_same_numbers_as_data_in_memory(kind: str, tmp_path: Path) -> None:
    data = {"pictures": pictures, "text": text}[kind]()
    mapped = {}
    for name in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        np.save(tmp_path / f"{name}.npy", getattr(data, name))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    one = trial(data, model="transformer")
    from_file = dataclasses.replace(data, **mapped)
    held, read = run(one, data), run(one, from_file)
    assert numbers(held.epochs) == numbers(read.epochs)
    assert held.test_loss == read.test_loss


def test_what_can_be_stacked_is_and_the_rest_goes_alone() -> None:
    data = pictures()
    assert not isinstance(start((trial(data, "gelu"),), data), SingleTraining)
    assert isinstance(start((trial(data, "gelu", dropout=0.1),), data), SingleTraining)
    pair = (trial(data, "gelu", dropout=0.1), trial(data, "relu", dropout=0.1))
    with pytest.raises(TriodeError, match="2 trials cannot be trained as one"):
        start(pair, data)


def test_an_activation_of_ones_own() -> None:
    data = pictures()
    mine = run(trial(data, "ownrelu=max(0, z)", initialisation="he"), data)
    curated = run(trial(data, "relu", initialisation="he"), data)
    assert mine.specification.startswith("ownrelu=")
    assert mine.test_loss == pytest.approx(curated.test_loss, rel=1e-6)


def test_trials_in_one_process_share_one_copy_of_the_data() -> None:
    data = pictures()
    one, two = (SingleTraining((trial(data, name),), data) for name in ("relu", "gelu"))
    assert one.training is two.training
