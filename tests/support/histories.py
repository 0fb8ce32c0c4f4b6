"""Hand-made histories: a healthy training of four layers, and the parts to make it sick in one way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from triode.doctor.diagnosis import Finding, Note
from triode.doctor.history import History, Layer, Loss, Site, Tensors, UnitFigures

STEPS = list(range(0, 200, 10))


def figures(units: int = 20, dead: int = 0, examples: int = 500, **more: Any) -> UnitFigures:
    silent = np.arange(units) < dead
    return UnitFigures(examples, True, silent, silent, **{"saturated": 0.01, "input_spread": 1.0, **more})


def site(
    depth: int, function: str = "relu", *, units: int = 20, dead: int = 0, born: int = 0, **more: Any
) -> Site:
    bounded = function in ("sigmoid", "tanh", "hard_tanh")
    values: dict[str, Any] = {
        "name": f"fc{depth}.{function}",
        "function": function,
        "role": "hidden",
        "depth": depth,
        "layer": f"fc{depth}",
        "module": "",
        "where": "train.py:9",
        "units": units,
        "convolutional": False,
        "can_die": not bounded and function == "relu",
        "bounded": bounded,
        "initial": figures(units, born),
        "final": figures(units, dead),
    }
    return Site(**{**values, **more})


def layer(depth: int, gradient: float = 1.0, *, fan_in: int = 20, units: int = 20, **more: Any) -> Layer:
    values: dict[str, Any] = {
        "name": f"fc{depth}",
        "kind": "linear",
        "depth": depth - 1,
        "fan_in": fan_in,
        "units": units,
        "parameters": (f"fc{depth}.weight",),
        "trained": True,
        "weights": fan_in * units,
        "activation": "relu",
        "initial_std": math.sqrt(2 / fan_in),
        "signal": 1.0,
        "input_signal": 1.0,
        "output_std": 1.0,
        "steps": STEPS,
        "gradient": [gradient] * len(STEPS),
        "weight": [1.0] * len(STEPS),
        "update": [0.01] * len(STEPS),
        "zeros": [0.0] * len(STEPS),
    }
    return Layer(**{**values, **more})


def targets(**more: Any) -> Tensors:
    values: dict[str, Any] = {
        "integer": True,
        "count": 400,
        "least": 0,
        "most": 1,
        "values": np.array([0.0, 1.0]),
        "counts": np.array([200, 200]),
    }
    return Tensors(**{**values, **more})


def history(**more: Any) -> History:
    """A healthy training of four layers."""
    values: dict[str, Any] = {
        "sites": [site(depth) for depth in (1, 2, 3)],
        "layers": [layer(depth) for depth in (1, 2, 3, 4)],
        "losses": [0.7 * 0.98**step for step in range(200)],
        "rates": [0.1] * 200,
        "targets": [targets()],
        "loss": Loss("cross_entropy", "categorical"),
        "trained": True,
        "overshoot": [0.5, 0.7, 0.9],
    }
    return History(**{**values, **more})


def finding(answer: Finding | Note | None) -> Finding:
    assert isinstance(answer, Finding), answer
    return answer
