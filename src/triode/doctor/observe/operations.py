"""What PyTorch's functions are to the doctor: one name and one kind for each of the ways to call the same thing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triode.doctor.history import Kind

_ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "prelu": "prelu",
    "rrelu": "rrelu",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "gelu": "gelu",
    "silu": "swish",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "special_expit": "sigmoid",
    "expit": "sigmoid",
    "tanh": "tanh",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "softplus": "softplus",
    "softsign": "softsign",
    "logsigmoid": "log_sigmoid",
    "threshold": "threshold",
    "tanhshrink": "tanhshrink",
    "hardshrink": "hardshrink",
    "softshrink": "softshrink",
    "sin": "sin",
    "exp": "exp",
}
"""PyTorch's name of an elementwise non-linear function -> Triode's, where it has one."""

MAYBE_ACTIVATIONS = frozenset({"clamp", "clamp_min", "clip", "maximum", "max", "where"})
"""Functions that are a ReLU with the right arguments."""

_KINDS: dict[Kind, tuple[str, ...]] = {
    "softmax": ("softmax", "log_softmax", "softmin", "gumbel_softmax"),
    "normalise": (
        *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"),
        *("local_response_norm", "native_layer_norm", "native_batch_norm"),
    ),
    "pool": (
        *("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
        *("adaptive_max_pool3d", "amax", "fractional_max_pool2d"),
    ),
    "loss": (
        *(
            "cross_entropy",
            "nll_loss",
            "binary_cross_entropy",
            "binary_cross_entropy_with_logits",
            "mse_loss",
        ),
        *("l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss", "gaussian_nll_loss"),
        *("hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss"),
        *("multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss", "cosine_embedding_loss"),
        *("triplet_margin_with_distance_loss", "ctc_loss"),
    ),
    "carrier": (
        *(
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "permute",
            "transpose",
            "swapaxes",
            "t",
            "movedim",
            "squeeze",
        ),
        *(
            "unsqueeze",
            "contiguous",
            "clone",
            "to",
            "float",
            "half",
            "bfloat16",
            "double",
            "type",
            "type_as",
            "cpu",
        ),
        *("cuda", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
        *("feature_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
        *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean", "sum", "pad", "interpolate", "upsample"),
        *("getitem", "chunk", "split", "unbind", "select", "narrow", "expand", "expand_as", "repeat"),
        *("repeat_interleave", "neg", "roll", "flip", "unfold", "fold", "pixel_shuffle", "pixel_unshuffle"),
        *(
            "detach",
            "gather",
            "index_select",
            "take_along_dim",
            "view_as",
            "reshape_as",
            "ravel",
            "requires_grad",
        ),
        *("masked_fill", "tril", "triu", "get", "real", "diagonal", "cumsum", "channel_shuffle", "tile"),
        *("broadcast_to", "tensor_split", "hsplit", "vsplit", "view_as_real", "index", "identity", "alias"),
    ),
    "combine": ("add", "sub", "rsub", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "lerp"),
    "product": (
        *(
            "mul",
            "multiply",
            "div",
            "divide",
            "true_divide",
            "rdiv",
            "rtruediv",
            "matmul",
            "mm",
            "bmm",
            "addmm",
        ),
        *("baddbmm", "einsum", "mv", "dot", "inner", "outer", "tensordot", "addmv", "addcmul", "addcdiv"),
        *("scaled_dot_product_attention", "bilinear_product", "chain_matmul"),
    ),
}
_WEIGHTS = {
    "linear": "linear",
    "bilinear": "linear",
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "conv_transpose1d": "conv",
    "conv_transpose2d": "conv",
    "conv_transpose3d": "conv",
    "embedding": "embedding",
    "embedding_bag": "embedding",
    "lstm": "recurrent",
    "gru": "recurrent",
    "rnn_tanh": "recurrent",
    "rnn_relu": "recurrent",
    "lstm_cell": "recurrent",
    "gru_cell": "recurrent",
    "rnn_tanh_cell": "recurrent",
    "rnn_relu_cell": "recurrent",
    "multi_head_attention_forward": "attention",
}
"""Functions that take weights -> the type of layer."""
LINEAR_IN_BOTH = frozenset({"mul", "multiply", "div", "divide", "true_divide", *_KINDS["combine"]})
MATRIX_PRODUCTS = frozenset(
    {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv", "inner", "tensordot", "addmv", "dot"}
)
_ALIASES = {
    "iadd": "add",
    "radd": "add",
    "isub": "sub",
    "imul": "mul",
    "rmul": "mul",
    "itruediv": "div",
    "truediv": "div",
    "idiv": "div",
    "rmatmul": "matmul",
    "rdiv": "rdiv",
    "clamp_min": "clamp_min",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "boolean_dispatch": "max_pool2d",
}

KIND: dict[str, Kind] = {name: kind for kind, names in _KINDS.items() for name in names}
KIND |= dict.fromkeys(_ACTIVATIONS, "activation")
KIND |= dict.fromkeys(_WEIGHTS, "weights")


def canonical(function: Callable[..., Any]) -> str:
    """The plain name of a PyTorch function: `relu` for relu, relu_, Tensor.relu_; `add` for `+` and `+=`.

    >>> import torch
    >>> canonical(torch.Tensor.__add__), canonical(torch.relu_), canonical(torch.nn.functional.silu)
    ('add', 'relu', 'silu')
    """
    name = str(getattr(function, "__name__", "")).strip("_")
    return _ALIASES.get(name, name)


def layer_type(name: str) -> str:
    """The type of layer that a function of kind weights is: linear, conv, embedding, recurrent, attention."""
    return _WEIGHTS.get(name, "linear")


def is_positive_part(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of one of `MAYBE_ACTIVATIONS` computes max(z, 0)."""

    def zero(value: Any) -> bool:
        if value is None or isinstance(value, bool):
            return False
        if isinstance(value, (int, float)):
            return value == 0
        return hasattr(value, "numel") and value.numel() < 4096 and not bool(value.ne(0).any())

    rest = list(args[1:])
    if name in ("clamp", "clip", "clamp_min"):
        low = rest[0] if rest else kwargs.get("min")
        high = rest[1] if len(rest) > 1 else kwargs.get("max")
        return zero(low) and high is None
    if name in ("maximum", "max"):
        other = rest[0] if rest else kwargs.get("other")
        if isinstance(other, int) and name == "max":  # a dimension
            return False
        return zero(other) or (hasattr(other, "numel") and len(args) > 0 and zero(args[0]))
    if name == "where" and len(args) == 3:
        condition, chosen, other = args
        if not (zero(other) and hasattr(chosen, "shape") and chosen.shape == condition.shape):
            return False
        return bool((condition == (chosen > 0)).all())
    return False


@dataclass(frozen=True)
class Shape:
    """What the doctor must know of an elementwise function's curve."""

    can_die: bool
    """Exactly zero with slope exactly zero on one side."""
    bounded: bool
    """Slope below 1% of the steepest far out on both sides."""
    negative: bool
    """Whether it has negative values: a unit with a largest value of zero may yet have answered."""
    steepest: float
    """Largest |f'| on [-10, 10]."""


@functools.lru_cache(maxsize=256)
def shape_of(function: str, parameters: tuple[tuple[str, float], ...] = ()) -> Shape:
    """The shape of Triode's activation `function` with these parameters.

    >>> shape_of("relu").can_die, shape_of("tanh").bounded, shape_of("gelu").can_die
    (True, True, False)
    """
    import triode

    values: dict[str, Any] = dict(parameters)
    if function in ("threshold", "exp", "sin") or function not in triode.names():
        return Shape(function == "threshold", False, True, 1.0)
    activation = triode.get(function)
    if activation.kind != "elementwise":
        return Shape(False, False, True, 1.0)
    grid = np.linspace(-10.0, 10.0, 801)
    steepest = float(np.abs(activation.derivative(grid, **values)).max())
    far = np.array([-20.0, 20.0])
    value, slope = activation(far, **values), np.abs(activation.derivative(far, **values))
    dies = bool(((value == 0) & (slope == 0)).any())
    negative = bool((activation(grid, **values) < 0).any())
    return Shape(dies, bool((slope < 0.01 * steepest).all()), negative, steepest)


def activation_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Triode's name and parameters of a call of PyTorch's activation `name`."""

    def given(position: int, key: str, default: float) -> float:
        value = args[position] if len(args) > position else kwargs.get(key, default)
        return float(value) if isinstance(value, (int, float)) else default

    function = _ACTIVATIONS.get(name, name)
    if function == "gelu" and (kwargs.get("approximate") == "tanh" or "tanh" in args[1:2]):
        return "gelu_tanh", {}
    if function == "leaky_relu":
        return function, {"alpha": given(1, "negative_slope", 0.01)}
    if function == "elu":
        return function, {"alpha": given(1, "alpha", 1.0)}
    if function == "celu":
        return function, {"alpha": given(1, "alpha", 1.0)}
    if function == "softplus":
        return function, {"beta": given(1, "beta", 1.0)}
    if function == "threshold" and given(1, "threshold", 1.0) == 0 and given(2, "value", 1.0) == 0:
        return "relu", {}
    return function, {}
