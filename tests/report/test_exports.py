"""The files for other tools hold the numbers of the records, and names cannot break out of them."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import made_up
import pytest

from triode.bakeoff.records import Results
from triode.bakeoff.report import exports
from triode.bakeoff.report.summary import summarise
from triode.errors import MissingExtra


def test_parquet_holds_every_trial_and_every_epoch_and_layer(page: Path, results: Results) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(page.parent / "results.parquet").to_pylist()
    finals = [row for row in rows if row["purpose"] == "final"]
    assert [(r["key"], r["seed"], r["test_accuracy"], r["tuned_learning_rate"]) for r in finals] == [
        (t.key, t.seed, t.test_accuracy, t.learning_rate) for t in results.trials
    ]
    assert len(rows) - len(finals) == len(results.tuning) == 21
    assert all(
        row["test_accuracy"] is None for row in rows if row["purpose"] == "tune"
    )  # absent, not a number
    epochs = parquet.read_table(page.parent / "epochs.parquet").to_pylist()
    assert len(epochs) == sum(len(t.epochs) * (5 + 4) for t in (*results.trials, *results.tuning))
    trial = next(t for t in results.trials if t.activation == "swish" and t.seed == 1)
    own = {(r["epoch"], r["place"], r["index"]): r for r in epochs if r["key"] == trial.key}
    record = trial.epochs[7]
    assert own[7, "layer", 3]["gradient_norm"] == record.gradient_norm[2]
    assert own[7, "layer", 3]["dead"] is None
    assert own[7, "site", 2]["spread"] == record.spread[1]
    assert own[7, "site", 2]["learned_beta"] == record.learned["beta"][1]
    assert own[0, "layer", 1]["gradient_norm"] is None
    assert own[7, "site", 2]["train_loss"] == record.train_loss


def test_hostile_names_go_into_parquet_as_they_are(hostile: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(hostile.parent / "results.parquet")
    assert set(table["activation"].to_pylist()) == set(made_up.HOSTILE)


def test_without_pyarrow_the_report_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triode.bakeoff import report

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = report.write(made_up.results(tmp_path, ("relu", "gelu"), epochs=1, hidden=(8,)))
    text = page.read_text(encoding="utf-8")
    assert "not written: Writing results.parquet needs pyarrow, which is not installed" in text
    assert not list(tmp_path.glob("*.parquet"))
    assert (tmp_path / "results.tex").is_file()
    with pytest.raises(MissingExtra, match="pip install 'triode"):
        exports.write_parquet(made_up.results(tmp_path, ("relu",), epochs=1, hidden=(8,)))


def test_the_table_for_latex(page: Path, results: Results) -> None:
    text = (page.parent / "results.tex").read_text(encoding="utf-8")
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    arms = summarise(results).ranked
    assert len(body) == len(arms) == 7
    for line, arm in zip(body, arms, strict=True):
        cells = [cell.strip() for cell in line.removesuffix(r" \\").split(" & ")]
        assert len(cells) == 6
        assert cells[0].replace(r"\_", "_").startswith(arm.name)
        assert float(cells[1].strip("$")) == pytest.approx(100 * arm.score.mean, abs=0.005)
        ends = [float(end.strip("$")) for end in cells[2].split("--")]
        assert ends == pytest.approx([100 * arm.score.low, 100 * arm.score.high], abs=0.005)
    assert sum("baseline" in line for line in body) == 1


def test_names_cannot_become_tex(hostile: Path) -> None:
    text = (hostile.parent / "results.tex").read_text(encoding="utf-8")
    # What is left after every escape must hold no character that LaTeX reads as its own, but those of the table.
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    bare = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]", "", body)
    assert bare.count("\\") == 2 * 2  # the two ends of rows
    assert bare.count("&") == 2 * 5
    assert not set("{}#%_^~") & set(bare)
    assert bare.count("$") % 2 == 0
    assert not re.search(r"\\input|\\frac", text)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    summary = summarise(made_up.results(tmp_path, ("relu", "gelu"), seeds=1, epochs=1, hidden=(8,)))
    line = exports.latex(summary).splitlines()[5]
    assert line.split(" & ")[2] == "--"
    assert "nan" not in exports.latex(summary)
    assert math.isnan(summary.arms[0].score.low)
