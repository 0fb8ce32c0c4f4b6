"""The words of a report about the run itself: its title, its setting, the machine, and how to do it again."""

from __future__ import annotations

from dataclasses import dataclass

from triode import __version__
from triode.bakeoff.records import Results

DOTS = "\u2009–\u2009"
"""Between the ends of an interval: an en dash in thin spaces."""
DATASETS = {
    "fashion-subset": "a subset of Fashion-MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "digits": "scikit-learn’s digits",
}
NUMBERS = (
    "No",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
)
NAMES = {
    "wall_seconds": "Wall time",
    "cpu": "Processor",
    "started": "Started",
    "threads": "Threads",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "scipy": "SciPy",
}


@dataclass(frozen=True)
class Fact:
    """A name and a value, both text."""

    name: str
    value: str


def question(results: Results) -> str:
    """The title of the report."""
    n = len(results.activations)
    count = NUMBERS[n] if n < len(NUMBERS) else str(n)
    return f"{count} activation{'s' * (n != 1)} on {DATASETS.get(results.spec.dataset, results.spec.dataset)}"


def facts(results: Results) -> tuple[Fact, ...]:
    """The setting at a glance."""
    spec = results.spec
    hidden = "–".join(str(width) for width in spec.hidden)
    done = (
        f"{len(results.trials)} of {results.expected}"
        if len(results.trials) < results.expected
        else str(results.expected)
    )
    return (
        Fact(
            "Hidden layers",
            f"{len(spec.hidden)}: {hidden}" if len(spec.hidden) <= 8 else str(len(spec.hidden)),
        ),
        Fact("Epochs", str(spec.epochs)),
        Fact("Seeds", str(spec.seeds)),
        Fact("Trials", done),
        Fact("Optimiser", f"{spec.optimizer}, rate {spec.learning_rate:g}, batch {spec.batch_size}"),
        Fact("Initial weights", spec.initialisation),
        Fact("Validation share", f"{100 * spec.validation_share:g}%"),
    )


def machine(results: Results) -> tuple[Fact, ...]:
    """Versions, machine, seeds and times, as recorded when the trials ran."""
    seeds = (
        ", ".join(str(seed) for seed in range(results.spec.seeds))
        if results.spec.seeds <= 20
        else f"0 to {results.spec.seeds - 1}"
    )
    recorded = [
        Fact(NAMES.get(k, k.replace("_", " ").capitalize()), _value(k, v))
        for k, v in results.environment.items()
    ]
    trials = sum(trial.seconds for trial in results.trials)
    return (Fact("Seeds", seeds), *recorded, Fact("Time of all trials", f"{trials:.0f} s"))


def steps(results: Results) -> tuple[str, ...]:
    """Commands that make this report again."""
    version = results.environment.get("triode", __version__)
    return (
        f"pip install 'triode[bakeoff]=={version}'",
        "# save the specification below as spec.toml, then:",
        "triode bakeoff spec.toml",
        "# to write this report again from the stored trials, without training:",
        f"triode report {_quoted(str(results.spec.out))}",
    )


def _value(key: str, value: str) -> str:
    if key.endswith("seconds"):
        try:
            return f"{float(value):.0f} s"
        except ValueError:
            return value
    return value


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
