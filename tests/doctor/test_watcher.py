"""Watching: it must see every way to write a network, count right, and change nothing."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import triode  # noqa: E402
from triode.doctor.history import History  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402

Batch = tuple[Tensor, Tensor]


def vectors(n: int = 6, features: int = 5, classes: int = 3, size: int = 16) -> list[Batch]:
    torch.manual_seed(3)
    return [(torch.randn(size, features), torch.randint(classes, (size,))) for _ in range(n)]


def images(n: int = 4) -> list[Batch]:
    torch.manual_seed(3)
    return [(torch.randn(8, 1, 8, 8), torch.randint(3, (8,))) for _ in range(n)]


def loop(
    net: nn.Module,
    batches: Iterable[Batch],
    loss_fn: Callable[[Any, Any], Tensor] = F.cross_entropy,
    rate: float = 0.05,
    watcher: Watcher | None = None,
    epochs: int = 1,
) -> list[float]:
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    losses = []
    for _ in range(epochs):
        if watcher is not None:
            watcher.epoch()
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def seen(net: nn.Module, batches: Iterable[Batch], **options: Any) -> History:
    with Watcher() as watcher:
        loop(net, batches, watcher=watcher, **options)
    [history] = watcher.histories()
    return history


class Block(nn.Module):
    """One in-place module used twice, and a way around."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(x + self.bn2(self.conv2(y)))


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        Block(),
        Block(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(nn.Linear(5, 8), nn.ReLU()), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        return self.b(checkpoint(self.a, x, use_reentrant=False))


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)
    )


def ours() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), triode.torch.GELU(), nn.Linear(8, 7), triode.torch.ReLU(), nn.Linear(7, 3)
    )


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("make", "batches"),
    [
        (plain, vectors()),
        (ours, vectors()),
        (residual, images()),
        (Checkpointed, vectors()),
        (attention, vectors()),
        (lambda: nn.DataParallel(plain()), vectors()),
    ],
)
def test_watching_changes_no_bit(make: Callable[[], nn.Module], batches: list[Batch]) -> None:
    outcomes = []
    for watched in (False, True):
        torch.manual_seed(0)
        net = make()
        torch.manual_seed(1)
        if watched:
            with Watcher():
                losses = loop(net, batches, epochs=2)
        else:
            losses = loop(net, batches, epochs=2)
        outcomes.append((losses, net.state_dict(), torch.get_rng_state()))
    assert outcomes[0][0] == outcomes[1][0]
    assert all(
        torch.equal(a, b) for a, b in zip(outcomes[0][1].values(), outcomes[1][1].values(), strict=True)
    )
    assert torch.equal(outcomes[0][2], outcomes[1][2])


def test_nothing_of_it_is_left_behind() -> None:
    from torch.nn.modules import module as hooks
    from torch.optim import optimizer as optimisers

    before, backward = DataLoader.__iter__, Tensor.backward
    net = plain()

    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Watcher():
        nn.Sequential(net, Failing())(torch.rand(4, 5))
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks
    assert not optimisers._global_optimizer_pre_hooks
    assert not optimisers._global_optimizer_post_hooks
    assert not net._forward_pre_hooks
    assert DataLoader.__iter__ is before
    assert Tensor.backward is backward
    assert torch._C._len_torch_function_stack() == 0


def test_modes_of_the_users_own_stay_where_they_were() -> None:
    net = plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Watcher() as watcher:
        with torch.device("cpu"):
            loss = F.cross_entropy(net(torch.rand(8, 5)), torch.zeros(8, dtype=torch.long))
            inside = torch._C._len_torch_function_stack()
            loss.backward()
            optimizer.step()
            assert torch._C._len_torch_function_stack() == 1
        assert torch._C._len_torch_function_stack() == 0
    assert inside == 2
    assert watcher.histories()[0].steps == 1


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


def test_death_is_exact_by_unit_and_by_pass() -> None:
    """A unit that answers a single example of one batch is alive; it dies and revives by pass."""
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4))
        net[0].bias.copy_(torch.tensor([0.0, 0.0, 0.0, -50.0]))
    quiet = -torch.ones(8, 4)
    quiet[:, 0] = 1.0
    once = quiet.clone()
    once[5, 1] = 1.0  # unit 1 answers one example of one batch
    late = quiet.clone()
    late[0, 2] = 1.0
    target = torch.zeros(8, dtype=torch.long)
    passes = [[quiet, quiet, once, quiet], [quiet, quiet], [late, quiet]]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with Watcher() as watcher:
        for batches in passes:
            watcher.epoch()
            for x in batches:
                optimizer.zero_grad()
                F.cross_entropy(net(x), target).backward()
                optimizer.step()
    [site] = watcher.histories()[0].sites
    assert [figures.dead.tolist() for figures in site.passes] == [
        [False, False, True, True],
        [False, True, True, True],
        [False, True, False, True],
    ]
    assert [figures.examples for figures in site.passes] == [32, 16, 16]
    assert all(figures.exact for figures in site.passes)


def test_sparse_is_not_dead() -> None:
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    with torch.no_grad():
        net[0].bias.fill_(-1.2)
    history = seen(net, vectors(features=64, classes=2, n=20), rate=0.0)
    last = history.sites[0].last
    assert last is not None
    assert last.sparsity > 0.9
    assert last.dead_share == 0.0


def test_a_unit_of_a_convolution_is_a_channel() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([0.0, -100.0, 0.0]))
    last = seen(net, images(), rate=0.0).sites[0].last
    assert last is not None
    assert last.dead.tolist() == [False, True, False]


def test_channels_last_counts_the_same() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([0.0, -100.0, 0.0]))
    net = net.to(memory_format=torch.channels_last)
    batches = [(x.expand(-1, 1, 8, 8).to(memory_format=torch.channels_last), y) for x, y in images()]
    last = seen(net, batches, rate=0.0).sites[0].last
    assert last is not None
    assert last.dead.tolist() == [False, True, False]


def test_nan_is_not_dead() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([math.nan, -100.0, 0.0]))
    last = seen(net, vectors(features=4, classes=2), rate=0.0).sites[0].last
    assert last is not None
    assert last.dead.tolist() == [False, True, False]


def test_saturation_is_the_functions_own() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([0.0, 0.0, 2.9, 3.1, -3.1, 8.0]))  # tanh' is 1% at 2.993
    last = seen(net, vectors(features=4, classes=2), rate=0.0).sites[0].last
    assert last is not None
    assert last.saturated == pytest.approx(0.5)
    assert last.flat.tolist() == [False, False, False, True, True, True]
    assert last.mean == pytest.approx(float(torch.tanh(net[0].bias.detach()).mean()), abs=1e-6)


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
    assert graph[2].where.rpartition(":")[0].endswith("test_watcher.py")
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


def test_accumulated_and_scaled_gradients_are_one_step_and_the_loss_is_the_loss() -> None:
    net = plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    losses = []
    with Watcher() as watcher:
        for place, (x, y) in enumerate(vectors(8)):
            loss = F.cross_entropy(net(x), y)
            losses.append(loss.item())
            (loss / 4).backward()
            if place % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    [history] = watcher.histories()
    assert history.losses == pytest.approx([sum(losses[:4]) / 4, sum(losses[4:]) / 4])


def test_mixed_precision() -> None:
    net = plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    with Watcher() as watcher:
        for x, y in vectors():
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    [history] = watcher.histories()
    assert [site.function for site in history.sites] == ["relu", "tanh"]
    assert history.nonfinite is None


def test_evaluation_is_not_training() -> None:
    net = plain()
    train = DataLoader(TensorDataset(torch.rand(64, 5), torch.zeros(64, dtype=torch.long)), 16)
    test = DataLoader(TensorDataset(torch.rand(256, 5)), 16)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    with Watcher() as watcher:
        for _ in range(3):
            for number, (x, y) in enumerate(train):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
                if number == 1:
                    with torch.no_grad():
                        for (held,) in test:
                            net(held)
    [history] = watcher.histories()
    assert history.epochs_known
    assert history.epochs == [0] * 4 + [1] * 4 + [2] * 4
    assert [figures.examples for figures in history.sites[0].passes] == [64, 64, 64]


def test_two_models_and_two_optimisers() -> None:
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    first = torch.optim.Adam(maker.parameters())
    second = torch.optim.Adam(critic.parameters())
    judge = nn.BCEWithLogitsLoss()
    one, zero = torch.ones(16, 1), torch.zeros(16, 1)
    with Watcher() as watcher:
        for _ in range(6):
            made = maker(torch.randn(16, 4))
            second.zero_grad()
            (judge(critic(torch.randn(16, 2)), one) + judge(critic(made.detach()), zero)).backward()
            second.step()
            first.zero_grad()
            judge(critic(made), one).backward()
            first.step()
    histories = {history.name: history for history in watcher.histories()}
    assert set(histories) == {"maker", "critic"}
    assert [site.name for site in histories["maker"].sites] == ["0.relu"]
    assert [site.name for site in histories["critic"].sites] == ["0.leaky_relu"]
    assert histories["maker"].steps == histories["critic"].steps == 6
    assert [layer.name for layer in histories["maker"].layers] == ["0", "2"]
    assert all(layer.gradient for layer in histories["maker"].layers)


def test_frozen_parameters_are_not_trained() -> None:
    net = plain()
    for parameter in net[0].parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    with Watcher() as watcher:
        F.cross_entropy(net(torch.rand(8, 5)), torch.zeros(8, dtype=torch.long)).backward()
        optimizer.step()
    layers = {layer.name: layer for layer in watcher.histories()[0].layers}
    assert not layers["0"].trained
    assert not layers["0"].gradient
    assert layers["3"].trained


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


def test_lbfgs_calls_the_model_inside_its_step() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3)
    x = torch.rand(16, 2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (net(x) - x[:, :1]).square().mean()
        loss.backward()
        return loss

    with Watcher() as watcher:
        for _ in range(3):
            optimizer.step(closure)
    [history] = watcher.histories()
    assert history.steps == 3
    assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize("what", ["log", "exp", "input", "target", "weights"])
def test_the_first_operation_that_is_not_finite_is_named(what: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.a(x))
            return self.b(torch.exp(x * 1e3) if what == "exp" else F.relu(x))

    torch.manual_seed(0)
    net, x, y = Net(), torch.randn(8, 3), torch.rand(8, 2)
    if what == "input":
        x[2, 1] = math.nan
    if what == "target":
        y[2, 1] = math.inf
    if what == "weights":
        with torch.no_grad():
            net.b.weight[0, 0] = math.nan

    def loss_fn(output: Tensor, target: Tensor) -> Tensor:
        return torch.log(F.relu(output)).mean() if what == "log" else F.mse_loss(output, target)

    before = copy.deepcopy(net.norm.state_dict())
    history = seen(net, [(x, y)], loss_fn=loss_fn)
    found = history.nonfinite
    assert found is not None
    assert found.step == 0
    expected = {
        "log": ("loss", "log"),
        "exp": ("activation", "exp"),
        "input": ("input", ""),
        "target": ("target", "mse_loss"),
        "weights": ("parameter", ""),
    }
    assert (found.what, found.operation) == expected[what]
    if what == "exp":
        assert found.layer == "norm"
        # The model was called again to find out; its running statistics must not have moved twice.
        assert int(before["num_batches_tracked"]) == 0
        assert int(net.norm.num_batches_tracked) == 1


def test_masks_of_attention_are_no_infinities() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qk, self.out = nn.Linear(5, 10), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            q, k = self.qk(x).chunk(2, -1)
            scores = (q @ k.T).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -math.inf)
            return self.out(scores.softmax(-1) @ x)

    history = seen(Net(), vectors())
    assert history.nonfinite is None
    assert history.sites == [] or all(site.role != "hidden" for site in history.sites)


def test_overshoot_of_a_parabola_is_exact() -> None:
    """On a parabola of curvature h a step of rate r goes r h times as far as the best one."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[2.0]]))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.w

    x, y = torch.ones(4, 1), torch.zeros(4, 1)
    for rate in (0.05, 0.5, 5.0):
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), lr=rate)
        with Watcher() as watcher:
            for _ in range(4):
                optimizer.zero_grad()
                (0.5 * (net(x) - y).square()).mean().backward()
                optimizer.step()
        assert watcher.histories()[0].overshoot == pytest.approx([rate] * 3, rel=1e-4)


def test_twins_are_found_and_told_from_what_only_looks_alike() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for layer in (net[0], net[2], net[4]):
            layer.weight.fill_(0.1)
            layer.bias.zero_()
    layers = seen(net, vectors(features=4, classes=2)).layers
    assert [(layer.twins, layer.twin_users) for layer in layers] == [(1.0, True), (1.0, True), (1.0, False)]
    assert layers[0].twins_after == layers[1].twins_after == 1.0
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    nn.init.zeros_(net[2].weight)  # a head of zeros is a common and sound start
    assert seen(net, vectors(features=4, classes=2)).layers[0].twins == 0.0


def test_an_error_of_the_doctors_own_does_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from triode.doctor.observe import units

    def broken(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Watcher, "strict", False)
    monkeypatch.setattr(units.Pass, "ask", broken)
    net = plain()
    with Watcher() as watcher:
        losses = loop(net, vectors())
    assert len(losses) == 6
    assert any("planted" in sentence for sentence in watcher.limits)
    assert torch._C._len_torch_function_stack() == 0


def test_no_batch_is_kept() -> None:
    net = plain()
    with Watcher() as watcher:
        kept = []
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for given, y in vectors(12):
            x = given.clone()
            kept.append(weakref.ref(x))
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        del x
        gc.collect()
        assert [reference() for reference in kept] == [None] * 12
    assert watcher.histories()[0].steps == 12


def test_other_threads_are_left_alone() -> None:
    import threading

    net, other = plain(), plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Watcher() as watcher:
        thread = threading.Thread(target=lambda: loop(other, vectors()))
        thread.start()
        thread.join()
        F.cross_entropy(net(torch.rand(8, 5)), torch.zeros(8, dtype=torch.long)).backward()
        optimizer.step()
    assert [history.name for history in watcher.histories()] == ["net"]


def test_what_looking_costs_is_counted_and_samples_become_rarer() -> None:
    from triode.doctor.observe.rhythm import Rhythm

    rhythm = Rhythm(0.05)
    rhythm._mark = (rhythm._mark[0] - 100.0, 0.0)
    for _ in range(400):
        rhythm.begin()
        rhythm.asked(1.0)  # far more than five per cent of the little time that passes
        rhythm.end(False)
    assert rhythm.every == 128
    assert rhythm.ask_every > 1
    frugal = Rhythm(0.05)
    for _ in range(400):
        frugal.begin()
        frugal.end(False)
    assert (frugal.every, frugal.ask_every) == (Rhythm(0.05).every, 1)


def test_lazy_modules_get_their_parameters_in_the_first_call() -> None:
    net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    net(torch.rand(2, 5))
    fresh = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    batches = vectors()
    with Watcher() as watcher:
        fresh(batches[0][0])
        optimizer = torch.optim.SGD(fresh.parameters(), lr=0.1)
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(fresh(x), y).backward()
            optimizer.step()
    [history] = watcher.histories()
    assert [(layer.name, layer.fan_in, layer.units) for layer in history.layers] == [("0", 5, 8), ("2", 8, 3)]


def test_a_bare_matrix_is_read_as_it_is_used() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Parameter(torch.randn(5, 8)), nn.Parameter(torch.randn(3, 8))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.first) @ self.second.T

    graph = seen(Net(), vectors()).graph
    weights = [operation for operation in graph if operation.kind == "weights"]
    assert [(w.parameters, w.details["fan_in"], w.details["fan_out"]) for w in weights] == [
        (("first",), 5, 8),
        (("second",), 8, 3),
    ]


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


def test_a_bad_loss_of_a_step_that_is_not_looked_at_closely_is_located_too() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    with Watcher() as watcher:
        for step in range(50):
            x = torch.rand(8, 2)
            p = net(x)
            p = p * 0.0 if step == 45 else p
            optimizer.zero_grad()
            (-torch.log(p)).mean().backward()
            optimizer.step()
    found = watcher.histories()[0].nonfinite
    assert found is not None
    assert (found.step, found.what, found.operation, found.explanation) == (45, "loss", "log", "log of 0")


def test_every_loss_and_example_is_counted_where_functions_are_not_listened_to() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    watched = vectors(n=60)
    with Watcher() as watcher:
        losses = loop(net, watched, watcher=watcher, rate=1e-3)
        quick = watcher.rhythm.calls
    [history] = watcher.histories()
    assert history.losses == pytest.approx(losses)
    assert [figures.examples for figures in history.sites[0].passes] == [960]
    assert history.sites[0].passes[0].exact
    assert quick < 60 * 8  # fewer than a step's functions, a step
