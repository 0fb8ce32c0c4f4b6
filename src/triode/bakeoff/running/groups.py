"""Which trials train as one: decided by the specification alone, so that a restart makes the same groups.

Who is finished when is an accident; if it chose the company in which a trial trains, no two runs would take the same
road. So a trial's company is looked for among all trials wanted, finished or not.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from triode.bakeoff.plan import Trial, stackable_names
from triode.bakeoff.setting import Setting
from triode.bakeoff.spec import Spec

Keyed = tuple[str, Trial]
"""A trial under its key, which takes a while to compute."""


def setting_name(chosen: Setting) -> str:
    """A name for a setting, whatever its learning rate: how a choice that was measured is remembered."""
    text = json.dumps(chosen.plain() | {"learning_rate": 0}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def arrange(
    trials: Sequence[Keyed],
    spec: Spec,
    stack: int,
    awaited: Collection[str] = (),
    alone: Collection[str] = (),
) -> list[tuple[Keyed, ...]]:
    """The groups in which these trials train, but for those whose company is still to come.

    Args:
        trials: Every trial wanted so far, finished or not.
        spec: What is compared, with the task of the data.
        stack: The most trials that train as one.
        awaited: Names of activations of which more trials will be wanted.
        alone: Keys of trials that train by themselves whatever the rule says.

    Trials of one group share seed, purpose and setting but for the learning rate; groups of one kind differ by at most
    one in size. Where a kind becomes known bit by bit (final trials, and the points that Optuna draws one after the
    other), a trial's place is that of its activation in the specification, and a group waits for all its members.
    """
    if stack == 1:
        return [(entry,) for entry in trials]
    place = {name: number for number, name in enumerate(stackable_names(spec))}
    bit_by_bit = spec.tuner == "optuna"
    waves: Counter[tuple[str, int]] = Counter()
    kinds: dict[tuple[object, ...], list[Keyed]] = {}
    groups: list[tuple[Keyed, ...]] = []
    for entry in trials:
        key, trial = entry
        wave = 0
        if trial.purpose == "tune" and bit_by_bit:
            wave = waves[trial.activation, trial.seed]
            waves[trial.activation, trial.seed] += 1
        if key in alone or trial.activation not in place:
            groups.append((entry,))
        else:
            kind = (trial.seed, trial.purpose, trial.setting.alone(learning_rate=1.0), wave)
            kinds.setdefault(kind, []).append(entry)
    for (_, purpose, _, _), members in kinds.items():
        if purpose == "final" or bit_by_bit:
            groups += _by_place(members, place, stack, awaited)
        else:
            parts = -(-len(members) // stack)
            made = [i * parts // len(members) for i in range(len(members))]
            groups += (
                tuple(m for m, p in zip(members, made, strict=True) if p == part) for part in range(parts)
            )
    return groups


def _by_place(
    members: Sequence[Keyed], place: dict[str, int], stack: int, awaited: Collection[str]
) -> Iterator[tuple[Keyed, ...]]:
    parts = -(-len(place) // stack)
    made: dict[int, list[Keyed]] = {}
    here = {trial.activation for _, trial in members}
    open_parts = {place[name] * parts // len(place) for name in awaited if name in place and name not in here}
    for entry in members:
        made.setdefault(place[entry[1].activation] * parts // len(place), []).append(entry)
    return (tuple(made[part]) for part in sorted(made) if part not in open_parts)


def by_seed(groups: Iterable[tuple[Keyed, ...]]) -> list[tuple[Keyed, ...]]:
    """Tuning first; then seed by seed, so that a run that is stopped early has something of every activation."""
    return sorted(groups, key=lambda group: (group[0][1].purpose != "tune", group[0][1].seed))
