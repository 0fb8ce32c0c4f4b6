"""How large initial weights should be, by the function that follows them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from triode.doctor.history import Layer

HE = math.sqrt(2.0)
"""Standard deviation, times the square root of the fan-in, that keeps the mean square through a ReLU."""


@cache
def gain(function: str) -> float:
    """Standard deviation times the square root of the fan-in at which signals neither grow nor die before `function`.

    He's for the rectifiers, LeCun's 1 before nothing, the critical point of the function otherwise, and 1 where the
    theory does not know it (a softmax, a formula of the user's).

    Examples:
        >>> round(gain("relu"), 3), gain("tanh"), gain(""), gain("no such function")
        (1.414, 1.0, 1.0, 1.0)
    """
    from triode.analysis import critical_init
    from triode.errors import TriodeError

    try:
        return critical_init(function)[0] if function else 1.0
    except TriodeError:
        return 1.0


def scale(layer: Layer) -> float:
    """How many times larger the layer's initial weights are than any usual scheme would make them; below 1, smaller.

    1 within the range from LeCun's initialisation to the critical one for the function that follows; nan where the
    weights are unknown or were set to zero, which is done on purpose in the last layer of a branch.
    """
    std, fan_in = layer.initial_std, layer.fan_in
    if not (math.isfinite(std) and std > 0.0 and fan_in > 0):
        return math.nan
    relative = std * math.sqrt(fan_in)
    low, high = sorted((1.0, gain(layer.activation)))
    return relative / low if relative < low else max(1.0, relative / high)


@cache
def usual_flatness(function: str) -> float:
    """Share of inputs at which the slope of `function` lies below 1% of its steepest, when all is well.

    Inputs are normal with the largest standard deviation that a network started well gives them: the function's gain
    times that of standardised data. 0.3% for tanh, a third for the hard tanh, half for ReLU6; a sigmoid, whose gain is
    4, comes to 13%.

    Examples:
        >>> round(usual_flatness("tanh"), 3), round(usual_flatness("hard_tanh"), 2), usual_flatness("no such function")
        (0.003, 0.32, 0.0)
    """
    import triode
    from triode.errors import TriodeError

    z = np.linspace(-6.0, 6.0, 4801)
    try:
        slope = np.abs(np.asarray(triode.get(function).derivative(max(1.0, gain(function)) * z), float))
    except (TriodeError, AttributeError, TypeError):
        return 0.0
    weight = np.exp(-0.5 * z * z)
    # Of parameters at their defaults, as the function's gain is.
    return float(weight[slope < 0.01 * slope.max()].sum() / weight.sum())
