"""Watching: it must change nothing, leave nothing behind, and tell training from everything else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from support.watched import Batch, Checkpointed, attention, images, loop, ours, plain, residual, vectors  # noqa: E402
from triode.doctor.observe.watcher import Watcher  # noqa: E402


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
