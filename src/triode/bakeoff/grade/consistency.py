"""Contradictions inside the records: what no training can have written.

Each check is a fact about numbers, not a judgement of taste. An accuracy over n examples is a multiple of 1/n. A wrong
answer has a probability of at most one half on the right class, so it costs at least ln 2 nats, and the mean loss of a
network with accuracy a is at least (1 - a) ln 2; where every answer is right it is at most ln C, for C classes. The
mean of an activation's output lies within its range, and its standard deviation is at most half the range (Popoviciu,
1935). Two different networks do not have the same figures to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from triode.bakeoff.contestants import Contestant, contestant
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.setting import IMPORTABLE, split_sizes
from triode.bakeoff.storage.codec import dump_epoch
from triode.interval import WHOLE, Interval, enclose

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.grade.evidence import Cell

PER_SITE = ("dead", "saturated", "mean", "spread")
FASTEST = 1e15
"""Floating-point operations in a second that no single trial reaches today."""
SLACK = 1e-6


def contradictions(cell: Cell, data: Dataset | None) -> list[str]:
    """What cannot be true of one trial, a sentence each; empty for an honest one.

    Args:
        cell: The trial, its result and the text of its `epochs.jsonl`.
        data: What it was trained on, for the checks that need numbers of examples; None leaves those out.
    """
    try:
        who = None if IMPORTABLE.fullmatch(cell.trial.specification) else contestant(cell.trial.specification)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        return [f"{cell.name}: {cell.trial.specification[:80]!r} is no activation ({error})"]
    found = [sentence for check in CHECKS for sentence in check(cell, who)]
    if data is not None and data.fingerprint == cell.trial.fingerprint and data.task != "next-character":
        found += [sentence for counted in COUNTED for sentence in counted(cell, data)]
    return [f"{cell.name}: {sentence}" for sentence in found]


def identical(cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Pairs of trials with the same figures to the last bit although they are different networks."""
    pairs = []
    seen: dict[tuple[float, ...], Cell] = {}
    for cell in cells:
        course = tuple(value for r in cell.result.epochs for value in (r.train_loss, r.validation_loss))
        if len(course) < 4 or not all(math.isfinite(value) for value in course):
            continue
        other = seen.setdefault(course, cell)
        if other is not cell and not _same_network(cell, other):
            pairs.append((other, cell))
    return pairs


def _same_network(a: Cell, b: Cell) -> bool:
    # One formula under two names trains to the same figures; so do two points of a search that differ in nothing used.
    if a.trial.seed != b.trial.seed:
        return False
    if a.trial.setting != b.trial.setting:
        return a.trial.purpose != b.trial.purpose
    return a.trial.formula == b.trial.formula or _agree(a.trial.specification, b.trial.specification)


def _agree(first: str, second: str) -> bool:
    import numpy as np

    if IMPORTABLE.fullmatch(first) or IMPORTABLE.fullmatch(second):
        return True  # what they compute is not known here
    one, two = contestant(first).activation, contestant(second).activation
    z = np.linspace(-6, 6, 241, dtype=np.float32)
    return one is not None and two is not None and bool(np.allclose(one(z), two(z), rtol=1e-6, atol=1e-7))


def _says_what_it_is(cell: Cell, who: Contestant | None) -> Iterator[str]:
    trial, result = cell.trial, cell.result
    for name in ("activation", "specification", "seed", "purpose"):
        if getattr(trial, name) != getattr(result, name):
            yield f"result.json says {name} {getattr(result, name)!r}, trial.json {getattr(trial, name)!r}."
    if result.learning_rate != trial.setting.learning_rate:
        yield f"result.json says learning rate {result.learning_rate:g}, trial.json {trial.setting.learning_rate:g}."
    if who is not None and (who.name, who.formula) != (trial.activation, trial.formula):
        yield f"{trial.activation} is not {trial.formula[:80]!r} in this version, but {who.formula[:80]!r}."


def _epochs_in_order(cell: Cell, _: Contestant | None) -> Iterator[str]:
    numbers = [record.epoch for record in cell.result.epochs]
    if numbers != list(range(len(numbers))):
        yield f"its epochs are numbered {_few(numbers)}, not 0, 1, 2 and so on."
    elif not cell.result.diverged and len(numbers) != cell.trial.epochs + 1:
        yield f"it has {len(numbers) - 1} epochs of the {cell.trial.epochs} that its settings ask for."


def _the_two_files_agree(cell: Cell, _: Contestant | None) -> Iterator[str]:
    # Absent lines prove nothing: a worker on another machine sends its result, and keeps its lines.
    if not cell.lines or not cell.lines.strip():
        return
    told = {record.epoch: json.loads(dump_epoch(record)) for record in cell.result.epochs}
    for line in cell.lines.splitlines():
        try:
            plain = json.loads(line)
            epoch = plain["epoch"]
        except (ValueError, TypeError, KeyError, RecursionError):
            yield "epochs.jsonl has a line that is no epoch, although the trial is finished."
            return
        if not isinstance(epoch, int) or told.get(epoch) != plain:
            yield f"epochs.jsonl and result.json differ in epoch {epoch!r:.20}."
            return


def _shapes(cell: Cell, _: Contestant | None) -> Iterator[str]:
    result, setting = cell.result, cell.trial.setting
    for record in cell.result.epochs:
        if len(record.gradient_norm) != len(result.layers):
            yield f"epoch {record.epoch} has {len(record.gradient_norm)} norms for {len(result.layers)} layers."
            return
        if any(len(getattr(record, name)) != len(result.sites) for name in PER_SITE):
            yield f"epoch {record.epoch} does not have a figure for each of {len(result.sites)} activation sites."
            return
    if setting.model == "mlp" and tuple(result.units) != setting.hidden:
        yield f"its sites have {_few(result.units)} units, its settings say {_few(setting.hidden)}."
    if (
        setting.model == "mlp"
        and setting.normalisation == "none"
        and len(result.layers) != len(setting.hidden) + 1
    ):
        yield f"it names {len(result.layers)} weight layers; its network has {len(setting.hidden) + 1}."


def _limits(cell: Cell, _: Contestant | None) -> Iterator[str]:
    result = cell.result
    final = cell.trial.purpose == "final"
    for record in result.epochs[: -1 if result.diverged else None]:
        losses = (record.train_loss, record.validation_loss)
        if not all(math.isfinite(loss) and loss >= 0 for loss in losses):
            yield f"the losses of epoch {record.epoch} are {losses[0]:g} and {losses[1]:g}, without divergence there."
            return
    for record in result.epochs:
        shares = (record.train_accuracy, record.validation_accuracy, *record.dead, *record.saturated)
        if any(not -SLACK <= share <= 1 + SLACK for share in shares if not math.isnan(share)):
            yield f"a share of epoch {record.epoch} is outside 0 to 1."
            return
        if any(value < 0 for value in (*record.gradient_norm, *record.spread) if not math.isnan(value)):
            yield f"a norm or spread of epoch {record.epoch} is negative."
            return
        for share, units in zip(record.dead, result.units, strict=False):
            if math.isfinite(share) and not _multiple(share, units):
                yield f"a dead share of epoch {record.epoch}, {share:.6g}, is not a whole number of {units} units."
                return
    if final and not result.diverged and not math.isfinite(result.test_loss):
        yield f"its test loss is {result.test_loss:g}, and it did not diverge."
    if not final and not (math.isnan(result.test_loss) and math.isnan(result.test_accuracy)):
        yield "it is a tuning trial and has test figures: the test part was not left untouched."


def _within_the_range(cell: Cell, who: Contestant | None) -> Iterator[str]:
    activation = None if who is None else who.activation
    if activation is None or activation.sampled is not None or cell.trial.setting.learn:
        return
    defaults = {name: Interval(value, value) for name, value in activation.defaults().items()}
    span = enclose(activation.expression(), defaults) if not _learned(cell.result) else WHOLE
    room = SLACK * (1 + max(abs(end) if math.isfinite(end) else 0.0 for end in (span.low, span.high)))
    for record in cell.result.epochs:
        for mean, spread in zip(record.mean, record.spread, strict=False):
            if math.isfinite(mean) and not span.low - room <= mean <= span.high + room:
                yield (
                    f"epoch {record.epoch} has a mean output of {mean:.6g}; {activation.name} gives values from "
                    f"{span.low:.6g} to {span.high:.6g}."
                )
                return
            if math.isfinite(spread) and spread > (span.high - span.low) / 2 + room:
                yield f"epoch {record.epoch} has a spread of {spread:.6g}, above half the range of {activation.name}."
                return


def _measured_not_typed(cell: Cell, _: Contestant | None) -> Iterator[str]:
    trained = [record for record in cell.result.epochs[1:] if math.isfinite(record.train_loss)]
    if len(trained) < 2:
        return
    losses = [loss for record in trained for loss in (record.train_loss, record.validation_loss)]
    if any(losses) and all(round(loss, 6) == loss for loss in losses):
        yield "all its losses have at most six decimals: a computer's means do not."
    for what, pick in _COURSES:
        values = [pick(record) for record in trained]
        if len(set(values)) == 1 and values[0] and cell.trial.setting.learning_rate > 0:
            yield f"the {what} is the same in all its {len(values)} epochs."


_COURSES: tuple[tuple[str, Callable[[EpochRecord], object]], ...] = (
    ("training loss", lambda record: record.train_loss),
    ("time", lambda record: record.seconds),
    (
        "gradient norm",
        lambda record: tuple(norm for norm in record.gradient_norm if norm and math.isfinite(norm)),
    ),
)


def _times(cell: Cell, _: Contestant | None) -> Iterator[str]:
    result = cell.result
    trained = [record.seconds for record in result.epochs[1:]]
    if not all(math.isfinite(seconds) and seconds > 0 for seconds in (*trained, result.seconds)):
        yield "a time of it is not a positive number of seconds."
    elif sum(trained) > 1.05 * result.seconds + 0.5:
        yield f"its epochs took {sum(trained):.1f} s, the whole of it only {result.seconds:.1f} s."


CHECKS: tuple[Callable[[Cell, Contestant | None], Iterator[str]], ...] = (
    _says_what_it_is,
    _epochs_in_order,
    _the_two_files_agree,
    _shapes,
    _limits,
    _within_the_range,
    _measured_not_typed,
    _times,
)
"""The checks that need nothing but the records."""


def _whole_counts(cell: Cell, data: Dataset) -> Iterator[str]:
    if data.task != "classification":
        return
    held_out = split_sizes(len(data.train_targets), cell.trial.setting.validation_share)[1]
    tested = len(data.test_targets)
    for record in cell.result.epochs:
        if math.isfinite(record.validation_accuracy) and not _multiple(record.validation_accuracy, held_out):
            yield (
                f"the validation accuracy of epoch {record.epoch}, {record.validation_accuracy:.8g}, is not a whole "
                f"number of {held_out:,} examples."
            )
            return
    accuracy = cell.result.test_accuracy
    if math.isfinite(accuracy) and not _multiple(accuracy, tested):
        yield f"the test accuracy, {accuracy:.8g}, is not a whole number of {tested:,} examples."


def _loss_against_accuracy(cell: Cell, data: Dataset) -> Iterator[str]:
    if data.task != "classification":
        return
    pairs = [(f"epoch {r.epoch}", r.validation_loss, r.validation_accuracy) for r in cell.result.epochs]
    pairs += [(f"epoch {r.epoch} in training", r.train_loss, r.train_accuracy) for r in cell.result.epochs]
    pairs.append(("the test", cell.result.test_loss, cell.result.test_accuracy))
    for where, loss, accuracy in pairs:
        if not (math.isfinite(loss) and math.isfinite(accuracy)):
            continue
        least = (1 - accuracy) * math.log(2) * (1 - 1e-3)
        if loss < least - SLACK:
            yield (
                f"{where}: with {accuracy:.2%} right the loss cannot be {loss:.4g}; every wrong answer costs at least "
                f"ln 2, so it is at least {least:.4g}."
            )
            return
        if accuracy == 1 and loss > math.log(data.outputs) + SLACK:
            yield f"{where}: with every answer right the loss cannot be {loss:.4g}, above ln {data.outputs}."
            return


def _the_networks_size(cell: Cell, data: Dataset) -> Iterator[str]:
    setting, result = cell.trial.setting, cell.result
    if setting.model != "mlp" or setting.normalisation != "none" or setting.learn or _learned(result):
        return
    widths = (math.prod(data.shape), *setting.hidden, data.outputs)
    expected = sum((a + 1) * b for a, b in pairwise(widths))
    if result.parameters != expected:
        yield f"it says {result.parameters:,} parameters; a network of {_few(widths)} has {expected:,}."
    work = 6 * expected * split_sizes(len(data.train_targets), setting.validation_share)[0]
    fastest = min((r.seconds for r in result.epochs[1:] if r.seconds > 0), default=math.inf)
    if work / fastest > FASTEST:
        yield f"an epoch of {work:.2g} operations cannot take {fastest:.2g} s."


COUNTED: tuple[Callable[[Cell, Dataset], Iterator[str]], ...] = (
    _whole_counts,
    _loss_against_accuracy,
    _the_networks_size,
)
"""The checks that need the numbers of examples and classes."""


def _learned(result: TrialResult) -> bool:
    return any(record.learned for record in result.epochs)


def _multiple(share: float, count: int) -> bool:
    """Whether a share is a whole number out of `count`, up to the rounding of float32."""
    return abs(share * count - round(share * count)) <= 1e-3 + 2e-7 * count


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:8])
    return f"{shown}, ..." if len(numbers) > 8 else shown
