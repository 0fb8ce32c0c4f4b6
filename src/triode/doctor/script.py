"""A user's training script as the patient: run unchanged, watched, diagnosed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.ending import last_line
from triode.doctor.history import History
from triode.doctor.launch import Command, Outcome, Stopped, run

if TYPE_CHECKING:
    from triode.doctor.observe.watcher import Watcher

Around = Callable[["Watcher"], Any]


@dataclass
class Examined:
    """A script that was watched."""

    command: Command
    outcome: Outcome
    histories: list[History] = field(default_factory=list)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    unowned: int = 0
    """Steps of an optimiser before which no module was called: of weights that are bare tensors."""

    @property
    def trained(self) -> bool:
        """Whether any model was seen to train, or to try."""
        return bool(self.histories)

    @property
    def sentence(self) -> str:
        """How the script ended, where that is worth saying; else ""."""
        steps = max((history.steps for history in self.histories), default=0)
        seen = f"after {steps:,} training step{'' if steps == 1 else 's'}"
        outcome = self.outcome
        if outcome.ending == "stopped":
            return f"{self.command} was stopped {seen}, as asked."
        if outcome.ending == "interrupted":
            return f"{self.command} was interrupted {seen}; what was seen until then follows."
        if outcome.ending == "failed":
            return f"{self.command} ended {seen} with an error of its own ({outcome.error})."
        if outcome.status:
            return f"{self.command} ended {seen} with exit status {outcome.status}."
        return ""


def examine_script(
    command: Command,
    *,
    steps: int = 0,
    live: bool = False,
    prepare: Callable[[], Any] | None = None,
) -> Examined:
    """Run a training script as `python` would, watch every model that it trains, and diagnose what was seen.

    Args:
        command: The script and its arguments.
        steps: End it after so many training steps; 0 for its natural end.
        live: Show the training as it runs, on standard error.
        prepare: Called when PyTorch has been imported, before the script uses it. Returns a context manager that is
            left when the script ends, or None.

    Returns:
        The diagnosis, and how the script ended. Whatever happens in the script, what was seen until then is there.

    Raises:
        TriodeError: There is no such script.
    """
    watchers: list[Watcher] = []

    @contextmanager
    def start() -> Iterator[None]:
        with ExitStack() as stack:
            context = prepare() if prepare is not None else None
            if context is not None:
                stack.enter_context(context)
            if steps:
                stack.enter_context(_stopping(steps))
            watcher = stack.enter_context(_watching(live))
            watchers.append(watcher)
            yield

    outcome = run(command, start)
    examined = Examined(command, outcome)
    if watchers:
        from triode.doctor.diagnose import diagnose

        examined.histories = watchers[0].histories()
        examined.unowned = watchers[0].unowned
        examined.diagnosis = diagnose(examined.histories)
    return examined


@contextmanager
def _watching(live: bool) -> Iterator[Watcher]:
    """Watch; note an error of the script, and keep what was seen of a first step that it did not finish."""
    from triode.doctor.live import Live
    from triode.doctor.observe.watcher import Watcher

    # Said by PyTorch because of the watcher's hooks: no business of the script's.
    warnings.filterwarnings(
        "ignore", r"Using `torch\.compile\(module\)` when there are global hooks", UserWarning
    )
    watcher = Watcher()
    panel = Live(watcher.histories) if live else None
    if panel is not None:
        watcher.on_step = panel.tick
    with watcher:
        try:
            yield watcher
        except Exception as error:
            watcher.exception = last_line(error)
            if not watcher.patients:
                watcher.finish_step()
            raise
        finally:
            if panel is not None:
                panel.close()


@contextmanager
def _stopping(steps: int) -> Iterator[None]:
    """End the script where an optimiser would take a step too many.

    Not just after its last one: what the user does after a step (printing the loss, stepping a schedule) is then done
    for each, and of two optimisers both have taken theirs. It must be entered before the watcher, which does then not
    see the step too many.
    """
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    taken: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def hook(optimizer: Any, args: Any, kwargs: Any) -> None:
        del args, kwargs
        count = taken.get(optimizer, 0)
        if count >= steps:
            raise Stopped
        taken[optimizer] = count + 1

    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
