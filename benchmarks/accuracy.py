"""Measure the worst error, in ulp, of every elementwise activation and its first two derivatives.

    python benchmarks/accuracy.py                 measure the recorded sample and print the table
    python benchmarks/accuracy.py --write         and write it to benchmarks/accuracy.json
    python benchmarks/accuracy.py --count 2000    with more points (a slower, sharper look; not recorded)

The reference is the 50-digit oracle on the declared formula (for derivatives: what the rules make of it), never a
stable form. One unit is the spacing of the format at the exact value. Near a root of a derivative the relative error
of any float64 computation is unbounded, because the root itself is not a float: there, within ``NEAR`` of a sign
change, the float64 error is counted in the spacing at ``SCALE`` times the derivative's largest value nearby. float32
is counted strictly everywhere.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import triode
from support.ulp import sample, ulps
from triode import oracle

RECORD = Path(__file__).with_suffix(".json")
COUNT = 60
"""Points of each kind in the recorded sample."""
ORDERS = (0, 1, 2)
DTYPES = ("float32", "float64")
NEAR, SCALE = 0.25, 0.25


def roots(activation: triode.Activation, order: int) -> list[float]:
    """Return where the derivative changes sign, to 1e-3."""
    z = np.linspace(-10.0, 10.0, 20001)
    signs = np.sign(activation.derivative(z, order=order))
    change = signs[1:] * signs[:-1] < 0
    return [float(x) for x in z[1:][change]]


def measure(activation: triode.Activation, order: int, dtype: str, count: int = COUNT) -> dict[str, Any]:
    """Return the worst error over the sample, and where it is."""
    inputs = sample(dtype, count)
    outputs = activation.derivative(inputs, order=order)
    formula = activation.derived(order)
    near: list[float] = []
    least = 0.0
    if dtype == "float64" and order > 0:
        near = roots(activation, order)
        least = SCALE * float(
            np.max(np.abs(activation.derivative(np.linspace(-5.0, 5.0, 1001), order=order)))
        )
    worst, at = 0.0, 0.0
    for z, y in zip(inputs, outputs, strict=True):
        floor = least if any(abs(float(z) - root) < NEAR for root in near) else 0.0
        error = ulps(float(y), oracle.value(formula, z=float(z), **activation.defaults()), dtype, floor)
        if error > worst:
            worst, at = error, float(z)
    return {"ulp": round(worst, 3), "at": at, "inputs": len(inputs)}


def elementwise() -> list[triode.Activation]:
    """Return the curated elementwise activations."""
    return [
        a for a in triode.activations() if a.kind == "elementwise" and triode.catalogue.is_curated(a.name)
    ]


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT, help="points of each kind")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    table: dict[str, dict[str, list[dict[str, Any]]]] = {}
    print(
        f"{'worst ulp':16}"
        + "".join(f"{dtype + ' f' + chr(39) * order:>14}" for dtype in DTYPES for order in ORDERS)
    )
    for activation in elementwise():
        rows = {
            dtype: [measure(activation, order, dtype, options.count) for order in ORDERS] for dtype in DTYPES
        }
        table[activation.name] = rows
        print(
            f"{activation.name:16}" + "".join(f"{r['ulp']:14.3f}" for d in DTYPES for r in rows[d]),
            flush=True,
        )
    if options.write:
        if options.count != COUNT:
            parser.error("only the standard sample is recorded; leave --count away")
        machine = {"processor": platform.machine(), "system": platform.system(), "numpy": np.__version__}
        RECORD.write_text(json.dumps({"machine": machine, "worst": table}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
