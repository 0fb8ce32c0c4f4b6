"""Training loops as newcomers write them: healthy ones that were once misjudged, and faults that were once missed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.optim import Optimizer  # noqa: E402

from triode.doctor.diagnose import diagnose  # noqa: E402
from triode.doctor.diagnosis import Diagnosis  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402


def looped(net: nn.Module, optimizer: Optimizer, loss: Callable[[int], Tensor], steps: int) -> Diagnosis:
    """A loop that indexes its tensors by hand: nothing says what a pass over the data is."""
    with Watcher() as watcher:
        for step in range(steps):
            optimizer.zero_grad()
            loss(step).backward()
            optimizer.step()
    return diagnose(watcher.histories())


def names(diagnosis: Diagnosis) -> list[str]:
    return [finding.diagnosis for finding in diagnosis.findings]


def classifier(rate: float) -> tuple[nn.Sequential, Optimizer, Callable[[int], Tensor]]:
    torch.manual_seed(0)
    x = torch.randn(1000, 10)
    y = (x @ torch.randn(10, 3)).argmax(1)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

    def loss(step: int) -> Tensor:
        rows = torch.arange(50) + 50 * (step % 20)
        return F.cross_entropy(net(x[rows]), y[rows])

    return net, torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9), loss


@pytest.mark.parametrize("steps", [40, 72])
def test_units_killed_by_the_first_updates_are_dead_though_they_spoke_before(steps: int) -> None:
    found = looped(*classifier(rate=20.0), steps)
    assert "dead_relu" in names(found)
    assert looped(*classifier(rate=0.02), steps).healthy


@pytest.mark.parametrize("steps", [9, 57, 122, 250])
def test_units_that_a_pass_just_begun_has_not_heard_yet_are_not_dead(steps: int) -> None:
    torch.manual_seed(0)
    words = torch.eye(64)
    first = nn.Linear(64, 64, bias=False)
    net = nn.Sequential(first, nn.ReLU(), nn.Linear(64, 64))
    with torch.no_grad():  # each unit speaks for one word in eight, and a step shows a single one
        first.weight.copy_(torch.where(torch.arange(64)[:, None] % 8 == torch.arange(64) % 8, 1.0, -1.0))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    found = looped(
        net,
        optimizer,
        lambda step: F.cross_entropy(net(words[step % 64][None]), torch.tensor([step % 64])),
        steps,
    )
    assert "dead_relu" not in names(found)


def test_an_explosion_in_the_first_steps_is_one_though_the_loss_comes_down_from_its_peak() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 10)
    y = torch.sin(x[:, :1])
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1.0)
    rows = [torch.arange(50) + 50 * place for place in range(20)]
    found = looped(
        net, optimizer, lambda step: F.mse_loss(net(x[rows[step % 20]]), y[rows[step % 20]]), steps=60
    )
    assert "exploding_gradient" in names(found)


def test_a_model_called_with_fast_weights_is_still_the_one_that_is_trained() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1))

    def loss(step: int) -> Tensor:
        x = torch.randn(16, 1)
        slow: dict[str, Tensor] = dict(net.named_parameters())
        inner = F.mse_loss(functional_call(net, slow, (x,)), x.sin())
        slopes = torch.autograd.grad(inner, list(slow.values()), create_graph=True)
        fast = {name: p - 0.01 * slope for (name, p), slope in zip(slow.items(), slopes, strict=True)}
        return F.mse_loss(functional_call(net, fast, (x,)), x.sin())

    found = looped(net, torch.optim.Adam(net.parameters(), 1e-3), loss, steps=5)
    (history,) = found.histories
    assert (history.steps, [layer.name for layer in history.layers]) == (5, ["0", "2"])
    assert all(layer.gradient and layer.gradient[0] > 0.0 for layer in history.layers)


def test_what_is_computed_of_weights_alone_names_each_of_them_once() -> None:
    net = nn.Linear(4, 2)

    def loss(step: int) -> Tensor:
        penalty = net.weight
        for _ in range(24):  # names that doubled each time would be 16 million
            penalty = 0.5 * penalty + 0.5 * penalty
        total: Tensor = net(torch.ones(3, 4)).square().mean() + penalty.square().mean()
        return total

    found = looped(net, torch.optim.SGD(net.parameters(), 0.01), loss, steps=1)
    assert max(len(operation.parameters) for operation in found.histories[0].graph) <= 2


def test_steps_that_move_bare_tensors_are_counted() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    with Watcher() as watcher:
        weight.square().sum().backward()
        optimizer.step()
    assert (watcher.unowned, watcher.histories()) == (1, [])
