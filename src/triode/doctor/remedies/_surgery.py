"""Changes to a copied model and its optimiser: modules swapped, calls replaced, parameters kept in step."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from triode.adapters.torch import Activation
from triode.doctor.history import History
from triode.doctor.observe.naming import plain
from triode.doctor.remedies._calls import ANY, Change, Place, RewrittenLoss, rewrite
from triode.doctor.remedies._places import Spot
from triode.doctor.treatment import Training
from triode.errors import TriodeError

MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
    "none": nn.Identity,
}
"""PyTorch's own module where it has one; Triode's for every other name."""


class Normalised(nn.Sequential):
    """Batch normalisation and the activation that it was put before."""


class PerFeature(nn.BatchNorm1d):
    """Batch normalisation of the last axis, over all others: for sequences of features."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each feature over examples and positions."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


class Standardise(nn.Module):
    """Subtract a fixed mean and divide by a fixed standard deviation, per feature.

    Written as a normalisation with given moments, which is what it is.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, mean: Tensor, std: Tensor, axis: int) -> None:
        """Moments per feature, which lie along `axis`."""
        super().__init__()
        self.axis = axis
        self.register_buffer("mean", mean)
        # A feature that never changes says nothing, and must not become noise.
        self.register_buffer("variance", torch.where(std > 0, std, torch.ones_like(std)).square())

    def forward(self, x: Tensor) -> Tensor:
        """The standardised input."""
        features = self.mean.numel()
        axis = self.axis if x.dim() > 1 else 0
        if features == 1 or x.dim() < 2 or x.shape[axis] != features:
            flat = x.reshape(-1, 1) if features == 1 else x.reshape(-1, features)
            return self._normalise(flat).view(x.shape)
        return self._normalise(x.movedim(axis, 1)).movedim(1, axis)

    def _normalise(self, x: Tensor) -> Tensor:
        mean, variance = self.mean.to(x.dtype), self.variance.to(x.dtype)
        return nn.functional.batch_norm(x, mean, variance, training=False, eps=0.0)

    def extra_repr(self) -> str:
        """How many features."""
        return f"{self.mean.numel()} features"


def activation(name: str, dim: int = -1) -> nn.Module:
    """A module of the activation or softmax of that name."""
    if name in ("softmax", "log_softmax"):
        return nn.Softmax(dim) if name == "softmax" else nn.LogSoftmax(dim)
    known = MODULES.get(str(name))
    return known() if known is not None else Activation(name)


def bare(model: nn.Module) -> nn.Module:
    """The model inside the wrapper of a compiled one."""
    inside = getattr(model, "_orig_mod", None)
    return inside if isinstance(inside, nn.Module) else model


def modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by its path as the doctor writes it; a shared one by its first."""
    return {plain(path): module for path, module in model.named_modules()}


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function and nothing else."""
    if isinstance(module, (Activation, Normalised, nn.Identity)):
        return True
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, nn.MultiheadAttention
    )


def swap(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` wherever in the model `old` is registered: a shared module has several places."""
    found = False
    for parent in list(model.modules()):
        if parent is new:
            continue
        for name, child in list(parent._modules.items()):
            if child is old:
                parent._modules[name] = new
                found = True
        for name, value in list(vars(parent).items()):  # a module kept in a plain list is called as well
            if isinstance(value, list) and any(each is old for each in value):
                setattr(parent, name, [new if each is old else each for each in value])
    if not found:
        raise TriodeError(f"{type(old).__name__} is the whole model; expected it inside one.")


def replace(
    training: Training, spots: list[Spot], make: Callable[[Spot], nn.Module], total: list[Spot]
) -> None:
    """Replace the functions called at `spots` by modules; `total` holds all spots of the model."""
    _at(training, spots, total, make, before=False)


def put_before(
    training: Training, spots: list[Spot], make: Callable[[Spot], nn.Module], total: list[Spot]
) -> None:
    """Put a module of its own before each of the functions called at `spots`."""
    _at(training, spots, total, make, before=True)


def _at(
    training: Training, spots: list[Spot], total: list[Spot], make: Callable[[Spot], nn.Module], before: bool
) -> None:
    model = bare(training.model)
    known = modules(model)
    for path in dict.fromkeys(spot.module for spot in spots if spot.in_model):
        here = [spot for spot in spots if spot.in_model and spot.module == path]
        calls = [spot for spot in total if spot.in_model and spot.module == path]
        module = known.get(path)
        if module is None:
            raise TriodeError(
                f"the model has no module {path!r}, which the history tells of: is it the same model?"
            )
        whole = is_activation(module) and module is not model
        if whole and len(calls) == len(here) and (not before or len(here) == 1):
            new = fitted(make(here[0]), model)
            _swap_activation(training, module, new, before)
            if before:
                add_parameters(training, new, here[0].layer)
            else:
                add_parameters(training, new, here[0].layer)
            continue
        if isinstance(module, Activation):
            raise TriodeError(
                f"{path} is called in {len(calls)} places, and Triode's own activation cannot be changed at some of "
                f"them: give each place an activation of its own."
            )
        for spot in here:
            _change(training, spot, fitted(make(spot), model), before, ANY if whole else spot.function)
    for spot in spots:
        if not spot.in_model:
            _change_loss(training, spot, make(spot))
    prune(training)


def _swap_activation(training: Training, old: nn.Module, new: nn.Module, before: bool) -> None:
    model = bare(training.model)
    if isinstance(old, Normalised):
        if not before:
            old._modules["activation"] = new
        return
    swap(model, old, Normalised(OrderedDict(batch_norm=new, activation=old)) if before else new)


def _change(training: Training, spot: Spot, new: nn.Module, before: bool, function: str) -> None:
    model = rewrite(bare(training.model))
    place = Place(spot.module, function, spot.call_any if function == ANY else spot.call)
    change = model._triode_changes.setdefault(place, Change())
    name = child_name(model, f"{type(new).__name__.lower()}_at_{spot.name}")
    model.add_module(name, new)
    old = change.before if before else change.instead
    if old:
        del model._modules[old]
    if before:
        change.before = name
    else:
        change.instead = name
    add_parameters(training, new, spot.layer)


def _change_loss(training: Training, spot: Spot, new: nn.Module) -> None:
    if not isinstance(training.loss_fn, RewrittenLoss):
        training.loss_fn = RewrittenLoss(training.loss_fn)
    name = child_name(training.loss_fn, f"{type(new).__name__.lower()}_at_{spot.name}")
    training.loss_fn.add_module(name, new)
    training.loss_fn._triode_changes[Place("", spot.function, spot.call)] = Change(instead=name)


def child_name(model: nn.Module, wanted: str) -> str:
    """A name for a new child that the model does not have yet."""
    name = "".join(letter if letter.isalnum() else "_" for letter in wanted)
    while hasattr(model, name):
        name += "_"
    return name


def fitted(module: nn.Module, model: nn.Module) -> nn.Module:
    """The module on the model's device, in its type of numbers and its mode."""
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if like is not None:
        module.to(device=like.device, dtype=like.dtype)
    return module.train(model.training)


# -------------------------------------------------------------------- the optimiser


def add_parameters(training: Training, new: nn.Module, near: str = "") -> None:
    """Let the optimiser train the parameters of a new module, with the options of the layer `near` it."""
    parameters = [p for p in new.parameters() if p.requires_grad]
    optimizer = training.optimizer
    if not parameters or optimizer is None:
        return
    layer = modules(bare(training.model)).get(near)
    beside = {id(p) for p in layer.parameters()} if layer is not None and near else set()
    groups = optimizer.param_groups
    group = next((g for g in groups if any(id(p) in beside for p in g["params"])), groups[-1])
    names = {id(p): name for name, p in training.model.named_parameters()}
    held = {id(p) for each in groups for p in each["params"]}
    for parameter in parameters:
        if id(parameter) in held:
            continue
        group["params"].append(parameter)
        if "param_names" in group:
            group["param_names"].append(names.get(id(parameter), f"triode.{len(group['params'])}"))


def prune(training: Training) -> None:
    """Let the optimiser forget parameters that a swapped module has taken with it."""
    optimizer = training.optimizer
    if optimizer is None or training.owned is None:
        return
    present = {id(p) for p in training.model.parameters()}
    gone = {key: p for key, p in training.owned.items() if key not in present}
    for group in optimizer.param_groups:
        keep = [place for place, p in enumerate(group["params"]) if id(p) not in gone]
        if "param_names" in group:
            group["param_names"][:] = [group["param_names"][place] for place in keep]
        group["params"][:] = [group["params"][place] for place in keep]
    for parameter in gone.values():
        optimizer.state.pop(parameter, None)


def copy_optimizer(optimizer: torch.optim.Optimizer, memo: dict[int, Any]) -> torch.optim.Optimizer:
    """The same optimiser over copied parameters: class, groups, options, state.

    Deep-copying it would lose what some optimisers keep beside their state. `step` may have been replaced on the
    instance by a scheduler, whose wrapper still speaks of the original.
    """
    new = type(optimizer).__new__(type(optimizer))
    memo[id(optimizer)] = new
    kept = {key: value for key, value in vars(optimizer).items() if key != "step"}
    new.__dict__.update(copy.deepcopy(kept, memo))
    new._patch_step_function()
    return new


# -------------------------------------------------------------------- weights and moments


@torch.no_grad()
def draw(parameter: Tensor, std: float, generator: torch.Generator) -> None:
    """Fill with normal numbers of mean 0 from a generator of our own."""
    numbers = torch.randn(parameter.shape, generator=generator) * std
    parameter.copy_(numbers.to(parameter.dtype))


def fan_in(module: nn.Module, weight: Tensor) -> float:
    """How many inputs one unit of a layer adds up."""
    field = math.prod(weight.shape[2:])
    if isinstance(module, torch.nn.modules.conv._ConvTransposeNd):
        return max(weight.shape[0] // module.groups * field / math.prod(module.stride), 1.0)
    return float(max(weight.shape[1] * field, 1))


def moments(batches: Iterable[Any], pick: int) -> tuple[Tensor, Tensor, int]:
    """Mean and standard deviation per feature over one pass, and the axis of the features; `pick` 0 for x, 1 for y."""
    count, mean, squares, axis = 0, torch.zeros(0), torch.zeros(0), -1
    for batch in batches:
        tensor = first_float(batch[pick])
        if tensor is None or tensor.numel() == 0:
            continue
        axis = 1 if tensor.dim() in (2, 4, 5) else tensor.dim() - 1
        rows = tensor.detach().to("cpu", torch.float64)
        rows = rows.reshape(-1, 1) if rows.dim() < 2 else rows.movedim(axis, -1).reshape(-1, rows.shape[axis])
        finite = rows[torch.isfinite(rows).all(1)]
        if not len(finite):
            continue
        here, spread = finite.mean(0), finite.var(0, unbiased=False) * len(finite)
        total = count + len(finite)
        away = here - mean if count else here
        squares = squares + spread + away.square() * (count * len(finite) / total) if count else spread
        mean = mean + away * (len(finite) / total) if count else here
        count = total
    if not count:
        raise TriodeError(
            "the batches hold no floating-point numbers to scale; expected a tensor of features."
        )
    return mean, (squares / count).sqrt(), axis


def first_float(value: Any) -> Tensor | None:
    """The first tensor of floating-point numbers in a batch's half."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((found for each in values if (found := first_float(each)) is not None), None)


def prediction_features(history: History | None) -> int:
    """How many numbers the model predicts for one example; 0 if that is not known."""
    if history is None or not history.outputs or not history.outputs[0].shape:
        return 0
    shape = history.outputs[0].shape
    return shape[1] if len(shape) > 1 else 1
