"""The elementary functions one by one: the bound that each docstring states, in ulp of float64."""

from __future__ import annotations

import re

import numpy as np
import pytest

import triode
from support.ulp import sample, ulps
from triode import oracle
from triode.expr import PRIMITIVES
from triode.kernels import elementary

STATED = {
    name: float(re.findall(r"([0-9.]+) ulp", function.__doc__ or "")[0])
    for name, function in (elementary.PLAIN | elementary.DECAYING).items()
    if "ulp" in (function.__doc__ or "")
}
BUILT_IN = {"abs", "sign", "min", "max", "sqrt"}  # one instruction or exact
LIBRARY = {"sin", "cos", "atan", "asinh"}


def test_every_function_of_our_own_states_a_bound() -> None:
    assert set(STATED) == set(PRIMITIVES) - BUILT_IN - LIBRARY


@pytest.mark.parametrize("name", sorted(set(STATED) | LIBRARY))
def test_bound(name: str) -> None:
    function = triode.Activation("own", f"{name}(z)")
    x = sample("float64", 80)
    if name in ("log", "log1p"):
        x = np.abs(x[x != 0.0])
    if name in ("sin", "cos"):
        x = x[np.abs(x) < 1e15]
    worst = max(
        ulps(float(y), oracle.value(function.formula, z=float(z)), "float64")
        for z, y in zip(x, function(x), strict=True)
    )
    assert worst <= STATED.get(name, 1.0), worst


@pytest.mark.parametrize("name", sorted(elementary.DECAYING))
def test_multiplier_is_rounded_once_where_the_function_is_subnormal(name: str) -> None:
    # Alone each of these loses its digits below 1e-308; times 2^60 the product is normal and must have them all.
    edge = {"exp": -730.0, "sigmoid": -730.0, "logistic_pdf": 730.0, "gaussian": 27.1, "normal_pdf": 38.2}
    z = edge.get(name, -38.2 if name == "ndtr" else 27.1)
    product = triode.Activation("own", f"1152921504606846976 * {name}(z)")
    points = np.linspace(z - 0.3, z + 0.3, 50)
    for x, y in zip(points, product(points), strict=True):
        assert ulps(float(y), oracle.value(product.formula, z=float(x)), "float64") <= STATED[name] + 1.0
