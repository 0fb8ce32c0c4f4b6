"""Watching must see every way to write a network, and say what follows what."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402

import triode  # noqa: E402
from support.watched import images, plain, residual, seen, vectors  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402


class Ways(nn.Module):
    """The same function in many ways."""

    def __init__(self, write: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.write = nn.Linear(5, 8), nn.Linear(8, 3), write

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.write(self.first(x)))


@pytest.mark.parametrize(
    "write",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        F.relu,
        torch.relu,
        lambda z: F.relu(z, inplace=True),
        lambda z: F.relu_(z),
        lambda z: z.relu(),
        lambda z: z.clone().relu_(),
        lambda z: z.clamp(min=0),
        lambda z: torch.clamp(z, 0),
        lambda z: z.clamp_min(0.0),
        lambda z: torch.maximum(z, torch.zeros_like(z)),
        lambda z: torch.max(z, torch.zeros(())),
        lambda z: torch.where(z > 0, z, 0.0),
        lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
        lambda z: F.threshold(z, 0, 0),
        triode.torch.ReLU(),
    ],
)
def test_every_way_to_write_a_relu_is_seen(write: Callable[[Tensor], Tensor]) -> None:
    history = seen(Ways(write), vectors())
    assert [(site.name, site.function, site.role, site.units) for site in history.sites] == [
        ("first.relu", "relu", "hidden", 8)
    ]
    assert history.layers[0].activation == "relu"


@pytest.mark.parametrize(
    ("write", "function"),
    [
        (torch.sigmoid, "sigmoid"),
        (lambda z: z.sigmoid(), "sigmoid"),
        (torch.tanh, "tanh"),
        (F.silu, "swish"),
        (lambda z: F.gelu(z, approximate="tanh"), "gelu_tanh"),
        (lambda z: F.elu(z, 0.5), "elu"),
        (nn.Softplus(beta=2), "softplus"),
        (nn.PReLU(), "prelu"),
        (torch.exp, "exp"),
    ],
)
def test_functions_get_their_names(write: Callable[[Tensor], Tensor], function: str) -> None:
    assert [site.function for site in seen(Ways(write), vectors()).sites] == [function]


@pytest.mark.parametrize(
    "write", [lambda z: z.clamp(min=-1), lambda z: z.clamp(0, 1), lambda z: torch.where(z > 1, z, 0.0)]
)
def test_what_is_no_relu_is_not_called_one(write: Callable[[Tensor], Tensor]) -> None:
    assert [site.function for site in seen(Ways(write), vectors()).sites] == []


def test_a_module_used_twice_is_two_sites_and_the_name_is_the_layers() -> None:
    history = seen(residual(), images())
    assert [site.name for site in history.sites] == [
        "0.relu", "2.conv1.relu", "2.conv2.relu", "3.conv1.relu", "3.conv2.relu"
    ]  # fmt: skip
    assert all(site.convolutional and site.units == 5 for site in history.sites)
    assert [layer.name for layer in history.weight_layers()] == [
        "0", "2.conv1", "2.conv2", "3.conv1", "3.conv2", "6"
    ]  # fmt: skip


def test_the_graph_says_what_follows_what() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.softmax(self.b(F.relu(self.a(x))), dim=1)

    history = seen(Net(), vectors())
    names = [(operation.name, operation.kind) for operation in history.graph]
    assert names == [
        ("data", "data"),
        ("linear", "weights"),
        ("relu", "activation"),
        ("linear", "weights"),
        ("softmax", "softmax"),
        ("data", "data"),
        ("cross_entropy", "loss"),
    ]
    graph = history.graph
    assert graph[graph.loss].name == "cross_entropy"
    assert [graph[index].name for index in graph.outputs] == ["softmax"]
    assert graph[1].parameters == ("a.weight", "a.bias")
    assert graph[2].where.rpartition(":")[0].endswith("test_watching_graph.py")
    assert graph[5].details["what"] == "target"
    assert history.loss.name == "cross_entropy"


def test_inputs_outputs_and_targets_are_described() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([1.0, 10.0, 100.0])
    batches = [(torch.randn(64, 3) * scale + 5, torch.randint(2, (64,))) for _ in range(5)]
    history = seen(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), batches, rate=1e-3)
    [inputs], [outputs], [targets] = history.inputs, history.outputs, history.targets
    every = torch.cat([x for x, _ in batches]).double()
    assert inputs.std == pytest.approx(every.std(dim=0, correction=0).tolist(), rel=1e-9)
    assert inputs.mean == pytest.approx(every.mean(dim=0).tolist(), rel=1e-9)
    assert outputs.shape == (64, 2)
    assert targets.integer
    assert targets.values is not None
    assert targets.counts is not None
    assert targets.values.tolist() == [0.0, 1.0]
    assert int(targets.counts.sum()) == 5 * 64


def test_keyword_arguments_and_dictionaries_are_seen() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 2)

        def forward(self, ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
            scores = self.head(F.relu(self.embedding(ids)).mean(1))
            return {"loss": F.cross_entropy(scores, labels), "scores": scores}

    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Watcher() as watcher:
        for _ in range(4):
            ids = torch.randint(20, (8, 5))
            optimizer.zero_grad()
            net(ids=ids, labels=ids[:, 0] % 2)["loss"].backward()
            optimizer.step()
    [history] = watcher.histories()
    assert history.loss.name == "cross_entropy"
    assert [site.name for site in history.sites] == ["embedding.relu"]
    assert history.inputs[0].integer
    assert history.outputs[0].shape == (8, 2)
    assert history.targets[0].integer


def test_a_loop_over_time_is_one_site_whatever_its_length() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.on, self.out = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.zeros(len(x), 8)
            for t in range(x.shape[1]):
                h = torch.tanh(self.into(x[:, t]) + self.on(h))
            return self.out(h)

    batches = [(torch.randn(4, length, 2), torch.zeros(4, dtype=torch.long)) for length in (5, 7, 5, 3, 9, 5)]
    history = seen(Net(), batches)
    assert [site.name for site in history.sites] == ["on.tanh"]
    assert [(layer.name, layer.depth) for layer in history.layers] == [("into", 0), ("on", 0), ("out", 1)]


def test_a_loss_differentiated_by_torch_autograd_is_seen() -> None:
    net = plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    told = []
    with Watcher() as watcher:
        for x, y in vectors():
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            told.append(loss.item())
            torch.autograd.backward(loss)
            optimizer.step()
    [history] = watcher.histories()
    assert history.losses == pytest.approx(told)
    assert history.loss.name == "cross_entropy"


def test_what_a_generator_hands_on_is_its_output_and_names_do_not_mix() -> None:
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Tanh())
    critic = nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))
    first, second = torch.optim.Adam(maker.parameters()), torch.optim.Adam(critic.parameters())
    with Watcher() as watcher:
        for _ in range(3):
            made = maker(torch.randn(16, 4))
            second.zero_grad()
            critic(made.detach()).mean().backward()
            second.step()
            first.zero_grad()
            critic(made).mean().backward()
            first.step()
    histories = {history.name: history for history in watcher.histories()}
    assert [(site.name, site.role) for site in histories["maker"].sites] == [
        ("0.relu", "hidden"),
        ("2.tanh", "output"),
    ]
    assert [(layer.fan_in, layer.units) for layer in histories["maker"].layers] == [(4, 8), (8, 2)]
    used = [operation.parameters for operation in histories["maker"].graph if operation.kind == "weights"]
    assert used == [("0.weight", "0.bias"), ("2.weight", "2.bias"), (), ()]
    assert [layer.depth for layer in histories["critic"].layers] == [0, 1]


def test_two_models_of_one_optimiser_are_one_patient_whose_names_say_which() -> None:
    encoder = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
    with Watcher() as watcher:
        for _ in range(3):
            x = torch.rand(16, 5)
            optimizer.zero_grad()
            F.mse_loss(decoder(encoder(x)), x).backward()
            optimizer.step()
    [history] = watcher.histories()
    assert history.name == "encoder + decoder"
    assert [(site.name, site.role) for site in history.sites] == [
        ("encoder.0.relu", "hidden"),
        ("decoder.0.sigmoid", "output"),
    ]
    assert [(layer.name, layer.activation, layer.depth) for layer in history.layers] == [
        ("encoder.0", "relu", 0),
        ("decoder.0", "sigmoid", 1),
    ]
    assert all(math.isfinite(layer.signal) for layer in history.layers)
