"""Bonus: an activation beyond the chapter's seven, trained to the end beside them."""

from __future__ import annotations

from triode.bakeoff.grade.evidence import Evidence, chapter_seven
from triode.bakeoff.grade.score import Criterion, Score, counted, listed


def judge(evidence: Evidence) -> Score:
    """Ten points for one that finished every seed, five for one that was only tried."""
    from triode.catalogue import is_curated

    seven = chapter_seven()
    beyond = [name for name in evidence.activations if name not in seven]
    if not beyond:
        return Score(
            0.0,
            ("Every activation is one of the chapter's seven.",),
            "add one, by name or by formula: --activations ...,mish or --activations '...,mine=z * tanh(exp(z))'",
        )
    whole = [name for name in beyond if evidence.complete(name)]
    said = []
    field = evidence.measure.field
    for name in beyond[:5]:
        trials = evidence.trials(name)
        kind = "from the catalogue" if is_curated(name) else "a definition of its own"
        mean = sum(getattr(trial, field) for trial in trials) / len(trials)
        said.append(
            f"{name}, {kind}: {counted(len(trials), 'seed')}, mean {evidence.measure.name} {mean:.4f}."
        )
    if whole:
        return Score(10.0, tuple(said))
    return Score(5.0, tuple(said), f"finish every seed of {listed(beyond)}")


CRITERION = Criterion("custom-activation", "Bonus: custom activation", 10, 6, judge)
