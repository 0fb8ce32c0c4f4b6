"""The written verdict: what beats the baseline, what loses to it, and what these seeds cannot tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from triode.bakeoff.records import Measure
from triode.bakeoff.report.caveats import edges, mishaps, protocol
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.words import (
    all_named,
    at_most,
    counted,
    gap,
    gaps,
    listed,
    named,
    number,
    plain,
    value,
)
from triode.bakeoff.stats import Against, Comparison, Improvement, Rival

MOST_SAID = 1000
"""More seeds than this are not counted out: nobody will run them."""


@dataclass(frozen=True)
class Verdict:
    """What may be said of a bake-off; names in its sentences are marked, see `words`."""

    headline: str
    findings: tuple[str, ...]
    """Who is best, how sure that is, and how small a difference could have been seen."""
    wins: tuple[str, ...]
    """A sentence for each activation that beats the baseline beyond chance."""
    ties: tuple[str, ...]
    """A sentence for each activation without a significant difference from the baseline."""
    losses: tuple[str, ...]
    """A sentence for each activation that loses to the baseline beyond chance."""
    failures: tuple[str, ...]
    """Trials that diverged, raised, did not learn, or are missing; rates at the edge of their grid."""
    caveats: tuple[str, ...]
    """The budget, what the protocol is unfair about, and what the intervals leave out."""

    @property
    def paragraph(self) -> str:
        """Headline, findings, wins, ties and losses as one paragraph, with marked names."""
        return " ".join((self.headline, *self.findings, *self.wins, *self.ties, *self.losses))


def judge(summary: Summary) -> Verdict:
    """The verdict on the measure: paired differences from the baseline, Student's test, Holm's correction."""
    failures = (*mishaps(summary), *edges(summary))
    caveats = protocol(summary)
    headline, findings, tested = _opening(summary)
    if not tested:
        return Verdict(headline, findings, (), (), (), failures, caveats)
    against, measure = summary.against, summary.measure
    return Verdict(
        headline,
        findings,
        tuple(_told(rival, against, measure, "better than") for rival in against.wins),
        tuple(tie(rival, against, measure) for rival in against.ties),
        tuple(_told(rival, against, measure, "worse than") for rival in against.losses),
        failures,
        caveats,
    )


def _opening(summary: Summary) -> tuple[str, tuple[str, ...], bool]:
    """The headline, the findings, and whether anything was tested."""
    measured = [arm for arm in summary.ranked if arm.score.n]
    if not measured:
        if any(arm.trials for arm in summary.arms):
            return "Every trial diverged, so there is nothing to compare.", (), False
        return "No trial has finished yet, so there is nothing to compare.", (), False
    best = _best(measured[0], summary.measure)
    if len(measured) == 1:
        return f"Only {named(measured[0].name)} has results, so nothing is compared.", (best,), False
    if max(arm.score.n for arm in measured) < 2:
        advice = "Run at least three seeds before believing the order of this table."
        return (
            "One seed says nothing about differences: luck and merit cannot be told apart.",
            (best, advice),
            False,
        )
    against, measure = summary.against, summary.measure
    if len(against.untested) == len(against.rivals):
        why = (
            f"No activation shares two seeds with {named(against.baseline)} on which both have a {measure.name}, so no "
            "difference from it can be tested."
        )
        return why, (best,), False
    findings = [best + _lead(summary.comparison, measured), *_detectable(against, measure)]
    if against.untested:
        names = [rival.name for rival in against.untested]
        base = named(against.baseline)
        findings.append(
            f"{all_named(names)} {_is(names)} not tested: fewer than two seeds with a {measure.name} in common with "
            f"{base}."
        )
    return headline(against), tuple(findings), True


def headline(against: Against) -> str:
    """Wins, losses and ties against the baseline in one sentence."""
    base = named(against.baseline)
    wins, losses = ([r.name for r in rivals] for rivals in (against.wins, against.losses))
    ties = len(against.ties)
    if not wins and not losses:
        return f"No significant difference from {base} at this budget."
    parts = []
    if wins:
        who = all_named(wins) if len(wins) <= 4 else f"{number(len(wins)).capitalize()} activations"
        parts.append(f"{who} {'beats' if len(wins) == 1 else 'beat'} the baseline {base}")
    if losses:
        who = all_named(losses) if len(losses) <= 4 else f"{number(len(losses))} activations"
        parts.append(
            f"{who} {'loses' if len(losses) == 1 else 'lose'} to {'it' if wins else f'the baseline {base}'}"
        )
    if ties:
        parts.append(f"{number(ties)} other{'s' * (ties > 1)} cannot be told from it")
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:] if sentence[0].isalpha() else sentence


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _best(arm: Arm, measure: Measure) -> str:
    e = arm.score
    most = "highest" if measure.larger_is_better else "lowest"
    said = f"{named(arm.name)} has the {most} mean {measure.name}, {value(measure, e.mean, 1)}"
    if e.n < 2:
        return f"{said} (one seed)."
    low = value(measure, e.low, 1).removesuffix("%")
    return f"{said} (95% interval {low} to {value(measure, e.high, 1)}, {counted(e.n, 'seed')})."


def _lead(comparison: Comparison, measured: list[Arm]) -> str:
    """Whether the first of the ranking is a winner over all others that have results, corrected for all pairs."""
    names = {arm.name for arm in measured}
    # A mean over the runs that survived flatters: against an arm that diverged less often it proves nothing.
    lost = {arm.name: sum(not math.isfinite(v) for v in arm.values.values()) for arm in measured}
    rivals = [
        name
        for name in comparison.ranking[1:]
        if name in names and (name in comparison.rivals or lost[comparison.best] > lost[name])
    ]
    if not rivals:
        missing = len(comparison.ranking) > len(names)
        others = "every other activation that has results" if missing else "every other activation tried here"
        return f" It is better than {others}, corrected for all pairs."
    if len(rivals) == len(names) - 1:
        why = "none of its leads is significant; the order of the table may be luck"
        if any(name not in comparison.rivals for name in rivals):
            why = "none of its leads proves it better: it diverged more often than others, which its mean leaves out"
        return f" Corrected for all pairs, {why}."
    told = all_named(rivals) if len(rivals) <= 4 else f"{number(len(rivals))} others"
    return f" Corrected for all pairs, {told} cannot be told from it."


def _told(rival: Rival, against: Against, measure: Measure, how: str) -> str:
    """One win or loss."""
    p = at_most(rival.p_corrected)
    return (
        f"{named(rival.name)} is {how} {named(against.baseline)} by {gap(measure, rival.difference.mean)} "
        f"(95% interval {_span(rival, measure)}, corrected p {p}){_odds(rival.improvement)}."
    )


def tie(rival: Rival, against: Against, measure: Measure) -> str:
    """One tie, and how many more seeds would tell."""
    difference = rival.difference.mean
    better = (difference > 0) == against.larger_is_better
    said = f"{named(rival.name)}: no significant difference at this budget"
    if (
        rival.p_corrected < against.alpha
    ):  # significant over the runs that survived, of which the leader has fewer
        base = named(against.baseline)
        leader, other, lost, also = (
            ("it", base, rival.diverged, rival.baseline_diverged)
            if better
            else (base, named(rival.name), rival.baseline_diverged, rival.diverged)
        )
        besides = f", {other} only on {_on(also)}" if also else ""
        return f"{said}: {leader} leads where both survived, but {leader} diverged on {_on(lost)}{besides}."
    if difference == 0:
        return f"{said}; no difference was seen at all."
    said += f" ({gap(measure, difference)} {'better' if better else 'worse'}{_odds(rival.improvement)})"
    more = rival.more_seeds
    if more is None:
        return f"{said}."
    size = gap(measure, difference)
    if more == 0:  # seen, but beside the other comparisons not enough
        return f"{said}; a difference of {size} is at the limit of what these seeds can show."
    how = (
        f"about {more:,} more seed{'s' * (more > 1)}"
        if more <= MOST_SAID
        else f"over {MOST_SAID:,} more seeds"
    )
    return f"{said}; {how} would be needed to see a difference of {size}."


def _on(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) != 1)} {listed([str(seed) for seed in seeds])}"


def _span(rival: Rival, measure: Measure) -> str:
    d = rival.difference
    if d.low <= 0 <= d.high:
        return f"{_signed(d.low, measure)} to {_signed(d.high, measure)}"
    return gaps(measure, (d.low, d.high)).removesuffix(" points")


def _signed(difference: float, measure: Measure) -> str:
    return ("−" if difference < 0 else "+") + gap(measure, difference).removesuffix(" points")


def _odds(improvement: Improvement) -> str:
    """How often a run of one beats a run of the baseline."""
    if not math.isfinite(improvement.probability):
        return ""
    return f"; it wins {100 * improvement.probability:.0f}% of all pairings of runs"


def _detectable(against: Against, measure: Measure) -> list[str]:
    """How big a true difference must be to be found four times in five."""
    sizes = [size for r in against.rivals if math.isfinite(size := r.detectable())]
    if not sizes or not max(sizes) > 0:
        return []
    seeds = max(r.difference.n for r in against.rivals)
    few = f"With {seeds} seeds only large differences can show" if seeds <= 5 else f"With {seeds} seeds"
    guess = (
        ""
        if seeds > 5
        else " How many more seeds would tell is a guess from that scatter, known from few seeds."
    )
    # The median: one activation with a diverged seed has a scatter that says nothing about the others.
    return [
        f"{few}: at the scatter seen here a true difference of about {gap(measure, statistics.median(sizes))} would be "
        "found four times in five, so “no significant difference” does not mean “equal”."
        f"{guess * any(r.more_seeds for r in against.ties)}"
    ]


__all__ = ["Verdict", "headline", "judge", "plain", "tie"]
