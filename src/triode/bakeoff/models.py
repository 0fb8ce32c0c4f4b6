"""The network of the bake-off: a multilayer perceptron whose activation is the only thing that differs."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Linear layers with an activation after each but the last; a fresh activation module per layer.

    Fresh, because a learnable parameter (PReLU's slope, Swish's beta) belongs to its layer. After the forward
    computation nothing is kept: diagnostics walk `hidden` themselves.
    """

    def __init__(self, widths: tuple[int, ...], activation: Callable[[], nn.Module]) -> None:
        """Build it from `widths` (inputs, hidden widths ..., classes) and a factory of activation modules."""
        super().__init__()
        pairs = list(pairwise(widths))
        self.linear = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairs)
        self.activation = nn.ModuleList(activation() for _ in pairs[:-1])

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers, input side first."""
        return [layer for layer in self.linear if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of inputs (n, pixels)."""
        for linear, activation in zip(self.linear, self.activation, strict=False):
            x = activation(linear(x))
        logits: Tensor = self.linear[-1](x)
        return logits


@torch.no_grad()
def initialise(network: Network, scheme: str, generator: torch.Generator) -> None:
    """Draw weights and biases from `generator`: the same draws for every activation with the same seed.

    - `pytorch`: weights and biases uniform within +-1/sqrt(fan_in), which is what `nn.Linear` does by default;
    - `he`: weights normal with variance 2/fan_in, biases 0 (He, Zhang, Ren, Sun, 2015, arXiv:1502.01852);
    - `glorot`: weights uniform with variance 2/(fan_in + fan_out), biases 0 (Glorot and Bengio, AISTATS 2010).
    """
    for layer in network.layers:
        fan_in, fan_out = layer.in_features, layer.out_features
        if scheme == "pytorch":
            bound = 1.0 / math.sqrt(fan_in)
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
            continue
        if scheme == "he":
            layer.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
        else:
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers, those of the activations included."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
