"""What a traced step says about a network's structure: which function does what, and what the loss is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from triode.doctor.history import Graph, Loss, Operation, Role

MATRIX_PRODUCTS = frozenset({"matmul", "mm", "bmm", "baddbmm", "einsum", "mv", "tensordot"})
GATING = frozenset(
    {
        "softmax",
        "gumbel_softmax",
        "log_softmax",
        "softmin",
        "exp",
        "sigmoid",
        "hard_sigmoid",
        "tanh",
        "hard_tanh",
    }
)
"""Functions that weigh whatever they multiply. A rectified signal times a mask is still a rectified signal."""
ARITHMETIC = frozenset(
    {
        "mul",
        "multiply",
        "div",
        "divide",
        "true_divide",
        "rdiv",
        "rtruediv",
        "add",
        "sub",
        "rsub",
        "neg",
        "sum",
        "cumsum",
    }
)
"""Carriers that move or stretch the range of what they carry."""
_FAMILIES: tuple[tuple[Literal["categorical", "binary", "regression"], str], ...] = (
    ("categorical", "cross_entropy nll_loss kl_div multi_margin_loss ctc_loss"),
    (
        "binary",
        "binary_cross_entropy binary_cross_entropy_with_logits multilabel_soft_margin_loss soft_margin_loss",
    ),
    ("regression", "mse_loss l1_loss smooth_l1_loss huber_loss poisson_nll_loss gaussian_nll_loss"),
)
_FAMILY = {name: family for family, names in _FAMILIES for name in names.split()}
_LOGARITHMS = ("log", "log2", "log10", "log1p")
_STEEP = 0.01
"""A clamp to [a, b] with 0 < a and b < 1 this near to 0 and 1 only guards a logarithm."""


@dataclass(frozen=True)
class _Reach:
    """For each operation: is a layer of weights upstream (itself included), and is one downstream."""

    fed: list[bool]
    feeds: list[bool]


def _reach(graph: Graph) -> _Reach:
    n = len(graph.operations)
    fed, feeds = [False] * n, [False] * n
    for operation in graph:
        fed[operation.index] = operation.kind == "weights" or any(fed[i] for i in operation.inputs)
    for operation in reversed(graph.operations):
        if operation.kind == "weights" or feeds[operation.index]:
            for source in operation.inputs:
                feeds[source] = True
    return _Reach(fed, feeds)


def roles(graph: Graph) -> dict[int, Role]:
    """What every activation and softmax of a step is there for.

    Args:
        graph: The operations of one training step.

    Returns:
        Index of the operation -> its role. `attention`: a softmax that weighs others in a matrix product. `gate`: its
        result multiplies another tensor (experts, squeeze and excitation, hand-written recurrent cells, swish).
        `loss`: part of the loss. `hidden`: a layer of weights comes later. `output`: none does, and it is returned.

    Examples:
        >>> from triode.doctor.history import Graph, Operation
        >>> graph = Graph((Operation(0, "data", "data"), Operation(1, "linear", "weights", (0,)),
        ...     Operation(2, "relu", "activation", (1,)), Operation(3, "linear", "weights", (2,)),
        ...     Operation(4, "sigmoid", "activation", (3,))), outputs=(4,))
        >>> roles(graph)
        {2: 'hidden', 4: 'output'}
    """
    reach = _reach(graph)
    of_loss = graph.upstream(graph.loss)
    of_outputs: set[int] = set()
    for index in graph.outputs:
        of_outputs |= graph.upstream(index)
    compared: set[int] = set()
    inside = [loss for loss in losses_of(graph) if loss.prediction >= 0] if _loss_in_model(graph) else []
    for loss in inside:
        compared |= graph.upstream(loss.prediction)
    found: dict[int, Role] = {}
    for operation in graph:
        if operation.kind not in ("activation", "softmax"):
            continue
        index = operation.index
        weighing = _weighing(graph, operation, reach)
        if weighing:
            found[index] = weighing
        elif reach.feeds[index]:
            found[index] = "hidden"
        elif index in of_loss and (not operation.in_model or (inside and index not in compared)):
            found[index] = "loss"
        elif index in of_outputs or index in of_loss:
            found[index] = "output"
        else:
            found[index] = "unused"
    return found


def _loss_in_model(graph: Graph) -> bool:
    return graph.loss >= 0 and graph[graph.loss].in_model


def _weighing(graph: Graph, operation: Operation, reach: _Reach) -> Literal["attention", "gate", ""]:
    """Whether the result of an activation only says how much of something else to take."""
    weighs = operation.kind == "softmax" or operation.name in GATING
    if operation.name == "gumbel_softmax" or (operation.kind == "softmax" and _perturbed(graph, operation)):
        return "gate"  # a sample of a category
    waiting, seen = [operation.index], set()
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for user in graph.users(here):
            others = [index for index in user.inputs if index != here]
            if user.kind == "product" and not user.in_model and not reach.feeds[user.index]:
                continue  # the loss compares
            if user.kind == "carrier":
                if operation.name == "exp" and user.name in ("mul", "multiply") and others:
                    return "gate"  # a spread times noise
                waiting.append(user.index)
            elif user.name in MATRIX_PRODUCTS and (user.kind == "product" or operation.kind == "softmax"):
                if user.kind == "weights":
                    if not _has_offset(graph, user):
                        return "attention"  # over a memory that is learned
                elif weighs and (
                    user.name == "einsum" or user.inputs[:1] == (here,) or any(reach.fed[i] for i in others)
                ):
                    return "attention"
                elif weighs:
                    waiting.append(user.index)
            elif user.kind == "product" and user.name not in MATRIX_PRODUCTS:
                normalises = bool(others) and all(
                    operation.index in graph.upstream(index) for index in others
                )
                masked = not weighs and not any(reach.fed[index] for index in others)
                if not others or normalises or masked:
                    waiting.append(user.index)
                elif user.name != "scaled_dot_product_attention":
                    return "gate"
            elif user.name == "lerp" and user.inputs[2:3] == (here,):
                return "gate"
    return ""


def _perturbed(graph: Graph, operation: Operation) -> bool:
    """Whether something that does not come from the network was added to the scores: a Gumbel sample by hand."""
    index = operation.inputs[0] if operation.inputs else -1
    while index >= 0 and graph[index].kind == "carrier":
        here = graph[index]
        if (
            here.name in ("add", "sub")
            and len(here.inputs) > 1
            and any(graph[i].inputs for i in here.inputs[1:])
        ):
            return True
        index = here.inputs[0] if here.inputs else -1
    return False


def _has_offset(graph: Graph, operation: Operation) -> bool:
    return any(user.name in ("add", "iadd") and user.parameters for user in graph.users(operation.index))


def output_activation(graph: Graph, index: int) -> Operation | None:
    """The last activation or softmax upstream of an operation, itself included, with only carriers between.

    Args:
        graph: The operations of one training step.
        index: An operation, as `Loss.prediction`.

    Returns:
        The activation; None if a layer of weights, a sum of several tensors or a normalisation comes first. A clamp
        that only keeps a logarithm from 0 is looked through.
    """
    while index >= 0:
        here = graph[index]
        if here.kind in ("activation", "softmax"):
            return here
        if (here.kind != "carrier" and not _guards(here)) or not here.inputs:
            return None
        index = here.inputs[0]
    return None


def carried(graph: Graph, source: int, index: int) -> tuple[str, ...]:
    """Names of the operations on the way from `source` (not included) to `index` (included), along first inputs."""
    passed: list[str] = []
    while index != source and graph[index].inputs:
        passed.append(graph[index].name)
        index = graph[index].inputs[0]
    return tuple(reversed(passed))


def _guards(operation: Operation) -> bool:
    """A clamp of probabilities away from 0 and 1: changes nothing but the values at the very ends."""
    if operation.name != "clamp":
        return False
    low, high = operation.details.get("min"), operation.details.get("max")
    above = low is None or 0 < low <= _STEEP
    below = high is None or 1 - _STEEP <= high <= 1
    return above and below and not (low is None and high is None)


def logarithms(graph: Graph) -> list[Operation]:
    """Logarithms that the loss is made of: upstream of it, with no layer of weights between."""
    reach, of_loss = _reach(graph), graph.upstream(graph.loss)
    return [
        operation
        for operation in graph
        if operation.name in _LOGARITHMS
        and operation.index in of_loss
        and reach.fed[operation.index]
        and not reach.feeds[operation.index]
    ]


def probability(graph: Graph, index: int) -> int:
    """The operation whose probabilities `index` holds: looks through 1 - p, offsets, clamps and rearrangements."""
    while index >= 0:
        here = graph[index]
        if not here.inputs or not (_guards(here) or (here.kind == "carrier" and not here.parameters)):
            return index
        index = here.inputs[0]
    return index


def loss_of(graph: Graph) -> Loss:
    """The function whose gradient is taken: the first of :func:`losses_of`.

    Args:
        graph: The operations of one training step.

    Returns:
        Its name and family, and what it compares with the targets; an empty `Loss` where no gradient was taken.

    Examples:
        >>> from triode.doctor.history import Graph, Operation
        >>> graph = Graph((Operation(0, "data", "data"), Operation(1, "linear", "weights", (0,)),
        ...     Operation(2, "data", "data"), Operation(3, "cross_entropy", "loss", (1, 2))), outputs=(1,), loss=3)
        >>> loss_of(graph).family, loss_of(graph).prediction
        ('categorical', 1)
    """
    found = losses_of(graph)
    return found[0] if found else Loss()


def losses_of(graph: Graph) -> list[Loss]:
    """All terms of the loss that compare something the network made: those with a name of their own, else by hand.

    Returns:
        Those outside the model first, in order of the calls. `prediction` of a likelihood is the operation that made
        the probabilities or scores; a logarithm and its guards in between belong to the loss.
    """
    if graph.loss < 0:
        return []
    reach, of_loss = _reach(graph), graph.upstream(graph.loss)
    named = [
        operation
        for operation in graph
        if operation.kind == "loss"
        and operation.index in of_loss
        and not reach.feeds[operation.index]
        and any(reach.fed[index] for index in operation.inputs)
    ]
    if named:
        named.sort(key=lambda operation: (operation.in_model, operation.index))
        return [_named(graph, operation, reach) for operation in named]
    return [_by_hand(graph, reach, of_loss)]


def _named(graph: Graph, operation: Operation, reach: _Reach) -> Loss:
    prediction = next(index for index in operation.inputs if reach.fed[index])
    if operation.name in ("nll_loss", "kl_div"):
        log = graph.source(prediction)
        if log.name in _LOGARITHMS and log.inputs:
            prediction = probability(graph, log.inputs[0])
    return Loss(operation.name, _FAMILY.get(operation.name, "other"), operation.index, prediction)


def _by_hand(graph: Graph, reach: _Reach, of_loss: set[int]) -> Loss:
    logs = [
        operation
        for operation in graph
        if operation.index in of_loss
        and not reach.feeds[operation.index]
        and (operation.name in _LOGARITHMS or operation.name in ("log_softmax", "log_sigmoid"))
        and reach.fed[operation.index]
        and (_meets_target(graph, operation.index, reach) or _picked(graph, operation.index, reach))
    ]
    if logs:
        ends = [
            op.index if op.name.startswith("log_") else probability(graph, op.inputs[0])
            for op in logs
            if op.inputs
        ]
        twice = any(ends.count(end) > 1 for end in ends) or any(op.name == "log_sigmoid" for op in logs)
        return Loss("custom", "binary" if twice else "categorical", -1, ends[0])
    for operation in graph:
        if operation.index not in of_loss or reach.feeds[operation.index] or len(operation.inputs) < 2:
            continue
        made = [index for index in operation.inputs if reach.fed[index]]
        given = [index for index in operation.inputs if not reach.fed[index]]
        if not made or not any(_is_given(graph, index) for index in given):
            continue
        if operation.name in ("sub", "rsub"):
            return Loss("custom", "regression", -1, made[0])
        if operation.kind == "product":
            return Loss("custom", "other", -1, made[0])
    last = [index for index in graph.outputs if index in of_loss]
    return Loss("custom", "", -1, last[0] if last else -1)


def _is_given(graph: Graph, index: int) -> bool:
    """Whether a tensor derives from data that were handed in: a target, or an input that serves as one."""
    return any(
        graph[each].kind == "data" and graph[each].details.get("what") for each in graph.upstream(index)
    )


def _picked(graph: Graph, index: int, reach: _Reach) -> bool:
    """Whether what a logarithm is taken of was picked by a target: log(p[i, y])."""
    while graph[index].inputs and (graph[index].name in _LOGARITHMS or graph[index].kind == "carrier"):
        if any(not reach.fed[each] and _is_given(graph, each) for each in graph[index].inputs[1:]):
            return True
        index = graph[index].inputs[0]
    return False


def _meets_target(graph: Graph, index: int, reach: _Reach) -> bool:
    """Whether a logarithm is multiplied with, or picked by, something that the network did not make."""
    waiting, seen = [index], set()
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for user in graph.users(here):
            others = [each for each in user.inputs if each != here]
            if user.kind in ("product", "carrier") and any(
                not reach.fed[each] and _is_given(graph, each) for each in others
            ):
                return True
            if user.kind == "carrier" or (user.kind == "product" and others):
                waiting.append(user.index)
    return False


def compared_with(graph: Graph, loss: Loss) -> int:
    """The operation that made what a term of the loss compares its prediction with; -1 where it cannot be told."""
    reach = _reach(graph)

    def given(operation: Operation) -> int:
        found = [i for i in operation.inputs if not reach.fed[i] and _is_given(graph, i)]
        return found[0] if found else -1

    if loss.operation >= 0:
        return given(graph[loss.operation])
    waiting, seen = [loss.prediction] if loss.prediction >= 0 else [], set[int]()
    while waiting:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        for user in graph.users(here):
            if reach.feeds[user.index]:
                continue
            if given(user) >= 0:
                return given(user)
            if user.kind in ("carrier", "product") or user.name in _LOGARITHMS or _guards(user):
                waiting.append(user.index)
    return -1
