"""Several runs side by side: the pooled verdict, published figures, links, and what cannot be compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import Results, TrialResult
from triode.bakeoff.report.pooled import beyond, pool, verdict
from triode.bakeoff.report.summary import summarise
from triode.bakeoff.report.words import plain
from triode.bakeoff.stats import Improvement
from triode.cli.report import run, run_names
from triode.errors import TriodeError

NAMES = ("relu", "gelu", "sigmoid")


def made(folder: Path, depth: int, **settings: object) -> Results:
    return made_up.results(folder / f"d{depth}", NAMES, hidden=(8,) * depth, epochs=2, draw=depth, **settings)  # type: ignore[arg-type]


def test_planted_winner_and_loser_over_all_runs(tmp_path: Path) -> None:
    levels = {"relu": 0.87, "gelu": 0.876, "sigmoid": 0.8}
    runs = [(f"depth {d}", summarise(made(tmp_path, d, levels=levels, seeds=5))) for d in (2, 4, 8)]
    pooled = pool(runs, runs[0][1].measure)
    assert pooled is not None
    assert [rival.name for rival in pooled.all] == ["gelu", "relu", "sigmoid"]
    gelu, sigmoid = pooled.rivals
    assert gelu.odds.low > 0.5 > sigmoid.odds.high
    assert sigmoid.lost == ("depth 2", "depth 4", "depth 8")
    first, lines, notes = verdict(runs, pooled, runs[0][1].measure)
    assert (
        plain(first) == "Over 3 runs, gelu beats relu; sigmoid loses to relu more often than chance explains."
    )
    assert "0 won, 0 tied, 3 lost of 3 runs" in plain(lines[1])
    assert any("differ in widths of the hidden layers." in line for line in notes)


def test_planted_noise_over_all_runs_is_noise(tmp_path: Path) -> None:
    levels = dict.fromkeys(NAMES, 0.87)
    runs = [(str(d), summarise(made(tmp_path, d, levels=levels, scatter=0.01, seeds=4))) for d in (2, 3)]
    first, _, _ = verdict(runs, pool(runs, runs[0][1].measure), runs[0][1].measure)
    assert plain(first).startswith("Over 2 runs, no activation")


def test_the_first_sentence_is_corrected_for_all_comparisons(tmp_path: Path) -> None:
    # One of many rivals that leads as noise does at times: beyond 95% for it alone, not for twelve.
    names = ("relu", "gelu", "tanh", "elu", "selu", "mish", "swish", "sigmoid", "softplus", "celu")
    relu = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85]
    some = {"gelu": [0.80, 0.835, 0.845, 0.855, 0.865, 0.875]}

    def change(t: TrialResult) -> TrialResult:
        return replace(t, test_accuracy=some.get(t.activation, relu)[t.seed])

    def first(who: tuple[str, ...]) -> tuple[float, str]:
        made = made_up.results(tmp_path, who, seeds=6, epochs=1, hidden=(8,), change=change)
        runs = [("a", summarise(made)), ("b", summarise(made))]
        pooled = pool(runs, runs[0][1].measure)
        assert pooled is not None
        gelu = next(rival for rival in pooled.all if rival.name == "gelu")
        return gelu.odds.low, plain(verdict(runs, pooled, runs[0][1].measure)[0])

    alone, among = first(names[:2]), first(names)
    assert alone[0] == among[0] > 0.5
    assert "gelu beats relu" in alone[1]
    assert "no activation differs" in among[1]


@pytest.mark.parametrize(
    ("figures", "fewest", "expected"),
    [
        ((0.80, 0.54, 0.95), 100, 1),
        ((0.80, 0.54, 0.95), 3, 0),  # 0.8 - sqrt(3/2) 0.26 lies below a half
        ((0.20, 0.05, 0.46), 3, 0),
        ((0.20, 0.05, 0.40), 3, -1),
        ((1.0, 0.54, 1.0), 3, 1),  # the bound of so many wins is exact
        ((1.0, 0.54, 1.0), 1, 0),
        ((0.6, 0.4, 0.8), 100, 0),
    ],
)
def test_few_seeds_need_a_wider_interval(
    figures: tuple[float, float, float], fewest: int, expected: int
) -> None:
    assert beyond(Improvement(*figures, 6), fewest) == expected


def test_runs_without_common_activations_are_not_pooled(tmp_path: Path) -> None:
    runs = [("a", made_up.results(tmp_path / "a", ("relu", "gelu"), epochs=1)),
            ("b", made_up.results(tmp_path / "b", ("tanh", "gelu"), epochs=1))]  # fmt: skip
    page = report.compare(runs, tmp_path / "both.html")
    text = page.read_text(encoding="utf-8")
    assert "share fewer than two activations" in text
    assert all(f">{name}</span>" in text for name in ("relu", "gelu", "tanh"))


def test_published_figures_stand_beside_ours_and_links_lead_to_the_reports(tmp_path: Path) -> None:
    runs = [(f"depth {d}", made(tmp_path, d)) for d in (2, 3)]
    figure = report.Published("depth 3", "gelu", 0.8123, "Misra, Mish, 2019, table 4", "one run")
    out = tmp_path / "pages" / "sweep.html"
    out.parent.mkdir()
    text = report.compare(runs, out, [figure], title="How <deep>?", summary="A & B").read_text(
        encoding="utf-8"
    )
    assert "<h1>How &lt;deep&gt;?</h1>" in text
    assert "A &amp; B" in text
    assert "published 81.23%" in text
    assert "Misra, Mish, 2019, table 4 (one run)" in text
    assert 'href="../d2/report.html"' in text
    assert 'href="../d3/report.html"' in text
    markdown = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "How &lt;deep&gt;?" in markdown
    assert "published 81.23%" in markdown
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", markdown)
    assert pictures == ["sweep-figures/sweep.png", "sweep-figures/together.png"]
    assert all((out.parent / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs, figure: ([], []), "no run to compare"),
        (lambda runs, figure: ([runs[0], runs[0]], []), "Two runs are called 'a'"),
        (lambda runs, figure: (runs, [figure("c", "relu")]), "the run 'c', which is not here"),
        (lambda runs, figure: (runs, [figure("a", "gleu")]), "did you mean 'gelu'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    tmp_path: Path,
    change: Callable[..., tuple[list[tuple[str, Results]], list[report.Published]]],
    words: str,
) -> None:
    runs = [("a", made(tmp_path, 1)), ("b", made(tmp_path, 2))]
    given, figures = change(runs, lambda run, name: report.Published(run, name, 0.5, "somewhere"))
    with pytest.raises(TriodeError, match=words):
        report.compare(given, tmp_path / "page.html", figures)
    assert not (tmp_path / "page.html").exists()


def test_runs_judged_by_different_measures_are_refused(tmp_path: Path) -> None:
    runs = [("a", made(tmp_path, 1)), ("b", made(tmp_path, 2, task="regression"))]
    with pytest.raises(TriodeError, match="b is judged by test loss"):
        report.compare(runs, tmp_path / "page.html")


def test_names_of_folders_tell_them_apart() -> None:
    assert run_names([Path("a/deep"), Path("b/deep"), Path("wide")]) == ["a/deep", "b/deep", "wide"]
    with pytest.raises(TriodeError, match="given twice"):
        run_names([Path("a"), Path("b/../a")])


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bakeoff.load` gives made-up results for any folder, and pictures are left to other tests."""
    import triode.bakeoff

    def load(directory: Path) -> Results:
        found = made(tmp_path, int(Path(directory).name))
        found.directory.mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(triode.bakeoff, "load", load)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("stored")
def test_report_of_two_folders_writes_a_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Path("2"), Path("3")) == 0
    assert "Comparison: comparison.html" in capsys.readouterr().out
    assert "2 runs" in (tmp_path / "comparison.html").read_text(encoding="utf-8").replace("Two", "2")
    assert (tmp_path / "d2" / "report.html").is_file()
    assert (tmp_path / "d3" / "report.html").is_file()
    assert run(Path("2"), Path("3"), out=tmp_path / "named.html") == 0
    assert (tmp_path / "named.html").is_file()


@pytest.mark.usefixtures("stored")
def test_report_of_one_folder_writes_no_comparison(tmp_path: Path) -> None:
    assert run(Path("2")) == 0
    assert not (tmp_path / "comparison.html").exists()
    with pytest.raises(TriodeError, match="needs two folders"):
        run(Path("2"), out=Path("x.html"))
