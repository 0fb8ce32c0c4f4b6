"""`triode show`: everything the catalogue says about one activation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

from triode.cli._output import formula, heading, number, paragraph, print_json, section, table

if TYPE_CHECKING:
    from triode.activation import Activation, Kink, Parameter
    from triode.normalising import Normalising

POINTS = (-2.0, 0.0, 2.0)
"""Where the chapter's worked examples evaluate; for softmax, the vector."""


def run(name: str, /, *, json: bool = False) -> None:
    """Show one activation: formula, derivatives, parameters, conventions, paper, advice, worked values.

    Args:
        name: A name or alias from `triode list`, or your own formula as "name=formula".
        json: Print one JSON object.

    Examples:
        triode show gelu
        triode show silu --json
        triode show "tanhexp=z * tanh(exp(z))"
    """
    import triode

    activation = triode.get(name)
    formulas = _formulas(activation)
    worked = _worked(activation)
    if json:
        print_json(_data(activation, formulas, worked))
        return
    aliases = f" (also {', '.join(activation.aliases)})" if activation.aliases else ""
    paragraph(f"{activation.name}{aliases}: {activation.title}", style="bold")
    paragraph(activation.summary)
    section("Formula", [f"{left} = {right}" for left, right in formulas.items()])
    section("Parameters", [_parameter(parameter) for parameter in activation.parameters])
    section("In training", _sampled(activation))
    section("Kinks and conventions", [_kink(kink) for kink in activation.kinks])
    section("Used in", [activation.used_in] if activation.used_in else [])
    section("For", activation.pros)
    section("Against", activation.cons)
    section("When to use it", [activation.when_to_use] if activation.when_to_use else [])
    section("Reference", [f"{activation.reference}."] if activation.reference else [])
    heading("Values")
    headers = tuple(worked[0])
    table(headers, [[number(row[header]) for header in headers] for row in worked], right=range(len(headers)))


def _formulas(activation: Activation) -> dict[str, str]:
    if activation.kind == "normalising":
        return {"f(z)": formula(activation)}
    if activation.kind == "gated":
        partials = {f"df/d{name}": str(activation.partial((name,))) for name in activation.inputs}
        return {f"f({', '.join(activation.inputs)})": formula(activation)} | partials
    marks = ("f(z)", "f'(z)", "f''(z)")
    return {mark: str(activation.expression(order)) for order, mark in enumerate(marks)}


def _worked(activation: Activation) -> list[dict[str, Any]]:
    import numpy as np

    z = np.array(POINTS)
    columns: dict[str, Any]
    if activation.kind == "normalising":
        jacobian = cast("Normalising", activation).jacobian(z)
        columns = {"z": z, "value": activation(z)}
        columns |= {f"d/dz{k + 1}": jacobian[:, k] for k in range(z.size)}
    elif activation.kind == "gated":
        u = np.ones_like(z)
        in_z, in_u = activation.derivative(z, u)
        columns = {"z": z, "u": u, "value": activation(z, u), "d/dz": in_z, "d/du": in_u}
    else:
        columns = {
            "z": z,
            "f(z)": activation(z),
            "f'(z)": activation.derivative(z),
            "f''(z)": activation.derivative(z, order=2),
        }
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _parameter(parameter: Parameter) -> str:
    notes = [f"default {number(parameter.default)}"]
    if parameter.constraint:
        notes.append(parameter.constraint)
    if parameter.learnable:
        notes.append("learnable")
    return f"{parameter.name}: {parameter.summary.rstrip('.')} ({', '.join(notes)})."


def _kink(kink: Kink) -> str:
    where = (
        "derivative"
        if kink.order == 1
        else ("value" if kink.order == 0 else f"derivative of order {kink.order}")
    )
    return f"z = {kink.at}: the {where} jumps; {kink.convention.rstrip('.')}."


def _sampled(activation: Activation) -> list[str]:
    drawn = activation.sampled
    if drawn is None:
        return []
    spread = f"{drawn.parameter} drawn for each element, uniform from {drawn.low} to {drawn.high}"
    return [f"f(z) = {drawn.formula} with {spread}."]


def _data(activation: Activation, formulas: dict[str, str], worked: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": activation.name,
        "aliases": activation.aliases,
        "title": activation.title,
        "summary": activation.summary,
        "kind": activation.kind,
        "formulas": formulas,
        "parameters": [dataclasses.asdict(parameter) for parameter in activation.parameters],
        "sampled": dataclasses.asdict(activation.sampled) if activation.sampled else None,
        "kinks": [dataclasses.asdict(kink) for kink in activation.kinks],
        "used_in": activation.used_in,
        "pros": activation.pros,
        "cons": activation.cons,
        "when_to_use": activation.when_to_use,
        "reference": dataclasses.asdict(activation.reference) if activation.reference else None,
        "values": [{key: float(value) for key, value in row.items()} for row in worked],
    }
