"""Rules about behaviour: each catches a planted sick history, and lets the nearest healthy one pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from triode.doctor.diagnosis import Finding, Note
from triode.doctor.history import (
    Graph,
    History,
    Layer,
    Loss,
    NonFinite,
    Operation,
    Site,
    Tensors,
    UnitFigures,
)
from triode.doctor.rules import (
    bad_init,
    dead_relu,
    exploding_gradient,
    input_not_scaled,
    loss_not_decreasing,
    nan_or_inf,
    saturated,
    sigmoid_hidden,
    symmetric_init,
    vanishing_gradient,
)
from triode.doctor.rules._flow import factor, too_long
from triode.doctor.rules._losses import chance
from triode.doctor.rules._theory import gain, scale, usual_flatness

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


RULES = [
    symmetric_init,
    input_not_scaled,
    bad_init,
    sigmoid_hidden,
    nan_or_inf,
    exploding_gradient,
    dead_relu,
    saturated,
    vanishing_gradient,
    loss_not_decreasing,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.rsplit(".", 1)[-1])
def test_a_healthy_training_and_an_empty_history_pass(rule: Any) -> None:
    assert rule.check(history()) is None
    assert rule.check(History()) is None


# ------------------------------------------------------------------ dead_relu


def test_half_a_layer_dead_is_a_fault_and_a_third_a_note() -> None:
    sick = history(sites=[site(1, dead=10), site(2)])
    found = finding(dead_relu.check(sick))
    assert (found.places, found.confidence) == (("fc1.relu",), "certain")
    some = dead_relu.check(history(sites=[site(1, dead=7), site(2)]))
    assert isinstance(some, Note)
    assert some.places == ("fc1.relu",)
    assert dead_relu.check(history(sites=[site(1, dead=1), site(2)])) is None


def test_sparse_is_not_dead() -> None:
    sparse = replace(figures(20, 0), sparsity=0.97, flat=np.ones(20, bool))
    assert dead_relu.check(history(sites=[site(1, final=sparse)])) is None


def test_deaths_in_training_blame_the_rate_by_its_factor_and_name_the_cascade() -> None:
    shares = (0.48, 0.67, 0.85, 0.97, 0.998)
    sites = [site(depth, units=500, dead=round(500 * share)) for depth, share in enumerate(shares, 1)]
    found = finding(
        dead_relu.check(history(sites=sites, layers=[layer(d, update=[1.2] * len(STEPS)) for d in (1, 2, 3)]))
    )
    assert found.summary.startswith("The learning rate is about 40 times too high: ")
    assert "cascade" in found.evidence[0]
    assert "fc1.relu 48%" in found.evidence[0]
    assert "99.8%" in found.evidence[0]
    assert [p.kind for p in found.prescriptions] == [
        "lower_rate",
        "insert_batch_norm",
        "initialise",
        "replace_activation",
    ]
    assert found.prescriptions[0].parameters["factor"] == 40.0


def test_without_lengths_the_overshoot_tells_the_factor_and_noise_tells_none() -> None:
    blind = [replace(layer(d), update=[math.nan] * len(STEPS)) for d in (1, 2)]
    assert too_long(history(layers=blind, overshoot=[60.0, 1.0, 0.9])) == 60.0
    assert math.isnan(too_long(history(layers=blind, overshoot=[])))
    assert factor(too_long(history(layers=blind, overshoot=[1.1]))) == "somewhat"
    # What happens once the loss has left says nothing of the rate: then everything grows.
    late = [replace(layer(d), update=[0.06] + [1e9] * (len(STEPS) - 1)) for d in (1, 2)]
    assert too_long(history(layers=late, losses=[0.7, 1e4, 1e9] + [1e20] * 197)) == pytest.approx(2.0)


def test_units_dead_before_the_first_update_are_not_blamed_on_the_rate() -> None:
    born = finding(dead_relu.check(history(sites=[site(1, dead=12, born=12)], overshoot=[40.0])))
    assert "rate" not in born.summary
    assert born.prescriptions[0].kind == "initialise"


def test_the_cause_of_a_bad_start_is_named() -> None:
    narrow = [site(depth, units=5, dead=5, born=5) for depth in range(1, 9)]
    assert "too narrow for their depth" in finding(dead_relu.check(history(sites=narrow))).summary
    raw = history(sites=[site(1, dead=12, born=2)], layers=[layer(1, input_signal=4e3), layer(2)])
    assert finding(dead_relu.check(raw)).prescriptions[0].kind == "scale_inputs"
    tiny = history(sites=[site(1, dead=12, born=12)], layers=[layer(1, initial_std=0.001), layer(2)])
    assert "initial weights" in finding(dead_relu.check(tiny)).summary


def test_a_dead_output_counts_but_a_dead_gate_clamp_or_frozen_backbone_does_not() -> None:
    assert (
        finding(dead_relu.check(history(sites=[site(4, units=1, dead=1, role="output")]))).layer == "fc4.relu"
    )
    assert dead_relu.check(history(sites=[site(1, dead=20, role="gate")])) is None
    assert dead_relu.check(history(sites=[site(0, dead=20, layer="")])) is None
    frozen = history(sites=[site(1, dead=12)], layers=[layer(1, trained=False), layer(2)])
    assert isinstance(dead_relu.check(frozen), Note)


# ------------------------------------------------------------------ gradients


def stack(function: str, ratio: float, depth: int = 6, **more: Any) -> History:
    """Gradients that shrink evenly by `ratio` from the last layer to the first."""
    gradients = np.geomspace(ratio, 1.0, depth + 1)
    return history(
        sites=[site(d, function) for d in range(1, depth + 1)],
        layers=[layer(d, gradient, activation=function) for d, gradient in enumerate(gradients, 1)],
        **more,
    )


def test_sigmoids_in_depth_are_a_fault_only_where_the_gradient_fades() -> None:
    assert finding(sigmoid_hidden.check(stack("sigmoid", 1e-6))).prescriptions[0].kind == "replace_activation"
    assert sigmoid_hidden.check(stack("sigmoid", 0.05)) is None
    assert sigmoid_hidden.check(stack("sigmoid", 1e-6, depth=2)) is None
    assert sigmoid_hidden.check(stack("tanh", 1e-6)) is None


def test_sigmoid_gates_do_not_count() -> None:
    gates = stack("sigmoid", 1e-6)
    gates.sites = [replace(each, role="gate") for each in gates.sites]
    assert sigmoid_hidden.check(gates) is None


def test_a_gradient_that_fades_on_its_way_back_is_found() -> None:
    found = finding(vanishing_gradient.check(stack("tanh", 1e-5)))
    assert (found.layer, found.prescriptions[0].kind) == ("fc1", "replace_activation")
    assert finding(vanishing_gradient.check(stack("relu", 1e-5))).prescriptions[0].kind == "initialise"
    assert vanishing_gradient.check(stack("tanh", 0.02)) is None


def test_a_branch_with_a_small_gradient_of_its_own_is_no_fault() -> None:
    side = replace(layer(1, 1e-7), name="side")
    assert vanishing_gradient.check(history(layers=[side, layer(1), layer(2), layer(3)])) is None


def test_a_gradient_tiny_everywhere_because_the_loss_is_tiny_is_healthy() -> None:
    converged = history(layers=[layer(depth, 1e-9) for depth in (1, 2, 3, 4)])
    assert vanishing_gradient.check(converged) is None


def test_a_gradient_cut_off_by_dead_units_is_not_called_vanishing() -> None:
    layers = [layer(1, 0.0), layer(2, 0.0), layer(3), layer(4)]
    dead = history(layers=layers, sites=[site(1), site(2, dead=20, born=20), site(3)])
    assert vanishing_gradient.check(dead) is None
    underflow = history(layers=layers, sites=[site(1, "tanh"), site(2, "tanh"), site(3, "tanh")])
    assert "nothing" in finding(vanishing_gradient.check(underflow)).summary


def test_a_few_steps_of_a_faded_gradient_are_no_fault() -> None:
    some = [1e-6] * 8 + [0.5] * 12
    assert vanishing_gradient.check(history(layers=[layer(1, gradient=0), layer(2)])) is not None
    assert vanishing_gradient.check(history(layers=[replace(layer(1), gradient=some), layer(2)])) is None


def growing(times: float) -> list[Layer]:
    norms = list(np.geomspace(1.0, times, len(STEPS)))
    return [replace(layer(d), gradient=norms, update=[0.9] * len(STEPS)) for d in (1, 2, 3)]


def test_growth_of_the_gradient_is_a_fault_only_where_the_loss_rises_with_it() -> None:
    worse = [1.0 * 1.1**step for step in range(200)]
    found = finding(exploding_gradient.check(history(layers=growing(1e6), losses=worse)))
    assert "about 30 times too high" in found.summary
    assert [p.kind for p in found.prescriptions] == ["lower_rate", "initialise", "clip_gradients"]
    assert exploding_gradient.check(history(layers=growing(1e6))) is None
    assert exploding_gradient.check(history(layers=growing(100.0), losses=worse)) is None


def test_overflow_on_the_way_forward_is_an_explosion_and_names_the_function() -> None:
    lost = [math.nan] * 20
    first = NonFinite(0, "activation", "inf", "exp", "fc2", "train.py:7", "exp of 104.2")
    sick = history(
        losses=lost, nonfinite=first, sites=[site(1, "exp", can_die=False), site(2, "exp", can_die=False)]
    )
    found = finding(exploding_gradient.check(sick))
    assert (found.layer, found.prescriptions[0].kind) == ("fc2", "replace_activation")
    assert "very first step" in found.summary


def test_the_logarithm_of_a_negative_number_is_no_explosion() -> None:
    log = NonFinite(0, "loss", "nan", "log", "", "", "log of -0.3")
    assert exploding_gradient.check(history(losses=[math.nan] * 20, nonfinite=log)) is None


# ------------------------------------------------------------------ nan_or_inf


def test_the_operation_that_made_the_first_nan_is_named_with_its_line() -> None:
    first = NonFinite(12, "loss", "nan", "log", "", "train.py:31", "log of 0")
    sick = history(losses=[0.5] * 12 + [math.nan] * 8, nonfinite=first)
    found = finding(nan_or_inf.check(sick))
    assert "log (train.py:31)" in found.summary
    assert "log of 0" in found.summary
    assert found.confidence == "certain"
    assert found.prescriptions[0].parameters["to"] == "cross_entropy"


def test_a_nan_in_the_data_has_no_prescription_for_the_network() -> None:
    found = finding(nan_or_inf.check(history(losses=[math.nan] * 9, nonfinite=NonFinite(0, "input", "nan"))))
    assert "data" in found.summary
    assert not found.prescriptions


def test_a_lost_loss_is_reported_though_nobody_saw_its_origin() -> None:
    assert "step 4" in finding(nan_or_inf.check(history(losses=[1.0, 1.0, 1.0, math.inf]))).summary


def test_masks_of_infinity_and_skipped_steps_of_a_gradient_scaler_are_no_fault() -> None:
    mask = NonFinite(0, "activation", "inf", "masked_fill")
    assert nan_or_inf.check(history(nonfinite=mask)) is None
    skipped = nan_or_inf.check(history(nonfinite=NonFinite(3, "gradient", "inf")))
    assert isinstance(skipped, Note)
    weights = NonFinite(199, "parameter", "nan", "", "fc2")
    assert finding(nan_or_inf.check(history(nonfinite=weights))).layer == "fc2"


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
