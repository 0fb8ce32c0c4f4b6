"""The README is executed: its Python, its command lines, and the two commands that `.ci/run` reads from it."""

import inspect
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import triode
from triode.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SLOW = ("bakeoff", "report", "grade", "doctor")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def command(name: str) -> str:
    found = re.findall(
        rf"^<!-- command: {name} -->\n```bash\n(.*?)```", README, flags=re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1
    return found[0].strip()


def cli_lines() -> list[str]:
    (block,) = [block for block in blocks("bash") if block.startswith("triode ")]
    return block.strip().splitlines()


def test_the_two_commands_are_one_line_each() -> None:
    for name in ("first", "tests"):
        assert "\n" not in command(name)
    assert command("first").endswith("triode bakeoff")
    assert "pytest" in command("tests")


def test_ci_reads_the_commands_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for name in ("first", "tests"):
        assert f"$(readme_command {name})" in script
    assert "pytest" not in re.sub(r"#.*", "", script), "the test command has one home, the README"
    function = re.search(r"^readme_command\(\) \{.*?^\}", script, flags=re.MULTILINE | re.DOTALL)
    assert function is not None
    for name in ("first", "tests"):
        call = f"set -euo pipefail\n{function[0]}\nreadme_command {name}"
        run = subprocess.run(["bash", "-c", call], cwd=ROOT, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == command(name)


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})  # our own text, not a user's
    assert "Activation" in capsys.readouterr().out


def test_the_lines_for_a_cluster_are_three_and_name_what_exists() -> None:
    (example,) = blocks("py")
    assert len(example.strip().splitlines()) == 3
    compile(example, "README.md", "exec")
    assert "executor" in inspect.signature(triode.bakeoff.run).parameters
    client = pytest.importorskip("distributed").Client
    assert "retries" in inspect.signature(client.get_executor).parameters or "kwargs" in str(
        inspect.signature(client.get_executor)
    )


@pytest.mark.parametrize("line", [line for line in cli_lines() if line.split()[1] not in SLOW])
def test_command_line_example_runs(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line, comments=True)[1:]) == 0
    assert capsys.readouterr().out


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).is_file(), (
            f"README.md points to {target}, which does not exist"
        )
