"""A bake-off on disk: a directory per trial, one writer per file, and a file has its name only when it is whole.

    DIR/spec.toml            the specification of the last start
    DIR/plan.json            keys of its trials, in order
    DIR/environment.json     versions and machine
    DIR/trials/KEY/trial.json     what is computed
    DIR/trials/KEY/epochs.jsonl   a line an epoch, as training goes on
    DIR/trials/KEY/result.json    written last: its presence says that the trial is finished
    DIR/trials/KEY/error.txt      only after a failure: what went wrong

Numbers that are not finite are stored as null (JSON has no other word) and read back as nan.
"""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
import warnings
from dataclasses import fields
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.spec import Spec
from triode.errors import TriodeError

COLUMNS = (
    "activation",
    "specification",
    "seed",
    "test_accuracy",
    "test_loss",
    "validation_accuracy",
    "best_validation_accuracy",
    "best_epoch",
    "train_loss",
    "train_accuracy",
    "epochs",
    "seconds_per_epoch",
    "seconds",
    "diverged",
    "learning_rate",
    "parameters",
    "key",
)
"""Columns of `results.csv`. Validation and training are those of the last epoch; `best_epoch` is the first with the
highest validation accuracy; `seconds_per_epoch` is the median over the epochs, of the training steps alone."""

_PER_LAYER = ("gradient_norm", "dead", "saturated", "mean", "spread")
_TEXT = {"key": str, "activation": str, "specification": str}


class Store:
    """The files of one bake-off."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is read or made yet."""
        self.directory = directory

    def prepare(self, spec: Spec, trials: tuple[Trial, ...]) -> None:
        """Make the directory hold this specification; trials that an earlier one left stay where they are."""
        try:
            (self.directory / "trials").mkdir(parents=True, exist_ok=True)
            write_whole(self.directory / "spec.toml", spec.to_toml())
            listed = [{"key": t.key, "activation": t.activation, "seed": t.seed} for t in trials]
            write_whole(self.directory / "plan.json", json.dumps({"trials": listed}, indent=1) + "\n")
        except OSError as error:
            raise TriodeError(
                f"results cannot be written to {self.directory}: {error.strerror or error}; "
                "name another folder with --out."
            ) from error

    def trial_dir(self, key: str) -> Path:
        """The folder of one trial."""
        return self.directory / "trials" / key

    def epochs_file(self, key: str) -> Path:
        """The growing record of one trial."""
        return self.trial_dir(key) / "epochs.jsonl"

    def error_file(self, key: str) -> Path:
        """Where the account of a trial's failure goes."""
        return self.trial_dir(key) / "error.txt"

    def forget_unfinished(self, key: str) -> None:
        """Drop what a killed or failed attempt left of this trial, so that it is not taken for the next attempt's."""
        self.epochs_file(key).unlink(missing_ok=True)
        self.error_file(key).unlink(missing_ok=True)

    def fail(self, key: str, account: str) -> Path:
        """Keep the account of a failure, and return where."""
        self.trial_dir(key).mkdir(parents=True, exist_ok=True)
        write_whole(self.error_file(key), account)
        return self.error_file(key)

    def start(self, trial: Trial) -> TextIO:
        """Write what the trial computes, and open its record of epochs; a line in it is a whole epoch.

        An attempt of another process that still writes there keeps a file without a name.
        """
        folder = self.trial_dir(trial.key)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "trial.json", json.dumps(trial.to_plain(), indent=1) + "\n")
        self.forget_unfinished(trial.key)
        return self.epochs_file(trial.key).open("w", encoding="utf-8", buffering=1)

    def finish(self, result: TrialResult) -> None:
        """Store the result: whole, or not at all."""
        folder = self.trial_dir(result.key)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "result.json", dump_result(result) + "\n")

    def result(self, key: str) -> TrialResult | None:
        """The stored result of a trial; None where there is none, and (with a warning) where it cannot be read."""
        path = self.trial_dir(key) / "result.json"
        try:
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            warnings.warn(f"{path} cannot be read ({error}); the trial counts as missing.", stacklevel=2)
            return None
        try:
            result = parse_result(text)
            if result.key != key:
                raise ValueError(f"it says it is {result.key}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            warnings.warn(f"{path} is torn or altered ({error}); the trial counts as missing.", stacklevel=2)
            return None
        return result

    def epochs_done(self, key: str) -> int:
        """How many epochs the running attempt of a trial has finished (the line of epoch 0 is not one)."""
        try:
            return max(0, self.epochs_file(key).read_bytes().count(b"\n") - 1)
        except OSError:
            return 0

    def environment(self) -> dict[str, str]:
        """What `environment.json` says; empty where it cannot be read."""
        try:
            read = json.loads((self.directory / "environment.json").read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in read.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def write_environment(self, environment: dict[str, str]) -> None:
        """Store versions and machine."""
        write_whole(self.directory / "environment.json", json.dumps(environment, indent=1) + "\n")


def load(directory: str | Path) -> Results:
    """Read a bake-off back from its directory, finished or not; nothing is trained.

    Raises `TriodeError` when the directory does not hold one.
    """
    store = Store(Path(directory))
    if not (store.directory / "spec.toml").is_file():
        raise TriodeError(f"{directory} holds no bake-off (no spec.toml): name the folder that --out named.")
    spec = Spec.from_toml(store.directory / "spec.toml")
    path = store.directory / "plan.json"
    try:
        keys = [str(entry["key"]) for entry in json.loads(path.read_text(encoding="utf-8"))["trials"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TriodeError(
            f"{path} cannot be read ({error}): run the bake-off again, it repeats no finished trial."
        ) from error
    found = [store.result(key) for key in keys if key.isalnum()]
    return Results(store.directory, spec, tuple(r for r in found if r is not None), store.environment())


def write_csv(results: Results) -> Path:
    """Write `results.csv`, a row a trial, and return its path."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for trial in results.trials:
        table.writerow([_row(trial)[column] for column in COLUMNS])
    path = results.directory / "results.csv"
    write_whole(path, text.getvalue())
    return path


def _row(trial: TrialResult) -> dict[str, object]:
    last = trial.epochs[-1]
    trained = trial.epochs[1:]
    best = max(trained, key=lambda record: record.validation_accuracy, default=trial.epochs[0])
    plain: dict[str, object] = {f.name: getattr(trial, f.name) for f in fields(trial)}
    return plain | {
        "validation_accuracy": last.validation_accuracy,
        "best_validation_accuracy": best.validation_accuracy,
        "best_epoch": best.epoch,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
        "epochs": len(trained),
        "seconds_per_epoch": median(record.seconds for record in trained) if trained else math.nan,
        "diverged": str(trial.diverged).lower(),
    }


def write_whole(path: Path, text: str) -> None:
    """Give `path` this text at once: a reader sees the old file or the new one, never a part."""
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def dump_epoch(record: EpochRecord) -> str:
    """One line of JSON."""
    return json.dumps(_plain(record), allow_nan=False)


def dump_result(result: TrialResult) -> str:
    """A result, its epochs included, as JSON on one line."""
    epochs = [_plain(record) for record in result.epochs]
    return json.dumps(_plain(result) | {"epochs": epochs}, allow_nan=False)


def parse_result(text: str) -> TrialResult:
    """The result back from `dump_result`; raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError("it is not an object")
    epochs = tuple(_epoch(entry) for entry in plain.pop("epochs"))
    if not epochs:
        raise ValueError("it has no epochs")
    values: dict[str, Any] = {}
    for f in fields(TrialResult):
        if f.name == "epochs":
            continue
        value = plain.pop(f.name)
        if f.name in _TEXT or f.name == "diverged":
            if not isinstance(value, _TEXT.get(f.name, bool)):
                raise ValueError(f"{f.name} is {value!r}")
            values[f.name] = value
        else:
            values[f.name] = int(value) if f.name in ("seed", "parameters") else _number(value)
    return TrialResult(epochs=epochs, **values)


def _epoch(plain: dict[str, Any]) -> EpochRecord:
    values: dict[str, Any] = {"epoch": int(plain["epoch"])}
    for f in fields(EpochRecord)[1:]:
        value = plain[f.name]
        values[f.name] = tuple(_number(item) for item in value) if f.name in _PER_LAYER else _number(value)
    return EpochRecord(**values)


def _plain(record: EpochRecord | TrialResult) -> dict[str, Any]:
    return {f.name: _finite(getattr(record, f.name)) for f in fields(record) if f.name != "epochs"}


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
