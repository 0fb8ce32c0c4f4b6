"""The results as files for other tools: Parquet for data frames, LaTeX for a paper."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from triode.bakeoff.records import Results, TrialResult
from triode.bakeoff.report.summary import Arm, Summary
from triode.bakeoff.stats import Estimate
from triode.bakeoff.storage.store import write_whole
from triode.errors import MissingExtra

TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
}  # fmt: skip
"""Characters that mean something to LaTeX, and how each is written as itself."""
STANDINGS = {"win": "better", "tie": "tie", "loss": "worse", "untested": "untested"}


def write_parquet(results: Results) -> tuple[Path, Path]:
    """Write `results.parquet`, a row a trial, and `epochs.parquet`, a row an epoch and layer.

    A row of `epochs.parquet` is a layer with weights (`place` is "layer") or a place where the activation stands
    ("site"); `index` counts each from the input side, from 1. Both hold the tuning trials too; `purpose` says which.

    Returns:
        The two paths.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "Writing results.parquet", "parquet") from error
    trials = (*results.tuning, *results.trials)
    schemas = _trial_schema(pa, trials), _epoch_schema(pa, trials)
    rows = [_trial(t) for t in trials], [row for t in trials for row in _epochs(t)]
    paths = []
    for name, schema, own in zip(("results.parquet", "epochs.parquet"), schemas, rows, strict=True):
        path = results.directory / name
        _placed(path, partial(_written, pq, pa.Table.from_pylist(own, schema=schema)))
        paths.append(path)
    return paths[0], paths[1]


def write_tex(summary: Summary) -> Path:
    r"""Write `results.tex`: a table for `\input` in a paper that loads booktabs.

    Returns:
        The path.
    """
    path = summary.results.directory / "results.tex"
    write_whole(path, latex(summary))
    return path


def latex(summary: Summary) -> str:
    """The table of results as LaTeX: mean, 95% interval, interquartile mean, difference from the baseline, standing."""
    measure = summary.measure
    name = tex(measure.name.capitalize())
    unit = r", \%" if measure.percent else f", {tex(measure.unit)}" if measure.unit else ""
    lines = [
        r"% Needs \usepackage{booktabs} (and T1 fonts for quotation marks in names).",
        r"\begin{tabular}{lrrrrl}",
        r"\toprule",
        f"Activation & {name}{unit} & 95\\% interval & IQM & From {tex(summary.baseline)} & Standing \\\\",
        r"\midrule",
        *(_tex_row(arm, summary) for arm in summary.ranked),
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ]
    return "\n".join(lines)


def tex(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(tex("hard_swish, 50%"))
    hard\_swish, 50\%
    """
    return "".join(TEX.get(c, c) for c in text if c.isprintable())


def _tex_row(arm: Arm, summary: Summary) -> str:
    percentage = summary.measure.percent

    def figure(number: float, signed: bool = False) -> str:
        if not math.isfinite(number):
            return "--"
        written = f"{100 * number:.2f}" if percentage else f"{number:#.4g}".rstrip(".")
        return f"${'+' if signed and number > 0 else ''}{written}$"

    def between(e: Estimate) -> str:
        return f"{figure(e.low)}--{figure(e.high)}" if math.isfinite(e.low) else "--"

    if arm.name == summary.baseline:
        difference, standing = "--", "baseline"
    else:
        rival = summary.against.rival(arm.name)
        difference, standing = figure(rival.difference.mean, signed=True), STANDINGS[rival.standing]
    notes = f" ({len(arm.diverged)} diverged)" if arm.diverged else ""
    cells = (
        tex(arm.name) + notes, figure(arm.score.mean), between(arm.score), figure(arm.iqm.mean), difference, standing,
    )  # fmt: skip
    return " & ".join(cells) + r" \\"


def _trial(t: TrialResult) -> dict[str, Any]:
    return {
        "key": t.key, "activation": t.activation, "specification": t.specification, "seed": t.seed,
        "purpose": t.purpose, "learning_rate": t.learning_rate, "parameters": t.parameters,
        "epochs": max((r.epoch for r in t.epochs), default=0), "test_loss": _known(t.test_loss),
        "test_accuracy": _known(t.test_accuracy), "diverged": t.diverged, "seconds": t.seconds,
        "peak_memory": t.peak_memory or None, "road": t.road,
        **{f"tuned_{name}": value for name, value in t.tuned.items()},
    }  # fmt: skip


def _epochs(t: TrialResult) -> list[dict[str, Any]]:
    rows = []
    for r in t.epochs:
        shared = {
            "key": t.key, "activation": t.activation, "seed": t.seed, "purpose": t.purpose,
            "learning_rate": t.learning_rate, "epoch": r.epoch, "train_loss": _known(r.train_loss),
            "train_accuracy": _known(r.train_accuracy), "validation_loss": _known(r.validation_loss),
            "validation_accuracy": _known(r.validation_accuracy), "seconds": r.seconds,
        }  # fmt: skip
        for i, norm in enumerate(r.gradient_norm):
            name = t.layers[i] if i < len(t.layers) else ""
            rows.append(
                shared | {"place": "layer", "index": i + 1, "name": name, "gradient_norm": _known(norm)}
            )
        for i in range(len(r.spread)):
            name = t.sites[i] if i < len(t.sites) else ""
            site = {"dead": r.dead, "saturated": r.saturated, "mean": r.mean, "spread": r.spread}
            site |= {f"learned_{parameter}": values for parameter, values in r.learned.items()}
            rows.append(
                shared
                | {"place": "site", "index": i + 1, "name": name}
                | {column: _known(values[i]) for column, values in site.items() if i < len(values)}
            )
    return rows


def _known(number: float) -> float | None:
    """Absent where it is nan: what was never measured is not a number to average."""
    return None if math.isnan(number) else number


def _trial_schema(pa: Any, trials: tuple[TrialResult, ...]) -> Any:
    tuned = dict.fromkeys(f"tuned_{name}" for t in trials for name in t.tuned)
    columns = {
        "key": pa.string(), "activation": pa.string(), "specification": pa.string(), "seed": pa.int64(),
        "purpose": pa.string(), "learning_rate": pa.float64(), "parameters": pa.int64(), "epochs": pa.int64(),
        "test_loss": pa.float64(), "test_accuracy": pa.float64(), "diverged": pa.bool_(), "seconds": pa.float64(),
        "peak_memory": pa.int64(), "road": pa.string(),
    }  # fmt: skip
    return _schema(pa, columns | dict.fromkeys(tuned, pa.float64()))


def _epoch_schema(pa: Any, trials: tuple[TrialResult, ...]) -> Any:
    learned = dict.fromkeys(f"learned_{name}" for t in trials for r in t.epochs for name in r.learned)
    columns = {
        "key": pa.string(), "activation": pa.string(), "seed": pa.int64(), "purpose": pa.string(),
        "learning_rate": pa.float64(), "epoch": pa.int64(), "place": pa.string(), "index": pa.int64(),
        "name": pa.string(),
    }  # fmt: skip
    numbers = (
        "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "gradient_norm", "dead",
        "saturated", "mean", "spread", *learned, "seconds",
    )  # fmt: skip
    return _schema(pa, columns | dict.fromkeys(numbers, pa.float64()))


def _schema(pa: Any, columns: Mapping[str, Any]) -> Any:
    return pa.schema(list(columns.items()))


def _written(parquet: Any, table: Any, part: Path) -> None:
    parquet.write_table(table, part, compression="zstd")


def _placed(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the place and move there, so that a reader never sees half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
