"""From repeated trials to what may be said: estimates over seeds, differences, which survive correction, and power.

Pure functions of numbers; nothing here trains, reads a file or draws. SciPy is loaded by the first call that needs a
distribution, NumPy does the rest.
"""

from __future__ import annotations

from triode.bakeoff.stats.baseline import Against, Rival, Standing, against
from triode.bakeoff.stats.bootstrap import Improvement, iqm_interval, probability_of_improvement
from triode.bakeoff.stats.depth import effective_depth
from triode.bakeoff.stats.differences import (
    Comparison,
    Difference,
    Pair,
    compare,
    holm,
    paired_difference,
)
from triode.bakeoff.stats.estimates import Estimate, interquartile_mean, mean_interval
from triode.bakeoff.stats.power import MOST_SEEDS, detectable_difference, seeds_needed
from triode.bakeoff.stats.profiles import (
    Profile,
    TargetTime,
    median_time,
    performance_profile,
    time_profile,
    time_to_target,
)

__all__ = [
    "MOST_SEEDS",
    "Against",
    "Comparison",
    "Difference",
    "Estimate",
    "Improvement",
    "Pair",
    "Profile",
    "Rival",
    "Standing",
    "TargetTime",
    "against",
    "compare",
    "detectable_difference",
    "effective_depth",
    "holm",
    "interquartile_mean",
    "iqm_interval",
    "mean_interval",
    "median_time",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "seeds_needed",
    "time_profile",
    "time_to_target",
]
