"""`triode bakeoff`: train the same network with each activation and report which differences are real."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, convert

from triode.bakeoff.setting import GROUPS
from triode.bakeoff.spec import Spec, split_activations, written_fields
from triode.bakeoff.sweep import presets
from triode.errors import TriodeError

PRESET_HELP = f"A sweep that comes with Triode: {', '.join(presets())}."
FLAG_GROUPS = {name: Group(name, sort_key=i) for i, name in enumerate(GROUPS, 1)}


def run(
    spec: Path | None = None,
    /,
    *,
    preset: Annotated[str, Parameter(help=PRESET_HELP, show_default=False)] = "",
    print_spec: bool = False,
    json: bool = False,
    **given: Any,
) -> int:
    """Train one network with each activation and several seeds, and write a report.

    Every flag is also a field of SPEC.toml; a flag wins over the file. A second start with the same settings finishes
    what is missing and repeats nothing, also after Ctrl-C or a crash.

    Args:
        spec: A TOML file of settings; what it leaves out keeps its default. With tables [runs.NAME] it is a sweep:
            several bake-offs, one after another, compared on one page.
        preset: Name of a sweep that comes with Triode.
        print_spec: Print the settings as TOML and run nothing.
        json: Print the results as one JSON object instead of a table.
        given: Flags for the fields of the specification; see `_signature`.

    Examples:
        triode bakeoff
        triode bakeoff --activations relu,gelu,mish --seeds 5 --out smooth
        triode bakeoff --dataset fashion-mnist --protocol chapter --epochs 20 --live
        triode bakeoff --model cnn --dataset photos/ --track tensorboard
        triode bakeoff --model mynets:small --activations relu,mynets:Wavelet --dask local:4
        triode bakeoff --preset depth --seeds 1 --out depth
        triode bakeoff --print-spec > spec.toml
    """
    from triode.bakeoff import sweep

    flags = {name: value for name, value in given.items() if value is not None}
    if preset:
        if spec is not None:
            raise TriodeError(f"{spec} and --preset {preset} were both given; a sweep is one of them.")
        return _sweep(sweep.preset(preset, flags), flags.get("out", Path(preset)), print_spec, json)
    values = {} if spec is None else sweep.read(spec)
    if "runs" in values:
        made = sweep.Sweep.from_mapping(values, str(spec), flags)
        return _sweep(made, flags.get("out", Path(str(spec)).with_suffix("")), print_spec, json)
    chosen = Spec.from_mapping(values | flags, "the command" if spec is None else str(spec))
    if print_spec:
        sys.stdout.write(chosen.to_toml())
        return 0
    from triode import bakeoff
    from triode.bakeoff import report
    from triode.bakeoff.running.engine import TrialsFailed
    from triode.cli._output import print_json
    from triode.cli._results import data, show, status

    failed = None
    try:
        results = bakeoff.run(chosen)
    except TrialsFailed as error:
        if error.__cause__ is not None:  # the disk: no report can be written either
            raise
        failed, results = error, bakeoff.load(chosen.out)
    page = report.write(results)
    if json:
        print_json(data(results, page))
    else:
        show(results, page)
    if failed is not None:  # after the report of what there is
        raise failed
    return status(results)


def _sweep(made: Any, out: Path, print_spec: bool, json: bool) -> int:
    from triode.bakeoff import sweep
    from triode.cli._output import paragraph, print_json
    from triode.cli._results import data, show, status

    if print_spec:
        for name, chosen in made.runs:
            sys.stdout.write(f"# Run {name}\n{chosen.to_toml()}\n")
        return 0
    if not json:
        paragraph(made.title)
        paragraph(f"{len(made.runs)} bake-offs, {made.trials} trials in all, in {out}.")
    done, page = sweep.run(made, out)
    if json:
        print_json({"report": str(page), "runs": [data(r, r.directory / "report.html") for _, r in done]})
    else:
        for name, results in done:
            paragraph(f"Run {name}")
            show(results, results.directory / "report.html")
        paragraph(f"Comparison of all runs: {page}")
    return max(status(results) for _, results in done)


def _signature() -> inspect.Signature:
    """Return `run`'s signature with `given` spelt out: a flag for every field of `Spec`, absent unless typed."""
    hints = typing.get_type_hints(run, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(run).parameters.items()
        if name != "given"
    ]
    return inspect.Signature([*own, *(_flag(field) for field in written_fields())], return_annotation=int)


def _flag(field: dataclasses.Field[Any]) -> inspect.Parameter:
    kind = _without_none(typing.get_type_hints(Spec)[field.name])
    is_list = typing.get_origin(kind) is tuple
    settings: dict[str, Any] = {
        "help": field.metadata["help"],
        "group": FLAG_GROUPS[field.metadata["group"]],
    }
    default: Any = field.default
    if default in (None, "", ()):
        settings["show_default"] = False
    else:
        shown = ",".join(str(item) for item in default) if is_list else str(default)
        settings["show_default"] = lambda _: shown
    if is_list:
        settings |= {
            "converter": _list_of(typing.get_args(kind)[0]),
            "n_tokens": 1,
            "accepts_keys": False,
        }
    elif kind is not bool:
        settings |= {"converter": _as(kind), "n_tokens": 1}
    # An absent flag is None, and where Pydantic is loaded Cyclopts holds that against the annotation.
    annotation: Any = Annotated[kind | None, Parameter(**settings)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _without_none(kind: Any) -> Any:
    rest = [part for part in typing.get_args(kind) if part is not type(None)]
    return rest[0] if isinstance(kind, types.UnionType) and len(rest) == 1 else kind


def _as(kind: Any) -> Any:
    """A converter to `kind` alone: of `kind | None` Cyclopts would read the word "none" as None."""

    def one(_: Any, tokens: Any) -> Any:
        return convert(kind, tokens)

    return one


def _list_of(item: type) -> Any:
    def convert(_: Any, tokens: Any) -> tuple[Any, ...]:
        return tuple(item(word) for token in tokens for word in split_activations(token.value))

    return convert


run.__signature__ = _signature()  # type: ignore[attr-defined]
