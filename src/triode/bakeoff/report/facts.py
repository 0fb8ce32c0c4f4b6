"""The words of a report about the run itself: its title, its setting, the machine, and how to do it again."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from triode import __version__
from triode.bakeoff.records import Results
from triode.bakeoff.report.summary import Summary
from triode.bakeoff.report.words import counted, megabytes, number, rate
from triode.bakeoff.spec import Spec

DATASETS = {
    "fashion-subset": "a subset of Fashion-MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "digits": "scikit-learn’s digits",
}
MODELS = {
    "mlp": "MLP",
    "cnn": "CNN",
    "residual-mlp": "residual MLP",
    "residual-cnn": "residual CNN",
    "transformer": "transformer",
    "lstm": "LSTM",
}
NAMES = {
    "wall_seconds": "Wall time",
    "cpu": "Processor",
    "started": "Started",
    "threads": "Threads",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "road": "What ran as one, and why",
}


@dataclass(frozen=True)
class Fact:
    """A name and a value, both text."""

    name: str
    value: str


def question(results: Results) -> str:
    """The title of the report."""
    n = len(results.activations)
    return f"{number(n).capitalize()} activation{'s' * (n != 1)} on {dataset(results.spec)}"


def dataset(spec: Spec) -> str:
    """The data by the name that people know, a path by its last part."""
    name = DATASETS.get(spec.dataset)
    return name or (Path(spec.dataset).name if "/" in spec.dataset else spec.dataset)


def network(spec: Spec) -> str:
    """The network in a few words."""
    widths = (
        "–".join(str(width) for width in spec.hidden)
        if len(spec.hidden) <= 6
        else f"{len(spec.hidden)} × {spec.hidden[0]}"
        if len(set(spec.hidden)) == 1
        else f"{len(spec.hidden)} layers"
    )
    said = [f"{MODELS.get(spec.model, spec.model)} {widths}"]
    if spec.normalisation != "none":
        said.append(f"{spec.normalisation} norm {spec.normalise}")
    if spec.feed_forward != "plain":
        said.append(spec.feed_forward)
    if spec.dropout:
        said.append(f"dropout {spec.dropout:g}")
    return ", ".join(said)


def facts(results: Results) -> tuple[Fact, ...]:
    """The setting at a glance."""
    spec, expected = results.spec, results.expected
    done = f"{len(results.trials)} of {expected}" if len(results.trials) < expected else str(expected)
    tuned = f" + {len(results.tuning)} tuning" if results.tuning else ""
    rates = f", rate {rate(spec.learning_rate)}" if spec.protocol == "chapter" else ", rates tuned"
    counts = {trial.parameters for trial in results.trials}
    return (
        Fact("Network", network(spec)),
        *([Fact("Parameters", f"{next(iter(counts)):,}")] if len(counts) == 1 else []),
        *([Fact("Task", results.task)] if results.task != "classification" else []),
        Fact("Baseline", spec.baseline),
        Fact("Protocol", spec.protocol),
        Fact("Seeds × epochs", f"{spec.seeds} × {spec.epochs}"),
        Fact("Trials", done + tuned),
        Fact("Optimiser", f"{spec.optimizer}{rates}, batch {spec.batch_size}"),
        Fact("Initial weights", spec.initialisation),
    )


def machine(summary: Summary) -> tuple[Fact, ...]:
    """Versions, machine, seeds, memory and times, as recorded when the trials ran."""
    results = summary.results
    seeds = (
        ", ".join(str(seed) for seed in range(results.spec.seeds))
        if results.spec.seeds <= 20
        else f"0 to {results.spec.seeds - 1}"
    )
    recorded = [
        Fact(NAMES.get(k, k.replace("_", " ").capitalize()), _value(k, v))
        for k, v in results.environment.items()
    ]
    trials = (*results.trials, *results.tuning)
    roads = Counter(trial.road for trial in trials)
    said = [
        Fact("Seeds", seeds),
        *recorded,
        Fact("Time of all trials", f"{sum(trial.seconds for trial in trials):.0f} s"),
    ]
    if trials:
        said.append(
            Fact("Roads", "; ".join(f"{counted(n, 'trial')} {road}" for road, n in sorted(roads.items())))
        )
    if summary.peak_memory:
        said.append(Fact("Peak memory of one process", megabytes(summary.peak_memory)))
    return tuple(said)


def steps(results: Results) -> tuple[str, ...]:
    """Commands that make this report again."""
    version = results.environment.get("triode", __version__)
    return (
        f"pip install 'triode[bakeoff]=={version}'",
        "# save the specification below as spec.toml, then:",
        "triode bakeoff spec.toml",
        "# to write this report again from the stored trials, without training:",
        f"triode report {shlex.quote(str(results.spec.out))}",
    )


def _value(key: str, value: str) -> str:
    if key.endswith("seconds"):
        try:
            return f"{float(value):.0f} s"
        except ValueError:
            return value
    return value
