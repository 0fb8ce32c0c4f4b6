"""What a bake-off records: an epoch, a trial, the whole; plain frozen data that every reader shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triode.bakeoff.spec import Spec

WATCH_EVERY = 8
"""Every how many steps of an epoch gradient norms, saturation, mean and spread are measured, the first included."""


@dataclass(frozen=True)
class EpochRecord:
    """What one network did in one epoch (epoch 0: before training).

    Losses are mean cross-entropies in nats (classes, characters) or mean squared errors of standardised targets
    (regression); accuracies are shares from 0 to 1, nan where there are no classes. Validation figures are of the
    network at the end of the epoch; training figures are means over the epoch's steps, each before its update (epoch
    0: one pass over all training examples). Tuples run from the input side to the output side.
    """

    epoch: int
    """0 before training, then 1 to E."""
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    gradient_norm: tuple[float, ...]
    """Norm of each weight layer's gradient (weight and bias together), mean over the watched steps; nan at epoch 0."""
    dead: tuple[float, ...]
    """Share (0..1) of each site's units whose output was exactly 0 for every training example of the epoch."""
    saturated: tuple[float, ...]
    """Share (0..1) of each site's (unit, example) pairs with |f'(z)| < 0.01 max|f'| on [-10, 10], watched steps; each
    place of a picture and each step of a sequence counts as an example."""
    mean: tuple[float, ...]
    """Mean output of each activation site over units and examples, watched steps."""
    spread: tuple[float, ...]
    """Standard deviation of the output of each activation site over units and examples, watched steps."""
    learned: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Learned parameter of the activation -> its mean at each site after the epoch; empty where nothing is learned."""
    seconds: float = 0.0
    """Wall time of the epoch's training steps in seconds, what is watched in them included; a trial trained as one
    with others counts its share."""


@dataclass(frozen=True)
class TrialResult:
    """One network trained to its end: one activation, one seed, one setting.

    A trial that diverged (a loss in training, in validation or in the test that is not finite) keeps the epochs up to
    that point, and says so. A prediction that is not a finite number counts as wrong, so its accuracy is a number too.
    """

    key: str
    """Hash of everything that decides what the trial computes."""
    activation: str
    """Name of the activation."""
    specification: str
    """Text that names the activation in a specification: a name, `name=formula`, `module:object`."""
    seed: int
    purpose: str
    """`tune`: judged on validation data only, the test part untouched; `final`: what is reported."""
    learning_rate: float
    tuned: dict[str, float]
    """What tuning may choose, as this trial had it: `learning_rate` and `weight_decay`."""
    parameters: int
    """Number of trained parameters, the activations' own included."""
    layers: tuple[str, ...]
    """Names of the weight layers, in the order of `gradient_norm`."""
    sites: tuple[str, ...]
    """Names of the places where the activation stands, in the order of `dead` and the others."""
    units: tuple[int, ...]
    """Number of units at each site."""
    epochs: tuple[EpochRecord, ...]
    test_loss: float
    """nan in a tuning trial."""
    test_accuracy: float
    """nan in a tuning trial, and where there are no classes."""
    diverged: bool
    seconds: float
    """Wall time in seconds from epoch 0 to the end of the last, validation included; a share where trials ran as
    one."""
    peak_memory: int = 0
    """Largest resident memory of the process that trained it, in bytes; 0 where unknown."""
    road: str = "alone"
    """How it was trained: `alone`, or `stacked with 6 others`."""


@dataclass(frozen=True)
class Measure:
    """The figure by which a bake-off is judged."""

    name: str
    field: str
    """Of a `TrialResult`."""
    validation_field: str
    """Of an `EpochRecord`."""
    larger_is_better: bool
    percent: bool
    """Whether it is a share, shown as a percentage."""
    unit: str = ""


MEASURES = {
    "classification": Measure("test accuracy", "test_accuracy", "validation_accuracy", True, True),
    "regression": Measure("test loss", "test_loss", "validation_loss", False, False, "mean squared error"),
    "next-character": Measure("test loss", "test_loss", "validation_loss", False, False, "nats a character"),
}
"""For each task what its trials are judged by."""


@dataclass(frozen=True)
class Results:
    """Everything a directory of a bake-off holds, as far as it has got."""

    directory: Path
    spec: Spec
    trials: tuple[TrialResult, ...]
    """Finished final trials, in the order of the specification: activation by activation, seed by seed."""
    environment: dict[str, str]
    """Versions, machine, cpu, threads, road, started, wall_seconds."""
    tuning: tuple[TrialResult, ...] = ()
    """Finished tuning trials, in the same order."""
    failures: dict[str, str] = field(default_factory=dict)
    """`activation, seed N` -> last line of the traceback, for trials that raised and have no result."""

    @property
    def task(self) -> str:
        """classification, regression or next-character."""
        return "classification" if self.spec.task == "auto" else self.spec.task

    @property
    def measure(self) -> Measure:
        """What the trials are judged by."""
        return MEASURES[self.task]

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations, in the order of the specification."""
        return self.spec.names

    @property
    def expected(self) -> int:
        """Number of final trials that the specification asks for: activations times seeds."""
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
