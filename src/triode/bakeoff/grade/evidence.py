"""What the directory of a bake-off holds, read so that nothing in it can stop the reader.

A directory may come from anyone: files that are missing, torn, altered or invented become notes, never exceptions, and
nothing that it names is imported or run.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import MEASURES, Measure, TrialResult
from triode.bakeoff.setting import IMPORTABLE
from triode.bakeoff.spec import CHAPTER_SEVEN, Spec
from triode.bakeoff.storage.codec import parse_result
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.grade.rerun import Rerun

LARGEST = 64 * 2**20
"""Bytes of the largest file that is read."""
MOST = 100_000
"""Most trial folders that are looked at."""
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What reading a file that somebody has altered can raise (`TriodeError` is a `ValueError`)."""
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Cell:
    """One trial: what its folder says was computed, and what came out."""

    trial: Trial
    result: TrialResult
    lines: str | None = None
    """The text of its `epochs.jsonl`; None where there is none."""

    @property
    def name(self) -> str:
        """`relu, seed 0`."""
        return f"{self.result.activation}, seed {self.result.seed}"


@dataclass(frozen=True)
class Evidence:
    """All that the criteria are judged by."""

    directory: Path
    spec: Spec | None
    """None where `spec.toml` cannot be used; the notes say why."""
    asked: tuple[str, ...]
    """Names of the activations that were asked for, as far as that is known."""
    seeds: int
    """Seeds asked for, of each activation."""
    cells: tuple[Cell, ...]
    """Final trials that finished and contradict nothing, activation by activation."""
    tuning: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read or used."""
    contradictions: tuple[str, ...] = ()
    """What cannot be true; the trials concerned are left out of `cells`."""
    failures: tuple[str, ...] = ()
    """Trials that raised and have no result."""
    data: Dataset | None = None
    rerun: Rerun | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def trials(self, activation: str) -> tuple[TrialResult, ...]:
        """The finished final trials of one activation, by seed."""
        return tuple(cell.result for cell in self.cells if cell.result.activation == activation)

    @cached_property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations with at least one finished final trial."""
        return tuple(dict.fromkeys(cell.result.activation for cell in self.cells))

    @property
    def measure(self) -> Measure:
        """What the trials are judged by."""
        task = self.cells[0].trial.setting.task if self.cells else "classification"
        if task == "auto":
            task = self.data.task if self.data is not None else "classification"
        return MEASURES.get(task, MEASURES["classification"])

    def complete(self, activation: str) -> bool:
        """Whether every seed of the activation finished without diverging."""
        found = self.trials(activation)
        return len({trial.seed for trial in found}) >= self.seeds and not any(t.diverged for t in found)

    @cached_property
    def page(self) -> str:
        """The text of `report.html`, where it is whole; else empty."""
        text = read(self.directory / "report.html") or ""
        return text if "</html>" in text[-2000:] else ""

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        """Picture files beside the records."""
        found = []
        for folder in (self.directory, *_folders(self.directory)):
            if folder.name not in ("trials", "groups", "mlruns", "tensorboard"):
                found += [path for path in _files(folder) if path.suffix.lower() in PICTURES]
        return tuple(found)


def chapter_seven() -> tuple[str, ...]:
    """The activations that the chapter's project asks for, by their names in the catalogue."""
    return CHAPTER_SEVEN


def read(path: Path) -> str | None:
    """The text of a file, with a mark for every byte that is no text; None where it cannot be had or is too large."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return None


def read_spec(directory: Path, own_code: bool) -> tuple[Spec | None, dict[str, Any], list[str]]:
    """The specification, its plain values as far as they can be read, and what is wrong with it."""
    text = read(directory / "spec.toml")
    if text is None:
        return None, {}, ["spec.toml is missing or cannot be read."]
    try:
        plain = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        return None, {}, [f"spec.toml is not valid TOML: {error}."]
    foreign = [name for name in _texts(plain) if IMPORTABLE.fullmatch(name)]
    if foreign and not own_code:
        return None, plain, [f"spec.toml names code of its own ({foreign[0]}), which is not imported here."]
    try:
        return Spec.from_mapping(plain), plain, []
    except UNREADABLE as error:
        return None, plain, [f"spec.toml cannot be used: {error}"]


def read_cells(directory: Path) -> tuple[list[Cell], list[str], list[str], list[str]]:
    """Every finished trial of a directory; notes on those that cannot be read, contradictions, and failures."""
    cells: list[Cell] = []
    notes: list[str] = []
    wrong: list[str] = []
    failures: list[str] = []
    for folder in _folders(directory / "trials"):
        key = folder.name
        text = read(folder / "result.json")
        if text is None:
            if any((folder / name).is_file() for name in ("error.json", "error.txt")):
                failures.append(key)
            continue
        try:
            result = parse_result(text)
        except UNREADABLE as error:
            notes.append(f"trials/{key}/result.json is torn or altered ({_short(error)}).")
            continue
        if result.key != key:
            wrong.append(f"trials/{key}/result.json says that it is {result.key[:40]!r}.")
            continue
        try:
            trial = _trial(read(folder / "trial.json"))
        except UNREADABLE as error:
            wrong.append(f"trials/{key}/trial.json does not say what was computed ({_short(error)}).")
            continue
        if trial.key != key:
            wrong.append(
                f"trials/{key}: its settings have the hash {trial.key}, so they were changed afterwards."
            )
            continue
        cells.append(Cell(trial, result, read(folder / "epochs.jsonl")))
    return cells, notes, wrong, failures


def own_code(cell: Cell) -> str:
    """The `module:name` that a trial would import; empty for one that imports nothing."""
    texts = (cell.trial.specification, cell.trial.setting.model, cell.trial.setting.dataset)
    return next((text for text in texts if IMPORTABLE.fullmatch(text)), "")


def _trial(text: str | None) -> Trial:
    if text is None:
        raise ValueError("it is missing")
    trial = Trial.from_plain(json.loads(text))
    words = (trial.activation, trial.specification, trial.formula, trial.purpose, trial.fingerprint)
    if not all(isinstance(word, str) for word in words) or trial.purpose not in ("tune", "final"):
        raise ValueError("a name in it is no text")
    if isinstance(trial.seed, bool) or not isinstance(trial.seed, int):
        raise TriodeError(f"its seed is {trial.seed!r}")
    return trial


def _texts(plain: object) -> Iterable[str]:
    if isinstance(plain, str):
        # A list of activations may also be one text.
        yield from (part.strip() for part in re.split(r"[,\s]+", plain))
    elif isinstance(plain, dict):
        for value in plain.values():
            yield from _texts(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _texts(value)


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir() and not path.is_symlink())[:MOST]
    except OSError:
        return []


def _files(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_file() and path.stat().st_size > 0)[:MOST]
    except OSError:
        return []


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
