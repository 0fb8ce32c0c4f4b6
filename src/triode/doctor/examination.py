"""The two ways in from Python: `examine` trains and watches, `watch` watches the user's own loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from triode.doctor.diagnose import diagnose, explains_exception
from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History
from triode.doctor.observe.watcher import Watcher
from triode.errors import TriodeError

Batches = Iterable[Any] | Callable[[], Iterable[Any]]
HOPELESS = 3
"""Steps in a row with a loss that is not finite after which training goes on no longer."""
QUIET = 0.05
"""Share of silent units from which on the pass with the weights held still is made."""


def examine(
    model: nn.Module,
    batches: Batches,
    loss_fn: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    epochs: int = 1,
    *,
    steps: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Diagnosis:
    """Train a model as a plain loop would, watch it, and say what ails it.

    Each step is ``zero_grad``, forward, loss, backward, ``step``; no random number is drawn beside it, so the weights
    end as they would without being watched. Where units stayed silent, a last pass without updates decides who is dead.

    Args:
        model: Is trained in place, in the mode (training or evaluation) that it is in. Without updates it is evaluated.
        batches: A DataLoader, or a callable that returns one epoch of ``(x, y)``. ``x`` may be a tensor, a tuple of
            positional arguments or a dictionary of keyword arguments.
        loss_fn: Takes ``(model(x), y)`` and returns a number.
        optimizer: Holds the model's parameters; None: nothing is updated.
        epochs: Passes over the data; 0: one pass without updates.
        steps: At most so many steps; None for no bound.
        progress: Called after each step with its number and loss.

    Returns:
        The diagnosis; the cause comes first in ``findings``.

    Raises:
        TriodeError: For a batch that is not a pair, no batches at all, or an optimiser of another model's parameters.
        Exception: Whatever the training raises, unless a finding explains it.

    Examples:
        >>> import triode
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
        >>> x, y = torch.randn(256, 8), torch.randint(3, (256,))
        >>> optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        >>> found = triode.doctor.examine(
        ...     net, lambda: zip(x.split(32), y.split(32)), nn.CrossEntropyLoss(), optimizer, epochs=2)
        >>> [finding.diagnosis for finding in found.findings]
        ['softmax_before_ce']
    """
    if epochs < 0:
        raise TriodeError(f"epochs is {epochs}; expected 0 (no updates) or more.")
    if optimizer is not None:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(p) in held for p in model.parameters()):
            raise TriodeError(
                "optimizer holds none of the model's parameters; expected one made with model.parameters(): "
                "was it made for another model, or before the model was copied?"
            )
    raised: Exception | None = None
    watcher = Watcher([model])
    with watcher:
        try:
            if epochs == 0 or optimizer is None:
                for _ in range(max(epochs, 1)):
                    watcher.epoch()
                    _evaluate(watcher, model, batches, loss_fn)
            else:
                _train(watcher, model, batches, loss_fn, optimizer, epochs, steps, progress)
        except TriodeError:
            raise
        except Exception as error:  # noqa: BLE001  (the symptom may be the error itself)
            raised = error
            watcher.exception = _last_line(error)
            watcher.finish_step(optimizer)
        if raised is None and any(_silent(history) for history in watcher.histories()):
            _final_pass(watcher, model, batches)
        histories = watcher.histories()
    if not histories:
        if raised is not None:
            raise raised
        raise TriodeError("batches gave no batch to train on; expected at least one (x, y) an epoch.")
    diagnosis = diagnose(histories)
    if raised is not None and not explains_exception(diagnosis):
        raise raised
    return diagnosis


class watch:  # noqa: N801  (used as `with triode.doctor.watch(model) as ...`)
    """Watch the user's own training loop.

    Args:
        model: The model, or several; none for every model that is called inside the block.

    Examples:
        >>> import triode
        >>> net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> with triode.doctor.watch(net) as watched:
        ...     for _ in range(20):
        ...         optimizer.zero_grad()
        ...         loss = (net(torch.rand(64, 2)) - 0.5).square().mean()
        ...         loss.backward()
        ...         optimizer.step()
        >>> watched.diagnosis().healthy
        True
    """

    def __init__(self, *model: nn.Module) -> None:
        """Nothing is watched before the block is entered."""
        self.watcher = Watcher(list(model) or None)

    def __enter__(self) -> watch:
        """Begin."""
        self.watcher.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End; what was seen is kept."""
        if len(error) > 1 and isinstance(error[1], Exception):
            self.watcher.exception = _last_line(error[1])
        self.watcher.__exit__(*error)

    def epoch(self) -> None:
        """Say that a pass over the data begins; not needed where a DataLoader says it."""
        self.watcher.epoch()

    @property
    def histories(self) -> list[History]:
        """What was seen so far, one history for each optimiser."""
        return self.watcher.histories()

    def diagnosis(self) -> Diagnosis:
        """The diagnosis of what was seen so far."""
        return diagnose(self.histories)


def _train(
    watcher: Watcher,
    model: nn.Module,
    batches: Batches,
    loss_fn: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    steps: int | None,
    progress: Callable[[int, float], None] | None,
) -> None:
    made = lost = 0
    for _ in range(epochs):
        watcher.epoch()
        for x, y in pairs(batches):
            if steps is not None and made >= steps:
                return
            optimizer.zero_grad()
            watcher.targets(y)
            loss = loss_fn(call(model, x), y)
            loss.backward()
            optimizer.step()
            made += 1
            value = float(loss.detach()) if progress is not None or loss.is_cpu else 0.0
            if progress is not None:
                progress(made, value)
            lost = lost + 1 if value != value or value in (float("inf"), float("-inf")) else 0
            if lost >= HOPELESS:
                return


def _evaluate(
    watcher: Watcher, model: nn.Module, batches: Batches, loss_fn: Callable[[Any, Any], Tensor]
) -> None:
    """One pass in evaluation mode that updates nothing; gradients are taken, and put back as they were."""
    before = [(p, p.grad) for p in model.parameters()]
    try:
        with torch.enable_grad(), _evaluating(model):
            for x, y in pairs(batches):
                for p, _ in before:
                    p.grad = None
                watcher.targets(y)
                loss = loss_fn(call(model, x), y)
                if loss.requires_grad:
                    loss.backward()
                else:
                    watcher.loss(loss)
                watcher.finish_step()
    finally:
        for p, gradient in before:
            p.grad = gradient


def _final_pass(watcher: Watcher, model: nn.Module, batches: Batches) -> None:
    # A DataLoader that shuffles draws numbers; they are put back.
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _evaluating(model), watcher.final_pass():
        for x, _ in pairs(batches):
            call(model, x)
            watcher.end_of_call()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, every module is in evaluation mode; afterwards each is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _silent(history: History) -> bool:
    passes = [site.passes[-1] for site in history.sites if site.passes]
    return any(figures.dead.size and figures.dead_share > QUIET for figures in passes)


def pairs(batches: Batches) -> Iterator[tuple[Any, Any]]:
    """One epoch of pairs (x, y)."""
    epoch = batches() if callable(batches) else batches
    for batch in epoch:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            kind = (
                f"{type(batch).__name__} of {len(batch)}"
                if hasattr(batch, "__len__")
                else type(batch).__name__
            )
            raise TriodeError(
                f"a batch is a {kind}; expected a pair (x, y): for more inputs let x be a tuple or a dictionary."
            )
        yield batch[0], batch[1]


def call(model: nn.Module, x: Any) -> Any:
    """The model's answer to `x`: one argument, a tuple of them, or a dictionary of keyword arguments."""
    if isinstance(x, Mapping):
        return model(**x)
    if isinstance(x, (tuple, list)) and all(isinstance(each, Tensor) for each in x):
        return model(*x)
    return model(x)


def _last_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".strip(": ")


__all__ = ["Batches", "call", "examine", "pairs", "watch"]
