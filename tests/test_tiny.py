"""Two seconds that say whether anything is badly broken."""

import math

import numpy as np
import pytest

import triode
from triode.cli import main


def test_a_value_and_a_derivative() -> None:
    assert triode.gelu(1.0) == pytest.approx(0.5 * (1.0 + math.erf(math.sqrt(0.5))), rel=1e-15)
    assert triode.tanh.derivative(0.0) == 1.0


def test_an_array_keeps_its_kind() -> None:
    x = np.array([[-1.0, 0.0, 2.0]], dtype=np.float32)
    y = triode.relu(x)
    assert y.dtype == np.float32
    assert y.tolist() == [[0.0, 0.0, 2.0]]


def test_an_alias_resolves() -> None:
    assert triode.get("silu") is triode.swish


def test_softmax_sums_to_one() -> None:
    assert triode.softmax([2.0, 1.0, 0.1]).sum() == pytest.approx(1.0, rel=1e-15)


def test_a_formula_of_ones_own() -> None:
    mine = triode.get("tiny_cube=z * z * z")
    assert mine(2.0) == 8.0
    assert mine.derivative(2.0) == 12.0


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "relu", "3", "--order", "0"]) == 0
    assert capsys.readouterr().out.split() == ["x", "value", "3", "3"]
