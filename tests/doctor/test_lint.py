"""Lint: what can be seen before training, nothing that cannot, and nothing left changed."""

import copy
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import triode
from triode.doctor.diagnosis import Diagnosis
from triode.doctor.linting import lint
from triode.errors import TriodeError


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def ids(diagnosis: Diagnosis) -> list[str]:
    return [finding.diagnosis for finding in diagnosis.findings]


def rows(n: int = 64, features: int = 8, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, features), torch.randint(classes, (n,))


def stack(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def mlp(
    width: int, depth: int, activation: Callable[[], nn.Module], into: int = 8, out: int = 3
) -> nn.Sequential:
    sizes = [into, *[width] * depth]
    hidden = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), activation())]
    return stack(*hidden, nn.Linear(width, out))


def he(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return net


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.two(F.relu(self.norm(self.one(x)))))
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.qkv, self.project = nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 20)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(-2, -1) / 4.0, dim=-1)
        return self.head(x + self.project(weights @ v))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.core(x)[0][:, -1])


def tokens_loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(output.flatten(0, 1), y.flatten())


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    both = torch.randint(20, (16, 9))
    return both[:, :-1], both[:, 1:]


def numbers(out: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 8)
    return x, x[:, :out] * 2 - 1


CE, MSE = nn.CrossEntropyLoss(), nn.MSELoss()
HEALTHY: dict[str, Callable[[], tuple[nn.Module, Any, Any]]] = {
    "a small MLP": lambda: (mlp(32, 2, nn.ReLU), CE, rows()),
    "eight examples, where many units are silent by chance": lambda: (mlp(32, 3, nn.ReLU), CE, rows(8)),
    "a single example": lambda: (mlp(32, 3, nn.ReLU), CE, rows(1)),
    "twenty ReLU layers by He": lambda: (he(mlp(64, 20, nn.ReLU)), CE, rows()),
    "ten tanh layers": lambda: (mlp(64, 10, nn.Tanh), CE, rows()),
    "GELU": lambda: (mlp(64, 4, nn.GELU), CE, rows()),
    "a single sigmoid layer": lambda: (mlp(32, 1, nn.Sigmoid), CE, rows()),
    "a probability out of a sigmoid": lambda: (
        stack(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()),
        nn.BCELoss(),
        (torch.randn(64, 8), torch.randint(2, (64, 1)).float()),
    ),
    "log-probabilities": lambda: (stack(mlp(32, 1, nn.ReLU), nn.LogSoftmax(1)), nn.NLLLoss(), rows()),
    "regression": lambda: (mlp(32, 2, nn.ReLU, out=1), MSE, numbers()),
    "linear regression": lambda: (nn.Linear(8, 1), MSE, numbers()),
    "residual convolutions": lambda: (
        Residual(),
        CE,
        (torch.randn(16, 3, 8, 8), torch.randint(3, (16,))),
    ),
    "attention": lambda: (Attention(), tokens_loss, tokens()),
    "an LSTM": lambda: (Recurrent(), CE, (torch.randn(16, 6, 8), torch.randint(3, (16,)))),
    "an autoencoder with a narrow linear middle": lambda: (
        stack(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2), nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8)),
        MSE,
        (lambda x: (x, x))(torch.randn(64, 8)),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_start_is_healthy(name: str) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        diagnosis = lint(*HEALTHY[name]())
        assert diagnosis.healthy, [finding.summary for finding in diagnosis.findings]
        assert diagnosis.histories[0].steps == 1


def wide(net: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(factor)
    return net


def alike(net: nn.Module, value: float) -> nn.Module:
    for p in net.parameters():
        nn.init.constant_(p, value)
    return net


def softmaxed(out: int = 3) -> nn.Module:
    return stack(mlp(16, 1, nn.ReLU, out=out), nn.Softmax(dim=1))


SICK: dict[str, tuple[str, Callable[[], tuple[nn.Module, Any, Any]]]] = {
    "softmax before cross-entropy": ("softmax_before_ce", lambda: (softmaxed(), CE, rows())),
    "softmax of one": (
        "softmax_single_unit",
        lambda: (softmaxed(1), nn.BCELoss(), (torch.randn(64, 8), torch.randint(2, (64, 1)).float())),
    ),
    "scores into nll": ("missing_softmax", lambda: (mlp(16, 1, nn.ReLU), nn.NLLLoss(), rows())),
    "scores into BCE, which raises": (
        "missing_softmax",
        lambda: (
            wide(mlp(16, 1, nn.ReLU, out=1), 3.0),
            nn.BCELoss(),
            (torch.randn(64, 8), torch.randint(2, (64, 1)).float()),
        ),
    ),
    "two linear layers": (
        "missing_activation",
        lambda: (stack(nn.Linear(8, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)), CE, rows()),
    ),
    "tanh towards large targets": (
        "output_range_mismatch",
        lambda: (
            stack(mlp(16, 1, nn.ReLU, out=1), nn.Tanh()),
            MSE,
            (torch.randn(64, 8), torch.randn(64, 1) * 9),
        ),
    ),
    "constant weights": ("symmetric_init", lambda: (alike(mlp(16, 2, nn.ReLU), 0.1), CE, rows())),
    "weights far too small": ("bad_init", lambda: (wide(mlp(64, 5, nn.ReLU), 1e-3), CE, rows())),
    "pixels from 0 to 255": (
        "input_not_scaled",
        lambda: (mlp(16, 2, nn.ReLU), CE, (torch.randint(256, (64, 8)).float(), torch.randint(3, (64,)))),
    ),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_start_is_found(name: str) -> None:
    expected, make = SICK[name]
    assert expected in ids(lint(*make()))


def test_what_needs_a_training_is_unchecked_with_a_sentence() -> None:
    net = he(mlp(64, 12, nn.ReLU))
    diagnosis = lint(net, CE, rows(4))
    assert diagnosis.healthy
    assert not diagnosis.notes
    for name in ("dead_relu", "vanishing_gradient", "loss_not_decreasing"):
        assert name not in diagnosis.checked
        assert " " in diagnosis.unchecked[name]
    assert set(diagnosis.checked) | set(diagnosis.unchecked) == set(triode.doctor.diagnoses())


def test_a_layer_that_nothing_passes_is_certain_at_once() -> None:
    net = mlp(16, 3, nn.ReLU)
    nn.init.constant_(net[2].bias, -50.0)
    diagnosis = lint(net, CE, rows())
    assert ids(diagnosis)
    assert {"dead_relu", "bad_init"} & set(ids(diagnosis))


class Draws(nn.Module):
    """Draws from everything, counts its calls in a buffer, and makes a buffer anew."""

    def __init__(self) -> None:
        super().__init__()
        self.net = stack(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 3))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))
        self.register_buffer("none", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last = torch.ones(5) * random.random() * np.random.rand()  # noqa: NPY002
        return self.net(x)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_stays_changed(training: bool) -> None:
    net, example = Draws().train(training), rows()
    net.net[1].eval()
    for p in net.parameters():
        p.grad = torch.full_like(p, 7.0)
    net.net[0].weight.grad = None
    kept = copy.deepcopy(net)
    identities = [id(each) for each in (*net.parameters(), *net.buffers())]
    gradients = [id(p.grad) for p in net.parameters()]
    values = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    modes = [module.training for module in net.modules()]
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    lint(net, CE, example)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert [id(each) for each in (*net.parameters(), *net.buffers())] == identities
    assert [id(p.grad) for p in net.parameters()] == gradients
    assert [module.training for module in net.modules()] == modes
    for (name, one), two in zip(net.state_dict().items(), kept.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    for p, value in zip(net.parameters(), values, strict=True):
        assert value is None or torch.equal(p.grad, value)
    assert [list(module._forward_pre_hooks) for module in net.modules()] == [[] for _ in net.modules()]


def test_nothing_stays_changed_after_an_error() -> None:
    net = Draws()
    state = copy.deepcopy(net.state_dict())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        lint(net, CE, (torch.randn(4, 5), torch.zeros(4, dtype=torch.long)))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), state.values(), strict=True))
    assert all(p.grad is None for p in net.parameters())


def test_an_optimiser_that_steps_in_the_backward_pass_does_not() -> None:
    net = mlp(16, 1, nn.ReLU)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for p in net.parameters():
        p.register_post_accumulate_grad_hook(lambda p: optimizer.step())
    kept = copy.deepcopy(net.state_dict())
    lint(net, CE, rows())
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), kept.values(), strict=True))


def test_frozen_and_unused_parameters() -> None:
    net = mlp(16, 1, nn.ReLU)
    net[0].requires_grad_(False)
    net.register_module("spare", nn.Linear(2, 2))
    net.forward = lambda x: net[2](net[1](net[0](x)))  # type: ignore[method-assign]
    diagnosis = lint(net, CE, rows())
    assert diagnosis.healthy
    for p in net.parameters():
        p.requires_grad_(False)
    assert lint(net, CE, rows()).healthy


def test_a_lazy_model_stays_lazy() -> None:
    net = stack(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3), nn.Softmax(dim=1))
    assert "softmax_before_ce" in ids(lint(net, CE, rows()))
    assert nn.parameter.is_lazy(net[0].weight)
    with pytest.raises(TriodeError, match="call it once"):
        lint(stack(nn.LazyLinear(16), nn.LazyBatchNorm1d()), CE, rows())


def test_inputs_alone_tell_of_the_structure_and_the_signal() -> None:
    net = mlp(64, 4, nn.ReLU)
    diagnosis = lint(net, None, torch.randn(64, 8))
    (history,) = diagnosis.histories
    assert diagnosis.healthy
    assert history.losses == []
    assert all(layer.gradient[0] > 0 for layer in history.weight_layers())
    assert "no loss was given" in diagnosis.unchecked["missing_softmax"]
    again = lint(net, None, torch.randn(64, 8))
    assert len(again.histories[0].layers) == len(history.layers)


def test_other_forms_of_an_example() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 3), nn.Linear(4, 3)

        def forward(self, a: torch.Tensor, b: torch.Tensor, labels: Any = None) -> Any:
            scores = self.one(a) + self.two(b)
            return scores if labels is None else {"loss": F.cross_entropy(scores, labels), "scores": scores}

    a, b, y = torch.randn(32, 8), torch.randn(32, 4), torch.randint(3, (32,))
    for loss_fn, example in (
        (CE, ((a, b), y)),
        (CE, ({"a": a, "b": b}, y)),
        (None, {"a": a, "b": b, "labels": y}),
        (lambda output: output.square().mean(), {"a": a, "b": b}),
    ):
        (history,) = lint(Two(), loss_fn, example).histories
        assert history.steps == 1
        assert all(layer.gradient[0] > 0 for layer in history.layers)


@pytest.mark.parametrize(
    ("loss_fn", "example", "sentence"),
    [
        (nn.CrossEntropyLoss(reduction="none"), rows(4), r"loss is a tensor of shape \(4,\)"),
        (lambda p, y: 3.0, rows(4), "loss is float"),
        (CE, (torch.randn(0, 8), torch.zeros(0, dtype=torch.long)), "without entries"),
    ],
)
def test_a_wrong_call_is_one_sentence(loss_fn: Any, example: Any, sentence: str) -> None:
    with pytest.raises(TriodeError, match=sentence):
        lint(mlp(16, 1, nn.ReLU), loss_fn, example)
