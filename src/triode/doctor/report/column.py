"""The network as a column of rows from input to output, each with its health: data, drawn by every kind of report.

A row is a layer of weights with the normalisation and the activations that follow it. A sick row is one that a finding
names; a row worth watching is one that a note names, or of which more than a tenth is dead without being a fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History, Layer, Operation, Site
from triode.doctor.report.words import clean, number, percent

Health = Literal["well", "watch", "sick", "unknown"]
SIGNS: dict[Health, str] = {"well": "✓", "watch": "!", "sick": "✗", "unknown": "·"}
LETTERS: dict[Health, str] = {"well": "+", "watch": "!", "sick": "x", "unknown": "."}
"""The same for terminals that know no others."""
MEANINGS: dict[Health, str] = {
    "well": "healthy",
    "watch": "worth knowing",
    "sick": "named by a finding",
    "unknown": "not measured",
}
CONCERNING = 0.1
"""Share of dead units from which a row is marked though no rule acts on it (below it the chapter says healthy)."""
MOST = 24
"""Rows from which on healthy stretches are folded."""
_WHOLE = {"input": ("input_not_scaled",), "loss": ("loss_not_decreasing", "nan_or_inf")}
"""Diagnoses that concern an end of the column though they need not name it."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        kind: `input`, `layer` or `loss`.
        name: Of the layer; of the site where no layer owns it.
        what: Its kind and size: `linear 784 → 256`.
        functions: What follows it: `batch norm`, `relu`, `softmax (attention)`.
        number: Of the layer, from 1, which the charts count by; 0 for the ends.
        health: `well`, `watch`, `sick` or `unknown`.
        findings: Diagnoses that name it.
        notes: Of the notes that name it, the text.
        dead: Share of dead units at the end; None where the functions cannot die or nothing was seen.
        saturated: Share of inputs on the flat parts of the function; None likewise.
        gradient: Root mean square of the gradient's entries: the median over the watched steps, or the last where that
            is not finite; None where none was seen.
        update: |change| / |weights| of a step, the median; None likewise.
        trained: Whether an optimiser changes it.
        where: The line of the user's that called its function.
    """

    kind: Literal["input", "layer", "loss"]
    name: str
    what: str = ""
    functions: tuple[str, ...] = ()
    number: int = 0
    health: Health = "unknown"
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dead: float | None = None
    saturated: float | None = None
    gradient: float | None = None
    update: float | None = None
    trained: bool = True
    where: str = ""


@dataclass(frozen=True)
class Fold:
    """Rows next to each other that are shown as one line."""

    rows: tuple[Row, ...]
    health: Health

    @property
    def words(self) -> str:
        """`188 layers, dead 0% to 4%, gradient 1e-3 to 4e-3`."""
        parts = [f"{len(self.rows)} layers"]
        if self.health != "unknown":
            parts.append(
                {"well": "healthy", "watch": "worth knowing", "sick": "named by findings"}[self.health]
            )
        for title, values, write in (
            ("dead", [row.dead for row in self.rows], percent),
            ("saturated", [row.saturated for row in self.rows], percent),
            ("gradient", [row.gradient for row in self.rows], number),
        ):
            found = [value for value in values if value is not None and math.isfinite(value)]
            if found:
                ends = list(dict.fromkeys((write(min(found)), write(max(found)))))
                parts.append(f"{title} {' to '.join(ends)}")
        return ", ".join(parts)


def rows(diagnosis: Diagnosis, history: History) -> list[Row]:
    """The whole column of one model, from its input to its loss; empty where nothing was seen."""
    groups: list[_Group] = []
    for thing in _in_order(history):
        if isinstance(thing, Layer) and not (thing.kind == "normalise" and groups):
            groups.append(_Group(thing))
            continue
        owner = groups[-1] if groups else None
        if isinstance(thing, Site):
            owner = next(
                (g for g in reversed(groups) if g.layer is not None and g.layer.name == thing.layer), None
            )
        if owner is None:
            owner = _Group()
            groups.append(owner)
        owner.add(thing, history)
    layers = [replace(group.row(diagnosis, history), number=i) for i, group in enumerate(groups, 1)]
    if not layers and not history.inputs and not history.losses:
        return []
    return [_input(diagnosis, history), *layers, *([_loss(diagnosis, history)] if history.loss.name else [])]


def folded(column: Sequence[Row], most: int = MOST) -> list[Row | Fold]:
    """The same with long stretches folded, so that at most about `most` lines are left.

    Healthy stretches go first, all but the rows beside what is not healthy; then every stretch of equal health.
    """
    if len(column) <= most:
        return list(column)
    ends = {0, 1, len(column) - 2, len(column) - 1}
    calm = [row.health in ("well", "unknown") for row in column]
    beside = {i + step for i, quiet in enumerate(calm) if not quiet for step in (-1, 0, 1)}
    shown = _fold(column, [i not in ends and i not in beside for i in range(len(column))])
    if len(shown) <= most:
        return shown
    keep = set(ends)
    start = 0
    for _, run in groupby(column, lambda row: row.health):
        length = len(list(run))
        keep |= {start, start + 1, start + length - 2, start + length - 1} & set(range(start, start + length))
        start += length
    shown = _fold(column, [i not in keep for i in range(len(column))])
    if len(shown) <= most:
        return shown
    half = most // 2
    return _fold(column, [half <= i < len(column) - half for i in range(len(column))])


def _fold(column: Sequence[Row], away: Sequence[bool]) -> list[Row | Fold]:
    shown: list[Row | Fold] = []
    for hidden, run in groupby(zip(column, away, strict=True), lambda pair: pair[1]):
        members = [row for row, _ in run]
        if hidden and len(members) > 2:
            worst: Health = next(
                h for h in ("sick", "watch", "well", "unknown") if any(row.health == h for row in members)
            )
            shown.append(Fold(tuple(members), worst))
        else:
            shown += members
    return shown


def _in_order(history: History) -> list[Layer | Site | Operation]:
    """Layers, sites and other softmaxes as the input meets them; without a graph, each layer and then its sites."""
    first: dict[str, int] = {}
    for operation in history.graph:
        for parameter in operation.parameters:
            first.setdefault(parameter, operation.index)
    sites = [site for site in history.sites if site.role not in ("loss", "unused")]
    after = {layer.name: place for place, layer in enumerate(history.layers)}
    known = bool(first) and all(site.operation >= 0 for site in sites)
    seen = {site.operation for site in history.sites}
    others = [o for o in history.graph if o.kind == "softmax" and o.in_model and o.index not in seen]

    def place(thing: Layer | Site | Operation) -> tuple[float, int]:
        if isinstance(thing, Operation):
            return (thing.index, 1)
        if isinstance(thing, Layer):
            met = [first[name] for name in thing.parameters if name in first]
            return (min(met, default=math.inf), 0) if known else (after[thing.name], 0)
        return (thing.operation, 1) if known else (after.get(thing.layer, -1), 1)

    return sorted([*history.layers, *sites, *(others if known else ())], key=place)


class _Group:
    """What becomes one row: a layer of weights and what follows it."""

    def __init__(self, layer: Layer | None = None) -> None:
        self.layer = layer
        self.sites: list[Site] = []
        self.names = {layer.name} if layer else set()
        self.functions: list[str] = []

    def add(self, thing: Layer | Site | Operation, history: History) -> None:
        """A normalisation, an activation or a softmax that follows."""
        if isinstance(thing, Operation):
            self.functions.append(thing.name.replace("_", " "))
            return
        self.names.add(thing.name)
        if isinstance(thing, Site):
            self.sites.append(thing)
            self.functions.append(_function(thing))
            return
        made = next((o for o in history.graph if not set(thing.parameters).isdisjoint(o.parameters)), None)
        self.functions.append(made.name.replace("_", " ") if made else "norm")

    def row(self, diagnosis: Diagnosis, history: History) -> Row:
        """The row, without its number."""
        layer = self.layer
        findings, notes = _named(self.names - {""}, diagnosis, history)
        dead = _worst(
            site.last.dead_share for site in self.sites if site.can_die and site.role != "gate" and site.last
        )
        saturated = _worst(
            site.last.saturated
            for site in self.sites
            if (site.bounded or not site.can_die) and site.role in ("hidden", "output") and site.last
        )
        gradient = typical(list(layer.gradient_rms)) if layer else None
        lost = gradient is not None and not math.isfinite(gradient)
        health: Health = "well"
        if findings:
            health = "sick"
        elif notes or lost or (dead is not None and dead >= CONCERNING):
            health = "watch"
        elif dead is None and saturated is None and gradient is None:
            health = "unknown"
        return Row(
            "layer",
            (layer.name if layer else next((site.name for site in self.sites), "")) or "(no name)",
            _what(layer) if layer else "",
            tuple(self.functions),
            health=health,
            findings=findings,
            notes=notes,
            dead=dead,
            saturated=saturated,
            gradient=gradient,
            update=typical([u for u in layer.update if not math.isnan(u)]) if layer else None,
            trained=layer.trained if layer else True,
            where=next((site.where for site in self.sites if site.where), ""),
        )


def typical(values: Sequence[float]) -> float | None:
    """The median of the finite ones, or the last where that is not finite; None of nothing."""
    if not len(values):
        return None
    if not math.isfinite(values[-1]):
        return float(values[-1])
    return float(np.median([value for value in values if math.isfinite(value)]))


def _worst(shares: Iterable[float]) -> float | None:
    return max((share for share in shares if math.isfinite(share)), default=None)


def _named(
    names: set[str], diagnosis: Diagnosis, history: History
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def here(model: str, places: tuple[str, ...]) -> bool:
        return (not model or model == history.name) and not names.isdisjoint(places)

    findings = [f.diagnosis for f in diagnosis.findings if here(f.model, (f.layer, *f.places))]
    notes = [note.text for note in diagnosis.notes if here(note.model, note.places)]
    return tuple(dict.fromkeys(findings)), tuple(notes)


def _what(layer: Layer) -> str:
    """`linear 784 → 256`, `conv → 64` (channels), `recurrent → 128`."""
    kind = "norm" if layer.kind == "normalise" else layer.kind
    of = f" {layer.fan_in}" if layer.kind == "linear" else ""
    return f"{kind}{of} → {layer.units}" if layer.units else kind


def _function(site: Site) -> str:
    """`relu`; with its role where that is not the usual one."""
    return site.function if site.role == "hidden" else f"{site.function} ({site.role})"


def _input(diagnosis: Diagnosis, history: History) -> Row:
    findings, notes = _end("input", diagnosis, history)
    known = [
        f"{'×'.join(map(str, one.shape))} {clean(one.dtype).removeprefix('torch.')}".strip()
        for one in history.inputs
    ]
    lost = not all(one.finite for one in history.inputs)
    seen: Health = "well" if history.inputs else "unknown"
    health: Health = "sick" if findings else "watch" if notes or lost else seen
    return Row("input", "input", "; ".join(known), health=health, findings=findings, notes=notes)


def _loss(diagnosis: Diagnosis, history: History) -> Row:
    findings, notes = _end("loss", diagnosis, history)
    what = history.loss.name.replace("_", " ")
    if history.losses:
        what += f", {number(history.losses[0], 3)} to {number(history.losses[-1], 3)}"
    lost = bool(history.losses) and not math.isfinite(history.losses[-1])
    seen: Health = "well" if history.losses else "unknown"
    health: Health = "sick" if findings else "watch" if notes or lost else seen
    return Row("loss", "loss", what, health=health, findings=findings, notes=notes)


def _end(end: str, diagnosis: Diagnosis, history: History) -> tuple[tuple[str, ...], tuple[str, ...]]:
    findings, notes = _named({end}, diagnosis, history)
    own = [
        f.diagnosis
        for f in diagnosis.findings
        if f.diagnosis in _WHOLE[end] and (not f.model or f.model == history.name)
    ]
    return tuple(dict.fromkeys([*findings, *own])), notes
