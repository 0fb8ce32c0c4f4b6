"""A treatment changes what it says, where it says, in a copy; the original stays as it was to the last bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from triode.doctor.diagnosis import Prescription
from triode.doctor.examination import examine
from triode.doctor.history import History
from triode.doctor.remedies import REMEDIES
from triode.doctor.remedies import _surgery as surgery
from triode.doctor.treatment import Training, treat
from triode.errors import TriodeError

X = torch.randn(48, 4, generator=torch.Generator().manual_seed(3))
Y = (X.sum(1) > 0).long()


class Functional(nn.Module):
    """Five ways to write a ReLU, then a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e = self.layers
        x = F.relu(a(x))
        x = torch.relu(b(x))
        x = c(x)
        x.relu_()
        x = d(x).clamp(min=0)
        z = e(x)
        x = torch.where(z > 0, z, torch.zeros_like(z))
        return F.softmax(self.out(x), dim=1)


class Shared(nn.Module):
    """One nn.ReLU, called after layers of different widths, and known by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.relu = nn.ReLU()
        self.also = self.relu

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.also(self.fc2(self.relu(self.fc1(x)))))
        return out


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), nn.Flatten(), nn.Linear(12, 5), nn.ReLU()
        )
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x.view(-1, 1, 4, 4)))
        return out


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return zip(X.split(16), Y.split(16), strict=True)


def training(model: nn.Module, data: Any = batches, **options: float) -> Training:
    optimizer = torch.optim.Adam(model.parameters(), **{"lr": 0.01, "weight_decay": 0.1, **options})
    return Training(model, data, nn.CrossEntropyLoss(), optimizer, 1)


def seen(patient: Training) -> History:
    watched = patient.copy()
    found = examine(watched.model, watched.batches, watched.loss_fn, watched.optimizer, 1)
    return found.histories[0]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def build(kind: type[nn.Module]) -> tuple[Training, History]:
    data = batches
    if kind is Nested:

        def data() -> Iterator[tuple[Tensor, Tensor]]:
            wide = X.repeat(1, 4)
            return zip(wide.split(16), Y.split(16), strict=True)

    patient = training(kind(), data)
    return patient, seen(patient)


def functions(patient: Training) -> list[str]:
    """The activation functions that run, in order, as the watcher sees them."""
    return [o.name for o in seen(patient).graph if o.kind in ("activation", "softmax") and o.in_model]


def state(patient: Training) -> list[Any]:
    optimizer = patient.optimizer
    assert optimizer is not None
    moments = [value for each in optimizer.state.values() for value in each.values()]
    rates = [torch.tensor(float(group["lr"])) for group in optimizer.param_groups]
    tensors = [*patient.model.state_dict().values(), *moments, *rates, torch.get_rng_state()]
    return [tensor.clone() for tensor in tensors if isinstance(tensor, Tensor)]


EVERY = [
    Prescription("lower_rate", {"factor": 10.0}),
    Prescription("raise_rate", {"factor": 10.0}),
    Prescription("initialise", {"scheme": "he"}),
    Prescription("insert_batch_norm", {}),
    Prescription("replace_activation", {"function": "prelu"}),
    Prescription("clip_gradients", {"norm": 0.1}),
    Prescription("remove_output_activation", {}),
    Prescription("replace_output_activation", {"function": "sigmoid"}),
    Prescription("change_loss", {"to": "cross_entropy"}),
    Prescription("insert_activation", {"function": "tanh", "after": "out"}),
    Prescription("scale_inputs", {}),
    Prescription("change_optimizer", {"to": "SGD"}),
    Prescription("scale_targets", {}),
]


def test_every_remedy_is_tried_here() -> None:
    assert {each.kind for each in EVERY} == set(REMEDIES)


def touched(patient: Training, treat_it: Any) -> list[int]:
    """Places of the original's state that a treatment, and training its copy, have changed."""
    before, classes = state(patient), [type(m) for m in patient.model.modules()]
    hooks = [len(patient.optimizer._optimizer_step_pre_hooks)]  # type: ignore[union-attr]
    after = treat_it(patient)
    with torch.random.fork_rng():
        loss = after.loss_fn(after.model(X[:16]), next(iter(after.batches()))[1])
        loss.backward()
        after.optimizer.step()
    changed = [
        i for i, (a, b) in enumerate(zip(before, state(patient), strict=True)) if not torch.equal(a, b)
    ]
    changed += [-1] * (classes != [type(m) for m in patient.model.modules()])
    changed += [-2] * any(p.grad is not None for p in patient.model.parameters())
    changed += [-3] * (hooks != [len(patient.optimizer._optimizer_step_pre_hooks)])  # type: ignore[union-attr]
    return changed


@pytest.mark.parametrize("prescription", EVERY, ids=lambda each: each.kind)
def test_the_original_is_never_touched(prescription: Prescription) -> None:
    patient = training(Functional())
    if prescription.kind == "scale_targets":
        patient.loss_fn = nn.MSELoss()
        patient.batches = lambda: ((x, F.one_hot(y, 2) * 5.0) for x, y in batches())
    history = seen(patient)
    loss = patient.loss_fn(patient.model(X[:16]), next(iter(patient.batches()))[1])  # type: ignore[operator]
    loss.backward()
    patient.optimizer.step()  # type: ignore[union-attr]
    patient.optimizer.zero_grad()  # type: ignore[union-attr]
    assert touched(patient, lambda it: treat(it, prescription, history)) == []


def test_a_treatment_of_the_original_itself_is_caught() -> None:
    patient = training(Shared())
    history = seen(patient)

    def planted(it: Training) -> Training:
        REMEDIES["initialise"].apply(it, Prescription("initialise"), history)
        return it.copy()

    assert touched(patient, planted) != []


def test_all_ways_to_call_a_function_are_replaced_where_chosen_and_nowhere_else() -> None:
    patient, history = build(Functional)
    assert functions(patient) == ["relu"] * 5 + ["softmax"]
    leaky = Prescription("replace_activation", {"function": "leaky_relu"})
    assert functions(treat(patient, leaky, history)) == ["leaky_relu"] * 5 + ["softmax"]
    for place, site in enumerate(history.hidden()):
        one = treat(
            patient, Prescription("replace_activation", {"function": "elu", "sites": (site.name,)}), history
        )
        expected = ["relu"] * 5 + ["softmax"]
        expected[place] = "elu"
        assert functions(one) == expected, site.name


def test_replaced_calls_compute_what_the_new_function_gives() -> None:
    patient, history = build(Functional)
    treated = treat(patient.model, Prescription("replace_activation", {"function": "tanh"}), history)
    z: Tensor = X
    for layer in patient.model.layers:  # type: ignore[union-attr]
        z = torch.tanh(layer(z))
    wanted = F.softmax(patient.model.out(z), dim=1)  # type: ignore[operator]
    assert torch.equal(treated(X), wanted)
    treated(X).square().sum().backward()  # in-place forms must not break the gradient
    assert all(p.grad is not None for p in treated.parameters())


def test_the_wrapped_copy_is_still_the_users_model() -> None:
    patient, history = build(Functional)
    treated = treat(patient.model, Prescription("replace_activation", {"function": "gelu"}), history)
    assert isinstance(treated, Functional)
    assert list(treated.state_dict()) == list(patient.model.state_dict())
    treated.load_state_dict(patient.model.state_dict())
    assert treated.layers[0].in_features == 4
    assert type(treated).__name__ == "Functional"
    again = copy.deepcopy(treated)
    with torch.no_grad():
        again.out.weight.zero_()
    assert not torch.equal(again(X), treated(X))


def test_shared_module_is_swapped_at_all_its_names_or_at_the_chosen_call_only() -> None:
    patient, history = build(Shared)
    every = treat(patient, Prescription("replace_activation", {"function": "leaky_relu"}), history)
    assert functions(every) == ["leaky_relu", "leaky_relu"]
    assert every.model.relu is every.model.also
    assert isinstance(every.model.also, nn.LeakyReLU)
    one = treat(
        patient, Prescription("replace_activation", {"function": "tanh", "sites": ("fc2.relu",)}), history
    )
    assert functions(one) == ["relu", "tanh"]


def test_a_shared_module_swapped_at_one_name_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
        name = next(name for name, child in model._modules.items() if child is old)
        model._modules[name] = new

    patient, history = build(Shared)
    monkeypatch.setattr(surgery, "swap", planted)
    treated = treat(patient, Prescription("replace_activation", {"function": "leaky_relu"}), history)
    assert functions(treated) == ["leaky_relu", "relu"]


def test_batch_norm_has_the_right_size_at_each_place_of_a_shared_module_and_is_trained() -> None:
    patient, history = build(Shared)
    treated = treat(patient, Prescription("insert_batch_norm"), history)
    norms = [m for m in treated.model.modules() if isinstance(m, nn.BatchNorm1d)]
    assert sorted(m.num_features for m in norms) == [6, 8]
    z = X
    for layer, norm in zip((treated.model.fc1, treated.model.fc2), norms, strict=True):
        z = torch.relu(norm(layer(z)))
    assert torch.allclose(treated.model(X), treated.model.out(z))
    check_optimizer(treated)


def check_optimizer(patient: Training) -> None:
    """It trains every parameter of the model once, and nothing else."""
    assert patient.optimizer is not None
    held = [id(p) for group in patient.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in patient.model.parameters())
    assert {id(p) for p in patient.optimizer.state} <= set(held)


def test_batch_norm_before_modules_takes_channels_and_keeps_the_order() -> None:
    patient, history = build(Nested)
    treated = treat(patient, Prescription("insert_batch_norm"), history)
    kinds = [type(m).__name__ for m in treated.model.modules() if "Batch" in type(m).__name__]
    assert kinds == ["BatchNorm2d", "BatchNorm1d"]
    check_optimizer(treated)
    leaky = treat(
        patient,
        [Prescription("insert_batch_norm"), Prescription("replace_activation", {"function": "leaky_relu"})],
        history,
    )
    assert functions(leaky) == ["leaky_relu", "leaky_relu"]
    assert sum(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in leaky.model.modules()) == 2
    assert not any(isinstance(m, nn.ReLU) for m in leaky.model.modules())
    order = [o.name for o in seen(leaky).graph if o.name in ("batch_norm", "leaky_relu")]
    assert order == ["batch_norm", "leaky_relu"] * 2


@pytest.mark.parametrize("prescription", EVERY[:-1], ids=lambda each: each.kind)
def test_the_optimiser_trains_the_copys_parameters(prescription: Prescription) -> None:
    patient, history = build(Functional)
    treated = treat(patient, prescription, history)
    if prescription.kind != "change_optimizer":
        assert type(treated.optimizer) is torch.optim.Adam
        assert treated.optimizer.param_groups[0]["weight_decay"] == 0.1
    check_optimizer(treated)


def test_stale_parameters_of_an_optimiser_are_caught() -> None:
    patient = training(Shared())
    planted = Training(
        copy.deepcopy(patient.model), batches, patient.loss_fn, copy.deepcopy(patient.optimizer), 1
    )
    with pytest.raises(AssertionError):
        check_optimizer(planted)


def test_an_optimiser_with_state_of_its_own_and_a_scheduler_still_steps_the_copy() -> None:
    model = Shared()
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.5)
    treated = treat(
        Training(model, batches, nn.CrossEntropyLoss(), lbfgs), Prescription("lower_rate", {"factor": 5})
    )
    before = [p.clone() for p in treated.model.parameters()]

    def closure() -> Tensor:
        treated.optimizer.zero_grad()
        loss = treated.loss_fn(treated.model(X), Y)
        loss.backward()
        return loss

    treated.optimizer.step(closure)
    assert treated.optimizer.param_groups[0]["lr"] == 0.1
    assert any(not torch.equal(a, b) for a, b in zip(before, treated.model.parameters(), strict=True))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(sgd, 1)
    copied = Training(model, batches, nn.CrossEntropyLoss(), sgd).copy()
    kept = model.fc1.weight.clone()
    copied.loss_fn(copied.model(X), Y).backward()
    copied.optimizer.step()
    assert torch.equal(model.fc1.weight, kept)
    assert not torch.equal(copied.model.fc1.weight, kept)


def test_a_loss_that_speaks_of_the_model_speaks_of_the_copy() -> None:
    model = Shared()

    def penalised(prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(prediction, y) + sum(p.square().sum() for p in model.parameters())

    copied = Training(model, batches, penalised, torch.optim.SGD(model.parameters(), lr=0.1)).copy()
    copied.loss_fn(copied.model(X), Y).backward()
    assert all(p.grad is None for p in model.parameters())


def test_initial_weights_have_the_scale_of_their_scheme_and_spare_what_is_no_layer() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(64, 64)
            self.fc = nn.Linear(64, 512)
            self.norm = nn.LayerNorm(512)
            self.down = nn.Linear(512, 64)
            self.out = nn.Linear(64, 64, bias=False)
            self.out.weight = self.embed.weight

    model = Tied()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.5)
    he = treat(model, Prescription("initialise", {"scheme": "he"}))
    assert he.fc.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.03)
    assert he.down.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.03)
    assert he.fc.bias.abs().max() == 0
    assert bool((he.embed.weight == 0.5).all())
    assert bool((he.norm.weight == 0.5).all())
    one = treat(model, Prescription("initialise", {"scheme": "lecun", "layers": ("fc",)}))
    assert one.fc.weight.std().item() == pytest.approx(1 / 8, rel=0.03)
    assert bool((one.down.weight == 0.5).all())
    conv = treat(
        nn.Sequential(nn.Conv2d(32, 64, 3), nn.Tanh()), Prescription("initialise", {"scheme": "critical"})
    )
    assert conv[0].weight.std().item() == pytest.approx(1 / math.sqrt(288), rel=0.03)


def test_the_output_activation_goes_also_when_it_stands_in_the_loss() -> None:
    patient, history = build(Functional)
    treated = treat(patient, Prescription("remove_output_activation"), history)
    assert functions(treated) == ["relu"] * 5
    changed = treat(patient, Prescription("change_loss", {"to": "CrossEntropyLoss"}), history)
    assert functions(changed) == ["relu"] * 5
    model = Shared()
    inside = Training(
        model,
        batches,
        lambda out, y: F.cross_entropy(F.softmax(out, 1), y),
        torch.optim.SGD(model.parameters(), lr=0.1),
    )
    cured = treat(inside, Prescription("remove_output_activation"), seen(inside))
    assert cured.loss_fn(model(X), Y).item() == pytest.approx(F.cross_entropy(model(X), Y).item())


def test_inputs_are_standardised_and_constant_features_left_alone() -> None:
    raw = torch.stack([X[:, 0] * 1e4 + 2e4, X[:, 1] * 1e-3, torch.ones(48), X[:, 3]], 1)
    patient = training(Shared(), lambda: zip(raw.split(16), Y.split(16), strict=True))
    treated = treat(patient, Prescription("scale_inputs"))
    given: list[Tensor] = []
    treated.model.fc1.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    treated.model(raw)
    assert torch.allclose(given[0].mean(0), torch.zeros(4), atol=2e-3)
    assert torch.allclose(given[0].std(0, unbiased=False), torch.tensor([1.0, 1, 0, 1]), atol=1e-3)


def test_clipping_bounds_the_step_of_the_copy() -> None:
    model = Shared()
    patient = Training(model, batches, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=1.0))
    treated = treat(
        treat(patient, Prescription("clip_gradients", {"norm": 1e-3})),
        Prescription("lower_rate", {"factor": 1.0}),
    )
    before = [p.detach().clone() for p in treated.model.parameters()]
    treated.loss_fn(treated.model(X), Y).backward()
    treated.optimizer.step()
    moved = sum((a - b).square().sum() for a, b in zip(before, treated.model.parameters(), strict=True))
    assert float(moved.sqrt().detach()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("prescription", "words"),
    [
        (Prescription("lower_rates"), "did you mean 'lower_rate'"),
        (Prescription("lower_rate"), "expected a triode.doctor.Training"),
        (Prescription("insert_batch_norm"), "needs the history"),
        (Prescription("replace_activation", {"function": "leaky_rel"}), "leaky_relu"),
        (Prescription("initialise", {"layers": ("fc9",)}), "no layer 'fc9'"),
        (Prescription("initialise", {"scheme": "xavier"}), "he, lecun, critical"),
    ],
    ids=lambda value: value.kind if isinstance(value, Prescription) else "",
)
def test_what_cannot_be_done_is_said(prescription: Prescription, words: str) -> None:
    with pytest.raises(TriodeError, match=words):
        treat(Shared(), prescription)


def test_a_site_that_is_not_there_is_named() -> None:
    patient, history = build(Shared)
    with pytest.raises(TriodeError, match=r"'fc7\.relu'.*fc1\.relu, fc2\.relu"):
        treat(patient, Prescription("replace_activation", {"sites": ("fc7.relu",)}), history)


def test_remedies_load_no_framework() -> None:
    import subprocess
    import sys

    code = "import sys, triode.doctor.remedies; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_change_at_the_wrong_call_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    change = surgery._change

    def planted(training: Training, spot: Any, *rest: Any) -> None:
        change(training, replace(spot, call=(spot.call + 1) % 5), *rest)

    patient, history = build(Functional)
    monkeypatch.setattr(surgery, "_change", planted)
    site = history.hidden()[1].name
    one = treat(patient, Prescription("replace_activation", {"function": "elu", "sites": (site,)}), history)
    assert functions(one) != ["relu", "elu", "relu", "relu", "relu", "softmax"]


def test_what_is_added_to_a_sequential_model_is_not_called_in_its_row() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 8), shared, nn.Linear(8, 6), shared, nn.Linear(6, 2))
    patient = training(model)
    history = seen(patient)
    treated = treat(
        patient,
        [
            Prescription("scale_inputs"),
            Prescription("insert_batch_norm"),
            Prescription("insert_activation", {"function": "tanh", "after": ""}),
        ],
        history,
    )
    norms = [m for m in treated.model.modules() if isinstance(m, nn.BatchNorm1d)]
    x = (X - X.mean(0)) / X.std(0, unbiased=False)
    z = torch.relu(norms[0](model[0](x)))
    wanted = torch.tanh(model[4](torch.relu(norms[1](model[2](z)))))
    assert torch.allclose(treated.model(X), wanted, atol=1e-5)
    assert len(treated.model) == 5
