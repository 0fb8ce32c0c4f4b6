"""The files that a history points at, and the places in them: calls, constructors, the optimiser, the step."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from triode.doctor.history import History, Operation
from triode.doctor.remedies._places import Spot, spots
from triode.doctor.remedies._source import SPELLED, Source, called, calls, load, spelled

CONSTRUCTORS = {
    "relu": ("ReLU",),
    "relu6": ("ReLU6",),
    "leaky_relu": ("LeakyReLU",),
    "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "softmax": ("Softmax", "Softmax2d"),
    "log_softmax": ("LogSoftmax",),
    "gelu": ("GELU",),
    "swish": ("SiLU",),
    "elu": ("ELU",),
    "selu": ("SELU",),
    "softplus": ("Softplus",),
    "hard_tanh": ("Hardtanh",),
    "hard_sigmoid": ("Hardsigmoid",),
    "hard_swish": ("Hardswish",),
}
"""Function -> PyTorch's modules that call it."""
OTHER_CALLS = {
    "relu": ("relu_", "clamp", "clamp_", "clamp_min", "clip", "maximum", "where", "threshold"),
    "swish": ("silu",),
    "hard_tanh": ("hardtanh",),
    "hard_sigmoid": ("hardsigmoid",),
    "hard_swish": ("hardswish",),
    "sigmoid": ("sigmoid_", "expit"),
    "tanh": ("tanh_",),
}
CONTAINERS = ("Sequential", "ModuleList")


class Program:
    """The user's files, parsed when they are first asked for."""

    def __init__(self, history: History) -> None:
        """Files are those whose lines the traced step passed through."""
        self.history = history
        self.spots = spots(history.graph)
        paths = dict.fromkeys(each.where.rpartition(":")[0] for each in history.graph if each.where)
        self.sources = {path: source for path in paths if path and (source := load(path)) is not None}
        if not self.sources:
            raise LookupError("the source is not at hand")

    # ---------------------------------------------------------------- finding

    def constructor(self, names: tuple[str, ...]) -> tuple[Source, ast.Call]:
        """The only call of one of these names in all files."""
        found = [
            (source, call)
            for source in self.sources.values()
            for call in calls(source.tree)
            if called(call) in names
        ]
        if len(found) != 1:
            raise LookupError(f"{' or '.join(names)} is called {len(found)} times")
        return found[0]

    def call_at(self, where: str, names: tuple[str, ...]) -> tuple[Source, ast.Call]:
        """The only call of one of these names on a line."""
        source, found = self._calls_at(where, names)
        if len(found) != 1:
            raise LookupError(f"{len(found)} calls on the line")
        return source, found[0]

    def _calls_at(self, where: str, names: tuple[str, ...]) -> tuple[Source, list[ast.Call]]:
        path, _, line = where.rpartition(":")
        source = self.sources.get(path)
        if source is None or not line.isdigit():
            raise LookupError("the line is in no file at hand")
        number = int(line)
        found = [
            call
            for call in calls(source.tree)
            if called(call) in names and call.lineno <= number <= (call.end_lineno or call.lineno)
        ]
        exact = [call for call in found if call.lineno == number or call.end_lineno == number]
        # What is called first ends first: the inner one of F.relu(fc(F.relu(x))).
        return source, sorted(exact or found, key=lambda call: (call.end_lineno, call.end_col_offset))

    def module_constructor(self, path: str, names: tuple[str, ...] = ()) -> tuple[Source, ast.Call]:
        """The call that constructs the module at a path: `self.act = nn.ReLU()`, or an element of `nn.Sequential`."""
        parts = path.split(".")
        digits: list[int] = []
        while parts and parts[-1].isdigit():
            digits.insert(0, int(parts.pop()))
        anchor = parts[-1] if parts else ""
        found = []
        for source in self.sources.values():
            for node in _constructed(source.tree, anchor):
                call: ast.expr | None = node
                for index in digits:
                    call = _element(call, index)
                if isinstance(call, ast.Call) and (not names or called(call) in names):
                    found.append((source, call))
        if len(found) != 1:
            raise LookupError(f"{path} is constructed in {len(found)} places")
        return found[0]

    def place(self, spot: Spot) -> tuple[Source, ast.Call, bool]:
        """Where a spot's function is written, and whether that is a constructor."""
        if spot.module:
            try:
                source, call = self.module_constructor(spot.module, CONSTRUCTORS.get(spot.function, ("",)))
                return source, call, True
            except LookupError:
                pass
        names = (spot.function, *OTHER_CALLS.get(spot.function, ()))
        source, found = self._calls_at(spot.operation.where, names)
        found = [call for call in found if not _of_self(call)]
        same = [
            s for s in self.spots if s.operation.where == spot.operation.where and s.function == spot.function
        ]
        if not found:
            raise LookupError("no such call on the line")
        if len(found) == len(same):
            return source, found[same.index(spot)], False
        if len(found) == 1:  # a line in a loop
            return source, found[0], False
        raise LookupError("several calls on the line")

    def places(self, chosen: list[Spot]) -> dict[ast.Call, tuple[Source, bool, list[Spot]]]:
        """Where each of the spots is written; LookupError if one of those places serves a spot that is not meant."""
        found: dict[ast.Call, tuple[Source, bool, list[Spot]]] = {}
        wanted = {spot.operation.index for spot in chosen}
        for spot in self.spots:
            try:
                source, call, constructor = self.place(spot)
            except LookupError:
                if spot.operation.index in wanted:
                    raise
                continue
            found.setdefault(call, (source, constructor, []))[2].append(spot)
        meant = {}
        for call, (source, constructor, here) in found.items():
            inside = [spot for spot in here if spot.operation.index in wanted]
            if inside and len(inside) < len(here):
                raise LookupError("one line serves several places, not all of which are meant")
            if inside:
                meant[call] = (source, constructor, here)
        return meant

    # ---------------------------------------------------------------- activations

    def replace_activation(self, chosen: list[Spot], function: str, dim: int) -> None:
        """Write another function at each of the spots."""
        if function not in SPELLED:
            raise LookupError("not a function of PyTorch's")
        module, call_text = spelled(function, dim)
        for call, (source, constructor, _) in self.places(chosen).items():
            if constructor:
                self._construct(source, call, module)
            elif not SPELLED[function][1]:
                raise LookupError("a call cannot hold parameters")
            else:
                source.wrap(call, _operand(call), source.local(call_text))

    def _construct(self, source: Source, call: ast.Call, module: str) -> None:
        if isinstance(call.func, ast.Attribute):
            source.replace(call, f"{source.text_of(call.func.value)}.{module.removeprefix('nn.')}")
        else:
            source.replace(call, source.local(module))

    def remove_activation(self, chosen: list[Spot]) -> None:
        """Leave the functions out."""
        for call, (source, constructor, here) in self.places(chosen).items():
            if not constructor:
                source.wrap(call, _operand(call), "{}")
                continue
            parent = source.parents[call]
            siblings = parent.args if isinstance(parent, ast.Call) else getattr(parent, "elts", [])
            if call in siblings and siblings.index(call) > 0:
                before = siblings[siblings.index(call) - 1]
                source.put(source.span(before)[1], source.span(call)[1], "")
                continue
            name = here[0].module.rpartition(".")[2]
            inner, use = self.call_at(here[0].operation.where, (name,))
            inner.wrap(use, use.args[0], "{}")

    def normalise_before(self, chosen: list[Spot], kinds: dict[int, tuple[str, int]]) -> None:
        """Construct a batch normalisation for each spot and call it before the function."""
        for call, (source, constructor, here) in self.places(chosen).items():
            wanted = {kinds[spot.operation.index] for spot in here}
            if len(wanted) != 1:
                raise LookupError("one line serves layers of several sizes")
            kind, features = next(iter(wanted))
            parent = source.parents[call]
            if constructor and isinstance(parent, ast.Call) and called(parent) in CONTAINERS:
                new = f"{_prefix(source, call)}.{kind}({features})"
                start = source.span(call)[0]
                column = source.lines[call.lineno - 1].encode()[: call.col_offset].decode()
                source.put(start, start, f"{new},\n{column}" if not column.strip() else f"{new}, ")
                continue
            for spot in here:
                self._normalise_call(source, call, constructor, spot, kind, features, len(here))

    def _normalise_call(
        self,
        source: Source,
        call: ast.Call,
        constructor: bool,
        spot: Spot,
        kind: str,
        features: int,
        many: int,
    ) -> None:
        attribute = spot.layer.rpartition(".")[2]
        if not attribute or attribute.isdigit():
            raise LookupError("the layer has no name of its own")
        if constructor:  # self.relu(...) in forward
            source, call = self._use(spot)
        elif many > 1:
            raise LookupError("one line serves several layers")
        home, layer = self.module_constructor(spot.layer)
        statement = home.statement(layer)
        name = f"{attribute}_norm"
        home.insert_after(statement, f"self.{name} = {home.module('torch.nn')}.{kind}({features})")
        operand = _operand(call)
        source.wrap(operand, operand, f"self.{name}({{}})")

    def _use(self, spot: Spot) -> tuple[Source, ast.Call]:
        name = spot.module.rpartition(".")[2]
        source, found = self._calls_at(spot.operation.where, (name,))
        same = [
            s for s in self.spots if s.operation.where == spot.operation.where and s.module == spot.module
        ]
        if len(found) != len(same):
            raise LookupError("several calls on the line")
        return source, found[same.index(spot)]

    def insert_after_layer(self, operation: Operation, function: str) -> None:
        """Let the result of a layer go through a function."""
        module, call_text = spelled(function)
        if function not in SPELLED:
            raise LookupError("not a function of PyTorch's")
        path = operation.parameters[0].rpartition(".")[0]
        source, layer = self.module_constructor(path)
        parent = source.parents[layer]
        if isinstance(parent, ast.Call) and called(parent) in CONTAINERS:
            end = source.span(layer)[1]
            column = source.lines[layer.lineno - 1].encode()[: layer.col_offset].decode()
            gap = f",\n{column}" if not column.strip() else ", "
            source.put(end, end, f"{gap}{_prefix(source, layer)}.{module.removeprefix('nn.')}")
            return
        if not SPELLED[function][1]:
            raise LookupError("a call cannot hold parameters")
        source, use = self.call_at(operation.where, (path.rpartition(".")[2],))
        source.wrap(use, use, source.local(call_text))

    # ---------------------------------------------------------------- the loop

    def step(self) -> tuple[Source, ast.stmt, str]:
        """The statement that makes a step, and the optimiser's name in it."""
        found = []
        for source in self.sources.values():
            for call in calls(source.tree):
                owner = source.parents.get(call)
                if called(call) == "step" and not call.args and isinstance(owner, ast.Expr):
                    name = source.text_of(call.func).rpartition(".")[0]
                    if "sched" not in name.lower():
                        found.append((source, owner, name))
        if len(found) != 1:
            raise LookupError(f"{len(found)} steps")
        return found[0]

    def called_model(self, source: Source) -> str:
        """The name of the model in a file, if it is used there."""
        name = self.history.name
        used = any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(source.tree))
        return name if used else ""

    def model_made(self) -> tuple[Source, ast.stmt, str]:
        """The statement that makes the model, and its name."""
        found = []
        for source in self.sources.values():
            for node in ast.walk(source.tree):
                targets = node.targets if isinstance(node, ast.Assign) else []
                names = [each.id for each in targets if isinstance(each, ast.Name)]
                if (
                    isinstance(node, ast.Assign)
                    and self.history.name in names
                    and isinstance(node.value, ast.Call)
                ):
                    found.append((source, node, self.history.name))
        if len(found) != 1:
            raise LookupError(f"{self.history.name} is made in {len(found)} places")
        return found[0]

    def diff(self) -> str:
        """All changes of all files."""
        return "".join(source.diff() for source in self.sources.values())


def _constructed(tree: ast.AST, anchor: str) -> Iterator[ast.expr]:
    """What is assigned to `self.anchor`; every container, where the model itself is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if anchor and isinstance(target, ast.Attribute) and target.attr == anchor:
                    yield node.value
        if (
            isinstance(node, ast.Tuple) and len(node.elts) == 2 and anchor
        ):  # ("act", nn.ReLU()) of an OrderedDict
            name, value = node.elts
            if isinstance(name, ast.Constant) and name.value == anchor:
                yield value
        if not anchor and isinstance(node, ast.Call) and called(node) in CONTAINERS:
            yield node


def _element(container: ast.expr | None, index: int) -> ast.expr | None:
    if not isinstance(container, ast.Call) or called(container) not in CONTAINERS:
        return None
    elements = container.args
    if len(elements) == 1 and isinstance(elements[0], (ast.List, ast.Tuple)):
        elements = elements[0].elts
    if any(isinstance(each, ast.Starred) for each in elements) or index >= len(elements):
        return None
    return elements[index]


def _of_self(call: ast.Call) -> bool:
    """Whether it calls a module, self.relu(x)."""
    return isinstance(call.func, ast.Attribute) and (
        isinstance(call.func.value, ast.Name) and call.func.value.id == "self"
    )


def _method(call: ast.Call) -> bool:
    """Whether it is a tensor's method, x.relu(), and not a module's function, F.relu(x)."""
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = call.func.value
    return not (isinstance(owner, (ast.Name, ast.Attribute)) and _module_like(owner))


def _module_like(owner: ast.expr) -> bool:
    text = ast.unparse(owner)
    return text in ("F", "torch", "nn", "functional", "self") or text.startswith(("torch.", "nn.", "self."))


def _operand(call: ast.Call) -> ast.expr:
    """What an activation is applied to."""
    if _method(call) and isinstance(call.func, ast.Attribute):
        return call.func.value
    if called(call) == "where" and len(call.args) == 3:
        return call.args[1]
    if called(call) == "maximum" and len(call.args) == 2 and isinstance(call.args[0], ast.Constant):
        return call.args[1]
    given = call.args[:1] or [each.value for each in call.keywords if each.arg == "input"]
    if not given:
        raise LookupError("a call without an argument")
    return given[0]


def _prefix(source: Source, call: ast.Call) -> str:
    return (
        source.text_of(call.func.value) if isinstance(call.func, ast.Attribute) else source.module("torch.nn")
    )
