"""Runs a user's script once more with a prescription applied, unchanged otherwise, to see whether it helps.

The script is run in a process of its own, for as many steps as before. Its model is treated in the moment before its
first training call, when model and optimiser are both there; what concerns neither of them (the loss, the data) is
the script's own text, and only the patch can change it.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from triode.doctor.diagnosis import Diagnosis, Finding, Prescription
from triode.doctor.history import History
from triode.doctor.launch import Command
from triode.doctor.script import Examined, examine_script
from triode.errors import TriodeError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from triode.doctor.remedies._verdict import Curve, Proof

MOST = 3
"""Most prescriptions that are tried, each of which costs as long as the script."""
PATIENCE = 3.0
"""How many times as long as before the script may run again."""
GROUND = "same weights, data and seed"
"""What a comparison of two trainings says of itself, and cannot say where a script is run again."""
START = 60.0
"""Seconds that it gets beside that, to start."""


@dataclass
class Retrial:
    """What a script did when it was run again with a prescription.

    Attributes:
        histories: What was seen.
        findings: What is found now.
        refused: Why the prescription could not be applied, or the script did not train; "" where it did.
    """

    histories: list[History] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    refused: str = ""


def retry(command: Command, prescription: Prescription, history: History, steps: int) -> Retrial:
    """Run a script again, treated, in a fresh process; what it prints is not shown.

    Args:
        command: The script.
        prescription: What to change.
        history: What was seen of the model that it concerns.
        steps: After how many training steps it is stopped.

    Returns:
        What was seen. A script that fails or takes far longer than before is an answer too, and no error.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, command, prescription, history, steps))
    with _nothing_to_import():
        process.start()
    there.close()
    try:
        if not here.poll(START + PATIENCE * history.seconds):
            return Retrial(refused="it took far longer than before and was ended")
        retrial: Retrial = here.recv()  # from the process that was just started, through a pipe of its own
        return retrial
    except EOFError:
        return Retrial(refused="its process ended without an answer")
    finally:
        here.close()
        process.join(1.0)
        if process.is_alive():
            process.terminate()
            process.join(5.0)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _nothing_to_import() -> Iterator[None]:
    """Inside, a new process does not begin by running once more what this one was started with."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def prove_script(examined: Examined, say: Callable[[str], None] = lambda line: None) -> Diagnosis:
    """Run a script again with one prescription after another until one has helped.

    Args:
        examined: The script and its diagnosis.
        say: Told what is going on.

    Returns:
        The diagnosis with a proof for each prescription that was tried: whether the finding is gone or much weaker,
        and the loss lower. One that cannot be tried on a script is passed over.
    """
    from triode.doctor.remedies import REMEDIES
    from triode.doctor.remedies._verdict import judge

    diagnosis = examined.diagnosis
    proofs: list[Proof] = []
    for finding, prescription in _candidates(diagnosis)[: 2 * MOST]:
        history = next((h for h in examined.histories if h.name == finding.model), examined.histories[0])
        remedy = REMEDIES.get(prescription.kind)
        title = remedy.title if remedy is not None else prescription.kind
        say(f"running {examined.command} again: {title[:1].lower()}{title[1:]}")
        retrial = retry(examined.command, prescription, history, history.steps)
        if retrial.refused:
            say(f"that could not be tried: {retrial.refused}.")
            continue
        seen = next((h for h in retrial.histories if h.name == history.name), retrial.histories[0])
        before = _curve(history, diagnosis.findings)
        proof = judge(finding, (prescription,), before, _curve(seen, retrial.findings))
        # Whether the script is deterministic is its own affair.
        proofs.append(replace(proof, sentence=proof.sentence.replace(GROUND, "the script run again")))
        if proof.helped or len(proofs) == MOST:
            break
    return diagnosis.with_proofs(tuple(proofs))


def _candidates(diagnosis: Diagnosis) -> list[tuple[Finding, Prescription]]:
    """The prescriptions in their order, each with the finding that asks for it first."""
    return [
        (next(f for f in diagnosis.findings if prescription in f.prescriptions), prescription)
        for prescription in diagnosis.prescriptions
    ]


def _curve(history: History, findings: tuple[Finding, ...]) -> Curve:
    from triode.doctor.remedies._verdict import Curve

    return Curve(
        losses=tuple(history.losses),
        loss=history.loss.name,
        findings=tuple(f.diagnosis for f in findings if f.model == history.name),
        history=history,
        error=history.exception,
    )


def _child(
    pipe: Connection, command: Command, prescription: Prescription, history: History, steps: int
) -> None:
    """The other process: run the script silently and send what was seen."""
    multiprocessing.current_process().name = "MainProcess"  # scripts ask for it
    with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123
        for stream in (0, 1, 2):
            with suppress(OSError):
                os.dup2(nothing.fileno(), stream)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 (multiprocessing has put another one there)
    said: list[str] = []
    try:
        examined = examine_script(
            command, steps=steps, prepare=lambda: treating(prescription, history, said.append)
        )
    except Exception as error:  # noqa: BLE001 (every failure is an answer)
        pipe.send(Retrial(refused=str(error)))
        return
    if "" in said and examined.trained:
        pipe.send(Retrial(examined.histories, examined.diagnosis.findings))
        return
    refused = next(filter(None, said), examined.outcome.error or "its model was not met again")
    pipe.send(Retrial(refused=refused))


@contextmanager
def treating(prescription: Prescription, history: History, say: Callable[[str], None]) -> Iterator[None]:
    """Treat the model of a history in the moment before it is first called to be trained.

    Args:
        prescription: What to change.
        history: What was seen of the model when the script ran before.
        say: Told "" when it is done, or a sentence that says why it cannot be.
    """
    from torch import is_grad_enabled, nn
    from torch.optim import Optimizer

    patched: Any = nn.Module
    made: list[Any] = []
    rates = _Rates()
    initialise, call = Optimizer.__init__, nn.Module.__call__

    @functools.wraps(initialise)
    def remember(self: Optimizer, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        made.append(self)

    @functools.wraps(call)
    def treat_first(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if made and is_grad_enabled() and nn.Module.__call__ is treat_first:
            optimizer = _optimizer_of(self, made)
            if optimizer is not None and _is(self, history):
                patched.__call__ = call
                say(_apply(self, optimizer, prescription, history, rates))
        return call(self, *args, **kwargs)

    Optimizer.__init__ = remember  # type: ignore[method-assign]
    patched.__call__ = treat_first
    try:
        yield
    finally:
        Optimizer.__init__ = initialise  # type: ignore[method-assign]
        patched.__call__ = call
        rates.remove()


def _apply(model: Any, optimizer: Any, prescription: Prescription, history: History, rates: _Rates) -> str:
    """Treat model and optimiser where they are; "" or a sentence that says what is in the way."""
    import torch

    from triode.doctor.remedies import REMEDIES
    from triode.doctor.treatment import Training

    def loss(prediction: Any, target: Any) -> Any:
        raise TriodeError("the loss is computed by the script")

    if prescription.kind not in REMEDIES:
        return f"there is no remedy {prescription.kind!r}"
    training = Training(model, _like_inputs(history), loss, optimizer)
    training.owned = {id(p): p for p in model.parameters()}
    groups = optimizer.param_groups
    before = [group["lr"] for group in groups]
    try:
        with torch.random.fork_rng(devices=[]):
            REMEDIES[prescription.kind].apply(training, prescription, history)
    except TriodeError as error:
        return str(error)
    if training.model is not model or training.optimizer is not optimizer:
        return "it replaces an object that the script keeps; only the patch can"
    if training.loss_fn is not loss:
        return "it changes the loss, which the script computes; only the patch can"
    after = [group["lr"] for group in groups]
    if after != before:
        for group, rate in zip(groups, before, strict=False):
            group["lr"] = rate
        rates.optimizer = optimizer
        rates.factors = [new / old if old else 1.0 for new, old in zip(after, before, strict=False)]
    return ""


class _Rates:
    """Scales learning rates during each step only: schedules, and scripts that set rates, go on as they do."""

    def __init__(self) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self.optimizer: Any = None
        self.factors: list[float] = []
        self._kept: list[Any] = []
        # Put on before those of the watcher, which then sees the rates that are used.
        self._handles = [
            register_optimizer_step_pre_hook(self._scale),
            register_optimizer_step_post_hook(self._restore),
        ]

    def remove(self) -> None:
        """Scale no longer."""
        for handle in self._handles:
            handle.remove()

    def _scale(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        del args, kwargs
        if optimizer is self.optimizer:
            self._kept = [group["lr"] for group in optimizer.param_groups]
            for group, factor in zip(optimizer.param_groups, self.factors, strict=False):
                group["lr"] = group["lr"] * factor

    def _restore(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        del args, kwargs
        if optimizer is self.optimizer:
            for group, rate in zip(optimizer.param_groups, self._kept, strict=False):
                group["lr"] = rate


def _like_inputs(history: History) -> Any:
    """One batch with the mean and the standard deviation of what the model was given, for what scales by them."""
    import torch

    seen = next((each for each in history.inputs if not each.integer and each.mean.size), None)
    if seen is None:
        return ()
    mean, std = torch.tensor(seen.mean), torch.tensor(seen.std)
    pair = torch.stack([mean - std, mean + std]).to(torch.get_default_dtype())
    if len(seen.shape) in (4, 5):
        pair = pair.reshape(2, -1, *[1] * (len(seen.shape) - 2))
    elif len(seen.shape) == 3:
        pair = pair.unsqueeze(1)
    return [(pair, torch.zeros(2))]


def _optimizer_of(model: Any, made: list[Any]) -> Any:
    held = {id(p) for p in model.parameters()}
    return next(
        (o for o in made if any(id(p) in held for group in o.param_groups for p in group["params"])), None
    )


def _is(model: Any, history: History) -> bool:
    """Whether a model is the one of a history: it has the same layers, by name and size."""
    from triode.doctor.observe.naming import plain

    sizes = {plain(name): int(p.numel()) for name, p in model.named_parameters()}
    return all(
        sum(sizes.get(name, 0) for name in layer.parameters) == layer.weights for layer in history.layers
    )
