"""How soon each activation reaches the target, and what an epoch of it costs."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from triode.bakeoff.report.panels import Chart, Panel, Row, Table, padded, reach
from triode.bakeoff.report.summary import Summary, epoch_seconds
from triode.bakeoff.report.views.rows import curve_table, curves, estimate_row
from triode.bakeoff.report.words import value
from triode.bakeoff.stats import Estimate, performance_profile

THRESHOLDS = 60
"""Points of a performance profile."""


def speed(summary: Summary) -> Chart:
    """Epochs to the target, and the share of runs that are at least so good."""
    measure, epochs = summary.measure, summary.last_epoch
    reached = sorted(
        ((arm, summary.time(arm)) for arm in summary.arms if arm.trials and math.isfinite(summary.target)),
        key=lambda pair: (pair[1].median, -pair[1].reached),
    )
    rows: list[Row] = []
    seeds: list[Row] = []
    for arm, time in reached:
        if not time.n:
            continue
        # Later than the last epoch: beyond the axis, where the chart says never.
        middle = time.median if math.isfinite(time.median) else epochs + 1.0
        row = {"activation": arm.name, "mean": middle, "low": None, "high": None, "n": time.reached}
        rows.append(row if math.isfinite(time.median) else {**row, "written": "never"})
        seeds += [
            {"activation": arm.name, "seed": seed, "value": t}
            for seed, t in summary.times(arm).items()
            if math.isfinite(t)
        ]
    profile, table = _profiles(summary)
    target = value(measure, summary.target, 1)
    never = any(not math.isfinite(time.median) for _, time in reached)
    what = "validation accuracy" if measure.percent else "validation loss"
    verb = "or more" if measure.larger_is_better else "or less"
    return Chart(
        "speed",
        "Time to target, and performance profile",
        f"Who is first at a {what} of {target}, and which share of its runs ends how well.",
        f"Left: the first epoch with a {what} of {target} {verb}; the large point is the median over seeds, where a "
        "seed that never gets there counts as later than all others, small dots are single seeds."
        f"{' Never: not in half of the seeds.' * never} "
        f"{'The target was given.' if summary.results.spec.target > 0 else _origin(summary)} "
        f"Right: the share of runs whose {measure.name} is at least as good as the value below it, a step a run; "
        "where one line lies above another everywhere, it is better at every quantile. Diverged runs without a "
        f"{measure.name} count as worse than all.",
        (
            Panel(
                "dots", "Epochs to target", "epochs to target", "", tuple(rows), tuple(seeds),
                (0.0, epochs + 0.5), centre="median", order=tuple(row["activation"] for row in rows),
            ),
            Panel(
                "lines", "Performance profile",
                f"{measure.name} ({'at least' if measure.larger_is_better else 'at most'})", "share of runs",
                profile, (), (-0.02, 1.04), percent=True, whole=False,
                steps="before" if measure.larger_is_better else "after", x_percent=measure.percent,
                x_free=True,
            ),
        ),
        Table(
            ("activation", "median epochs", "fastest", "seeds that reached it", "seeds"),
            tuple((arm.name, t.median, t.fastest, t.reached, t.n) for arm, t in reached),
            ("", ".1f", ".0f", "d", "d"),
        ),
        (("performance profile", table),),
    )  # fmt: skip


def cost(summary: Summary) -> Chart:
    """Seconds for an epoch, the validation figure against time spent, and peak memory."""
    measure = summary.measure
    arms = sorted(
        (arm for arm in summary.arms if arm.epoch_seconds.n), key=lambda arm: arm.epoch_seconds.mean
    )
    rows = tuple(estimate_row(arm.name, arm.epoch_seconds) for arm in arms)
    seeds = tuple(
        {"activation": arm.name, "seed": t.seed, "value": epoch_seconds(t)}
        for arm in arms
        for t in arm.trials
        if math.isfinite(epoch_seconds(t))
    )
    paced: list[Row] = []
    for arm in summary.arms:
        elapsed = list(itertools.accumulate(s.y for s in arm.curve(lambda r: r.seconds, start=1)))
        found = arm.curve(lambda r: float(getattr(r, measure.validation_field)), start=1)
        paced += curves([(arm.name, tuple(replace(s, x=x) for s, x in zip(found, elapsed, strict=False)))])
    memory = tuple(
        estimate_row(arm.name, Estimate(arm.peak_memory / 2**20, math.nan, math.nan, len(arm.trials)))
        for arm in sorted(summary.arms, key=lambda arm: arm.peak_memory)
        if arm.peak_memory
    )
    what = "validation accuracy" if measure.percent else "validation loss"
    stacked = any("stacked" in road for road in summary.roads)
    panels = (
        Panel(
            "dots", "Seconds per epoch", "seconds per epoch", "", rows, seeds,
            padded([value for value in reach(rows, seeds) if value > 0] + [0.0], within=(0, math.inf)),
            order=tuple(arm.name for arm in arms),
        ),
        Panel(
            "dots", "Peak memory of the process", "MiB", "", memory, (),
            padded([0.0, *(row["mean"] for row in memory)], within=(0, math.inf)),
            order=tuple(row["activation"] for row in memory),
        ),
        Panel(
            "lines", f"{what.capitalize()} against time", "seconds of training", what, tuple(paced), (),
            padded(reach(paced), within=(0, 1) if measure.percent else (0, math.inf)), percent=measure.percent,
            points=True, whole=False,
        ),
    )  # fmt: skip
    return Chart(
        "cost",
        "Cost",
        "What each activation costs, and what it has reached by the time the others have.",
        "Seconds per epoch: wall time of one epoch’s training steps with what is watched in them, the median over a "
        "trial’s epochs (small dots), mean over seeds (large point) and its 95% Student interval. Against time: mean "
        f"{what} after each epoch against the training time up to it. Peak memory: largest resident memory of a "
        "process that trained this activation, Python and PyTorch included."
        + " Trials that were trained as one count an equal share of their common time, so activations in one stack "
        "cannot differ in it, and share its memory." * stacked
        + " Trials ran beside each other on one machine, so small differences in time mean little.",
        panels,
        curve_table("seconds", [(what, paced)], ".4f", x_format=".2f"),
        (
            (
                "seconds and memory",
                Table(
                    ("activation", "seconds per epoch", "low", "high", "peak memory, MiB"),
                    tuple(
                        (
                            a.name, a.epoch_seconds.mean, a.epoch_seconds.low, a.epoch_seconds.high,
                            a.peak_memory / 2**20 if a.peak_memory else math.nan,
                        )
                        for a in arms
                    ),
                    ("", ".3f", ".3f", ".3f", ".0f"),
                ),
            ),
        ),
    )  # fmt: skip


def _profiles(summary: Summary) -> tuple[tuple[Row, ...], Table]:
    """For each activation the share of its runs that end at least so well, at every value where one steps."""
    larger = summary.measure.larger_is_better
    found = sorted({v for arm in summary.arms for v in arm.values.values() if math.isfinite(v)})
    if len({arm.name for arm in summary.arms if arm.trials}) < 2 or len(found) < 2:
        return (), Table((), ())
    near = _bulk(found, larger)
    low, high = near[0], near[-1]
    room = 0.06 * (high - low)
    grid = [low - room, *near, high + room]
    if len(grid) > THRESHOLDS:
        grid = [low - room + (high - low + 2 * room) * i / (THRESHOLDS - 1) for i in range(THRESHOLDS)]
    rows: list[Row] = []
    for arm in summary.arms:
        if arm.trials:
            profile = performance_profile(list(arm.values.values()), grid, larger_is_better=larger, draws=1)
            rows += [
                {"activation": arm.name, "x": x, "y": y, "low": y, "high": y, "n": profile.n}
                for x, y in zip(profile.thresholds, profile.share, strict=True)
            ]
    table = curve_table(
        summary.measure.name, [("share of runs", rows)], ".0%", ".2%" if summary.measure.percent else ".4g"
    )
    return tuple(rows), table


def _bulk(found: list[float], larger: bool) -> list[float]:
    """The values without those of a few hopeless runs, which would squeeze the others together."""
    better = found[len(found) * 2 // 5 :] if larger else found[: max(2, len(found) * 3 // 5)]
    room = 4 * (better[-1] - better[0])
    kept = [v for v in found if better[0] - room <= v <= better[-1] + room]
    return kept if len(kept) > 1 else found


def _origin(summary: Summary) -> str:
    return (
        f"The target lies at nine tenths of the way that {summary.baseline}, the baseline, makes from its first to its "
        "best validation figure in its middle seed."
    )
