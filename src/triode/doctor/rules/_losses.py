"""What the loss did: its level at both ends, and what the best constant prediction would have scored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from triode.doctor.history import History, Tensors


@dataclass(frozen=True)
class Course:
    """Level of the loss at three stages of a training, each the mean of a tenth of its steps."""

    start: float
    middle: float
    end: float
    noise: float
    """Standard error of the difference of two such means."""
    first: float
    """Of the very first step."""
    steps: int

    @property
    def fall(self) -> float:
        """How much lower the end lies than the start."""
        return self.start - self.end


def course(history: History) -> Course | None:
    """The course of the loss; None where fewer than four steps were taken or a loss was not finite."""
    losses = np.asarray(history.losses, float)
    if losses.size < 4 or not np.isfinite(losses).all():
        return None
    width = max(2, losses.size // 10)
    centre = losses.size // 2
    stages = losses[:width], losses[centre : centre + width], losses[-width:]
    start, middle, end = (float(stage.mean()) for stage in stages)
    noise = math.sqrt((stages[0].var() + stages[2].var()) / width)
    return Course(start, middle, end, noise, float(losses[0]), int(losses.size))


_PASSING = frozenset(
    ("mean", "neg", "negative", "reshape", "view", "flatten", "squeeze", "to", "float", "double")
)
"""Carriers that leave the mean of a loss what it is; the sign belongs to a logarithm written out by hand."""
_NAMES = {
    "categorical": ("cross_entropy", "nll_loss", "custom"),
    "binary": ("binary_cross_entropy", "binary_cross_entropy_with_logits", "custom"),
    "regression": ("mse_loss", "l1_loss"),
}


def chance(history: History) -> float:
    r"""Expected loss of the best prediction that ignores the input; nan where targets or loss do not tell it.

    For class frequencies :math:`p`: the entropy :math:`-\sum p \ln p` (categorical), the mean binary entropy of the
    columns (binary), the mean variance of the columns (mean squared error), the mean absolute deviation from the
    median (mean absolute error). Summed losses have no level that can be told without the batch.
    """
    known = history.loss.name in _NAMES.get(history.loss.family, ())
    if not (known and history.targets and _whole(history)):
        return math.nan
    targets = history.targets[-1]
    if not targets.finite or targets.count == 0:
        return math.nan
    found = math.nan
    if history.loss.family == "categorical":
        found = _entropy(targets, _classes(history))
    elif history.loss.family == "binary":
        found = _binary_entropy(targets)
    elif history.loss.family == "regression":
        found = _deviation(targets, history.loss.name)
    # Targets that never change can be met exactly by a constant: then being no better than one says nothing.
    return found if found > 1e-6 else math.nan


def _whole(history: History) -> bool:
    """Whether the loss is the mean of that function and nothing more: no penalty added, no factor, no sum."""
    graph, operation = history.graph, history.loss.operation
    if not graph.operations or graph.loss < 0:
        return True
    passed = []
    last = graph[graph.loss]
    while last.index != operation and last.kind == "carrier" and last.inputs:
        passed.append(last.name)
        last = graph[last.inputs[0]]
    if operation >= 0:
        mean = graph[operation].details.get("reduction", "mean") == "mean" or "mean" in passed
        return last.index == operation and mean and not set(passed) - _PASSING
    return "mean" in passed and not set(passed) - _PASSING  # written by hand: -(...).mean()


def _classes(history: History) -> int:
    """Number of classes that the network tells apart, from the shape of its scores; 0 where they were not seen."""
    prediction = history.loss.prediction
    shape = history.graph[prediction].shape if 0 <= prediction < len(history.graph.operations) else ()
    return shape[1] if len(shape) > 1 else 0


def _entropy(targets: Tensors, classes: int) -> float:
    if targets.integer:
        if targets.values is None or targets.counts is None:
            # Too many classes to count them: what guessing evenly scores is no better than the best constant.
            return math.log(classes) if classes > 1 else math.nan
        counts = targets.counts[targets.values >= 0]  # negative ones mark what the loss leaves out
        shares = counts / max(counts.sum(), 1)
    elif targets.mean.size > 1 and targets.rows_sum_to_one > 0.99:
        shares = targets.mean / targets.mean.sum()
    else:
        return math.nan
    shares = shares[shares > 0.0]
    return float(-(shares * np.log(shares)).sum())


def _binary_entropy(targets: Tensors) -> float:
    if targets.least < 0.0 or targets.most > 1.0 or not targets.mean.size:
        return math.nan
    p = np.clip(targets.mean, 1e-12, 1.0 - 1e-12)
    return float(-(p * np.log(p) + (1.0 - p) * np.log(1.0 - p)).mean())


def _deviation(targets: Tensors, name: str) -> float:
    if "mse" in name:
        return float(np.mean(targets.std**2)) if targets.std.size else math.nan
    if ("l1" in name or "mae" in name) and "smooth" not in name:
        # The median belongs to a column; of several columns together the counts do not tell it.
        if targets.values is None or targets.counts is None or targets.mean.size > 1:
            return math.nan
        reached = np.searchsorted(np.cumsum(targets.counts), targets.counts.sum() / 2.0)
        median = float(targets.values[min(int(reached), len(targets.values) - 1)])
        return float((targets.counts * np.abs(targets.values - median)).sum() / targets.counts.sum())
    return math.nan


def learned(history: History) -> bool | None:
    """Whether the loss fell by a tenth, or is a tenth better than the best constant; None where nobody can say."""
    seen = course(history)
    if seen is None:
        return False if history.losses and not all(math.isfinite(loss) for loss in history.losses) else None
    level = chance(history)
    if math.isfinite(level):
        return seen.end < 0.9 * level
    return seen.fall > 0.1 * abs(seen.start)
