"""Where the rules about structure draw the line, on histories that are written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from triode.doctor.diagnosis import Finding, Note
from triode.doctor.graphs import loss_of
from triode.doctor.history import Graph, History, Layer, Operation, Site, Tensors, UnitFigures
from triode.doctor.remedies import REMEDIES
from triode.doctor.rules import (
    missing_activation,
    missing_softmax,
    output_range_mismatch,
    relu_output,
    sigmoid_output_multiclass,
    softmax_before_ce,
    softmax_hidden,
    softmax_single_unit,
)
from triode.doctor.rules._outputs import beyond, value_range

RULES = (
    missing_activation,
    missing_softmax,
    output_range_mismatch,
    relu_output,
    sigmoid_output_multiclass,
    softmax_before_ce,
    softmax_hidden,
    softmax_single_unit,
)


def targets(values: Any, **figures: Any) -> Tensors:
    """Figures of a table of targets."""
    y = np.asarray(values, float)
    y = y.reshape(len(y), -1)
    distinct, counts = np.unique(y, return_counts=True)
    few = len(distinct) <= 64
    return Tensors(
        "target",
        shape=y.shape,
        count=y.size,
        least=float(y.min()),
        most=float(y.max()),
        mean=y.mean(0),
        std=y.std(0),
        below={"-1": float((y < -1).mean()), "0": float((y < 0).mean()), ">1": float((y > 1).mean())},
        values=distinct if few else None,
        counts=counts if few else None,
        **figures,
    )


def ended(
    function: str,
    loss: str,
    y: Tensors,
    *,
    units: int = 1,
    after: str = "",
    dead: float = 0.0,
    **details: Any,
) -> History:
    """linear, tanh, linear, `function`, (`after`,) `loss`."""
    rows = y.shape[0]
    shape = (rows, units)
    kind: Any = "softmax" if "softmax" in function else "activation"
    if kind == "softmax":
        details = {"dim": 1, "size": units} | details
    operations = [
        Operation(0, "data", "data", shape=(rows, 4), details={"what": "input"}),
        Operation(1, "linear", "weights", (0,), ("a.weight",), shape=(rows, 6)),
        Operation(2, "tanh", "activation", (1,), shape=(rows, 6)),
        Operation(3, "linear", "weights", (2,), ("b.weight",), shape=shape),
        Operation(4, function, kind, (3,), shape=shape, where="/home/me/net.py:7", details=details),
    ]
    if after:
        operations.append(Operation(5, after, "carrier", (4,), shape=shape))
    n = len(operations)
    operations.append(Operation(n, "data", "data", shape=y.shape, details={"what": "target"}, in_model=False))
    operations.append(Operation(n + 1, loss, "loss", (n - 1, n), in_model=False))
    graph = Graph(tuple(operations), (n - 1,), n + 1)
    figures = UnitFigures(rows, True, np.arange(units) < dead * units, np.zeros(units, bool))
    site = Site(
        "b." + function,
        function,
        "output",
        2,
        "b",
        "",
        "",
        units,
        False,
        True,
        False,
        operation=4,
        initial=figures,
    )
    sites = [site] if kind == "activation" else []
    return History(graph=graph, loss=loss_of(graph), targets=[y], sites=sites)


MILES = targets(np.linspace(9, 46, 100))
CLASSES = targets(np.arange(100) % 3)


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_history_is_no_patient(rule: Any) -> None:
    assert rule.unable(History()) != ""


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        (softmax_single_unit, ended("softmax", "mse_loss", MILES)),
        (softmax_before_ce, ended("softmax", "cross_entropy", CLASSES, units=3)),
        (sigmoid_output_multiclass, ended("sigmoid", "cross_entropy", CLASSES, units=3)),
        (relu_output, ended("relu", "cross_entropy", CLASSES, units=3)),
        (output_range_mismatch, ended("sigmoid", "mse_loss", MILES)),
        (missing_softmax, ended("tanh", "binary_cross_entropy", targets([0, 1]))),
    ],
)
def test_findings_say_where_why_and_what_to_do(rule: Any, history: History) -> None:
    finding = rule.check(history)
    assert isinstance(finding, Finding)
    assert finding.diagnosis == rule.__name__.rpartition(".")[2]
    assert finding.summary.count(". ") == 0
    assert finding.layer.startswith("b.")
    assert "net.py:7" in " ".join(finding.evidence)
    assert "/home" not in " ".join(finding.evidence)
    for prescription in finding.prescriptions:
        assert REMEDIES[prescription.kind].words(history, prescription)


@pytest.mark.parametrize("units", [1, 2])
def test_a_softmax_over_two_units_is_one(units: int) -> None:
    found = softmax_single_unit.check(ended("softmax", "mse_loss", targets([0, 1] * 8), units=units))
    assert (found is not None) == (units == 1)


@pytest.mark.parametrize(("negative", "found"), [(0, False), (1, True)])
def test_a_hundredth_of_the_targets_decides(negative: int, found: bool) -> None:
    y = np.linspace(0.5, 3.0, 100)
    y[:negative] = -0.5
    for columns in (targets(y), targets(y.round(1))):  # told by shares, and by values
        history = ended("softplus", "mse_loss", columns)
        assert (output_range_mismatch.check(history) is not None) == found
        rectified = relu_output.check(ended("relu", "mse_loss", columns))
        assert isinstance(rectified, Finding if found else Note)


def test_a_stretched_sigmoid_reaches_further() -> None:
    assert output_range_mismatch.check(ended("sigmoid", "mse_loss", MILES, after="view")) is not None
    assert output_range_mismatch.check(ended("sigmoid", "mse_loss", MILES, after="mul")) is None
    assert output_range_mismatch.check(ended("tanh", "cross_entropy", CLASSES, units=3, after="mul")) is None


def test_targets_that_were_changed_or_are_another_tensor_prove_nothing() -> None:
    history = ended("sigmoid", "mse_loss", MILES)
    history.targets[0].shape = (100, 7)
    assert output_range_mismatch.check(history) is None


@pytest.mark.parametrize(("dead", "kind"), [(0.25, Note), (0.5, Finding)])
def test_a_rectified_output_is_a_fault_once_it_is_dead(dead: float, kind: type) -> None:
    history = ended("relu", "mse_loss", targets(np.linspace(1, 5, 400).reshape(100, 4)), units=4, dead=dead)
    assert isinstance(relu_output.check(history), kind)


@pytest.mark.parametrize(
    ("share", "one_hot", "found"), [(1.0, 0.0, True), (1.0, 1.0, False), (0.5, 0.0, False)]
)
def test_sigmoids_towards_distributions_but_not_towards_classes(
    share: float, one_hot: float, found: bool
) -> None:
    y = targets(np.full((100, 3), 1 / 3), rows_sum_to_one=share, one_hot=one_hot)
    answer = sigmoid_output_multiclass.check(ended("sigmoid", "l1_loss", y, units=3))
    assert (answer is not None) == found


def test_log_softmax_before_cross_entropy_is_a_note() -> None:
    assert isinstance(softmax_before_ce.check(ended("log_softmax", "cross_entropy", CLASSES, units=3)), Note)


def test_one_hot_classes_with_binary_loss_are_a_note() -> None:
    y = targets(np.eye(3)[np.arange(99) % 3], one_hot=1.0, rows_sum_to_one=1.0)
    assert isinstance(
        sigmoid_output_multiclass.check(ended("sigmoid", "binary_cross_entropy", y, units=3)), Note
    )


def test_an_error_of_the_loss_is_read() -> None:
    operations = (
        Operation(0, "data", "data", shape=(8, 4)),
        Operation(1, "linear", "weights", (0,), ("b.weight",), shape=(8, 1)),
    )
    said = "RuntimeError: all elements of input should be between 0 and 1"
    history = History(graph=Graph(operations, (1,)), exception=said)
    found = missing_softmax.check(history)
    assert found is not None
    assert found.confidence == "certain"
    assert found.layer == "b"
    bounded = (*operations, Operation(2, "sigmoid", "activation", (1,), shape=(8, 1)))
    assert missing_softmax.check(History(graph=Graph(bounded, (2,)), exception=said)) is None
    assert missing_softmax.unable(History(exception="RuntimeError: out of memory")) != ""


def test_what_is_not_trained_here_is_not_ours_to_mend() -> None:
    details = {"type": "linear", "groups": 1}
    graph = Graph(
        (
            Operation(0, "data", "data", shape=(8, 4)),
            Operation(
                1,
                "linear",
                "weights",
                (0,),
                ("a.weight",),
                shape=(8, 6),
                details=details | {"fan_in": 4, "fan_out": 6},
            ),
            Operation(
                2,
                "linear",
                "weights",
                (1,),
                ("b.weight",),
                shape=(8, 3),
                details=details | {"fan_in": 6, "fan_out": 3},
            ),
        ),
        (2,),
    )

    def history(frozen: bool = False, fan_in: int = 4) -> History:
        first = Layer("a", "linear", 0, fan_in, 6, ("a.weight",), not frozen, weights=24)
        second = Layer("b", "linear", 1, 6, 3, ("b.weight",), True, weights=18)
        return History(graph=graph, layers=[first, second], trained=True)

    found = missing_activation.check(history())
    assert found is not None
    assert "42 weights" in found.evidence[0]
    assert "3 x 4" in found.evidence[0]
    assert found.prescriptions[0].parameters == {"function": "relu", "after": ("a",)}
    assert missing_activation.check(history(frozen=True)) is None
    # Another model's layer that has the name of ours.
    assert missing_activation.check(history(fan_in=9)) is None


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("relu6", 0, 6),
        ("softplus", 0, math.inf),
        ("leaky_relu", -math.inf, math.inf),
    ],
)
def test_ranges_come_from_the_functions_themselves(function: str, low: float, high: float) -> None:
    assert value_range(function) == (low, high)


def test_shares_without_values_are_taken_from_the_columns() -> None:
    y = targets(np.random.default_rng(0).normal(5.0, 1.0, (400, 2)))
    assert y.values is None
    assert beyond(y, -math.inf, 2.0) == 1.0
    assert beyond(y, -math.inf, 8.0) == 0.0
    assert beyond(y, 0.0, 1.0) > 0.99
