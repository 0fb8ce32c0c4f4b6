"""Trials: a specification taken apart into the networks to train, each named by a hash of what it computes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from triode.bakeoff.spec import Spec
from triode.errors import TriodeError

FORMAT = 1
"""Raise it when a change of the code changes what a trial computes: stored trials then stand in for nothing new."""


@dataclass(frozen=True)
class Trial:
    """One network to train: everything that decides its numbers, and nothing else."""

    activation: str
    specification: str
    formula: str
    """The formula and the defaults behind the name: a name that comes to mean something else is another trial."""
    seed: int
    dataset: str
    fingerprint: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    validation_share: float
    initialisation: str

    @property
    def key(self) -> str:
        """First 20 hexadecimal digits of the SHA-256 of the trial as canonical JSON."""
        text = json.dumps([FORMAT, self.to_plain()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def to_plain(self) -> dict[str, Any]:
        """Values that JSON holds."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"hidden": list(self.hidden)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Trial:
        """The trial back from `to_plain`."""
        known = {f.name for f in fields(cls)}
        if set(plain) != known:
            raise TriodeError(
                f"a trial has the fields {sorted(known)}, not {sorted(plain)}: another version wrote it."
            )
        return cls(**(plain | {"hidden": tuple(plain["hidden"])}))


def plan(spec: Spec, fingerprint: str) -> tuple[Trial, ...]:
    """The trials of `spec` on the data with this fingerprint: activation by activation, seed by seed."""
    from triode.catalogue import get, specification

    shared = spec.decisive()
    del shared["activations"], shared["seeds"]
    trials: list[Trial] = []
    for text in spec.activations:
        activation = get(text)
        defaults = "".join(f"; {name}={value!r}" for name, value in sorted(activation.defaults().items()))
        named = shared | {
            "activation": activation.name,
            "specification": specification(activation),
            "formula": f"{activation.formula}{defaults}",
            "fingerprint": fingerprint,
        }
        trials += (Trial(seed=seed, **named) for seed in range(spec.seeds))
    return tuple(trials)
