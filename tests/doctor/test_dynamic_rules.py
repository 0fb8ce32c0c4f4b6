"""Rules about behaviour: each catches a planted sick history, and lets the nearest healthy one pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from support.histories import STEPS, figures, finding, history, layer, site
from triode.doctor.diagnosis import Note
from triode.doctor.history import History, Layer, NonFinite
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
    assert (found.places, found.confidence) == (("fc1.relu",), "likely")
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
    assert found.summary.startswith("The learning rate is perhaps 40 times too high: ")
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
    assert factor(too_long(history(layers=blind, overshoot=[1.1]))) == "too high"
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
    alike = [replace(layer(1), twins=1.0, twin_users=True), layer(2)]
    together = finding(dead_relu.check(history(sites=[site(1, dead=20)], layers=alike)))
    assert "all alike" in together.summary
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
    assert "perhaps 30 times too high" in found.summary
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
