"""Units that are silent for every example, for good: and what killed them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from triode.doctor.diagnosis import Finding, Note, Prescription
from triode.doctor.history import History, Layer, Site, UnitFigures
from triode.doctor.rules._flow import USUAL_STEP, factor, too_long
from triode.doctor.rules._theory import scale
from triode.doctor.rules._words import about, called, names, percent, plural
from triode.doctor.rules.bad_init import FACTOR
from triode.doctor.rules.input_not_scaled import LARGE
from triode.doctor.rules.symmetric_init import TWINS

TITLE = "dead ReLU units"
MEANS = (
    "A unit whose input is negative for every example gives 0 and has slope 0: its own weights get no gradient, and "
    "only a change in the layers before it could revive it."
)
HURTS = (
    "Dead units take no part in what the network computes and learn nothing; where a whole layer is dead, nothing "
    "passes it."
)
NEEDS = "Whether each unit spoke at least once in a full pass over the data (sparse is not dead)."
FIX = "Lower the rate; batch normalisation before each ReLU; He's initialisation; leaky ReLU or PReLU."
RANK = 42
CAUSES: tuple[str, ...] = (
    "symmetric_init",
    "input_not_scaled",
    "bad_init",
    "relu_output",
    "exploding_gradient",
)

CRITICAL = 0.5
"""Dead share of a layer from which on it is a fault: the chapter's critical, SageMaker Debugger's too. Networks that
train well have up to a third."""
CONCERNING = 0.1
"""From here to `CRITICAL` a note."""
ENOUGH = 2
"""Examples that must have been seen, at least: of one, half the units are always silent."""
NARROW, DEEP = 10, 4
"""Units a layer, and layers of ReLU: below and above, whole layers are silent by the luck of the draw (with n units a
layer is born dead with probability near 2^-n, and anything before it is cut off)."""

Cause = Literal["rate", "inputs", "twins", "weights", "narrow", "start"]


@dataclass(frozen=True)
class _Death:
    """One site's dead units, and how many of them spoke in the first step."""

    site: Site
    figures: UnitFigures
    share: float
    dead: int
    killed: int
    """Dead units that were alive before any update."""


def unable(history: History) -> str:
    """Say what is missing: a function that can die, watched over some examples."""
    if not any(_counts(site) for site in history.sites):
        return "no function stands in the network whose units can die"
    return ""


def check(history: History) -> Finding | Note | None:
    """Find layers whose units are silent for every example; name the cause."""
    ordered = sorted(history.sites, key=lambda site: site.depth)
    deaths = [_death(site, site.last) for site in ordered if _counts(site) and site.last is not None]
    critical = [death for death in deaths if death.share >= CRITICAL and _trained(history, death.site)]
    if critical:
        return _finding(history, deaths, critical)
    some = [death for death in deaths if death.share >= CONCERNING and death.dead]
    if not some:
        return None
    shares = ", ".join(f"{called(death.site.name)} {percent(death.share)}" for death in some[:6])
    why = (
        "their layers are not trained"
        if any(death.share >= CRITICAL for death in some)
        else "less than half of a layer, which a network that learns can spare"
    )
    return Note(
        "dead_relu",
        f"Some units never speak ({shares}): {why}.",
        tuple(death.site.name for death in some),
    )


def _counts(site: Site) -> bool:
    """Whether the units of this site can die of training: they are made by weights, and stand for features."""
    figures = site.last
    return (
        site.can_die
        and site.role in ("hidden", "output")
        and bool(site.layer)  # a clamp of the data itself is silent where the data are
        and figures is not None
        and figures.dead.size > 0
        and figures.examples >= ENOUGH
    )


def _death(site: Site, figures: UnitFigures) -> _Death:
    dead = int(figures.dead.sum())
    born = int((figures.dead & site.initial.dead).sum()) if site.initial is not None else dead
    return _Death(site, figures, figures.dead_share, dead, dead - born)


def _trained(history: History, site: Site) -> bool:
    """Whether its layer learns: units of a frozen, borrowed network may have nothing to say about new data."""
    layer = next((layer for layer in history.layers if layer.name == site.layer), None)
    return layer is None or layer.trained or not history.trained


def _finding(history: History, deaths: list[_Death], critical: list[_Death]) -> Finding:
    cause = _cause(history, critical)
    dead = sum(death.dead for death in deaths)
    whole = [death.site.name for death in critical if death.share == 1.0]
    places = tuple(death.site.name for death in critical)
    evidence = [_cascade(deaths)]
    if whole:
        evidence.append(f"All units of {names(whole)} are dead: nothing passes.")
    started = sum(death.killed for death in deaths)
    if history.trained and dead:
        evidence.append(
            f"Of {plural(dead, 'dead unit')}, {started} spoke in the first step and died in training."
            if started
            else f"Of {plural(dead, 'dead unit')}, none spoke in the first step: training did not kill them."
        )
    evidence += _course(critical[0].site)
    exact = all(death.figures.exact for death in critical)
    rows = critical[0].figures.examples
    evidence.append(
        f"Asked of every one of {rows:,} examples." if exact else f"Seen over {rows:,} examples, a sample."
    )
    if cause == "rate":
        evidence += _steps(history)
    return Finding(
        "dead_relu",
        f"{_because(history, cause, critical)}: {_what(critical)}.",
        layer=critical[0].site.name,
        severity="critical",
        # That the units are dead is certain where all examples were asked; what killed them is inferred.
        confidence="likely" if exact else "possible",
        evidence=tuple(evidence),
        places=places,
        prescriptions=_prescriptions(history, cause, places),
    )


def _cause(history: History, critical: list[_Death]) -> Cause:
    """What killed most of the units: in training it is the rate, before it the way the network starts."""
    dead, killed = sum(death.dead for death in critical), sum(death.killed for death in critical)
    first = _first_layer(history)
    unscaled = first is not None and first.input_signal > LARGE
    if unscaled:
        return "inputs"
    if any(layer.twins >= TWINS and layer.twin_users for layer in history.weight_layers()):
        return "twins"
    scales = [scale(layer) for layer in history.weight_layers() if math.isfinite(scale(layer))]
    if scales and sum(s > FACTOR or s < 1.0 / FACTOR for s in scales) >= len(scales) / 2:
        return "weights"
    if killed > dead / 2 and history.trained:
        return "rate"
    rectifiers = [site for site in history.hidden() if site.can_die]
    narrow = [site for site in rectifiers if site.units <= NARROW]
    if (
        rectifiers
        and len(narrow) > len(rectifiers) / 2
        and (len({s.depth for s in narrow}) >= DEEP or _tiny(narrow))
    ):
        return "narrow"
    return "start"


def _tiny(sites: list[Site]) -> bool:
    return max(site.units for site in sites) <= 4


def _first_layer(history: History) -> Layer | None:
    layers = history.weight_layers()
    return layers[0] if layers else None


def _because(history: History, cause: Cause, critical: list[_Death]) -> str:
    if cause == "rate":
        return f"The learning rate is {factor(too_long(history))}"
    if cause == "inputs":
        first = _first_layer(history)
        size = f" (typical size {about(first.input_signal)})" if first else ""
        return f"The inputs are not scaled{size}"
    if cause == "twins":
        return "The initial weights are all alike, so that units can only die together"
    if cause == "weights":
        return "The initial weights have the wrong size"
    if cause == "narrow":
        narrow = [site for site in history.hidden() if site.can_die and site.units <= NARROW]
        widest = max(site.units for site in narrow)
        deep = len({site.depth for site in narrow})
        if deep >= DEEP:
            return f"{deep} ReLU layers of {widest} units or fewer are too narrow for their depth"
        return f"A ReLU layer of {plural(widest, 'unit')} is too narrow to survive an unlucky start"
    return "The network starts with units that no example reaches (an unlucky draw of weights and biases)"


def _what(critical: list[_Death]) -> str:
    worst = max(critical, key=lambda death: death.share)
    name = called(worst.site.name)
    if len(critical) == 1 and worst.site.units == 1:
        return f"the only unit of {name} is dead"
    if len(critical) == 1:
        return f"{worst.dead} of the {worst.site.units} units of {name} are dead"
    return f"half or more of the units are dead in {len(critical)} layers, {percent(worst.share)} of {name}"


def _cascade(deaths: list[_Death]) -> str:
    shares = ", ".join(f"{called(death.site.name)} {percent(death.share)}" for death in deaths[:16])
    values = [death.share for death in deaths]
    rising = sum(b >= a for a, b in itertools.pairwise(values))
    if len(values) >= 3 and values[-1] - values[0] >= 0.2 and rising >= 0.75 * (len(values) - 1):
        return f"A cascade, each layer starving the next: {shares}."
    return f"Dead units by layer: {shares}."


def _steps(history: History) -> list[str]:
    """What was seen of the length of steps, in sentences."""
    times = too_long(history)
    if not times >= 2.0:
        return []
    length, usual = percent(times * USUAL_STEP), percent(USUAL_STEP)
    return [
        f"An early step changed a typical layer by {length} of its length; up to about {usual} is usual. How much too "
        "high the rate is follows from this, roughly: to within a factor of ten."
    ]


def _course(site: Site) -> list[str]:
    """When the units of a site died, where several passes were watched."""
    shares = [figures.dead_share for figures in site.passes if figures.dead.size]
    if len(shares) < 2:
        return []
    picked = shares if len(shares) <= 6 else [shares[round(i * (len(shares) - 1) / 5)] for i in range(6)]
    return [f"{called(site.name)} over the passes: {', '.join(percent(share) for share in picked)}."]


def _prescriptions(history: History, cause: Cause, places: tuple[str, ...]) -> tuple[Prescription, ...]:
    """The chapter's table, what fits the cause first."""
    times = too_long(history)
    by = float(min(max(10.0, times if math.isfinite(times) else 10.0), 1000.0))
    lower = Prescription(
        "lower_rate", {"factor": float(f"{by:.1g}")}, "Shorter steps do not throw units off the data."
    )
    normalise = Prescription(
        "insert_batch_norm", {"sites": ()}, "Centred inputs keep about half of each unit's examples active."
    )
    he = Prescription(
        "initialise", {"scheme": "he"}, "About half of the units then start active, at the right size."
    )
    leaky = Prescription(
        "replace_activation",
        {"function": "leaky_relu", "sites": places},
        "A silent unit keeps a gradient and can revive.",
    )
    scaled = Prescription("scale_inputs", {}, "Inputs of size 1 are what weights and rates are made for.")
    order: dict[Cause, tuple[Prescription, ...]] = {
        "rate": (lower, normalise, he, leaky),
        "inputs": (scaled, lower, normalise, he, leaky),
        "twins": (he, normalise, leaky),
        "weights": (he, normalise, leaky),
        "narrow": (normalise, he, leaky),
        "start": (he, normalise, leaky),
    }
    return order[cause]
