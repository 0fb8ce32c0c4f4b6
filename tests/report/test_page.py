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
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_up
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import Results

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
    assert page.stat().st_size < 1_500_000


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
        "accuracy", "learning", "gradients", "dead", "saturated", "spread", "time",
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
    (seeds,) = datasets(parsed.specifications["panels"]["accuracy-0"], "seeds")
    drawn = {(row["activation"], row["seed"]): row["value"] for row in seeds}
    assert drawn == {(t.activation, t.seed): t.test_accuracy for t in results.trials}


@pytest.mark.parametrize(
    ("panel", "read"),
    [
        ("learning-0", lambda r: r.train_loss),
        ("learning-1", lambda r: r.validation_loss),
        ("dead-0", lambda r: r.dead[0]),
        ("dead-3", lambda r: r.dead[3]),
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
        assert row["y"] == pytest.approx(sum(values) / len(values), rel=1e-12, abs=1e-15)
        assert (row["low"], row["high"]) == (min(values), max(values))


@pytest.mark.parametrize(("panel", "epoch"), [("gradients-0", 1), ("gradients-1", 12)])
def test_gradient_norms_are_those_of_the_first_and_the_last_epoch(
    parsed: Page, results: Results, panel: str, epoch: int
) -> None:
    rows = next(datasets(parsed.specifications["panels"][panel], "values"))
    assert len(rows) == 7 * 5
    for row in rows:
        values = [
            trial.epochs[epoch].gradient_norm[row["x"] - 1]
            for trial in results.trials
            if trial.activation == row["activation"] and len(trial.epochs) > epoch
        ]
        assert row["y"] == pytest.approx(sum(values) / len(values), rel=1e-12)


def test_the_table_holds_every_activation_and_its_accuracy(parsed: Page, results: Results) -> None:
    for name in results.activations:
        own = [trial.test_accuracy for trial in results.trials if trial.activation == name]
        assert name in parsed.text
        assert f"{100 * sum(own) / len(own):.2f}%" in parsed.text


def test_what_is_needed_to_run_it_again_is_there(parsed: Page, results: Results) -> None:
    assert " ".join(results.spec.to_toml().split()) in parsed.text
    assert "triode bakeoff spec.toml" in parsed.text
    for value in (results.environment["torch"], results.environment["cpu"], "0, 1, 2"):
        assert value in parsed.text


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
    fragment = report.summary_html(made_up.results(hostile.parent, ("relu", "gelu"), epochs=1))
    assert "<script" not in fragment


def test_results_csv_has_a_row_for_each_trial(page: Path, results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO((page.parent / "results.csv").read_text(encoding="utf-8"))))
    assert [(r["activation"], int(r["seed"]), float(r["test_accuracy"])) for r in rows] == [
        (t.activation, t.seed, t.test_accuracy) for t in results.trials
    ]
    assert [r["diverged"] for r in rows].count("true") == 1
    assert math.isnan(float(next(r for r in rows if r["diverged"] == "true")["test_loss"]))


def test_markdown_shows_the_pictures_beside_it(page: Path) -> None:
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(pictures) == 7
    for picture in pictures:
        assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_report_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    report.write(made_up.results(tmp_path, ("relu", "gelu"), epochs=2))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "pip install 'triode\\[plot\\]'" in text
    assert "![" not in text
    assert not (tmp_path / "figures").exists()


def test_the_notebook_summary_is_small_and_has_no_script(results: Results) -> None:
    fragment = report.summary_html(results)
    assert len(fragment) < 20_000
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
