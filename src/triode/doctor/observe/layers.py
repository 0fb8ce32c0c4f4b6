"""The layers of weights: what they hold before training, and what their gradients and updates are step by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from triode.bakeoff.training.watch import norms_of
from triode.doctor.history import Graph, Layer, Operation
from triode.doctor.observe.naming import plain

_NORMALISE = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_CONVOLUTIONS = (nn.modules.conv._ConvNd,)
LARGE = 20_000_000
"""Parameters from which on no copies of them are kept for the length of a step (update sizes, overshoot)."""
ENTRIES = 16_384
"""Entries of a gradient among which the zeros are counted, and of a weight whose changes are measured."""


@dataclass
class Watched:
    """A layer and the parameters it owns."""

    layer: Layer
    parameters: list[nn.Parameter]
    weight: nn.Parameter | None
    """The one with two or more dimensions."""
    bias: nn.Parameter | None
    before: list[Tensor] = field(default_factory=list)


def find_layers(root: nn.Module, prefix: str, trained: set[int]) -> list[Watched]:
    """The modules under `root` that own parameters, in order of registration.

    Args:
        root: A model.
        prefix: What its layers' names begin with.
        trained: The `id` of each parameter that an optimiser holds.
    """
    found = []
    seen: set[int] = set()
    for raw, module in root.named_modules():
        path = plain(raw)
        own = [(name, p) for name, p in module.named_parameters(recurse=False) if id(p) not in seen]
        # A parameter that has no values yet (a lazy module before its first call) has nothing to tell.
        own = [(name, p) for name, p in own if not nn.parameter.is_lazy(p)]
        if not own:
            continue
        seen.update(id(p) for _, p in own)
        matrices = [p for _, p in own if p.dim() >= 2]
        weight = matrices[0] if matrices else None
        bias = next((p for name, p in own if name == "bias"), None)
        kind = _kind(module, weight)
        transposed = kind == "conv" and getattr(module, "transposed", False)
        units = own[0][1].shape[0] if own[0][1].dim() else 1
        # The rows of an embedding are its entries.
        across = transposed or kind == "embedding"
        fan_in = 0
        if weight is not None:
            units = weight.shape[1] * getattr(module, "groups", 1) if across else weight.shape[0]
            fan_in = weight.shape[0] if across else weight[0].numel()
        name = prefix + (path or type(root).__name__)
        layer = Layer(
            name=name,
            kind=kind,
            depth=0,
            fan_in=int(fan_in),
            units=int(units),
            parameters=tuple(prefix + plain((f"{path}." if path else "") + n) for n, _ in own),
            trained=any(id(p) in trained and p.requires_grad for _, p in own),
            weights=sum(p.numel() for _, p in own),
        )
        found.append(Watched(layer, [p for _, p in own], weight, bias))
    return found


@torch.no_grad()
def describe_start(watched: Sequence[Watched]) -> None:
    """Fill in what the layers hold now, before any update."""
    for each in watched:
        if each.weight is not None and each.weight.numel() > 1:
            weight = each.weight.detach().float()
            each.layer.initial_std, each.layer.initial_mean = float(weight.std()), float(weight.mean())
            if each.layer.kind in ("linear", "conv"):
                each.layer.twins = twins(each.weight, each.bias)


@torch.no_grad()
def describe_readers(watched: Sequence[Watched], graph: Graph) -> None:
    """Fill in depth, and whether those who read a layer treat all its units alike."""
    owner = {name: each for each in watched for name in each.layer.parameters}
    depth: dict[int, int] = {}
    met: set[int] = set()
    users: dict[int, list[Watched]] = {}
    nearest: dict[
        int, set[int]
    ] = {}  # operation -> layers (by id) whose units its result still holds in order
    for operation in graph:
        below = max((depth.get(source, 0) for source in operation.inputs), default=0)
        mine = [owner[name] for name in operation.parameters if name in owner]
        sources: set[int] = set().union(*(nearest.get(source, set()) for source in operation.inputs))
        if operation.kind == "weights" and mine:
            for source in sources:
                users.setdefault(source, []).append(mine[0])
            again = id(mine[0]) in met  # a layer that is used at every step of a sequence is one layer deep
            if not again:
                mine[0].layer.depth = below
                if operation.name not in ("linear", "bilinear") and not operation.name.startswith("conv"):
                    _as_used(mine[0].layer, operation)
            met.add(id(mine[0]))
            depth[operation.index], nearest[operation.index] = below + (not again), {id(mine[0])}
        else:
            for each in mine:
                each.layer.depth = max(each.layer.depth, below)
            depth[operation.index], nearest[operation.index] = below, sources
    least = min((each.layer.depth for each in watched if id(each) in met), default=0)
    for each in watched:
        each.layer.depth = max(each.layer.depth - least, 0)
        readers = users.get(id(each), [])
        each.layer.twin_users = bool(readers) and all(
            _treats_alike(r.weight, each.layer.units) for r in readers
        )


@torch.no_grad()
def twins(weight: Tensor, bias: Tensor | None, tolerance: float = 1e-6) -> float:
    """Share of the rows of a weight that equal another of its rows, biases included.

    Rows are compared by their projection on a fixed random vector, so that a layer of n units costs one product:
    different rows share one with probability zero.

    >>> twins(torch.ones(4, 3), torch.zeros(4)), twins(torch.eye(3), None)
    (1.0, 0.0)
    """
    if weight.dim() < 2 or weight.shape[0] < 2:
        return 0.0
    rows = weight.detach().flatten(1).double().cpu()
    generator = torch.Generator().manual_seed(20)
    direction = torch.rand(rows.shape[1], generator=generator, dtype=torch.float64) + 0.5
    values = rows @ direction
    scale = (
        float(rows.abs() @ direction.abs() @ torch.ones(()))
        if rows.numel() == 0
        else float((rows.abs() @ direction).max())
    )
    if bias is not None and bias.shape[:1] == rows.shape[:1]:
        values = values + 0.7071 * bias.detach().double().cpu().flatten()
        scale += float(bias.detach().abs().max())
    if not math.isfinite(scale):
        return 0.0
    order = values.sort().values
    near = (order[1:] - order[:-1]).abs() <= tolerance * max(scale, 1e-30)
    same = torch.zeros(len(order), dtype=torch.bool)
    same[1:] |= near
    same[:-1] |= near
    return float(same.double().mean())


def _sample(tensor: Tensor) -> Tensor:
    """Up to `ENTRIES` of a tensor's entries, evenly spread."""
    flat = tensor.detach().reshape(-1)
    return flat[:: -(-len(flat) // ENTRIES)] if len(flat) > ENTRIES else flat


def _as_used(layer: Layer, operation: Operation) -> None:
    """Take sizes from the product itself: a bare matrix may be stored (inputs, units)."""
    if operation.details.get("type") == "linear" and operation.details.get("fan_in"):
        layer.fan_in, layer.units = operation.details["fan_in"], operation.details["fan_out"]


def _treats_alike(weight: Tensor | None, units: int) -> bool:
    """Whether all columns of a weight, one (or one block, behind a flattened convolution) a unit, are equal."""
    if weight is None or units < 2 or weight.shape[1] % units:
        return False
    blocks = weight.detach().reshape(weight.shape[0], units, -1)
    return bool((blocks == blocks[:, :1]).all())


class Gradients:
    """Norms of gradients, weights and updates of some layers, on the steps that are watched."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        """Watch those layers that are trained."""
        self.watched = [each for each in watched if each.layer.trained]
        self.parameters = [p for each in self.watched for p in each.parameters if p.requires_grad]
        self.small = sum(p.numel() for p in self.parameters) <= LARGE
        self._copies: list[Tensor] | None = None
        self._last: tuple[list[Tensor], list[Tensor], list[Tensor]] | None = None
        self.overshoot: list[float] = []

    @torch.no_grad()
    def before(self, step: int) -> bool:
        """Read the gradients of a step that is about to be made; False if one of them is not finite."""
        finite = True
        given = [p for p in self.parameters if p.grad is not None and not p.grad.is_sparse]
        if not given:
            return True
        gradients = dict(
            zip(map(id, given), norms_of([p.grad for p in given if p.grad is not None]), strict=True)
        )
        weights = dict(zip(map(id, given), norms_of([p.detach() for p in given]), strict=True))
        for each in self.watched:
            mine = [p for p in each.parameters if id(p) in gradients]
            if not mine:
                continue
            norm = math.sqrt(sum(float(gradients[id(p)]) ** 2 for p in mine))
            finite = finite and math.isfinite(norm)
            each.layer.steps.append(step)
            each.layer.gradient.append(norm)
            each.layer.weight.append(math.sqrt(sum(float(weights[id(p)]) ** 2 for p in mine)))
            each.layer.update.append(math.nan)
            parts = [_sample(p.grad) for p in mine if p.grad is not None]
            filled = sum(int(torch.count_nonzero(part)) for part in parts)
            each.layer.zeros.append(1.0 - filled / max(sum(part.numel() for part in parts), 1))
        self._copies = [_sample(p).clone() for p in self.parameters]
        return finite

    @torch.no_grad()
    def after(self) -> None:
        """Read the weights after the step."""
        if self._copies is None:
            return
        before = norms_of(self._copies).tolist()
        now = [_sample(p) for p in self.parameters]
        moved = norms_of(list(torch._foreach_sub(now, self._copies))).tolist()
        place = {id(p): n for n, p in enumerate(self.parameters)}
        for each in self.watched:
            mine = [place[id(p)] for p in each.parameters if id(p) in place]
            held = math.sqrt(sum(before[n] ** 2 for n in mine))
            if each.layer.update and held > 0:
                each.layer.update[-1] = math.sqrt(sum(moved[n] ** 2 for n in mine)) / held
        self._copies = None

    @torch.no_grad()
    def keep_step(self) -> None:
        """Keep the gradients and weights of this step, to compare the next gradient with; call it before the step."""
        if self.small:
            given = [p for p in self.parameters if p.grad is not None and not p.grad.is_sparse]
            self._last = (
                given,  # type: ignore[assignment]
                [p.grad.detach().clone() for p in given if p.grad is not None],
                [p.detach().clone() for p in given],
            )

    @torch.no_grad()
    def compare_step(self) -> None:
        r"""Say how far the step that was kept went past the best one, now that the next gradient is there.

        Along a step d from gradient g the loss is about :math:`g d s + s^2 d H d / 2` with :math:`d H d = (g' - g) d`.
        It is least at :math:`s = -g d / ((g' - g) d)`; the step s = 1 was 1/s times too long.
        """
        if self._last is None:
            return
        given, old, weights = self._last
        self._last = None
        slope = bend = 0.0
        for p, gradient, weight in zip(given, old, weights, strict=True):
            if p.grad is None:
                return
            d = (p.detach() - weight).flatten()
            slope += float(gradient.flatten() @ d)
            bend += float((p.grad - gradient).flatten() @ d)
        if slope < 0 and math.isfinite(bend):
            self.overshoot.append(bend / -slope)


def describe_end(watched: Iterable[Watched]) -> None:
    """Fill in which units are twins now."""
    for each in watched:
        if each.weight is not None and each.layer.twins > 0:
            each.layer.twins_after = twins(each.weight, each.bias, tolerance=1e-5)


def _kind(module: nn.Module, weight: nn.Parameter | None) -> str:
    if isinstance(module, _NORMALISE):
        return "normalise"
    if isinstance(module, _CONVOLUTIONS):
        return "conv"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return "recurrent"
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    if weight is None:
        return "other"
    if isinstance(module, (nn.Linear, nn.Bilinear)) or weight.dim() == 2:
        return "linear"
    return "conv" if weight.dim() in (3, 4, 5) and "conv" in type(module).__name__.lower() else "other"
