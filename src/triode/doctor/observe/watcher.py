"""Watches every model that trains, from outside: a mode that sees PyTorch's functions, and global hooks.

A *mode* (:class:`torch.overrides.TorchFunctionMode`) is told of every function called on a tensor, so a functional
call is seen as a module is. On the steps that are looked at closely it is on from the moment a model is called until
the optimiser's step; on the others while the model runs, and only where a unit is still silent; never during the
optimiser's own arithmetic or while data are loaded. Hooks on all modules say where in the model we are; hooks on all
optimisers say when a step is made. Nothing here draws a random number or changes one of the user's tensors.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from triode.adapters.torch import Activation
from triode.doctor.history import History
from triode.doctor.observe.installation import install, look_inside_compiled
from triode.doctor.observe.listener import Listener, careful
from triode.doctor.observe.naming import variable_name
from triode.doctor.observe.nonfinite import locate
from triode.doctor.observe.patient import SETTLING, Patient
from triode.doctor.observe.root import Root
from triode.doctor.observe.step import Step
from triode.doctor.observe.tensors import Running
from triode.doctor.observe.tracer import Tracer, tensors


class Watcher(Listener):
    """Watch while the `with` block runs.

    Args:
        models: The models to watch; None for every model that is called.
        budget: Share of the time that watching may take; sampling adapts to it.
        on_step: Called after each step of an optimiser with this watcher.

    Examples:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> with Watcher() as watcher:
        ...     loss = net(torch.rand(16, 4)).square().mean()
        ...     loss.backward()
        ...     optimizer.step()
        >>> [history] = watcher.histories()
        >>> [site.name for site in history.sites], history.steps
        (['0.relu'], 1)
    """

    def __init__(
        self,
        models: Sequence[nn.Module] | None = None,
        *,
        budget: float = 0.05,
        on_step: Callable[[Watcher], None] | None = None,
    ) -> None:
        """Nothing is hooked before the `with` block is entered."""
        super().__init__(budget)
        self._only = None if models is None else {id(model): model for model in models}
        self.on_step = on_step

    # ---------------------------------------------------------------- entering and leaving

    def __enter__(self) -> Watcher:
        """Put the hooks on."""
        self._thread = threading.get_ident()
        self._entered = time.perf_counter()
        self._hooks = install(
            self._before_module,
            self._after_module,
            self._before_step,
            self._after_step,
            self._differentiated,
            self._passes.loader,
        )
        return self

    def __exit__(self, *error: object) -> None:
        """Take everything off again."""
        self._mode.end()
        self._hooks.close()
        self._eager = False
        self.seconds += time.perf_counter() - self._entered
        self._stack, self._root, self._tracer = [], None, None
        self._step = Step()

    # ---------------------------------------------------------------- modules

    def _before_module(self, module: nn.Module, args: Any) -> None:
        if self._stack:
            if self._thread != threading.get_ident():
                return
            self._stack.append(module)
            if not self._atomic and self._mode.on and isinstance(module, Activation):
                self._atomic.append((module, next(tensors(args), None)))
            return
        if self._thread != threading.get_ident() or self._skipping is not None or self._handling:
            return
        if torch._C._current_graph_task_id() != -1:  # recomputed for the backward pass: seen already
            return
        if self._only is not None and id(module) not in self._only:
            return
        if not torch.is_grad_enabled() and not self._final:
            self._skipping = module
            return
        if next(module.parameters(), None) is None:
            return
        with self._ourselves():
            self._begin(module, args)
        if self._listening():
            self._mode.begin()

    def _after_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._skipping is module:
            self._skipping = None
            return
        if not self._stack or self._stack[-1] is not module or self._thread != threading.get_ident():
            return
        self._stack.pop()
        if self._atomic and self._atomic[-1][0] is module:
            _, z = self._atomic.pop()
            if isinstance(z, Tensor) and isinstance(output, Tensor):
                with self._ourselves():
                    self._activation(_name(module), z, output, (z,), {})
        if not self._stack:
            with self._ourselves():
                self._end(output)

    @careful
    def _begin(self, module: nn.Module, args: Any) -> None:
        if not self._step.roots and not self._final and self._passes.due():
            self._close_pass()
        start = time.perf_counter()
        self._eager = self._eager or look_inside_compiled(self._hooks)
        root = self.roots.get(id(module))
        if root is None:
            root = self.roots[id(module)] = Root(module, variable_name(module))
            hook = module.register_forward_pre_hook(self._keywords, with_kwargs=True)
            self._hooks.callback(hook.remove)
            self._trace_next = True
            if isinstance(module, torch.jit.ScriptModule):
                self.limits.append(
                    f"{root.name} is a TorchScript module: what happens inside cannot be seen."
                )
            elif hasattr(module, "_orig_mod"):
                self.limits.append(
                    f"{root.name} is compiled by torch.compile; it ran uncompiled so that its inside could be seen."
                )
        step = self._step
        if not step.roots:
            self.rhythm.begin()
            self.rhythm.sampling = self.rhythm.sampling or self._final
            if self._trace_next and not self._final:
                self._tracer = self._kept or Tracer(dict(root.parameters))
                self._tracer.begin()
        if root not in step.roots:
            step.roots.append(root)
        self._root, root.place = root, 0
        self._stack.append(module)
        if self._tracer is not None:
            root.refresh()
            self._tracer.names = {**self._tracer.names, **root.current}
            root.traced = []
            for tensor in tensors(args):
                if id(tensor) not in root.parameters and self._tracer.makers.get(tensor) is None:
                    self._tracer.data(tensor, "input", live=True)
        if self.rhythm.sampling and not self._final:
            step.inputs += [(root, place, tensor) for place, tensor in enumerate(tensors(args))]
        step.arguments = (root, args)
        self.rhythm.own += time.perf_counter() - start

    @careful
    def _keywords(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A model was called with keyword arguments, which hooks on all modules are not told of."""
        root = self.roots.get(id(module))
        if kwargs and root is not None and root is self._root and self.rhythm.sampling and not self._final:
            first = len(list(tensors(args)))
            self._step.inputs += [(root, first + place, t) for place, t in enumerate(tensors(kwargs))]

    @careful
    def _end(self, output: Any) -> None:
        root, self._root = self._root, None
        if root is None or self._final:
            return
        outputs = list(tensors(output))
        outputs = [
            tensor for tensor in outputs if tensor.dim()
        ] or outputs  # a loss among them is no prediction
        self._step.outputs.append((root, outputs))
        if self._tracer is not None:
            made = [self._tracer.maker(tensor, in_model=True) for tensor in outputs]
            self._tracer.outputs += made
            self._tracer.handed.update(made)
            if root.traced and not root.known:
                self._step.learn.append((root, list(root.traced)))
            root.traced = []
        if not self._closely():
            self._mode.end()

    def _closely(self) -> bool:
        """Whether this step is seen whole, what is computed after the model has returned included."""
        return (
            self._tracer is not None or self.rhythm.sampling or self._scaled or self.rhythm.steps < SETTLING
        )

    def _listening(self) -> bool:
        """Whether functions are listened to while the model that was just called runs."""
        root = self._root
        if root is None or self._final or self._closely() or not root.known:
            return True
        silent = [each for each in root.sites.values() if not each.now.all_alive]
        if silent and self.rhythm.asking:
            return True
        for each in root.sites.values():
            each.now.examples += each.now.batch
            each.now.skipped += not each.now.all_alive
        return False

    # ---------------------------------------------------------------- steps

    def _differentiated(self, loss: Tensor) -> ExitStack:
        """`loss.backward()` was called; what is returned is open while it runs."""
        stack = ExitStack()
        if self._thread == threading.get_ident() and not self._handling and not self._stack:
            with self._ourselves():
                if self._step.roots:
                    self._backward(loss)
            stack.enter_context(self._ourselves())
        return stack

    @careful
    def _backward(self, loss: Tensor) -> None:
        step = self._step
        if self._tracer is not None:
            self._tracer.loss = self._tracer.maker(loss, in_model=False)
        step.backward(loss)
        self._scaled = self._scaled or step.scaled
        # On an accelerator to ask for a number is to wait for it: it is asked for on sampled steps only.
        if (loss.is_cpu or self.rhythm.sampling) and not self._ill and not math.isfinite(step.loss):
            self._ill = True
            with self._ourselves():
                step.nonfinite = locate(step, self.rhythm.steps, loss)
        step.seen = []

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._thread != threading.get_ident():
            return
        # Nothing to take in yet: the model is called inside the step (L-BFGS). Already taken in: a wrapped optimiser.
        if not self._step.roots or self._step.finished:
            return
        self._finish(optimizer)

    @careful
    def _finish(self, optimizer: Any) -> None:
        """A step is about to be made: take in what it has shown."""
        self._mode.end()
        start = time.perf_counter()
        step, tracer = self._step, self._tracer
        step.finished = True
        if not (step.losses or step.waiting):
            # Differentiated by a road that is not dispatched (torch.autograd.backward): the last number computed.
            last = [result for *_, result in step.after if isinstance(result, Tensor) and result.numel() == 1]
            if last and last[-1].requires_grad:
                self._backward(last[-1])
        patient = self.patients.get(id(optimizer))
        if patient is None:
            trained = _parameters_of(optimizer)
            # Not only those called in this step: a generator may have been called in its discriminator's.
            roots = [root for root in self.roots.values() if trained & set(root.parameters)]
            if optimizer is None:
                roots = list(step.roots)
            if not roots:
                self._reset()
                return
            patient = self.patients[id(optimizer)] = Patient(optimizer, roots, trained)
        if tracer is not None:
            patient.learn(tracer, step)
        self._trace_next = any(not each.known_graph for each in self.patients.values())
        for root, place, tensor in step.inputs:
            while len(root.inputs) <= place:
                root.inputs.append(Running(f"input {len(root.inputs) + 1}"))
            root.inputs[place].add(tensor)
        patient.take(step, self.rhythm, self._passes.number)
        self.rhythm.own += time.perf_counter() - start
        if optimizer is None:
            self._passes.steps += 1
            self.rhythm.end(len(patient.losses) <= 1)

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._thread != threading.get_ident():
            return
        if not self._step.roots:
            self.unowned += 1
            return
        if not self._step.finished:
            self._finish(optimizer)
        self._moved(optimizer)
        if self.on_step is not None:
            self.on_step(self)

    @careful
    def _moved(self, optimizer: Any) -> None:
        start = time.perf_counter()
        patient = self.patients.get(id(optimizer))
        if patient is not None:
            patient.after_step()
        self._passes.steps += 1
        self.rhythm.own += time.perf_counter() - start
        self.rhythm.end(any(len(p.losses) <= 1 for p in self.patients.values()))
        self._reset()

    def _reset(self) -> None:
        self._kept = self._tracer if self._trace_next else None
        self._tracer = None
        self._step = Step()

    def finish_step(self, optimizer: Any = None) -> None:
        """End a step that no optimiser makes: evaluation only, or one that an error has ended."""
        if self._step.roots:
            self._finish(optimizer)
            self._mode.end()
            self._reset()

    def loss(self, loss: Tensor) -> None:
        """Say what the loss is where its gradient cannot be taken."""
        self._backward(loss)

    def targets(self, targets: Any) -> None:
        """Say what this step's predictions are compared with, where the caller knows it."""
        self._step.targets = list(tensors(targets))

    # ---------------------------------------------------------------- passes

    def epoch(self) -> None:
        """Say that a pass over the data begins."""
        self._passes.known = True
        self._close_pass()

    def _close_pass(self) -> None:
        if self._passes.close():
            for patient in self.patients.values():
                patient.close_pass()

    @contextmanager
    def final_pass(self) -> Iterator[None]:
        """Inside, models are called with their weights held still: who is silent now is dead."""
        self._close_pass()
        self._final, self.rhythm.sampling = True, True
        try:
            yield
        finally:
            self._final = False
            self._mode.end()
            for patient in self.patients.values():
                patient.end_final()
            self._reset()

    def end_of_call(self) -> None:
        """Inside a final pass: the model has been called."""
        self._mode.end()
        self._step = Step()

    # ---------------------------------------------------------------- results

    def histories(self) -> list[History]:
        """What was seen so far, one for each optimiser that has made a step."""
        seconds = self.seconds or time.perf_counter() - self._entered
        patients = [patient for patient in self.patients.values() if patient.roots]
        found = []
        for patient in patients:
            history = patient.history()
            history.limits = [*self.limits, *history.limits]
            history.epochs_known = self._passes.known
            history.seconds, history.own_seconds = seconds, self.rhythm.total
            history.setup_seconds = self.rhythm.setup
            history.exception = self.exception
            found.append(history)
        return found


def _name(module: nn.Module) -> str:
    return module.activation.name if isinstance(module, Activation) else ""


def _parameters_of(optimizer: Any) -> set[int]:
    if optimizer is None:
        return set()
    return {id(p) for group in optimizer.param_groups for p in group["params"]}
