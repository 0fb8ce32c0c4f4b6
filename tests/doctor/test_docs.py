"""The doctor's page is executed, and its commands and names exist; so do the examples of every public name."""

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import triode
from triode.cli.doctor import arrange
from triode.cli.doctor import run as command

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
FRAMEWORKS = ("lightning", "transformers", "keras")


def framework(block: str) -> str:
    return next(
        (name for name in FRAMEWORKS if re.search(rf"^(import|from) {name}\b", block, re.MULTILINE)), ""
    )


PLAIN = [block for block in BLOCKS if not framework(block)]


def executed(blocks: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    space: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "doctor.md", "exec"), space)  # our own text, not a user's
    return space


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executed(PLAIN, tmp_path, monkeypatch)
    out = capsys.readouterr().out
    assert (tmp_path / "doctor.html").is_file()
    for diagnosis in triode.doctor.diagnoses():
        assert f"\n{diagnosis}: " in out


@pytest.mark.filterwarnings("ignore")  # the frameworks warn of their own matters
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_callback_of_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(name, reason=f"the page's example of {name} needs it")
    if name == "transformers":
        pytest.importorskip("accelerate", reason="transformers trains with accelerate")
    if name == "keras" and pytest.importorskip("keras").backend.backend() != "torch":
        pytest.skip("Keras was loaded on another backend than PyTorch")
    (block,) = [block for block in BLOCKS if framework(block) == name]
    executed([PLAIN[0], block], tmp_path, monkeypatch)


def test_the_command_lines_are_understood() -> None:
    (block,) = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.strip().splitlines()]
    known = inspect.signature(command).parameters
    for words in lines:
        assert words[:2] == ["triode", "doctor"]
        ours = arrange(words[2:])
        ours = ours[: ours.index("--")] if "--" in ours else ours
        assert all(word.removeprefix("--") in known for word in ours if word.startswith("--")), words
    for flag in re.findall(r"`--(\w+)", PAGE):
        assert flag in known or flag == "help"


@pytest.mark.parametrize("name", triode.doctor.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = getattr(triode.doctor, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        assert ">>>" in (inspect.getdoc(thing) or ""), f"triode.doctor.{name} has no example"
