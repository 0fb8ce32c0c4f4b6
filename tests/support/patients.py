"""Patients made up by hand: diagnoses as the doctor would make them, and some that mean its report ill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triode.doctor.diagnosis import Diagnosis, Finding, Note, Prescription
from triode.doctor.history import (
    Graph,
    History,
    Layer,
    Loss,
    NonFinite,
    Operation,
    Site,
    Tensors,
    UnitFigures,
)

CHAPTER = (0.482, 0.671, 0.854, 0.973, 0.998)
"""Dead units of the five layers of the chapter's exercise."""
EVIL = '<img src=x onerror="alert(1)">\x1b[31m`|*_'


def figures(dead: float, saturated: float = math.nan, units: int = 500) -> UnitFigures:
    """Of one pass, the first units dead."""
    who = np.arange(units) < round(dead * units)
    return UnitFigures(2000, True, who, who, 0.5 + dead / 2, saturated, 0.1, 0.5, -0.1, 1.0, 4.0)


def network(
    function: str = "relu",
    dead: Sequence[float] = CHAPTER,
    saturated: float = math.nan,
    decay: float = 1.0,
    width: int = 500,
    name: str = "Net",
    steps: int = 120,
    std: float | None = None,
) -> History:
    """A stack of fully connected layers with `function` between, as a watcher would describe it."""
    count = len(dead)
    rng = np.random.default_rng(0)
    history = History(name, loss=Loss("cross_entropy", "categorical"), optimizer="SGD", trained=True)
    operations = [Operation(0, "data", "data", details={"what": "input"})]
    at = [1 + 15 * i for i in range(8)]
    for i in range(count + 1):
        last, title = i == count, f"fc{i + 1}"
        fan_in, units = width, 10 if last else width
        layer = Layer(title, "linear", i, fan_in, units, (f"{title}.weight", f"{title}.bias"), True)
        layer.weights, layer.activation = fan_in * units, "" if last else function
        layer.initial_std = std or math.sqrt(2 / fan_in)
        layer.signal = 1.4 * 0.98**i
        layer.steps = at
        alive = 1.0 if last else 1 - dead[i]
        size = 0.03 * decay ** (count - i) * math.sqrt(layer.weights)
        layer.gradient = [size * (1 - (1 - alive) * k / 7) * math.exp(0.2 * rng.normal()) for k in range(8)]
        layer.weight, layer.update = [20.0] * 8, [0.4 * alive + 1e-4] * 8
        history.layers.append(layer)
        operations.append(
            Operation(len(operations), "linear", "weights", (len(operations) - 1,), layer.parameters)
        )
        if last:
            continue
        operations.append(Operation(len(operations), function, "activation", (len(operations) - 1,)))
        history.sites.append(
            Site(
                f"{title}.{function}", function, "hidden", i + 1, title, title, f"train.py:{12 + i}", units, False,
                function == "relu", function in ("sigmoid", "tanh"), operation=operations[-1].index,
                passes=[figures(dead[i] * (1 - math.exp(-(k + 1) / 2)), saturated) for k in range(10)],
                initial=figures(0.0, saturated), final=figures(dead[i], saturated),
            )
        )  # fmt: skip
    history.graph = Graph(tuple(operations))
    history.inputs = [Tensors("input", "float32", (64, width))]
    history.losses = [0.69 + 0.8 * math.exp(-k / 8) * abs(rng.normal()) for k in range(steps)]
    history.epochs, history.epochs_known = [k * 10 // steps for k in range(steps)], True
    history.rates, history.parameters = [2.0] * steps, sum(layer.weights for layer in history.layers)
    history.seconds, history.own_seconds = 12.5, 0.31
    return history


@dataclass(frozen=True)
class Proved:
    """What retraining showed, as the prover hands it over."""

    prescription: Prescription
    helped: bool
    before: tuple[float, ...]
    after: tuple[float, ...]
    findings_after: tuple[str, ...] = ()
    sentence: str = ""


def dying() -> Diagnosis:
    """The chapter's exercise, examined: a cause, what follows from it, two prescriptions tried."""
    history = network()
    places = tuple(site.name for site in history.sites)
    lower = Prescription(
        "lower_rate", {"factor": 40.0}, "the first steps were 41 times longer than the best ones"
    )
    norm = Prescription("insert_batch_norm", {"sites": places}, "it centres what each unit gets")
    cause = Finding(
        "dead_relu",
        "the learning rate is about 40 times too high: in the end 48%, 67%, 85%, 97% and 99.8% of the units of the "
        "five ReLU layers are silent for every example",
        places[0],
        "critical",
        "likely",
        (
            "In the first steps the loss rose: they were 41 times longer than the best ones.",
            "2,487 units died after it.",
        ),
        places,
        (norm, lower),
        model="Net",
    )
    flow = Finding("vanishing_gradient", "gradients reach the first layer 3,000 times smaller", "fc1",
                   follows="dead_relu", places=("fc1",), model="Net", evidence=("fc1 1e-6, fc6 3e-3.",))  # fmt: skip
    flat = Finding("loss_not_decreasing", "the loss stays at 0.69, what a constant answer gives", severity="moderate",
                   follows="dead_relu", model="Net")  # fmt: skip
    before = tuple(history.losses)
    proofs = (
        Proved(norm, False, before, tuple(0.69 for _ in before), ("dead_relu",), "The loss stayed at 0.69"),
        Proved(
            lower, True, before, tuple(0.7 * math.exp(-k / 40) for k in range(120)), (), "0.69 fell to 0.035"
        ),
    )
    return Diagnosis(
        (cause, flow, flat),
        (Note("saturated", "fc6 is close to its limit", ("fc6",), "Net"),),
        (history,),
        ("dead_relu", "vanishing_gradient", "loss_not_decreasing"),
        {"saturated": "the network has no function that is flat on both sides"},
        proofs,
    )


def sigmoids() -> Diagnosis:
    """Six sigmoid layers: the first gradient is a hundred million times smaller than the last."""
    history = network("sigmoid", [0.0] * 6, 0.02, 0.05, 128, std=1 / math.sqrt(128))
    for layer in history.layers:
        layer.signal = 0.6
    found = Finding("sigmoid_hidden", "six sigmoid layers in a row shrink the gradient 0.05-fold each", "fc1.sigmoid",
                    places=tuple(site.name for site in history.sites), model="Net")  # fmt: skip
    return Diagnosis((found,), (), (history,), ("sigmoid_hidden", "dead_relu"))


def healthy(name: str = "Net", layers: int = 3) -> Diagnosis:
    """Nothing to act on."""
    return Diagnosis((), (), (network(dead=[0.02] * layers, name=name),), ("dead_relu", "saturated"))


def evil() -> Diagnosis:
    """Everything that comes from the user's program is markup, escape codes and control characters."""
    history = network(dead=(0.6, 0.0), name=EVIL)
    history.layers[0].name = history.sites[0].layer = EVIL
    history.sites[0].name = history.sites[0].where = EVIL
    history.optimizer, history.exception, history.limits = EVIL, EVIL, [EVIL]
    history.nonfinite = NonFinite(3, "loss", "nan", EVIL, EVIL, EVIL, EVIL)
    history.loss = Loss(EVIL, "other")
    drug = Prescription(EVIL, {EVIL: EVIL}, EVIL)
    found = Finding(
        "dead_relu", EVIL, EVIL, evidence=(EVIL,), places=(EVIL,), prescriptions=(drug,), model=EVIL
    )
    proved = Proved(drug, True, (1.0, 0.5), (1.0, 0.1), (EVIL,), EVIL)
    note = Note(EVIL, EVIL, (EVIL,), EVIL)
    return Diagnosis((found,), (note,), (history,), (EVIL,), {EVIL: EVIL}, (proved,))


def lint_only() -> Diagnosis:
    """A network that was looked at without training."""
    history = network(dead=(0.0, 0.0))
    for layer in history.layers:
        layer.steps, layer.gradient, layer.update = [], [], []
    for site in history.sites:
        site.passes, site.initial, site.final = [], None, None
    history.losses, history.rates, history.trained = [], [], False
    return Diagnosis((), (), (history,), ("softmax_hidden",), {"dead_relu": "nothing was trained"})


def broken() -> Diagnosis:
    """Numbers that are none, everywhere."""
    history = network(dead=(0.5, 0.5))
    for layer in history.layers:
        layer.gradient = [1.0, math.inf, math.nan]
        layer.steps = [1, 2, 3]
        layer.update = [math.nan, math.inf, math.nan]
        layer.signal = math.inf
    history.losses = [2.0, 1e300, math.inf, math.nan, math.nan]
    history.nonfinite = NonFinite(2, "loss", "inf", "exp", "fc2", "train.py:9", "exp of 104.2")
    return Diagnosis((Finding("nan_or_inf", "exp of 104.2 is infinite"),), (), (history,), ("nan_or_inf",))


def several() -> Diagnosis:
    """Two models that were trained together."""
    one, two = dying(), healthy("Discriminator")
    first = replace(one.histories[0], name="Generator")
    return replace(
        one,
        findings=tuple(replace(finding, model="Generator") for finding in one.findings),
        notes=(),
        histories=(first, *two.histories),
    )


KINDS: dict[str, Callable[[], Diagnosis]] = {
    "dying": dying, "sigmoids": sigmoids, "healthy": healthy, "evil": evil, "lint": lint_only, "broken": broken,
    "several": several, "nothing": Diagnosis, "empty history": lambda: Diagnosis(histories=(History(),)),
    "one layer": lambda: healthy(layers=0), "deep": lambda: healthy(layers=200),
    "deep and dead": lambda: Diagnosis((), (), (network(dead=[0.97] * 200, steps=3),), ("dead_relu",)),
}  # fmt: skip
