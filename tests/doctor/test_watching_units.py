"""What is counted and measured while a network is watched must be right to the unit."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402

from support.watched import images, loop, seen, vectors  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402


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
