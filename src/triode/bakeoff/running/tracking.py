"""Trackers: a bake-off written to the tools that people already look at, by their own clients.

One run a trial, named `relu, seed 0`, with its settings, a scalar for each figure of each epoch, and the final figures.

    triode bakeoff --track tensorboard      ->  tensorboard --logdir DIR/tensorboard
    triode bakeoff --track mlflow           ->  mlflow ui --backend-store-uri sqlite:///DIR/mlflow.db

The records of the bake-off stay the truth: a tracker that is asked for in the middle, or starts again after a kill,
fills in what it has not written and writes nothing twice.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.bakeoff.plan import Trial
from triode.errors import MissingExtra, TriodeError, nearest

if TYPE_CHECKING:
    from triode.bakeoff.records import EpochRecord, Results, TrialResult
    from triode.bakeoff.running.observers import Observer
    from triode.bakeoff.spec import Spec


def make(names: Iterable[str], directory: str | Path) -> list[Observer]:
    """The trackers of these names, writing under `directory`.

    Args:
        names: `tensorboard`, `mlflow`.
        directory: Of the bake-off.

    Raises:
        MissingExtra: When a tracker's own library is not installed.
        TriodeError: For a name that is none.

    >>> make([], "bakeoff")
    []
    """
    made: list[Observer] = []
    for name in dict.fromkeys(names):
        if name not in TRACKERS:
            raise TriodeError(
                f"track = {name!r} is not one of {', '.join(TRACKERS)}{nearest(name, TRACKERS)}"
            )
        made.append(TRACKERS[name](Path(directory)))
    return made


def scalars(record: EpochRecord, layers: Sequence[str] = (), sites: Sequence[str] = ()) -> dict[str, float]:
    """The figures of an epoch by the names under which trackers show them; those that are not finite are left out.

    Args:
        record: The epoch.
        layers: Names of the weight layers; by default their numbers from the input side.
        sites: Names of the activation sites; by default likewise.
    """
    found = {
        "loss/train": record.train_loss,
        "loss/validation": record.validation_loss,
        "accuracy/train": record.train_accuracy,
        "accuracy/validation": record.validation_accuracy,
        "dead/all": _mean(record.dead),
        "seconds": record.seconds,
    }
    for kind, values, names in (
        ("gradient_norm", record.gradient_norm, layers),
        ("dead", record.dead, sites),
        ("saturated", record.saturated, sites),
        ("spread", record.spread, sites),
    ):
        for place, value in enumerate(values):
            label = names[place] if len(names) == len(values) else str(place + 1)
            found[
                f"{kind}/{place + 1:02}_{label}" if label != str(place + 1) else f"{kind}/{place + 1:02}"
            ] = value
    for name, values in record.learned.items():
        found[f"learned/{name}"] = _mean(values)
    return {_plain(name): value for name, value in found.items() if math.isfinite(value)}


def settings(trial: Trial) -> dict[str, str | int | float | bool]:
    """What decides a trial, as a tracker's hyperparameters."""
    found: dict[str, str | int | float | bool] = {
        "activation": trial.activation,
        "formula": trial.formula,
        "seed": trial.seed,
        "purpose": trial.purpose,
    }
    for name, value in trial.setting.plain().items():
        found[name] = "-".join(map(str, value)) if isinstance(value, list) else value
    return found


def outcome(result: TrialResult) -> dict[str, float]:
    """The figures of a finished trial; those that are not finite are left out."""
    found = {
        "final/test_accuracy": result.test_accuracy,
        "final/test_loss": result.test_loss,
        "final/validation_accuracy": result.epochs[-1].validation_accuracy,
        "final/validation_loss": result.epochs[-1].validation_loss,
        "final/diverged": float(result.diverged),
        "final/parameters": float(result.parameters),
        "final/seconds": result.seconds,
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


class _Tracker:
    """What trackers share: which epochs of a trial are written, and filling in those that are not."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written: dict[str, int] = {}  # key -> last epoch written, for the runs that are open
        self._closed: set[str] = set()

    def begin(self, spec: Spec, trials: Sequence[Trial]) -> None:
        """Nothing is written before there is something to write."""

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        """Write an epoch, unless an earlier start has written it."""
        key = trial.key
        if key in self._closed:
            return
        if key not in self._written:
            self._written[key] = self._open(trial)
        self._add(key, [record])

    def trial(self, trial: Trial, result: TrialResult) -> None:
        """Write what is missing of a trial, its final figures, and close its run."""
        key = trial.key
        if key in self._closed:
            return
        if key not in self._written:
            if self._complete(trial):
                self._closed.add(key)
                return
            self._written[key] = self._open(trial)
        self._add(key, result.epochs)
        self._finish(trial, result)
        self._written.pop(key)
        self._closed.add(key)

    def end(self, results: Results) -> None:
        """Write the trials that were finished before this tracker was asked for, and close what is open."""
        for result in (*results.tuning, *results.trials):
            if result.key not in self._closed:
                trial = self._stored(result.key)
                if trial is not None:
                    self.trial(trial, result)
        for key in list(self._written):
            self._leave(key)
        self._written.clear()

    def _add(self, key: str, records: Iterable[EpochRecord]) -> None:
        new = [record for record in records if record.epoch > self._written[key]]
        if new:
            self._write(key, new)
            self._written[key] = new[-1].epoch

    def _stored(self, key: str) -> Trial | None:
        try:
            return Trial.from_plain(json.loads((self.directory / "trials" / key / "trial.json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _complete(self, trial: Trial) -> bool:
        raise NotImplementedError

    def _open(self, trial: Trial) -> int:
        """Open the run of a trial, and return the last epoch it holds already (-1: none)."""
        raise NotImplementedError

    def _write(self, key: str, records: Sequence[EpochRecord]) -> None:
        raise NotImplementedError

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        raise NotImplementedError

    def _leave(self, key: str) -> None:
        raise NotImplementedError


EVERY = 10.0
"""Seconds between two messages to MLflow: one costs its database tens of milliseconds, whatever is in it."""
MOST = 1000
"""Figures that MLflow takes in one message."""


class TensorBoard(_Tracker):
    """Event files under `DIR/tensorboard/`, a folder a trial, written by PyTorch's `SummaryWriter`.

    An event file cannot be appended to in good order after a kill, so an unfinished run is written anew from the
    records; a file `complete` says that a run is finished.
    """

    def __init__(self, directory: Path) -> None:
        """Find the library; nothing is written yet."""
        super().__init__(directory)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("TensorBoard", "--track tensorboard", "tensorboard") from error
        self._writer = SummaryWriter
        self._open_runs: dict[str, Any] = {}

    def folder(self, trial: Trial) -> Path:
        """Where the run of a trial is; tuning trials lie apart from final ones."""
        name = re.sub(r"[^\w.-]", "_", f"{trial.activation}-seed{trial.seed}")
        return self.directory / "tensorboard" / trial.purpose / f"{name}-{trial.key[:8]}"

    def _complete(self, trial: Trial) -> bool:
        return (self.folder(trial) / "complete").is_file()

    def _open(self, trial: Trial) -> int:
        folder = self.folder(trial)
        shutil.rmtree(folder, ignore_errors=True)
        # Flushed by hand after each epoch: what a kill leaves is then whole.
        self._open_runs[trial.key] = self._writer(str(folder), flush_secs=3600)
        return -1

    def _write(self, key: str, records: Sequence[EpochRecord]) -> None:
        run = self._open_runs[key]
        for record in records:
            for name, value in scalars(record).items():
                run.add_scalar(name, value, record.epoch)
        run.flush()

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        run = self._open_runs.pop(trial.key)
        run.add_hparams(settings(trial), outcome(result), run_name=".", global_step=result.epochs[-1].epoch)
        run.close()
        (self.folder(trial) / "complete").touch()

    def _leave(self, key: str) -> None:
        self._open_runs.pop(key).close()


class MLflow(_Tracker):
    """Runs of MLflow in the experiment `triode DIR`.

    They go to the server that the environment variable MLFLOW_TRACKING_URI names, else to the database
    `DIR/mlflow.db`. A run is found again by its tag `triode.key`; the epochs it holds are not written again.
    """

    def __init__(self, directory: Path) -> None:
        """Find the library; nothing is written yet."""
        super().__init__(directory)
        try:
            with _hushed():
                import mlflow.entities
                from mlflow.tracking import MlflowClient

                if not os.environ.get("MLFLOW_TRACKING_URI"):
                    import alembic  # noqa: F401  (a local database needs both)
                    import sqlalchemy  # noqa: F401
        except ImportError as error:
            raise MissingExtra("MLflow", "--track mlflow", "mlflow") from error
        self._client_class: Any = MlflowClient
        self._entities: Any = mlflow.entities
        self._connected: Any = None
        self._experiment = ""
        self._runs: dict[str, str] = {}
        self._pending: dict[str, list[Any]] = {}
        self._sent = time.monotonic()

    @property
    def address(self) -> str:
        """Where the runs go."""
        return (
            os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(self.directory / 'mlflow.db').resolve()}"
        )

    def _client(self) -> Any:
        if self._connected is None:
            with _hushed():
                self._connected = self._client_class(tracking_uri=self.address)
                name = f"triode {self.directory.resolve().name}"
                found = self._connected.get_experiment_by_name(name)
                store = (self.directory / "mlartifacts").resolve().as_uri()
                local = not os.environ.get("MLFLOW_TRACKING_URI")
                place = {"artifact_location": store} if local else {}
                self._experiment = (
                    found.experiment_id if found else self._connected.create_experiment(name, **place)
                )
        return self._connected

    def _find(self, trial: Trial) -> Any:
        client = self._client()
        with _hushed():
            found = client.search_runs([self._experiment], filter_string=f"tags.`triode.key` = '{trial.key}'")
        return found[0] if found else None

    def _complete(self, trial: Trial) -> bool:
        run = self._find(trial)
        return run is not None and run.info.status == "FINISHED"

    def _open(self, trial: Trial) -> int:
        client = self._client()
        run = self._find(trial)
        with _hushed():
            if run is not None:
                self._runs[trial.key] = run.info.run_id
                client.update_run(run.info.run_id, status="RUNNING")
                held = client.get_metric_history(run.info.run_id, "loss/validation")
                return max((metric.step for metric in held), default=-1)
            tags = {"triode.key": trial.key, "triode.purpose": trial.purpose}
            name = f"{trial.activation}, seed {trial.seed}" + (" (tuning)" if trial.purpose == "tune" else "")
            run = client.create_run(self._experiment, run_name=name, tags=tags)
            self._runs[trial.key] = run.info.run_id
            params = [self._entities.Param(key, str(value)[:6000]) for key, value in settings(trial).items()]
            client.log_batch(run.info.run_id, params=params)
        return -1

    def _write(self, key: str, records: Sequence[EpochRecord]) -> None:
        for record in records:
            self._log(key, scalars(record), record.epoch)
        if time.monotonic() - self._sent >= EVERY:
            for run in list(self._pending):
                self._send(run)
            self._sent = time.monotonic()

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        self._log(trial.key, outcome(result), result.epochs[-1].epoch)
        self._close(trial.key, "FINISHED")

    def _leave(self, key: str) -> None:
        self._close(key, "KILLED")

    def _close(self, key: str, status: str) -> None:
        self._send(key)
        with _hushed():
            self._client().set_terminated(self._runs.pop(key), status=status)

    def _log(self, key: str, values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now, step) for name, value in values.items()]
        self._pending.setdefault(key, []).extend(metrics)

    def _send(self, key: str) -> None:
        metrics = self._pending.pop(key, [])
        with _hushed():
            for start in range(0, len(metrics), MOST):
                self._client().log_batch(self._runs[key], metrics=metrics[start : start + MOST])


TRACKERS: dict[str, type[TensorBoard] | type[MLflow]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
"""Every tracker by the name that `--track` takes."""


@contextmanager
def _hushed() -> Iterator[None]:
    """Without the warnings that a tracker's own libraries give one another, and its notes on making a database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
        for name in before:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


def _plain(name: str) -> str:
    # MLflow takes letters, digits, underscores, dashes, dots, blanks, colons and slashes.
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else math.nan
