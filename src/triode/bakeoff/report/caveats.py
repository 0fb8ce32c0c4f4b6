"""What a reader must know beside the verdict: the budget, what is unfair, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable

from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.report.words import all_named, counted, listed, named, rate
from triode.bakeoff.spec import Spec

EDGE = 0.05
"""A rate drawn between two limits lies at the edge within this share of the way, in logarithms."""


def protocol(summary: Summary) -> tuple[str, ...]:
    """How the comparison was made, what is unfair about it, and what the intervals do not cover."""
    spec = summary.results.spec
    tuned = spec.protocol == "tuned"
    said = [_budget(spec), *_limits(spec), *_unequal(summary)] if tuned else [*_chapter(spec)]
    if spec.initialisation == "critical":
        said.append(
            "Initial weights are matched to each activation (critical gain, where it has one) in the layers that feed "
            "it; the other layers start alike."
        )
    elif spec.protocol != "chapter":
        said.append(
            f"Initial weights are of one kind for all ({spec.initialisation}), not matched to each activation: that "
            "favours those for which this kind was made."
        )
    said.append(
        "Seeds are paired: with one seed every activation sees the same batches in the same order, and its initial "
        "weights are the same random draws, scaled."
    )
    said.append(
        "The intervals say how the figures would move with other seeds on the same test examples; they do not cover "
        "other test examples, other networks or longer training"
        f"{', nor another outcome of the tuning' * tuned}. The test set was used once, after the last epoch."
    )
    return tuple(said)


def edges(summary: Summary) -> tuple[str, ...]:
    """Warnings of chosen rates that lie at an end of what was tried: a better one may lie beyond."""
    spec = summary.results.spec
    if spec.protocol != "tuned":
        return ()
    if len(set(spec.learning_rates)) < 2:
        what = "the rate was not tuned" if len(spec.weight_decays) > 1 else "nothing was tuned"
        return (
            f"Only one learning rate was tried ({rate(spec.learning_rates[0])}), so {what}: name several in "
            "learning_rates.",
        )
    said = []
    for side, word, beyond in (("low", "smallest", "smaller"), ("high", "largest", "larger")):
        arms = [arm for arm in summary.arms if edge(arm, spec) == side]
        if not arms:
            continue
        least, most = min(spec.learning_rates), max(spec.learning_rates)
        end = least if side == "low" else most
        where = "at" if spec.tuner == "grid" else "near"
        said.append(
            f"Edge of the grid: the rate chosen for {all_named(arm.name for arm in arms)} lies {where} the {word} that "
            f"was tried ({rate(end)}). A {beyond} one may be better still, so this comparison may be unfair to "
            f"{'it' if len(arms) == 1 else 'them'}: widen learning_rates."
        )
    return tuple(said)


def edge(arm: Arm, spec: Spec) -> str:
    """`low` or `high` where the chosen rate lies at that end of what was tried; otherwise nothing."""
    chosen = arm.settings.get("learning_rate")
    low, high = min(spec.learning_rates), max(spec.learning_rates)
    if chosen is None or spec.protocol != "tuned" or low == high:
        return ""
    if low <= 0:
        return "high" if chosen >= high else "low" if chosen <= low else ""
    away = math.log(chosen / low) / math.log(high / low)
    near = EDGE if spec.tuner == "optuna" else 1e-9
    return "low" if away <= near else "high" if away >= 1 - near else ""


def mishaps(summary: Summary) -> tuple[str, ...]:
    """Trials that diverged, raised or are missing, and networks that hardly learned."""
    said = []
    for arm in summary.arms:
        if arm.diverged:
            counts = (
                "counts with the accuracy that it ended with"
                if summary.measure.percent
                else "has no loss to count, so the mean is over the others and flatters it"
            )
            said.append(
                f"{named(arm.name)} diverged (its loss stopped being a finite number) in {len(arm.diverged)} of "
                f"{counted(len(arm.trials), 'trial')}: seed {_seeds(arm.diverged)}. A diverged trial {counts}; "
                "its curves stop where it broke."
            )
        curve = arm.curve(lambda record: record.train_loss)
        if len(curve) > 1 and curve[-1].y > 0.95 * curve[0].y:
            share = f"{100 * curve[-1].y / curve[0].y:.0f}%"
            said.append(
                f"{named(arm.name)} hardly learned: its training loss ended at {share} of where it began."
            )
    return (*said, *_absent(summary), *_raised(summary))


def _absent(summary: Summary) -> list[str]:
    missing = sum(len(arm.missing) for arm in summary.arms)
    if not missing:
        return []
    which = [f"{named(arm.name)} seed {_seeds(arm.missing)}" for arm in summary.arms if arm.missing]
    # A trial that raised as often as it may is not tried again as it is.
    more = ", with more attempts for those that raised," * bool(summary.results.failures)
    return [
        f"{missing} of {summary.results.expected} trials {'has' if missing == 1 else 'have'} no result yet: "
        f"{listed(which)}. Starting the same bake-off again{more} finishes what is missing and repeats nothing."
    ]


def _raised(summary: Summary) -> list[str]:
    failures = summary.results.failures
    if not failures:
        return []
    n = len(failures)
    first, line = next(iter(failures.items()))
    others = f" and {n - 1} more, listed under Reproduce" * (n > 1)
    return [
        f"{counted(n, 'trial')} raised an error and {'has' if n == 1 else 'have'} no result: {named(first)} "
        f"({named(line)}){others}."
    ]


def _chapter(spec: Spec) -> list[str]:
    unfair = [
        f"one learning rate ({rate(spec.learning_rate)}, {spec.optimizer}) served all, and an activation that it "
        "happens to suit looks better than one that would need another"
    ]
    if spec.initialisation != "critical":
        unfair.append(
            f"initial weights are of one kind for all ({spec.initialisation}), whatever scale each activation needs"
        )
    unfair.append("nothing was tuned, so no activation was seen at its best")
    return [
        "This protocol is unfair, as the chapter’s own comparison is: "
        + "; ".join(unfair)
        + ". A fair comparison tunes the rate for each on validation data: --protocol tuned."
    ]


def _budget(spec: Spec) -> str:
    rates = ", ".join(rate(r) for r in spec.learning_rates)
    if spec.tuner == "optuna":
        low, high = rate(min(spec.learning_rates)), rate(max(spec.learning_rates))
        tried = f"{counted(spec.tuning_trials, 'learning rate')} between {low} and {high}, drawn by Optuna"
        if spec.weight_decays:
            low, high = rate(min(spec.weight_decays)), rate(max(spec.weight_decays))
            tried += f" together with a weight decay between {low} and {high}"
    else:
        tried = f"{counted(len(spec.learning_rates), 'learning rate')} ({rates})"
        if spec.weight_decays:
            decays = ", ".join(rate(d) for d in spec.weight_decays)
            tried += f", each with {counted(len(spec.weight_decays), 'weight decay')} ({decays})"
    epochs = spec.tuning_epochs or spec.epochs
    shorter = f", {counted(epochs, 'epoch')} long instead of {spec.epochs}" if epochs != spec.epochs else ""
    return (
        f"Budget: every activation was tried at {tried}, with {counted(spec.tuning_seeds, 'seed')} each{shorter}. The "
        f"choice was made on validation data alone, then trained afresh with {counted(spec.seeds, 'other seed')}; the "
        "test set was touched once, at the end. Batch size, schedule and the rest were the same for all and not tuned."
    )


def _limits(spec: Spec) -> list[str]:
    """What an equal budget of points does not make equal or certain."""
    said = [
        "The budget is equal in points and epochs, not in time: a costlier activation was given more of it."
    ]
    if spec.tuning_seeds < 3:
        seeds = "one tuning seed" if spec.tuning_seeds == 1 else "two tuning seeds"
        said[0] += f" With {seeds} at each point, which of two close ones was chosen may be luck."
    if 0 < spec.tuning_epochs < spec.epochs:
        said[0] += " Tuning runs that are shorter than the final ones favour rates that are quick at first."
    return said


def _unequal(summary: Summary) -> list[str]:
    """Tuning that some activation got less of than another, as where trials raised or are still missing."""
    counts = {arm.name: len(arm.tuning) for arm in summary.arms}
    most = max(counts.values(), default=0)
    fewer = [name for name, n in counts.items() if n < most]
    if not fewer:
        return []
    return [
        f"Unequal so far: {all_named(fewer)} finished fewer than the {most} tuning trials that others had."
    ]


def _seeds(seeds: Iterable[int]) -> str:
    return listed([str(seed) for seed in seeds])
