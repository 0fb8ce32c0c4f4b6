"""What was seen of a training, as plain data: every rule reads this, and nothing here knows a framework.

One `History` is one patient: the modules that one optimiser trains. Sizes grow with the number of units, layers and
watched steps, never with the number of examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "weights",  # linear, convolution, embedding, recurrent, attention with weights: has parameters of its own
    "activation",  # elementwise and non-linear: relu, sigmoid, exp, clamp ...
    "softmax",  # softmax, log_softmax
    "normalise",  # batch_norm, layer_norm ...
    "pool",  # max_pool: rearranges, but is not linear
    "carrier",  # linear and without weights: reshape, dropout, mean, getitem, avg_pool, times or plus a constant
    "combine",  # add, subtract, concatenate: several data tensors, linear in each
    "product",  # multiply, divide, matmul: two data tensors
    "loss",  # cross_entropy, mse_loss ...
    "data",  # a tensor that no recorded operation made: inputs and targets
    "other",
]
Role = Literal["hidden", "output", "gate", "attention", "loss", "unused"]


@dataclass(frozen=True)
class Operation:
    """One call of a function on tensors in the traced step."""

    index: int
    name: str
    """Canonical: linear, conv2d, relu, cross_entropy, add ...; `relu` also for clamp(min=0), maximum with 0, where."""
    kind: Kind
    inputs: tuple[int, ...] = ()
    """Operations that made its tensor arguments, in order of the arguments."""
    parameters: tuple[str, ...] = ()
    """Names of the model's parameters among its arguments."""
    module: str = ""
    """Path of the innermost module that was running; "" outside every module."""
    where: str = ""
    """The line of the user's that called it, as `train.py:41`."""
    shape: tuple[int, ...] = ()
    """Of its (first) output."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """softmax: dim, size. clamp: min, max. loss: reduction (mean, sum, none).

    weights: fan_in, fan_out, groups, type (linear, conv, embedding ...).
    data: what ("input" or "target" or ""), dtype. any: inplace.
    """
    in_model: bool = True
    """False for what ran after the model had returned: the loss, and what the user put before it."""


@dataclass(frozen=True)
class Graph:
    """The operations of one training step, in the order of the calls: inputs always come before their users."""

    operations: tuple[Operation, ...] = ()
    outputs: tuple[int, ...] = ()
    """Operations that made the tensors that the model returned."""
    loss: int = -1
    """The operation that made the number whose gradient was taken; -1 where none was."""

    def __getitem__(self, index: int) -> Operation:
        return self.operations[index]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def users(self, index: int) -> tuple[Operation, ...]:
        """The operations that take the result of operation `index`."""
        return tuple(self.operations[user] for user in self._users.get(index, ()))

    @property
    def _users(self) -> dict[int, list[int]]:
        known: dict[int, list[int]] | None = self.__dict__.get("_known")
        if known is None:
            known = {}
            for operation in self.operations:
                for source in dict.fromkeys(operation.inputs):
                    known.setdefault(source, []).append(operation.index)
            object.__setattr__(self, "_known", known)
        return known

    def source(self, index: int, through: tuple[str, ...] = ("carrier",)) -> Operation:
        """The nearest operation upstream, `index` itself included, whose kind is not among `through`.

        Follows the first input; an operation without inputs ends the walk.
        """
        while self.operations[index].kind in through and self.operations[index].inputs:
            index = self.operations[index].inputs[0]
        return self.operations[index]

    def upstream(self, index: int) -> set[int]:
        """All operations that operation `index` depends on, itself included."""
        found: set[int] = set()
        waiting = [index] if index >= 0 else []
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting += self.operations[here].inputs
        return found


@dataclass(frozen=True)
class UnitFigures:
    """What one pass found at one activation site.

    A unit is a feature of the last axis, or a channel of a convolution.
    """

    examples: int
    """Rows seen by the question who is dead."""
    exact: bool
    """Whether that question was put to every batch of the pass."""
    dead: NDArray[np.bool_]
    """Per unit: its output was exactly zero for every example (and position) that was seen."""
    flat: NDArray[np.bool_]
    """Per unit: the slope of the function lay below 1% of its steepest at every sampled input."""
    sparsity: float = math.nan
    """Share of outputs that are exactly zero, in the sampled steps; and so the next ones."""
    saturated: float = math.nan
    """Share of (unit, example) at which |f'(z)| < 0.01 max |f'|; of a function flat on one side, that side counts."""
    mean: float = math.nan
    spread: float = math.nan
    """Standard deviation of the outputs."""
    input_mean: float = math.nan
    input_spread: float = math.nan
    input_largest: float = math.nan
    """Of the inputs z: mean, standard deviation, largest |z|."""

    @property
    def dead_share(self) -> float:
        """Share of the units that are dead; nan without units."""
        return float(self.dead.mean()) if self.dead.size else math.nan

    @property
    def flat_share(self) -> float:
        """Share of the units that were flat everywhere."""
        return float(self.flat.mean()) if self.flat.size else math.nan


@dataclass
class Site:
    """One place where a non-linear function stands; a shared module has one for each place."""

    name: str
    """Unique in the history: `fc1.relu`, `layers.3.gelu`, `softmax` ..."""
    function: str
    """Triode's name where it has one (swish for silu), else the operation's."""
    role: Role
    depth: int
    """How many weight layers lie before it on the longest path."""
    layer: str
    """Name of the nearest weight layer before it; "" for none."""
    module: str
    where: str
    units: int
    convolutional: bool
    can_die: bool
    """Whether the function is exactly zero, with slope zero, on one side."""
    bounded: bool
    """Whether it is flat on both sides: sigmoid, tanh, softsign, hard ones."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    operation: int = -1
    """Its place in the graph."""
    passes: list[UnitFigures] = field(default_factory=list)
    """One for each pass over the data (an epoch, or a window of steps where nothing says what an epoch is)."""
    initial: UnitFigures | None = None
    """Of the first step alone, before any update."""
    final: UnitFigures | None = None
    """Of a whole pass with the weights held still after training, where one was made."""

    @property
    def last(self) -> UnitFigures | None:
        """The most trustworthy figures of the end: the final pass, else the last one, else the first step."""
        return self.final or (self.passes[-1] if self.passes else self.initial)


@dataclass
class Layer:
    """One module that owns weights (or one bare parameter), with its figures by watched step."""

    name: str
    kind: str
    """linear, conv, embedding, recurrent, attention, normalise, other."""
    depth: int
    """0 for the first layer of weights on the way from the input."""
    fan_in: int
    units: int
    parameters: tuple[str, ...]
    trained: bool
    """Whether any of its parameters takes gradients and belongs to an optimiser."""
    weights: int = 0
    """Number of entries."""
    activation: str = ""
    """Function of the site that follows it; "" for none."""
    initial_std: float = math.nan
    initial_mean: float = math.nan
    """Of the weight's entries before training."""
    twins: float = 0.0
    """Before training: share of its units whose incoming weights and bias equal another unit's of the layer."""
    twins_after: float = 0.0
    """The same at the end of what was watched."""
    twin_users: bool = False
    """Whether, before training, the layers that read it treat all its units alike: then twins stay twins for ever."""
    signal: float = math.nan
    """Root mean square of its output in the first step."""
    input_signal: float = math.nan
    """Root mean square of its input in the first step."""
    output_std: float = math.nan
    """Standard deviation over examples of its output, mean over units, in the first step: what tells examples apart."""
    steps: list[int] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)
    """Euclidean norm of the gradient of all its parameters, at each of `steps`."""
    weight: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)
    """|change of the weights| / |weights| of that step; nan where it was not measured."""
    zeros: list[float] = field(default_factory=list)
    """Share of the gradient's entries that are exactly zero."""

    @property
    def gradient_rms(self) -> NDArray[np.float64]:
        """Gradient norm divided by the square root of the number of weights: comparable between layers."""
        return np.asarray(self.gradient, float) / math.sqrt(max(self.weights, 1))


@dataclass
class Tensors:
    """Running figures of one kind of tensor: an input of the model, an output, the targets."""

    name: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    """Of the first batch."""
    integer: bool = False
    count: int = 0
    """Entries seen."""
    finite: bool = True
    least: float = math.nan
    most: float = math.nan
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    std: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Per feature (last axis; axis 1 for images; at most 4,096 of them)."""
    magnitude: float = math.nan
    """Root mean square of all entries."""
    below: Mapping[str, float] = field(default_factory=dict)
    """Share of entries below "-1" and "0" (by more than 1e-6), and above "1" under key ">1"."""
    rows_sum_to_one: float = math.nan
    """Share of rows (last axis, or axis 1 for images) of two or more that are non-negative and sum to 1 within 1e-3."""
    one_hot: float = math.nan
    """Share of rows with a single 1 and otherwise 0."""
    values: NDArray[np.float64] | None = None
    """The distinct values, sorted, while they are at most 64; else None."""
    counts: NDArray[np.int64] | None = None
    """How often each of `values` was seen."""
    constant: float = math.nan
    """outputs: share of columns that had one and the same value for all examples of every sampled batch."""
    operation: int = -1
    """Its place in the graph."""


@dataclass(frozen=True)
class Loss:
    """The function whose gradient is taken, as the graph shows it."""

    name: str = ""
    """cross_entropy, nll_loss, binary_cross_entropy, mse_loss ... or `custom`."""
    family: Literal["categorical", "binary", "regression", "other", ""] = ""
    operation: int = -1
    """The loss function's own operation (not a later mean or sum); -1 for `custom`."""
    prediction: int = -1
    """The operation that made what is compared with the targets."""


@dataclass(frozen=True)
class NonFinite:
    """The first nan or infinity that was met."""

    step: int
    what: str
    """loss, activation, gradient, parameter, input or target."""
    value: str
    """nan or inf."""
    operation: str = ""
    """Name of the first function with finite inputs and a result that is not; "" if it was not found."""
    layer: str = ""
    where: str = ""
    explanation: str = ""
    """What its inputs were, in words: `log of 0`, `exp of 104.2`."""


@dataclass
class History:
    """Everything that was seen of one patient."""

    name: str = "model"
    graph: Graph = field(default_factory=Graph)
    sites: list[Site] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    """In order of depth, then of use."""
    inputs: list[Tensors] = field(default_factory=list)
    outputs: list[Tensors] = field(default_factory=list)
    targets: list[Tensors] = field(default_factory=list)
    loss: Loss = field(default_factory=Loss)
    losses: list[float] = field(default_factory=list)
    """One for each training step."""
    epochs: list[int] = field(default_factory=list)
    """For each of `losses` the epoch it belongs to, from 0."""
    epochs_known: bool = False
    """Whether epochs are passes over the data (else windows of steps, the first ones short)."""
    optimizer: str = ""
    rates: list[float] = field(default_factory=list)
    """Learning rate of the first parameter group, for each of `losses`; empty without an optimiser."""
    overshoot: list[float] = field(default_factory=list)
    """In early steps: how many times longer a step was than the one that would have lowered the loss most, from the
    change of the gradient along it, r = (g' - g) . d / (-g . d). 1 is a perfect step, above 2 the loss rises."""
    nonfinite: NonFinite | None = None
    exception: str = ""
    """Last line of the error that ended the training; "" for none."""
    parameters: int = 0
    trained: bool = False
    """Whether any update was made."""
    seconds: float = 0.0
    own_seconds: float = 0.0
    """How long it was watched, and how much of that the watching took."""
    setup_seconds: float = 0.0
    """The part of `own_seconds` that was spent once, at the start."""
    limits: list[str] = field(default_factory=list)
    """Sentences about what could not be seen, or was changed to see it (compiled models)."""
    framework: str = "torch"

    @property
    def steps(self) -> int:
        """Training steps taken."""
        return len(self.losses)

    def site(self, name: str) -> Site:
        """The site of that name."""
        return next(site for site in self.sites if site.name == name)

    def hidden(self) -> list[Site]:
        """Sites between layers of weights: neither outputs, gates, attention nor parts of the loss."""
        return [site for site in self.sites if site.role == "hidden"]

    def weight_layers(self) -> list[Layer]:
        """Linear and convolution layers, which gradient flow is judged by, in order of depth."""
        return [layer for layer in self.layers if layer.kind in ("linear", "conv")]
