"""The doctor as a callback of Hugging Face's Trainer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from triode.doctor.callbacks._watching import Doctor, FitWatcher, Report, made
from triode.doctor.diagnosis import Diagnosis
from triode.errors import MissingExtra


class _Callback:
    """Watch a training by ``transformers.Trainer``, and say at its end what ails the network.

    Training is not changed: the losses are the same to the last bit. Evaluation is not counted. Where an error or an
    interruption ends a step, it reports what was seen until then. Of several processes, the first reports what it has
    seen itself.

    Args:
        report: `terminal` prints the report at the end of a training; None prints nothing.
        html: Where to write the report as one HTML file; None for nowhere.
        every: After so many epochs each, renew the diagnosis (and the HTML file), and print a line; None: at the end.

    Examples:
        >>> from triode.doctor.callbacks.huggingface import DoctorCallback  # doctest: +SKIP
        >>> doctor = DoctorCallback(html="doctor.html")  # doctest: +SKIP
        >>> Trainer(model, arguments, train_dataset=data, callbacks=[doctor]).train()  # doctest: +SKIP
        >>> doctor.diagnosis  # doctest: +SKIP
        <Diagnosis: healthy, 14 rules checked, 0 notes>

    Source: the events are those of https://huggingface.co/docs/transformers/main_classes/callback.
    """

    def __init__(
        self, report: Report = "terminal", html: str | Path | None = None, every: int | None = None
    ) -> None:
        super().__init__()
        self._doctor = Doctor(report, html, every)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis of the last training; None before the first."""
        return self._doctor.diagnosis

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch."""
        model = kwargs.get("model")
        called = {} if model is None else {id(model): type(model).__name__}
        self._doctor.begin(FitWatcher(called), speaks=bool(state.is_world_process_zero))
        self._watch_errors()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A pass over the training data begins."""
        self._doctor.epoch()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Diagnose and report."""
        self._doctor.end()

    def _watch_errors(self) -> None:
        """Learn of errors and interruptions, of which the Trainer tells nobody, from its own training step."""
        frame: Any = sys._getframe()
        kind = importlib.import_module("transformers.trainer").Trainer
        while frame is not None and not isinstance(frame.f_locals.get("self"), kind):
            frame = frame.f_back
        if frame is None:
            return
        trainer = frame.f_locals["self"]
        own = vars(trainer).get("training_step")
        original = trainer.training_step

        def training_step(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self._doctor.end(error)
                raise

        def undo() -> None:
            if own is None:
                del trainer.training_step
            else:
                trainer.training_step = own

        trainer.training_step = training_step
        self._doctor.at_end(undo)


def __getattr__(name: str) -> Any:
    """`DoctorCallback`, made of the framework's own class when it is first asked for."""
    if name != "DoctorCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        importlib.import_module("accelerate")
        base = importlib.import_module("transformers.trainer_callback").TrainerCallback
    except ImportError as error:
        raise MissingExtra(
            "transformers and accelerate", "the doctor's Hugging Face callback", "huggingface"
        ) from error
    return made(_Callback, (base,), globals())


__all__ = ["DoctorCallback"]  # noqa: F822  (made by __getattr__)
