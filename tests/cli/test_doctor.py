"""`triode doctor`: exit status, files, what goes where, and which words are the script's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from triode.cli import main  # noqa: E402
from triode.cli.doctor import arrange  # noqa: E402

HEALTHY = """
import argparse, sys, time
import torch
from torch import nn
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=120)
parser.add_argument("--json")
parser.add_argument("--pause", type=float, default=0)
args = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(256, 8)
y = x[:, :3].argmax(1)
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
print("started", args.json, flush=True)
for i in range(args.steps):
    k = 32 * (i % 8)
    loss = nn.functional.cross_entropy(net(x[k:k + 32]), y[k:k + 32])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if args.pause and i > 2:
        print("waiting", flush=True)
        time.sleep(args.pause)
print("loss", loss.item())
"""
SICK = HEALTHY.replace("lr=1e-2", "lr=1e30")
"""Steps so long that no number holds."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with two scripts, in which what a command writes by mistake does no harm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "healthy.py").write_text(HEALTHY, encoding="utf-8")
    (tmp_path / "sick.py").write_text(SICK, encoding="utf-8")


def refusal(words: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    assert main(words) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triode: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "arranged"),
    [
        ("train.py --lr 1 --steps 3", "-- train.py --lr 1 --steps 3"),
        ("--steps 5 train.py --help", "--steps 5 -- train.py --help"),
        ("--steps=5 --live train.py -- x", "--steps=5 --live -- train.py -- x"),
        ("--html a.html --markdown b.md t.py", "--html a.html --markdown b.md -- t.py"),
        ("-m pkg.train --json", "-m -- pkg.train --json"),
        ("--steps 5 -m pkg.train -m x", "--steps 5 -m -- pkg.train -m x"),
        ("--json t.py", "--json=- -- t.py"),
        ("--json d.json t.py", "--json=d.json -- t.py"),
        ("--json=d.txt t.py", "--json=d.txt -- t.py"),
        ("--json --demo", "--json=- --demo"),
        ("--json -- --odd.py --json", "--json=- -- --odd.py --json"),
        ("--help", "--help"),
        ("--demo", "--demo"),
        ("", ""),
    ],
)
def test_what_follows_the_script_is_the_scripts(words: str, arranged: str) -> None:
    assert arrange(words.split()) == arranged.split()
    assert arrange(arranged.split()) == arranged.split()


def test_the_commands_flags_and_the_scripts_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--steps", "5", "healthy.py", "--steps", "50", "--json", "x"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("started x\n")
    assert "stopped after 5 training steps" in out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)
        assert main(["doctor", "healthy.py", "--help"]) == 2  # the script shows its help, and trains nothing
    assert "--pause" in capsys.readouterr().out


def test_a_healthy_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--", "healthy.py"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.index("loss ") < out.index("healthy:")


def test_a_sick_script_and_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--html", "a.html", "--markdown", "a.md", "--json", "a.json"]
    assert main(["doctor", *files, "--", "sick.py"]) == 1
    out = capsys.readouterr().out
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert data["healthy"] is False
    assert data["findings"]
    assert data["findings"][0]["summary"] in " ".join(out.split())
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "a.md").stat().st_size > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.html",
        "a.json",
        "a.md",
        "healthy.py",
        "sick.py",
    ]


def test_json_has_standard_output_for_itself(tmp_path: Path) -> None:
    # The script's words, and those of a process that it starts, go to standard error.
    code = HEALTHY + "import os; os.system('echo from outside')\n"
    (tmp_path / "loud.py").write_text(code, encoding="utf-8")
    words = [sys.executable, "-m", "triode", "doctor", "--json=-", "--", "loud.py"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["healthy"] is True
    assert done.stderr.startswith("started None\nloss ")
    assert done.stderr.endswith("from outside\n")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.html").write_text("old", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["doctor", "--html", "a.html", "--steps", "2", "--", "healthy.py"]) == 1
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.glob(".a.html*"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "train.py"),
        (["--steps", "-1", "--", "healthy.py"], "-1"),
        (["--steps", "many", "--", "healthy.py"], "many"),
        (["--demo", "--", "healthy.py"], "healthy.py"),
        (["--", "nowhere.py"], "nowhere.py"),
        (["-m", "--", "nowhere"], "nowhere"),
        (["--html", "no/such/a.html", "--", "healthy.py"], "no/such"),
        (["--json=healthy.py", "--", "sick.py"], "healthy.py"),
        (["--markdown", ".", "--", "sick.py"], "folder"),
        (["--stepz", "3", "--", "healthy.py"], "--steps"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_runs(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(["doctor", *words], capsys)


def test_a_script_that_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "idle.py").write_text("import torch\n", encoding="utf-8")
    assert "trained nothing" in refusal(["doctor", "--", "idle.py"], capsys)
    (tmp_path / "bare.py").write_text("x = 1\n", encoding="utf-8")
    assert "trained nothing" in refusal(["doctor", "--", "bare.py"], capsys)
    (tmp_path / "broken.py").write_text("import no_such_package\n", encoding="utf-8")
    assert main(["doctor", "--", "broken.py"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert "ModuleNotFoundError: No module named 'no_such_package'\ntriode: broken.py trained nothing" in err


def test_a_script_that_fails_later_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "late.py").write_text(HEALTHY + "raise SystemExit(3)\n", encoding="utf-8")
    assert main(["doctor", "--", "late.py"]) == 1
    assert "exit status 3" in capsys.readouterr().out


def interrupted(number: signal.Signals) -> tuple[int, str]:
    words = [
        sys.executable,
        "-m",
        "triode",
        "doctor",
        "--json",
        "a.json",
        "--",
        "healthy.py",
        "--pause",
        "60",
    ]
    process = subprocess.Popen(
        words, stdout=-1, stderr=-1, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    while process.stdout.readline() not in ("waiting\n", ""):
        pass
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert err == ""
    return process.returncode, out


def test_an_interrupted_script_is_diagnosed(tmp_path: Path) -> None:
    status, out = interrupted(signal.SIGINT)
    assert status == 0
    assert "interrupted after 4 training steps" in out
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["models"][0]["steps"] == 4


def test_a_proof_runs_the_script_again_and_prints_the_patch(capfd: pytest.CaptureFixture[str]) -> None:
    path = Path("double.py")
    text = HEALTHY.replace("nn.Linear(32, 3))", "nn.Linear(32, 3), nn.Softmax(dim=1))")
    path.write_text(text, encoding="utf-8")
    assert main(["doctor", "--prove", "--", "double.py"]) == 1
    out, err = capfd.readouterr()
    assert err == "triode doctor: running double.py again: remove the output activation\n"
    assert out.count("started None") == 1  # what the script says the second time is not shown
    assert "helped: Remove the softmax" in out
    _, _, patch = out.partition("The patch to apply\n")
    assert "+++ b/double.py" in patch
    assert path.read_text(encoding="utf-8") == text


def test_the_demonstration_tells_the_whole_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--demo", "--html", "demo.html"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 2
    assert out.count("Dead ReLU units") == 1
    assert "helped: Divide the learning rate" in out
    assert Path("demo.html").stat().st_size > 10_000


def test_nothing_heavy_is_loaded_before_the_script() -> None:
    code = (
        "import sys; from triode.cli import main; main(['doctor', '--help']); import triode.doctor.script;"
        "sys.exit(sorted({'torch', 'matplotlib', 'scipy', 'numba'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
