"""Convergence comparison: the loss against the epoch, for every activation, on one figure."""

from __future__ import annotations

import math

from triode.bakeoff.grade.evidence import Evidence, chapter_seven
from triode.bakeoff.grade.score import Criterion, Score, counted, listed
from triode.bakeoff.records import TrialResult

RECORDED, DRAWN = 14.0, 6.0
"""Points for the curves in the records, and for a figure of them."""
SHORTEST = 3
"""Trained epochs that make a curve."""


def judge(evidence: Evidence) -> Score:
    """Two points for each of the seven with a whole curve, six for a figure that shows all of them."""
    seven = chapter_seven()
    curves = {name: [t for t in evidence.trials(name) if _curve(t)] for name in seven}
    drawn = [name for name in seven if curves[name]]
    lengths = sorted({len(trial.epochs) - 1 for trials in curves.values() for trial in trials})
    said, hints = [], []
    points = RECORDED * len(drawn) / len(seven)
    if drawn:
        span = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        ends = {name: _mean([trial.epochs[-1].train_loss for trial in curves[name]]) for name in drawn}
        low, high = min(ends, key=lambda name: ends[name]), max(ends, key=lambda name: ends[name])
        said.append(
            f"{counted(len(drawn), 'activation')} with a loss at each of {span} epochs; at the end the training loss "
            f"is lowest for {low} ({ends[low]:.4f}) and highest for {high} ({ends[high]:.4f})."
        )
    missing = [name for name in seven if name not in drawn]
    if missing:
        said.append(f"No loss curve of at least {SHORTEST} epochs for {listed(missing)}.")
        hints.append(f"train {listed(missing)} for at least {SHORTEST} epochs")
    if len(lengths) > 1:
        points *= 0.8
        hints.append("give every activation the same number of epochs, so that the curves can be compared")
    share, figure = _figure(evidence, drawn)
    said.append(figure)
    points += DRAWN * share * len(drawn) / len(seven)
    if share < 1:
        hints.append("draw them on one labelled figure: triode report DIR")
    return Score(points, tuple(said), "; ".join(hints))


def _figure(evidence: Evidence, names: list[str]) -> tuple[float, str]:
    """How much of a figure there is, 0 to 1, and what was found."""
    if evidence.page and names:
        named = [name for name in names if name in evidence.page]
        if len(named) == len(names):
            return 1.0, "report.html is whole and names every one of them."
        return 0.5, f"report.html names only {listed(named) or 'none of them'}."
    likely = [
        p
        for p in evidence.pictures
        if any(word in p.stem.lower() for word in ("loss", "conver", "train", "curve"))
    ]
    if likely:
        return (
            1.0,
            f"The picture {likely[0].name} is there; whether its axes are labelled is for a person to see.",
        )
    if evidence.pictures:
        return 0.5, f"The picture {evidence.pictures[0].name} is there; its name does not say what it shows."
    return 0.0, "There is neither a report.html nor a picture."


def _curve(trial: TrialResult) -> bool:
    trained = trial.epochs[1:]
    return len(trained) >= SHORTEST and all(math.isfinite(record.train_loss) for record in trained)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


CRITERION = Criterion("convergence", "Convergence comparison", 20, 2, judge)
