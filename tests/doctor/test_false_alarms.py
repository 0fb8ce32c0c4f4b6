"""A sample of the table of false alarms: networks of the bake-off that train well must be left in peace."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from triode.activation import Activation
from triode.functions import FAMILIES

pytest.importorskip("torch")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = BENCHMARKS / "doctor.json"
# Each model once, and what is easily mistaken: sparse, bounded, one-sided, steep.
CELLS = (
    ("mlp", "relu"),
    ("mlp", "sigmoid"),
    ("mlp", "squared_relu"),
    ("residual-mlp", "hard_sigmoid"),
    ("cnn", "relu"),
    ("residual-cnn", "gelu"),
    ("transformer", "relu6"),
    ("lstm", "tanh"),
)

IMAGES = {"residual-cnn": 384, "cnn": 640, "lstm": 640, "transformer": 640}
"""Of those that take long."""


@pytest.fixture(scope="module")
def benchmark() -> object:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("doctor")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(("model", "activation"), CELLS)
def test_no_finding_on_a_network_that_trains(benchmark: object, model: str, activation: str) -> None:
    diagnosis, accuracy = benchmark.cell(model, activation, epochs=1, images=IMAGES.get(model, 1280))  # type: ignore[attr-defined]
    assert diagnosis.healthy, [finding.summary for finding in diagnosis.findings]
    assert diagnosis.histories[0].steps >= 3
    assert accuracy >= 0.05  # it answers at all


def test_the_table_covers_every_model_and_activation(benchmark: object) -> None:
    from triode.bakeoff import models

    cells = json.loads(RESULTS.read_text())["false-alarms"]
    # What other tests have defined is no part of the catalogue.
    declared = {
        value.name for family in FAMILIES for value in vars(family).values() if isinstance(value, Activation)
    }
    suitable = [name for name in benchmark.suitable() if name in declared]  # type: ignore[attr-defined]
    wanted = {f"{model} {name}" for model in models.names() for name in suitable}
    assert set(cells) == wanted


def test_the_benchmark_goes_on_where_it_stopped(
    benchmark: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--results", str(tmp_path / "found.json"), "false-alarms", "--sample", "2", "--models", "mlp"]
    words += ["--epochs", "1", "--images", "256"]
    benchmark.main(words)  # type: ignore[attr-defined]
    first = json.loads((tmp_path / "found.json").read_text())
    assert len(first["false-alarms"]) == 2

    def measured_again(*given: object) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(benchmark, "cell", measured_again)
    benchmark.main(words)  # type: ignore[attr-defined]
    assert json.loads((tmp_path / "found.json").read_text()) == first
    assert "2/2" in capsys.readouterr().out
