"""Activations as curves: sampled on an interval, exact at their kinks, broken where they jump."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triode.activation import Activation
from triode.normalising import Normalising

Array = NDArray[np.float64]

SAMPLES = 1201


class Jump(NamedTuple):
    """A point where a plotted curve jumps: its limits on the left and on the right, and the value taken there."""

    z: float
    left: float
    right: float
    taken: float


@dataclass(frozen=True)
class Curve:
    """One activation sampled on an interval, broken (by nan) where it jumps."""

    label: str
    z: Array
    value: Array
    derivative: Array
    value_jumps: tuple[Jump, ...] = ()
    derivative_jumps: tuple[Jump, ...] = ()


def sample(
    activation: Activation, interval: tuple[float, float], given: Mapping[str, float], gate: float = 1.0
) -> Curve:
    """Sample an activation and its first derivative over an interval.

    Args:
        activation: Of any kind; softmax and log-softmax become the first entry of two, the second held at 0.
        interval: Left and right end, finite.
        given: Parameters by name; those that the activation does not have are left out.
        gate: The second input of a gated activation, held along the curve.

    Returns:
        The curve, labelled with what was given.
    """
    own: dict[str, Any] = {name: value for name, value in given.items() if name in activation.defaults()}
    if isinstance(activation, Normalising):
        return class_score(activation, interval, own.get("temperature", 1.0))
    gated = activation.kind == "gated"

    def value(at: Array) -> Array:
        held = (np.full_like(at, gate),) if gated else ()
        return np.asarray(activation(at, *held, **own))

    def derivative(at: Array) -> Array:
        if gated:
            return np.asarray(activation.derivative(at, np.full_like(at, gate), **own)[0])
        return np.asarray(activation.derivative(at, **own))

    kinks = _kinks(activation, own)
    z = _points(interval, kinks)
    value_jumps = _jumps(value, kinks, interval)
    derivative_jumps = _jumps(derivative, kinks, interval)
    return Curve(
        activation.name + (f"(z, {minus(gate)})" if gated else "") + _listed(own),
        z,
        _broken(z, value(z), value_jumps),
        _broken(z, derivative(z), derivative_jumps),
        value_jumps,
        derivative_jumps,
    )


def class_score(activation: Normalising, interval: tuple[float, float], temperature: float) -> Curve:
    """Sample the first entry of softmax([z, 0] / T) (or of its logarithm) and its derivative by z."""
    z = _points(interval, [])
    pairs = np.stack([z, np.zeros_like(z)], axis=-1)
    label = f"{activation.name}([z, 0]" + ("" if temperature == 1.0 else f" / {temperature:g}") + ")"
    value = np.asarray(activation(pairs, temperature=temperature))[:, 0]
    jacobian = np.asarray(activation.jacobian(pairs, temperature=temperature))
    return Curve(label, z, value, jacobian[:, 0, 0])


def _kinks(activation: Activation, own: Mapping[str, float]) -> list[float]:
    positions = []
    for kink in activation.kinks:
        try:
            positions.append(float(kink.at))
        except ValueError:  # a formula in the parameters, computed as a function that ignores its input
            at = Activation("kink", kink.at, parameters=activation.parameters)
            positions.append(float(at(0.0, **own)))
    return positions


def _points(interval: tuple[float, float], kinks: Sequence[float]) -> Array:
    # A kink is a corner of the curve: sampled exactly, and closely on both sides where it may be a jump.
    low, high = interval
    inside = [at for at in kinks if low <= at <= high]
    beside = [np.nextafter(at, side) for at in inside for side in (-np.inf, np.inf)]
    return np.unique(np.concatenate([np.linspace(low, high, SAMPLES), inside, beside]))


def _jumps(
    curve: Callable[[Array], Array], kinks: Sequence[float], interval: tuple[float, float]
) -> tuple[Jump, ...]:
    found = []
    for at in kinks:
        if interval[0] < at < interval[1]:
            spot = np.array([np.nextafter(at, -np.inf), at, np.nextafter(at, np.inf)])
            left, taken, right = (float(value) for value in curve(spot))
            if abs(left - right) > 1e-9 * max(1.0, abs(left), abs(right)):
                found.append(Jump(at, left, right, taken))
    return tuple(found)


def _broken(z: Array, values: Array, jumps: Sequence[Jump]) -> Array:
    pieces = values.copy()
    pieces[np.isin(z, [jump.z for jump in jumps])] = np.nan
    return pieces


def _listed(own: Mapping[str, float]) -> str:
    return "".join(f", {name} = {minus(value)}" for name, value in own.items())


def minus(value: float) -> str:
    """Return a number for a label, with a true minus sign."""
    return f"{value:g}".replace("-", "−")
