"""The doctor's report: what it tells, in which order, on what, and what it does with data that means it ill."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from report.browser import BROWSER, Browser
from support.offline import Checker
from support.patients import (
    CHAPTER,
    EVIL,
    KINDS,
    broken,
    dying,
    evil,
    healthy,
    lint_only,
    network,
    several,
)
from triode.doctor.diagnosis import Diagnosis, Finding, Prescription
from triode.doctor.history import Graph, Operation
from triode.doctor.report import html, markdown, plain, show, story
from triode.doctor.report.column import Fold, Row, folded, rows
from triode.doctor.report.network import SHAPES
from triode.doctor.report.series import deaths, gradients, losses, proof, signal, thin
from triode.doctor.report.story import causes, verdict
from triode.doctor.report.svg import chart


def on_screen(diagnosis: Diagnosis, width: int = 80, encoding: str = "utf-8") -> str:
    """What a terminal or pipe without colours gets."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    show(diagnosis, Console(file=file, width=width, highlight=False))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_can_be_told_on_everything(kind: str, tmp_path: Path) -> None:
    diagnosis = KINDS[kind]()
    page = html.write(diagnosis, tmp_path / "doctor.html").read_text(encoding="utf-8")
    checker = Checker(page)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    piece = Checker(html.fragment(diagnosis)).text
    text, screen = markdown(diagnosis), on_screen(diagnosis)
    data = json.loads(json.dumps(plain(diagnosis), allow_nan=False))
    assert data["healthy"] is diagnosis.healthy
    line = data["verdict"]
    # A verdict is the first thing said everywhere, and the same.
    squeezed = " ".join(screen.replace("  ", " ").split())
    assert line in squeezed or kind == "evil"
    assert line[1:] in checker.text
    assert line in piece
    assert len(text) < 12_000
    assert len(screen.splitlines()) < 120
    for told in (page, text, screen, html.fragment(diagnosis)):
        assert "\x1b" not in told
        assert "nan%" not in told
        assert "None" not in told


def test_what_comes_from_the_program_is_never_markup_nor_obeyed() -> None:
    diagnosis = evil()
    for page in (html.page(diagnosis), html.fragment(diagnosis)):
        assert "<img" not in page
        assert 'onerror="' not in page
        assert "&lt;img" in page
    text = markdown(diagnosis)
    assert "<img" not in text
    assert not re.search(r"(?<!\\)[`*|]_", text)
    assert "\x1b" not in on_screen(diagnosis)
    # As data it stays what it was: JSON has quotes of its own.
    assert plain(diagnosis)["findings"][0]["summary"] == EVIL


def test_the_verdict_names_the_first_cause_or_says_how_much_was_checked() -> None:
    assert verdict(dying()).startswith(
        "The learning rate is about 40 times too high: in the end 48%, 67%, 85%"
    )
    assert verdict(several()).startswith("Generator: The learning rate")
    assert verdict(healthy()) == "healthy: 2 rules checked, nothing to act on"
    assert verdict(Diagnosis()) == "no verdict: no rule had what it needs"
    ended = replace(healthy(), histories=(replace(healthy().histories[0], exception="KeyError: 'x'"),))
    assert verdict(ended).endswith("the training ended with an error: KeyError: 'x'")


def test_what_follows_stands_under_its_cause() -> None:
    (cause,) = causes(dying())
    assert [one.finding.diagnosis for one in cause.follow] == ["vanishing_gradient", "loss_not_decreasing"]
    page, text, screen = html.page(dying()), markdown(dying()), on_screen(dying())
    first = page.index('<article id="finding-0"')
    assert (
        first
        < page.index("What follows from it")
        < page.index('<article id="finding-1"')
        < page.index("</article>")
    )
    assert text.index("### Dead") < text.index("What follows from it") < text.index("#### Vanishing")
    assert "\n✗ Dead ReLU" in screen
    assert "\n  ✗ Vanishing" in screen


def test_no_finding_is_lost_to_a_circle_or_to_another_model() -> None:
    one = Finding("dead_relu", "a", follows="saturated")
    two = Finding("saturated", "b", follows="dead_relu")
    told = [one.finding.diagnosis for cause in causes(Diagnosis((one, two))) for one in cause.tree]
    assert sorted(told) == ["dead_relu", "saturated"]
    elsewhere = Finding("loss_not_decreasing", "c", follows="dead_relu", model="other")
    assert len(causes(Diagnosis((Finding("dead_relu", "a", model="one"), elsewhere)))) == 2


def test_the_column_stands_in_the_order_in_which_it_runs() -> None:
    diagnosis = dying()
    history = diagnosis.histories[0]
    history.layers.reverse()  # the graph knows better
    column = rows(diagnosis, history)
    assert [row.name for row in column] == ["input", "fc1", "fc2", "fc3", "fc4", "fc5", "fc6", "loss"]
    assert [row.health for row in column] == ["well", *["sick"] * 5, "watch", "sick"]
    assert [row.dead for row in column[1:6]] == pytest.approx(CHAPTER, abs=0.002)
    assert column[6].dead is None
    assert column[1].findings == ("dead_relu", "vanishing_gradient")
    # Without a graph: each layer with its sites, as they were given.
    history.layers.reverse()
    history.graph = Graph()
    assert [row.name for row in rows(diagnosis, history)] == [row.name for row in column]


def test_dead_units_mark_a_row_even_where_no_rule_acts() -> None:
    history = network(dead=(0.05, 0.3))
    assert [row.health for row in rows(Diagnosis(), history)][1:3] == ["well", "watch"]
    assert [row.health for row in rows(lint_only(), lint_only().histories[0])][1:3] == ["unknown", "unknown"]


def test_health_is_told_by_a_sign_as_well_as_by_a_colour() -> None:
    page, screen = html.page(dying()), on_screen(dying())
    for meaning in ("healthy", "worth knowing", "named by a finding"):
        assert f'aria-label="{meaning}"' in page
    assert len({shape.split("/>")[0] for shape in SHAPES.values()}) == len(SHAPES) == 4
    assert re.search(r"^✗  fc3 +linear 500 → 500 relu +85%", screen, re.MULTILINE)


def test_two_hundred_layers_fit_on_a_page_and_none_that_is_sick_is_folded_away() -> None:
    dead = [0.02] * 200
    dead[90] = 0.9
    history = network(dead=dead, steps=3)
    sick = Finding("dead_relu", "x", places=("fc91.relu",), model="Net")
    column = rows(Diagnosis((sick,)), history)
    shown = folded(column)
    assert len(column) == 203
    assert len(shown) < 15
    assert any(isinstance(one, Row) and one.name == "fc91" and one.health == "sick" for one in shown)
    assert sum(len(one.rows) if isinstance(one, Fold) else 1 for one in shown) == 203
    assert "88 layers, healthy, dead 2.0%" in next(one.words for one in shown if isinstance(one, Fold))
    # Sick from end to end, or every other row: still a page.
    assert len(folded([replace(row, health="sick") for row in column])) <= 24
    mixed = [replace(row, health="sick" if i % 2 else "well") for i, row in enumerate(column)]
    assert len(folded(mixed)) <= 26


def test_a_terminal_gets_80_columns_no_colours_in_a_pipe_and_plain_letters_where_it_has_no_others() -> None:
    for kind in ("dying", "evil", "broken", "several", "deep"):
        assert max(map(len, on_screen(KINDS[kind]()).splitlines())) <= 80
    plain_letters = on_screen(dying(), encoding="ascii")
    assert re.search(r"^x  fc3 +linear 500 -> 500 relu +85%", plain_letters, re.MULTILINE)
    assert "?" not in plain_letters
    coloured = io.StringIO()
    show(dying(), Console(file=coloured, width=80, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31m" in coloured.getvalue()


def test_a_cure_that_did_not_help_is_said_not_to_have_helped() -> None:
    for told in (html.page(dying()), markdown(dying()), on_screen(dying())):
        assert told.index("did not help") < told.index("0.69 fell to 0.035")
    assert [one["helped"] for one in plain(dying())["proofs"]] == [False, True]
    assert "Proved cure" in html.page(dying())
    lost = replace(dying(), proofs=dying().proofs[:1])
    assert "Proved cure" not in html.page(lost)


def test_gradients_are_told_at_the_start_typically_and_at_the_end() -> None:
    history = network(dead=(1.0, 0.0))
    plot = gradients(history, rows(Diagnosis(), history))
    assert plot is not None
    assert [line.name for line in plot.lines] == [
        "first step",
        "median of all watched steps",
        "last step",
    ]
    assert plot.lines[2].points[0] == (1, 0.0)  # all dead: exactly nothing arrives
    drawn = chart(plot, "g")
    assert ">0</text>" in drawn
    assert "nan, inf" not in drawn


def test_what_is_not_finite_is_marked_and_breaks_the_line() -> None:
    history = broken().histories[0]
    plot = losses(history)
    assert plot is not None
    assert plot.log
    drawn = chart(plot, "l")
    assert "nan, inf" in drawn
    assert drawn.count("l8 8m0") == 3
    assert "nan" not in re.sub(r"<(title|desc).*?</\1>|nan, inf", "", drawn)


def test_long_curves_keep_their_peaks_their_ends_and_where_they_broke() -> None:
    curve = [(float(i), 1.0) for i in range(10_000)]
    curve[3333] = (3333.0, 9.0)
    curve[7777] = (7777.0, math.nan)
    short = thin(curve)
    assert len(short) <= 405
    assert (3333.0, 9.0) in short
    assert short[-1] == curve[-1]
    assert [x for x, y in short if math.isnan(y)] == [7777.0]


def test_deaths_are_drawn_for_the_worst_sites_and_only_for_what_can_die() -> None:
    assert deaths(network("sigmoid", [0.0] * 3)) is None
    plot = deaths(network(dead=[i / 20 for i in range(20)]))
    assert plot is not None
    assert [line.name for line in plot.lines if not line.faint] == [f"fc{i}.relu" for i in range(13, 21)]
    assert plot.lines[-1].points[-1] == (11.0, 0.95)  # the pass with the weights held still


def test_theory_is_shown_for_a_plain_stack_and_not_where_it_does_not_hold() -> None:
    history = network(dead=(0.0, 0.0))
    column = rows(Diagnosis(), history)
    plot = signal(history, column)
    assert plot is not None
    assert plot.lines[1].name == "theory"
    # He's weights keep the mean square of a ReLU network: 1.4 at every layer.
    assert [y for _, y in plot.lines[1].points] == pytest.approx([1.4] * 3, rel=1e-6)
    sizes = [one["signal_predicted"] for one in plain(Diagnosis(histories=(history,)))["models"][0]["layers"]]
    assert sizes == pytest.approx([1.4] * 3, rel=1e-6)
    for other in (
        Operation(2, "batch_norm", "normalise", (1,)),
        Operation(2, "dropout", "carrier", (1,)),
        Operation(2, "add", "combine", (1, 0)),
    ):
        changed = list(history.graph.operations)
        changed[2] = other
        without = signal(replace(history, graph=Graph(tuple(changed))), column)
        assert without is not None
        assert [line.name for line in without.lines] == ["measured"]


def test_a_proof_draws_both_and_a_short_one_too() -> None:
    assert proof((), ()) is None
    plot = proof((1.0,), (1.0, 0.5))
    assert plot is not None
    assert [line.name for line in plot.lines] == ["before", "after"]
    assert "<svg" in chart(plot, "p")


def test_the_keys_of_the_json_are_the_documented_ones() -> None:
    data = plain(dying())
    assert list(data) == [
        "format", "triode", "healthy", "verdict", "findings", "notes", "checked", "unchecked", "proofs", "models",
    ]  # fmt: skip
    documented = set(re.findall(r"\w+", plain.__doc__ or ""))
    keys = [
        data,
        data["findings"][0],
        data["findings"][0]["prescriptions"][0],
        data["proofs"][0],
        data["models"][0],
    ]
    assert [key for one in keys for key in one if key not in documented] == []
    assert data["findings"][1]["follows"] == "dead_relu"
    model = plain(broken())["models"][0]
    assert model["losses"]["loss"][2:] == [None, None, None]
    assert model["nonfinite"]["operation"] == "exp"


def test_the_limits_and_the_cost_of_watching_are_said() -> None:
    diagnosis = healthy()
    diagnosis.histories[0].limits.append("compiled models ran uncompiled while they were watched")
    for told in (html.page(diagnosis), markdown(diagnosis), on_screen(diagnosis)):
        assert "ompiled models ran" in told
        assert "2.5% of the time" in told


DIFF = """--- train.py
+++ train.py
@@ -9 +9 @@
     model = Net()  # <b>
-    optimizer = SGD(model.parameters(), lr=2.0)
+    optimizer = SGD(model.parameters(), lr=0.05)
+```"""


class Remedy:
    """One that knows the patch, and one that fails."""

    title = "Lower the learning rate"

    def words(self, history: object, prescription: object) -> str:
        return "divide the learning rate by 40"

    def code(self, history: object, prescription: Prescription) -> str:
        if prescription.kind == "insert_batch_norm":
            raise OSError("the source has moved")
        return DIFF


def test_a_prescription_is_shown_in_words_and_as_a_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "_remedy", lambda kind: Remedy())
    first, second = plain(dying())["findings"][0]["prescriptions"]
    assert second["words"] == "Divide the learning rate by 40."
    assert second["code"] == DIFF
    assert first["code"] == ""  # a patch that cannot be made costs the patch and nothing else
    page, text = html.page(dying()), markdown(dying())
    assert re.search(r'<span class="removed"[^>]*>-    optimizer = SGD', page)
    assert re.search(r'<span class="added"[^>]*>\+    optimizer = SGD', page)
    assert "     model = Net()  # &lt;b&gt;" in page
    assert "   ````diff\n   --- train.py" in text  # a fence that the patch itself cannot close
    cause = replace(dying().findings[0], prescriptions=dying().findings[0].prescriptions[1:])
    assert "     -    optimizer = SGD" in on_screen(Diagnosis((cause,)))


@dataclass(frozen=True)
class Copy:
    """A training as the prover hands it over."""

    losses: tuple[float, ...]
    skills: tuple[float, ...]
    loss: str


def test_two_different_losses_are_compared_by_what_the_predictions_were_worth() -> None:
    norm, lower = dying().findings[0].prescriptions
    before, after = Copy((2.0, 1.0), (0.0, 0.1), "mse_loss"), Copy((0.7, 0.1), (0.0, 0.9), "cross_entropy")
    tried = SimpleNamespace(
        prescription=lower,
        prescriptions=(norm, lower),
        accepted=(norm,),
        helped=True,
        before=before,
        after=after,
    )
    (told,) = plain(replace(dying(), proofs=(tried,)))["proofs"]
    assert (told["measure"], told["after"]) == ("skill", [0.0, 0.9])
    assert [one["kind"] for one in told["prescriptions"]] == ["insert_batch_norm", "lower_rate"]
    for page in (html.page, markdown, on_screen):
        assert "Both with this already" in page(replace(dying(), proofs=(tried,)))
    same = SimpleNamespace(**{**vars(tried), "after": replace(after, loss="mse_loss")})
    assert plain(replace(dying(), proofs=(same,)))["proofs"][0]["after"] == [0.7, 0.1]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_page_fits_a_telephone_asks_for_nothing_and_unfolds(tmp_path: Path) -> None:
    page = html.write(KINDS["deep"](), tmp_path / "doctor.html")
    with Browser(tmp_path / "profile", width=390) as browser:
        browser("Page.navigate", url=page.as_uri())
        browser.until("document.readyState === 'complete' && !!document.querySelector('.folded')")
        assert browser.js("document.documentElement.scrollWidth") == 390
        seen = "[...document.querySelectorAll('.folded tr')].filter((row) => row.offsetHeight > 0).length"
        assert browser.js(seen) == 0
        browser.js("document.querySelector('.fold input').click()")
        assert browser.js(seen) > 190
        assert browser.js("document.documentElement.scrollWidth") == 390
        browser("Page.navigate", url=html.write(KINDS["evil"](), tmp_path / "evil.html").as_uri())
        browser.until("document.readyState === 'complete' && !!document.querySelector('#finding-0')")
        assert browser.js("document.documentElement.scrollWidth") == 390
        assert browser.console == []
        assert all(url.startswith("file:") and url.endswith(".html") for url in browser.requests)
