"""What decides a single training, apart from the activation and the seed: one frozen dataclass of plain values.

Importing this module imports no framework. `Spec` adds what is compared, and where and how it runs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from triode.errors import TriodeError, nearest

TRAIN_SIZES = {"fashion-subset": 10_000, "fashion-mnist": 60_000, "mnist": 60_000, "digits": 1_497}
"""Number of examples in the training part (the validation share included) of each built-in dataset."""
DEFAULT_HIDDEN: dict[str, tuple[int, ...]] = {
    "mlp": (512, 256, 128, 64),
    "cnn": (16, 32, 64),
    "residual-mlp": (256, 256, 256, 256),
    "residual-cnn": (16, 32, 64),
    "transformer": (64, 64),
    "lstm": (128,),
}
"""The built-in models, and the widths of each when none are given."""
TASKS = ("auto", "classification", "regression", "next-character")
NORMALISATIONS = ("none", "batch", "layer")
OPTIMIZERS = ("adam", "adamw", "sgd")
INITIALISATIONS = ("auto", "critical", "pytorch", "he", "lecun", "glorot")
GROUPS = ("What is compared", "Data", "Network", "Training", "Protocol", "Where and how")
"""Headings of the fields, in the order in which a specification is written down."""

IMPORTABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""`module:name`, a thing of the user's own."""


def setting(default: Any, group: str, summary: str) -> Any:
    """A field with its help text under one of `GROUPS`."""
    return field(default=default, metadata={"help": summary, "group": group})


@dataclass(frozen=True)
class Setting:
    """Everything but activation and seed that decides what one training computes.

    Raises `TriodeError` (a `ValueError`) with one sentence for a value that cannot be run.

    >>> Setting(model="cnn").hidden
    (16, 32, 64)
    """

    dataset: str = setting(
        "fashion-subset",
        "Data",
        "fashion-subset (10,000 + 2,000 real images, comes with Triode), fashion-mnist (60,000 + 10,000), mnist (from "
        "--data-dir), digits (from scikit-learn), a path (IDX, NPZ, NPY, CSV, a folder of images by class, a text), or "
        "module:loader.",
    )
    task: str = setting(
        "auto", "Data", "classification, regression or next-character; auto: what the data looks like."
    )
    context: int = setting(64, "Data", "Characters in a window of text (next-character).")
    model: str = setting(
        "mlp",
        "Network",
        "mlp, cnn, residual-mlp, residual-cnn, transformer, lstm, or module:factory, called with the activation.",
    )
    hidden: tuple[int, ...] = setting(
        (),
        "Network",
        "Widths, input side first: one a hidden layer, convolution, residual or transformer block, or LSTM layer; "
        "empty: the model's own.",
    )
    normalisation: str = setting("none", "Network", "none, batch or layer normalisation.")
    normalise: str = setting("before", "Network", "Whether to normalise before or after the activation.")
    dropout: float = setting(0.0, "Network", "Share of the hidden units dropped in each training step.")
    feed_forward: str = setting(
        "plain",
        "Network",
        "Feed-forward layer of the transformer: plain, W2 f(W1 x + b1) + b2, or gated, W2 (f(V x) * W x) at the same "
        "number of parameters.",
    )
    learn: bool = setting(
        False, "Network", "Learn every parameter of an activation that can be learned, such as Swish's beta."
    )
    initialisation: str = setting(
        "auto",
        "Network",
        "Initial weights: critical (matched to each activation), pytorch (nn.Linear's default), he, lecun or glorot; "
        "auto: critical, and under the protocol chapter pytorch.",
    )
    epochs: int = setting(10, "Training", "Passes over the training examples.")
    batch_size: int = setting(128, "Training", "Examples in one optimiser step.")
    optimizer: str = setting("adam", "Training", "adam, adamw, or sgd (momentum 0.9).")
    learning_rate: float = setting(
        1e-3, "Training", "Step size of the optimiser where none is tuned (protocol chapter)."
    )
    weight_decay: float = setting(0.0, "Training", "Weight decay of the optimiser.")
    validation_share: float = setting(
        0.15,
        "Training",
        "Share of the training part held out for validation; the test part is used once, at the end.",
    )

    def __post_init__(self) -> None:
        if not (isinstance(self.model, str) and IMPORTABLE.fullmatch(self.model)):
            one_of("model", self.model, tuple(DEFAULT_HIDDEN), " or module:factory")
        object.__setattr__(
            self, "hidden", widths(self.hidden) or DEFAULT_HIDDEN.get(self.model, DEFAULT_HIDDEN["mlp"])
        )
        object.__setattr__(self, "dataset", dataset_name(self.dataset))
        for name, choices in (
            ("task", TASKS),
            ("normalisation", NORMALISATIONS),
            ("normalise", ("before", "after")),
            ("feed_forward", ("plain", "gated")),
            ("optimizer", OPTIMIZERS),
            ("initialisation", INITIALISATIONS),
        ):
            one_of(name, getattr(self, name), choices)
        if self.initialisation == "auto":
            object.__setattr__(self, "initialisation", "critical")
        for name in ("epochs", "batch_size", "context"):
            whole(name, getattr(self, name), least=1)
        if not isinstance(self.learn, bool):
            raise TriodeError(f"learn = {self.learn!r} is neither true nor false.")
        for name, low, high, closed in (
            ("learning_rate", 0.0, math.inf, False),
            ("weight_decay", 0.0, math.inf, True),
            ("validation_share", 0.0, 1.0, False),
            ("dropout", 0.0, 1.0, True),
        ):
            object.__setattr__(self, name, number(name, getattr(self, name), low, high, closed))
        if self.dataset in TRAIN_SIZES:
            check_sizes(self, TRAIN_SIZES[self.dataset])

    def plain(self) -> dict[str, Any]:
        """The fields of a setting (not those that a `Spec` adds) as values that JSON holds."""
        values = {f.name: getattr(self, f.name) for f in fields(Setting)}
        return values | {"hidden": list(self.hidden)}

    def alone(self, **changes: Any) -> Setting:
        """The setting by itself, without what a `Spec` adds, and with these changes."""
        return Setting(**({f.name: getattr(self, f.name) for f in fields(Setting)} | changes))


def split_sizes(examples: int, validation_share: float) -> tuple[int, int]:
    """How many of `examples` train and how many validate: the share rounded to the nearest whole, at least one."""
    validation = max(1, round(examples * validation_share))
    return examples - validation, validation


def check_sizes(chosen: Setting, examples: int) -> None:
    """Refuse a setting that a training part of `examples` examples cannot serve."""
    train, _ = split_sizes(examples, chosen.validation_share)
    if train < 1:
        raise TriodeError(
            f"validation_share = {chosen.validation_share} leaves nothing of {chosen.dataset}'s {examples:,} training "
            "examples to train on."
        )
    if chosen.batch_size > train:
        raise TriodeError(
            f"batch_size = {chosen.batch_size:,} is more than the {train:,} training examples that "
            f"{chosen.dataset} has with validation_share = {chosen.validation_share}."
        )


def dataset_name(value: object) -> str:
    """A built-in name, `module:loader` or a path, which need not exist here: a worker may be elsewhere."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or not value:
        raise TriodeError(f"dataset = {value!r} is neither a name nor a path.")
    if value in TRAIN_SIZES or IMPORTABLE.fullmatch(value):
        return value
    path = Path(value)
    if path.name != value or path.suffix or path.exists():
        return value
    raise TriodeError(
        f"dataset = {value!r} is not one of {', '.join(TRAIN_SIZES)}, nor a file or folder here, nor module:loader"
        f"{nearest(value, TRAIN_SIZES)}"
    )


def one_of(name: str, value: object, choices: tuple[str, ...], more: str = "") -> None:
    """Refuse a value that is not among `choices`, naming the nearest that is."""
    if not isinstance(value, str) or value not in choices:
        hint = nearest(str(value), choices)
        raise TriodeError(f"{name} = {value!r} is not one of {', '.join(choices)}{more}{hint}")


def whole(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1_000_000_000:
        raise TriodeError(f"{name} = {value!r} is not a whole number of at least {least}.")


def number(name: str, value: object, low: float, high: float, closed: bool = False) -> float:
    """The value as a float, refused outside (low, high), or [low, high) where `closed`."""
    right = not isinstance(value, bool) and isinstance(value, int | float)
    if not right or not (low < value < high or (closed and value == low)):  # type: ignore[operator]
        start = f"from {low:g}" if closed else f"greater than {low:g}"
        limit = f"{start} and below {high:g}" if math.isfinite(high) else f"{start} and finite"
        raise TriodeError(f"{name} = {value!r} is not a number {limit}.")
    return float(value)  # type: ignore[arg-type]


def path(name: str, value: object) -> Path:
    """The value as a path."""
    if not isinstance(value, str | Path) or not str(value):
        raise TriodeError(f"{name} = {value!r} is not a path.")
    return Path(value)


def widths(value: object) -> tuple[int, ...]:
    """The value as widths of layers; empty stands for the model's own."""
    if not isinstance(value, tuple | list):
        raise TriodeError(f"hidden = {value!r} is not a list of layer widths such as [512, 256, 128, 64].")
    for width in value:
        if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 65_536:
            raise TriodeError(
                f"hidden = {list(value)!r} holds {width!r}, which is not a layer width from 1 to 65,536."
            )
    if len(value) > 200:
        raise TriodeError(f"hidden has {len(value)} layers; at most 200 can be run.")
    return tuple(value)
