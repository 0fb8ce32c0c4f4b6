"""A proof compares like with like: the same weights, batches and random numbers; and it says so when nothing helped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from triode.doctor.diagnosis import Diagnosis, Finding, Prescription
from triode.doctor.examination import examine
from triode.doctor.history import History, Site, UnitFigures
from triode.doctor.proof import Bench, prove
from triode.doctor.remedies._objective import Objective
from triode.doctor.remedies._verdict import Curve, better, judge
from triode.doctor.treatment import Training
from triode.errors import TriodeError

RATE = Prescription("lower_rate", {"factor": 100.0})
SAME = Prescription("lower_rate", {"factor": 1.0})
LEAKY = Prescription("replace_activation", {"function": "leaky_relu"})


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.out = nn.Linear(32, outputs)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.fc1, self.fc2, self.fc3):
            x = self.drop(F.relu(layer(x)))
        out: Tensor = self.out(x)
        return out


def states() -> list[Any]:
    """Where the generators of random numbers stand."""
    numpy = np.random.get_state()[1].tolist()  # type: ignore[union-attr]  # noqa: NPY002
    return [torch.get_rng_state().tolist(), random.getstate(), numpy]


class Loader:
    """Shuffles anew on every pass, from every generator there is."""

    def __init__(self, count: int = 320) -> None:
        self.x = torch.randn(count, 6, generator=torch.Generator().manual_seed(1))
        self.y = (self.x.square().sum(1) > 5.3).long()

    def __call__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x)) + 0 * random.randint(0, 9) + 0 * int(np.random.rand())  # noqa: NPY002
        for rows in order.split(32):
            yield self.x[rows], self.y[rows]


def sick(rate: float = 0.6, loader: Any = None, epochs: int = 6) -> Training:
    torch.manual_seed(1)
    net = Net()
    return Training(
        net, loader or Loader(), nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=rate), epochs
    )


def diagnosed(training: Training) -> Diagnosis:
    patient = training.copy()
    return examine(patient.model, patient.batches, patient.loss_fn, patient.optimizer, patient.epochs)


def found(*prescriptions: Prescription, name: str = "dead_relu") -> Diagnosis:
    diagnosis = diagnosed(sick())
    return Diagnosis((Finding(name, "", prescriptions=prescriptions),), histories=diagnosis.histories)


def test_a_rate_that_kills_units_is_cured_and_said_so() -> None:
    diagnosis = diagnosed(sick())
    assert "dead_relu" in [finding.diagnosis for finding in diagnosis.findings]
    proved = prove(sick(), diagnosis)
    [proof] = [proof for proof in proved.proofs if proof.helped][:1]
    assert proof.prescription.kind == "lower_rate"
    assert "dead_relu" not in proof.findings_after
    assert proof.after.value > proof.before.value + 0.2
    assert len(proof.before.losses) == len(proof.after.losses) == 60
    assert proof.before.measure == "accuracy"
    assert proved.findings == diagnosis.findings


def unequal(one: Curve, other: Curve) -> bool:
    return one.losses != other.losses or one.skills != other.skills or one.value != other.value


def test_without_a_change_both_trainings_are_the_same_to_the_last_bit() -> None:
    [proof] = prove(sick(), found(SAME)).proofs
    assert not proof.helped
    assert not unequal(proof.before, proof.after)
    # What a treatment does not change before the first step must be equal in it.
    [other] = prove(sick(), found(RATE)).proofs
    assert other.before.losses[0] == other.after.losses[0]


def test_a_proof_with_another_seed_for_the_treated_copy_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Bench.run

    def planted(self: Bench, prescriptions: Any, history: Any) -> Curve:
        self.seed = len(prescriptions)
        return run(self, prescriptions, history)

    monkeypatch.setattr(Bench, "run", planted)
    [proof] = prove(sick(), found(SAME)).proofs
    assert unequal(proof.before, proof.after)


def test_the_original_and_all_random_numbers_stay() -> None:
    patient = sick()
    before = [p.clone() for p in patient.model.parameters()]
    diagnosis = found(RATE)
    drawn = states()
    prove(patient, diagnosis, steps=20)
    assert states() == drawn
    assert all(torch.equal(a, b) for a, b in zip(before, patient.model.parameters(), strict=True))
    assert not patient.optimizer.state  # type: ignore[union-attr]


def test_the_next_is_tried_when_one_did_not_help_and_none_after_one_that_did() -> None:
    proofs = prove(sick(), found(SAME, RATE, LEAKY)).proofs
    assert [(proof.prescription.kind, proof.helped) for proof in proofs] == [
        ("lower_rate", False),
        ("lower_rate", True),
    ]
    assert "did not help" in proofs[0].sentence
    assert "still there" in proofs[0].sentence
    assert "Lowering the learning rate helped: the finding 'dead ReLU units' is gone" in proofs[1].sentence


def scripted(rule: Callable[[nn.Module, Any], tuple[tuple[str, ...], bool]]) -> Any:
    """Trains for real at a good or a hopeless rate, and finds, what `rule` says of the treated model."""

    def fake(
        model: nn.Module, batches: Any, loss_fn: Any, optimizer: Any, epochs: int, *, steps: int
    ) -> Diagnosis:
        names, good = rule(model, optimizer)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 if good else 0.0
        examine(model, batches, loss_fn, optimizer, epochs, steps=steps)
        return Diagnosis(tuple(Finding(name, "") for name in names), histories=(History(),))

    return fake


def facts(model: nn.Module, optimizer: Any) -> tuple[bool, bool, bool]:
    """Whether the rate is lower, whether there is a normalisation, whether there is a leaky ReLU."""
    kinds = {type(module) for module in model.modules()}
    return optimizer.param_groups[0]["lr"] < 0.1, nn.BatchNorm1d in kinds, nn.LeakyReLU in kinds


def test_single_ones_that_do_not_suffice_are_tried_together_in_the_chapters_order() -> None:
    def rule(model: nn.Module, optimizer: Any) -> tuple[tuple[str, ...], bool]:
        cured = all(facts(model, optimizer)[:2])
        return (() if cured else ("dead_relu",)), cured

    norm = Prescription("insert_batch_norm", {})
    diagnosis = found(LEAKY, norm, RATE)
    proofs = prove(sick(), diagnosis, examine=scripted(rule)).proofs
    tried = [tuple(p.kind for p in proof.prescriptions) for proof in proofs]
    assert tried == [
        ("replace_activation",),
        ("insert_batch_norm",),
        ("lower_rate",),
        ("lower_rate", "insert_batch_norm"),
    ]
    assert [proof.helped for proof in proofs] == [False, False, False, True]


def test_a_symptom_that_goes_without_better_predictions_is_no_help() -> None:
    def rule(model: nn.Module, optimizer: Any) -> tuple[tuple[str, ...], bool]:
        return (() if facts(model, optimizer)[0] else ("dead_relu",)), False

    [proof] = prove(sick(), found(RATE), examine=scripted(rule)).proofs
    assert not proof.helped
    assert "'dead ReLU units' is gone" in proof.sentence


def test_better_predictions_with_the_symptom_unchanged_are_no_help() -> None:
    def rule(model: nn.Module, optimizer: Any) -> tuple[tuple[str, ...], bool]:
        return ("dead_relu",), facts(model, optimizer)[0]

    [proof] = prove(sick(), found(RATE), examine=scripted(rule)).proofs
    assert proof.after.value > proof.before.value + 0.2
    assert not proof.helped


def test_losses_of_different_kinds_are_not_compared() -> None:
    torch.manual_seed(1)
    loader = Loader()

    def softmaxed() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2), nn.Softmax(dim=1))

    def quadratic(p: Tensor, y: Tensor) -> Tensor:
        return 1e-4 * F.mse_loss(p, F.one_hot(y, 2).float())

    def training() -> Training:
        net = softmaxed()
        return Training(net, loader, quadratic, torch.optim.SGD(net.parameters(), lr=0.5), 8)

    change = Prescription("change_loss", {"to": "cross_entropy"})
    diagnosis = Diagnosis(
        (Finding("loss_not_decreasing", "", prescriptions=(change,)),),
        histories=diagnosed(training()).histories,
    )
    [proof] = prove(training(), diagnosis).proofs
    assert proof.after.losses[-1] > proof.before.losses[-1]  # which says nothing
    assert proof.after.value > proof.before.value + 0.1
    nothing = Curve((5.0, 5.0), loss="a"), Curve((1.0, 1.0), loss="b")
    assert better(*nothing, (change,)) == (False, False)
    assert better(Curve((5.0, 5.0)), Curve((1.0, 1.0)), (RATE,)) == (True, True)


def test_scaled_targets_are_judged_by_explained_variance() -> None:
    x = torch.randn(320, 6, generator=torch.Generator().manual_seed(2))
    y = 500.0 + 80.0 * x[:, :1]

    def training() -> Training:
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
        return Training(
            net,
            lambda: zip(x.split(32), y.split(32), strict=True),
            nn.MSELoss(),
            torch.optim.Adam(net.parameters(), lr=0.02),
            8,
        )

    scaled = Prescription("scale_targets", {})
    diagnosis = Diagnosis((Finding("loss_not_decreasing", "", prescriptions=(scaled,)),))
    [proof] = prove(training(), diagnosis).proofs
    assert proof.before.measure == proof.after.measure == "R²"
    assert proof.before.value < 0 < 0.8 < proof.after.value


def test_what_cannot_be_applied_is_said() -> None:
    diagnosis = found(
        Prescription("remove_output_activation"), Prescription("initialise", {"layers": ("nowhere",)})
    )
    first, second = prove(sick(), diagnosis, steps=10).proofs[:2]
    assert not first.helped
    assert "could not be applied" in first.sentence
    assert "no layer 'nowhere'" in second.sentence


def test_a_training_that_raises_is_worse_than_any_that_does_not() -> None:
    torch.manual_seed(1)
    loader = Loader()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        return ((x, y[:, None].float()) for x, y in loader())

    def training() -> Training:
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
        return Training(net, batches, nn.BCELoss(), torch.optim.Adam(net.parameters(), lr=0.01), 8)

    change = Prescription("change_loss", {"to": "binary_cross_entropy_with_logits"})
    cure = Diagnosis((Finding("missing_softmax", "", prescriptions=(change,)),))
    [proof] = prove(training(), cure).proofs
    assert proof.before.error
    assert proof.after.value > 0.8
    assert "training failed" in proof.sentence


def test_the_time_bounds_the_number_of_steps_of_both() -> None:
    ticks: list[float] = []

    def slow(model: nn.Module, batches: Any, *rest: Any, **options: Any) -> Diagnosis:
        model.register_forward_hook(lambda *_: ticks.append(sum(range(100_000))))
        return examine(model, batches, *rest, **options)

    proofs = prove(sick(epochs=2000), found(SAME), seconds=1.5, examine=slow).proofs
    for proof in proofs:
        assert len(proof.before.losses) >= len(proof.after.losses) > 0
        assert len(proof.before.losses) < 1000


@pytest.mark.parametrize(
    ("target", "prediction", "raw", "kind", "value", "skill"),
    [
        ([0, 0, 0, 1], [[2, 1], [2, 1], [1, 2], [1, 2]], False, "classes", 0.75, 0.0),
        ([[1, 0], [0, 1]], [[0.1, 0.2], [0.1, 0.2]], False, "classes", 0.5, 0.0),
        ([[0.0], [1.0]], [[-0.2], [0.3]], True, "labels", 1.0, 1.0),
        ([[0.0], [1.0]], [[-0.2], [0.3]], False, "labels", 0.5, 0.0),
        ([[0.0], [1.0], [2.0]], [[0.0], [1.0], [2.0]], False, "numbers", 1.0, 1.0),
        ([[0.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]], False, "numbers", 0.0, 0.0),
        ([[0.0], [1.0], [2.0]], [[float("nan")], [1.0], [1.0]], False, "numbers", None, -1.0),
    ],
)
def test_predictions_are_worth_nothing_when_constant_and_one_when_perfect(
    target: Any, prediction: Any, raw: bool, kind: str, value: float | None, skill: float
) -> None:
    y, p = np.array(target), np.array(prediction, float)
    objective = Objective.of([y], p)
    assert objective.kind == kind
    measured = objective.value(p, y, raw)
    assert measured == pytest.approx(value) if value is not None else measured != measured
    assert objective.skill(measured) == pytest.approx(skill)


def test_half_as_many_dead_units_is_a_symptom_that_is_much_less() -> None:
    def history(dead: int) -> History:
        figures = UnitFigures(10, True, np.arange(10) < dead, np.zeros(10, bool))
        site = Site("a.relu", "relu", "hidden", 1, "a", "", "", 10, False, True, False, initial=figures)
        return History(sites=[site])

    def curve(dead: int, skill: float) -> Curve:
        return Curve(
            (1.0,), (skill,), "accuracy", skill, skill, findings=("dead_relu",), history=history(dead)
        )

    finding = Finding("dead_relu", "")
    assert judge(finding, (RATE,), curve(10, 0.0), curve(5, 0.9)).helped
    assert not judge(finding, (RATE,), curve(10, 0.0), curve(6, 0.9)).helped


def test_what_cannot_be_trained_cannot_be_proved() -> None:
    with pytest.raises(TriodeError, match="expected an optimiser"):
        prove(Training(Net(), Loader(), nn.CrossEntropyLoss()), Diagnosis())
