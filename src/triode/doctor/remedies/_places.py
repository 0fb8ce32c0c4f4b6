"""Where a prescription applies: the activation functions of the graph that it names, as calls of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triode.doctor.history import Graph, History, Operation
from triode.errors import TriodeError


@dataclass(frozen=True)
class Spot:
    """One call of an activation function."""

    name: str
    """Of its site: layer and function."""
    module: str
    function: str
    call: int
    """The how-manieth of its function in its module within one call of the model, from 0."""
    call_any: int
    """The same, of any activation function."""
    layer: str
    in_model: bool
    operation: Operation


def spots(graph: Graph) -> list[Spot]:
    """Every call of an activation function or softmax, in order.

    >>> graph = Graph((Operation(0, "data", "data"), Operation(1, "relu", "activation", (0,), module="act"),
    ...                Operation(2, "relu", "activation", (1,), module="act")))
    >>> [(spot.module, spot.function, spot.call) for spot in spots(graph)]
    [('act', 'relu', 0), ('act', 'relu', 1)]
    """
    found = []
    counts: dict[tuple[bool, str, str], int] = {}
    latest: dict[int, int] = {}
    for operation in graph:
        before = max((latest.get(source, -1) for source in operation.inputs), default=-1)
        weights = operation.kind == "weights" and operation.parameters
        latest[operation.index] = operation.index if weights else before
        if operation.kind not in ("activation", "softmax"):
            continue
        places = []
        for function in (operation.name, "*"):
            key = (operation.in_model, operation.module, function)
            places.append(counts.get(key, 0))
            counts[key] = places[-1] + 1
        layer = graph[before].parameters[0].rpartition(".")[0] if before >= 0 else ""
        name = f"{layer or 'input'}.{operation.name}"
        found.append(
            Spot(
                name,
                operation.module,
                operation.name,
                places[0],
                places[1],
                layer,
                operation.in_model,
                operation,
            )
        )
    return found


def chosen(history: History, sites: Any = (), of: Any = ()) -> list[Spot]:
    """The spots that `sites` names: sites of the history, modules, or `layer.function`; none for all hidden ones.

    Args:
        history: What was seen of the model.
        sites: Names; a string for one.
        of: Only these functions; none for all.

    Returns:
        Spots in order of the calls.

    Raises:
        TriodeError: For a name that is none of them.
    """
    wanted = (sites,) if isinstance(sites, str) else tuple(sites or ())
    only = (of,) if isinstance(of, str) and of else tuple(of or ())
    every = spots(history.graph)
    if not wanted:
        every = hidden(history, every, softmax=any("softmax" in function for function in only))
        return [spot for spot in every if not only or spot.function in only]
    found: dict[int, Spot] = {}
    for name in wanted:
        here = _named(history, every, str(name))
        if not here:
            known = ", ".join(dict.fromkeys(spot.name for spot in every)) or "none"
            raise TriodeError(
                f"no activation called {name!r} was seen in {history.name}; those seen: {known}."
            )
        found |= {spot.operation.index: spot for spot in here}
    return [found[index] for index in sorted(found)]


def _named(history: History, every: list[Spot], name: str) -> list[Spot]:
    site = next((site for site in history.sites if site.name == name), None)
    if site is not None:
        layer = site.name.rpartition(".")[0]
        # A site is every call of its function behind its layer: two ReLUs in a row are one site.
        same = [s for s in every if s.function == site.function and s.module == site.module]
        behind = [s for s in same if s.name == name or (s.layer and layer.endswith(s.layer))]
        here = behind or [s for s in same if s.operation.index == site.operation]
        if here:
            return here
    exact = [spot for spot in every if spot.name == name or name.endswith(f".{spot.name}")]
    return exact or [spot for spot in every if spot.module == name or spot.layer == name]


def hidden(history: History, every: list[Spot], softmax: bool = False) -> list[Spot]:
    """The spots whose role is hidden; of softmaxes only when asked for."""
    roles = _roles(history)
    return [
        spot
        for spot in every
        if spot.in_model
        and roles.get(spot.operation.index) == "hidden"
        and (spot.operation.kind == "activation") != softmax
    ]


def _roles(history: History) -> dict[int, str]:
    known: dict[int, str] = {site.operation: site.role for site in history.sites if site.operation >= 0}
    try:
        from triode.doctor.graphs import roles
    except ImportError:
        return known
    return {**known, **roles(history.graph)}


def at_output(history: History, sites: Any = ()) -> list[Spot]:
    """The activation that the prediction comes out of; empty if a layer of weights comes first.

    Args:
        history: What was seen of the model.
        sites: Names that say it otherwise.
    """
    if sites:
        return chosen(history, sites)
    graph, every = history.graph, spots(history.graph)
    start = history.loss.prediction
    starts = [start] if start >= 0 else list(graph.outputs)[:1]
    for index in starts:
        seen = last_activation(graph, index)
        if seen is not None:
            return [spot for spot in every if spot.operation.index == seen.index]
    roles = _roles(history)
    return [spot for spot in every if roles.get(spot.operation.index) == "output"][-1:]


def last_activation(graph: Graph, index: int) -> Operation | None:
    """The activation or softmax upstream of `index` with nothing but carriers between; None for none."""
    operation = graph.source(index)
    return operation if operation.kind in ("activation", "softmax") else None


def normalised(history: History, spot: Spot) -> bool:
    """Whether what goes into an activation comes from a normalisation."""
    return any(history.graph.source(index).kind == "normalise" for index in spot.operation.inputs[:1])
