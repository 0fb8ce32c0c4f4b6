"""A real browser draws every chart, without an error, and without asking the network for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import made_up
import pytest

from triode.bakeoff import report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--window-size=1280,6000",
    "--virtual-time-budget=15000", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip
QUIET = re.compile(r"INFO:CONSOLE|ERROR:CONSOLE|WARNING:CONSOLE")

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here to draw the charts with (apt-get install chromium)"
)


def drawn(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's elements after its scripts have run, and what it wrote to the console."""
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if QUIET.search(line)]


def checked(page: Path, profile: Path) -> str:
    charts = page.read_text(encoding="utf-8").count('class="chart"')
    assert charts > 0
    dom, console = drawn(page, profile)
    assert console == []
    assert 'data-problems=""' in dom
    assert f'data-drawn="{charts}"' in dom
    assert len(re.findall(r'<svg[^>]*class="marks"', dom)) == charts
    assert "NaN" not in "".join(re.findall(r'<svg[^>]*class="marks".*?</svg>', dom, re.DOTALL))
    return dom


@needs_browser
def test_every_chart_is_drawn(page: Path, tmp_path: Path) -> None:
    dom = checked(page, tmp_path)
    svg = "".join(re.findall(r'<svg[^>]*class="marks".*?</svg>', dom, re.DOTALL))
    for name in made_up.SEVEN:
        assert f">{name}</text>" in svg


@needs_browser
def test_hostile_names_are_drawn_as_text(hostile: Path, tmp_path: Path) -> None:
    dom = checked(hostile, tmp_path)
    assert "<title>Two activations on a subset of Fashion-MNIST · Triode</title>" in dom


@needs_browser
def test_many_activations_one_epoch_one_layer_one_seed(tmp_path: Path) -> None:
    names = (*made_up.SEVEN, "mish", "softplus", "selu", "hard_swish", "odd=z * tanh(exp(z))")
    page = report.write(made_up.results(tmp_path, names, seeds=1, epochs=1, hidden=(16,)))
    checked(page, tmp_path / "profile")


@needs_browser
def test_a_planted_broken_chart_is_caught(hostile: Path, tmp_path: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('"mark":{"type":"line"', '"mark":{"type":"lime"', 1), encoding="utf-8")
    with pytest.raises(AssertionError):
        checked(broken, tmp_path / "profile")
