"""The specification of a bake-off: one frozen dataclass that is the command line, the file and the Python API.

Importing this module imports no framework, so `triode bakeoff --help` is quick.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from triode.bakeoff.contestants import Contestant, contestant
from triode.bakeoff.setting import (
    GROUPS,
    TRAIN_SIZES,
    Setting,
    number,
    one_of,
    path,
    setting,
    split_sizes,
    whole,
)
from triode.errors import TriodeError, nearest

CHAPTER_SEVEN = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")
TRACKERS = ("tensorboard", "mlflow")
_DEVICE = re.compile(r"cpu|auto|cuda(:[0-9]+)?")


@dataclass(frozen=True)
class Spec(Setting):
    """What a bake-off compares, on which data, with which network, and where the results go.

    Every field has a default, and the defaults are a whole bake-off: the chapter's seven activations in its five-layer
    network on a real subset of Fashion-MNIST, each with a learning rate of its own. Fields are checked at construction,
    before anything runs. The fields of `Setting` decide what one training computes.

    Raises `TriodeError` (a `ValueError`) with one sentence for a value that cannot be run.

    >>> Spec(activations=("relu", "mish"), seeds=2).hidden
    (512, 256, 128, 64)
    """

    activations: tuple[str, ...] = setting(
        CHAPTER_SEVEN,
        "What is compared",
        "Activations to compare, separated by commas: catalogue names, name=formula for your own, or module:object.",
    )
    baseline: str = setting(
        "",
        "What is compared",
        "The activation that the others are compared with; empty: relu if it takes part, else the first.",
    )
    seeds: int = setting(
        3, "What is compared", "Number of seeds: each activation is trained once with each of seeds 0 to N-1."
    )
    target: float = setting(
        0.0,
        "What is compared",
        "Validation accuracy (or loss) whose first reaching is timed; 0: what the baseline reaches in the middle seed "
        "at nine tenths of its way.",
    )
    protocol: str = setting(
        "tuned",
        "Protocol",
        "tuned: each activation gets the same number of trials to find its learning rate, judged on validation data, "
        "then fresh seeds; chapter: one rate for all.",
    )
    tuner: str = setting(
        "grid", "Protocol", "grid: every rate of learning_rates; optuna: tuning_trials drawn between them."
    )
    learning_rates: tuple[float, ...] = setting(
        (1e-4, 3e-4, 1e-3, 3e-3), "Protocol", "Learning rates to try for each activation."
    )
    weight_decays: tuple[float, ...] = setting(
        (), "Protocol", "Weight decays to try with each rate; empty: weight_decay alone."
    )
    tuning_trials: int = setting(8, "Protocol", "Trials of each activation with the tuner optuna.")
    tuning_seeds: int = setting(1, "Protocol", "Seeds of each tuning trial; they are not used again.")
    tuning_epochs: int = setting(0, "Protocol", "Epochs of a tuning trial; 0: as many as in the final ones.")
    data_dir: Path | None = setting(  # noqa: RUF009 - a dataclasses.field
        None, "Where and how", "Folder to look in for dataset files first."
    )
    device: str = setting("cpu", "Where and how", "cpu, cuda, or auto: cuda where there is one.")
    jobs: int = setting(
        0, "Where and how", "Trials that run at the same time; 0 means one for each processor."
    )
    stack: int = setting(
        0, "Where and how", "Trials trained as one, in batched matrix products; 0: chosen by measurement."
    )
    attempts: int = setting(2, "Where and how", "How often a trial that raises is tried in all.")
    dask: str = setting(
        "", "Where and how", "Address of a Dask scheduler, or local:4 for four workers here; empty: no Dask."
    )
    track: str = setting(
        "", "Where and how", "Also write to tensorboard, mlflow, or both, separated by a comma."
    )
    live: bool = setting(False, "Where and how", "Show a table of all activations while they train.")
    out: Path = setting(  # noqa: RUF009 - a dataclasses.field, and the Path in it never changes
        Path("bakeoff"), "Where and how", "Directory of the results; a second start finishes what is missing."
    )

    def __post_init__(self) -> None:
        if self.protocol == "chapter" and self.initialisation == "auto":
            object.__setattr__(self, "initialisation", "pytorch")
        super().__post_init__()
        object.__setattr__(self, "activations", _strings("activations", self.activations))
        for name in ("learning_rates", "weight_decays"):
            object.__setattr__(
                self, name, _numbers(name, getattr(self, name), closed=name == "weight_decays")
            )
        for name, choices in (
            ("protocol", ("tuned", "chapter")),
            ("tuner", ("grid", "optuna")),
        ):
            one_of(name, getattr(self, name), choices)
        if self.protocol == "tuned" and not self.learning_rates:
            raise TriodeError("learning_rates is empty: name at least one, or choose --protocol chapter.")
        for name, least in (
            ("seeds", 1), ("tuning_trials", 1), ("tuning_seeds", 1), ("tuning_epochs", 0), ("jobs", 0), ("stack", 0),
            ("attempts", 1),
        ):  # fmt: skip
            whole(name, getattr(self, name), least)
        object.__setattr__(self, "target", number("target", self.target, 0.0, float("inf"), closed=True))
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", path("data_dir", self.data_dir))
        object.__setattr__(self, "out", path("out", self.out))
        for name in ("baseline", "device", "dask", "track"):
            if not isinstance(getattr(self, name), str):
                raise TriodeError(f"{name} = {getattr(self, name)!r} is not text.")
        if not _DEVICE.fullmatch(self.device):
            one_of("device", self.device, ("cpu", "cuda", "auto"))
        for name in self.trackers:
            one_of("track", name, TRACKERS)
        self._check_activations()

    def _check_activations(self) -> None:
        if not self.activations:
            raise TriodeError("activations is empty: name at least one, for example relu.")
        seen: dict[str, str] = {}
        for text in self.activations:
            name = contestant(text).name
            if name in seen:
                raise TriodeError(
                    f"activations holds {name} twice (as {seen[name]!r} and as {text!r}); name each once."
                )
            seen[name] = text
        if self.baseline:
            # A name that takes part is one already: `module:object` cannot be found again by it.
            name = self.baseline if self.baseline in seen else contestant(self.baseline).name
            if name not in seen:
                raise TriodeError(
                    f"baseline = {self.baseline!r} takes no part: activations holds {', '.join(seen)}."
                )
            object.__setattr__(self, "baseline", name)
        else:
            object.__setattr__(self, "baseline", "relu" if "relu" in seen else next(iter(seen)))

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        """What takes part, in order."""
        return tuple(contestant(text) for text in self.activations)

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names of the activations, aliases resolved, in order."""
        return tuple(c.name for c in self.contestants)

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers asked for."""
        return tuple(name.strip() for name in self.track.split(",") if name.strip())

    @property
    def train_size(self) -> int:
        """Examples of a built-in dataset left for training once the validation share is taken."""
        return split_sizes(TRAIN_SIZES[self.dataset], self.validation_share)[0]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "the specification") -> Spec:
        """A Spec from plain values such as TOML gives; an unknown field is refused with the nearest right name."""
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise TriodeError(
                    f"{source} has a field {name!r}, which a bake-off does not have{nearest(name, sorted(known))}"
                )
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path) -> Spec:
        """Read `spec.toml`; fields that it leaves out keep their defaults."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise TriodeError(f"{path} cannot be read: {error.strerror or error}.") from error
        except UnicodeDecodeError as error:
            raise TriodeError(f"{path} is not UTF-8 text, so it is not TOML (byte {error.start}).") from error
        return cls.from_toml_text(text, str(path))

    @classmethod
    def from_toml_text(cls, text: str, source: str = "the specification") -> Spec:
        """A Spec from the text of a `spec.toml`; `source` names it in errors."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise TriodeError(f"{source} is not valid TOML: {error}.") from error
        return cls.from_mapping(values, source)

    def to_toml(self) -> str:
        """The specification as TOML, each field under a comment that says what it is.

        >>> Spec.from_toml_text(Spec(seeds=5).to_toml()) == Spec(seeds=5)
        True
        """
        return "\n".join(self._toml_lines()) + "\n"

    def _toml_lines(self) -> Iterator[str]:
        import tomli_w

        group = ""
        yield "# A Triode bake-off. Run it with: triode bakeoff spec.toml"
        for f in written_fields():
            value = getattr(self, f.name)
            yield ""
            if f.metadata["group"] != group:
                group = f.metadata["group"]
                yield f"## {group}"
                yield ""
            yield f"# {f.metadata['help']}"
            if value is None:  # TOML has no null: the field stays as a comment
                yield f'# {f.name} = "..."'
                continue
            plain = value if isinstance(value, str | int | float) else str(value)
            if isinstance(value, tuple) and not any(isinstance(item, str) for item in value):
                yield f"{f.name} = [{', '.join(str(item) for item in value)}]"
            else:
                yield tomli_w.dumps({f.name: list(value) if isinstance(value, tuple) else plain}).rstrip()


def split_activations(text: str) -> tuple[str, ...]:
    """Split `a,b,name=formula` at the commas that stand outside parentheses.

    >>> split_activations("relu, capped=min(max(z, 0), 6)")
    ('relu', 'capped=min(max(z, 0), 6)')
    """
    parts = [""]
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(part.strip() for part in parts if part.strip())


def written_fields() -> tuple[Any, ...]:
    """The fields of a `Spec` in the order in which they are written down and asked for: group by group."""
    return tuple(sorted(fields(Spec), key=lambda f: GROUPS.index(f.metadata["group"])))


def _numbers(name: str, value: object, closed: bool) -> tuple[float, ...]:
    if not isinstance(value, tuple | list):
        raise TriodeError(f"{name} = {value!r} is not a list of numbers.")
    found = tuple(number(name, item, 0.0, float("inf"), closed) for item in value)
    if len(set(found)) != len(found):
        raise TriodeError(f"{name} = {list(value)!r} holds a number twice.")
    return tuple(sorted(found))


def _strings(name: str, value: object) -> tuple[str, ...]:
    value = split_activations(value) if isinstance(value, str) else value
    if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
        raise TriodeError(f"{name} = {value!r} is not a list of names.")
    return tuple(item.strip() for item in value)
