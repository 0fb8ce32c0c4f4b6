"""The written verdict: which differences are real, which are noise, and what the numbers cannot say.

A sentence marks the names in it with the control characters OPEN and CLOSE, so that a page can set them apart however
it likes, and a name needs no quoting rule of its own; `plain` takes the marks away.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.stats import Comparison, Pair

OPEN, CLOSE = "\x02", "\x03"
NUMBERS = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}


@dataclass(frozen=True)
class Verdict:
    """What may be said of a bake-off."""

    headline: str
    findings: tuple[str, ...]
    """What is real and what is noise."""
    failures: tuple[str, ...]
    """Trials that diverged, did not learn, or are missing."""
    caveats: tuple[str, ...]
    """What this protocol is unfair about, and what the intervals leave out."""

    @property
    def paragraph(self) -> str:
        """The verdict as one paragraph, with marked names."""
        return " ".join((self.headline, *self.findings))


def judge(summary: Summary) -> Verdict:
    """The verdict on test accuracy: differences paired over seeds, Student's test, Holm's correction for all pairs."""
    failures, caveats = tuple(_failures(summary)), tuple(_protocol(summary))
    headline, findings = _differences(summary)
    return Verdict(headline, tuple(findings), failures, caveats)


def _differences(summary: Summary) -> tuple[str, list[str]]:
    """The headline, and what is real and what is noise."""
    measured = [arm for arm in summary.ranked if arm.accuracy.n]
    if not measured:
        return "No trial has finished yet, so there is nothing to compare.", []
    best = _best(measured[0])
    if len(measured) == 1:
        return f"Only {_name(measured[0].name)} has results, so nothing is compared.", [best]
    seeds = max(arm.accuracy.n for arm in measured)
    if seeds < 2:
        advice = "Run at least three seeds before believing the order of this table."
        return "One seed says nothing about differences: luck and merit cannot be told apart.", [best, advice]
    comparison = summary.comparison
    tested = [pair for pair in comparison.pairs if not math.isnan(pair.p_corrected)]
    if not tested:
        return "No two activations share two seeds, so no difference can be tested.", [best]
    said = [
        best,
        *_real(comparison),
        _noise(comparison, tested),
        *_detectable(tested, seeds, comparison.alpha),
    ]
    said.append("One learning rate served all, which is not fair to all.")
    return _headline(comparison, measured), said


def plain(sentence: str) -> str:
    """The sentence without the marks around names."""
    return sentence.replace(OPEN, "").replace(CLOSE, "")


def points(share: float) -> str:
    """A difference of two shares in percentage points: 0.0123 is `1.2 points`; small ones keep two decimals."""
    value = 100 * abs(share)
    return f"{value:.2f} points" if value < 1 else f"{value:.1f} points"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage; a dash for what is not a number."""
    return f"{100 * share:.{digits}f}%" if math.isfinite(share) else "–"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def _name(name: str) -> str:
    clean = "".join(character for character in name if character.isprintable())
    return f"{OPEN}{clean}{CLOSE}"


def _names(names: Iterable[str]) -> str:
    return listed([_name(name) for name in names])


def _best(arm: Arm) -> str:
    estimate = arm.accuracy
    said = f"{_name(arm.name)} has the highest mean test accuracy, {percent(estimate.mean)}"
    if estimate.n < 2:
        return f"{said} (one seed)."
    return f"{said} (95% interval {100 * estimate.low:.1f} to {percent(estimate.high)}, {estimate.n} seeds)."


def _headline(comparison: Comparison, measured: list[Arm]) -> str:
    if not comparison.significant:
        return "No significant difference at this budget."
    names = [arm.name for arm in measured]
    best, rivals = comparison.best, [name for name in comparison.rivals if name in names]
    beaten = [name for name in names if name != best and name not in rivals]
    if not rivals:
        return f"{_name(best)} is better than every other activation tried here."
    if not beaten:
        return f"No winner: {_name(best)} ranks first, but no lead of it is significant; some others differ."
    told = (
        f"{_names(rivals)} cannot be told from it"
        if len(rivals) <= 3
        else f"{NUMBERS.get(len(rivals), len(rivals))} others cannot be told from it"
    )
    return f"No single winner: {_name(best)} ranks first, but {told}; {_names(beaten)} {_is(beaten)} worse."


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _real(comparison: Comparison) -> list[str]:
    """For each activation the ones that are better beyond noise; activations beaten by the same share a sentence."""
    beaten: dict[tuple[str, ...], list[Pair]] = {}
    for name in reversed(comparison.ranking):
        pairs = [pair for pair in comparison.significant if pair.b == name]
        if pairs:
            beaten.setdefault(tuple(pair.a for pair in pairs), []).extend(pairs)
    said = []
    for winners, pairs in beaten.items():
        losers = list(dict.fromkeys(pair.b for pair in pairs))
        gaps = sorted(abs(pair.difference.mean) for pair in pairs)
        worst = max(pair.p_corrected for pair in pairs)
        size = (
            points(gaps[0])
            if len(gaps) == 1
            else f"{points(gaps[0]).removesuffix(' points')} to {points(gaps[-1])}"
        )
        others = len(winners) == len(comparison.ranking) - 1 and len(winners) > 2
        than = "every other" if others else _names(winners)
        said.append(
            f"{_names(losers)} {_is(losers)} worse than {than}, by {size} (corrected p {_at_most(worst)})."
        )
    return ["Real:", *said] if said else []


def _at_most(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"≤ {math.ceil(p_value * 1000) / 1000:.3f}"


def _noise(comparison: Comparison, tested: list[Pair]) -> str:
    even = [pair for pair in tested if not pair.significant]
    if not even:
        return "Every pair differs by more than chance explains."
    how = f"at this budget (paired over seeds, Holm-corrected at {100 * comparison.alpha:g}%)"
    if len(tested) == 1:
        return f"Noise: the one pair shows no significant difference {how}; its order may be luck."
    if len(even) == len(tested):
        return f"Noise: none of the {len(tested)} pairs shows a significant difference {how}; the order may be luck."
    verb = "shows" if len(even) == 1 else "show"
    whose = "its" if len(even) == 1 else "their"
    return (
        f"Noise: {len(even)} of {len(tested)} pairs {verb} no significant difference {how}; "
        f"{whose} order in the table may be luck."
    )


def _detectable(tested: list[Pair], seeds: int, alpha: float) -> list[str]:
    """How big a difference must be to show: the test's critical value times the scatter seen in the pairs."""
    from scipy.special import stdtrit

    halves = [(p.difference.high - p.difference.low) / 2 for p in tested if p.difference.n == seeds]
    if not halves:
        return []
    critical = float(stdtrit(seeds - 1, 1 - alpha / (2 * len(tested))) / stdtrit(seeds - 1, 0.975))
    size = statistics.median(halves) * critical
    if not size > 0:
        return []
    few = f"With {seeds} seeds only large differences can show" if seeds <= 5 else f"With {seeds} seeds"
    return [
        f"{few}: at the scatter seen here, one below about {points(size)} would more often than not have "
        "gone unnoticed, "
        "so “no significant difference” does not mean “equal”."
    ]


def _failures(summary: Summary) -> list[str]:
    said = []
    for arm in summary.arms:
        if arm.diverged:
            said.append(
                f"{_name(arm.name)} diverged (its loss stopped being a finite number) in "
                f"{len(arm.diverged)} of "
                f"{len(arm.trials)} trials: seed {listed([str(seed) for seed in arm.diverged])}. A diverged "
                "trial "
                "counts with the accuracy that it ended with; its curves stop where it broke."
            )
        curve = arm.curve(lambda record: record.train_loss)
        if len(curve) > 1 and curve[-1].y > 0.95 * curve[0].y:
            share = f"{100 * curve[-1].y / curve[0].y:.0f}%"
            said.append(
                f"{_name(arm.name)} hardly learned: its training loss ended at {share} of where it began."
            )
    missing = sum(len(arm.missing) for arm in summary.arms)
    if missing:
        which = [
            f"{_name(arm.name)} seed {listed([str(seed) for seed in arm.missing])}"
            for arm in summary.arms
            if arm.missing
        ]
        said.append(
            f"{missing} of {summary.results.expected} trials {'has' if missing == 1 else 'have'} no result "
            "yet: "
            f"{listed(which)}. Starting the same bake-off again finishes what is missing and repeats nothing."
        )
    return said


def _protocol(summary: Summary) -> list[str]:
    spec = summary.results.spec
    return [
        f"Every activation ran with the same learning rate ({spec.learning_rate:g}, {spec.optimizer}) and "
        "the same kind of "
        f"initial weights ({spec.initialisation}). That is unfair: an activation for which this rate "
        "happens to suit looks "
        "better than one that would need another. A fair comparison tunes the rate for each on validation "
        "data.",
        "The intervals say how the figures would move with other seeds, on the same test images; they do "
        "not cover other "
        "test images, other networks or longer training. The test set was used once, after the last epoch.",
    ]
