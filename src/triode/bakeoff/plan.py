"""Trials: one network to train, named by a hash of everything that decides its numbers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from triode.bakeoff.contestants import Contestant, contestant
from triode.bakeoff.setting import Setting
from triode.bakeoff.spec import Spec
from triode.errors import TriodeError

FORMAT = 2
"""Raise it when a change of the code changes what a trial computes: stored trials then stand in for nothing new."""
_DEFAULTS = {f.name: f.default for f in fields(Setting)} | {"hidden": []}


@dataclass(frozen=True)
class Trial:
    """One network to train: everything that decides its numbers, and nothing else."""

    activation: str
    specification: str
    formula: str
    """The formula and the defaults behind the name: a name that comes to mean something else is another trial."""
    seed: int
    purpose: str
    """`tune` or `final`."""
    fingerprint: str
    """Of the data."""
    setting: Setting

    @cached_property
    def key(self) -> str:
        """First 20 hexadecimal digits of the SHA-256 of the trial as canonical JSON.

        Settings that have their default are left out of it, so that a new kind of setting renames no stored trial.
        """
        plain = self.to_plain()
        changed = {name: value for name, value in plain["setting"].items() if value != _DEFAULTS[name]}
        text = json.dumps([FORMAT, plain | {"setting": changed}], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def contestant(self) -> Contestant:
        """The activation, rebuilt from its text."""
        return contestant(self.specification)

    @property
    def epochs(self) -> int:
        """Passes over the training examples."""
        return self.setting.epochs

    def to_plain(self) -> dict[str, Any]:
        """Values that JSON holds."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"setting": self.setting.plain()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Trial:
        """The trial back from `to_plain`."""
        known = {f.name for f in fields(cls)}
        if set(plain) != known or set(plain["setting"]) - set(_DEFAULTS):
            raise TriodeError(
                f"a trial has the fields {sorted(known)}, not {sorted(plain)}: another version wrote it."
            )
        chosen = plain["setting"] | {"hidden": tuple(plain["setting"]["hidden"])}
        return cls(**(plain | {"setting": Setting(**chosen)}))


def make_trial(who: Contestant, seed: int, purpose: str, fingerprint: str, chosen: Setting) -> Trial:
    """The trial of one contestant with one seed."""
    return Trial(who.name, who.specification, who.formula, seed, purpose, fingerprint, chosen)


def stackable(trial: Trial, task: str) -> bool:
    """Whether the trial can train as one with others: a plain perceptron, and an activation that is a fixed formula.

    Args:
        trial: The trial.
        task: Of the data: classification, regression or next-character.
    """
    return _plain(trial.setting, task) and _fixed(trial.contestant, trial.setting.learn)


def stackable_names(spec: Spec) -> list[str]:
    """The activations whose trials can train as one with others, in the order of the specification."""
    if not _plain(spec, spec.task):
        return []
    return [who.name for who in spec.contestants if _fixed(who, spec.learn)]


def _plain(chosen: Setting, task: str) -> bool:
    if chosen.model != "mlp" or chosen.normalisation != "none" or chosen.dropout > 0:
        return False
    return task in ("classification", "regression")


def _fixed(who: Contestant, learn: bool) -> bool:
    if who.activation is None or who.activation.sampled is not None:
        return False
    return not any(p.learned or (learn and p.learnable) for p in who.activation.parameters)
