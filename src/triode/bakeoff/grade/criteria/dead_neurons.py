"""Dead neurons: how many of ReLU's units give zero for every training example, layer by layer, epoch by epoch."""

from __future__ import annotations

import math

from triode.bakeoff.grade.evidence import Evidence
from triode.bakeoff.grade.score import Criterion, Score, counted

COUNTED, DRAWN = 11.0, 4.0
"""Points for the counts, and for a figure of them."""


def judge(evidence: Evidence) -> Score:
    """Eleven points for a share per layer and epoch, four for a figure."""
    trials = evidence.trials("relu")
    good = [
        trial
        for trial in trials
        if len(trial.epochs) > 1
        and trial.sites
        and all(len(r.dead) == len(trial.sites) and all(map(math.isfinite, r.dead)) for r in trial.epochs)
    ]
    if not good:
        return Score(
            0.0,
            ("No dead share per layer and epoch is recorded for relu.",),
            "train relu; every trial records it",
        )
    said = [
        f"relu: a share for each of {counted(len(good[0].sites), 'layer')} at {counted(len(good[0].epochs), 'epoch')}."
    ]
    first, last = ([_overall(trial.epochs[at].dead, trial.units) for trial in good] for at in (0, -1))
    units = sum(good[0].units)
    said.append(
        f"Of {counted(units, 'unit')} {_mean(first):.2%} are dead before training and {_mean(last):.2%} after it "
        f"(mean of {counted(len(good), 'seed')})."
    )
    layers = [_mean([trial.epochs[-1].dead[k] for trial in good]) for k in range(len(good[0].sites))]
    worst = max(range(len(layers)), key=lambda k: layers[k])
    said.append(f"Most at the end: {good[0].sites[worst]}, {layers[worst]:.2%}.")
    points = COUNTED * min(1.0, len({trial.seed for trial in good}) / max(1, evidence.seeds))
    hints = [] if points == COUNTED else ["finish every seed of relu"]
    pictured = any("dead" in path.stem.lower() for path in evidence.pictures)
    if evidence.page or pictured:
        points += DRAWN
        said.append("A figure is there." if pictured else "report.html shows it.")
    else:
        hints.append("draw it: triode report DIR")
    return Score(points, tuple(said), "; ".join(hints))


def _overall(dead: tuple[float, ...], units: tuple[int, ...]) -> float:
    if len(units) != len(dead) or sum(units) <= 0:
        return _mean(list(dead))
    return math.fsum(share * count for share, count in zip(dead, units, strict=True)) / sum(units)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


CRITERION = Criterion("dead-neurons", "Dead neuron analysis", 15, 4, judge)
