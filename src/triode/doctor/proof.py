"""Prove a prescription: train the network and a treated copy from the same weights on the same data, and compare."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triode.doctor.diagnosis import Diagnosis, Finding, Prescription
from triode.doctor.history import History
from triode.doctor.remedies import REMEDIES
from triode.doctor.remedies._objective import Array, Objective, array, first_tensor
from triode.doctor.remedies._verdict import Curve, Proof, judge
from triode.doctor.treatment import Training, treat
from triode.errors import TriodeError

STEPS = 1000
"""Most steps of one training, where no number is given."""
BYTES = 1 << 30
"""Most memory for the batches that are kept; beyond it they come round again."""
EVALUATED = 64
"""Most batches that the end is measured on."""
Examine = Callable[..., Diagnosis]


def prove(
    training: Training,
    diagnosis: Diagnosis,
    *,
    steps: int | None = None,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    examine: Examine | None = None,
) -> Diagnosis:
    """Try the prescriptions one after another, each on a copy, until one has helped; then those of the next cause.

    A prescription helped if the finding that it is for is gone or at most half as strong, and the predictions are
    better: accuracy or R² on a scale where 0 is the best constant prediction. Where no single one suffices they are
    tried together, in the order of the chapter: lower rate, batch normalisation, He's weights, leaky ReLU.

    Args:
        training: With the weights as they were before training; nothing of it is changed, but an epoch of its batches
            is asked for.
        diagnosis: Of a training that began like it.
        steps: Training steps of each copy; None: as many as `training.epochs` has, at most 1,000.
        seconds: For everything together. The number of steps is what the untreated copy makes in a quarter of them.
        seed: Of the random numbers of every copy (dropout).
        progress: Told what is tried.
        examine: Trains and watches; None for :func:`triode.doctor.examine`.

    Returns:
        The diagnosis with a :class:`Proof` for each trial.

    Raises:
        TriodeError: For a training without an optimiser, epochs or batches.

    Examples:
        >>> from torch import nn
        >>> from triode.doctor import Finding
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
        >>> x = torch.randn(256, 2)
        >>> y = x[:, :1] * 3 + 1
        >>> sick = Training(net, [(x, y)], nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=1e-6), epochs=40)
        >>> faster = Prescription("raise_rate", {"factor": 1e5})
        >>> found = Diagnosis((Finding("loss_not_decreasing", "", prescriptions=(faster,)),))
        >>> [proof] = prove(sick, found, steps=40).proofs
        >>> proof.helped, proof.before.measure
        (True, 'R²')
    """
    if training.optimizer is None or training.epochs < 1:
        raise TriodeError(
            "a network that nothing trains cannot be treated and trained again; expected an optimiser."
        )
    if examine is None:
        from triode.doctor.examination import examine as watching

        examine = watching
    bench = Bench(training, steps, seconds, seed, examine)
    untreated = bench.run((), None)
    bench.fix(untreated)
    proofs: list[Proof] = []
    accepted: tuple[Prescription, ...] = ()
    now = untreated
    tried: set[str] = set()

    def attempt(finding: Finding, several: tuple[Prescription, ...]) -> bool:
        nonlocal accepted, now
        key = repr([(p.kind, sorted(p.parameters.items(), key=str)) for p in several])
        if key in tried or bench.spent():
            return False
        tried.add(key)
        if progress is not None:
            progress(
                " and ".join(
                    REMEDIES[p.kind].title.lower() if p.kind in REMEDIES else p.kind for p in several
                )
            )
        run = bench.run((*accepted, *several), _history(diagnosis, finding))
        proof = judge(finding, several, now, run, accepted)
        proofs.append(replace(proof, seed=seed))
        if proof.helped:
            accepted, now = (*accepted, *several), run
        return proof.helped

    unhelped = []
    for finding in diagnosis.findings:
        if finding.follows and any(each.diagnosis == finding.follows for each in diagnosis.findings):
            continue
        if accepted and finding.diagnosis not in now.findings:
            continue
        known = [p for p in finding.prescriptions if p.kind in REMEDIES]
        if any(attempt(finding, (p,)) for p in known):
            continue
        ordered = in_order(known)
        if any(attempt(finding, tuple(ordered[:count])) for count in range(2, len(ordered) + 1)):
            continue
        # What merely followed may hold a fault of its own that hides the cure.
        after = in_order(
            [
                p
                for each in diagnosis.findings
                if each.follows == finding.diagnosis
                for p in each.prescriptions
            ]
        )
        more = [each for each in after if all(each.kind != p.kind for p in ordered)]
        if not any(
            attempt(finding, (*in_order([*ordered[:1], *more[:count]]),)) for count in range(1, len(more) + 1)
        ):
            unhelped.append(finding)
    if len(unhelped) > 1:  # one fault may hide that another is cured
        together = in_order([f.prescriptions[0] for f in unhelped if f.prescriptions])
        attempt(unhelped[0], tuple(together))
    return diagnosis.with_proofs(tuple(proofs))


def in_order(prescriptions: Sequence[Prescription]) -> list[Prescription]:
    """One of each kind, in the order in which they are to be tried together.

    >>> [p.kind for p in in_order([Prescription("replace_activation"), Prescription("lower_rate")])]
    ['lower_rate', 'replace_activation']
    """
    first: dict[str, Prescription] = {}
    for each in prescriptions:
        if each.kind in REMEDIES:
            first.setdefault(each.kind, each)
    return sorted(first.values(), key=lambda each: REMEDIES[each.kind].order)


def _history(diagnosis: Diagnosis, finding: Finding) -> History | None:
    named = [history for history in diagnosis.histories if history.name == finding.model]
    return next(iter([*named, *diagnosis.histories]), None)


class Replay:
    """The recorded passes, over and over, in the order in which they were recorded; each copy has one of its own."""

    def __init__(self, passes: list[list[Any]], deadline: float) -> None:
        """Give no batch any more once the clock has passed `deadline`."""
        self.passes, self.deadline = passes, deadline
        self.next = 0
        self.stopped = False

    def __call__(self) -> Iterator[Any]:
        """The next pass."""
        here = self.passes[self.next % len(self.passes)]
        self.next += 1
        for batch in here:
            if time.perf_counter() > self.deadline:
                self.stopped = True
                return
            yield batch


class Bench:
    """Trains copies under equal conditions: the same weights, batches in the same order, the same random numbers."""

    def __init__(
        self, training: Training, steps: int | None, seconds: float, seed: int, examine: Examine
    ) -> None:
        """Keep the batches, and a copy of the training that nobody trains."""
        if steps is not None and steps < 1:
            raise TriodeError(f"steps is {steps}; expected 1 or more.")
        self.training, self.seed, self.examine = training.copy(), seed, examine
        self.began = time.perf_counter()
        self.seconds = seconds
        self.deadline = self.began + seconds / 4
        self.passes = record(training, steps or STEPS)
        total = sum(len(each) for each in self.passes)
        self.epochs = training.epochs
        self.steps = steps or min(STEPS, max(total, training.epochs * len(self.passes[0])))
        self.longest = 0.0

    def fix(self, untreated: Curve) -> None:
        """Let the treated copies make as many steps as the untreated one could."""
        if untreated.stopped:
            self.steps = max(len(untreated.losses), 1)
        self.deadline = self.began + self.seconds

    def spent(self) -> bool:
        """Whether too little time is left for another training."""
        return time.perf_counter() + self.longest > self.deadline

    def run(self, prescriptions: tuple[Prescription, ...], history: History | None) -> Curve:
        """Train a copy, treated with `prescriptions`; its curve also says why it could not be trained."""
        begun = time.perf_counter()
        replay = Replay(self.passes, self.deadline)
        with _random_numbers(self.training, self.seed):
            try:
                copied = replace(self.training, batches=Replay(self.passes, math.inf))
                copied = treat(copied, prescriptions, history) if prescriptions else copied.copy()
            except TriodeError as error:
                return Curve(refused=str(error))
            scaled: Any = copied.batches
            if isinstance(scaled, Replay):
                copied.batches = replay
            else:  # rescaled targets: of the same passes
                scaled.batches = replay
            torch.manual_seed(self.seed)
            curve = self._train(copied, replay)
        self.longest = max(self.longest, time.perf_counter() - begun)
        return curve

    def _train(self, copied: Training, replay: Replay) -> Curve:
        # Rescaled targets have a mean and a variance of their own; R² is the same with both.
        batches: Any = copied.batches
        inner = batches if isinstance(batches, Replay) else batches.batches
        scored = Scored(copied.loss_fn, [array(y) for _, y in batches() if isinstance(y, Tensor)])
        inner.next = 0
        error = ""
        diagnosis = Diagnosis()
        epochs = max(self.epochs, math.ceil(self.steps / max(len(self.passes[0]), 1)))
        try:
            diagnosis = self.examine(
                copied.model, copied.batches, scored, copied.optimizer, epochs, steps=self.steps
            )
        except Exception as raised:  # noqa: BLE001 (a treated copy that cannot be trained is an answer)
            error = f"{type(raised).__name__}: {str(raised).splitlines()[0] if str(raised) else ''}".rstrip(
                ": "
            )
        history = next(iter(diagnosis.histories), None)
        error = error or (history.exception if history else "")
        loss = (history.loss.name if history else "") or getattr(copied.loss_fn, "__name__", "")
        raw = "with_logits" in loss or "WithLogits" in type(copied.loss_fn).__name__ or "soft_margin" in loss
        objective = scored.objective or Objective()
        at = 1 if raw else 0
        skills = tuple(objective.skill(pair[at]) for pair in scored.values)
        value = math.nan if error else self._evaluate(copied, objective, raw)
        return Curve(
            losses=tuple(scored.losses[: self.steps]),
            skills=skills[: self.steps],
            measure=objective.measure,
            value=value,
            skill=objective.skill(value),
            loss=loss,
            findings=tuple(finding.diagnosis for finding in diagnosis.findings),
            history=history,
            error=error,
            stopped=replay.stopped,
        )

    @torch.no_grad()
    def _evaluate(self, copied: Training, objective: Objective, raw: bool) -> float:
        """Accuracy or R² with the weights at the end, in evaluation mode."""
        from triode.doctor.examination import call

        if not objective.kind:
            return math.nan
        copied.model.eval()
        batches: Any = copied.batches
        replay = batches if isinstance(batches, Replay) else batches.batches
        replay.next, replay.deadline = 0, math.inf
        values: list[float] = []
        sizes: list[int] = []
        for x, y in batches():
            prediction = first_tensor(call(copied.model, x))
            if prediction is None or len(values) == EVALUATED:
                break
            values.append(objective.value(array(prediction), array(y), raw))
            sizes.append(len(y))
        return float(np.average(values, weights=sizes)) if values else math.nan


class Scored:
    """A loss that also keeps what each batch's predictions were worth before the step that they led to."""

    def __init__(self, loss_fn: Callable[[Any, Any], Tensor], targets: list[Array]) -> None:
        """Nothing is kept yet; `targets` are those of a pass, as this copy is given them."""
        self.loss_fn, self.targets = loss_fn, targets
        self.objective: Objective | None = None
        self.losses: list[float] = []
        self.values: list[tuple[float, float]] = []

    def __call__(self, prediction: Any, target: Any) -> Tensor:
        """The loss, as it was."""
        with torch._C.DisableTorchFunction():  # measuring is no part of the training that is watched
            self.values.append(self._score(prediction, target))
        loss = self.loss_fn(prediction, target)
        with torch._C.DisableTorchFunction():
            self.losses.append(float(loss.detach()))
        return loss

    def _score(self, prediction: Any, target: Any) -> tuple[float, float]:
        """What predictions are worth with labels parted in their middle, and at 0."""
        tensor = first_tensor(prediction)
        if tensor is None or not isinstance(target, Tensor):
            return math.nan, math.nan
        guess, wanted = array(tensor), array(target)
        if self.objective is None:
            self.objective = Objective.of(self.targets, guess)
        if not self.objective.kind:
            return math.nan, math.nan
        value = self.objective.value(guess, wanted, raw=False)
        return value, self.objective.value(
            guess, wanted, raw=True
        ) if self.objective.kind == "labels" else value


def record(training: Training, steps: int) -> list[list[Any]]:
    """The batches of the first `steps` steps, pass by pass; the generators of random numbers are put back."""
    from triode.doctor.examination import pairs

    passes: list[list[Any]] = []
    taken = held = 0
    python, old = random.getstate(), np.random.get_state()  # noqa: NPY002 (a data set may draw from it)
    try:
        with torch.random.fork_rng(devices=[]):
            for _ in range(training.epochs):
                here: list[Any] = []
                for batch in pairs(training.batches):
                    if taken == steps or held > BYTES:
                        break
                    here.append(batch)
                    taken += 1
                    held += sum(_bytes(each) for each in batch)
                if here:
                    passes.append(here)
                if taken == steps or held > BYTES or not here:
                    break
    finally:
        random.setstate(python)
        np.random.set_state(old)  # noqa: NPY002
    if not passes:
        raise TriodeError("batches gave no batch to train on; expected at least one (x, y) an epoch.")
    return passes


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return sum(_bytes(each) for each in inside)


@contextlib.contextmanager
def _random_numbers(training: Training, seed: int) -> Iterator[None]:
    """Inside, random numbers begin at `seed`; outside they go on as if nothing had been drawn."""
    devices = sorted({p.device.index or 0 for p in training.model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


__all__ = ["Curve", "Proof", "prove"]
