"""Rules about how a training starts and what becomes of its loss: a planted fault each, and the nearest healthy one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from support.histories import figures, finding, history, layer, site, targets
from triode.doctor.diagnosis import Note
from triode.doctor.history import Graph, History, Loss, Operation, Tensors
from triode.doctor.rules import (
    bad_init,
    input_not_scaled,
    loss_not_decreasing,
    saturated,
    symmetric_init,
)
from triode.doctor.rules._losses import chance
from triode.doctor.rules._theory import gain, scale, usual_flatness

# ------------------------------------------------------------------ the start


def test_twins_that_nothing_parts_are_found() -> None:
    alike = replace(layer(1), twins=1.0, twins_after=1.0, twin_users=True)
    assert (
        finding(symmetric_init.check(history(layers=[alike, layer(2)]))).prescriptions[0].kind == "initialise"
    )
    for parted in (
        {"twin_users": False},
        {"twins_after": 0.0},
        {"twins": 0.1, "twins_after": 0.1},
        {"trained": False},
    ):
        assert symmetric_init.check(history(layers=[replace(alike, **parted), layer(2)])) is None


def fed(magnitude: float, *, std: Any = None, through: str = "", **more: Any) -> History:
    """Inputs of a size that go through `through` (a kind of operation), if any, into a linear layer."""
    operations = [Operation(0, "data", "data")]
    if through:
        operations.append(Operation(1, "step", through, (0,)))  # type: ignore[arg-type]
    last = len(operations)
    operations.append(
        Operation(
            last, "linear", "weights", (last - 1,), ("fc1.weight",), details={"type": "linear", "fan_in": 4}
        )
    )
    deviations = np.full(4, magnitude) if std is None else np.asarray(std, float)
    inputs = Tensors(
        "x", "float32", (32, 4), count=400, least=-2 * magnitude, most=2 * magnitude, std=deviations,
        magnitude=magnitude, operation=0,
    )  # fmt: skip
    arrives = more.pop("arrives", magnitude)
    return history(
        graph=Graph(tuple(operations)),
        inputs=[replace(inputs, **more)],
        layers=[layer(1, input_signal=arrives), layer(2)],
    )


@pytest.mark.parametrize("magnitude", [90.0, 1e4, 1e-4])
def test_inputs_far_from_size_one_are_found(magnitude: float) -> None:
    found = finding(input_not_scaled.check(fed(magnitude)))
    assert (found.layer, found.prescriptions[0].kind) == ("fc1", "scale_inputs")


@pytest.mark.parametrize("magnitude", [0.3, 1.0, 8.0])
def test_inputs_of_ordinary_size_pass(magnitude: float) -> None:
    assert input_not_scaled.check(fed(magnitude)) is None


def test_only_what_reaches_the_weights_as_it_is_counts() -> None:
    assert finding(input_not_scaled.check(fed(90.0, through="carrier")))
    assert input_not_scaled.check(fed(90.0, through="normalise")) is None
    assert input_not_scaled.check(fed(90.0, integer=True)) is None
    # x / 255 inside the model
    assert input_not_scaled.check(fed(90.0, through="carrier", arrives=90.0 / 255)) is None
    assert input_not_scaled.unable(fed(90.0, through="normalise"))


def test_one_feature_far_larger_than_the_others_is_found_and_dull_corner_pixels_are_not() -> None:
    assert (
        "differ too much in scale"
        in finding(input_not_scaled.check(fed(9.0, std=[18.0, 0.1, 0.1, 0.1]))).summary
    )
    assert input_not_scaled.check(fed(9.0, std=[5.0, 5.0, 5.0, 1e-3])) is None


def test_weights_off_by_a_factor_need_a_consequence() -> None:
    large = [layer(1, fan_in=784, initial_std=1.0, signal=20.0), layer(2, initial_std=1.0, signal=90.0)]
    assert bad_init.check(history(layers=[replace(each, signal=1.0) for each in large])) is None
    absurd = history(layers=large, losses=[63.0] * 5)
    found = finding(bad_init.check(absurd))
    assert "too large" in found.summary
    assert found.prescriptions[0].parameters["scheme"] == "he"
    usual = [replace(each, initial_std=0.577 / math.sqrt(each.fan_in)) for each in large]
    assert bad_init.check(history(layers=usual, losses=[63.0] * 5)) is None


def test_large_weights_that_are_normalised_at_once_are_forgiven() -> None:
    def started(arrives: float) -> History:
        large = [layer(d, fan_in=400, initial_std=1.0, signal=20.0, input_signal=arrives) for d in (1, 2, 3)]
        large[0].input_signal = 1.0
        return history(layers=[*large, layer(4, input_signal=arrives)])

    assert bad_init.check(started(1.0)) is None
    assert "400 times" in finding(bad_init.check(started(400.0))).evidence[0]


def test_small_weights_are_a_fault_where_the_signal_is_lost() -> None:
    outputs = np.geomspace(0.03, 1e-9, 6)
    inputs = [1.0, *outputs[:-1]]
    layers = [
        layer(d, g, fan_in=5, initial_std=0.029, input_signal=i, output_std=o)
        for d, (i, o, g) in enumerate(zip(inputs, outputs, np.geomspace(1e-7, 1, 6), strict=True), 1)
    ]
    assert "too small" in finding(bad_init.check(history(layers=layers))).summary
    head = [layer(1), layer(2), replace(layers[0], name="fc3", depth=2, output_std=1e-4)]
    assert bad_init.check(history(layers=head)) is None  # a small last layer is a good start
    forgiven = [replace(each, input_signal=1.0, output_std=0.03) for each in layers]
    assert bad_init.check(history(layers=forgiven)) is None  # normalised in between


@pytest.mark.parametrize(("function", "healthy"), [("tanh", 0.05), ("hard_tanh", 0.4), ("sigmoid", 0.13)])
def test_saturation_is_judged_by_what_the_function_usually_has(function: str, healthy: float) -> None:
    def starts(share: float) -> History:
        return history(sites=[site(1, function, initial=figures(20, saturated=share)), site(2, function)])

    assert finding(saturated.check(starts(0.97))).layer == f"fc1.{function}"
    assert saturated.check(starts(healthy)) is None


def test_units_that_decide_late_are_a_fault_only_where_nothing_was_learned() -> None:
    late = [site(1, "tanh", final=figures(20, saturated=0.9))]
    assert saturated.check(history(sites=late)) is None
    stuck = history(sites=late, losses=[0.694] * 200)
    assert "at the end" in finding(saturated.check(stuck)).summary
    assert saturated.check(replace(stuck, losses=stuck.losses[:40])) is None


def test_a_moderate_saturation_at_the_start_is_a_fault_only_where_nothing_was_learned() -> None:
    starts = [site(1, "tanh", initial=figures(20, saturated=0.5))]
    assert saturated.check(history(sites=starts)) is None
    assert "before training" in finding(saturated.check(history(sites=starts, losses=[0.694] * 200))).summary


def test_an_output_that_saturates_is_no_hidden_site() -> None:
    assert (
        saturated.check(history(sites=[site(4, "sigmoid", role="output", initial=figures(1, saturated=1.0))]))
        is None
    )


# ------------------------------------------------------------------ the loss


def test_a_loss_at_chance_is_found_and_one_below_is_not() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.02, 300)
    stuck = finding(loss_not_decreasing.check(history(losses=list(0.6935 + noise))))
    assert "0.69" in stuck.summary
    assert (
        loss_not_decreasing.check(history(losses=list(0.6 + noise))) is None
    )  # fine-tuned: better from the start


def test_a_fall_from_a_bad_start_to_chance_is_no_learning() -> None:
    losses = [0.6931 + 5.0 * 0.9**step for step in range(400)]
    assert "settled" in finding(loss_not_decreasing.check(history(losses=losses))).summary
    still = [0.6931 + 5.0 * 0.995**step for step in range(400)]
    assert loss_not_decreasing.check(history(losses=still)) is None


def test_short_trainings_warm_ups_and_adversaries_are_not_judged() -> None:
    flat = [0.6935] * 300
    assert loss_not_decreasing.unable(history(losses=flat[:40]))
    warming = history(losses=flat, rates=list(np.linspace(0, 0.1, 300)))
    assert loss_not_decreasing.unable(warming)
    assert loss_not_decreasing.check(warming) is None
    assert loss_not_decreasing.ALONE


def test_a_loss_of_ones_own_that_stays_is_a_note() -> None:
    own = history(losses=[3.0] * 300, loss=Loss("custom", ""))
    assert isinstance(loss_not_decreasing.check(own), Note)
    assert loss_not_decreasing.check(replace(own, losses=list(np.linspace(3, 1, 300)))) is None


def test_the_best_constant_prediction_by_hand() -> None:
    uneven = targets(counts=np.array([300, 100]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert chance(history(targets=[uneven])) == pytest.approx(entropy)
    soft = targets(integer=False, mean=np.array([0.75, 0.25]), rows_sum_to_one=1.0)
    assert chance(history(targets=[soft])) == pytest.approx(entropy)
    binary = targets(integer=False, mean=np.array([0.25]))
    assert chance(history(targets=[binary], loss=Loss("binary_cross_entropy", "binary"))) == pytest.approx(
        entropy
    )
    # 0 0 1: the median is 0, so the mean absolute deviation is a third
    three = targets(
        integer=False, counts=np.array([200, 100]), std=np.array([math.sqrt(2) / 3]), mean=np.array([1 / 3])
    )
    assert chance(history(targets=[three], loss=Loss("l1_loss", "regression"))) == pytest.approx(1 / 3)
    assert chance(history(targets=[three], loss=Loss("mse_loss", "regression"))) == pytest.approx(2 / 9)
    assert math.isnan(chance(history(targets=[three], loss=Loss("smooth_l1_loss", "regression"))))
    assert math.isnan(chance(history(targets=[targets(counts=np.array([400, 0]))])))


def traced(*after: tuple[str, str], **details: Any) -> History:
    """A cross-entropy, and what was done to it before its gradient was taken."""
    operations = [Operation(0, "cross_entropy", "loss", details=details)]
    for place, (name, kind) in enumerate(after, 1):
        operations.append(Operation(place, name, kind, (place - 1,)))  # type: ignore[arg-type]
    graph = Graph(tuple(operations), loss=len(after))
    return history(graph=graph, loss=Loss("cross_entropy", "categorical", 0))


def test_targets_too_many_to_count_and_targets_left_out() -> None:
    scores = Operation(0, "linear", "weights", shape=(32, 1000))
    vocabulary = targets(values=None, counts=None, most=999)
    of_scores = {"graph": Graph((scores,)), "loss": Loss("cross_entropy", "categorical", -1, 0)}
    assert chance(history(targets=[vocabulary], **of_scores)) == pytest.approx(math.log(1000))
    assert math.isnan(chance(history(targets=[vocabulary])))
    ignored = targets(values=np.array([-100.0, 0.0, 1.0]), counts=np.array([900, 50, 50]))
    assert chance(history(targets=[ignored])) == pytest.approx(math.log(2))


def test_only_a_plain_mean_has_a_level() -> None:
    for plain in (traced(), traced(("mean", "carrier"), reduction="none")):
        assert chance(plain) == pytest.approx(math.log(2))
    summed, weighted, penalised = (
        traced(reduction="sum"),
        traced(("div", "carrier")),
        traced(("add", "combine")),
    )
    assert all(math.isnan(chance(each)) for each in (summed, weighted, penalised))


# ------------------------------------------------------------------ theory


def test_usual_schemes_are_right_and_faults_are_off() -> None:
    for function, std in (
        ("relu", math.sqrt(2)),
        ("tanh", 1.0),
        ("sigmoid", 4.0),
        ("sigmoid", 1.4),
        ("", 1.0),
    ):
        assert scale(layer(1, fan_in=64, activation=function, initial_std=std / 8)) == pytest.approx(
            1.0, abs=1e-6
        )
    default = scale(layer(1, fan_in=64, initial_std=1 / math.sqrt(3 * 64)))
    assert default == pytest.approx(1 / math.sqrt(3))
    assert scale(layer(1, fan_in=784, initial_std=1.0)) == pytest.approx(28 / math.sqrt(2))
    assert math.isnan(scale(layer(1, initial_std=0.0)))


def test_theory_of_functions_it_does_not_know() -> None:
    assert (gain("softmax"), gain("no such"), usual_flatness("no such")) == (1.0, 1.0, 0.0)
    assert usual_flatness("relu6") == pytest.approx(0.5, abs=0.01)
