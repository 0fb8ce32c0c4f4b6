"""What an activation does inside a network while it trains: dead and saturated units, mean, spread, gradient norms.

Hooks on the places where the activation stands; nothing is kept of a batch once the hook returns. Whether a unit has
ever answered is asked at every step, and costs nothing more in an epoch once all of a site's units have; the rest is
measured on every `WATCH_EVERY`-th step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from triode.bakeoff.records import WATCH_EVERY, EpochRecord

REACH = 10.0
SATURATED = 0.01
"""A slope below this share of the steepest within [-REACH, REACH] counts as saturated."""
LEAST, MOST = 1e-15, 1e15
"""Norms outside are taken again in double precision: their squares leave the range of single precision."""
GRID = 801
"""Points between -REACH and REACH at which the steepest slope is looked for."""
FEW = 8
"""One unit in so many is few: below that asking the silent ones alone is cheaper than asking all."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONVOLUTIONS += (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)  # type: ignore[assignment]
_NOT_WEIGHTS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)
_NOT_WEIGHTS += (nn.modules.batchnorm._NormBase,)  # type: ignore[assignment]


@dataclass(frozen=True)
class Figures:
    """What one pass over the examples found; tuples over weight layers (`gradient_norm`) or sites (the others)."""

    gradient_norm: tuple[float, ...]
    dead: tuple[float, ...]
    saturated: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    learned: Mapping[str, tuple[float, ...]]


def make_record(
    epoch: int,
    trained: tuple[float, float],
    validated: tuple[float, float],
    figures: Figures,
    seconds: float,
) -> EpochRecord:
    """The record of an epoch from (loss, accuracy) in training and validation and what was watched."""
    return EpochRecord(
        epoch=epoch,
        train_loss=trained[0],
        train_accuracy=trained[1],
        validation_loss=validated[0],
        validation_accuracy=validated[1],
        gradient_norm=figures.gradient_norm,
        dead=figures.dead,
        saturated=figures.saturated,
        mean=figures.mean,
        spread=figures.spread,
        learned=dict(figures.learned),
        seconds=seconds,
    )


def weight_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The modules that own a matrix or a kernel of weights, by name, in order of registration.

    Linear and convolution layers, recurrent and attention layers, and modules of a user's own with a parameter of two
    or more dimensions; embeddings, normalisation and the activations are none.

    >>> list(weight_layers(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))))
    ['0', '2']
    """
    inside = tuple(f"{name}." for name in activation_sites(network))
    return {
        name or type(module).__name__: module
        for name, module in network.named_modules()
        if not isinstance(module, _NOT_WEIGHTS)
        and not f"{name}.".startswith(inside or "\0")
        and any(p.dim() >= 2 and p.requires_grad for p in module.parameters(recurse=False))
    }


def activation_sites(network: nn.Module) -> dict[str, nn.Module]:
    """The places where the activation under test stands, by name, in order of registration.

    They are the modules of Triode, and those of a user's own that the bake-off's factory made. A module that is used
    at several places is one site.
    """
    from triode.adapters.torch import Activation

    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        within = any(name.startswith(f"{outer}.") for outer in found)
        if not within and (isinstance(module, Activation) or hasattr(module, "contestant")):
            found[name] = module
    return found


@torch.no_grad()
def slope(module: nn.Module, z: Tensor) -> Tensor:
    """f'(z), element by element, with the parameters learned so far; a sampled slope at its mean.

    Of an activation of Triode the formula's own derivative; of any other module by automatic differentiation.
    """
    from triode.adapters.torch import Activation, evaluate

    z = z.detach()
    if isinstance(module, Activation):
        if module.activation.kind != "elementwise":
            return torch.full_like(z, math.nan)
        values: dict[str, Any] = dict(module.fixed)
        for name in module.learned:
            values[name] = module._broadcast(getattr(module, name).detach(), z)
        return evaluate(module.activation, ("z",), (z,), None, values)
    training = module.training
    module.eval()
    with torch.enable_grad():
        leaf = z.clone().requires_grad_()
        output = module.forward(leaf * 1.0)  # not the leaf itself: the module may work in place
        (found,) = torch.autograd.grad(output.sum(), leaf)
    module.train(training)
    return found


def steepest_slope(module: nn.Module, like: Tensor) -> Tensor:
    """Max |f'(z)| over z in [-REACH, REACH] with the present parameters.

    Args:
        module: The activation.
        like: A batch of its inputs. Where the module learns one parameter a channel, dimension 1 says how many.

    Returns:
        A tensor that broadcasts against one example of `like`.
    """
    grid = torch.linspace(-REACH, REACH, GRID, device=like.device, dtype=like.dtype)
    grid = grid.reshape(-1, *[1] * (like.dim() - 1))
    if like.dim() > 1 and any(parameter.numel() > 1 for parameter in module.parameters()):
        grid = grid.expand(-1, like.shape[1], *[-1] * (like.dim() - 2)).contiguous()
    return slope(module, grid).abs().amax(dim=0)


@dataclass(eq=False)
class Site:
    """One place where the activation stands, and what is known of it in the pass so far."""

    name: str
    module: nn.Module
    axis: int = -1
    """Axis of the units: the last one, or the channels (1) behind a convolution."""
    units: int = 0
    alive: Tensor | None = None
    all_alive: bool = False
    quiet: Tensor | None = None
    """Numbers of the units that have not answered yet, once they are few."""
    fixed_steepest: Tensor | None = None
    seen: list[Any] = field(default_factory=lambda: [0, 0.0, 0.0, 0])
    """Of the watched steps together: numbers seen, their mean, their squared distances from it, saturated ones."""


class Watch:
    """Watches one network: `begin`, then for each step `step`, the forward pass, and `gradients`; then `figures`.

    >>> import triode
    >>> net = nn.Sequential(nn.Linear(4, 3), triode.torch.ReLU(), nn.Linear(3, 2))
    >>> watch = Watch(net)
    >>> watch.layers, watch.sites
    (('0', '2'), ('1',))
    """

    def __init__(self, network: nn.Module) -> None:
        """Find the weight layers and the activations of `network`; nothing is hooked before `begin`."""
        found = weight_layers(network)
        self.layers = tuple(found)
        self._weights = tuple(found.values())
        self._sites = tuple(Site(name, module) for name, module in activation_sites(network).items())
        self.sites = tuple(site.name for site in self._sites)
        self._parameters: list[tuple[int, nn.Parameter]] = [
            (number, parameter)
            for number, layer in enumerate(self._weights)
            for parameter in layer.parameters(recurse=False)
            if parameter.requires_grad
        ]
        self._hooks: list[RemovableHandle] = []
        self._behind_convolution: bool | None = None
        self._numbers: list[int] = []
        self._index: Tensor | None = None
        self.watching = False

    @property
    def units(self) -> tuple[int, ...]:
        """Number of units at each site; 0 before the first pass."""
        return tuple(site.units for site in self._sites)

    def begin(self) -> None:
        """Start a pass over the examples."""
        self.end()
        self._steps, self._normed, self.watching = 0, 0, False
        self._norms: Tensor | None = None
        for site in self._sites:
            site.alive, site.all_alive, site.quiet = None, False, None
            site.seen = [0, 0.0, 0.0, 0]
            self._hooks.append(site.module.register_forward_pre_hook(self._before(site)))
            self._hooks.append(site.module.register_forward_hook(self._after(site)))
        for layer in self._weights:
            if any(site.units == 0 for site in self._sites):
                self._hooks.append(layer.register_forward_hook(self._layer_called))

    def end(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def step(self) -> None:
        """Start a step; must come before its forward pass."""
        self.watching = self._steps % WATCH_EVERY == 0
        self._steps += 1

    @torch.no_grad()
    def gradients(self) -> None:
        """Take in the gradients of the present step, if it is a watched one; call it after the backward pass."""
        if not self.watching or not self._parameters:
            return
        given = [(number, p.grad) for number, p in self._parameters if p.grad is not None]
        norms = torch.zeros(len(self.layers), dtype=torch.float64, device=self._parameters[0][1].device)
        if given:
            each = norms_of([gradient for _, gradient in given])
            numbers = [number for number, _ in given]
            if self._index is None or self._numbers != numbers:
                self._numbers, self._index = numbers, torch.tensor(numbers, device=norms.device)
            norms.index_add_(0, self._index, each.square())
        norms.sqrt_()
        self._norms = norms if self._norms is None else self._norms + norms
        self._normed += 1

    def figures(self) -> Figures:
        """End the pass and say what it found; nan where nothing was measured."""
        self.end()
        norms = [math.nan] * len(self.layers)
        if self._norms is not None:
            norms = (self._norms / self._normed).tolist()
        dead = [
            1.0 - float(s.alive.sum()) / s.units if s.alive is not None else math.nan for s in self._sites
        ]
        seen = [site.seen if site.seen[0] else (1, math.nan, math.nan, math.nan) for site in self._sites]
        saturated = tuple(float(flat) / n for n, _, _, flat in seen)
        mean = tuple(float(mean) for _, mean, _, _ in seen)
        spread = tuple(math.sqrt(float(squares) / n) for n, _, squares, _ in seen)
        return Figures(tuple(norms), tuple(dead), saturated, mean, spread, self.learned())

    def learned(self) -> dict[str, tuple[float, ...]]:
        """Each learned parameter of the activations: its mean at every site, nan at a site without it."""
        each = [
            {name: float(p.detach().double().mean()) for name, p in site.module.named_parameters()}
            for site in self._sites
        ]
        names = dict.fromkeys(name for values in each for name in values)
        return {name: tuple(values.get(name, math.nan) for values in each) for name in names}

    def _layer_called(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        self._behind_convolution = isinstance(layer, _CONVOLUTIONS)

    def _before(self, site: Site) -> Any:
        # Before the forward pass: an activation that works in place leaves nothing of its input behind.
        def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if not self.watching:
                return
            z = inputs[0].detach()
            steepest = site.fixed_steepest
            if steepest is None:
                steepest = steepest_slope(module, z)
                if next(module.parameters(), None) is None:
                    site.fixed_steepest = steepest
            site.seen[3] = site.seen[3] + _count_flat(slope(module, z), SATURATED * steepest)

        return measure

    def _after(self, site: Site) -> Any:
        def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if site.all_alive and not self.watching:
                return
            output = output.detach()
            if not site.units:
                conv = self._behind_convolution
                conv = output.dim() == 4 if conv is None else conv
                site.axis = 1 if conv and output.dim() > 2 else output.dim() - 1
                site.units = output.shape[site.axis]
            if not site.all_alive:
                self._mark_alive(site, output)
            if self.watching:
                _add(site.seen, output)

        return measure

    def _mark_alive(self, site: Site, output: Tensor) -> None:
        if site.quiet is not None and site.alive is not None:
            # Where few units have not answered yet, only those are asked.
            few = output.index_select(site.axis, site.quiet)
            if few.count_nonzero():
                spoken = _over_units(torch.any, few.ne(0), site.axis)
                site.alive[site.quiet[spoken]] = True
                site.quiet = site.quiet[~spoken]
                site.all_alive = not len(site.quiet)
            return
        # nan is not zero: a unit that answers nan is not dead.
        found = _over_units(torch.amax, output, site.axis) != 0
        site.alive = found if site.alive is None else site.alive | found
        # On an accelerator every question would wait for it.
        if output.is_cpu and bool(site.alive.all()):
            site.all_alive = True
            return
        site.alive |= _over_units(torch.amin, output, site.axis) != 0
        if output.is_cpu:
            quiet = (~site.alive).nonzero().flatten()
            site.all_alive = not len(quiet)
            site.quiet = quiet if FEW * len(quiet) <= site.units else None
        elif self.watching:
            site.all_alive = bool(site.alive.all())


def norms_of(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of each tensor, float64; a gradient that has all but vanished is not taken for 0.

    >>> norms_of([torch.full((4,), 1e-25)]).tolist()
    [2...e-25]
    """
    if tensors[0].device.type != "cpu":  # to look at a norm would be to wait for the device
        return torch.stack([torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors])
    each = torch.stack(torch._foreach_norm(tensors)).double()
    for i, norm in enumerate(each.tolist()):
        if not LEAST < norm < MOST:
            each[i] = torch.linalg.vector_norm(tensors[i], dtype=torch.float64)
    return each


def _as_in_memory(x: Tensor) -> tuple[Tensor, bool]:
    """`x` with its axes as they lie in memory, and whether that has put axis 1 last: any other order is far slower."""
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1), True
    return x, False


def _over_units(reduce: Callable[..., Tensor], x: Tensor, axis: int) -> Tensor:
    """`reduce` over all axes but `axis`: the examples first, whole rows at a time, then what little is left."""
    if axis == 0:
        return x
    x, moved = _as_in_memory(x)
    row = reduce(x.flatten(1), 0).view(x.shape[1:])
    axis = row.dim() - 1 if moved else axis - 1
    others = [other for other in range(row.dim()) if other != axis]
    return reduce(row, others) if others else row


def _count_flat(slopes: Tensor, limit: Tensor) -> Any:
    """How many slopes, which are overwritten, lie below the limit in size.

    NumPy compares and counts several times faster than PyTorch does.
    """
    if slopes.is_cpu and slopes.dtype in (torch.float32, torch.float64):
        sizes = slopes.numpy()
        np.abs(sizes, out=sizes)
        bound: Any = limit.numpy() if limit.numel() > 1 else float(limit)
        return int(np.count_nonzero(sizes < bound))
    return (slopes.abs() < limit).sum()


def _add(seen: list[Any], output: Tensor) -> None:
    """Take in one call's outputs.

    Two passes, which the cache holds, then Chan's update: the difference of two large sums would lose a small spread
    around a large mean (a saturated sigmoid), and `torch.var` takes ten times as long.
    """
    n = output.numel()
    mean = output.mean(dtype=torch.float32)
    apart = _as_in_memory(output)[0].flatten() - mean
    squares = torch.dot(apart, apart)
    # On an accelerator numbers stay where they are: to ask for one is to wait for it.
    new = (float(mean), float(squares)) if output.is_cpu else (mean.double(), squares.double())
    total = seen[0] + n
    away = new[0] - seen[1]
    seen[2] = seen[2] + new[1] + away * away * (seen[0] * n / total)
    seen[1] = seen[1] + away * (n / total)
    seen[0] = total
