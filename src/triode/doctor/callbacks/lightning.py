"""The doctor as a callback of Lightning, under either of its names: `lightning` or `pytorch_lightning`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from triode.doctor.callbacks._watching import Doctor, FitWatcher, Report, made
from triode.doctor.diagnosis import Diagnosis
from triode.errors import MissingExtra

PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _bases() -> tuple[type, ...]:
    """The callback class of each package that is loaded; of the first that can be, where none is."""
    loaded = [name for name in PACKAGES if sys.modules.get(name) is not None]
    found: list[type] = []
    for name in loaded or PACKAGES:
        try:
            found.append(importlib.import_module(name).Callback)
        except ImportError:
            continue
        if not loaded:
            break
    if not found:
        raise MissingExtra("lightning", "the doctor's Lightning callback", "lightning")
    return tuple(found)


class _Callback:
    """Watch a Lightning training, and say at its end what ails the network.

    Training is not changed: the losses are the same to the last bit. Validation is not counted. After an error or an
    interruption it reports what was seen until then. Of several processes, the first reports what it has seen itself.

    Args:
        report: `terminal` prints the report at the end of a fit; None prints nothing.
        html: Where to write the report as one HTML file; None for nowhere.
        every: After so many epochs each, renew the diagnosis (and the HTML file), and print a line; None: at the end.

    Examples:
        >>> from triode.doctor.callbacks.lightning import DoctorCallback  # doctest: +SKIP
        >>> doctor = DoctorCallback(html="doctor.html")  # doctest: +SKIP
        >>> lightning.Trainer(max_epochs=2, callbacks=[doctor]).fit(model, loader)  # doctest: +SKIP
        >>> doctor.diagnosis  # doctest: +SKIP
        <Diagnosis: healthy, 14 rules checked, 0 notes>

    Source: the hooks are those of https://lightning.ai/docs/pytorch/stable/extensions/callbacks.html.
    """

    def __init__(
        self, report: Report = "terminal", html: str | Path | None = None, every: int | None = None
    ) -> None:
        super().__init__()
        self._doctor = Doctor(report, html, every)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis of the last fit; None before the first."""
        return self._doctor.diagnosis

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        called = {id(module): path or type(module).__name__ for path, module in pl_module.named_modules()}

        def scale() -> float:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            up = float(scaler.get_scale()) if scaler is not None else 1.0
            return up / trainer.accumulate_grad_batches if pl_module.automatic_optimization else up

        self._doctor.begin(FitWatcher(called, scale), speaks=bool(trainer.is_global_zero))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """A pass over the training data begins."""
        self._doctor.epoch()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The gradients are there.

        Lightning computes them inside the optimiser's step, where PyTorch's own hook before the step comes too early.
        """
        if isinstance(self._doctor.watcher, FitWatcher):
            self._doctor.watcher.about_to_step(optimizer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Diagnose and report."""
        self._doctor.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Diagnose and report what was seen until the error or the interruption."""
        self._doctor.end(exception)


def __getattr__(name: str) -> Any:
    """`DoctorCallback`, made of the framework's own class when it is first asked for."""
    if name != "DoctorCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return made(_Callback, _bases(), globals())


__all__ = ["DoctorCallback"]  # noqa: F822  (made by __getattr__)
