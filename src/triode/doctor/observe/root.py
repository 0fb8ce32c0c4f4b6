"""One model as it is called, and the activation sites inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from triode.doctor.history import Graph, Role, Site, UnitFigures
from triode.doctor.observe.naming import plain
from triode.doctor.observe.tensors import Running
from triode.doctor.observe.tracer import Tracer
from triode.doctor.observe.units import Pass

STATISTICS: tuple[Role, ...] = ("hidden", "output", "gate")
"""Roles of sites whose units are watched."""


@dataclass
class SiteWatch:
    """A site and the pass that is going on."""

    site: Site
    now: Pass
    first: Pass
    """Of the traced step: the initial figures."""


@dataclass
class Call:
    """An activation function that a traced step called inside a model."""

    name: str
    operation: int
    found: Pass


@dataclass
class Root:
    """A model: the outermost module of a call that owns parameters."""

    module: nn.Module
    name: str
    sites: dict[str, SiteWatch] = field(default_factory=dict)
    sequence: list[tuple[str, SiteWatch | None]] = field(default_factory=list)
    """The activation functions in the order in which one call of the model calls them."""
    traced: list[Call] = field(default_factory=list)
    """The same, collected during a traced call."""
    known: bool = False
    stale: int = 0
    """How often a call went another way than the traced one."""
    place: int = 0
    """How many activation functions this call has called so far."""
    inputs: list[Running] = field(default_factory=list)
    outputs: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Learn the names of modules, parameters and buffers."""
        self.paths = {id(module): plain(path) for path, module in self.module.named_modules()}
        self.refresh()

    def refresh(self) -> None:
        """Learn the names of parameters, which a lazy module makes only when it is first called.

        `torch.func.functional_call` puts other tensors in their places for the time of a call: those have the names
        too, while the module's own stay known for what the optimiser moves.
        """
        named = self.module.named_parameters(remove_duplicate=True)
        self.current = {id(p): plain(name) for name, p in named}
        if not any(p.grad_fn is not None for p in self.module.parameters()):
            self.parameters = self.current
        self.buffers = {id(b) for b in self.module.buffers()}

    def learn(self, graph: Graph, roles: Mapping[int, Role]) -> None:
        """Make sites of the activation functions that the traced call found."""
        latest, depth = _weights_before(graph)
        self.sequence = []
        for call in self.traced:
            operation = graph[call.operation]
            role = roles.get(call.operation, "unused")
            if role not in STATISTICS or operation.kind != "activation":
                self.sequence.append((call.name, None))
                continue
            before = latest.get(call.operation, -1)
            layer = graph[before].parameters[0].rpartition(".")[0] if before >= 0 else ""
            layer = layer or (type(self.module).__name__ if before >= 0 else "")
            name = f"{layer or 'input'}.{operation.name}"
            if name not in self.sites:
                found = call.found
                site = Site(
                    name=name,
                    function=operation.name,
                    role=role,
                    depth=depth.get(call.operation, 0),
                    layer=layer,
                    module=operation.module,
                    where=operation.where,
                    units=found.units,
                    convolutional=found.convolutional,
                    can_die=found.shape.can_die,
                    bounded=found.shape.bounded,
                    parameters=found.parameters,
                    operation=call.operation,
                )
                site.initial = found.figures()
                self.sites[name] = SiteWatch(site, found, found)
            self.sequence.append((call.name, self.sites[name]))
        self.known = True
        self.traced = []


def convolutional(tracer: Tracer, index: int) -> bool:
    """Whether the nearest layer of weights before an operation is a convolution: its units are then channels."""
    moved = False  # channels last, with the axes changed around each convolution
    while index >= 0:
        operation = tracer.operations[index]
        if operation.kind == "weights":
            return operation.details.get("type") == "conv" and not moved
        moved ^= operation.name in ("permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims")
        if operation.name in ("flatten", "reshape", "view") and len(operation.shape) <= 2:
            return False
        index = max((source for source in operation.inputs if tracer.live[source]), default=-1)
    return False


def _weights_before(graph: Graph) -> tuple[dict[int, int], dict[int, int]]:
    """For each operation the last layer of weights upstream of it, and how many lie on the longest path to it."""
    latest: dict[int, int] = {}
    depth: dict[int, int] = {}
    for operation in graph:
        latest[operation.index] = max((latest.get(source, -1) for source in operation.inputs), default=-1)
        depth[operation.index] = max((depth.get(source, 0) for source in operation.inputs), default=0)
        if operation.kind == "weights" and operation.parameters:
            latest[operation.index] = operation.index
            depth[operation.index] += 1
    return latest, depth


def close_pass(watched: Sequence[SiteWatch]) -> None:
    """End the present pass of each site and begin the next."""
    for each in watched:
        if each.now.examples:
            each.site.units = each.now.units or each.site.units
            each.site.passes.append(each.now.figures())
        each.now = Pass(each.site.function, each.site.parameters, each.site.convolutional)


def present(each: SiteWatch) -> list[UnitFigures]:
    """The passes of a site, the unfinished one included if it has seen anything.

    Who has not yet spoken in a few batches of a pass is not dead: an unfinished pass shorter than the one before
    is judged together with it.
    """
    if not each.now.examples:
        return list(each.site.passes)
    now = each.now.figures()
    before = each.site.passes[-1] if each.site.passes else None
    if before is not None and now.examples < before.examples and now.dead.shape == before.dead.shape:
        now = replace(
            now,
            examples=now.examples + before.examples,
            exact=now.exact and before.exact,
            dead=now.dead & before.dead,
            flat=now.flat & before.flat if now.flat.shape == before.flat.shape else now.flat,
        )
    return [*each.site.passes, now]
