"""Listening to the functions that PyTorch is called for: what a traced step is made of, what activations answer."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from torch import Tensor, nn

from triode.doctor.history import Kind
from triode.doctor.observe.mode import Mode
from triode.doctor.observe.operations import KIND, MAYBE_ACTIVATIONS, canonical
from triode.doctor.observe.passes import Passes
from triode.doctor.observe.patient import Patient
from triode.doctor.observe.rhythm import Rhythm
from triode.doctor.observe.root import Call, Root, SiteWatch, convolutional
from triode.doctor.observe.step import Step
from triode.doctor.observe.tracer import Tracer, tensors
from triode.doctor.observe.units import SAMPLE, Pass

WATCHED = (
    frozenset(name for name, kind in KIND.items() if kind in ("activation", "softmax")) | MAYBE_ACTIVATIONS
)
_READS = frozenset({"get", "set", "size", "dim", "numel", "is_complex", "requires_grad"})
"""Attributes read or set: nothing is computed."""
RETRACES = 20
"""How often a model may go another way than before until its dynamic parts are left alone."""


def careful(method: Callable[..., Any]) -> Callable[..., Any]:
    """Have a mistake of the doctor's own end the watching, never the user's training."""

    @functools.wraps(method)
    def carefully(self: Listener, *args: Any, **kwargs: Any) -> Any:
        if self.failed:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            if self.strict:
                raise
            self.failed = True
            self.limits.append(
                f"Watching ended after {self.rhythm.steps} steps, by an error of the doctor's: {error!r}."
            )
            return None

    return carefully


class Listener:
    """What is known while a training is watched, and what each function adds to it."""

    strict = False
    """Whether a mistake of the doctor's own is raised; the tests ask for it."""

    def __init__(self, budget: float) -> None:
        """Nothing seen yet."""
        self.rhythm = Rhythm(budget)
        self.roots: dict[int, Root] = {}
        self.patients: dict[int, Patient] = {}
        self.limits: list[str] = []
        self.unowned = 0
        """Steps of an optimiser before which no module with parameters was called."""
        self.exception = ""
        self.failed = False
        self.seconds = 0.0
        self._mode = Mode(self.call)
        self._stack: list[nn.Module] = []
        self._root: Root | None = None
        self._skipping: nn.Module | None = None
        self._handling = False
        self._atomic: list[tuple[nn.Module, Any]] = []
        self._step = Step()
        self._tracer: Tracer | None = None
        self._kept: Tracer | None = None
        self._trace_next = True
        self._passes = Passes()
        self._final = self._ill = self._scaled = False
        self._names: dict[Any, str] = {}
        self._hooks = ExitStack()
        self._eager = False
        self._thread = 0

    @contextmanager
    def _ourselves(self) -> Iterator[None]:
        """Inside, what is called on tensors is our own doing and not to be seen."""
        before, self._handling = self._handling, True
        try:
            yield
        finally:
            self._handling = before

    def call(self, function: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run a function of PyTorch's that was called while the mode is on."""
        self.rhythm.calls += 1
        name = self._names.get(function)
        if name is None:
            name = self._names[function] = canonical(function)
        if name in _READS and self._tracer is None:
            return function(*args, **kwargs)
        if self._atomic or self._handling or self._thread != threading.get_ident():
            return function(*args, **kwargs)
        if not self._stack:
            return self._outside(function, name, args, kwargs)
        if name in WATCHED:
            return self._watched(function, name, args, kwargs)
        result = function(*args, **kwargs)
        if KIND.get(name) == "loss":  # a model that computes its own loss
            self._step.after.append((name, args, kwargs, result))
        if self._tracer is not None:
            self._trace(name, args, kwargs, result)
        return result

    def _watched(self, function: Any, name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        root, tracing = self._root, self._tracer is not None
        if root is None:
            return function(*args, **kwargs)
        site: SiteWatch | None = None
        if not tracing:
            place, root.place = root.place, root.place + 1
            if place >= len(root.sequence) or root.sequence[place][0] != name:
                self._strayed(root)
                return function(*args, **kwargs)
            site = root.sequence[place][1]
            if site is None or (site.now.all_alive and not self.rhythm.sampling):
                if site is not None:
                    site.now.examples += (
                        len(args[0]) if args and isinstance(args[0], Tensor) and args[0].dim() else 0
                    )
                return function(*args, **kwargs)
        z = next((tensor for tensor in tensors(args) if tensor.numel() > 1), None)
        sample = self._sampled(z) if z is not None and (tracing or self.rhythm.sampling) else None
        result = function(*args, **kwargs)
        if tracing:
            index = self._trace(name, args, kwargs, result)
            if isinstance(result, Tensor) and index is not None:
                self._found(name, index, sample, result)
        elif isinstance(result, Tensor) and site is not None:
            self._measure(site, sample, result)
        return result

    @careful
    def _measure(self, site: SiteWatch, sample: Tensor | None, result: Tensor) -> None:
        start = time.perf_counter()
        site.now.ask(result)
        if sample is not None:
            site.now.sample(sample, result)
        self.rhythm.asked(time.perf_counter() - start)

    @careful
    def _activation(self, name: str, z: Tensor, output: Tensor, args: Any, kwargs: Mapping[str, Any]) -> None:
        """An activation module of Triode's, whose kernels PyTorch does not dispatch, was called."""
        root = self._root
        if root is None or not self._mode.on:
            return
        if self._tracer is not None:
            index = self._trace(name, args, kwargs, output, kind="activation")
            self._found(name, index, self._sampled(z), output)
            return
        place, root.place = root.place, root.place + 1
        if place >= len(root.sequence) or root.sequence[place][0] != name:
            self._strayed(root)
            return
        site = root.sequence[place][1]
        if site is not None:
            self._measure(site, self._sampled(z) if self.rhythm.sampling else None, output)

    @careful
    def _found(self, name: str, index: int, sample: Tensor | None, result: Tensor) -> None:
        """A traced step has met an activation function."""
        root, tracer = self._root, self._tracer
        if index < 0 or root is None or tracer is None:
            return
        operation = tracer.operations[index]
        place = len(root.traced)
        site = root.sequence[place][1] if root.known and place < len(root.sequence) else None
        parameters = {k: v for k, v in operation.details.items() if isinstance(v, float)}
        if operation.kind != "activation":
            parameters = {}
        found = (
            site.now if site is not None else Pass(operation.name, parameters, convolutional(tracer, index))
        )
        if operation.kind == "activation":
            found.ask(result)
            if sample is not None:
                found.sample(sample, result)
        root.traced.append(Call(name, index, found))

    def _outside(self, function: Any, name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        step = self._step
        result = function(*args, **kwargs)
        step.after.append((name, args, kwargs, result))
        if len(step.after) > 256:
            step.after = step.after[128:]
        if self._tracer is not None:
            self._trace(name, args, kwargs, result)
        return result

    @careful
    def _trace(
        self, name: str, args: Any, kwargs: Mapping[str, Any], result: Any, kind: Kind | Literal[""] = ""
    ) -> int:
        tracer = self._tracer
        if tracer is None:
            return -1
        module, root = "", self._root
        if self._stack and root is not None:
            module = root.paths.get(id(self._stack[-1]), "")
            for tensor in tensors((*args, *kwargs.values())):
                if id(tensor) not in tracer.names and tracer.makers.get(tensor) is None:
                    buffer = id(tensor) in root.buffers
                    tracer.data(tensor, "buffer" if buffer else "input", live=not buffer)
        index = tracer.record(name, args, kwargs, result, module, bool(self._stack), kind)
        if index >= 0 and root is not None and self._stack:
            tracer.owner[index] = id(root)
        if index >= 0 and root is not None and tracer.operations[index].kind == "weights":
            self._step.signal(root, tracer.operations[index], args, result)
        return index

    @careful
    def _strayed(self, root: Root) -> None:
        """A call has gone another way than the traced one: trace the next step again, but not for ever."""
        root.stale += 1
        root.known = False
        if root.stale <= RETRACES:
            self._trace_next = True
        elif root.stale == RETRACES + 1:
            self.limits.append(
                f"{root.name} calls different functions from step to step; its activations were watched in part."
            )
        root.known = root.stale > RETRACES

    def _sampled(self, z: Tensor) -> Tensor:
        """A few rows of a tensor, kept from what happens to it in place."""
        rows = max(1, SAMPLE * len(z) // max(z.numel(), 1)) if z.dim() else 1
        return z.detach()[:rows].clone() if z.dim() else z.detach().clone()
