"""A sweep: several bake-offs that differ in a setting, such as depth, run one after another and compared on one page.

    title = "How deep can it be?"
    summary = "..."
    [base]                  # fields of a bake-off
    activations = ["relu", "mish"]
    [runs.depth-10]         # what this run changes
    hidden = [128, 128, ...]
    [[published]]           # figures of others, shown beside ours
    run = "depth-10"
    activation = "mish"
    value = 0.98
    source = "..."

Triode's own sweeps are the files of `presets/`; adding one adds a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triode.bakeoff.spec import Spec
from triode.errors import TriodeError, nearest

if TYPE_CHECKING:
    from triode.bakeoff.records import Results
    from triode.bakeoff.report.published import Published

FIELDS = ("title", "summary", "base", "runs", "published")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Sweep:
    """Bake-offs to run one after another."""

    title: str
    summary: str
    runs: tuple[tuple[str, Spec], ...]
    """Name and specification of each; the name is its folder."""
    published: tuple[Published, ...] = ()

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], source: str = "the sweep", changes: Mapping[str, Any] | None = None
    ) -> Sweep:
        """A sweep from plain values such as TOML gives; `changes` are fields that win over the file in every run."""
        from triode.bakeoff.report.published import Published

        for name in values:
            if name not in FIELDS:
                raise TriodeError(
                    f"{source} has a field {name!r}, which a sweep does not have{nearest(name, FIELDS)}"
                )
        base, runs = values.get("base", {}), values.get("runs", {})
        if not isinstance(base, dict) or not isinstance(runs, dict) or not runs:
            raise TriodeError(f"{source} has no runs: a sweep has a table [runs.NAME] for each bake-off.")
        made = []
        for name, changed in runs.items():
            if not _RUN_NAME.fullmatch(name) or not isinstance(changed, dict):
                raise TriodeError(
                    f"{source}: {name!r} cannot name a run, which becomes a folder: use letters, digits, . _ and -."
                )
            made.append(
                (name, Spec.from_mapping(base | changed | dict(changes or {}), f"{source}, run {name}"))
            )
        published = []
        taking_part = {name: spec.names for name, spec in made}
        for entry in values.get("published", []):
            try:
                figure = Published(**entry)
            except TypeError as error:
                raise TriodeError(f"{source}: a published figure is not understood ({error}).") from error
            if entry["run"] not in runs:
                raise TriodeError(
                    f"{source}: a published figure is of the run {entry['run']!r}, which is none of {', '.join(runs)}."
                )
            if figure.activation in taking_part[figure.run]:
                published.append(figure)
            elif "activations" not in (changes or {}):
                raise TriodeError(
                    f"{source}: a published figure is of {figure.activation!r}, which takes no part in the run "
                    f"{figure.run!r}{nearest(figure.activation, taking_part[figure.run])}"
                )
        return cls(
            str(values.get("title", source)), str(values.get("summary", "")), tuple(made), tuple(published)
        )

    @property
    def trials(self) -> int:
        """Number of trials in all runs, those of tuning included."""
        from triode.bakeoff.protocol import expected_trials

        return sum(expected_trials(spec) for _, spec in self.runs)


def presets() -> dict[str, str]:
    """Name and title of each sweep that comes with Triode.

    >>> "depth" in presets()
    True
    """
    found = sorted(
        p.name for p in files("triode.bakeoff").joinpath("presets").iterdir() if p.name.endswith(".toml")
    )
    return {name.removesuffix(".toml"): str(_preset(name.removesuffix(".toml"))["title"]) for name in found}


def preset(name: str, changes: Mapping[str, Any] | None = None) -> Sweep:
    """A sweep that comes with Triode, with the fields in `changes` replaced in every run.

    Raises `TriodeError` for a name that none has.
    """
    known = presets()
    if name not in known:
        raise TriodeError(f"there is no preset {name!r}; there are {', '.join(known)}{nearest(name, known)}")
    return Sweep.from_mapping(_preset(name), f"preset {name}", changes)


def read(path: str | Path) -> dict[str, Any]:
    """The plain values of a TOML file, of a bake-off or of a sweep."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TriodeError(f"{path} is not UTF-8 text, so it is not TOML (byte {error.start}).") from error
    except tomllib.TOMLDecodeError as error:
        raise TriodeError(f"{path} is not valid TOML: {error}.") from error


def run(
    sweep: Sweep, out: str | Path, executor: Executor | None = None, **options: Any
) -> tuple[list[tuple[str, Results]], Path]:
    """Run every bake-off of a sweep in a folder of its own under `out`, and write the comparison.

    Args:
        sweep: What to run.
        out: Folder of the sweep; a second start finishes what is missing.
        executor: Where to train; by default processes of this machine, started once for all runs.
        options: Passed on to `triode.bakeoff.run`.

    Returns:
        The results by run, and the page that compares them.

    Raises:
        TrialsFailed: At the end, when a trial of some run raised; the other runs and the comparison are there.
        Interrupted: After Ctrl-C.
    """
    from triode.bakeoff import report
    from triode.bakeoff.running import engine
    from triode.bakeoff.storage.store import load

    done: list[tuple[str, Results]] = []
    failed: list[str] = []
    with nullcontext(executor) if executor is not None else _shared(sweep) as shared:
        for name, spec in sweep.runs:
            directory = Path(out) / name
            try:
                results = engine.run(replace(spec, out=directory), shared, **options)
            except engine.TrialsFailed as error:
                if error.__cause__ is not None:  # the disk: the other runs cannot be written either
                    raise
                failed.append(f"Run {name}: {error}")
                results = load(directory)
            except KeyboardInterrupt as error:
                raise engine.Interrupted(
                    f"Stopped in run {name}, number {len(done) + 1} of {len(sweep.runs)}; what is trained is kept in "
                    f"{out}. To go on: the same command again."
                ) from error
            report.write(results)
            done.append((name, results))
    page = report.compare(
        done, Path(out) / "report.html", sweep.published, title=sweep.title, summary=sweep.summary
    )
    if failed:
        raise engine.TrialsFailed(f"{' '.join(failed)} Comparison of what there is: {page}")
    return done, page


@contextmanager
def _shared(sweep: Sweep) -> Iterator[Executor]:
    """Processes, or a Dask cluster, that outlive a run: the next one finds PyTorch loaded."""
    first = sweep.runs[0][1]
    if first.dask:
        from triode.bakeoff.running.cluster import connect

        with connect(first.dask) as (cluster, _):
            yield cluster
        return
    from triode.bakeoff.running.workers import Workers, processors

    workers = Workers(first.jobs or processors())
    try:
        yield workers
    finally:
        workers.stop()


def _preset(name: str) -> dict[str, Any]:
    return tomllib.loads(
        files("triode.bakeoff").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")
    )
