"""How many layers of a network share its gradient."""

from __future__ import annotations

import math

import numpy as np

from triode.bakeoff.stats.estimates import Values
from triode.errors import TriodeError


def effective_depth(gradient_norms: Values) -> float:
    """The number of layers that the gradient is effectively spread over: the participation ratio of its norms.

        d = (sum_l g_l)^2 / sum_l g_l^2,    1 <= d <= L

    L for L layers with equal norms, 1 where one layer has all the gradient, k where k layers share it equally and the
    rest have none. It does not depend on the scale of the norms. Six layers of sigmoids whose gradient falls by the
    factor 1/8 from each to the one below have d = 1.29: all but the last hardly learn.

    Args:
        gradient_norms: The Euclidean norm of the gradient of each layer.

    Returns:
        A number from 1 to L; 0 where all norms are 0 (no layer gets a gradient); nan where there are no layers or a
        norm is not finite.

    Raises:
        TriodeError: a norm is negative.

    >>> effective_depth([1.0, 1.0, 1.0, 0.0])
    3.0

    Source: R. Bell and P. Dean, "Atomic vibrations in vitreous silica", Discuss. Faraday Soc., 1970; it is Kish's
    effective sample size and the Hill number of order 2 of the layers' shares.
    """
    norms = np.asarray(gradient_norms, dtype=np.float64)
    if bool((norms < 0).any()):
        raise TriodeError(
            f"A gradient norm of {norms.min()} is negative, so it is not a norm; give lengths, not logarithms."
        )
    if norms.size == 0 or not bool(np.isfinite(norms).all()):
        return math.nan
    largest = float(norms.max())
    if largest == 0.0:
        return 0.0
    # Vanished norms would square to 0 and exploded ones to inf.
    shares = norms / largest
    ratio = float(shares.sum() ** 2 / (shares**2).sum())
    return min(max(ratio, 1.0), float(norms.size))
