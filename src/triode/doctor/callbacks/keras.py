"""The doctor as a callback of Keras 3, for models that run on its PyTorch backend."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from triode.doctor.callbacks._keras_layers import Shadow, correct
from triode.doctor.callbacks._watching import Doctor, FitWatcher, Report, made
from triode.doctor.diagnosis import Diagnosis
from triode.errors import MissingExtra, TriodeError

SEES = "the doctor sees inside PyTorch alone: set KERAS_BACKEND=torch before Keras is imported."


def _keras() -> Any:
    try:
        return importlib.import_module("keras")
    except ImportError as error:
        if error.name not in (None, "keras"):  # Keras is there, the library of its backend is not
            raise TriodeError(f"Keras cannot load its backend ({error}); {SEES}") from error
        raise MissingExtra("keras", "the doctor's Keras callback", "keras") from error


class _Callback:
    """Watch a training by ``model.fit`` of Keras 3, and say at its end what ails the network.

    Training is not changed: the losses are the same to the last bit. Validation is not counted. Where an error or an
    interruption ends a step, it reports what was seen until then.

    Args:
        report: `terminal` prints the report at the end of a fit; None prints nothing.
        html: Where to write the report as one HTML file; None for nowhere.
        every: After so many epochs each, renew the diagnosis (and the HTML file), and print a line; None: at the end.

    Raises:
        TriodeError: If Keras computes by another backend than PyTorch, whose inside cannot be seen.

    Examples:
        >>> from triode.doctor.callbacks.keras import DoctorCallback  # doctest: +SKIP
        >>> doctor = DoctorCallback(html="doctor.html")  # doctest: +SKIP
        >>> model.fit(x, y, epochs=2, callbacks=[doctor])  # doctest: +SKIP
        >>> doctor.diagnosis  # doctest: +SKIP
        <Diagnosis: healthy, 14 rules checked, 0 notes>

    Source: the hooks are those of https://keras.io/api/callbacks/base_callback.
    """

    model: Any

    def __init__(
        self, report: Report = "terminal", html: str | Path | None = None, every: int | None = None
    ) -> None:
        backend = _keras().backend.backend()
        if backend != "torch":
            raise TriodeError(f"Keras runs on {backend}; {SEES}")
        super().__init__()
        self._doctor = Doctor(report, html, every)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis of the last fit; None before the first."""
        return self._doctor.diagnosis

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch."""
        watcher = KerasWatcher(self.model)
        self._doctor.begin(watcher)
        for patch in (watcher.see_layers, watcher.see_steps, self._see_errors):
            self._doctor.at_end(patch())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """A pass over the training data begins."""
        self._doctor.epoch()

    def on_train_end(self, logs: Any = None) -> None:
        """Diagnose and report."""
        self._doctor.end()

    def _see_errors(self) -> Callable[[], None]:
        """Learn of errors and interruptions, of which Keras tells nobody."""
        model = self.model
        original = model.train_function

        def train_function(data: Any) -> Any:
            try:
                return original(data)
            except BaseException as error:
                self._doctor.end(error)
                raise

        model.train_function = train_function

        def undo() -> None:
            model.train_function = original

        return undo


class KerasWatcher(FitWatcher):
    """Watches a Keras model: its layers and its optimiser call none of PyTorch's hooks."""

    def __init__(self, model: Any) -> None:
        """Watch `model`, and whatever else is called."""
        outer = model.optimizer

        def scale() -> float:
            factor = getattr(outer, "dynamic_scale", None)
            return float(factor if factor is not None else getattr(outer, "loss_scale_factor", None) or 1.0)

        super().__init__({}, scale)
        self._model = model
        self._shadows: dict[int, Shadow] = {}

    def _finish(self, optimizer: Any) -> None:
        known = set(self.patients)
        super()._finish(optimizer)
        for each in set(self.patients) - known:
            correct(self.patients[each])

    def histories(self) -> list[Any]:
        """What was seen so far, with Keras named as the framework."""
        found = super().histories()
        for history in found:
            history.framework = "keras"
        return found

    def see_layers(self) -> Callable[[], None]:
        """Have every call of a layer pass the watcher; returns what ends that."""
        layers = _keras().layers.Layer
        original = layers.__call__
        watcher = self

        @functools.wraps(original)
        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            shadow = watcher._shadow(layer, args)
            if shadow is None:
                return original(layer, *args, **kwargs)
            watcher._before_module(shadow, args)
            output = None
            try:
                output = original(layer, *args, **kwargs)
            finally:
                watcher._after_module(shadow, args, output)
            return output

        layers.__call__ = call

        def undo() -> None:
            layers.__call__ = original

        return undo

    def _shadow(self, layer: Any, args: Sequence[Any]) -> Shadow | None:
        if not self._stack:
            # Only the model itself begins a step: what losses and metrics call is not the patient.
            if layer is not self._model or not layer.built:
                return None
            first = _first_tensor(args)
            if first is None or first.device.type == "meta":  # Keras works out shapes
                return None
            if id(layer) not in self._shadows:
                self._called = {id(Shadow(layer, self._shadows)): layer.name}
        return self._shadows.get(id(layer))

    def see_steps(self) -> Callable[[], None]:
        """Have every step of the model's optimiser pass the watcher; returns what ends that."""
        outer = self._model.optimizer
        target = getattr(outer, "inner_optimizer", outer)
        if target is None:
            return lambda: None
        cls: Any = next(cls for cls in type(target).__mro__ if "apply" in vars(cls))
        original = cls.apply
        seen = _as_optimizer(target, self._model)
        watcher = self

        @functools.wraps(original)
        def apply(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
            if optimizer is not target or not _moves(optimizer):
                return original(optimizer, grads, trainable_variables)
            held = _show(grads, trainable_variables)
            try:
                watcher.about_to_step(seen)
            finally:
                for parameter, gradient in held:
                    parameter.grad = gradient
            result = original(optimizer, grads, trainable_variables)
            watcher.stepped(seen)
            return result

        cls.apply = apply

        def undo() -> None:
            cls.apply = original

        return undo


def _show(grads: Any, variables: Any) -> list[tuple[nn.Parameter, Tensor | None]]:
    """Put the gradients that the optimiser is given (unscaled, in mixed precision) where the watcher looks for them."""
    held = []
    for variable, gradient in zip(variables or (), grads, strict=False):
        parameter = variable.value
        held.append((parameter, parameter.grad))
        if (
            isinstance(gradient, Tensor)
            and gradient.shape == parameter.shape
            and gradient is not parameter.grad
        ):
            parameter.grad = gradient.to(parameter.dtype)
    return held


def _moves(optimizer: Any) -> bool:
    """Whether this call moves the weights; with accumulated gradients, most do not."""
    every = optimizer.gradient_accumulation_steps
    return not every or (int(optimizer._iterations.value) + 1) % int(every) == 0


def _as_optimizer(optimizer: Any, model: Any) -> Any:
    """A Keras optimiser with what the watcher asks one of PyTorch's for: its name, parameters, and rate."""

    def groups(self: Any) -> list[dict[str, Any]]:
        values = [variable.value for variable in model.trainable_variables]
        return [{"params": values, "lr": float(optimizer.learning_rate)}]

    return type(type(optimizer).__name__, (), {"param_groups": property(groups)})()


def _first_tensor(args: Sequence[Any]) -> Tensor | None:
    for each in args:
        if isinstance(each, Tensor):
            return each
        if isinstance(each, (tuple, list, dict)):
            found = _first_tensor(list(each.values()) if isinstance(each, dict) else each)
            if found is not None:
                return found
    return None


def __getattr__(name: str) -> Any:
    """`DoctorCallback`, made of the framework's own class when it is first asked for."""
    if name != "DoctorCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return made(_Callback, (_keras().callbacks.Callback,), globals())


__all__ = ["DoctorCallback"]  # noqa: F822  (made by __getattr__)
