"""Roles, losses and collapse, on graphs that are written out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from triode.doctor.collapse import collapse, redundant_pairs, single_layer
from triode.doctor.graphs import carried, compared_with, loss_of, losses_of, output_activation, roles
from triode.doctor.history import Graph, Operation
from triode.doctor.observe.operations import KIND, MATRIX_PRODUCTS


class Net:
    """A graph, an operation a call; everything before `end` is inside the model."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.outputs: tuple[int, ...] = ()
        self.inside = True

    def __call__(
        self, name: str, *inputs: int, kind: str = "", shape: tuple[int, ...] = (8, 4), **details: Any
    ) -> int:
        index = len(self.operations)
        kind = kind or ("data" if name == "data" else KIND.get(name, "other"))
        parameters: tuple[str, ...] = ()
        if kind == "weights":
            before = self.operations[inputs[0]].shape[1]
            parameters = (f"l{index}.weight",)
            details = {"type": "linear", "groups": 1, "fan_in": before, "fan_out": shape[1]} | details
        operation = Operation(
            index,
            name,
            kind,
            inputs,
            parameters,
            "",
            "",
            shape,
            details,
            in_model=self.inside,  # type: ignore[arg-type]
        )
        self.operations.append(operation)
        return index

    def x(self, width: int = 4) -> int:
        return self("data", shape=(8, width), what="input")

    def y(self) -> int:
        return self("data", what="target")

    def linear(self, source: int, width: int = 4, **details: Any) -> int:
        return self("linear", source, shape=(8, width), **details)

    def end(self, *outputs: int) -> None:
        self.outputs, self.inside = outputs, False

    def graph(self, loss: int = -1) -> Graph:
        return Graph(tuple(self.operations), self.outputs, loss)


def test_names_of_matrix_products_are_the_tracers() -> None:
    from triode.doctor import graphs

    assert graphs.MATRIX_PRODUCTS <= MATRIX_PRODUCTS
    assert not graphs.ARITHMETIC - {*KIND, "rtruediv"}
    named = {name for name, kind in KIND.items() if kind == "loss"}
    assert set(graphs._FAMILY) <= named


def test_a_softmax_that_weighs_is_attention_and_one_that_feeds_is_hidden() -> None:
    net = Net()
    h = net.linear(net.x())
    scores = net("matmul", h, net.linear(h), kind="product")
    weights = net("softmax", net("div", scores, kind="carrier"))
    read = net("matmul", net("dropout", weights), net.linear(h), kind="product")
    inner = net("softmax", net.linear(read))
    out = net.linear(net("dropout", inner))
    net.end(out)
    assert roles(net.graph()) == {weights: "attention", inner: "hidden"}


def test_gates_multiply_and_masks_do_not() -> None:
    net = Net()
    x = net.x()
    gate = net("sigmoid", net.linear(x))
    swish = net("sigmoid", (z := net.linear(x)))
    mixed = net("add", net("mul", gate, net.linear(x)), net("mul", z, swish))
    masked = net("relu", net.linear(mixed))
    kept = net("mul", masked, net("data", what="input"))
    net.end(net.linear(kept))
    assert roles(net.graph()) == {gate: "gate", swish: "gate", masked: "hidden"}


def test_a_softmax_by_hand_is_no_gate_and_a_spread_times_noise_is() -> None:
    net = Net()
    z = net("exp", net.linear(net.x()))
    shares = net("div", z, net("sum", z))
    spread = net("exp", net.linear(shares))
    noise = net("randn_like", spread)
    drawn = net("mul", spread, noise, kind="carrier")
    net.end(net.linear(drawn))
    assert roles(net.graph()) == {z: "hidden", spread: "gate"}


def test_a_sample_of_categories_is_no_hidden_softmax() -> None:
    net = Net()
    noise = net("neg", net("log", net("rand_like", (z := net.linear(net.x())))))
    sample = net("softmax", net("add", z, noise, kind="carrier"))
    net.end(net.linear(sample))
    assert roles(net.graph()) == {sample: "gate"}


def test_what_comes_after_the_model_is_part_of_the_loss() -> None:
    net = Net()
    shown = net("softmax", (z := net.linear(net.x())))
    last = net("tanh", z)
    net.end(last)
    aside = net("softmax", last)
    margin = net("relu", net("sub", net("mul", last, net.y()), kind="carrier"))
    loss = net("mean", margin)
    found = roles(net.graph(loss))
    assert found == {shown: "unused", last: "output", aside: "unused", margin: "loss"}


def test_a_product_in_the_loss_makes_no_gate_of_the_output() -> None:
    net = Net()
    p = net("sigmoid", net.linear(net.x()))
    net.end(p)
    loss = net("sum", net("mul", p, net.y()))
    assert roles(net.graph(loss)) == {p: "output"}
    assert (loss_of(net.graph(loss)).family, loss_of(net.graph(loss)).prediction) == ("other", p)


def test_a_loss_inside_the_model_has_its_own_functions() -> None:
    net = Net()
    p = net("sigmoid", net.linear(net.x()))
    weight = net("tanh", net("sub", p, (y := net.y())))
    loss = net("mse_loss", p, y)
    total = net("add", loss, net("mean", weight))
    net.end(total)
    assert roles(net.graph(total)) == {p: "output", weight: "loss"}


@pytest.mark.parametrize(("log", "prediction"), [("log_softmax", "log_softmax"), ("log", "softmax")])
def test_nll_compares_the_probabilities(log: str, prediction: str) -> None:
    net = Net()
    z = net.linear(net.x())
    p = net("log_softmax", z) if log == "log_softmax" else net("softmax", z)
    net.end(p)
    given = p if log == "log_softmax" else net("log", net("clamp", p, min=1e-7, max=None))
    graph = net.graph(net("nll_loss", given, net.y()))
    loss = loss_of(graph)
    assert (loss.name, loss.family, graph[loss.prediction].name) == ("nll_loss", "categorical", prediction)


def test_a_binary_likelihood_by_hand_is_told_from_a_categorical_one() -> None:
    for both in (True, False):
        net = Net()
        p = net("sigmoid", net.linear(net.x()))
        net.end(p)
        y = net.y()
        loss = net("mul", y, net("log", p))
        if both:
            other = net("log", net("rsub", p, kind="carrier"))
            loss = net("add", loss, net("mul", net("rsub", y, kind="carrier"), other))
        found = loss_of(net.graph(net("mean", loss)))
        assert (found.name, found.family, found.prediction) == (
            "custom",
            "binary" if both else "categorical",
            p,
        )


def test_squares_by_hand_are_a_regression_and_know_their_target() -> None:
    net = Net()
    out = net.linear(net.x())
    net.end(out)
    y = net.y()
    graph = net.graph(net("mean", net("pow", net("sub", net("squeeze", out), y))))
    loss = loss_of(graph)
    assert loss.family == "regression"
    assert graph.source(loss.prediction).index == out
    assert compared_with(graph, loss) == y


def test_the_named_loss_is_found_among_terms_and_weights_decay_is_not_one() -> None:
    net = Net()
    z = net.linear(net.x())
    net.end(z)
    first = net("cross_entropy", z, net.y())
    second = net("l1_loss", z, net.y())
    decay = net("sum", net("pow", net("data", what="")))
    graph = net.graph(net("add", net("add", first, second), decay))
    assert [loss.name for loss in losses_of(graph)] == ["cross_entropy", "l1_loss"]
    assert losses_of(net.graph()) == []


def test_the_output_activation_is_looked_for_up_to_the_weights() -> None:
    net = Net()
    p = net("sigmoid", net.linear(net.x()))
    guarded = net("squeeze", net("clamp", p, min=1e-7, max=1 - 1e-7))
    bounded = net("clamp", p, min=0.2, max=0.8)
    raw = net("squeeze", net.linear(p))
    graph = net.graph()
    assert output_activation(graph, guarded) == graph[p]
    assert output_activation(graph, bounded) is None
    assert output_activation(graph, raw) is None
    assert carried(graph, p, guarded) == ("clamp", "squeeze")


def stack(*between: str, widths: tuple[int, int, int] = (8, 16, 4), **details: Any) -> Graph:
    net = Net()
    here = net.linear(net.x(widths[0]), widths[1])
    for name in between:
        here = net(name, here, shape=(8, widths[1]))
    net.end(net.linear(here, widths[2], **details))
    return net.graph()


@pytest.mark.parametrize("between", [(), ("dropout",), ("batch_norm",), ("dropout", "view")])
def test_layers_with_nothing_between_are_redundant(between: tuple[str, ...]) -> None:
    [(first, second)] = redundant_pairs(stack(*between))
    assert (first.shape, second.shape) == ((8, 16), (8, 4))
    assert single_layer(stack(*between), first, second) == 8 * 4


@pytest.mark.parametrize("between", ["relu", "layer_norm", "max_pool1d", "pow", "detach", "custom_function"])
def test_whatever_is_not_linear_keeps_them_apart(between: str) -> None:
    assert not redundant_pairs(stack(between))


def test_a_narrow_middle_is_a_factorisation() -> None:
    assert not redundant_pairs(stack(widths=(8, 3, 4)))
    assert redundant_pairs(stack(widths=(8, 4, 4)))
    assert not redundant_pairs(stack(groups=2))


def test_a_middle_that_is_used_or_returned_as_well_is_wanted() -> None:
    net = Net()
    first = net.linear(net.x(), 8)
    second = net.linear(first, 4)
    net.end(second)
    alone = net.graph()
    skip = net("add", second, net("mean", first))
    assert redundant_pairs(alone)
    assert not redundant_pairs(net.graph(skip))
    net.end(first, second)
    assert not redundant_pairs(Graph(alone.operations, (first, second)))


@pytest.mark.parametrize("areas", [(3, 3), (9, 9)])
def test_a_separable_convolution_is_kept(areas: tuple[int, int]) -> None:
    net = Net()
    x = net("data", shape=(8, 4, 9, 9), what="input")
    for area in areas:
        x = net("conv2d", x, shape=(8, 4, 9, 9), type="conv", fan_in=4 * area, fan_out=4)
    net.end(x)
    pairs = redundant_pairs(net.graph())
    assert bool(pairs) == (areas == (9, 9))
    for first, second in pairs:
        assert single_layer(net.graph(), first, second) == 4 * 4 * 25


def test_the_product_computes_what_the_layers_do() -> None:
    rng = np.random.default_rng(7)
    widths = (5, 9, 7, 3)
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(widths)]
    biases = [rng.normal(size=9), None, rng.normal(size=3)]
    x = h = rng.normal(size=(20, 5))
    for weight, bias in zip(weights, biases, strict=True):
        h = h @ weight.T + (0 if bias is None else bias)
    product, offset = collapse(weights, biases)
    assert product.shape == (3, 5)
    np.testing.assert_allclose(x @ product.T + offset, h, rtol=0, atol=2e-14 * np.abs(h).max())
