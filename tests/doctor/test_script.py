"""Training scripts as users write them, run under the doctor: nothing changes for them, and what they do is seen."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from triode.doctor.again import retry, treating  # noqa: E402
from triode.doctor.diagnosis import Prescription  # noqa: E402
from triode.doctor.launch import Command, run  # noqa: E402
from triode.doctor.script import examine_script  # noqa: E402

SCRIPTS = Path(__file__).with_name("scripts")
HEAD = """
import torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
x = torch.randn(256, 8); y = x[:, :3].argmax(1)
"""
TRAIN = """
def main(steps=40):
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for i in range(steps):
        k = 32 * (i % 8)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x[k:k + 32]), y[k:k + 32])
        loss.backward()
        STEP
        print(i, repr(loss.item()))
main()
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def script(folder: Path, body: str, name: str = "train.py") -> Command:
    path = folder / name
    path.write_text(HEAD + body, encoding="utf-8")
    return Command(str(path))


def training(folder: Path, step: str = "optimizer.step()", rate: float = 0.1) -> Command:
    return script(folder, TRAIN.replace("STEP", step).replace("RATE", str(rate)))


@pytest.mark.parametrize(
    ("name", "arguments", "models"),
    [
        ("mlp.py", "--epochs 2 --steps 60 --hidden 32", {"model": 60}),
        ("resnet.py", "--steps 5 --images 320", {"net": 5}),
        ("gpt.py", "--steps 12 --batch_size 4", {"model": 12}),
        ("gan.py", "--steps 40", {"discriminator": 40, "generator": 40}),
        ("amp.py", "--steps 12 --epochs 1", {"net": 12}),
    ],
)
def test_watching_changes_no_number(
    name: str, arguments: str, models: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    command = Command(str(SCRIPTS / name), tuple(arguments.split()))
    assert run(command).ok
    plain = capsys.readouterr()
    examined = examine_script(command)
    assert capsys.readouterr() == plain
    assert plain.out.count("\n") > 1
    assert examined.outcome.ending == "finished"
    assert {history.name: history.steps for history in examined.histories} == models
    assert examined.diagnosis.healthy, examined.diagnosis


def test_it_stops_after_the_steps_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = "\n        ".join(["try:", "    optimizer.step()", "except Exception:", "    print('swallowed')"])
    command = training(tmp_path, step)
    run(command)
    plain = capsys.readouterr().out.splitlines()
    examined = examine_script(command, steps=7)
    assert examined.outcome.ending == "stopped"
    assert [history.steps for history in examined.histories] == [7]
    # Whatever the user prints after a step is printed for each.
    assert capsys.readouterr().out.splitlines() == plain[:7]
    assert examine_script(command, steps=40).outcome.ending == "finished"


def test_two_optimisers_both_take_their_steps() -> None:
    examined = examine_script(Command(str(SCRIPTS / "gan.py")), steps=5)
    assert {history.name: history.steps for history in examined.histories} == {
        "discriminator": 5,
        "generator": 5,
    }


@pytest.mark.parametrize(
    ("step", "ending"),
    [
        ("optimizer.step(); 1 / (i < 25)", "failed"),
        ("optimizer.step()\n        if i == 25: raise KeyboardInterrupt", "interrupted"),
        ("optimizer.step()\n        if i == 25: raise SystemExit(4)", "finished"),
    ],
)
def test_what_was_seen_until_an_early_end_is_kept(
    step: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examined = examine_script(training(tmp_path, step))
    assert examined.outcome.ending == ending
    assert [history.steps for history in examined.histories] == [26]
    assert "26 training steps" in examined.sentence
    assert ("ZeroDivisionError" in capsys.readouterr().err) == (ending == "failed")
    assert ("ZeroDivisionError" in examined.histories[0].exception) == (ending == "failed")
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_first_step_that_fails_is_diagnosed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = """
net = nn.Linear(8, 1)
optimizer = torch.optim.Adam(net.parameters())
loss = nn.BCELoss()(net(x), (y == 0).float()[:, None])
"""
    examined = examine_script(script(tmp_path, body))
    assert "Traceback" in capsys.readouterr().err
    assert [finding.diagnosis for finding in examined.diagnosis.findings] == ["missing_softmax"]
    assert examined.histories[0].exception


def test_a_script_without_training_has_no_history(tmp_path: Path) -> None:
    examined = examine_script(script(tmp_path, "nn.Linear(8, 2)(x)\n"))
    assert not examined.trained
    assert examined.outcome.ok


def test_workers_of_a_loader_find_the_scripts_classes(tmp_path: Path) -> None:
    body = """
from torch.utils.data import DataLoader, Dataset
class Rows(Dataset):
    def __len__(self): return 64
    def __getitem__(self, i): return torch.relu(x[i]) + x[i], y[i]
if __name__ == "__main__":
    for method in (None, "fork", "spawn"):
        torch.manual_seed(1)
        net = nn.Linear(8, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        loader = DataLoader(Rows(), 16, num_workers=int(method is not None), multiprocessing_context=method)
        for a, b in loader:
            loss = F.cross_entropy(net(a), b)
            optimizer.zero_grad(); loss.backward(); optimizer.step()
        print(repr(loss.item()), flush=True)
"""
    code = (
        "import sys; from triode.doctor.script import *; e = examine_script(Command(sys.argv[1]));"
        "print([h.steps for h in e.histories], e.outcome.ending)"
    )
    command = script(tmp_path, body)
    done = subprocess.run(
        [sys.executable, "-c", code, command.target], capture_output=True, text=True, check=True
    )
    first, second, third, last = done.stdout.splitlines()
    assert first == second == third
    assert last == "[4, 4, 4] finished"
    assert done.stderr == ""


def test_a_prescription_is_tried_on_a_fresh_run(tmp_path: Path) -> None:
    # A script that sets the rate itself before each step: the scaled rate must hold all the same.
    command = training(tmp_path, "optimizer.param_groups[0]['lr'] = 50.0; optimizer.step()")
    examined = examine_script(command)
    history = examined.histories[0]
    assert not history.losses[-1] < 2
    treated = retry(command, Prescription("lower_rate", {"factor": 500.0}), history, 30)
    assert treated.refused == ""
    assert [len(seen.losses) for seen in treated.histories] == [30]
    assert treated.histories[0].losses[0] == history.losses[0]
    assert treated.histories[0].losses[-1] < 1
    assert treated.histories[0].rates[0] == pytest.approx(0.1)


def test_what_only_the_text_can_change_is_refused(tmp_path: Path) -> None:
    command = training(tmp_path)
    history = examine_script(command, steps=3).histories[0]
    said: list[str] = []
    for kind in ("change_loss", "no_such_remedy"):
        prescription = Prescription(kind, {"to": "mse_loss"})
        again = examine_script(
            command, steps=3, prepare=lambda it=prescription: treating(it, history, said.append)
        )
        assert again.histories[0].losses == history.losses
    assert ["loss" in sentence for sentence in said] == [True, False]
    assert "" not in said


def test_a_treated_run_is_the_same_but_for_the_treatment(tmp_path: Path) -> None:
    command = training(tmp_path)
    history = examine_script(command, steps=3).histories[0]
    said: list[str] = []
    leaky = Prescription("replace_activation", {"function": "leaky_relu"})
    again = examine_script(command, steps=3, prepare=lambda: treating(leaky, history, said.append)).histories[
        0
    ]
    assert said == [""]
    assert [site.function for site in again.sites] == ["leaky_relu"]
    assert 0 < abs(again.losses[0] - history.losses[0]) < 0.05


def test_no_thread_and_no_hook_is_left(tmp_path: Path) -> None:
    from torch.nn.modules import module as modules
    from torch.optim import optimizer as optimisers

    threads = threading.active_count()
    original = torch.nn.Module.__call__
    examine_script(training(tmp_path), steps=3, live=True)
    assert threading.active_count() == threads
    assert torch.nn.Module.__call__ is original
    assert not modules._global_forward_pre_hooks
    assert not optimisers._global_optimizer_pre_hooks
    assert not optimisers._global_optimizer_post_hooks
