"""Every arm against one baseline: win, tie or loss, and for a tie how many seeds more would tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triode.bakeoff.stats.bootstrap import Improvement, iqm_interval, probability_of_improvement
from triode.bakeoff.stats.differences import (
    Difference,
    Matrix,
    holm,
    paired_deviation,
    paired_difference,
    ranked,
    shared,
)
from triode.bakeoff.stats.estimates import Estimate, mean_interval
from triode.bakeoff.stats.power import detectable_difference, seeds_needed
from triode.errors import TriodeError, nearest

Standing = Literal["win", "tie", "loss", "untested"]
"""Better than the baseline beyond chance; no significant difference; worse; fewer than two seeds to compare."""


@dataclass(frozen=True)
class Rival:
    """One arm against the baseline, on the seeds that both have run."""

    name: str
    difference: Difference
    """Arm minus baseline in the unit of the measure, whichever is better: of two losses, negative is good."""
    deviation: float
    """Sample standard deviation of the paired differences, 0 where it is rounding alone; nan for fewer than two."""
    p_corrected: float
    """After Holm's correction over the comparisons with the baseline; nan where untested."""
    standing: Standing
    improvement: Improvement
    """The probability that a run of this arm beats a run of the baseline; 0.5 is no difference."""
    diverged: tuple[int, ...]
    """Shared seeds on which this arm ended with a measure that is not finite; `difference` is without them."""
    level: float
    """Alpha divided by the number of comparisons: a p below it is significant whatever the others turn out to be."""
    baseline_diverged: tuple[int, ...] = ()
    """Shared seeds on which the baseline did."""

    @property
    def more_seeds(self) -> int | None:
        """For a tie, `more_seeds_for` the difference that was observed; None for anything else, and for no difference.

        The observed difference and its spread are themselves estimates from few seeds: say "about".
        """
        if self.standing != "tie" or self.difference.p_value == 1.0:
            return None
        return self.more_seeds_for(self.difference.mean)

    def more_seeds_for(self, difference: float, power: float = 0.8) -> int | None:
        """About how many seeds beyond those shared would show a true difference of this size.

        `seeds_needed` at `level`, with the spread seen here, less the seeds there are.

        Args:
            difference: In the unit of the measure: 0.005 is half a point of accuracy. The sign does not matter.
            power: Probability to find it.

        Returns:
            0 where there are enough already; None where nothing can be said: fewer than two shared seeds, or a
            difference of 0.
        """
        if self.difference.n < 2 or not math.isfinite(difference) or difference == 0:
            return None
        return max(0, seeds_needed(self.deviation, difference, self.level, power) - self.difference.n)

    def detectable(self, power: float = 0.8) -> float:
        """The true difference that the seeds there are would find with this probability; nan for fewer than two."""
        if self.difference.n < 2:
            return math.nan
        return detectable_difference(self.deviation, self.difference.n, self.level, power)


@dataclass(frozen=True)
class Against:
    """All arms compared with one of them."""

    baseline: str
    rivals: tuple[Rival, ...]
    """The other arms, best mean first; an arm without a finite value comes last."""
    estimates: dict[str, Estimate]
    """Mean and Student's interval of every arm, the baseline included, over its own seeds."""
    iqm: dict[str, Estimate]
    """Interquartile mean and bootstrap interval of every arm, the baseline included, over its own seeds."""
    alpha: float
    """Chance, over the whole family, to call at least one difference from the baseline real when none is."""
    larger_is_better: bool

    def rival(self, name: str) -> Rival:
        """The arm of this name against the baseline."""
        return next(rival for rival in self.rivals if rival.name == name)

    @property
    def wins(self) -> tuple[Rival, ...]:
        """Arms better than the baseline beyond chance."""
        return tuple(rival for rival in self.rivals if rival.standing == "win")

    @property
    def ties(self) -> tuple[Rival, ...]:
        """Arms without a significant difference from the baseline at this number of seeds, which is not equality."""
        return tuple(rival for rival in self.rivals if rival.standing == "tie")

    @property
    def losses(self) -> tuple[Rival, ...]:
        """Arms worse than the baseline beyond chance."""
        return tuple(rival for rival in self.rivals if rival.standing == "loss")

    @property
    def untested(self) -> tuple[Rival, ...]:
        """Arms with fewer than two finite seeds in common with the baseline."""
        return tuple(rival for rival in self.rivals if rival.standing == "untested")


def against(
    matrix: Matrix,
    baseline: str,
    larger_is_better: bool = True,
    confidence: float = 0.95,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Against:
    """Compare every arm of `matrix` with the arm called `baseline`.

    Each is tested by Student's paired test on the seeds that both have (`paired_difference`), and the p-values are
    corrected by Holm over these comparisons alone: a family of (arms - 1), not of all pairs, so a difference from the
    baseline is easier to see than in `compare`.

    - A seed that one of the two has not run is left out.
    - A seed on which one of the two diverged (nan or infinity) has no difference and is left out of the test, but not
      forgotten: it is in `diverged`, it counts as a lost run in the probability of improvement, and the arm that
      diverged more often on the shared seeds cannot be the better one: its mean over the runs that survived flatters
      it, so a significant lead of it is called a tie.
    - Differences that are all equal have no spread to test with; there the sign test's p counts.
    - With fewer than two differences the standing is "untested", and the comparison does not count in the correction.

    Args:
        matrix: For each name its measure for each seed.
        baseline: A name in `matrix`.
        larger_is_better: False for losses and times.
        confidence: Of each interval; 1 - confidence is alpha for the whole family.
        draws: Number of bootstrap resamplings for each interval.
        seed: Of the bootstrap.

    Raises:
        TriodeError: `matrix` has no arm of the name `baseline`.

    >>> relu = {0: 0.870, 1: 0.874, 2: 0.866, 3: 0.871}
    >>> gelu = {0: 0.881, 1: 0.886, 2: 0.878, 3: 0.881}
    >>> swish = {0: 0.872, 1: 0.873, 2: 0.869, 3: 0.870}
    >>> found = against({"relu": relu, "gelu": gelu, "swish": swish}, "relu")
    >>> [(rival.name, rival.standing, rival.more_seeds) for rival in found.rivals]
    [('gelu', 'win', None), ('swish', 'tie', 71)]
    >>> found.rival("swish").more_seeds_for(0.005)  # half a point
    1

    Source: S. Holm, 1979; R. Agarwal et al., 2021, arXiv:2108.13264; `triode.bakeoff.stats.power`.
    """
    if baseline not in matrix:
        raise TriodeError(
            f"The baseline {baseline!r} is not among the arms compared ({', '.join(matrix) or 'there are none'})"
            f"{nearest(baseline, matrix)}."
        )
    rows = {name: list(row.values()) for name, row in matrix.items()}
    estimates = {name: mean_interval(row, confidence) for name, row in rows.items()}
    order = [name for name in ranked(estimates, larger_is_better) if name != baseline]
    seeds = {name: shared(matrix, name, baseline) for name in order}
    ours = {name: np.array([matrix[name][s] for s in seeds[name]], dtype=np.float64) for name in order}
    theirs = {name: np.array([matrix[baseline][s] for s in seeds[name]], dtype=np.float64) for name in order}
    differences = {name: paired_difference(ours[name], theirs[name], confidence) for name in order}
    alpha = round(1.0 - confidence, 12)
    corrected = holm([differences[name].p_value for name in order])
    tested = sum(not math.isnan(p) for p in corrected)
    rivals = []
    for name, p in zip(order, corrected, strict=True):
        a, b = ours[name], theirs[name]
        lost, base_lost = (
            tuple(s for s, v in zip(seeds[name], values, strict=True) if not math.isfinite(v))
            for values in (a, b)
        )
        lead = differences[name].mean if larger_is_better else -differences[name].mean
        rivals.append(
            Rival(
                name,
                differences[name],
                paired_deviation(a, b),
                p,
                _standing(p, alpha, lead, len(lost) - len(base_lost)),
                probability_of_improvement(
                    a,
                    b,
                    larger_is_better=larger_is_better,
                    paired=True,
                    confidence=confidence,
                    draws=draws,
                    seed=seed,
                ),
                lost,
                alpha / max(1, tested),
                base_lost,
            )
        )
    iqm = {name: iqm_interval(row, confidence, draws, seed) for name, row in rows.items()}
    return Against(baseline, tuple(rivals), estimates, iqm, alpha, larger_is_better)


def _standing(p_corrected: float, alpha: float, lead: float, lost: int) -> Standing:
    """`lead` and `lost` are above 0 where the arm is better, and where it diverged more often than the baseline."""
    if math.isnan(p_corrected):
        return "untested"
    if p_corrected >= alpha:
        return "tie"
    if lead > 0:
        return "win" if lost <= 0 else "tie"
    return "loss" if lost >= 0 else "tie"
