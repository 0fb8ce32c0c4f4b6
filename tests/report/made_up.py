"""Made-up results with realistic curves: what the report is tested on without any training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.spec import Spec

SEVEN = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")
LEVELS = {
    "sigmoid": 0.795,
    "tanh": 0.862,
    "relu": 0.868,
    "leaky_relu": 0.869,
    "elu": 0.866,
    "gelu": 0.874,
    "swish": 0.872,
}
ENVIRONMENT = {
    "triode": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6", "machine": "Linux x86_64",
    "cpu": "Example CPU at 2.5 GHz", "threads": "1", "started": "2026-01-02 03:04:05 +00:00", "wall_seconds": "118.4",
}  # fmt: skip


def results(
    directory: Path,
    activations: tuple[str, ...] = SEVEN,
    *,
    seeds: int = 3,
    epochs: int = 12,
    hidden: tuple[int, ...] = (512, 256, 128, 64),
    levels: Mapping[str, float] = LEVELS,
    scatter: float = 0.003,
    change: Callable[[TrialResult], TrialResult | None] = lambda trial: trial,
) -> Results:
    """Results of a bake-off that never ran; `change` alters each trial, or with None leaves it out."""
    spec = Spec(activations=activations, seeds=seeds, epochs=epochs, hidden=hidden)
    rng = np.random.default_rng(1)
    common = rng.normal(0.0, scatter, seeds)
    made = [
        trial(
            name, text, seed, spec, levels.get(name, 0.865) + common[seed] + rng.normal(0.0, scatter / 2), rng
        )
        for name, text in zip(spec.names, activations, strict=True)
        for seed in range(seeds)
    ]
    kept = tuple(changed for one in made if (changed := change(one)) is not None)
    return Results(directory, spec, kept, dict(ENVIRONMENT))


def trial(name: str, text: str, seed: int, spec: Spec, level: float, rng: np.random.Generator) -> TrialResult:
    """One made-up trial that ends near a test accuracy of `level`."""
    slow = name == "sigmoid"
    depth = len(spec.hidden)
    kills = {"relu": 0.11, "leaky_relu": 0.0}.get(name, 0.0)
    own = rng.normal(1.0, 0.05)
    epochs = []
    for epoch in range(spec.epochs + 1):
        done = 1 - math.exp(-epoch / (5.5 if slow else 2.2))
        train = 2.303 - (2.303 - (0.52 if slow else 0.19)) * done * (2 - own if slow else 1.0)
        train *= own if not slow and epoch else 1.0
        validation = (
            2.303 - (2.303 - (0.58 if slow else 0.375)) * done + 0.004 * max(0, epoch - 6) * (not slow)
        )
        reached = 0.1 + (level + 0.004 - 0.1) * (1 - math.exp(-epoch / (2.4 if slow else 0.7)))
        fall = 0.16 if slow else 0.82 if name == "tanh" else 0.93
        norms = tuple(
            float(0.9 * fall ** (depth - i) * math.exp(-epoch / 9) * rng.lognormal(0, 0.12))
            for i in range(depth + 1)
        )
        dead = tuple(
            float(kills * (1 - math.exp(-epoch / 4)) * (1.5 - 0.3 * i) * rng.uniform(0.8, 1.2))
            for i in range(depth)
        )
        flat = {"sigmoid": 0.02, "tanh": 0.07, "relu": 0.5, "gelu": 0.12, "swish": 0.03, "elu": 0.05}.get(
            name, 0.0
        )
        saturated = tuple(
            float(min(1, flat * (1 + 0.6 * done) * (1 - 0.05 * i) * rng.uniform(0.95, 1.05)))
            for i in range(depth)
        )
        spread = tuple(
            float(
                (0.12 if slow else 0.4)
                * 0.7**i
                * (1 + 2.2 * done * (i + 1) / depth)
                * rng.uniform(0.96, 1.04)
            )
            for i in range(depth)
        )
        epochs.append(
            EpochRecord(
                epoch=epoch,
                train_loss=float(train * (1 + 0.02 * rng.normal())),
                validation_loss=float(validation * (1 + 0.02 * rng.normal())),
                validation_accuracy=float(reached + 0.003 * rng.normal()),
                train_accuracy=float(min(1.0, reached + 0.05 * done + 0.002 * rng.normal())),
                gradient_norm=norms if epoch else (math.nan,) * (depth + 1),
                dead=dead,
                saturated=saturated,
                mean=tuple(0.1 * (i + 1) for i in range(depth)),
                spread=spread,
                seconds=0.0 if epoch == 0 else float(0.42 + 0.03 * len(name) + 0.02 * rng.normal()),
            )
        )
    return TrialResult(
        key=f"{abs(hash((name, seed))):016x}"[:16],
        activation=name,
        specification=text,
        seed=seed,
        learning_rate=spec.learning_rate,
        parameters=575_050,
        epochs=tuple(epochs),
        test_loss=float(0.6 if slow else 0.38),
        test_accuracy=float(round(level * 2000) / 2000),
        diverged=False,
        seconds=sum(record.seconds for record in epochs) * 1.3,
    )


def broken(trial: TrialResult, after: int = 4) -> TrialResult:
    """The trial as if its loss had become nan in the epoch after `after`."""
    return replace(
        trial, epochs=trial.epochs[: after + 1], test_loss=math.nan, test_accuracy=0.1, diverged=True
    )


HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">",
    "a['b'].c\"$x_{\\frac$`|</title>\x02<!--",
)


class Renamed(Results):
    """Results whose activations bear the names in the trials, which the catalogue would never have let in."""

    @property
    def activations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(trial.activation for trial in self.trials))
