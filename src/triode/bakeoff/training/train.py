"""Train one network by automatic differentiation, epoch by epoch, able to stop and go on bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from triode.bakeoff import models
from triode.bakeoff.data import Dataset
from triode.bakeoff.plan import Trial
from triode.bakeoff.records import WATCH_EVERY, EpochRecord, TrialResult
from triode.bakeoff.setting import Setting
from triode.bakeoff.storage.environment import peak_memory
from triode.bakeoff.training.examples import Examples, answers, evaluate, loss_of, part, right_answers
from triode.bakeoff.training.watch import Figures, Watch, make_record
from triode.errors import TriodeError

State = Mapping[str, npt.NDArray[Any]]


class Training(Protocol):
    """One or more trials that are trained together, epoch by epoch."""

    trials: tuple[Trial, ...]

    @property
    def diverged(self) -> tuple[bool, ...]:
        """Which trials met a loss that is not finite; they are trained no further."""

    def begin(self) -> tuple[EpochRecord, ...]:
        """Epoch 0 of every trial: the networks before training."""

    def epoch(self) -> tuple[EpochRecord | None, ...]:
        """Train one epoch; None for a trial that had diverged before it."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything needed to go on from here, bit for bit."""

    def restore(self, state: State) -> None:
        """Go back to a `state` of a training of the same trials."""

    def finish(self, epochs: tuple[tuple[EpochRecord, ...], ...], seconds: float) -> tuple[TrialResult, ...]:
        """The results, from each trial's records and the seconds that all took; the test part is used here, once."""


def start(trials: Sequence[Trial], data: Dataset, device: str = "cpu") -> Training:
    """The training of these trials: stacked into one where they can be, or of a single trial by itself.

    Raises `TriodeError` for several trials that cannot be trained as one.
    """
    from triode.bakeoff.training import stacked

    trials = tuple(trials)
    if stacked.supports(trials, data):
        return stacked.StackedTraining(trials, data, device)
    return SingleTraining(trials, data, device)


class SingleTraining:
    """One trial, trained by PyTorch's automatic differentiation.

    All activations with one seed start from the same draws and see the same batches in the same order. Random numbers
    inside the network (dropout, sampled slopes) are seeded anew for each epoch, so that nothing else that runs in the
    process has a say in them.
    """

    def __init__(self, trials: Sequence[Trial], data: Dataset, device: str = "cpu") -> None:
        """Build the network of the one trial with its initial weights, on `device`."""
        if len(trials) != 1:
            raise TriodeError(
                f"{len(trials)} trials cannot be trained as one by automatic differentiation; start each by itself."
            )
        self.trials = tuple(trials)
        self.trial = trials[0]
        self.setting = self.trial.setting
        self.data, self.device = data, torch.device(device)
        self.network = build(self.trial, data).to(self.device)
        if self.device.type == "cpu" and not models.is_own(self.setting.model):
            # Convolutions and pooling on a CPU take a quarter less with the channels innermost.
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.setting, self.network)
        self.watch = Watch(self.network)
        self.training = part(data, self.setting, "train", device)
        self.validation = part(data, self.setting, "validation", device)
        self.order = torch.Generator().manual_seed(2 * self.trial.seed + 1)
        self.epochs = 0
        self._diverged = False

    @property
    def diverged(self) -> tuple[bool, ...]:
        """Whether a loss was not finite."""
        return (self._diverged,)

    def begin(self) -> tuple[EpochRecord, ...]:
        """Epoch 0: one pass over all training examples in evaluation mode, and the validation part."""
        with self._seeded(0):
            trained, figures = survey(self.network, self.training, self.watch)
            validated = evaluate(self.network, self.validation)
        self._diverged = not (math.isfinite(trained[0]) and math.isfinite(validated[0]))
        return (make_record(0, trained, validated, figures, 0.0),)

    def epoch(self) -> tuple[EpochRecord | None, ...]:
        """Train one epoch; None once diverged."""
        if self._diverged:
            return (None,)
        self.epochs += 1
        begun = time.perf_counter()
        with self._seeded(self.epochs):
            trained, figures = train_epoch(
                self.network, self.optimizer, self.training, self.setting.batch_size, self.order, self.watch
            )
            seconds = time.perf_counter() - begun
            validated = evaluate(self.network, self.validation)
        self._diverged = not (math.isfinite(trained[0]) and math.isfinite(validated[0]))
        return (make_record(self.epochs, trained, validated, figures, seconds),)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Parameters, buffers, the optimiser's moments, the generator of the order, and how far it got, by name."""
        found = {f"network/{name}": to_numpy(tensor) for name, tensor in self._tensors().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:
                    found[f"optimizer/{number}/{name}"] = to_numpy(torch.as_tensor(value))
        found["order"] = self.order.get_state().numpy().copy()
        found["progress"] = np.array([self.epochs, self._diverged], np.int64)
        return found

    def restore(self, state: State) -> None:
        """Take over a `state`; refuses one that another network wrote."""
        tensors = self._tensors()
        names = {name.partition("/")[2] for name in state if name.startswith("network/")}
        if names != set(tensors) or not {"order", "progress"} <= set(state):
            odd = sorted(names.symmetric_difference(tensors)) or ["order or progress"]
            raise TriodeError(
                f"the state to go on from does not belong to trial {self.trial.key}: {odd[0]} is missing or too many; "
                "another version may have written it."
            )
        with torch.no_grad():
            for name, tensor in tensors.items():
                stored = from_numpy(state[f"network/{name}"], tensor)
                if stored.shape != tensor.shape:
                    raise TriodeError(
                        f"the state to go on from does not belong to trial {self.trial.key}: {name} has shape "
                        f"{tuple(stored.shape)}, not {tuple(tensor.shape)}."
                    )
                tensor.copy_(stored)
        moments: dict[int, dict[str, Any]] = {}
        parameters = list(self.network.parameters())
        for key, array in state.items():
            kind, _, rest = key.partition("/")
            if kind == "optimizer":
                number, _, name = rest.partition("/")
                moment = (
                    from_numpy(array, parameters[int(number)]) if array.shape else torch.tensor(float(array))
                )
                if array.shape:  # in memory as the optimiser itself would have laid it out
                    moment = torch.empty_like(parameters[int(number)]).copy_(moment)
                moments.setdefault(int(number), {})[name] = moment
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.order.set_state(torch.from_numpy(np.array(state["order"], np.uint8)))
        self.epochs, self._diverged = int(state["progress"][0]), bool(state["progress"][1])

    def finish(self, epochs: tuple[tuple[EpochRecord, ...], ...], seconds: float) -> tuple[TrialResult, ...]:
        """The result; the test part is used here and nowhere else, and not at all by a tuning trial."""
        trial = self.trial
        test = (math.nan, math.nan)
        if trial.purpose != "tune":
            with self._seeded(0):
                test = evaluate(self.network, part(self.data, self.setting, "test", str(self.device)))
        result = TrialResult(
            key=trial.key,
            activation=trial.activation,
            specification=trial.specification,
            seed=trial.seed,
            purpose=trial.purpose,
            learning_rate=self.setting.learning_rate,
            tuned={"learning_rate": self.setting.learning_rate, "weight_decay": self.setting.weight_decay},
            parameters=models.count_parameters(self.network),
            layers=self.watch.layers,
            sites=self.watch.sites,
            units=self.units(),
            epochs=epochs[0],
            test_loss=test[0],
            test_accuracy=test[1],
            diverged=self._diverged or (trial.purpose != "tune" and not math.isfinite(test[0])),
            seconds=seconds,
            peak_memory=peak_memory(),
        )
        return (result,)

    def units(self) -> tuple[int, ...]:
        """Number of units at each activation site; of a training that was resumed at its end, by one more batch."""
        if not all(self.watch.units):
            with self._seeded(0):
                self.network.eval()
                self.watch.begin()
                self.watch.step()
                with torch.no_grad():
                    self.network(self.training.inputs(slice(0, 2)))
                self.watch.end()
        return self.watch.units

    def _tensors(self) -> dict[str, Tensor]:
        # Not state_dict: buffers that it leaves out decide results too.
        return dict(self.network.named_parameters()) | dict(self.network.named_buffers())

    def _seeded(self, epoch: int) -> Any:
        return Seeded(self.trial.seed, epoch, self.device)


class Seeded:
    """The global generators seeded for one epoch, and put back as they were afterwards."""

    def __init__(self, seed: int, epoch: int, device: torch.device) -> None:
        self.number = (seed << 24) + epoch
        self.fork = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.number)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)


def build(trial: Trial, data: Dataset) -> nn.Module:
    """The network of a trial with its initial weights, on the CPU.

    Weights are drawn from a generator that only the seed decides. The factory of a user's own model runs with PyTorch's
    global generator seeded; with initialisation `pytorch` what it drew stays. An activation that draws numbers for
    itself has a seed of its own at each site, so that they move no draw of the network's.
    """
    setting, who = trial.setting, trial.contestant
    sites = count(1)

    def activation() -> nn.Module:
        with Seeded(trial.seed, next(sites), torch.device("cpu")):
            return who.module(setting.learn)

    with Seeded(trial.seed, 0, torch.device("cpu")):
        network = models.build(setting, data, activation)
    draw_weights(network, trial)
    return network


def draw_weights(network: nn.Module, trial: Trial) -> None:
    """Give a network of `trial` its initial weights."""
    setting = trial.setting
    if models.is_own(setting.model) and setting.initialisation == "pytorch":
        return
    generator = torch.Generator().manual_seed(2 * trial.seed)
    models.initialise(network, setting.initialisation, trial.contestant.activation, generator)


def make_optimizer(setting: Setting, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser; one fused pass over the parameters costs a third of the loop over them."""
    rate, decay = setting.learning_rate, setting.weight_decay
    parameters = list(network.parameters())
    if setting.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    if setting.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay, fused=True)


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: Examples,
    batch_size: int,
    order: torch.Generator,
    watch: Watch | None,
) -> tuple[tuple[float, float], Figures]:
    """One pass over the training examples in a fresh order.

    A loss that is not finite ends the epoch before the weights are touched (on an accelerator, which is not asked at
    every step, within the next `WATCH_EVERY` steps).

    Args:
        network: Trained in place.
        optimizer: Of its parameters.
        training: What it learns from.
        batch_size: Examples in one step.
        order: Draws the order of the examples.
        watch: Measures what the activations do; None measures nothing, to know what that costs.

    Returns:
        Mean loss and accuracy over the answers asked for, each before its step's update, and the watch's figures.
    """
    network.train()
    task, loss_function = training.task, loss_of(training.task)
    classes = task != "regression"
    asked = 0
    on_cpu = training.device.type == "cpu"
    total = torch.zeros((), dtype=torch.float64, device=training.device)
    right = torch.zeros((), dtype=torch.int64, device=training.device)
    if watch:
        watch.begin()
    for step, rows in enumerate(batches(network, len(training), batch_size, order)):
        if watch:
            watch.step()
        targets = training.targets(rows)
        logits = network(training.inputs(rows))
        loss = loss_function(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        n = answers(task, targets)
        asked += n
        total += loss.detach().double() * n
        if classes:
            right += right_answers(task, logits.detach(), targets)
        if watch:
            watch.gradients()
        if (on_cpu or step % WATCH_EVERY == 0) and not math.isfinite(float(total)):
            break
        optimizer.step()
    figures = watch.figures() if watch else Figures((), (), (), (), (), {})
    accuracy = float(right) / asked if classes else math.nan
    return (float(total) / asked, accuracy), figures


def batches(network: nn.Module, examples: int, batch_size: int, order: torch.Generator) -> tuple[Tensor, ...]:
    """Row numbers of each step's examples, in a fresh order.

    A last batch of a single example joins the one before it where the network normalises over the batch, which cannot
    be done with one.
    """
    shuffled = torch.randperm(examples, generator=order)
    parts = torch.split(shuffled, batch_size)
    over_batch = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
    if over_batch and len(parts) > 1 and len(parts[-1]) == 1:
        parts = (*parts[:-2], torch.cat(parts[-2:]))
    return parts


@torch.no_grad()
def survey(network: nn.Module, training: Examples, watch: Watch) -> tuple[tuple[float, float], Figures]:
    """Loss, accuracy and the watch's figures of one pass over all examples in evaluation mode."""
    watch.begin()
    found = evaluate(network, training, before_batch=watch.step)
    return found, watch.figures()


def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """A copy as an array; bfloat16, which NumPy lacks, as its bits."""
    tensor = tensor.detach().cpu()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def from_numpy(array: npt.NDArray[Any], like: Tensor) -> Tensor:
    """The tensor back from `to_numpy`."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if like.dtype == torch.bfloat16 else tensor
