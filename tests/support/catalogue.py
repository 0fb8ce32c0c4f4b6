"""What names mean: aliases as other libraries use them, and that no name means two things."""

from __future__ import annotations

import triode
from triode import catalogue

ALIASES = {
    "silu": "swish",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "linear": "identity",
    "lrelu": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "relu2": "squared_relu",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hardtanh": "hard_tanh",
    "logsigmoid": "log_sigmoid",
    "logsoftmax": "log_softmax",
    "softargmax": "softmax",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "laplace_elu": "laplace_gelu",
    "cauchy_elu": "cauchy_gelu",
}
"""Alias and canonical name, written down apart from the declarations."""


def check_alias(alias: str, name: str) -> None:
    """Require an alias to resolve to its function, everywhere, and to be declared by it."""
    found = triode.get(alias)
    assert found.name == name, f"{alias} resolves to {found.name}, not {name}"
    assert found is triode.get(name)
    assert getattr(triode, alias) is found
    assert alias in found.aliases


def check_unique() -> None:
    """Require every name and alias to be declared once, and every alias to lead to the one that declares it."""
    words = [word for a in triode.activations() for word in (a.name, *a.aliases)]
    assert len(words) == len(set(words)), "a name is declared twice"
    for activation in triode.activations():
        assert all(catalogue.get(word) is activation for word in (activation.name, *activation.aliases))
