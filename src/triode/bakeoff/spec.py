"""The specification of a bake-off: one frozen dataclass that is the command line, the file and the Python API.

Importing this module imports no framework, so `triode bakeoff --help` is quick.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from triode.errors import TriodeError, nearest

TRAIN_SIZES = {"fashion-subset": 10_000, "fashion-mnist": 60_000, "mnist": 60_000, "digits": 1_497}
"""Number of examples in the training part (the validation share included) of each dataset."""
OPTIMIZERS = ("adam", "sgd")
INITIALISATIONS = ("pytorch", "he", "glorot")
CHAPTER_SEVEN = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")


def _setting(default: Any, summary: str, *, decides: bool = True) -> Any:
    """A field with its help text; `decides` says whether it changes *what* is computed, or only where and how."""
    return field(default=default, metadata={"help": summary, "decides": decides})


@dataclass(frozen=True)
class Spec:
    """What a bake-off compares, on which data, with which network, and where the results go.

    Every field has a default, and the defaults are a whole bake-off: the chapter's seven activations in its five-layer
    network on a real subset of Fashion-MNIST. Fields are checked at construction, before anything runs.

    Raises `TriodeError` (a `ValueError`) with one sentence for a value that cannot be run.

    >>> Spec(activations=("relu", "mish"), seeds=2).hidden
    (512, 256, 128, 64)
    """

    activations: tuple[str, ...] = _setting(
        CHAPTER_SEVEN,
        "Activations to compare, separated by commas: catalogue names, or name=formula for your own.",
    )
    dataset: str = _setting(
        "fashion-subset",
        "fashion-subset (10,000 + 2,000 real images, comes with Triode), fashion-mnist (60,000 + 10,000), mnist "
        "(from --data-dir) or digits (from scikit-learn).",
    )
    hidden: tuple[int, ...] = _setting((512, 256, 128, 64), "Widths of the hidden layers, input side first.")
    seeds: int = _setting(3, "Number of seeds: each activation is trained once with each of seeds 0 to N-1.")
    epochs: int = _setting(12, "Passes over the training examples.")
    batch_size: int = _setting(128, "Examples in one optimiser step.")
    learning_rate: float = _setting(1e-3, "Step size of the optimiser.")
    optimizer: str = _setting("adam", "adam, or sgd (momentum 0.9).")
    validation_share: float = _setting(
        0.15, "Share of the training part held out for validation; the test part is used once, at the end."
    )
    initialisation: str = _setting(
        "pytorch", "Initial weights: pytorch (the default of nn.Linear), he (normal) or glorot (uniform)."
    )
    data_dir: Path | None = _setting(  # noqa: RUF009 - a dataclasses.field
        None, "Folder to look in for dataset files first.", decides=False
    )
    jobs: int = _setting(
        0, "Trials that run at the same time; 0 means one for each processor.", decides=False
    )
    out: Path = _setting(  # noqa: RUF009 - a dataclasses.field, and the Path in it never changes
        Path("bakeoff"), "Directory of the results; a second start finishes what is missing.", decides=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "activations", _strings("activations", self.activations))
        object.__setattr__(self, "hidden", _widths(self.hidden))
        for name in ("seeds", "epochs", "batch_size", "jobs"):
            _whole(name, getattr(self, name), least=0 if name == "jobs" else 1)
        for name, choices in (
            ("dataset", tuple(TRAIN_SIZES)),
            ("optimizer", OPTIMIZERS),
            ("initialisation", INITIALISATIONS),
        ):
            _one_of(name, getattr(self, name), choices)
        object.__setattr__(self, "learning_rate", _number("learning_rate", self.learning_rate, 0.0, math.inf))
        object.__setattr__(
            self, "validation_share", _number("validation_share", self.validation_share, 0.0, 1.0)
        )
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", _path("data_dir", self.data_dir))
        object.__setattr__(self, "out", _path("out", self.out))
        check_sizes(self, TRAIN_SIZES[self.dataset])
        self._check_activations()

    def _check_activations(self) -> None:
        from triode.catalogue import get

        if not self.activations:
            raise TriodeError("activations is empty: name at least one, for example relu.")
        seen: dict[str, str] = {}
        for text in self.activations:
            activation = get(text)
            if activation.kind != "elementwise":
                raise TriodeError(
                    f"{activation.name} is {activation.kind}: the network's hidden layers need an activation of one "
                    "number, such as gelu."
                )
            if activation.name in seen:
                raise TriodeError(
                    f"activations holds {activation.name} twice (as {seen[activation.name]!r} and as {text!r}); "
                    "name each once."
                )
            seen[activation.name] = text

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names of the activations, aliases resolved, in order."""
        from triode.catalogue import get

        return tuple(get(text).name for text in self.activations)

    @property
    def train_size(self) -> int:
        """Examples left for training once the validation share is taken from the dataset's training part."""
        return split_sizes(TRAIN_SIZES[self.dataset], self.validation_share)[0]

    def decisive(self) -> dict[str, Any]:
        """The fields that decide what is computed, without those that only say where and how it runs."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["decides"]}

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

        yield "# A Triode bake-off. Run it with: triode bakeoff spec.toml"
        for f in fields(self):
            value = getattr(self, f.name)
            yield ""
            yield f"# {f.metadata['help']}"
            if value is None:  # TOML has no null: the field stays as a comment
                yield f'# {f.name} = "..."'
                continue
            plain = value if isinstance(value, str | int | float) else str(value)
            if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
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


def split_sizes(examples: int, validation_share: float) -> tuple[int, int]:
    """How many of `examples` train and how many validate: the share rounded to the nearest whole, at least one."""
    validation = max(1, round(examples * validation_share))
    return examples - validation, validation


def check_sizes(spec: Spec, examples: int) -> None:
    """Refuse a specification that a training part of `examples` examples cannot serve."""
    train, _ = split_sizes(examples, spec.validation_share)
    if train < 1:
        raise TriodeError(
            f"validation_share = {spec.validation_share} leaves nothing of {spec.dataset}'s {examples:,} training "
            "examples to train on."
        )
    if spec.batch_size > train:
        raise TriodeError(
            f"batch_size = {spec.batch_size:,} is more than the {train:,} training examples that {spec.dataset} has "
            f"with validation_share = {spec.validation_share}."
        )


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        hint = nearest(str(value), choices)
        raise TriodeError(f"{name} = {value!r} is not one of {', '.join(choices)}{hint}")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1_000_000_000:
        raise TriodeError(f"{name} = {value!r} is not a whole number of at least {least}.")


def _number(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"greater than {low:g} and finite"
        raise TriodeError(f"{name} = {value!r} is not a number {limit}.")
    return float(value)


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TriodeError(f"{name} = {value!r} is not a path.")
    return Path(value)


def _strings(name: str, value: object) -> tuple[str, ...]:
    value = split_activations(value) if isinstance(value, str) else value
    if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
        raise TriodeError(f"{name} = {value!r} is not a list of names.")
    return tuple(item.strip() for item in value)


def _widths(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or not value:
        raise TriodeError(f"hidden = {value!r} is not a list of layer widths such as [512, 256, 128, 64].")
    for width in value:
        if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 65_536:
            raise TriodeError(
                f"hidden = {list(value)!r} holds {width!r}, which is not a layer width from 1 to 65,536."
            )
    if len(value) > 200:
        raise TriodeError(f"hidden has {len(value)} layers; at most 200 can be run.")
    return tuple(value)
