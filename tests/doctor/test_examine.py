"""`examine` trains exactly as a plain loop, whatever it is given; `watch` watches the user's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import triode  # noqa: E402
from triode.doctor import examine, watch  # noqa: E402
from triode.errors import TriodeError  # noqa: E402


def two_moons(n: int = 256) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    angle = torch.rand(n, generator=generator) * math.pi
    y = torch.arange(n) % 2
    x = torch.stack([torch.cos(angle) * (1 - 2 * y) + y, torch.sin(angle) * (1 - 2 * y) + 0.5 * y], 1)
    return (x - x.mean(0)) / x.std(0), y


def network(width: int = 16) -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))


def split() -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    x, y = two_moons()
    return lambda: iter(list(zip(x.split(32), y.split(32), strict=True)))


def test_it_trains_as_a_plain_loop_does() -> None:
    plain, watched = network(), network()
    batches = split()
    first = torch.optim.Adam(plain.parameters(), lr=0.01)
    torch.manual_seed(9)
    for _ in range(3):
        for x, y in batches():
            first.zero_grad()
            F.cross_entropy(plain(x), y).backward()
            first.step()
    state = torch.get_rng_state()
    torch.manual_seed(9)
    second = torch.optim.Adam(watched.parameters(), lr=0.01)
    diagnosis = examine(watched, batches, nn.CrossEntropyLoss(), second, epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert diagnosis.healthy
    assert watched.training
    assert diagnosis.histories[0].steps == 24


def test_a_dataloader_will_do() -> None:
    loader = DataLoader(TensorDataset(*two_moons()), 32, shuffle=True)
    net = network()
    diagnosis = examine(
        net, loader, nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=0.01), epochs=2
    )
    [history] = diagnosis.histories
    assert history.epochs == [0] * 8 + [1] * 8
    assert history.sites[0].passes[0].examples == 256


def test_without_an_optimiser_nothing_moves() -> None:
    net = nn.Sequential(*network()[:2], nn.BatchNorm1d(16), *network()[2:])
    net[2].eval()
    before, gradients = copy.deepcopy(net.state_dict()), [p.grad for p in net.parameters()]
    diagnosis = examine(net, split(), nn.CrossEntropyLoss(), None, epochs=0)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert [p.grad for p in net.parameters()] == gradients
    assert [module.training for module in net] == [True, True, False, True, True]
    [history] = diagnosis.histories
    assert not history.trained
    assert history.layers[0].gradient


def test_a_frozen_model_can_be_examined() -> None:
    net = network().requires_grad_(False)
    with torch.no_grad():
        net[0].bias.fill_(-100.0)
    diagnosis = examine(net, split(), nn.CrossEntropyLoss(), None, epochs=0)
    assert [finding.diagnosis for finding in diagnosis.findings] == ["dead_relu"]


@pytest.mark.parametrize("kind", ["tuple", "dictionary"])
def test_several_inputs(kind: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = nn.Linear(2, 8), nn.Linear(2, 8), nn.Linear(8, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.out(torch.tanh(self.a(left) + self.b(right)))

    x, y = two_moons()
    given = (x, x) if kind == "tuple" else {"left": x, "right": x}
    net = Net()
    diagnosis = examine(
        net, lambda: [(given, y)], F.cross_entropy, torch.optim.SGD(net.parameters(), lr=0.1), 3
    )
    assert len(diagnosis.histories[0].inputs) == 2


def test_the_last_pass_decides_who_is_dead() -> None:
    """Units that no batch of the last epoch woke, seen again with the weights held still and dropout off."""
    net = network(16)
    with torch.no_grad():
        net[0].bias[:5] = -50.0
    diagnosis = examine(net, split(), F.cross_entropy, torch.optim.SGD(net.parameters(), lr=1e-3), epochs=2)
    final = diagnosis.histories[0].sites[0].final
    assert final is not None
    assert final.examples == 256
    with torch.no_grad():
        silent = (F.relu(net[0](two_moons()[0])) == 0).all(dim=0)
    assert final.dead.tolist() == silent.tolist()
    assert 5 <= int(silent.sum()) < 8
    assert diagnosis.healthy
    assert any(note.diagnosis == "dead_relu" for note in diagnosis.notes)


def test_an_error_that_no_finding_explains_is_raised() -> None:
    def broken(output: Tensor, target: Tensor) -> Tensor:
        raise LookupError("the user's own mistake")

    net = network()
    with pytest.raises(LookupError, match="own mistake"):
        examine(net, split(), broken, torch.optim.SGD(net.parameters(), lr=0.1))


def test_an_error_that_a_finding_explains_is_a_finding() -> None:
    x, y = two_moons()
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    nn.init.constant_(net[2].bias, -5.0)
    target = y.float()[:, None]
    diagnosis = examine(net, lambda: [(x, target)], nn.BCELoss(), torch.optim.SGD(net.parameters(), lr=0.1))
    assert diagnosis.findings[0].diagnosis == "missing_softmax"
    assert "between 0 and 1" in diagnosis.histories[0].exception


def test_a_lost_cause_is_not_trained_to_the_end() -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.no_grad():
        net[3].weight.fill_(math.nan)
    diagnosis = examine(net, split(), F.cross_entropy, optimizer, epochs=50)
    assert diagnosis.histories[0].steps < 10
    assert "nan_or_inf" in [finding.diagnosis for finding in diagnosis.findings]


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        (list, "no batch"),
        (lambda: [torch.zeros(3, 2)], "expected a pair"),
        (lambda: [(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3))], "tuple of 3"),
    ],
)
def test_bad_batches_are_refused_in_a_sentence(batches: Callable[[], list[object]], words: str) -> None:
    net = network()
    with pytest.raises(TriodeError, match=words):
        examine(net, batches, F.cross_entropy, torch.optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(TriodeError, match="epochs is -1"):
        examine(net, batches, F.cross_entropy, None, epochs=-1)


def test_an_optimiser_of_another_model_is_refused() -> None:
    with pytest.raises(TriodeError, match="none of the model's parameters"):
        examine(network(), split(), F.cross_entropy, torch.optim.SGD(network().parameters(), lr=0.1))


def test_steps_bounds_the_training_and_progress_is_told() -> None:
    net = network()
    told: list[int] = []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    examine(
        net, split(), F.cross_entropy, optimizer, epochs=9, steps=11, progress=lambda n, loss: told.append(n)
    )
    assert told == list(range(1, 12))


def test_watching_ones_own_loop_without_naming_a_model() -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    with watch() as watched:
        for _ in range(4):
            watched.epoch()
            for x, y in split()():
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
        assert len(watched.histories) == 1  # in the middle of it
    assert watched.diagnosis().healthy
    assert repr(watched.diagnosis()).startswith("<Diagnosis: healthy")


def test_only_the_named_model_is_watched() -> None:
    mine, other = network(), network()
    parameters = [*mine.parameters(), *other.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    with watch(mine) as watched:
        for x, y in split()():
            optimizer.zero_grad()
            F.cross_entropy(mine(x) + other(x), y).backward()
            optimizer.step()
    [history] = watched.histories
    assert len(history.sites) == 1
    assert len(history.layers) == 2


def test_the_packages_public_names_are_there_without_a_framework() -> None:
    import subprocess
    import sys

    code = "import sys, triode; triode.doctor.diagnoses(); triode.doctor.Diagnosis; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
    assert set(triode.doctor.__all__) <= set(dir(triode.doctor))


def test_a_certain_finding_does_not_swallow_an_error_of_another_kind() -> None:
    x, y = two_moons()
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(dim=1))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield x, y
        raise KeyError("a file that is not there")

    with pytest.raises(KeyError, match="not there"):
        examine(net, batches, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.1))


def test_the_last_pass_measures_everything() -> None:
    net = network()
    with torch.no_grad():
        net[0].bias[:5] = -50.0
    diagnosis = examine(net, split(), F.cross_entropy, torch.optim.SGD(net.parameters(), lr=1e-3), epochs=2)
    final = diagnosis.histories[0].sites[0].final
    assert final is not None
    assert math.isfinite(final.saturated)
    assert math.isfinite(final.spread)
    assert final.sparsity >= 5 / 16
