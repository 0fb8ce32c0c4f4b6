"""Every elementwise activation against the 50-digit oracle: no worse than the committed record."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import triode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import accuracy

RECORD = json.loads(accuracy.RECORD.read_text(encoding="utf-8"))["worst"]
SLACK = 0.01  # ulp: the record is rounded to three places; the C library's atan may differ by a little


def complaint(activation: triode.Activation, dtype: str) -> str:
    """Say where the measured error exceeds the record, or nothing."""
    for order in accuracy.ORDERS:
        recorded = RECORD[activation.name][dtype][order]["ulp"]
        found = accuracy.measure(activation, order, dtype)
        if not found["ulp"] <= recorded + SLACK:
            return f"{activation.name} order {order} {dtype}: {found['ulp']} ulp at {found['at']}, record {recorded}"
    return ""


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("activation", accuracy.elementwise(), ids=lambda activation: activation.name)
def test_no_worse_than_recorded(activation: triode.Activation, dtype: str) -> None:
    assert complaint(activation, dtype) == ""


def test_record_covers_the_catalogue() -> None:
    assert set(RECORD) == {activation.name for activation in accuracy.elementwise()}


def test_float32_is_rounded_from_an_almost_exact_value() -> None:
    worst = max(cell["ulp"] for rows in RECORD.values() for cell in rows["float32"])
    assert worst <= 0.5005


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6])
def test_a_constant_that_is_slightly_wrong_is_caught(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    selu = triode.get("selu")
    wrong = triode.Activation(
        "selu",
        str(selu.formula).replace("1.0507009873554804934193349852946", repr(1.05070098735548 * factor)),
    )
    monkeypatch.setattr(wrong, "derived", selu.derived)
    assert "selu order 0" in complaint(wrong, "float32")
