"""What several runs say together: interquartile means and odds, by a bootstrap that draws seeds inside each run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from triode.bakeoff.records import Measure
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.words import all_named, counted, listed, named, value
from triode.bakeoff.stats import Estimate, Improvement, iqm_interval, probability_of_improvement

DIFFERENCES = {
    "dataset": "data",
    "model": "network",
    "hidden": "widths of the hidden layers",
    "normalisation": "normalisation",
    "dropout": "dropout",
    "epochs": "epochs",
    "optimizer": "optimiser",
    "learning_rate": "learning rate",
    "initialisation": "initial weights",
    "protocol": "protocol",
    "seeds": "number of seeds",
    "baseline": "baseline",
}
"""Fields of a specification that a reader must know to differ, and what they are called."""


@dataclass(frozen=True)
class Rival:
    """One activation over all runs in which it and the baseline took part."""

    name: str
    iqm: Estimate
    odds: Estimate
    """Probability that one training of it beats one of the baseline, as an estimate; nan for the baseline."""
    beyond: int
    """1 where it beats the baseline beyond chance, corrected for all comparisons, -1 where it loses to it, else 0."""
    won: tuple[str, ...]
    """Runs in which it beats the baseline."""
    tied: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Pooled:
    """All activations over all runs."""

    baseline: str
    all: tuple[Rival, ...]
    """Best interquartile mean first."""

    @property
    def rivals(self) -> tuple[Rival, ...]:
        """All but the baseline."""
        return tuple(rival for rival in self.all if rival.name != self.baseline)


def pool(runs: Sequence[tuple[str, Summary]], measure: Measure) -> Pooled | None:
    """The activations that took part in every run, over all of them; None where the runs share no two.

    The strata of the bootstrap are the runs. The baseline is that of the runs, where they agree and all have it;
    otherwise the first that all share.
    """
    shared = [
        arm.name
        for arm in runs[0][1].arms
        if all(any(a.name == arm.name and a.score.n for a in summary.arms) for _, summary in runs)
    ]
    if len(shared) < 2:
        return None
    wanted = {summary.baseline for _, summary in runs}
    baseline = next(iter(wanted)) if len(wanted) == 1 and wanted <= set(shared) else shared[0]
    strata = {name: [list(summary.arm(name).values.values()) for _, summary in runs] for name in shared}
    # Bonferroni: an interval as wide as all comparisons together need.
    level = 0.05 / (len(shared) - 1)
    found = [_rival(name, baseline, strata, runs, measure, level) for name in shared]
    sign = -1.0 if measure.larger_is_better else 1.0
    found.sort(key=lambda r: sign * r.iqm.mean if math.isfinite(r.iqm.mean) else math.inf)
    return Pooled(baseline, tuple(found))


def _rival(
    name: str,
    baseline: str,
    strata: dict[str, list[list[float]]],
    runs: Sequence[tuple[str, Summary]],
    measure: Measure,
    level: float,
) -> Rival:
    iqm = iqm_interval(strata[name])
    if name == baseline:
        return Rival(name, iqm, Estimate(math.nan, math.nan, math.nan, 0), 0, (), (), ())
    larger = measure.larger_is_better
    p = probability_of_improvement(strata[name], strata[baseline], larger_is_better=larger)
    wide = probability_of_improvement(
        strata[name], strata[baseline], larger_is_better=larger, confidence=1 - level, draws=4000
    )
    ends: dict[str, list[str]] = {"win": [], "tie": [], "loss": [], "untested": []}
    for run, summary in runs:
        if summary.baseline == baseline:
            ends[summary.against.rival(name).standing].append(run)
    odds = Estimate(p.probability, p.low, p.high, p.n)
    fewest = min(len(values) for one in (name, baseline) for values in strata[one])
    return Rival(
        name, iqm, odds, beyond(wide, fewest), tuple(ends["win"]), tuple(ends["tie"]), tuple(ends["loss"])
    )


def beyond(p: Improvement, fewest: int) -> int:
    """1 or -1 where the interval of `p` leaves 0.5 out on one side, else 0.

    A bootstrap of n runs varies sqrt((n - 1)/n) as much as new runs would, so its interval is widened by as much, with
    n the `fewest` runs of a stratum; but not where every run won, or lost, which has a bound of its own.
    """
    if fewest < 2:
        return 0
    wider = 1.0 if p.probability in (0.0, 1.0) else math.sqrt(fewest / (fewest - 1))
    low = p.probability - wider * (p.probability - p.low)
    high = p.probability + wider * (p.high - p.probability)
    return int(low > 0.5) - int(high < 0.5)


def verdict(
    runs: Sequence[tuple[str, Summary]], pooled: Pooled | None, measure: Measure
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Headline, a sentence for each activation, and what the figures leave out."""
    notes = [
        "Intervals are by a stratified bootstrap: seeds drawn inside each run, every run counting alike. They do not "
        "say what other settings would give.",
        *_differ(runs),
    ]
    if pooled is None:
        return (
            "These runs share fewer than two activations, so nothing is compared over all of them.",
            (),
            tuple(notes),
        )
    base = named(pooled.baseline)
    better = [r for r in pooled.rivals if r.beyond > 0]
    worse = [r for r in pooled.rivals if r.beyond < 0]
    if better or worse:
        said = []
        if better:
            said.append(f"{listed([named(r.name) for r in better])} beat{'s' * (len(better) == 1)} {base}")
        if worse:
            said.append(f"{listed([named(r.name) for r in worse])} lose{'s' * (len(worse) == 1)} to {base}")
        first = f"Over {counted(len(runs), 'run')}, {'; '.join(said)} more often than chance explains."
    else:
        first = f"Over {counted(len(runs), 'run')}, no activation differs from {base} more often than chance explains."
    if len(pooled.rivals) > 1:
        notes.insert(
            0,
            f"The first sentence is corrected for the {len(pooled.rivals)} comparisons, and the wins and losses of a "
            "run for those of that run; the intervals here are not.",
        )
    return first, tuple(_sentence(r, base, measure) for r in pooled.rivals), tuple(notes)


def _sentence(rival: Rival, base: str, measure: Measure) -> str:
    said = f"{named(rival.name)}: interquartile mean {value(measure, rival.iqm.mean)}"
    o = rival.odds
    if math.isfinite(o.mean):
        said += f"; a training of it beats one of {base} {100 * o.mean:.0f}% of the time"
        if math.isfinite(o.low):
            said += f" (95% interval {100 * o.low:.0f} to {100 * o.high:.0f}%)"
    tested = len(rival.won) + len(rival.tied) + len(rival.lost)
    if tested:
        said += f"; {len(rival.won)} won, {len(rival.tied)} tied, {len(rival.lost)} lost of {counted(tested, 'run')}"
        if rival.won and rival.lost:
            said += f" (wins {all_named(rival.won)}, loses {all_named(rival.lost)})"
    return f"{said}."


def _differ(runs: Sequence[tuple[str, Summary]]) -> list[str]:
    """What is not the same in all runs."""
    found = [
        words
        for name, words in DIFFERENCES.items()
        if len({getattr(summary.results.spec, name) for _, summary in runs}) > 1
    ]
    return [f"The runs differ in {listed(found)}."] if found else []
