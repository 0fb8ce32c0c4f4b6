"""Layers of weights with nothing non-linear between them: together they are one layer, and here it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triode.doctor.graphs import MATRIX_PRODUCTS, roles
from triode.doctor.history import Graph, Operation, Role

_APART = frozenset(
    {
        "detach",
        "interpolate",
        "upsample",
        "pixel_shuffle",
        "pixel_unshuffle",
        "fold",
        "unfold",
        "cumsum",
        "sum",
    }
)
"""Carriers that keep two layers from being one: another grid between them, or no gradient."""
_PICKS = frozenset({"gather", "index_select", "take_along_dim", "index", "getitem", "masked_fill"})
_TURNS = frozenset({"permute", "transpose", "swapaxes", "movedim", "t"})


def redundant_pairs(graph: Graph) -> list[tuple[Operation, Operation]]:
    r"""Layers of weights that compute together what one could: nothing non-linear stands between them.

    :math:`W_2 (W_1 x + b_1) + b_2 = (W_2 W_1) x + (W_2 b_1 + b_2)`. A first layer narrower than both its input and the
    second layer's output is left out: it is a factorisation of low rank, as are pairs that have fewer weights than
    the one layer that would replace them.

    Args:
        graph: The operations of one training step.

    Returns:
        Pairs (first, second) of operations of kind `weights`.
    """
    part = roles(graph)
    pairs = [(first, second) for second in graph if (first := _joined(graph, second)) is not None]
    return [pair for pair in pairs if not any(_of_memory(graph, layer, part) for layer in pair)]


def _of_memory(graph: Graph, operation: Operation, part: dict[int, Role]) -> bool:
    """Whether a product with a bare parameter scores the entries of a learned memory, or reads them out."""
    if operation.name not in MATRIX_PRODUCTS:
        return False
    scores = {part.get(user.index) for user in graph.users(operation.index)}
    return "attention" in scores or part.get(graph.source(operation.inputs[0]).index) == "attention"


def _dense(operation: Operation) -> bool:
    details = operation.details
    return (
        operation.kind == "weights"
        and details.get("type") in ("linear", "conv")
        and details.get("groups", 1) == 1
        and operation.name not in ("bilinear", "einsum", "bmm", "baddbmm", "tensordot")
        and bool(operation.parameters)
    )


def _joined(graph: Graph, second: Operation) -> Operation | None:
    if not _dense(second) or len(second.inputs) != 1:
        return None
    relevant = graph.upstream(graph.loss) if graph.loss >= 0 else None
    turned, index = False, second.inputs[0]
    while True:
        users = [u for u in graph.users(index) if relevant is None or u.index in relevant]
        here = graph[index]
        if len(users) > 1 or index in graph.outputs or not here.inputs:
            return None
        if here.kind == "weights":
            break
        if here.kind != "carrier" and here.name != "batch_norm":
            return None
        if here.name in _APART or (here.name in _PICKS and len(here.inputs) > 1):
            return None
        turned = turned or (here.name in _TURNS and len(here.shape) > 2)
        index = here.inputs[0]
    if not _dense(here) or set(here.parameters) & set(second.parameters):
        return None
    return here if not turned and _wide(graph, here, second) else None


def _wide(graph: Graph, first: Operation, second: Operation) -> bool:
    """Whether the width between two layers takes nothing away, and one layer would not need more weights."""
    a, b = first.details, second.details
    kinds = (a["type"], b["type"])
    if kinds == ("linear", "conv"):
        return False
    before = graph[first.inputs[0]].shape
    if kinds == ("conv", "conv"):
        width = before[1] if len(before) > 2 else a["fan_in"]
        sides = [_area(first, width), _area(second, a["fan_out"])]
        separable = len(before) == 4 and all(s and s > 1 and math.isqrt(s) ** 2 != s for s in sides)
        return not separable and a["fan_out"] >= min(width, b["fan_out"])
    if kinds == ("linear", "linear") and a["fan_out"] == b["fan_in"]:
        return bool(a["fan_out"] >= min(a["fan_in"], b["fan_out"]))
    wide = math.prod(before[1:])
    stack = a["fan_in"] * a["fan_out"] + b["fan_in"] * b["fan_out"]
    pooled = kinds[0] == "conv" and a["fan_out"] == b["fan_in"]
    single = (a["fan_in"] if pooled else wide) * b["fan_out"]
    return bool(b["fan_in"] >= min(wide, b["fan_out"]) and single <= stack)


def _area(convolution: Operation, width: int) -> int:
    """Entries of a convolution's kernel in space; 0 where it cannot be told."""
    if "transpose" in convolution.name or not width:
        return 0
    return int(convolution.details.get("fan_in", 0)) // int(width)


def single_layer(graph: Graph, first: Operation, second: Operation) -> int:
    """Weights (without biases) of the one layer that computes what two of :func:`redundant_pairs` do; 0 if unknown."""
    a, b = first.details, second.details
    kinds = (a["type"], b["type"])
    if kinds == ("linear", "linear") and a["fan_out"] == b["fan_in"]:
        return int(a["fan_in"] * b["fan_out"])
    before = graph[first.inputs[0]].shape
    if kinds == ("conv", "conv"):
        width = before[1] if len(before) > 2 else 0
        sides = [math.isqrt(_area(first, width)), math.isqrt(_area(second, a["fan_out"]))]
        plane = len(before) == 4 and all(sides)
        return int(width * b["fan_out"] * (sum(sides) - 1) ** 2) if plane else 0
    if kinds[0] == "conv" and a["fan_out"] == b["fan_in"]:
        return int(a["fan_in"] * b["fan_out"])
    return int(math.prod(before[1:]) * b["fan_out"])


def collapse(
    weights: Sequence[ArrayLike], biases: Sequence[ArrayLike | None]
) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""The one layer that linear layers in a row amount to.

    :math:`W = W_n \cdots W_1` and :math:`b = b_n + W_n (b_{n-1} + W_{n-1} (\ldots))`.

    Args:
        weights: Matrices (units, inputs) of the layers, in order of use.
        biases: One for each; None for a layer without.

    Returns:
        Weight (units of the last, inputs of the first) and bias (units of the last).

    Examples:
        >>> collapse([[[1.0, 2.0], [0.0, 1.0]], [[3.0, 1.0]]], [[1.0, 0.0], None])
        (array([[3., 7.]]), array([3.]))
    """
    first = np.asarray(weights[0], float)
    product, offset = np.eye(first.shape[1]), np.zeros(first.shape[1])
    for weight, bias in zip(weights, biases, strict=True):
        matrix = np.asarray(weight, float)
        product = matrix @ product
        offset = matrix @ offset + (0.0 if bias is None else np.asarray(bias, float))
    return product, offset
