"""From a directory to a grade: gather the evidence, train one trial again, ask every criterion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.bakeoff.grade.consistency import contradictions, identical
from triode.bakeoff.grade.criteria import criteria
from triode.bakeoff.grade.evidence import UNREADABLE, Cell, Evidence, own_code, read_cells, read_spec
from triode.bakeoff.grade.rerun import IMPOSSIBLE, SKIPPED, Rerun, choose, rerun
from triode.bakeoff.grade.score import Criterion, Score
from triode.bakeoff.setting import TRAIN_SIZES
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset

PASS_MARK = 60.0
"""Points from which a bake-off passes."""


@dataclass(frozen=True)
class Judged:
    """A criterion and what it gave."""

    criterion: Criterion
    score: Score


@dataclass(frozen=True)
class Grade:
    """The whole judgement."""

    directory: Path
    judged: tuple[Judged, ...]
    rerun: Rerun
    notes: tuple[str, ...] = ()
    """What could not be read."""
    contradictions: tuple[str, ...] = ()
    """What cannot be true."""
    found: int = 0
    """Finished final trials that count."""

    @property
    def total(self) -> float:
        """Points in all."""
        return round(sum(one.score.points for one in self.judged), 1)

    @property
    def maximum(self) -> int:
        """Points that there are."""
        return sum(one.criterion.maximum for one in self.judged)

    def passed(self, mark: float = PASS_MARK) -> bool:
        """Whether it reaches the mark with a log that training it again has not refuted."""
        return self.total >= mark and not self.rerun.refuted

    def plain(self) -> dict[str, Any]:
        """Everything as values that JSON holds."""
        return {
            "directory": str(self.directory),
            "total": self.total,
            "maximum": self.maximum,
            "criteria": [
                {
                    "id": one.criterion.id,
                    "title": one.criterion.title,
                    "points": one.score.points,
                    "maximum": one.criterion.maximum,
                    "evidence": list(one.score.evidence),
                    "hint": one.score.hint,
                }
                for one in self.judged
            ],
            "rerun": {
                "verdict": self.rerun.verdict,
                "sentence": self.rerun.sentence,
                "cell": self.rerun.cell,
                "epochs": self.rerun.epochs,
            },
            "trials": self.found,
            "contradictions": list(self.contradictions),
            "notes": list(self.notes),
        }


def grade(
    directory: str | Path,
    *,
    retrain: bool = True,
    cell: str = "",
    seconds: float = 45.0,
    data_dir: Path | None = None,
    trust_code: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Grade:
    """Judge the directory of a bake-off by the chapter's rubric.

    Args:
        directory: What `triode bakeoff` wrote, or what claims to be that: whatever is in it, it is judged.
        retrain: Whether to train one trial again.
        cell: Which one, such as `relu:0`; empty: one that a hash of the results points at.
        seconds: Wall time after which no further epoch of it is begun.
        data_dir: Folder of the dataset's files, in place of the one that `spec.toml` names.
        trust_code: Whether code that the directory names (`module:object`) may be imported.
        progress: Called with a line for each step.

    Raises:
        TriodeError: When there is no such directory, or `cell` names no finished trial.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as empty:
    ...     grade(empty).total
    0.0
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise TriodeError(f"{directory} is no folder: name the one that `triode bakeoff --out` wrote.")
    evidence, place = gather(directory, data_dir, trust_code)
    progress(f"{len(evidence.cells)} finished trials read")
    if not retrain:
        again = Rerun(
            SKIPPED, "No trial was trained again, so nothing shows that the log comes from this code."
        )
    elif not evidence.cells:
        again = Rerun(IMPOSSIBLE, "There is no finished trial to train again.")
    else:
        picked = choose(evidence.cells, cell)
        again = rerun(picked, place, seconds=seconds, trust_code=trust_code, progress=progress)
    evidence = replace(evidence, rerun=again)
    judged = tuple(Judged(criterion, _score(criterion, evidence)) for criterion in criteria())
    return Grade(directory, judged, again, evidence.notes, evidence.contradictions, len(evidence.cells))


def gather(
    directory: Path, data_dir: Path | None = None, trust_code: bool = False
) -> tuple[Evidence, Path | None]:
    """The evidence that a directory holds, and the folder in which its dataset is looked for."""
    spec, plain, notes = read_spec(directory, trust_code)
    cells, unread, wrong, failures = read_cells(directory)
    place = data_dir or (spec.data_dir if spec is not None else None)
    cells, other = _of_this_bake_off(cells, spec is not None and spec.alone())
    if other:
        notes.append(f"{other} trials of other settings are left out.")
    data, about = _data(cells, place, trust_code)
    notes += [*unread, *about]
    good = []
    for one in cells:
        foreign = data is not None and one.trial.setting.dataset in TRAIN_SIZES
        if foreign and data is not None and one.trial.fingerprint != data.fingerprint:
            found = [f"{one.name}: it was not trained on {one.trial.setting.dataset} as it is here."]
        else:
            found = _contradictions(one, data)
        wrong += found
        good += [] if found else [one]
    twins = identical(good)
    wrong += [f"{a.name} and {b.name} have the same losses to the last bit." for a, b in twins]
    doubtful = {id(one) for pair in twins for one in pair}
    good = [one for one in good if id(one) not in doubtful]
    final = [one for one in good if one.trial.purpose == "final"]
    seeds = spec.seeds if spec is not None else plain.get("seeds", 0)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        seeds = max((one.trial.seed + 1 for one in final), default=1)
    evidence = Evidence(
        directory=directory,
        spec=spec,
        asked=spec.names if spec is not None else (),
        seeds=seeds,
        cells=tuple(_in_order(final)),
        tuning=tuple(one for one in good if one.trial.purpose == "tune"),
        notes=tuple(notes),
        contradictions=tuple(wrong),
        failures=tuple(failures),
        data=data,
    )
    return evidence, place


def _of_this_bake_off(cells: list[Cell], named: Any) -> tuple[list[Cell], int]:
    """The trials of the setting that the specification names, or of the commonest one; how many are others."""

    def shared(one: Cell) -> Any:
        return one.trial.setting.alone(learning_rate=1.0, weight_decay=0.0)

    final = [one for one in cells if one.trial.purpose == "final"]
    if not final:
        return cells, 0
    settings = [shared(one) for one in final]
    wanted = named and named.alone(learning_rate=1.0, weight_decay=0.0)
    if wanted not in settings:
        wanted = max(settings, key=settings.count)
    kept = [one for one in cells if one.trial.purpose == "tune" or shared(one) == wanted]
    return kept, len(cells) - len(kept)


def _in_order(final: list[Cell]) -> list[Cell]:
    """Activation by activation, seed by seed; of two trials of one cell (two learning rates) the better validated."""
    best: dict[tuple[str, int], Cell] = {}
    for one in final:
        place = (one.result.activation, one.result.seed)
        other = best.get(place)
        if other is None or one.result.epochs[-1].validation_loss < other.result.epochs[-1].validation_loss:
            best[place] = one
    return [best[place] for place in sorted(best)]


def _data(cells: list[Cell], place: Path | None, trust_code: bool) -> tuple[Dataset | None, list[str]]:
    if not cells or (own_code(cells[0]) == cells[0].trial.setting.dataset and not trust_code):
        return None, []
    setting = cells[0].trial.setting
    try:
        from triode.bakeoff.data import load

        return load(setting.dataset, place, task=setting.task, download=False), []
    except (*UNREADABLE, ImportError) as error:
        return None, [f"{setting.dataset} is not at hand, so accuracies were not counted: {error}"]


def _contradictions(one: Cell, data: Dataset | None) -> list[str]:
    try:
        return contradictions(one, data)
    except (ArithmeticError, *UNREADABLE) as error:
        return [f"{one.name}: its figures cannot be computed with ({error})."]


def _score(criterion: Criterion, evidence: Evidence) -> Score:
    try:
        given = criterion.judge(evidence)
    except (ArithmeticError, *UNREADABLE) as error:
        return Score(0.0, (f"It could not be judged: {error}",), "train it again with triode bakeoff")
    points = min(max(round(given.points, 1), 0.0), float(criterion.maximum))
    return replace(given, points=points, hint="" if points == criterion.maximum else given.hint)
