"""What a bake-off records: an epoch, a trial, the whole; plain frozen data that every reader shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triode.bakeoff.spec import Spec


@dataclass(frozen=True)
class EpochRecord:
    """The state of one network after one epoch (epoch 0: before training).

    Losses are mean cross-entropies in nats and accuracies shares from 0 to 1, all of the network *as it stands
    at the end of the epoch*, by a full pass over the training or the validation examples. Tuples run from the
    input side to the output side.
    """

    epoch: int
    """0 before training, then 1 to E."""
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    train_accuracy: float
    gradient_norm: tuple[float, ...]
    """Norm of each linear layer's gradient (weight and bias), mean over the epoch's steps; nan at epoch 0."""
    dead: tuple[float, ...]
    """Share (0..1) of the units of each hidden layer whose output is exactly 0 for every training example."""
    saturated: tuple[float, ...]
    """Share (0..1) of each hidden layer's (unit, training example) pairs with |f'(z)| < 0.01 max|f'| on [-10, 10]."""
    mean: tuple[float, ...]
    """Mean output of each hidden layer over units and training examples."""
    spread: tuple[float, ...]
    """Standard deviation of the output of each hidden layer over units and training examples."""
    seconds: float
    """Wall time of the epoch's training steps, in seconds; the diagnostic pass is not in it."""


@dataclass(frozen=True)
class TrialResult:
    """One network trained to its end: one activation, one seed.

    A trial that diverged (a loss that is not finite) keeps the epochs up to that point, and says so. A prediction
    that is not a finite number counts as wrong, so its accuracy is a number too.
    """

    key: str
    """Hash of everything that decides what the trial computes."""
    activation: str
    """Name of the activation."""
    specification: str
    """Text from which `triode.get` rebuilds the activation: a name, or `name=formula`."""
    seed: int
    learning_rate: float
    parameters: int
    """Number of trained parameters, the activations' own included."""
    epochs: tuple[EpochRecord, ...]
    test_loss: float
    test_accuracy: float
    diverged: bool
    seconds: float
    """Wall time of the whole trial in seconds, diagnostics included."""


@dataclass(frozen=True)
class Results:
    """Everything a directory of a bake-off holds, as far as it has got."""

    directory: Path
    spec: Spec
    trials: tuple[TrialResult, ...]
    """Finished trials, in the order of the specification: activation by activation, seed by seed."""
    environment: dict[str, str]
    """Versions, machine, cpu, threads, started, wall_seconds."""

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations, in the order of the specification."""
        return self.spec.names

    @property
    def expected(self) -> int:
        """Number of trials that the specification asks for: activations times seeds."""
        return len(self.spec.activations) * self.spec.seeds

    def __repr__(self) -> str:
        return (
            f"Results({len(self.trials)} of {self.expected} trials, {len(self.activations)} activations on "
            f"{self.spec.dataset}, {str(self.directory)!r})"
        )

    def _repr_html_(self) -> str:
        """The verdict and the table of results, for a notebook."""
        from triode.bakeoff.report import summary_html

        return summary_html(self)
