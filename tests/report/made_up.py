"""Made-up results with realistic curves: what the report is tested on without any training."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from triode.bakeoff.records import EpochRecord, Results, TrialResult
from triode.bakeoff.spec import Spec

SEVEN = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")
TWELVE = (*SEVEN, "mish", "softplus", "selu", "hard_swish", "odd=z * tanh(exp(z))")
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
    "road": "7 trials trained as one: measured 1.9 times as fast as one by one",
}  # fmt: skip
BEST_RATE = {"sigmoid": 3e-3, "tanh": 1e-3, "swish": 1e-3}
"""The rate at which an activation's made-up tuning is best; 1e-3 where nothing is said."""
LOSSES = {"regression": 0.21, "next-character": 1.62}
"""The made-up loss of an activation at a level of 0.87, for tasks without accuracy."""


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
    best_rate: Mapping[str, float] = BEST_RATE,
    draw: int = 1,
    **settings: Any,
) -> Results:
    """Results of a bake-off that never ran; `change` alters each final trial, or with None leaves it out."""
    settings = {"learning_rates": (3e-4, 1e-3, 3e-3)} | settings
    spec = Spec(activations=activations, seeds=seeds, epochs=epochs, hidden=hidden, **settings)
    rng = np.random.default_rng(draw)
    common = rng.normal(0.0, scatter, seeds)
    made = [
        trial(
            name, text, seed, spec, levels.get(name, 0.865) + common[seed] + rng.normal(0.0, scatter / 2), rng
        )
        for name, text in zip(spec.names, activations, strict=True)
        for seed in range(seeds)
    ]
    kept = tuple(changed for one in made if (changed := change(one)) is not None)
    return Results(directory, spec, kept, dict(ENVIRONMENT), tuning(spec, activations, levels, best_rate))


def tuning(
    spec: Spec, activations: tuple[str, ...], levels: Mapping[str, float], best_rate: Mapping[str, float]
) -> tuple[TrialResult, ...]:
    """A tuning trial for every activation, rate and tuning seed: best at its rate, worse by a parabola elsewhere."""
    if spec.protocol == "chapter":
        return ()
    rng = np.random.default_rng(7)
    made = []
    for name, text in zip(spec.names, activations, strict=True):
        for rate in spec.learning_rates:
            away = math.log10(rate / best_rate.get(name, 1e-3))
            level = levels.get(name, 0.865) - 0.012 * away**2 - 0.002 * max(0.0, away)
            for seed in range(spec.tuning_seeds):
                one = trial(name, text, 1_000_000 + seed, spec, level, rng)
                exact = replace(one.epochs[-1], validation_accuracy=level, validation_loss=1.2 - level)
                made.append(
                    replace(
                        one, key=f"t{zlib.crc32(repr((name, rate, seed)).encode()):08x}", purpose="tune",
                        learning_rate=rate, tuned={"learning_rate": rate}, test_loss=math.nan,
                        test_accuracy=math.nan, epochs=(*one.epochs[:-1], exact),
                    )
                )  # fmt: skip
    return tuple(made)


def trial(name: str, text: str, seed: int, spec: Spec, level: float, rng: np.random.Generator) -> TrialResult:
    """One made-up trial that ends near a test accuracy of `level`, or near a loss that falls as the level rises."""
    classes = spec.task in ("auto", "classification")
    end = LOSSES.get(spec.task, 0.38) + 2.0 * (0.87 - level)
    start = 2.303 if classes else 2.5 * LOSSES[spec.task]
    slow = name == "sigmoid"
    depth = len(spec.hidden)
    own = rng.normal(1.0, 0.05)
    epochs = []
    for epoch in range(spec.epochs + 1):
        done = 1 - math.exp(-epoch / (5.5 if slow else 2.2))
        train = start - (start - 0.6 * end) * done
        train *= own if not slow and epoch else 1.0
        validation = start - (start - end) * done + 0.004 * max(0, epoch - 6) * (not slow)
        reached = 0.1 + (level + 0.004 - 0.1) * (1 - math.exp(-epoch / (2.4 if slow else 0.7)))
        train_accuracy = float(min(1.0, reached + 0.05 * done + 0.002 * rng.normal()))
        validation_accuracy = float(reached + 0.003 * rng.normal())
        inside = layers(name, depth, epoch, done, rng)
        epochs.append(
            EpochRecord(
                epoch=epoch,
                train_loss=float(train * (1 + 0.02 * rng.normal())),
                train_accuracy=train_accuracy if classes else math.nan,
                validation_loss=float(validation * (1 + 0.02 * rng.normal())),
                validation_accuracy=validation_accuracy if classes else math.nan,
                seconds=0.0 if epoch == 0 else float(0.42 + 0.03 * len(name) + 0.02 * rng.normal()),
                **inside,
            )
        )
    rate = BEST_RATE.get(name, 1e-3) if spec.protocol == "tuned" else spec.learning_rate
    return TrialResult(
        key=f"f{zlib.crc32(repr((name, seed)).encode()):08x}",
        activation=name,
        specification=text,
        seed=seed,
        purpose="final",
        learning_rate=rate,
        tuned={"learning_rate": rate} if spec.protocol == "tuned" else {},
        parameters=575_050,
        layers=tuple(f"linear{i}" for i in range(depth + 1)),
        sites=tuple(f"activation{i}" for i in range(depth)),
        units=spec.hidden,
        epochs=tuple(epochs),
        test_loss=float(end),
        test_accuracy=float(round(level * 2000) / 2000) if classes else math.nan,
        diverged=False,
        seconds=sum(record.seconds for record in epochs) * 1.3,
        peak_memory=410_000_000 + 1_000_000 * len(name),
        road="stacked with 6 others",
    )


def layers(name: str, depth: int, epoch: int, done: float, rng: np.random.Generator) -> dict[str, Any]:
    """What happens inside the network in one epoch, layer by layer."""
    fall = {"sigmoid": 0.16, "tanh": 0.82}.get(name, 0.93)
    norms = tuple(
        float(0.9 * fall ** (depth - i) * math.exp(-epoch / 9) * rng.lognormal(0, 0.12))
        for i in range(depth + 1)
    )
    kills = {"relu": 0.11}.get(name, 0.0)
    dead = tuple(
        float(kills * (1 - math.exp(-epoch / 4)) * max(0.2, 1.5 - 0.3 * i) * rng.uniform(0.8, 1.2))
        for i in range(depth)
    )
    flat = {"sigmoid": 0.02, "tanh": 0.07, "relu": 0.5, "gelu": 0.12, "swish": 0.03, "elu": 0.05}.get(
        name, 0.0
    )
    saturated = tuple(
        float(min(1, flat * (1 + 0.6 * done) * max(0.1, 1 - 0.05 * i) * rng.uniform(0.95, 1.05)))
        for i in range(depth)
    )
    first = 0.12 if name == "sigmoid" else 0.4
    spread = tuple(
        float(first * 0.7**i * (1 + 2.2 * done * (i + 1) / depth) * rng.uniform(0.96, 1.04))
        for i in range(depth)
    )
    beta = tuple(1.0 + 0.08 * (i + 1) * done for i in range(depth))
    return {
        "gradient_norm": norms if epoch else (math.nan,) * (depth + 1),
        "dead": dead,
        "saturated": saturated,
        "mean": tuple(0.1 * (i + 1) for i in range(depth)),
        "spread": spread,
        "learned": {"beta": beta} if name == "swish" else {},
    }


def broken(trial: TrialResult, after: int = 4) -> TrialResult:
    """The trial as if its loss had become nan in the epoch after `after`."""
    return replace(
        trial,
        epochs=trial.epochs[: after + 1],
        test_loss=math.nan,
        test_accuracy=math.nan if math.isnan(trial.test_accuracy) else 0.1,
        diverged=True,
    )


HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">",
    "a['b'].c\"$x_{\\frac$`|</title>\x02<!--\\input{taken}%&#^~",
)


class Renamed(Results):
    """Results whose activations bear the names in the trials, which the catalogue would never have let in."""

    @property
    def activations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(trial.activation for trial in self.trials))


def hostile(honest: Results) -> Results:
    """The results with names and texts that try to become markup, script, a path of Vega, mathematics or TeX."""
    names = dict(zip(honest.activations, made_up_names(len(honest.activations)), strict=True))

    def renamed(t: TrialResult) -> TrialResult:
        own = names[t.activation]
        return replace(t, activation=own, specification=f"{own}=z", road=own, layers=(own,) * len(t.layers))

    return Renamed(
        honest.directory,
        honest.spec,
        tuple(map(renamed, honest.trials)),
        {**honest.environment, "cpu": HOSTILE[0], "road": HOSTILE[1]},
        tuple(map(renamed, honest.tuning)),
        {f"{HOSTILE[0]}, seed 0": HOSTILE[1]},
    )


def made_up_names(n: int) -> tuple[str, ...]:
    return tuple(HOSTILE[i % 2] + (str(i) if i > 1 else "") for i in range(n))
