"""Another activation function, at some places or at all hidden ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._places import Spot, chosen, spots
from triode.doctor.remedies._words import at_sites, names_of, title
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Replace the activation"
ORDER = 60
RECTIFIERS = ("relu", "relu6", "hard_tanh", "threshold")
BOUNDED = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign")


def _function(prescription: Prescription) -> str:
    name = str(prescription.parameters.get("function", "leaky_relu"))
    known = {"none", "identity", "softmax", "log_softmax", "prelu", "silu"}
    import triode

    if name not in known and name not in triode.names():
        triode.get(name)  # raises with the nearest name; an alias passes
    return name


def places(history: History, prescription: Prescription) -> list[Spot]:
    """Where to replace: what the prescription names, else the hidden activations that are not that function yet."""
    function = _function(prescription)
    found = chosen(history, names_of(prescription, "sites"), names_of(prescription, "of"))
    return [spot for spot in found if spot.function != function]


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    function = _function(prescription)
    here = places(history, prescription) if history and history.graph.operations else []
    old = " and ".join(dict.fromkeys(title(spot.function) for spot in here))
    what = f"Replace {old}" if old else "Replace the activation"
    return f"{what} {at_sites(prescription, 'of the hidden layers')} by {title(function)}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Swap modules and calls."""
    from triode.doctor.remedies._surgery import activation, replace

    function = _function(prescription)
    if history is not None and history.graph.operations:
        here = places(history, prescription)
        replace(training, here, lambda spot: activation(function, axis(spot)), spots(history.graph))
        return
    if names_of(prescription, "sites"):
        raise TriodeError("replace_activation: sites are named by a history, which was not given.")
    _everywhere(training, function, names_of(prescription, "of"))


def _everywhere(training: Training, function: str, of: tuple[str, ...]) -> None:
    """Without a history: every module and call of the functions `of`; by default those that the new one cures."""
    from triode.doctor.observe.operations import _ACTIVATIONS
    from triode.doctor.remedies._calls import ANY, EVERY, Change, Place, rewrite
    from triode.doctor.remedies._surgery import (
        activation,
        add_parameters,
        bare,
        child_name,
        fitted,
        is_activation,
        modules,
        prune,
        swap,
    )

    model = bare(training.model)
    old = of or (
        BOUNDED if function in ("relu", "leaky_relu", "prelu") and not _has_relu(model) else RECTIFIERS
    )
    for module in modules(model).values():
        own = getattr(getattr(module, "activation", None), "name", "")
        name = str(own or _ACTIVATIONS.get(type(module).__name__.lower(), ""))
        if module is not model and is_activation(module) and name in old and name != function:
            new = fitted(activation(function), model)
            swap(model, module, new)
            add_parameters(training, new)
    owner = rewrite(model) if _calls_functions(model) else None
    if owner is not None:
        new = fitted(activation(function), model)
        child = child_name(owner, f"{type(new).__name__.lower()}_for_all")
        owner.add_module(child, new)
        for name in old:
            if name != function:
                owner._triode_changes[Place(ANY, name, EVERY)] = Change(instead=child)
        add_parameters(training, new)
    prune(training)


def _has_relu(model: object) -> bool:
    from triode.doctor.remedies._surgery import modules

    names = {type(module).__name__.lower() for module in modules(model).values()}  # type: ignore[arg-type]
    return bool(names & set(RECTIFIERS)) or not names & set(BOUNDED)


def _calls_functions(model: object) -> bool:
    """Whether some module has a `forward` of the user's own, which may call anything."""
    from triode.doctor.remedies._surgery import modules

    return any(
        not type(module).__module__.startswith("torch.nn.modules")
        and not type(module).__module__.startswith("triode.")
        for module in modules(model).values()  # type: ignore[arg-type]
    )


def axis(spot: Spot) -> int:
    """The dimension of classes or channels, for a function that needs one."""
    given = spot.operation.details.get("dim")
    if isinstance(given, int):
        return given
    return 1 if len(spot.operation.shape) in (2, 4, 5) else -1


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Change each call, or the constructor of each module."""
    function = _function(prescription)
    here = places(history, prescription)
    if not here:
        raise LookupError("nothing to replace")
    program.replace_activation(here, function, axis(here[0]))


def snippet(history: History | None, prescription: Prescription) -> str:
    """What to write in place of the old one."""
    from triode.doctor.remedies._source import spelled

    function = _function(prescription)
    here = places(history, prescription) if history and history.graph.operations else []
    module, call = spelled(function)
    lines = [f"# {at_sites(prescription, 'in the hidden layers')}: {module}, or in forward:"]
    old = here[0].function if here else "relu"
    return "\n".join([*lines, f"x = {call.format('x')}  # was {old}(x)"])
