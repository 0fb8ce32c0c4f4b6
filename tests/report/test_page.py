"""The HTML report: one file, nothing fetched, nothing injected, and the numbers of the results in it."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_up
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import Results
from triode.bakeoff.report import exports, html
from triode.bakeoff.report.summary import summarise

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The elements of a page, the text outside scripts and styles, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.visible: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self.inside != "style":
            self.visible.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.visible).split())

    @property
    def specifications(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            next(t for a, t in self.scripts if a.get("id") == "specifications")
        )
        return found


@pytest.fixture(scope="module")
def parsed(page: Path) -> Page:
    return Page(page.read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_fetches_nothing(page: Path, parsed: Page) -> None:
    for tag, attrs in parsed.elements:
        for name in ("src", "href", "data", "poster", "srcset", "action", "xlink:href"):
            target = attrs.get(name)
            assert target is None or target.startswith("#"), f"<{tag} {name}={target!r}>"
        assert tag not in {"link", "iframe", "object", "embed", "base"}
    style = re.search(r"<style>(.*?)</style>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\s*\(", style[1])
    assert page.stat().st_size < 1_600_000


def test_the_policy_names_exactly_the_scripts_of_the_page(parsed: Page) -> None:
    policy = next(
        a["content"] or "" for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = [text for attrs, text in parsed.scripts if attrs.get("type") != "application/json"]
    sums = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    }
    assert len(scripts) == 4
    assert set(re.findall(r"'sha256-[^']*'", policy)) == sums
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_every_chart_of_the_page_has_a_specification_and_the_other_way_round(parsed: Page) -> None:
    places = [attrs["data-panel"] for _, attrs in parsed.elements if "data-panel" in attrs]
    assert places == list(parsed.specifications["panels"])
    assert {place.rpartition("-")[0] for place in places if place} == {
        "measure", "improvement", "tuning", "learning", "gradients", "layers", "depth", "dead", "saturated", "spread",
        "learned", "speed", "cost",
    }  # fmt: skip


def datasets(node: Any, name: str) -> Iterator[list[dict[str, Any]]]:
    """Every inline data set called `name` in a specification."""
    if isinstance(node, dict):
        if node.get("name") == name and "values" in node:
            yield node["values"]
        for child in node.values():
            yield from datasets(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from datasets(child, name)


def test_the_dots_are_the_trials_accuracies(parsed: Page, results: Results) -> None:
    (seeds,) = datasets(parsed.specifications["panels"]["measure-0"], "seeds")
    drawn = {(row["activation"], row["seed"]): row["value"] for row in seeds}
    assert drawn == {(t.activation, t.seed): t.test_accuracy for t in results.trials}


@pytest.mark.parametrize(
    ("panel", "read"),
    [
        ("learning-0", lambda r: r.train_loss),
        ("learning-1", lambda r: r.validation_loss),
        ("dead-0", lambda r: (512 * r.dead[0] + 256 * r.dead[1] + 128 * r.dead[2] + 64 * r.dead[3]) / 960),
    ],
)
def test_curves_are_means_over_the_seeds(parsed: Page, results: Results, panel: str, read: Any) -> None:
    rows = next(datasets(parsed.specifications["panels"][panel], "values"))
    assert len(rows) == 7 * 13
    for row in rows:
        values = [
            read(record)
            for trial in results.trials
            for record in trial.epochs
            if trial.activation == row["activation"] and record.epoch == row["x"]
        ]
        assert row["n"] == len(values)
        assert row["y"] == pytest.approx(sum(values) / len(values), rel=1e-5, abs=1e-15)
        assert (row["low"], row["high"]) == pytest.approx((min(values), max(values)), rel=1e-5)


@pytest.mark.parametrize(("panel", "epoch"), [("layers-0", 1), ("layers-1", 12)])
def test_gradient_norms_are_those_of_the_first_and_the_last_epoch(
    parsed: Page, results: Results, panel: str, epoch: int
) -> None:
    rows = next(datasets(parsed.specifications["panels"][panel], "values"))
    assert len(rows) == 7 * 5
    for row in rows:
        assert row["y"] == pytest.approx(norm(results, row["activation"], epoch, row["x"]), rel=1e-5)


def norm(results: Results, name: str, epoch: int, layer: int) -> float:
    """The mean gradient norm over the seeds that got so far."""
    values = [
        trial.epochs[epoch].gradient_norm[layer - 1]
        for trial in results.trials
        if trial.activation == name and len(trial.epochs) > epoch
    ]
    return sum(values) / len(values)


def test_heat_maps_hold_every_epoch_and_layer(parsed: Page, results: Results) -> None:
    for i, name in enumerate(results.activations):
        (cells,) = datasets(parsed.specifications["panels"][f"gradients-{i}"], "cells")
        assert {(row["x"], row["y"]) for row in cells} == {(e, n) for e in range(1, 13) for n in range(1, 6)}
        for row in cells[::7]:
            assert row["value"] == pytest.approx(norm(results, name, row["x"], row["y"]), rel=1e-3)


def test_the_ring_is_at_the_rate_of_the_final_trials(parsed: Page, results: Results) -> None:
    (ringed,) = datasets(parsed.specifications["panels"]["tuning-0"], "marked")
    rates = {trial.activation: trial.learning_rate for trial in results.trials}
    assert {row["activation"]: row["x"] for row in ringed} == {
        name: rate for name, rate in rates.items() if name != "sigmoid"
    }
    assert "3 points far off the others are in the table alone" in parsed.text


def test_the_table_holds_every_activation_and_its_accuracy(parsed: Page, results: Results) -> None:
    for name in results.activations:
        own = [trial.test_accuracy for trial in results.trials if trial.activation == name]
        assert name in parsed.text
        assert f"{100 * sum(own) / len(own):.2f}%" in parsed.text


def test_what_is_needed_to_run_it_again_is_there(parsed: Page, results: Results) -> None:
    assert " ".join(results.spec.to_toml().split()) in parsed.text
    assert "triode bakeoff spec.toml" in parsed.text
    said = (results.environment["torch"], results.environment["cpu"], results.environment["road"], "0, 1, 2")
    for value in (*said, "41 trials stacked with 6 others", "Peak memory of one process 401 MiB"):
        assert value in parsed.text


def test_a_trial_that_raised_is_listed_with_its_last_line(tmp_path: Path) -> None:
    made = made_up.results(tmp_path, ("relu", "gelu"), epochs=2, change=lambda t: None if t.seed == 2 else t)
    failures = {"gelu, seed 2": "ValueError: nan <here>", "relu, seed 2": "MemoryError"}
    found = Page(html.page(summarise(replace(made, failures=failures))))
    assert (
        "2 trials raised an error and have no result: gelu, seed 2 ( ValueError: nan <here> )" in found.text
    )
    assert "Trials that raised gelu, seed 2 ValueError: nan <here> relu, seed 2 MemoryError" in found.text


def test_without_tuning_there_is_no_chart_of_it(tmp_path: Path) -> None:
    made = made_up.results(tmp_path, ("relu", "gelu"), epochs=2, protocol="chapter")
    found = Page(html.page(summarise(made)))
    assert not [place for place in found.specifications["panels"] if place.startswith("tuning")]
    assert "This protocol is unfair" in found.text


@pytest.mark.parametrize("task", ["regression", "next-character"])
def test_a_loss_is_never_called_an_accuracy(tmp_path: Path, task: str) -> None:
    made = made_up.results(tmp_path, ("relu", "gelu", "tanh"), epochs=3, task=task)
    summary = summarise(made)
    text = Page(html.page(summary)).text
    assert summary.ranked[0].name == "gelu"  # the highest level is the lowest loss
    assert "gelu has the lowest mean test loss" in text
    assert "ccuracy" not in text.partition("Commands")[0].replace("the accuracy that it ended with", "")
    assert "percentage points" not in text
    assert exports.latex(summary).splitlines()[5].startswith("gelu")


def test_the_page_is_under_three_megabytes_with_thirty_layers_and_twelve_activations(tmp_path: Path) -> None:
    deep = made_up.results(tmp_path, made_up.TWELVE, hidden=(32,) * 30, epochs=20)
    assert len(html.page(summarise(deep)).encode()) < 3_000_000


def test_a_diverged_and_a_missing_trial_are_said(parsed: Page) -> None:
    assert "tanh diverged (its loss stopped being a finite number) in 1 of 3 trials: seed 1." in parsed.text
    assert "1 of 21 trials has no result yet: elu seed 2." in parsed.text
    assert "1 diverged" in parsed.text
    assert "1 missing" in parsed.text


def test_names_cannot_become_markup(hostile: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    evil = Page(text)
    assert not [tag for tag, attrs in evil.elements if tag == "img" or "onerror" in attrs]
    assert sum(tag == "script" for tag, _ in evil.elements) == 5
    assert "<script>document" not in text
    shown = "".join(c for c in made_up.HOSTILE[0] if c.isprintable())
    assert shown in "".join(evil.visible)
    assert evil.specifications["names"] == list(made_up.HOSTILE)
    markdown = (hostile.parent / "report.md").read_text(encoding="utf-8")
    before_code = markdown.split("```", maxsplit=1)[0]
    assert "<script" not in before_code
    assert "<img" not in before_code
    honest = made_up.results(hostile.parent, ("relu", "gelu"), epochs=1, hidden=(8,))
    assert "<script" not in report.summary_html(made_up.hostile(honest))


def test_results_csv_has_a_row_for_each_trial(page: Path, results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO((page.parent / "results.csv").read_text(encoding="utf-8"))))
    rows = [r for r in rows if r.get("purpose", "final") == "final"]
    assert [(r["activation"], int(r["seed"]), float(r["test_accuracy"])) for r in rows] == [
        (t.activation, t.seed, t.test_accuracy) for t in results.trials
    ]
    assert [r["diverged"] for r in rows].count("true") == 1
    assert math.isnan(float(next(r for r in rows if r["diverged"] == "true")["test_loss"]))


def test_markdown_shows_the_pictures_beside_it(page: Path) -> None:
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(pictures) == 13
    for picture in pictures:
        assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_report_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    page = report.write(made_up.results(tmp_path, ("relu", "gelu"), epochs=2, hidden=(8,)))
    assert "without pictures" in page.read_text(encoding="utf-8")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "pip install 'triode\\[plot\\]'" in text
    assert "![" not in text
    assert not (tmp_path / "figures").exists()


def test_the_notebook_summary_is_small_and_has_no_script(results: Results) -> None:
    fragment = report.summary_html(results)
    assert len(fragment) < 24_000
    assert "<script" not in fragment
    assert all(name in fragment for name in results.activations)


def test_the_bundled_javascript_is_the_pinned_one() -> None:
    spec = importlib.util.spec_from_file_location("make_vega_bundle", ROOT / "tools/make_vega_bundle.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    __import__("sys").modules["make_vega_bundle"] = tool  # dataclasses look their module up
    spec.loader.exec_module(tool)
    assert tool.check() == []
