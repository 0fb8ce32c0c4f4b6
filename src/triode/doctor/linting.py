"""Examine a model before it is trained: one traced step whose gradients are thrown away, and everything put back."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triode.doctor.diagnose import diagnose, explains_exception
from triode.doctor.diagnosis import Diagnosis, Finding
from triode.doctor.ending import last_line
from triode.doctor.examination import call
from triode.doctor.history import History
from triode.doctor.observe.tracer import tensors
from triode.doctor.observe.watcher import Watcher
from triode.errors import TriodeError

SEED = 20
"""Of the random directions along which gradients are taken where no loss says one."""
NO_LOSS = "no loss was given: lint says it with loss_fn and example = (x, y)"
TOO_EARLY = "one batch does not tell who is silent for good; examine or watch a training"


def lint(model: nn.Module, loss_fn: Callable[..., Tensor] | None, example: Any) -> Diagnosis:
    """Say what is wrong with a model that can be seen before training: its structure, its start, its loss.

    The model is called once, in training mode, and the gradient of the loss is taken. Nothing is updated, and nothing
    stays changed: gradients, buffers (running statistics), modes and the state of the random numbers are as before.
    Hooks that the model carries are called.

    Args:
        model: The model as it would start to train.
        loss_fn: Takes ``(model(x), y)`` and returns a number; with one argument, ``model(x)`` alone. None where there
            is none, or where the model returns its own loss in a field ``loss``.
        example: One batch, 32 examples or more for good figures: ``(x, y)``, or ``x`` alone. ``x`` may be a tensor,
            a dictionary of keyword arguments, or, inside a pair, a tuple of arguments.

    Returns:
        The diagnosis. Rules that only a training can answer are in ``unchecked``, with a sentence each.

    Raises:
        TriodeError: If the loss is not a single number, or the example holds no examples.
        Exception: Whatever the model or the loss raises, unless a finding explains it.

    Examples:
        >>> import triode
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
        >>> example = torch.randn(64, 8), torch.randint(3, (64,))
        >>> [finding.diagnosis for finding in triode.doctor.lint(net, nn.CrossEntropyLoss(), example).findings]
        ['softmax_before_ce']
        >>> net[0].weight.grad is None
        True
    """
    paired = isinstance(example, (tuple, list)) and len(example) == 2
    x, y = example if paired else (example, None)
    if any(tensor.numel() == 0 for tensor in tensors(x)):
        raise TriodeError(
            "example holds a tensor without entries; expected one batch, such as next(iter(loader))."
        )
    patient = _with_shapes(model, x)
    raised: Exception | None = None
    with _untouched(patient, loss_fn), torch.enable_grad(), Watcher([patient]) as watcher:
        watcher.epoch()
        try:
            told = _step(watcher, patient, loss_fn, x, y, paired)
        except TriodeError:
            raise
        except Exception as error:  # noqa: BLE001  (the symptom may be the error itself)
            raised, told = error, True
            watcher.exception = last_line(error)
        watcher.finish_step()
        histories = watcher.histories()
    diagnosis = _before_training(diagnose(histories), told)
    if raised is not None and not (diagnosis.findings and explains_exception(diagnosis)):
        raise raised
    return diagnosis


def _with_shapes(model: nn.Module, x: Any) -> nn.Module:
    """The model; a copy of a lazy one, which takes its shapes from the first call, and cannot give them back."""
    if not any(map(nn.parameter.is_lazy, (*model.parameters(), *model.buffers()))):
        return model
    try:
        patient = copy.deepcopy(model)
    except ValueError as error:
        raise TriodeError(
            "the model has lazy layers that cannot be copied; expected layers with shapes: call it once before."
        ) from error
    with _random_state(set()), torch.no_grad():
        call(patient, x)
    return patient


def _step(
    watcher: Watcher, model: nn.Module, loss_fn: Callable[..., Tensor] | None, x: Any, y: Any, paired: bool
) -> bool:
    """One step without an update; returns whether there was a loss."""
    if paired:
        watcher.targets(y)
    output = call(model, x)
    loss = _loss(loss_fn, output, y, paired)
    if loss is not None and (not isinstance(loss, Tensor) or loss.numel() != 1):
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TriodeError(
            f"the loss is {what}; expected a single number, the mean over the examples: see reduction= of the loss."
        )
    if loss is not None:
        watcher.loss(loss)
    _take_gradients(model, output, loss)
    return loss is not None


def _loss(loss_fn: Callable[..., Tensor] | None, output: Any, y: Any, paired: bool) -> Any:
    if loss_fn is not None and paired:
        return loss_fn(output, y)
    if loss_fn is not None and _arguments(loss_fn) == 1:
        return loss_fn(output)
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return own if isinstance(own, Tensor) else None


def _arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments must be given; -1 where that is not known."""
    target = function.forward if isinstance(function, nn.Module) else function
    try:
        known = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return -1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in known)


def _take_gradients(model: nn.Module, output: Any, loss: Tensor | None) -> None:
    """Put gradients where the watcher looks for them; they are taken away again when everything is put back.

    They are asked for, not accumulated by ``backward``: hooks that update the weights in the backward pass stay out.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    wanted = [loss] if loss is not None else list(tensors(output))
    roots = [tensor for tensor in wanted if tensor.requires_grad]
    if not roots or not parameters:
        return
    directions: list[Tensor | None] = [None]
    if loss is None:
        generator = torch.Generator().manual_seed(SEED)
        directions = [
            torch.randn(root.shape, generator=generator).to(root.device, root.dtype) for root in roots
        ]
    with torch._C.DisableTorchFunction():
        gradients = torch.autograd.grad(roots, parameters, directions, allow_unused=True)
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient


def _before_training(diagnosis: Diagnosis, told: bool) -> Diagnosis:
    """Hold back what a single batch cannot show, and say so."""
    unchecked = dict(diagnosis.unchecked)
    histories = {history.name: history for history in diagnosis.histories}

    def certain(finding: Finding) -> bool:
        history = histories.get(finding.model)
        return finding.diagnosis != "dead_relu" or history is None or _blocked(history)

    findings = tuple(finding for finding in diagnosis.findings if certain(finding))
    notes = tuple(note for note in diagnosis.notes if note.diagnosis != "dead_relu")
    checked = diagnosis.checked
    if "dead_relu" in checked and not any(finding.diagnosis == "dead_relu" for finding in findings):
        checked = tuple(name for name in checked if name != "dead_relu")
        unchecked["dead_relu"] = TOO_EARLY
    if not told:
        unchecked = {name: NO_LOSS if "loss" in why else why for name, why in unchecked.items()}
    kept = {finding.diagnosis for finding in findings}
    findings = tuple(f if f.follows in kept else replace(f, follows="") for f in findings)
    return replace(diagnosis, findings=findings, notes=notes, checked=checked, unchecked=unchecked)


def _blocked(history: History) -> bool:
    """Whether nothing at all passes some layer, for any of the examples."""
    starts = [site.initial for site in history.hidden() if site.can_die and site.initial is not None]
    return any(figures.dead.size and figures.dead.all() for figures in starts)


@contextmanager
def _untouched(model: nn.Module, loss_fn: Any) -> Iterator[None]:
    """Put everything back on leaving: gradients, buffers, modes, random numbers. Inside, the model is in training mode.

    A model that is in training mode as a whole may hold modules that are not (frozen batch normalisation); they stay.
    """
    watched = [model, loss_fn] if isinstance(loss_fn, nn.Module) else [model]
    modules = list(dict.fromkeys(module for root in watched for module in root.modules()))
    modes = [(module, module.training) for module in modules]
    gradients = [(p, p.grad) for root in watched for p in root.parameters()]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
    ]
    devices = {p.device for root in watched for p in (*root.parameters(), *root.buffers())}
    for p, _ in gradients:
        p.grad = None
    if not model.training:
        model.train()
    try:
        with _random_state(devices):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for p, gradient in gradients:
            p.grad = gradient
        with torch.no_grad():
            for module, name, buffer, held in buffers:
                if buffer is not None and held is not None:
                    buffer.copy_(held)
                module._buffers[name] = buffer


@contextmanager
def _random_state(devices: set[torch.device]) -> Iterator[None]:
    """Put back what a random number was drawn from: Python's, NumPy's, PyTorch's on every device of the model."""
    own, numbers, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    others = [
        (torch.get_device_module(device), device) for device in devices if device.type not in ("cpu", "meta")
    ]
    states = [(module, device, module.get_rng_state(device)) for module, device in others]
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numbers)  # noqa: NPY002
        torch.set_rng_state(torchs)
        for module, device, state in states:
            module.set_rng_state(state, device)


__all__ = ["lint"]
