"""One patient: an optimiser and the models whose parameters it moves, with everything that was seen of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from triode.doctor.graphs import loss_of, roles
from triode.doctor.history import Graph, History, Loss, NonFinite
from triode.doctor.observe.layers import (
    Gradients,
    Watched,
    describe_end,
    describe_readers,
    describe_start,
    find_layers,
)
from triode.doctor.observe.rhythm import Rhythm
from triode.doctor.observe.root import Root, SiteWatch, close_pass, present
from triode.doctor.observe.step import Step
from triode.doctor.observe.tensors import Running
from triode.doctor.observe.tracer import Tracer

SETTLING = 16
"""Steps at the start whose targets are all taken in."""
EARLY = 8
"""Steps at the start whose length is compared with the best one."""


class Patient:
    """Created when an optimiser is about to make its first step, so that weights are seen as they were initialised."""

    def __init__(self, optimizer: Any, roots: list[Root], trained: set[int]) -> None:
        """Describe the layers before any update."""
        self.optimizer, self.roots = optimizer, roots
        if optimizer is None:
            trained = {id(p) for root in roots for p in root.module.parameters() if p.requires_grad}
        self.layers: list[Watched] = []
        for root in roots:
            self.layers += find_layers(root.module, self._prefix(root), trained)
        describe_start(self.layers)
        self.gradients = Gradients(self.layers)
        self.graph = Graph()
        self.known_graph = False
        self.loss = Loss()
        self.losses: list[float] = []
        self.epochs: list[int] = []
        self.rates: list[float] = []
        self.targets: list[Running] = []
        self.nonfinite: NonFinite | None = None
        self.steps = 0
        self._sampled = False

    def _prefix(self, root: Root) -> str:
        return f"{root.name}." if len(self.roots) > 1 else ""

    @property
    def sites(self) -> list[SiteWatch]:
        """The activation sites of the models, in order of the calls."""
        return [site for root in self.roots for site in root.sites.values()]

    def learn(self, tracer: Tracer, step: Step) -> None:
        """Take in the graph of a traced step."""
        graph, number = tracer.graph()
        owner = {number[old]: root for old, root in tracer.owner.items() if old in number}
        used = {source for operation in graph if operation.in_model for source in operation.inputs}
        last = tuple(index for index in graph.outputs if index not in used)
        graph = replace(graph, outputs=last or graph.outputs)
        found = roles(graph)
        mine = {id(root) for root in self.roots}
        for index in [number[old] for old in tracer.handed if old in number]:
            # What one model hands to another that somebody else trains is its output: a generator's picture.
            maker, made = owner.get(index), graph.source(index)
            readers = _readers(graph, index, owner) - {maker}
            together = maker in mine and readers & mine
            if readers and not together and made.index in found:
                found[made.index] = "output"
        for root, calls in step.learn:
            root.traced = [replace(call, operation=number[call.operation]) for call in calls]
            root.learn(graph, found)
        for root in step.roots:
            root.known = True
        if self.known_graph:
            return
        names = {id(root): self._prefix(root) for root in self.roots}
        operations = []
        for operation in graph:
            prefix = names.get(owner.get(operation.index, 0))
            # Another patient's parameters may have the same names.
            own = () if prefix is None else tuple(prefix + name for name in operation.parameters)
            operations.append(replace(operation, parameters=own))
        graph = replace(graph, operations=tuple(operations))
        self.graph, self.known_graph = graph, True
        self.loss = loss_of(graph)
        describe_readers(self.layers, graph)
        by_parameter = {name: each.layer for each in self.layers for name in each.layer.parameters}
        for (caller, parameter), (into, out, spread) in step.signals.items():
            layer = by_parameter.get(names.get(caller, "?") + parameter)
            if layer is not None:
                layer.input_signal, layer.signal, layer.output_std = into, out, spread

    def take(self, step: Step, rhythm: Rhythm, epoch: int) -> None:
        """Take in a step that is about to be made."""
        number = self.steps
        self.steps += 1
        if step.losses or step.waiting:
            self.losses.append(step.loss)
            self.epochs.append(epoch)
            if self.optimizer is not None:
                self.rates.append(float(self.optimizer.param_groups[0].get("lr", math.nan)))
        if self.nonfinite is None and step.nonfinite is not None:
            self.nonfinite = replace(step.nonfinite, step=number)
        if number <= EARLY:
            self.gradients.compare_step()
            if number < EARLY and self.optimizer is not None:
                self.gradients.keep_step()
        self._sampled = rhythm.sampling
        if step.targets and (rhythm.sampling or number < SETTLING):
            for place, tensor in enumerate(step.targets):
                while len(self.targets) <= place:
                    self.targets.append(Running(f"target {len(self.targets) + 1}"))
                self.targets[place].add(tensor)
        if rhythm.sampling:
            finite = self.gradients.before(number)
            if not finite and self.nonfinite is None:
                self.nonfinite = NonFinite(number, "gradient", "nan", layer=self._first_bad())
            for root, outputs in step.outputs:
                if root in self.roots:
                    for place, tensor in enumerate(outputs):
                        while len(root.outputs) <= place:
                            root.outputs.append(Running(f"output {len(root.outputs) + 1}"))
                        root.outputs[place].add(tensor)

    def after_step(self) -> None:
        """The step has been made."""
        if self._sampled:
            self.gradients.after()

    def _first_bad(self) -> str:
        bad = [
            each.layer
            for each in self.layers
            if each.layer.gradient and not math.isfinite(each.layer.gradient[-1])
        ]
        return max(bad, key=lambda layer: layer.depth).name if bad else ""

    def close_pass(self) -> None:
        """A pass over the data has ended."""
        close_pass(self.sites)

    def end_final(self) -> None:
        """The pass with the weights held still has ended."""
        for each in self.sites:
            if each.now.examples:
                each.site.final = each.now.figures()
        for each in self.sites:
            each.now = type(each.now)(each.site.function, each.site.parameters, each.site.convolutional)

    def history(self) -> History:
        """Everything as plain data; what was seen later does not change it."""
        describe_end(self.layers)
        sites = []
        layers = {each.layer.name: copy.deepcopy(each.layer) for each in self.layers}
        for root, each in [(owner, each) for owner in self.roots for each in owner.sites.values()]:
            site = copy.copy(each.site)
            prefix = self._prefix(root)
            site.name, site.layer = prefix + site.name, prefix + site.layer if site.layer else ""
            if site.layer in layers:
                layers[site.layer].activation = layers[site.layer].activation or site.function
            site.passes = present(each)
            site.units = each.now.units or each.first.units or site.units
            if site.initial is None or not site.initial.examples:
                site.initial = each.first.figures()
            sites.append(site)
        names = [root.name for root in self.roots]
        given = [o.index for o in self.graph if o.kind == "data" and o.details.get("what") == "input"]
        inputs = [copy.deepcopy(each.result()) for root in self.roots[:1] for each in root.inputs]
        outputs = [copy.deepcopy(each.result()) for root in self.roots[-1:] for each in root.outputs]
        for figures, index in [
            *zip(inputs, given, strict=False),
            *zip(outputs, self.graph.outputs, strict=False),
        ]:
            figures.operation = index
        return History(
            name=" + ".join(names) or "model",
            graph=self.graph,
            sites=sites,
            layers=sorted(layers.values(), key=lambda layer: layer.depth),
            inputs=inputs,
            outputs=outputs,
            targets=[copy.deepcopy(each.result()) for each in self.targets],
            loss=self.loss,
            losses=list(self.losses),
            epochs=list(self.epochs),
            optimizer=type(self.optimizer).__name__ if self.optimizer is not None else "",
            rates=list(self.rates),
            overshoot=list(self.gradients.overshoot),
            nonfinite=self.nonfinite,
            parameters=sum(p.numel() for root in self.roots for p in root.module.parameters()),
            trained=self.optimizer is not None and self.steps > 0,
        )


def _readers(graph: Graph, index: int, owner: Mapping[int, int]) -> set[int | None]:
    """The models that take the result of an operation, directly or rearranged on the way."""
    found: set[int | None] = set()
    for user in graph.users(index):
        if user.index in owner:
            found.add(owner[user.index])
        elif user.kind == "carrier":
            found |= _readers(graph, user.index, owner)
    return found
