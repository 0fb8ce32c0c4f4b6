"""Treat a network: a copy of it, or of a whole training, in which one thing is changed."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.errors import TriodeError, nearest


@dataclass
class Training:
    """What it takes to train a network.

    Attributes:
        model: The network, with its initial weights.
        batches: A DataLoader, or a callable that returns one epoch of ``(x, y)``.
        loss_fn: Takes ``(model(x), y)`` and returns a number.
        optimizer: Holds the model's parameters; None: nothing is trained.
        epochs: Passes over the data.
    """

    model: nn.Module
    batches: Iterable[Any] | Callable[[], Iterable[Any]]
    loss_fn: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer | None = None
    epochs: int = 1
    owned: dict[int, Tensor] | None = field(default=None, repr=False, compare=False)
    """Parameters that the model had before it was treated, by `id`."""

    def copy(self) -> Training:
        """The same training over copied weights, buffers and optimiser state; the batches are shared."""
        from triode.doctor.remedies._surgery import copy_optimizer

        memo: dict[int, Any] = {}
        try:
            model = copy.deepcopy(self.model, memo)
        except RuntimeError as error:
            raise TriodeError(
                f"{type(self.model).__name__} cannot be copied ({str(error).splitlines()[0]}): does it keep a computed "
                "tensor as an attribute?"
            ) from None
        loss_fn = _loss_of_copy(self.loss_fn, memo)
        optimizer = None if self.optimizer is None else copy_optimizer(self.optimizer, memo)
        owned: dict[int, Tensor] = {id(p): p for p in model.parameters()}
        return Training(model, self.batches, loss_fn, optimizer, self.epochs, owned)


Patient = TypeVar("Patient", Training, nn.Module)


def treat(
    model_or_training: Patient,
    prescription: Prescription | Sequence[Prescription],
    history: History | None = None,
) -> Patient:
    """A treated copy; the original keeps its weights, buffers, optimiser state and random numbers.

    Activation modules are swapped; functional calls (`F.relu(x)`, `x.clamp(min=0)`) are replaced while the copy runs.

    Args:
        model_or_training: A model, or a :class:`Training` for what concerns the loss, the optimiser or the data.
        prescription: What to change, or several in order.
        history: What was seen of the model; it says which function is called where, and which is the output's.

    Returns:
        A copy, of the same kind as was given.

    Raises:
        TriodeError: For an unknown kind, or one that needs a `Training` or a history and has none.

    Examples:
        >>> from triode.doctor import Prescription
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> treat(net, Prescription("replace_activation", {"function": "leaky_relu"}))
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): LeakyReLU(negative_slope=0.01)
          (2): Linear(in_features=8, out_features=2, bias=True)
        )
    """
    from triode.doctor.remedies import REMEDIES

    several = (prescription,) if isinstance(prescription, Prescription) else tuple(prescription)
    alone = not isinstance(model_or_training, Training)
    whole = (
        model_or_training
        if isinstance(model_or_training, Training)
        else Training(model_or_training, (), _no_loss)
    )
    with torch.random.fork_rng(devices=[]):
        treated = whole.copy()
        for each in several:
            remedy = REMEDIES.get(each.kind)
            if remedy is None:
                raise TriodeError(f"there is no remedy {each.kind!r}{nearest(each.kind, REMEDIES)}.")
            remedy.apply(treated, each, history)
            treated.owned = {id(p): p for p in treated.model.parameters()}
    return treated.model if alone else treated  # type: ignore[return-value]


def _no_loss(prediction: Any, target: Any) -> Tensor:
    raise TriodeError("a model alone has no loss; expected a Training.")


def needs_training(training: Training, what: str) -> None:
    """Refuse to change what a model alone does not have."""
    if training.loss_fn is _no_loss:
        raise TriodeError(f"{what} concerns the training, not the model; expected a triode.doctor.Training.")


def needs_optimizer(training: Training, what: str) -> torch.optim.Optimizer:
    """The optimiser, or a sentence that says that there is none."""
    needs_training(training, what)
    if training.optimizer is None:
        raise TriodeError(f"{what} needs an optimiser; the training has none.")
    return training.optimizer


def _loss_of_copy(loss_fn: Any, memo: dict[int, Any]) -> Any:
    """The loss function of the copy: one that speaks of the model (a penalty on its weights) speaks of the copy."""
    if not isinstance(loss_fn, types.FunctionType):
        return copy.deepcopy(loss_fn, memo)
    mine: dict[str, Any] = {}
    for name in loss_fn.__code__.co_names:
        value = loss_fn.__globals__.get(name)
        if id(value) in memo and isinstance(value, (nn.Module, Tensor)):
            mine[name] = memo[id(value)]
    cells = []
    changed = bool(mine)
    for cell in loss_fn.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # empty
            cells.append(cell)
            continue
        if isinstance(value, (nn.Module, Tensor)):
            cells.append(types.CellType(copy.deepcopy(value, memo)))
            changed = True
        else:
            cells.append(cell)
    if not changed:
        return loss_fn
    scope = {**loss_fn.__globals__, **mine} if mine else loss_fn.__globals__
    new = types.FunctionType(
        loss_fn.__code__, scope, loss_fn.__name__, loss_fn.__defaults__, tuple(cells) or None
    )
    new.__kwdefaults__ = loss_fn.__kwdefaults__
    return new
