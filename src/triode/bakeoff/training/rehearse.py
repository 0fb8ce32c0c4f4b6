"""One batch through one network before anything long starts: what would fail for every trial, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from triode.bakeoff import models
from triode.bakeoff.contestants import Contestant, contestant
from triode.bakeoff.plan import make_trial
from triode.bakeoff.training.examples import TEXT, Examples, loss_of, size
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting

BATCH = 32
"""Examples at most in the rehearsal: shapes and ranges do not need more."""
PIECE = 2**20
"""Targets looked at together."""


def rehearse(setting: Setting, activations: Sequence[str], dataset: Dataset) -> None:
    """Build the network with the first activation and take one batch forward and backward on the CPU.

    The user's own modules are tried each: a formula fits wherever another does, and code may not.

    Args:
        setting: The model and how it is trained.
        activations: What is compared; the first stands in for all.
        dataset: What is learned.

    Raises:
        TriodeError: For a part of the data without an example, targets out of range or inputs that are no numbers; a
            model that fails on the data, gives another shape than the task asks for, never calls the activation, or
            whose loss depends on no parameter; and a loss that is not finite with ReLU either (with the first
            activation alone it is a result).
    """
    for which in ("train", "validation", "test"):
        size(dataset, setting, which)
    check_targets(dataset)
    who, *others = [contestant(text) for text in activations]
    loss = _one_step(setting, who, dataset)
    for other in others:
        if other.activation is None:
            _one_step(setting, other, dataset)
    if not math.isfinite(loss) and who.name != "relu":
        # An activation that gives no number is a result, which the record of its trials will tell.
        loss = _one_step(setting, contestant("relu"), dataset)
    if not math.isfinite(loss):
        raise TriodeError(
            f"the loss of model {setting.model} on the first batch of {dataset.name} is {loss} before any training: "
            f"initialisation = {setting.initialisation!r} or the scale of the inputs makes its numbers overflow."
        )


def check_targets(dataset: Dataset) -> None:
    """Refuse targets that the network has no output for.

    Raises `TriodeError` naming the first value out of range and where it stands.
    """
    kind = "characters" if dataset.task == TEXT else "classes"
    expected = f"{kind} from 0 to {dataset.outputs - 1}"
    if dataset.task == "regression":
        expected = "finite numbers"
    for part_name, targets in (("training", dataset.train_targets), ("test", dataset.test_targets)):
        for begin in range(0, len(targets), PIECE):  # it may be a file larger than memory
            piece = np.asarray(targets[begin : begin + PIECE])
            wrong = (
                ~np.isfinite(piece)
                if dataset.task == "regression"
                else (piece < 0) | (piece >= dataset.outputs)
            )
            if wrong.any():
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise TriodeError(
                    f"target {begin + at[0]} of the {part_name} part of {dataset.name} is {piece[at]}; {expected} were "
                    "expected."
                )


def _one_step(setting: Setting, who: Contestant, dataset: Dataset) -> float:
    """The loss of the first batch, after a backward pass."""
    from triode.bakeoff.training.train import Seeded

    rows = slice(0, min(setting.batch_size, BATCH, size(dataset, setting, "train")))
    # Not the whole part: this process need not hold a copy of it.
    first = rows.stop * setting.context + 1 if dataset.task == TEXT else rows.stop
    few = (dataset.train_inputs[:first], dataset.train_targets[:first])
    examples = Examples(dataset, *few, slice(None), context=setting.context)
    x, targets = examples.inputs(rows), examples.targets(rows)
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise TriodeError(
            f"the inputs of {dataset.name} hold {_first_odd(x)} among the first {len(x)} examples; every input must "
            "be a finite number: remove or fill such rows."
        )
    made: list[nn.Module] = []
    called: set[int] = set()

    def activation() -> nn.Module:
        module = who.module(setting.learn)
        made.append(module)
        module.register_forward_hook(lambda m, inputs, output: called.add(id(m)))
        return module

    with Seeded(0, 0, torch.device("cpu")):
        network = models.build(setting, dataset, activation)
        _draw_weights(setting, who, dataset, network)
        network.train()
        try:
            answer = network(x)
        except TriodeError:
            raise
        except Exception as error:
            raise TriodeError(
                f"model {setting.model}{_with(who)} raised {type(error).__name__} on a batch of shape "
                f"{tuple(x.shape)} of {dataset.name}: {_one_line(error)}"
            ) from error
    _check_answer(setting, dataset, answer, examples, targets, _with(who))
    if not called:
        why = (
            "it never called what it was given"
            if not made
            else "the modules that it was given were never used"
        )
        raise TriodeError(
            f"model {setting.model} ignores the activation: {why}, so every activation would give the same network; "
            "its factory has to call its argument and put the module that it gets into the forward pass."
        )
    loss = loss_of(dataset.task)(answer, targets)
    if not loss.requires_grad:
        raise TriodeError(
            f"model {setting.model} cannot be trained: its loss depends on no parameter; is its forward pass under "
            "no_grad, or its output detached?"
        )
    loss.backward()
    return float(loss.detach())


def _draw_weights(setting: Setting, who: Contestant, dataset: Dataset, network: nn.Module) -> None:
    from triode.bakeoff.training.train import draw_weights

    draw_weights(network, make_trial(who, 0, "tune", dataset.fingerprint, setting.alone()))


def _check_answer(
    setting: Setting, dataset: Dataset, answer: Any, examples: Examples, targets: Tensor, who: str
) -> None:
    expected = (*targets.shape, dataset.outputs) if dataset.task == TEXT else (len(targets), dataset.outputs)
    if not isinstance(answer, Tensor):
        raise TriodeError(
            f"model {setting.model}{who} gave {type(answer).__name__} for a batch; a tensor of shape {expected} was "
            "expected."
        )
    if tuple(answer.shape) != expected:
        what = {"classification": "classes", "regression": "numbers to predict", TEXT: "characters"}[
            dataset.task
        ]
        raise TriodeError(
            f"model {setting.model}{who} gave a tensor of shape {tuple(answer.shape)} for a batch of {len(targets)} "
            f"examples; {expected} was expected, because {dataset.name} has {dataset.outputs} {what}."
        )


def _with(who: Contestant) -> str:
    """Names an activation of the user's own, which may be the one at fault."""
    return f" with the activation {who.specification}" if who.activation is None else ""


def _first_odd(x: Tensor) -> str:
    odd = x[~x.isfinite()]
    return f"{float(odd[0]):g}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
