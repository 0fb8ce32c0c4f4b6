"""Initial weights: the same base draws for every activation with one seed, scaled as the scheme says."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from triode.activation import Activation
from triode.bakeoff.training.watch import activation_sites, slope, weight_layers
from triode.errors import TriodeError

NODES = 128
"""Points of the Gaussian quadrature for a module without a formula."""


@torch.no_grad()
def initialise(
    network: nn.Module, scheme: str, activation: Activation | None, generator: torch.Generator
) -> None:
    r"""Draw the weights of every weight layer of `network` in order of registration, and of its embeddings.

    With :math:`n` inputs and :math:`m` outputs of a layer (those of one place, for a convolution):

    - `critical`: normal, variance :math:`\sigma_w^2 / n`, biases :math:`\sigma_b^2`, matched to the activation so that
      gradients neither grow nor decay with depth, in layers that feed the activation; the others (the output layer,
      attention, the gates of an LSTM, ways around a block) as `lecun`;
    - `he`: normal, :math:`2/n` (He, Zhang, Ren, Sun, 2015, arXiv:1502.01852), biases 0;
    - `lecun`: normal, :math:`1/n` (LeCun, Bottou, Orr, Müller, Efficient BackProp, 1998), biases 0;
    - `glorot`: uniform, :math:`2/(n + m)` (Glorot and Bengio, AISTATS 2010), biases 0;
    - `pytorch`: weights and biases uniform within :math:`\pm 1/\sqrt n`, what `nn.Linear` does by default.

    Embeddings are standard normal. Normalisation and the activations' own parameters keep their starting values.

    Args:
        network: Changed in place, on the CPU.
        scheme: One of the above.
        activation: What stands in the network; None for a module without a formula, whose slope is then measured.
        generator: The same state gives the same draws whatever the activation.

    >>> layer = nn.Linear(1000, 10)
    >>> initialise(layer, "he", None, torch.Generator().manual_seed(0))
    >>> round(layer.weight.var().item() * 1000, 1)
    2.0
    """
    layers = list(weight_layers(network).values())
    feeding = _feeding(network, layers) if scheme == "critical" else set()
    sigma_w, sigma_b = matched(activation, network) if feeding else (1.0, 0.0)
    known = {id(layer) for layer in layers}
    inside = {id(part) for site in activation_sites(network).values() for part in site.modules()}
    for module in network.modules():
        if id(module) in inside:  # an activation's own table of numbers is no embedding of the network's
            continue
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.weight.copy_(_normal(module.weight, generator))
        elif id(module) in known:
            weight_scale, bias_scale = (sigma_w, sigma_b) if id(module) in feeding else (1.0, 0.0)
            _draw(module, scheme, weight_scale, bias_scale, generator)


def _draw(layer: nn.Module, scheme: str, sigma_w: float, sigma_b: float, generator: torch.Generator) -> None:
    parameters = list(layer.parameters(recurse=False))
    inputs, _ = fans(next(p for p in parameters if p.dim() >= 2))
    for parameter in parameters:
        if parameter.dim() < 2:  # a bias
            if scheme == "pytorch":
                parameter.copy_(_uniform(parameter, generator) / math.sqrt(inputs))
            else:
                # Drawn even where it is scaled by 0, so that the next layer's draws do not depend on the activation.
                draw = _normal(parameter, generator) if scheme == "critical" else torch.zeros_like(parameter)
                parameter.copy_(draw * sigma_b)
            continue
        n, m = fans(parameter)
        if scheme == "pytorch":
            parameter.copy_(_uniform(parameter, generator) / math.sqrt(n))
        elif scheme == "glorot":
            parameter.copy_(_uniform(parameter, generator) * math.sqrt(6.0 / (n + m)))
        else:
            variance = {"critical": sigma_w * sigma_w, "he": 2.0, "lecun": 1.0}[scheme] / n
            parameter.copy_(_normal(parameter, generator) * math.sqrt(variance))


def fans(weight: Tensor) -> tuple[int, int]:
    """Inputs that one output is summed from, and outputs that one input goes to, of a matrix or a kernel of weights.

    >>> fans(nn.Conv2d(3, 16, 5).weight)
    (75, 400)
    """
    places = math.prod(weight.shape[2:])
    return weight.shape[1] * places, weight.shape[0] * places


def matched(activation: Activation | None, network: nn.Module) -> tuple[float, float]:
    r"""(:math:`\sigma_w`, :math:`\sigma_b`) for the activation in `network`.

    Of a formula its critical point (:mod:`triode.analysis.signal`); where it has none, because it is no number or flat
    almost everywhere, (1, 0). Of a module without a formula :math:`\sigma_w^2 = 1 / E[f'(z)^2]` for standard normal z,
    which keeps gradients at a signal of variance one.
    """
    if activation is not None:
        return _critical(activation)
    site = next(iter(activation_sites(network).values()), None)
    if site is None:
        return 1.0, 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    slopes = slope(site, torch.tensor(nodes, dtype=torch.float32).unsqueeze(1)).double().numpy()[:, 0]
    square = float(weights @ slopes**2 / weights.sum())
    return (1.0 / math.sqrt(square) if 0.0 < square < math.inf else 1.0), 0.0


@lru_cache(maxsize=256)
def _critical(activation: Activation) -> tuple[float, float]:
    from triode.analysis.signal import critical_init

    try:
        return critical_init(activation)
    except TriodeError:
        return 1.0, 0.0


def _feeding(network: nn.Module, layers: list[nn.Module]) -> set[int]:
    """The layers that feed the activation; of a user's own network, all linear and convolution layers but the last."""
    told: Callable[[], list[nn.Module]] | None = getattr(network, "feeding", None)
    if told is not None:
        return {id(layer) for layer in told()}
    plain = [m for m in layers if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    return {id(layer) for layer in plain[:-1]}


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator).mul_(2.0).sub_(1.0)
