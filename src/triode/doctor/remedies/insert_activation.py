"""An activation where there was none: between linear layers, or at the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import listed, names_of, title
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Insert an activation"
ORDER = 8
OUTPUT = ("", "output", "outputs")


def _function(prescription: Prescription) -> str:
    return str(prescription.parameters.get("function", "relu"))


def _after(prescription: Prescription) -> tuple[str, ...]:
    return names_of(prescription, "after") or ("",)


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    after = [name for name in _after(prescription) if name not in OUTPUT]
    where = f"after {listed(after)}" if after else "at the output"
    return f"Insert {title(_function(prescription))} {where}."


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Let each named module's result, or the model's, go through it."""
    from triode.doctor.remedies._calls import rewrite
    from triode.doctor.remedies._surgery import (
        activation,
        add_parameters,
        bare,
        child_name,
        fitted,
        modules,
    )

    model = bare(training.model)
    known = modules(model)
    outputs = len(history.outputs[0].shape) if history and history.outputs else 2
    for name in _after(prescription):
        if name not in OUTPUT and name not in known:
            raise TriodeError(f"the model has no module {name!r} to insert an activation after.")
        module = model if name in OUTPUT else known[name]
        owner = rewrite(module)
        new = fitted(activation(_function(prescription), 1 if outputs in (2, 4, 5) else -1), model)
        child = owner._triode_back or child_name(owner, type(new).__name__.lower())
        owner.add_module(child, new)
        owner._triode_back = child
        add_parameters(training, new, name)


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Wrap the layer's call, or add a module after its constructor."""
    for name in _after(prescription):
        if name in OUTPUT:
            made = history.loss.prediction
            operation = history.graph[made] if made >= 0 else None
        else:
            operation = next(
                (
                    each
                    for each in history.graph
                    if each.kind == "weights" and name in {p.rpartition(".")[0] for p in each.parameters}
                ),
                None,
            )
        if operation is None or operation.kind != "weights":
            raise LookupError("the layer was not seen")
        program.insert_after_layer(operation, _function(prescription))


def snippet(history: History | None, prescription: Prescription) -> str:
    """The line after the layer's call."""
    from triode.doctor.remedies._source import spelled

    name = _after(prescription)[0]
    module, call = spelled(_function(prescription))
    if name not in OUTPUT and any(part.isdigit() for part in name.split(".")):
        return f"{module},  # in the nn.Sequential, after {name}"
    inner = "self.output(x)" if name in OUTPUT else f"self.{name}(x)"
    return f"x = {call.format(inner)}"
