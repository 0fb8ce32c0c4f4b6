"""A bake-off on disk: a directory per trial, one writer per file, and a file has its name only when it is whole.

    DIR/spec.toml            the specification of the last start
    DIR/plan.json            its trials so far, in order, and how many train as one
    DIR/environment.json     versions and machine
    DIR/lock                 who works here
    DIR/trials/KEY/trial.json     what is computed
    DIR/trials/KEY/epochs.jsonl   a line an epoch, as training goes on
    DIR/trials/KEY/result.json    written last: its presence says that the trial is finished
    DIR/trials/KEY/error.json     only after a failure: what went wrong, and how often
    DIR/groups/GROUP/members.json, checkpoint.npz     trials in training, one or several as one, after their last epoch

A process may be killed between any two of these writes: whatever is then missing or torn counts as not done.
Numbers that are not finite are stored as null (JSON has no other word) and read back as nan.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import Results, TrialResult
from triode.bakeoff.spec import Spec
from triode.bakeoff.storage.codec import dump_epoch, dump_result, parse_epoch, parse_result
from triode.bakeoff.storage.table import COLUMNS, csv_text
from triode.errors import TriodeError

__all__ = [
    "COLUMNS",
    "Failure",
    "Plan",
    "StorageError",
    "Store",
    "dump_epoch",
    "dump_result",
    "load",
    "parse_epoch",
    "parse_result",
    "storing",
    "write_csv",
    "write_whole",
]

_UNFINISHED = re.compile(r"\.(?:spec\.toml|results\.csv|epochs\.jsonl|[a-z]+\.json)\.\w{8}")
"""Names that `tempfile` gives to what is not whole yet."""
_ADVICE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "raise the limit on the size of files",
}


class StorageError(TriodeError):
    """The directory of results takes nothing more: no room, no right, no disk."""


@dataclass(frozen=True)
class Failure:
    """What `error.json` holds."""

    attempts: int
    """How often the trial was tried in vain, all starts together."""
    together: int
    """With how many trials, itself included, it was tried last."""
    reason: str
    """Last line of the traceback."""
    traceback: str


@dataclass(frozen=True)
class Plan:
    """What `plan.json` holds."""

    trials: tuple[tuple[str, str], ...]
    """Key and purpose of each trial, in order."""
    roads: dict[str, tuple[int, str]]
    """For a setting (its hash): how many trials train as one, and why, as measured by an earlier start."""


class Store:
    """The files of one bake-off. Methods that write raise `StorageError` when the disk takes nothing more."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is read or made yet."""
        self.directory = directory

    def make(self) -> None:
        """Make the directory where there is none."""
        with self._storing():
            (self.directory / "trials").mkdir(parents=True, exist_ok=True)

    def prepare(self, spec: Spec) -> None:
        """Make the directory hold this specification; trials that an earlier one left stay where they are."""
        self.make()
        with self._storing():
            _sweep(self.directory)
            write_whole(self.directory / "spec.toml", spec.to_toml(), durable=False)

    def plan(self) -> Plan:
        """What is planned; empty where nothing is; raises `TriodeError` where it cannot be read."""
        path = self.directory / "plan.json"
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            trials = tuple(
                (str(entry["key"]), str(entry.get("purpose", "final"))) for entry in read["trials"]
            )
            roads = {str(name): (int(n), str(why)) for name, (n, why) in read.get("roads", {}).items()}
        except FileNotFoundError:
            return Plan((), {})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TriodeError(
                f"{path} cannot be read ({error}): run the bake-off again, it repeats no finished trial."
            ) from error
        return Plan(tuple(entry for entry in trials if entry[0].isalnum()), roads)

    def write_plan(self, trials: Iterable[tuple[str, Trial]], roads: dict[str, tuple[int, str]]) -> None:
        """Store which trials there are, by key and in order."""
        listed = (
            json.dumps({"key": key, "activation": t.activation, "seed": t.seed, "purpose": t.purpose})
            for key, t in trials
        )
        text = f'{{"roads": {json.dumps(roads)},\n "trials": [\n' + ",\n".join(listed) + "\n]}\n"
        with self._storing():
            write_whole(self.directory / "plan.json", text, durable=False)

    def trial_dir(self, key: str) -> Path:
        """The folder of one trial."""
        return self.directory / "trials" / key

    def epochs_file(self, key: str) -> Path:
        """The growing record of one trial."""
        return self.trial_dir(key) / "epochs.jsonl"

    def error_file(self, key: str) -> Path:
        """Where the account of a trial's failure goes."""
        return self.trial_dir(key) / "error.json"

    def start(self, key: str, trial: Trial, lines: Sequence[str] = ()) -> TextIO:
        """Write what the trial computes, and open its record of epochs, which then holds just these lines.

        An attempt of another process that still writes there keeps a file without a name.
        """
        folder = self.trial_dir(key)
        with self._storing():
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            write_whole(folder / "trial.json", json.dumps(trial.to_plain(), indent=1) + "\n", durable=False)
            write_whole(self.epochs_file(key), "".join(f"{line}\n" for line in lines), durable=False)
            return self.epochs_file(key).open("a", encoding="utf-8", buffering=1)

    def finish(self, result: TrialResult) -> None:
        """Store the result: whole, or not at all; what was said of earlier failures goes."""
        folder = self.trial_dir(result.key)
        with self._storing():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "result.json", dump_result(result) + "\n")
            self.error_file(result.key).unlink(missing_ok=True)

    def adopt(self, result: TrialResult, trial: Trial) -> None:
        """Store what a worker with another disk sent."""
        self.start(result.key, trial, [dump_epoch(record) for record in result.epochs]).close()
        self.finish(result)

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

    def fail(self, key: str, failure: Failure) -> Path:
        """Keep the account of a failure, and return where."""
        with self._storing():
            self.trial_dir(key).mkdir(parents=True, exist_ok=True)
            text = json.dumps(failure.__dict__, indent=1) + "\n"
            write_whole(self.error_file(key), text, durable=False)
        return self.error_file(key)

    def failure(self, key: str) -> Failure | None:
        """How a trial failed before; None where it did not, or where nobody can tell any more."""
        try:
            read = json.loads(self.error_file(key).read_bytes())
            return Failure(
                int(read["attempts"]), int(read["together"]), str(read["reason"]), str(read["traceback"])
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def group_dir(self, keys: Sequence[str]) -> Path:
        """The folder of trials that train as one."""
        name = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:20]
        return self.directory / "groups" / name

    def start_group(self, keys: Sequence[str], software: str) -> Path:
        """Note who trains together, and return where the checkpoint goes.

        A checkpoint that other software left there is dropped: its training would go on with other last bits.
        """
        folder = self.group_dir(keys)
        with self._storing():
            folder.mkdir(parents=True, exist_ok=True)
            wanted = {"members": list(keys), "software": software}
            if _json(folder / "members.json") != wanted:
                (folder / "checkpoint.npz").unlink(missing_ok=True)
                write_whole(folder / "members.json", json.dumps(wanted) + "\n", durable=False)
        return folder / "checkpoint.npz"

    def drop_group(self, keys: Sequence[str]) -> None:
        """Forget the checkpoint of these trials."""
        _remove(self.group_dir(keys))

    def unfinished_groups(self) -> list[tuple[str, ...]]:
        """The members of each group that has a checkpoint, the one that got furthest last first; others are removed."""
        found: list[tuple[float, tuple[str, ...]]] = []
        for folder in sorted(self.directory.glob("groups/*")):
            read = _json(folder / "members.json")
            keys = read.get("members") if isinstance(read, dict) else None
            named = isinstance(keys, list) and all(isinstance(key, str) and key.isalnum() for key in keys)
            path = folder / "checkpoint.npz"
            if named and keys and folder == self.group_dir(keys) and path.is_file():
                found.append((path.stat().st_mtime, tuple(keys)))
            elif len(folder.name) == 20 and folder.name.isalnum():
                _remove(folder)
        return [keys for _, keys in sorted(found, reverse=True)]

    def environment(self) -> dict[str, str]:
        """What `environment.json` says; empty where it cannot be read."""
        read = _json(self.directory / "environment.json")
        return {str(name): str(value) for name, value in read.items()} if isinstance(read, dict) else {}

    def write_environment(self, environment: dict[str, str]) -> None:
        """Store versions and machine."""
        with self._storing():
            text = json.dumps(environment, indent=1) + "\n"
            write_whole(self.directory / "environment.json", text, durable=False)

    def _storing(self) -> contextlib.AbstractContextManager[None]:
        return storing(self.directory)


@contextmanager
def storing(directory: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one sentence: what is the matter, and what becomes of the rest."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "make it writable, or name another folder with --out")
        raise StorageError(
            f"results cannot be written to {directory}: {error.strerror or error}; {advice}, and start again: "
            "nothing that is finished is lost or repeated."
        ) from error


def load(directory: str | Path) -> Results:
    """Read a bake-off back from its directory, finished or not; nothing is trained.

    Raises `TriodeError` when the directory does not hold one.
    """
    store = Store(Path(directory))
    if not (store.directory / "spec.toml").is_file():
        raise TriodeError(f"{directory} holds no bake-off (no spec.toml): name the folder that --out named.")
    spec = Spec.from_toml(store.directory / "spec.toml")
    if not (store.directory / "plan.json").is_file():
        return Results(store.directory, spec, (), store.environment())
    return gather(store, spec, store.plan().trials, {})


def gather(
    store: Store, spec: Spec, keys: Iterable[tuple[str, str]], known: dict[str, TrialResult]
) -> Results:
    """The results of the trials with these keys and purposes; what is `known` is not read again."""
    found: dict[str, list[TrialResult]] = {"final": [], "tune": []}
    failures: dict[str, str] = {}
    for key, purpose in keys:
        result = known.get(key) or store.result(key)
        if result is not None:
            found["tune" if purpose == "tune" else "final"].append(result)
            continue
        failure = store.failure(key)
        if failure is not None:
            trial = _json(store.trial_dir(key) / "trial.json")
            failures[_label(trial, key)] = failure.reason
    return Results(
        store.directory, spec, tuple(found["final"]), store.environment(), tuple(found["tune"]), failures
    )


def label(activation: str, seed: int, purpose: str, learning_rate: float) -> str:
    """How a trial is called in a sentence.

    >>> label("gelu", 2, "final", 1e-3), label("gelu", 1_000_000, "tune", 1e-3)
    ('gelu, seed 2', 'gelu, seed 1000000, learning rate 0.001')
    """
    rate = f", learning rate {learning_rate:g}" if purpose == "tune" else ""
    return f"{activation}, seed {seed}{rate}"


def _label(plain: Any, key: str) -> str:
    try:
        return label(plain["activation"], plain["seed"], plain["purpose"], plain["setting"]["learning_rate"])
    except (TypeError, KeyError, ValueError):
        return key


def write_csv(results: Results) -> Path:
    """Write `results.csv`, a row a trial, and return its path."""
    path = results.directory / "results.csv"
    with storing(results.directory):
        write_whole(path, csv_text(results), durable=False)
    return path


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Give `path` this text at once: a reader sees the old file or the new one, never a part.

    `durable` waits until it would survive a power cut; a kill it survives in any case.
    """
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(unfinished).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def _sweep(folder: Path) -> None:
    """Remove what a killed `write_whole` left, and nothing of anybody else's."""
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if _UNFINISHED.fullmatch(entry.name)]
    for path in left:
        Path(path).unlink(missing_ok=True)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _remove(folder: Path) -> None:
    """Remove a group, its checkpoint first: without one it counts as never begun."""
    with contextlib.suppress(OSError):
        (folder / "checkpoint.npz").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
