"""Train one trial: data in memory, no loader, and after every epoch the full diagnosis."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from triode.bakeoff.data import Dataset, split
from triode.bakeoff.diagnose import Examples, Survey, evaluate, survey
from triode.bakeoff.models import Network, count_parameters, initialise
from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, TrialResult


def train(
    trial: Trial, data: Dataset, on_epoch: Callable[[EpochRecord], None] = lambda record: None
) -> TrialResult:
    """Train the network that `trial` describes and return its record.

    All activations with one seed start from the same weights and see the same batches in the same order. Training ends
    early, with `diverged` set, at a loss that is not finite. The test part is used once, after the last epoch.
    """
    started = time.perf_counter()
    # For activations that sample (rrelu): everything else has a generator of its own.
    torch.manual_seed(trial.seed)
    network = build(trial, data)
    rows, held_out = split(len(data.train_labels), trial.validation_share)
    training = examples(data.train_images[rows], data.train_labels[rows], data)
    validation = examples(data.train_images[held_out], data.train_labels[held_out], data)
    optimizer = make_optimizer(trial, network)
    order = torch.Generator().manual_seed(2 * trial.seed + 1)
    nowhere = torch.full((len(network.linear),), math.nan)
    records = [_record(0, network, nowhere, 0.0, survey(network, training), validation)]
    on_epoch(records[0])
    diverged = not math.isfinite(records[0].train_loss)
    while not diverged and len(records) <= trial.epochs:
        begun = time.perf_counter()
        norms, finite = train_epoch(network, optimizer, training, trial.batch_size, order)
        seconds = time.perf_counter() - begun
        records.append(_record(len(records), network, norms, seconds, survey(network, training), validation))
        on_epoch(records[-1])
        diverged = not (finite and math.isfinite(records[-1].train_loss))
    test_loss, test_accuracy = evaluate(network, examples(data.test_images, data.test_labels, data))
    return TrialResult(
        key=trial.key,
        activation=trial.activation,
        specification=trial.specification,
        seed=trial.seed,
        learning_rate=trial.learning_rate,
        parameters=count_parameters(network),
        epochs=tuple(records),
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        diverged=diverged,
        seconds=time.perf_counter() - started,
    )


def build(trial: Trial, data: Dataset) -> Network:
    """The network of a trial with its initial weights."""
    from triode.adapters.torch import Activation
    from triode.catalogue import get

    widths = (data.pixels, *trial.hidden, data.classes)
    network = Network(widths, lambda: Activation(get(trial.specification)))
    initialise(network, trial.initialisation, torch.Generator().manual_seed(2 * trial.seed))
    return network


def make_optimizer(trial: Trial, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a trial; one fused pass over the parameters costs a third of the loop over them."""
    if trial.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=trial.learning_rate, fused=True)
    return torch.optim.SGD(network.parameters(), lr=trial.learning_rate, momentum=0.9, fused=True)


def examples(images: object, labels: object, data: Dataset) -> Examples:
    """Rows of a dataset as tensors."""
    return Examples(torch.tensor(images), torch.tensor(labels, dtype=torch.int64), data.brightest)


def train_epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    training: Examples,
    batch_size: int,
    order: torch.Generator,
    *,
    watch: bool = True,
) -> tuple[Tensor, bool]:
    """One pass over the training examples in a fresh order: every layer's gradient norm, and whether it ended well.

    The norm is the Euclidean one of a linear layer's weight and bias together, its mean taken over the steps (float64,
    shape (layers,)). A loss that is not finite ends the epoch at once (False), before the weights are touched.
    `watch=False` measures no norms, to know what they cost.
    """
    network.train()
    norms = torch.zeros(len(network.linear), dtype=torch.float64)
    steps, finite = 0, True
    for rows in torch.split(torch.randperm(len(training), generator=order), batch_size):
        loss = functional.cross_entropy(network(training.inputs(rows)), training.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        steps += 1
        if watch:
            norms += torch.stack([_gradient_norm(layer) for layer in network.layers])
        finite = math.isfinite(loss.item())
        if not finite:
            break
        optimizer.step()
    return (norms / steps if watch else torch.full_like(norms, math.nan)), finite


def _gradient_norm(layer: nn.Linear) -> Tensor:
    given = (p.grad for p in (layer.weight, layer.bias) if p.grad is not None)
    weight, bias = (torch.linalg.vector_norm(gradient) for gradient in given)
    return torch.hypot(weight, bias)


def _record(
    epoch: int, network: Network, norms: Tensor, seconds: float, found: Survey, validation: Examples
) -> EpochRecord:
    validation_loss, validation_accuracy = evaluate(network, validation)
    return EpochRecord(
        epoch=epoch,
        train_loss=found.loss,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
        train_accuracy=found.accuracy,
        gradient_norm=tuple(norms.tolist()),
        dead=tuple(layer.dead for layer in found.layers),
        saturated=tuple(layer.saturated / layer.count for layer in found.layers),
        mean=tuple(layer.mean for layer in found.layers),
        spread=tuple(layer.spread for layer in found.layers),
        seconds=seconds,
    )
