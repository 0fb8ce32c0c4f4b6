"""Bugs that were planted one at a time and that no other test noticed: each has its own here."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

import triode  # noqa: E402
from support.histories import STEPS, figures, finding, history, layer, site  # noqa: E402
from triode.doctor import Diagnosis, examine  # noqa: E402
from triode.doctor.diagnose import _by_cause  # noqa: E402
from triode.doctor.diagnosis import Finding, Note, Prescription  # noqa: E402
from triode.doctor.history import NonFinite  # noqa: E402
from triode.doctor.observe.operations import shape_of  # noqa: E402
from triode.doctor.observe.passes import WINDOW, Passes  # noqa: E402
from triode.doctor.observe.tensors import Running  # noqa: E402
from triode.doctor.observe.units import Pass  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402
from triode.doctor.remedies._verdict import Curve, better, judge  # noqa: E402
from triode.doctor.rules import (  # noqa: E402
    bad_init,
    dead_relu,
    exploding_gradient,
    loss_not_decreasing,
    nan_or_inf,
    saturated,
    sigmoid_hidden,
    vanishing_gradient,
)
from triode.doctor.rules._flow import flow, too_long  # noqa: E402

# ------------------------------------------------------------------ units


def relu(convolutional: bool = False) -> Pass:
    return Pass("relu", {}, convolutional)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("convolutional", "shape", "axis"),
    [(False, (4, 7, 3), 2), (True, (4, 3, 7), 1), (True, (4, 3, 5, 6), 1), (True, (4, 3, 2, 5, 6), 1)],
)
def test_the_units_of_a_sequence_are_its_features_and_of_a_convolution_its_channels(
    convolutional: bool, shape: tuple[int, ...], axis: int, dtype: torch.dtype
) -> None:
    watched, quiet = relu(convolutional), torch.zeros(shape, dtype=dtype)
    quiet.select(axis, 0)[-1] = 0.25
    watched.ask(quiet)
    late = torch.zeros(shape, dtype=dtype)
    late.select(axis, 2)[0] = 0.25
    watched.ask(late)  # and who spoke before is not forgotten
    assert watched.figures().dead.tolist() == [False, True, False]
    assert watched.figures().examples == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5, 6)])
def test_a_unit_that_only_ever_answers_below_zero_is_alive(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    signed = [name for name in triode.names() if shape_of(name, ()).can_die and shape_of(name, ()).negative]
    assert signed
    for name in signed:
        watched, output = Pass(name, {}, len(shape) > 2), torch.zeros(shape, dtype=dtype)
        output[2, 1] = -0.25
        watched.ask(output)
        assert watched.figures().dead.tolist() == [True, False, True]


def test_the_few_silent_channels_that_are_still_asked_keep_their_places() -> None:
    watched, first, second = relu(True), torch.ones(4, 32, 3, 3), torch.ones(4, 32, 3, 3)
    first[:, [3, 9]] = 0.0
    second[:, [3, 0]] = 0.0
    for batch in (first, second):
        watched.ask(batch)
    assert np.flatnonzero(watched.figures().dead).tolist() == [3]


def test_at_another_width_units_keep_no_identity() -> None:
    watched = relu()
    for width in (8, 6, 8):
        watched.ask(torch.zeros(4, width))
    assert watched.figures().dead.tolist() == [True] * 8


def test_batches_of_unlike_inputs_add_up_to_one_spread() -> None:
    watched = Pass("tanh", {}, False)
    batches = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) + 4 * n for n in (2, 5, 40)]
    for z in batches:
        watched.sample(-z, torch.tanh(-z))
    every, seen = -torch.cat(batches).double().numpy(), watched.figures()
    assert seen.input_mean == pytest.approx(every.mean(), rel=1e-5)
    assert seen.input_spread == pytest.approx(every.std(), rel=1e-4)
    assert seen.input_largest == pytest.approx(-every.min(), rel=1e-6)


def test_flat_is_who_is_flat_at_every_input_of_every_batch() -> None:
    watched = Pass("tanh", {}, False)
    for z in (
        [[9.0, 9.0, 9.0, 0.0], [9.0, 0.0, 9.0, 0.0]],
        [[0.0, 9.0, 9.0, 9.0], [9.0, 9.0, -9.0, 9.0]],
    ):
        watched.sample(torch.tensor(z), torch.tanh(torch.tensor(z)))
    assert watched.figures().flat.tolist() == [False, False, True, False]
    assert watched.figures().saturated == pytest.approx((5 / 8 + 7 / 8) / 2)


@pytest.mark.parametrize("inplace", [False, True])
def test_what_goes_into_a_function_is_seen_though_it_writes_over_it(inplace: bool) -> None:
    net: Any = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=inplace), nn.Linear(4, 2))
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    before = net[0](x).detach()
    trained(net, [x], steps=1, rate=0.0, watcher=(watcher := Watcher()))
    seen = watcher.histories()[0].sites[0].initial
    assert seen is not None
    assert seen.input_mean == pytest.approx(float(before.mean()), abs=1e-6)
    assert seen.mean == pytest.approx(float(before.relu().mean()), abs=1e-6)
    assert seen.saturated == pytest.approx(float((before <= 0).float().mean()))


def trained(
    net: nn.Module, batches: list[Tensor], *, steps: int, watcher: Watcher, rate: float = 0.01
) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    with watcher:
        watcher.epoch()
        for step in range(steps):
            x = batches[step % len(batches)]
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()


def test_examples_are_counted_at_every_step_however_rarely_one_looks() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    trained(net, [x], steps=40, watcher=(watcher := Watcher()))
    last = watcher.histories()[0].sites[0].last
    assert last is not None
    assert last.examples == 40 * 64
    assert last.exact


def test_who_was_not_asked_at_every_step_is_not_said_to_be_dead_for_certain() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].bias[0] = -99.0
    watcher = Watcher()
    watcher.rhythm.ask_every = 8
    trained(net, [torch.randn(64, 3, generator=torch.Generator().manual_seed(0))], steps=60, watcher=watcher)
    last = watcher.histories()[0].sites[0].last
    assert last is not None
    assert last.dead.tolist()[0]
    assert not last.exact


def test_a_pass_ends_at_its_last_step_and_only_the_training_data_begin_one() -> None:
    unknown = Passes()
    for length in (8, 16, 32, 64, 128, WINDOW, WINDOW):
        for step in range(length):
            assert not unknown.due(), (length, step)
            unknown.steps += 1
        assert unknown.due()
        assert unknown.close()
    passes, data, held = Passes(), object(), object()
    passes.loader(data)
    assert not passes.due()
    passes.loader(data)  # looked into before the first step: still the first pass
    assert not passes.due()
    passes.steps += 3
    passes.loader(held)
    assert not passes.due()
    passes.loader(data)
    assert passes.due()


# ------------------------------------------------------------------ layers


def test_norms_are_those_of_the_gradients_and_weights_that_the_step_began_with() -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    expected: dict[str, list[tuple[float, ...]]] = {"0": [], "3": []}
    with Watcher() as watcher:
        for _ in range(4):
            optimizer.zero_grad()
            net(torch.randn(8, 2, 4)).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            net[3].weight.grad[0, :3] = 0.0
            before = {name: _flat(net[int(name)]) for name in expected}
            given = {name: _flat(net[int(name)], "grad") for name in expected}
            optimizer.step()
            for name in expected:
                size, moved = before[name].norm(), _flat(net[int(name)]) - before[name]
                zeros = (given[name] == 0).float().mean()
                row = given[name].norm(), size, moved.norm() / size, zeros
                expected[name].append(tuple(map(float, row)))
    layers = {each.name: each for each in watcher.histories()[0].layers}
    for name, rows in expected.items():
        seen = layers[name]
        measured = zip(seen.gradient, seen.weight, seen.update, seen.zeros, strict=True)
        for row, wanted in zip(measured, rows, strict=True):
            assert row == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert (layers["0"].fan_in, layers["0"].units) == (4, 3)


def _flat(module: nn.Module, what: str = "data") -> Tensor:
    """Values, or gradients, of the parameters of a layer."""
    return torch.cat([getattr(p, what).flatten().clone() for p in module.parameters()])


def test_layers_are_described_as_they_are() -> None:
    from triode.doctor.observe.layers import describe_start, find_layers

    net: Any = nn.Sequential(nn.ConvTranspose2d(4, 6, 3), nn.Linear(5, 4), nn.Linear(5, 4))
    with torch.no_grad():
        net[1].weight.fill_(0.5)  # told apart by their biases
        net[1].bias.copy_(torch.arange(4.0))
        net[2].weight.fill_(0.5)
        net[2].bias.zero_()
    state = torch.get_rng_state()
    watched = find_layers(net, "", {id(p) for p in net[1].parameters()})
    describe_start(watched)
    assert torch.equal(state, torch.get_rng_state())
    assert [(each.layer.units, each.layer.fan_in) for each in watched] == [(6, 4), (4, 5), (4, 5)]
    assert [each.layer.trained for each in watched] == [False, True, False]
    assert [each.layer.twins for each in watched] == [0.0, 0.0, 1.0]


def test_a_gradient_that_is_not_finite_is_told_with_its_step_and_the_last_such_layer() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with Watcher() as watcher:
        for step in range(4):
            optimizer.zero_grad()
            net(torch.randn(8, 3)).square().mean().backward()
            if step == 2:
                for each in (net[0], net[2]):
                    each.weight.grad[0, 0] = math.nan
            optimizer.step()
    found = watcher.histories()[0].nonfinite
    assert found is not None
    assert (found.step, found.what, found.layer) == (2, "gradient", "2")


def test_targets_given_by_name_are_targets() -> None:
    net, x, y = nn.Linear(3, 2), torch.randn(8, 3), torch.tensor([0, 1] * 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Watcher() as watcher:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), target=y).backward()
        optimizer.step()
    [targets] = watcher.histories()[0].targets
    assert targets.integer
    assert targets.values is not None
    assert targets.values.tolist() == [0.0, 1.0]


def test_rows_of_distributions_and_of_single_classes_are_counted() -> None:
    running = Running("target")
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.5, 0.5, 0.0], [2.0, -1.0, 0.0]]
    running.add(torch.tensor(rows))
    seen = running.result()
    assert (seen.one_hot, seen.rows_sum_to_one) == (0.25, 0.5)
    assert seen.below["0"] == pytest.approx(1 / 12)


def test_the_pass_that_decides_is_a_pass_in_evaluation_mode_with_figures_of_its_own() -> None:
    """Dropout of all inputs silences every unit in training; only in evaluation do they speak."""
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Dropout(1.0), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        net[1].bias.fill_(-0.1)
        net[1].bias[0] = -99.0
    x, y = torch.randn(64, 3), torch.zeros(64, dtype=torch.long)
    batches = list(zip(x.split(16), y.split(16), strict=True))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    history = examine(net, lambda: iter(batches), nn.CrossEntropyLoss(), optimizer, epochs=2).histories[0]
    [seen] = history.sites
    assert [each.dead.all() for each in seen.passes] == [True, True]
    assert seen.final is not None
    assert seen.final.dead.tolist() == [True] + [False] * 7
    assert seen.final.examples == 64
    assert net.training


# ------------------------------------------------------------------ rules


def test_deaths_that_were_sampled_are_less_sure_and_of_one_example_nothing_is_said() -> None:
    sampled = replace(figures(20, 12), exact=False)
    assert finding(dead_relu.check(history(sites=[site(1, dead=12)]))).confidence == "likely"
    found = finding(dead_relu.check(history(sites=[site(1, final=sampled)])))
    assert (found.confidence, "a sample" in " ".join(found.evidence)) == ("possible", True)
    assert dead_relu.check(history(sites=[site(1, final=figures(20, 12, examples=1))])) is None


def test_layers_that_are_about_equally_dead_are_no_cascade() -> None:
    level = finding(dead_relu.check(history(sites=[site(d, dead=9 + d) for d in (1, 2, 3)])))
    assert "cascade" not in " ".join(level.evidence)


def test_a_note_does_not_call_most_of_a_frozen_layer_less_than_half() -> None:
    frozen = dead_relu.check(history(sites=[site(1, dead=12)], layers=[layer(1, trained=False), layer(2)]))
    assert isinstance(frozen, Note)
    assert "not trained" in frozen.text
    assert "half" not in frozen.text


@pytest.mark.parametrize(
    ("symptom", "cause"),
    [
        ("dead_relu", "input_not_scaled"),
        ("dead_relu", "symmetric_init"),
        ("dead_relu", "bad_init"),
        ("dead_relu", "exploding_gradient"),
        ("nan_or_inf", "exploding_gradient"),
        ("nan_or_inf", "missing_softmax"),
        ("exploding_gradient", "bad_init"),
        ("vanishing_gradient", "sigmoid_hidden"),
        ("vanishing_gradient", "softmax_hidden"),
        ("saturated", "input_not_scaled"),
        ("loss_not_decreasing", "dead_relu"),
        ("loss_not_decreasing", "softmax_before_ce"),
    ],
)
def test_a_symptom_follows_from_its_cause_and_a_cause_from_nothing(symptom: str, cause: str) -> None:
    for given in ((symptom, cause), (cause, symptom)):
        first, second = _by_cause([Finding(name, "") for name in given])
        assert (first.diagnosis, first.follows) == (cause, "")
        assert (second.diagnosis, second.follows) == (symptom, cause)


def test_one_layer_with_long_steps_does_not_speak_for_all() -> None:
    layers = [layer(d, update=[length] * len(STEPS)) for d, length in enumerate((0.06, 0.06, 3.0), 1)]
    assert too_long(history(layers=layers)) == pytest.approx(2.0)


def test_the_gradients_of_the_two_ends_are_compared_step_by_step() -> None:
    rising = list(np.linspace(1.0, 2.0, len(STEPS)))
    late = replace(layer(3), steps=STEPS[2:], gradient=[2.0 * g for g in rising[2:]])
    seen = flow(history(layers=[replace(layer(1), gradient=rising), layer(2), late]))
    assert seen is not None
    assert seen.steps.tolist() == STEPS[2:]
    assert seen.ratio == pytest.approx(0.5)


def test_a_few_dead_units_do_not_excuse_a_gradient_that_never_arrives() -> None:
    layers = [layer(1, 0.0), layer(2, 0.0), layer(3), layer(4)]
    for some in ({"born": 1}, {"dead": 1}):
        sites = [site(1, **some), site(2), site(3)]
        assert "nothing" in finding(vanishing_gradient.check(history(layers=layers, sites=sites))).summary


def test_an_overflow_before_any_update_is_not_blamed_on_the_rate() -> None:
    first = NonFinite(0, "activation", "inf", "linear", "fc2")
    sick = history(losses=[math.nan] * 5, nonfinite=first, overshoot=[40.0])
    found = finding(exploding_gradient.check(sick))
    assert "rate" not in found.summary
    assert found.prescriptions[0].kind == "initialise"


def test_an_explosion_says_what_became_infinite_and_no_more() -> None:
    """Values overflowed on the way forward; no gradient was seen to."""
    first = NonFinite(7, "activation", "inf", "linear", "2")
    found = finding(exploding_gradient.check(history(losses=[0.5] * 7 + [math.nan] * 3, nonfinite=first)))
    assert found.summary.startswith("Training explodes: values became infinite in step 8")
    assert "layer 2" in found.evidence[0]


FLAT = [0.7] * 200
"""A loss that never moved."""


def test_a_function_that_is_flat_by_nature_is_not_saturated_by_that() -> None:
    usual = site(1, "hard_tanh", initial=figures(saturated=0.45))
    assert saturated.check(history(sites=[usual], losses=FLAT)) is None
    tanh = site(1, "tanh", initial=figures(saturated=0.45))
    assert saturated.check(history(sites=[tanh], losses=FLAT)) is not None


def test_sigmoids_side_by_side_are_not_in_depth_and_slow_ones_are_a_fault_if_nothing_was_learned() -> None:
    layers = [layer(1, 5e-3), layer(2, 0.02), layer(3, 0.1), layer(4)]
    deep = [site(d, "sigmoid") for d in (1, 2, 3)]
    assert sigmoid_hidden.check(history(sites=deep, layers=layers)) is None
    assert sigmoid_hidden.check(history(sites=deep, layers=layers, losses=FLAT)) is not None
    beside = [site(1, "sigmoid") for _ in range(3)]
    assert sigmoid_hidden.check(history(sites=beside, layers=layers, losses=FLAT)) is None


def test_a_last_layer_that_alone_starts_small_is_sound_whatever_comes_out() -> None:
    small = layer(4, initial_std=1e-9, output_std=1e-9, activation="")
    assert bad_init.check(history(layers=[layer(1, 1e-9), layer(2), layer(3), small])) is None


def test_the_size_that_weights_should_have_is_the_theorys_and_the_factor_follows_from_the_two() -> None:
    large = [layer(d, initial_std=10 * math.sqrt(2 / 20), signal=1e4, input_signal=1.0) for d in (1, 2)]
    found = finding(bad_init.check(history(layers=large)))
    assert "is 3.16 where 0.316 would be right before relu, 10 times too large" in found.summary
    assert found.severity == "serious"
    lost = finding(bad_init.check(history(layers=large, losses=[math.nan] * 9)))
    assert lost.severity == "critical"


def test_inputs_of_nothing_and_features_that_hardly_vary_are_no_matter_of_scale() -> None:
    for scale in (torch.zeros(6), torch.tensor([1.0] + [0.005] * 5)):
        found = sequential(nn.Tanh(), nn.Linear(12, 2), inputs=scale)
        assert "input_not_scaled" not in [each.diagnosis for each in found.findings]


LEVEL = math.log(2.0)


def test_a_rate_that_rose_and_fell_again_is_no_warm_up() -> None:
    up_and_down = [*np.linspace(0.01, 0.1, 100), *np.linspace(0.1, 0.05, 100)]
    assert loss_not_decreasing.check(history(losses=FLAT, rates=up_and_down)) is not None
    assert loss_not_decreasing.check(history(losses=FLAT, rates=up_and_down[:100] * 2)) is None


def test_a_loss_that_steps_raise_wants_a_lower_rate_and_another_a_higher() -> None:
    for overshoot, first in (([3.0, 2.5, 9.0], "lower_rate"), ([0.1, 0.2, 9.0], "raise_rate")):
        found = finding(loss_not_decreasing.check(history(losses=FLAT, overshoot=overshoot)))
        assert found.prescriptions[0].kind == first


def test_a_loss_that_goes_down_a_straight_line_has_not_settled() -> None:
    straight = list(np.linspace(LEVEL + 0.027, LEVEL + 0.007, 300))
    assert loss_not_decreasing.check(history(losses=straight)) is None
    bent = list(LEVEL + 0.007 + 0.05 * np.exp(-np.arange(300) / 20))
    assert "settled" in finding(loss_not_decreasing.check(history(losses=bent))).summary


def test_an_infinity_in_the_very_last_step_was_not_survived() -> None:
    last = NonFinite(199, "activation", "inf", "exp", "fc2")
    assert nan_or_inf.check(history(nonfinite=last)) is not None
    assert nan_or_inf.check(history(nonfinite=replace(last, step=100))) is None
    lost = history(losses=[0.5, 0.4, 0.3, math.nan, math.nan], nonfinite=NonFinite(3, "loss", "nan", "log"))
    assert "Until then the loss went from 0.5 to 0.3." in finding(nan_or_inf.check(lost)).evidence


# ------------------------------------------------------------------ sentences


def test_the_first_value_that_is_not_finite_is_told_as_it_was() -> None:
    def said(*about: Any) -> str:
        found: str = finding(
            nan_or_inf.check(history(losses=[math.nan] * 20, nonfinite=NonFinite(*about)))
        ).summary
        return found

    assert said(4, "parameter", "nan", "", "0") == (
        "The update of step 4 left weights of layer 0 that are not finite, which step 5 met."
    )
    assert (
        said(0, "parameter", "nan", "", "0")
        == "The weights of layer 0 were nan or infinite before the first update."
    )
    assert said(4, "gradient", "nan", "", "2") == (
        "The gradient of layer 2 was the first value that was not finite, in step 5."
    )
    assert (
        said(0, "target", "nan", "mse_loss")
        == "The data are not finite: a target was nan or infinite in step 1."
    )


def sequential(*middle: nn.Module, inputs: float | Tensor = 1.0, bias: float = 0.0) -> Diagnosis:
    """What is said of a network whose layers are called by numbers."""
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Linear(6, 12), *middle)
    with torch.no_grad():
        net[0].bias += bias
    x = torch.randn(96, 6) * inputs
    y = (x[:, 0] > 0).long()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    batches = list(zip(x.split(32), y.split(32), strict=True))
    return examine(net, lambda: iter(batches), nn.CrossEntropyLoss(), optimizer, epochs=2)


BARE = re.compile(
    r"(?<![\w'.])\d+\.[a-z]|(?:^|(?:of|and|into|at|from|but) )\d+ (?:receives|is|are|runs|gives|does|makes)"
)
"""A number where a layer's name should be."""


@pytest.mark.parametrize(
    ("expected", "diagnosis"),
    [
        ("dead_relu", lambda: sequential(nn.ReLU(), nn.Linear(12, 2), bias=-50.0)),
        ("softmax_before_ce", lambda: sequential(nn.ReLU(), nn.Linear(12, 2), nn.Softmax(1))),
        ("sigmoid_output_multiclass", lambda: sequential(nn.ReLU(), nn.Linear(12, 2), nn.Sigmoid())),
        ("relu_output", lambda: sequential(nn.Tanh(), nn.Linear(12, 2), nn.ReLU())),
        ("output_range_mismatch", lambda: sequential(nn.ReLU(), nn.Linear(12, 2), nn.Tanh())),
        ("softmax_hidden", lambda: sequential(nn.Softmax(1), nn.Linear(12, 2))),
        ("missing_activation", lambda: sequential(nn.Linear(12, 2))),
        ("input_not_scaled", lambda: sequential(nn.Tanh(), nn.Linear(12, 2), inputs=1e4)),
        ("saturated", lambda: sequential(nn.Tanh(), nn.Linear(12, 2), inputs=1e4)),
    ],
)
def test_layers_without_names_are_not_called_by_bare_numbers(expected: str, diagnosis: Any) -> None:
    found = diagnosis()
    assert expected in [each.diagnosis for each in found.findings]
    for each in found.findings:
        for sentence in (each.summary, *each.evidence):
            assert not BARE.search(sentence), sentence


# ------------------------------------------------------------------ proofs


def curve(skill: float, *skills: float, measure: str = "accuracy", **more: Any) -> Curve:
    return Curve(skills=skills or (skill,), measure=measure, value=skill, skill=skill, **more)


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (curve(-0.5), curve(0.0), (True, False)),  # no better than a constant yet
        (curve(math.nan), curve(0.5), (True, True)),
        (curve(0.95, 0.1, 0.9), curve(0.95, 0.8, 0.9), (True, True)),  # as good, sooner
        (curve(0.95, 0.8, 0.9), curve(0.95, 0.8, 0.9), (True, False)),
        (
            curve(0, measure="loss", losses=(1.0, 1.0)),
            curve(0, measure="loss", losses=(1.0, 2.0)),
            (True, False),
        ),
        (
            curve(0, measure="loss", losses=(1.0, 1.0)),
            curve(0, measure="loss", losses=(1.0, 0.5)),
            (True, True),
        ),
        (
            curve(0, measure="loss", losses=(9.0,), loss="mse_loss"),
            curve(0, measure="loss", losses=(1.0,), loss="l1_loss"),
            (False, False),
        ),
    ],
)
def test_better_is_better_predictions(before: Curve, after: Curve, answer: tuple[bool, bool]) -> None:
    assert better(before, after, ()) == answer


def test_incomparable_trainings_are_judged_by_the_symptom_which_must_have_been_there() -> None:
    old = curve(0, measure="loss", losses=(9.0,), loss="mse_loss", findings=("saturated",))
    new = curve(0, measure="loss", losses=(1.0,), loss="l1_loss")
    change = (Prescription("change_loss", {"to": "l1_loss"}), Prescription("lower_rate"))
    proof = judge(Finding("saturated", ""), change, old, new)
    assert proof.helped
    assert proof.sentence.startswith(
        "Changing the loss and lowering the learning rate helped: the finding 'saturated units' is gone, "
    )
    assert not judge(Finding("saturated", ""), change, replace(old, findings=()), new).helped
