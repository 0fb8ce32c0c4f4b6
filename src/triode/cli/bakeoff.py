"""`triode bakeoff`: train the same network with each activation and report which differences are real."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from triode.bakeoff.spec import Spec, split_activations


def run(spec: Path | None = None, /, *, print_spec: bool = False, json: bool = False, **given: Any) -> int:
    """Train one network with each activation and several seeds, and write a report.

    Every flag is also a field of SPEC.toml; a flag wins over the file. A second start with the same settings finishes
    what is missing and repeats nothing.

    Args:
        spec: A TOML file of settings; what it leaves out keeps its default.
        print_spec: Print the settings as TOML and run nothing.
        json: Print the results as one JSON object instead of a table.
        given: Flags for the fields of the specification; see `_signature`.

    Examples:
        triode bakeoff
        triode bakeoff --activations relu,gelu,mish --seeds 5 --out smooth
        triode bakeoff --dataset fashion-mnist --epochs 20
        triode bakeoff --print-spec > spec.toml
        triode bakeoff spec.toml --seeds 10
    """
    base = Spec() if spec is None else Spec.from_toml(spec)
    flags = {name: value for name, value in given.items() if value is not None}
    chosen = dataclasses.replace(base, **flags)
    if print_spec:
        sys.stdout.write(chosen.to_toml())
        return 0
    from triode import bakeoff
    from triode.bakeoff import report
    from triode.cli._output import print_json
    from triode.cli._results import data, show, status

    results = bakeoff.run(chosen)
    page = report.write(results)
    if json:
        print_json(data(results, page))
    else:
        show(results, page)
    return status(results)


def _signature() -> inspect.Signature:
    """Return `run`'s signature with `given` spelt out: a flag for every field of `Spec`, absent unless typed."""
    hints = typing.get_type_hints(run, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(run).parameters.items()
        if name != "given"
    ]
    return inspect.Signature(
        [*own, *(_flag(field) for field in dataclasses.fields(Spec))], return_annotation=int
    )


def _flag(field: dataclasses.Field[Any]) -> inspect.Parameter:
    # Without `None`: Cyclopts would read the word "none" as it, and a mistyped number would go unnoticed.
    kind = _without_none(typing.get_type_hints(Spec)[field.name])
    is_list = typing.get_origin(kind) is tuple
    settings: dict[str, Any] = {"help": field.metadata["help"]}
    default: Any = field.default
    if default is not None:
        shown = ",".join(str(item) for item in default) if is_list else str(default)
        settings["show_default"] = lambda _: shown
    if is_list:
        settings |= {"converter": _list_of(typing.get_args(kind)[0]), "n_tokens": 1, "accepts_keys": False}
    annotation = Annotated[kind, Parameter(**settings)]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _without_none(kind: Any) -> Any:
    rest = [part for part in typing.get_args(kind) if part is not type(None)]
    return rest[0] if isinstance(kind, types.UnionType) and len(rest) == 1 else kind


def _list_of(item: type) -> Any:
    def convert(_: Any, tokens: Any) -> tuple[Any, ...]:
        return tuple(item(word) for token in tokens for word in split_activations(token.value))

    return convert


run.__signature__ = _signature()  # type: ignore[attr-defined]
