"""Several plain networks trained as one: their matrices in one block of memory, gradients written out by hand.

A multilayer perceptron needs no automatic differentiation: the products, the activation's kernel on its own buffer and
one sweep of the optimiser over all parameters are all there is, in memory set aside once. Networks that see
the same batches (one seed, any activations and learning rates) are slices of the same tensors; what differs between
them, the activation and the learning rate, is applied slice by slice. One network alone is a stack of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triode.bakeoff.plan import stackable
from triode.bakeoff.records import WATCH_EVERY, EpochRecord, TrialResult
from triode.bakeoff.storage.environment import peak_memory
from triode.bakeoff.training.elementwise import Elementwise
from triode.bakeoff.training.examples import Examples, part
from triode.bakeoff.training.stacked_buffers import Buffers, Watch

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.plan import Trial

MOMENTUM = 0.9
TURNS, STEPS = 5, 4
"""Turns, and steps in each, by which the size of stacks is chosen."""
GAIN = 1.3
"""A stack must promise to be so much faster than one network at a time: less is within the noise of the measurement."""
SMALL = 2**19
"""A product of fewer multiplications than this goes into one call for the whole stack; a larger one has its own call,
which costs nothing beside it and leaves the library free to block it as it would alone."""


def supports(trials: Sequence[Trial], data: Dataset) -> bool:
    """Whether these trials can be trained here: plain perceptrons that differ in activation and rate alone."""
    first = trials[0].setting
    if not all(stackable(trial, data.task) for trial in trials):
        return False
    return all(
        (trial.seed, trial.purpose) == (trials[0].seed, trials[0].purpose)
        and trial.setting.alone(learning_rate=1.0) == first.alone(learning_rate=1.0)
        for trial in trials
    )


class StackedTraining:
    """The training of a stack, epoch by epoch (see `train.Training`)."""

    def __init__(self, trials: Sequence[Trial], data: Dataset, device: str | torch.device = "cpu") -> None:
        """Draw the initial weights, the same as each network would have alone."""
        from triode.bakeoff.training.train import build
        from triode.bakeoff.training.watch import activation_sites, weight_layers

        self.trials = tuple(trials)
        self.device = torch.device(device)
        self.slices = len(trials)
        self._data = data
        chosen = self.setting = trials[0].setting
        self.training = part(data, chosen, "train", device)
        self.validation = part(data, chosen, "validation", device)
        self.widths = (math.prod(data.shape), *chosen.hidden, data.outputs)
        sizes = [out * fan_in + out for fan_in, out in pairwise(self.widths)]
        self._spans = [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        blocks = [torch.zeros(self.slices, sum(sizes), device=device) for _ in range(4)]
        self.parameters, self.gradients, self.first, self.second = blocks
        self.steps = torch.zeros(self.slices, device=device)
        # The optimiser takes lists of tensors: a row of the blocks is one network.
        self._by_slice = [list(block) for block in (*blocks, self.steps)]
        self.weights, self.biases = self._views(self.parameters)
        self.weight_gradients, self.bias_gradients = self._views(self.gradients)
        for s, trial in enumerate(trials):
            network = build(trial, data)
            drawn = [parameter.detach().flatten() for parameter in network.parameters()]
            self.parameters[s].copy_(torch.cat(drawn))
            self._layers, self._sites = tuple(weight_layers(network)), tuple(activation_sites(network))
        formulas = [trial.contestant.activation for trial in trials]
        self.activation = Elementwise([formula for formula in formulas if formula is not None])
        self.steepest = self.activation.steepest().to(self.device)
        self.order = torch.Generator().manual_seed(2 * trials[0].seed + 1)
        self._diverged = [False] * self.slices
        self._number = 0
        self._buffers: dict[int, Buffers] = {}

    @property
    def diverged(self) -> tuple[bool, ...]:
        """Which slices have met a loss that is not finite; they are trained no further."""
        return tuple(self._diverged)

    def _views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Weights (slices, out, in) and biases (slices, out) of each layer, in a block (slices, parameters)."""
        weights, biases = [], []
        for span, (fan_in, out) in zip(self._spans, pairwise(self.widths), strict=True):
            layer = flat[:, span]
            weights.append(layer[:, : out * fan_in].unflatten(1, (out, fan_in)))
            biases.append(layer[:, out * fan_in :])
        return weights, biases

    def begin(self) -> tuple[EpochRecord, ...]:
        """The records of epoch 0: a pass over all training examples with the initial weights."""
        watch = self._watch()
        for step, rows in enumerate(self.training.batches()):
            buffers, targets = self._forward(self.training, rows)
            watch.count(*buffers.judge(targets), buffers.batch)
            watch.alive.see(buffers)
            if step % WATCH_EVERY == 0:
                watch.tally.see(buffers, self.activation)
        return tuple(r for r in self._records(watch, 0.0) if r is not None)

    def epoch(self) -> tuple[EpochRecord | None, ...]:
        """Train one epoch; None for a slice that had diverged before."""
        begun = time.perf_counter()
        self._number += 1
        watch = self._watch()
        order = torch.randperm(len(self.training), generator=self.order)
        for step, rows in enumerate(torch.split(order, self.setting.batch_size)):
            buffers, targets = self._forward(self.training, rows)
            losses, right = buffers.judge(targets, gradient=True)
            self._backward(buffers)
            watch.alive.see(buffers)
            if step % WATCH_EVERY == 0:
                watch.tally.see(buffers, self.activation, self.gradients, self._spans)
            watch.count(losses, right, buffers.batch, training=True)
            if not any(watch.going):
                break
            self._update(watch.going)
        seconds = time.perf_counter() - begun
        return self._records(watch, seconds / max(1, self._diverged.count(False)))

    def rehearse(self, steps: int) -> float:
        """Seconds for so many steps on the first examples; to choose a road, not to train on."""
        rows = slice(0, min(self.setting.batch_size, len(self.training)))
        begun = time.perf_counter()
        for _ in range(steps):
            buffers, targets = self._forward(self.training, rows)
            buffers.judge(targets, gradient=True)
            self._backward(buffers)
            self._update([True] * self.slices)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return (time.perf_counter() - begun) / steps

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that the epochs to come depend on."""
        tensors = {
            "parameters": self.parameters,
            "first": self.first,
            "second": self.second,
            "steps": self.steps,
            "order": self.order.get_state(),
            "diverged": torch.tensor(self._diverged),
            "number": torch.tensor(self._number),
        }
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go back to where `state` was taken."""
        for name in ("parameters", "first", "second", "steps"):
            getattr(self, name).copy_(torch.from_numpy(np.array(state[name])))
        self.order.set_state(torch.from_numpy(np.array(state["order"])))
        self._diverged = [bool(flag) for flag in state["diverged"]]
        self._number = int(state["number"])

    def finish(self, epochs: tuple[tuple[EpochRecord, ...], ...], seconds: float) -> tuple[TrialResult, ...]:
        """The results; the test part is used here, once, and not at all for a tuning trial."""
        test = [(math.nan, math.nan)] * self.slices
        if self.trials[0].purpose == "final":
            test = self.evaluate(part(self._data, self.setting, "test", self.device))
        return tuple(self._result(s, epochs[s], test[s], seconds / self.slices) for s in range(self.slices))

    @torch.no_grad()
    def evaluate(self, examples: Examples) -> list[tuple[float, float]]:
        """Mean loss and accuracy (nan where there are no classes) of each slice on all `examples`."""
        watch = Watch(self.slices, self.widths, self.steepest, [False] * self.slices)
        for rows in examples.batches():
            buffers, targets = self._forward(examples, rows)
            watch.count(*buffers.judge(targets), buffers.batch)
        return [(watch.loss(s), self._accuracy(watch, s)) for s in range(self.slices)]

    def _watch(self) -> Watch:
        return Watch(self.slices, self.widths, self.steepest, self._diverged)

    def _forward(self, examples: Examples, rows: Tensor | slice) -> tuple[Buffers, Tensor]:
        x = examples.inputs(rows).flatten(1)
        if len(x) not in self._buffers:
            self._buffers[len(x)] = Buffers(self.slices, len(x), self.widths, self._data.task, self.device)
        buffers = self._buffers[len(x)]
        buffers.inputs = x
        below = x.expand(self.slices, -1, -1)
        for layer, (weight, bias, z) in enumerate(zip(self.weights, self.biases, buffers.z, strict=True)):
            if self.slices == 1 or weight[0].numel() * len(x) > SMALL:
                for s in range(self.slices):
                    torch.addmm(bias[s], below[s], weight[s].t(), out=z[s])
            else:
                torch.baddbmm(bias.unsqueeze(1), below, weight.transpose(1, 2), out=z)
            if layer < len(buffers.a):
                below = buffers.a[layer]
                self.activation.value(z, below)
        return buffers, examples.targets(rows)

    def _backward(self, buffers: Buffers) -> None:
        """Gradients of all parameters from d loss / d z of the last layer, overwriting those of the step before."""
        for layer in reversed(range(len(self.weights))):
            d = buffers.d[layer]
            below = buffers.a[layer - 1] if layer else buffers.inputs.expand(self.slices, -1, -1)
            weight, gradient = self.weights[layer], self.weight_gradients[layer]
            one_by_one = self.slices == 1 or weight[0].numel() * buffers.batch > SMALL
            if one_by_one:
                for s in range(self.slices):
                    torch.mm(d[s].t(), below[s], out=gradient[s])
            else:
                torch.bmm(d.transpose(1, 2), below, out=gradient)
            torch.sum(d, dim=1, out=self.bias_gradients[layer])
            if layer:
                to = buffers.d[layer - 1]
                if one_by_one:
                    for s in range(self.slices):
                        torch.mm(d[s], weight[s], out=to[s])
                else:
                    torch.bmm(d, weight, out=to)
                self.activation.backward(buffers.z[layer - 1], to)

    def _update(self, going: Sequence[bool]) -> None:
        """One step of the optimiser for the slices still going, one call for each learning rate."""
        rates: dict[float, list[int]] = {}
        for s, trial in enumerate(self.trials):
            if going[s]:
                rates.setdefault(trial.setting.learning_rate, []).append(s)
        # Where gradients are exactly 0 (dead units) the moments decay into subnormal numbers, on which a processor
        # takes twice as long for the whole sweep; what is below 1e-38 moves no weight.
        flushes = self.device.type == "cpu" and torch.set_flush_denormal(True)
        for rate, members in rates.items():
            self._optimise(rate, members)
        if flushes:
            torch.set_flush_denormal(False)

    def _optimise(self, rate: float, members: list[int]) -> None:
        parameters, gradients, first, second, steps = ([rows[s] for s in members] for rows in self._by_slice)
        decay = self.setting.weight_decay
        if self.setting.optimizer == "sgd":
            torch._fused_sgd_(
                parameters, gradients, first, weight_decay=decay, momentum=MOMENTUM, lr=rate, dampening=0.0,
                nesterov=False, maximize=False, is_first_step=False,
            )  # fmt: skip
            return
        torch._foreach_add_(steps, 1.0)
        fused = torch._fused_adam_ if self.setting.optimizer == "adam" else torch._fused_adamw_
        fused(
            parameters, gradients, first, second, [], steps, lr=rate, beta1=0.9, beta2=0.999, weight_decay=decay,
            eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _records(self, watch: Watch, seconds: float) -> tuple[EpochRecord | None, ...]:
        validation = self.evaluate(self.validation)
        before = self._diverged
        self._diverged = [
            before[s] or not (math.isfinite(watch.loss(s)) and math.isfinite(validation[s][0]))
            for s in range(self.slices)
        ]
        return tuple(
            None if before[s] else self._record(s, watch, validation[s], seconds) for s in range(self.slices)
        )

    def _record(self, s: int, watch: Watch, validation: tuple[float, float], seconds: float) -> EpochRecord:
        return EpochRecord(
            epoch=self._number,
            train_loss=watch.loss(s),
            train_accuracy=self._accuracy(watch, s),
            validation_loss=validation[0],
            validation_accuracy=validation[1],
            learned={},
            seconds=seconds,
            **watch.figures(s),
        )

    def _accuracy(self, watch: Watch, s: int) -> float:
        return math.nan if self._data.task == "regression" else watch.accuracy(s)

    def _result(
        self, s: int, epochs: tuple[EpochRecord, ...], test: tuple[float, float], seconds: float
    ) -> TrialResult:
        trial = self.trials[s]
        others = self.slices - 1
        return TrialResult(
            key=trial.key,
            activation=trial.activation,
            specification=trial.specification,
            seed=trial.seed,
            purpose=trial.purpose,
            learning_rate=trial.setting.learning_rate,
            tuned={"learning_rate": trial.setting.learning_rate, "weight_decay": trial.setting.weight_decay},
            parameters=self.parameters.shape[1],
            layers=self._layers,
            sites=self._sites,
            units=self.widths[1:-1],
            epochs=epochs,
            test_loss=test[0],
            test_accuracy=test[1],
            diverged=self._diverged[s] or (trial.purpose == "final" and not math.isfinite(test[0])),
            seconds=seconds,
            peak_memory=peak_memory(),
            road="alone" if not others else f"stacked with {others} other{'s' * (others > 1)}",
        )


def measure(trials: Sequence[Trial], data: Dataset, jobs: int, device: str = "cpu") -> tuple[int, str]:
    """How many of `trials`, which differ in activation and rate alone, to train as one; and why, in a sentence.

    Stacks of several sizes train a few steps in turn. The best size is the one with which `jobs` workers would be done
    first: fewer, larger stacks are of no use to a worker without one.
    """
    largest = len(trials)
    if largest == 1 or not supports(trials, data):
        return 1, "each network was trained alone: nothing here can be trained as one with another"
    sizes = sorted({1, largest, math.ceil(largest / jobs), math.ceil(largest / 2 / jobs)})
    stacks = {size: StackedTraining(trials[:size], data, device) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(TURNS + 1):
        for size, stack in stacks.items():
            spent = stack.rehearse(STEPS)
            if turn:  # the first turn compiles kernels and touches memory
                times[size].append(spent / size)
    cost = {size: median(spent) for size, spent in times.items()}

    def finished(size: int) -> float:
        """Seconds for a step of all of them."""
        return math.ceil(math.ceil(largest / size) / jobs) * size * cost[size]

    best = min(sizes, key=lambda size: (finished(size), size))
    if finished(1) < GAIN * finished(best):
        best = 1
    said = ", ".join(
        f"{1e3 * cost[size]:.2f} ms alone" if size == 1 else f"{1e3 * cost[size]:.2f} in a stack of {size}"
        for size in sizes
    )
    how = "alone" if best == 1 else f"as one of {best}"
    return (
        best,
        f"each network was trained {how}, with which {jobs} worker{'s' * (jobs > 1)} finish {largest} networks "
        f"first or nearly so (a step of one network takes {said})",
    )
