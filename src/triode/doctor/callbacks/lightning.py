"""The doctor as a callback of Lightning, under either of its names: `lightning` or `pytorch_lightning`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from triode.doctor.callbacks._watching import Doctor, FitWatcher, Report
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


_Base: Any = type("_Base", _bases(), {})


class DoctorCallback(_Base):  # type: ignore[misc]  # which package it comes from is known when it runs
    """Watch a Lightning training, and say at its end what ails the network.

    Training is not changed: the losses are the same to the last bit. Validation is not counted. After an error or an
    interruption it reports what was seen until then. Of several processes, the first reports what it has seen itself.

    Args:
        report: `terminal` prints the report at the end of a fit; None prints nothing.
        html: Where to write the report as one HTML file; None for nowhere.
        every: After so many epochs each, renew the diagnosis (and the HTML file), and print a line; None: at the end.

    Examples:
        >>> import warnings; warnings.simplefilter("ignore")
        >>> import lightning, torch
        >>> class Net(lightning.LightningModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        ...     def training_step(self, batch, index):
        ...         x, y = batch
        ...         return (self.net(x) - y).square().mean()
        ...     def configure_optimizers(self):
        ...         return torch.optim.SGD(self.parameters(), lr=0.05)
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randn(64, 1))
        >>> doctor = DoctorCallback(report=None)
        >>> trainer = lightning.Trainer(
        ...     max_epochs=2, callbacks=[doctor], accelerator="cpu", logger=False, barebones=True)
        >>> trainer.fit(Net(), torch.utils.data.DataLoader(data, batch_size=16))
        >>> doctor.diagnosis.histories[0].steps
        8

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


__all__ = ["DoctorCallback"]
