"""`triode list`: every activation of the catalogue."""

from __future__ import annotations

from triode.cli._output import formula, print_json, table


def run(*, json: bool = False) -> None:
    """List every activation: names, kind, parameters, year of its paper.

    Args:
        json: Print a JSON list with an object for each activation.

    Examples:
        triode list
        triode list --json
    """
    import triode

    activations = [triode.get(name) for name in triode.names()]
    if json:
        print_json(
            [
                {
                    "name": activation.name,
                    "aliases": activation.aliases,
                    "title": activation.title,
                    "kind": activation.kind,
                    "parameters": activation.defaults(),
                    "formula": formula(activation),
                    "year": activation.reference.year if activation.reference else None,
                }
                for activation in activations
            ]
        )
        return
    rows = [
        (
            activation.name,
            ", ".join(activation.aliases),
            activation.title,
            activation.kind,
            " ".join(f"{name}={value:.6g}" for name, value in activation.defaults().items()),
            str(activation.reference.year) if activation.reference else "",
        )
        for activation in activations
    ]
    table(("name", "aliases", "title", "kind", "parameters", "year"), rows, fold=(1, 2, 4))
