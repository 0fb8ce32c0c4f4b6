"""Every live command: help with examples that run, JSON that parses, refusals in one sentence with status 2."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import triode
import triode.cli
from triode.bakeoff.spec import Spec
from triode.catalogue import is_curated
from triode.cli import main
from triode.cli._app import commands, examples

CURATED = tuple(name for name in triode.names() if is_curated(name))
TRAINING = ("bakeoff", "report", "grade", "doctor")


def all_examples() -> list[str]:
    return [line for name in commands() for line in examples(import_module(f"triode.cli.{name}").run)]


def quick(line: str) -> bool:
    return line.split()[1] not in TRAINING or "--print-spec" in line


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command writes by mistake must not land in the repository."""
    monkeypatch.chdir(tmp_path)


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a wrong command line gets."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triode: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_the_promised_commands_are_there() -> None:
    assert {"list", "show", "plot", "eval", "bakeoff", "report"} <= set(commands())


@pytest.mark.parametrize("name", commands())
def test_help_shows_every_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = examples(import_module(f"triode.cli.{name}").run)
    assert shown
    assert all(line.startswith(f"triode {name}") for line in shown)
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in shown)


@pytest.mark.parametrize("name", commands())
def test_help_describes_every_parameter(name: str) -> None:
    run = import_module(f"triode.cli.{name}").run
    described = (run.__doc__ or "").partition("\nExamples:")[0]
    for parameter in import_module("inspect").signature(run).parameters.values():
        settings = getattr(parameter.annotation, "__metadata__", ())
        helped = any(getattr(setting, "help", None) for setting in settings)
        assert helped or f"{parameter.name}:" in described, f"{name}: {parameter.name} is not described"


def test_root_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in commands())
    assert "Example:" in out


def test_a_new_file_is_a_new_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = 'def run(name: str, /) -> int:\n    """Greet NAME."""\n    print("hello", name)\n    return 1\n'
    (tmp_path / "greet.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(triode.cli, "__path__", [*triode.cli.__path__, str(tmp_path)])
    assert main(["greet", "triode"]) == 1
    assert capsys.readouterr().out == "hello triode\n"
    assert main(["--help"]) == 0
    assert "Greet NAME." in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"triode {triode.__version__}\n"


@pytest.mark.parametrize("line", [line for line in all_examples() if quick(line)])
def test_examples_run(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line.partition(" > ")[0])[1:]) == 0
    out, err = capsys.readouterr()
    assert out
    assert err == ""


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--json"],
        ["show", "gelu", "--json"],
        ["show", "softmax", "--json"],
        ["show", "swiglu", "--json"],
        ["eval", "gelu", "nan", "-inf", "1", "--json"],
        ["eval", "softmax", "1", "2", "--json"],
    ],
)
def test_json_is_strict(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert main(words) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)


@pytest.mark.parametrize("name", CURATED)
def test_show_works_for_every_member(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name]) == 0
    out = capsys.readouterr().out
    assert name in out
    assert "Values" in out
    assert main(["show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evl"], "eval"),
        (["eval"], "NAME"),
        (["eval", "gelu"], "point"),
        (["eval", "gellu", "1"], "gelu"),
        (["eval", "gelu", "one"], "one"),
        (["eval", "gelu", "1", "--ordr", "2"], "--order"),
        (["eval", "gelu", "1", "--order", "-1"], "-1"),
        (["eval", "gelu", "1", "--order", "99"], "99"),
        (["eval", "gelu", "1", "--dtype", "float8"], "float8"),
        (["eval", "elu", "1", "--param", "alpha"], "alpha"),
        (["eval", "elu", "1", "--param", "alpha=x"], "'x'"),
        (["eval", "elu", "1", "--param", "beta=1"], "beta"),
        (["eval", "elu", "1", "--param", "alpha=1", "--param", "alpha=2"], "twice"),
        (["eval", "gelu", "1", "--u", "1"], "one input"),
        (["eval", "swiglu", "1"], "two inputs"),
        (["eval", "bad=z *", "1"], "expected"),
        (["show", "gellu"], "gelu"),
        (["show"], "NAME"),
        (["plot", "gellu"], "gelu"),
        (["plot", "gelu", "-o", "curve.doc"], "curve.doc"),
        (["plot", "gelu", "-o", "nowhere/at/all/curve.png"], "nowhere"),
        (["plot", "gelu", "--low", "3", "--high", "3"], "low"),
        (["plot", "gelu", "--layout", "heap"], "heap"),
        (["plot", "gelu", "--param", "alpha=1"], "alpha"),
        (["bakeoff", "nowhere.toml"], "nowhere.toml"),
        (["bakeoff", "--activations", "relu,gellu"], "gelu"),
        (["bakeoff", "--seeds", "none"], "none"),
        (["bakeoff", "--seeds", "0"], "seeds"),
        (["bakeoff", "--hidden", "64,wide"], "wide"),
        (["bakeoff", "--dataset", "fashion"], "fashion-mnist"),
        (["bakeoff", "--sedes", "3"], "--seeds"),
        (["report"], "folder"),
        (["report", "nowhere"], "nowhere"),
        (["list", "extra"], "extra"),
    ],
)
def test_a_refusal_is_one_sentence(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(words, capsys)


def test_eval_gives_numbers_that_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "gelu", "-2", "0.1", "--order", "2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [point["x"] for point in data["points"]] == [-2.0, 0.1]
    for point in data["points"]:
        assert point["value"] == triode.gelu(point["x"])
        assert point["derivative"] == triode.gelu.derivative(point["x"])
        assert point["derivative 2"] == triode.gelu.derivative(point["x"], order=2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_eval_in_every_format(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "relu", "0.1", "1e300", "--dtype", dtype, "--json"]) == 0
    first, last = json.loads(capsys.readouterr().out)["points"]
    assert first["value"] == first["x"] == pytest.approx(0.1, rel=2**-8)
    assert last["value"] == ("inf" if dtype != "float64" else 1e300)


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "triode", *words]
    return subprocess.run(command, capture_output=True, text=True, env=bare | settings, check=False)


def test_a_pipe_gets_plain_whole_lines() -> None:
    out = run("list").stdout
    assert "\x1b" not in out
    assert "…" not in out
    lines = out.splitlines()
    assert len(lines) == len(CURATED) + 1
    assert all(line.startswith(name) for line, name in zip(lines[1:], CURATED, strict=True))


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_nothing_is_cropped_or_too_wide(columns: int) -> None:
    out = run("list", COLUMNS=str(columns)).stdout
    assert "…" not in out
    assert all(name in out for name in CURATED)
    assert max(map(len, out.splitlines())) <= columns


def test_a_narrow_encoding_does_not_trace_back() -> None:
    finished = run("show", "gelu", PYTHONIOENCODING="ascii")
    assert finished.returncode == 0
    assert finished.stderr == ""


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    finished = subprocess.run(
        [sys.executable, "-m", "triode", "list", "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert finished.returncode == 0
    assert finished.stderr == ""


def test_interruption_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("triode.names", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "triode: interrupted.\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["bakeoff", "--help"], ["show", "relu"], ["bakeoff", "--print-spec"]]
)
def test_quick_commands_load_no_framework(words: list[str]) -> None:
    code = (
        "import sys; from triode.cli import main; main(sys.argv[1:]);"
        "sys.exit(sorted({'torch', 'matplotlib', 'scipy', 'numba'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [(["plot", "relu"], "matplotlib", "triode[plot]"), (["bakeoff"], "torch", "triode[bakeoff]")],
)
def test_a_missing_extra_is_one_sentence(
    words: list[str],
    module: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    assert extra in refusal(words, capsys)


def test_flags_are_read_alike_where_pydantic_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    # A tracker's client brings it; Cyclopts then checks every value, absent flags among them, against its annotation.
    pytest.importorskip("pydantic")
    assert main(["bakeoff", "--print-spec", "--seeds", "4", "--hidden", "32,16", "--live"]) == 0
    out = capsys.readouterr().out
    assert "seeds = 4\n" in out
    assert "hidden = [32, 16]\n" in out
    assert "live = true\n" in out
    assert "'none' is not one of adam" in refusal(["bakeoff", "--optimizer", "none"], capsys)


def test_flags_win_over_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.toml").write_text(
        'activations = ["relu", "mish"]\nseeds = 7\nepochs = 2\n', encoding="utf-8"
    )
    formula = "cli_capped=min(max(z, 0), 6)"
    words = ["--seeds", "4", "--hidden", "32,16", "--activations", f"gelu,{formula}", "--data-dir", "images"]
    assert main(["bakeoff", "spec.toml", *words, "--print-spec"]) == 0
    spec = tomllib.loads(capsys.readouterr().out)
    assert spec["seeds"] == 4
    assert spec["epochs"] == 2
    assert spec["hidden"] == [32, 16]
    assert spec["activations"] == ["gelu", formula]
    assert spec["data_dir"] == "images"


def test_every_field_of_the_specification_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bakeoff", "--help"]) == 0
    out = capsys.readouterr().out
    for field in dataclasses.fields(Spec):
        assert f"--{field.name.replace('_', '-')} " in out


def test_a_bake_off_and_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = [
        "--activations",
        "relu,cli_square=z * z * 0.1",
        "--hidden",
        "8",
        "--seeds",
        "2",
        "--epochs",
        "1",
        "--jobs",
        "1",
    ]
    assert main(["bakeoff", *size, "--dataset", "digits", "--out", "small", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [(trial["activation"], trial["seed"]) for trial in first["trials"]] == [
        ("relu", 0), ("relu", 1), ("cli_square", 0), ("cli_square", 1),
    ]  # fmt: skip
    (tmp_path / "small" / "report.html").unlink()
    assert main(["report", "small"]) == 0
    out = capsys.readouterr().out
    assert "cli_square" in out
    assert "small/report.html" in out
    assert (tmp_path / "small" / "report.html").is_file()
    assert main(["report", "small", "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["trials"] == first["trials"]


def test_report_says_by_its_status_that_trials_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--activations", "relu", "--hidden", "8", "--seeds", "2", "--epochs", "1", "--jobs", "1"]
    chapter = ["--protocol", "chapter", "--dataset", "digits", "--out", "small"]
    assert main(["bakeoff", *size, *chapter]) == 0
    result = next((tmp_path / "small" / "trials").rglob("result.json"))
    result.unlink()
    assert main(["report", "small"]) == 1
    assert "1 of 2 trials has no result yet" in capsys.readouterr().out


def test_trials_that_fail_do_not_cost_the_report_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from triode.bakeoff import report
    from triode.bakeoff.running.engine import TrialsFailed

    def failing(spec: Spec) -> None:
        raise TrialsFailed("1 of 4 trials failed.")

    written: list[object] = []

    def write(results: object) -> Path:
        written.append(results)
        return Path("page.html")

    monkeypatch.setattr("triode.bakeoff.run", failing, raising=False)
    monkeypatch.setattr("triode.bakeoff.load", lambda place: f"what {place} holds", raising=False)
    monkeypatch.setattr(report, "write", write)
    monkeypatch.setattr("triode.cli._results.show", lambda results, page: print(f"table of {results}"))
    assert main(["bakeoff", "--out", "half"]) == 1
    assert written == ["what half holds"]
    out, err = capsys.readouterr()
    assert (out, err) == ("table of what half holds\n", "triode: 1 of 4 trials failed.\n")
