"""One trial of a bake-off trained again, and its epochs held against the stored ones.

The retraining is a process of its own with one thread, as a worker is, so that a trial that takes too long, fills the
memory or crashes ends nothing but itself.

How much may differ. On the machine and with the versions of the record the figures come back to the last bit, in a
stack as alone. Another processor, another version of a library or a graphics card add the same numbers in another
order, and training magnifies the difference. Measured on eight activations of the default bake-off, with all weights
changed by one unit in the last place of float32, and by 5e-4, the rounding of the TF32 format: the largest relative
difference of a loss was

    epoch                              0       1      2      3     4 to 8
    last place, learning rate 1e-3     3e-8    0.004  0.003  0.003 0.04
    last place, learning rate 3e-3     3e-8    0.008  0.02   0.13  0.14
    TF32, learning rate 3e-3           3e-6    0.03   0.09   0.14  0.16

and of an accuracy 0.037. `allowed` is about twice that. What catches an invention is the untrained network, which has
to agree within a ten-thousandth, and the rule that figures that agree to the last bit after training prove the same
arithmetic, so that no later one may differ.
"""

from __future__ import annotations

import hashlib
import json
import math
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from triode.bakeoff.grade.evidence import Cell, own_code
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.storage.codec import build, build_result
from triode.errors import TriodeError, nearest

SAME, CLOSE, REFUTED, SKIPPED, IMPOSSIBLE = "identical", "close", "refuted", "skipped", "impossible"
UNTRAINED = 1e-4
"""Relative difference allowed in a loss, mean or spread of the untrained network."""
PER_EPOCH, MOST = 0.1, 0.3
"""What each trained epoch adds to it for a loss, and its limit."""
ACCURACY = 0.06
"""Difference allowed in an accuracy after training, as a share."""
PATIENCE = 3
"""Times the limit that the first trained epoch may take: without one there is little to compare."""
LARGEST = 50_000_000
"""Parameters of the largest network that is trained again."""


@dataclass(frozen=True)
class Rerun:
    """What came of it."""

    verdict: str
    """identical, close, refuted, skipped or impossible."""
    sentence: str
    cell: str = ""
    """`relu, seed 0`."""
    epochs: int = 0
    """Trained epochs compared."""
    largest: float = math.nan
    """Largest difference of a figure, as a share of what is allowed."""

    @property
    def refuted(self) -> bool:
        """Whether the record cannot come from this code."""
        return self.verdict == REFUTED


def choose(cells: Sequence[Cell], wanted: str = "") -> Cell:
    """The trial to train again.

    Args:
        cells: Those that there are.
        wanted: `relu:0`, an activation and a seed; empty: the one that a hash over all results points at, which nobody
            who writes them can know before all are written, and which is the same at every call.

    Raises:
        TriodeError: When `wanted` names none of them.
    """
    ordered = sorted(cells, key=lambda cell: cell.result.key)
    if not wanted:
        digest = hashlib.sha256("\n".join(repr(cell.result) for cell in ordered).encode()).digest()
        return ordered[int.from_bytes(digest[:8], "big") % len(ordered)]
    name, _, seed = wanted.rpartition(":")
    names = dict.fromkeys(cell.result.activation for cell in cells)
    for cell in cells:
        if (cell.result.activation, str(cell.result.seed)) == (_canonical(name), seed.strip()):
            return cell
    raise TriodeError(
        f"--cell {wanted!r} names no finished trial; an activation and a seed such as "
        f"{cells[0].result.activation}:{cells[0].result.seed} were expected{nearest(name, names)}"
    )


def rerun(
    cell: Cell,
    data_dir: Path | None = None,
    *,
    seconds: float = 45.0,
    trust_code: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Rerun:
    """Train a trial again for as many epochs as fit into a time, and compare.

    Args:
        cell: The trial and its record.
        data_dir: Folder of the dataset's files, where it needs one.
        seconds: Wall time after which no further epoch is begun; the first may take three times as long.
        trust_code: Whether a model, a dataset or an activation that the trial imports may be imported.
        progress: Called with a line for each thing that has happened.

    Returns:
        What came of it; it raises nothing for what the record says.
    """
    foreign = own_code(cell)
    if foreign and not trust_code:
        return Rerun(
            IMPOSSIBLE,
            f"{cell.name} runs code of its own ({foreign}), which is not imported here.",
            cell.name,
        )
    if cell.result.parameters > LARGEST:
        return Rerun(
            IMPOSSIBLE,
            f"{cell.name} has {cell.result.parameters:,} parameters, too many to train it again here.",
            cell.name,
        )
    progress(f"training {cell.name} again")
    made, tested, trouble = _train(cell, data_dir, seconds, progress)
    if not made:
        return Rerun(IMPOSSIBLE, f"{cell.name} could not be trained again: {trouble}", cell.name)
    return compare(cell, made, tested)


def compare(cell: Cell, made: Sequence[EpochRecord], tested: TrialResult | None = None) -> Rerun:
    """Hold the epochs that were trained anew, and the test figures where they are there, against the stored ones."""
    stored = cell.result.epochs
    pairs = list(zip(stored, made, strict=False))
    trained = max(0, len(pairs) - 1)
    what = f"{cell.name}, {trained} of {len(stored) - 1} epochs trained again"
    same = [_same(old, new) for old, new in pairs]
    gaps = [_gap(old, new) for old, new in pairs]
    largest = max(gaps)

    def result(verdict: str, sentence: str) -> Rerun:
        return Rerun(verdict, f"{what}: {sentence}", cell.name, trained, largest)

    for (old, new), gap in zip(pairs, gaps, strict=True):
        if gap > 1:
            return result(
                REFUTED,
                f"the log does not come from this code. Epoch {old.epoch} says a training loss of "
                f"{old.train_loss:.6g} and a validation loss of {old.validation_loss:.6g}; training gives "
                f"{new.train_loss:.6g} and {new.validation_loss:.6g}.",
            )
    if any(same[1:]) and not all(same):
        wrong = same.index(False)
        return result(
            REFUTED,
            f"the log does not come from this code. Epoch {wrong} differs although another epoch is the same to the "
            "last bit: it was changed afterwards, or the trial went on on another machine.",
        )
    if tested is not None:
        said, found = cell.result.test_accuracy, tested.test_accuracy
        loss = _relative(cell.result.test_loss, tested.test_loss)
        differ = max(loss, _absolute(said, found) / ACCURACY * MOST)
        if differ > (0.0 if all(same) else MOST):
            return result(
                REFUTED,
                f"the log does not come from this code. It says a test loss of {cell.result.test_loss:.6g} and a test "
                f"accuracy of {said:.6g}; training gives {tested.test_loss:.6g} and {found:.6g}.",
            )
    if all(same):
        return result(SAME, "every figure is the same to the last bit.")
    return result(
        CLOSE,
        "the figures agree as far as another processor, other versions or a graphics card let them, not to the last "
        "bit.",
    )


def allowed(epoch: int) -> float:
    """The relative difference of a loss that another order of sums can explain after so many epochs.

    >>> allowed(0), allowed(2)
    (0.0001, 0.2001)
    """
    return min(UNTRAINED + PER_EPOCH * epoch, MOST)


def _same(old: EpochRecord, new: EpochRecord) -> bool:
    # As text: nan is not equal to nan, and every other number has one shortest form.
    return all(
        repr(getattr(old, f.name)) == repr(getattr(new, f.name)) for f in fields(old) if f.name != "seconds"
    )


def _gap(old: EpochRecord, new: EpochRecord) -> float:
    """The largest difference of a figure as a share of what is allowed."""
    losses = [_relative(getattr(old, name), getattr(new, name)) for name in ("train_loss", "validation_loss")]
    names = ("train_accuracy", "validation_accuracy")
    accuracies = [_absolute(getattr(old, name), getattr(new, name)) for name in names]
    if not old.epoch:
        if len(old.spread) != len(new.spread) or len(old.mean) != len(new.mean):
            return math.inf
        # The mean of a zero-centred output is near zero: its spread is the scale.
        scales = [max(abs(spread), 1e-3) for spread in new.spread]
        losses += [abs(a - b) / s for a, b, s in zip(old.spread, new.spread, scales, strict=True)]
        losses += [abs(a - b) / s for a, b, s in zip(old.mean, new.mean, scales, strict=True)]
    allowance = ACCURACY if old.epoch else 0.005
    return max(
        max((loss for loss in losses if not math.isnan(loss)), default=0.0) / allowed(old.epoch),
        max(accuracies) / allowance,
    )


def _relative(old: float, new: float) -> float:
    if not (math.isfinite(old) and math.isfinite(new)):
        return 0.0 if math.isfinite(old) == math.isfinite(new) else math.inf
    # A loss near zero is compared with a hundredth of a nat.
    return abs(old - new) / max(abs(new), 0.01)


def _absolute(old: float, new: float) -> float:
    if math.isnan(old) or math.isnan(new):
        return 0.0 if math.isnan(old) == math.isnan(new) else math.inf
    return abs(old - new)


def _canonical(name: str) -> str:
    from triode.catalogue import UnknownActivation, get

    try:
        return get(name.strip()).name
    except (UnknownActivation, TriodeError):
        return name.strip()


def _train(
    cell: Cell, data_dir: Path | None, seconds: float, progress: Callable[[str], None]
) -> tuple[list[EpochRecord], TrialResult | None, str]:
    """What a fresh process gives in the time: epochs, the result if it got there, and its complaint if neither."""
    task = {"trial": cell.trial.to_plain(), "data_dir": None if data_dir is None else str(data_dir.resolve())}
    # -P: a file called torch.py in the folder of a stranger must not be taken for PyTorch.
    command = [sys.executable, "-P", "-m", "triode.bakeoff.grade.again"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    said: list[str] = []
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("a process that was asked for pipes has none")
    readers = [
        threading.Thread(target=_forward, args=(child.stdout, lines.put), daemon=True),
        threading.Thread(
            target=_forward, args=(child.stderr, lambda line: said.append(line or "")), daemon=True
        ),
    ]
    for reader in readers:
        reader.start()
    try:
        try:
            child.stdin.write(json.dumps(task))
            child.stdin.close()
        except OSError:  # it ended before it read
            return [], None, "the process that should have trained it did not start."
        made, tested, begun = _collect(lines, len(cell.result.epochs), seconds, cell.trial.epochs, progress)
    finally:
        child.kill()
        child.wait()
        for reader in readers:
            reader.join(timeout=5)
        child.stdout.close()
        child.stderr.close()
    if made:
        return made, tested, ""
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    return [], None, last or f"no epoch was done after {time.monotonic() - begun:.0f} s."


def _collect(
    lines: queue.SimpleQueue[str | None],
    count: int,
    seconds: float,
    epochs: int,
    progress: Callable[[str], None],
) -> tuple[list[EpochRecord], TrialResult | None, float]:
    begun = last = time.monotonic()
    made: list[EpochRecord] = []
    longest = 0.0
    tested: TrialResult | None = None
    while tested is None:
        limit = seconds if len(made) > 1 else PATIENCE * seconds
        left = begun + limit - time.monotonic()
        if 1 < len(made) < count and longest > left:
            break  # the next epoch would not fit
        try:
            line = lines.get(timeout=max(left, 0.01))
        except queue.Empty:
            break
        if line is None:
            break
        plain = json.loads(line)
        if "epochs" in plain:
            tested = build_result(plain)
            break
        if len(made) == count:
            break  # the record ends here, as diverged; training did not
        made.append(build(EpochRecord, plain))
        if made[-1].epoch:
            longest = max(longest, time.monotonic() - last)
            progress(f"epoch {made[-1].epoch} of {epochs} trained again")
        last = time.monotonic()
    return made, tested, begun


def _forward(stream: IO[str], put: Callable[[str | None], None]) -> None:
    for line in stream:
        put(line)
    put(None)
