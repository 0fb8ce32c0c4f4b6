"""`triode grade`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from triode.bakeoff import Spec, run
from triode.cli import main


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "small"
    names = ("sigmoid", "relu", "gelu")
    spec = Spec(
        activations=names,
        dataset="digits",
        hidden=(8, 8),
        seeds=1,
        epochs=3,
        protocol="chapter",
        jobs=1,
        out=out,
    )
    run(spec, progress=False)
    return out


def test_the_mark_decides_the_status(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(finished), "--no-rerun"]) == 1
    out, err = capsys.readouterr()
    assert "Correct implementation" in out
    assert "Hint: " in out
    assert "nothing shows that the log comes from this code" in " ".join(out.split())
    assert "3 finished trials" in err
    assert main(["grade", str(finished), "--no-rerun", "--pass", "30"]) == 0


def test_json_and_the_forms(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "results.json"
    words = ["grade", str(finished), "--cell", "relu:0", "--json", "--otter", str(target), "--pass", "10"]
    assert main(words) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["maximum"] == 100
    assert data["total"] == pytest.approx(sum(one["points"] for one in data["criteria"]))
    assert (data["rerun"]["verdict"], data["rerun"]["cell"]) == ("identical", "relu, seed 0")
    assert data["passed"] is True
    assert json.loads(target.read_text())["score"] == data["total"]
    assert main(["grade", str(finished), "--no-rerun", "--nbgrader"]) == 1
    assert capsys.readouterr().out.startswith("assignment,duedate,timestamp,student_id")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere"),
        ([".", "--pass", "101"], "101"),
        ([".", "--seconds", "0"], "--seconds"),
    ],
)
def test_bad_usage_is_one_sentence(
    words: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triode: ")
    assert expected in err


def test_a_wrong_cell_is_bad_usage(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(finished), "--cell", "relu:9"]) == 2
    assert "relu:9" in capsys.readouterr().err
