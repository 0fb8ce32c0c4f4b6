"""A real browser draws every chart without an error or a request, and shows what the keyboard asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import made_up
import pytest

from triode.bakeoff import report
from triode.bakeoff.records import Results
from triode.bakeoff.report import html
from triode.bakeoff.report.summary import summarise

pytestmark = pytest.mark.skipif(
    browser.BROWSER is None, reason="no Chromium here to draw the charts with (apt-get install chromium)"
)
SHOWN = (
    "[...document.querySelectorAll('.results tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.name)"
)
TEXTS = "[...document.querySelectorAll('.chart svg text')].map((t) => t.textContent)"


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def written(results: Results, folder: Path) -> Path:
    """The page alone: pictures and tables beside it are other tests' matter."""
    path = folder / "report.html"
    path.write_text(html.page(summarise(results)), encoding="utf-8")
    return path


def checked(screen: browser.Browser, page: Path) -> int:
    """Open the page: every chart drawn, nothing written to the console, nothing asked of the network."""
    screen.console.clear()
    screen.requests.clear()
    screen.open(page)
    clean(screen, page)
    places = screen.js("document.querySelectorAll('.chart').length")
    assert screen.js("document.querySelectorAll('.chart svg.marks').length") == places > 0
    assert not screen.js(
        "[...document.querySelectorAll('.chart svg *')].some((e) => /NaN/.test(e.getAttribute('d')))"
    )
    return int(places)


def clean(screen: browser.Browser, page: Path) -> None:
    assert screen.js("document.documentElement.dataset.problems") == ""
    assert screen.console == []
    assert screen.requests == [page.as_uri()]


@pytest.fixture
def opened(screen: browser.Browser, page: Path) -> int:
    """The page in the browser with everything shown, loaded again only where another was; how many charts it has."""
    if screen.js("location.href") != page.as_uri():
        return checked(screen, page)
    screen.js("document.querySelector('.chip.all').click()")
    return screen.drawn()


def test_every_chart_is_drawn_in_light_and_dark(screen: browser.Browser, page: Path, opened: int) -> None:
    assert set(made_up.SEVEN) <= set(screen.js(TEXTS))
    assert screen.js("document.documentElement.scrollWidth") <= 1280  # nothing pushes the page to the side
    line = "getComputedStyle(document.querySelector('[data-panel=learning-0] path[stroke]:not([stroke=none])')).stroke"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = screen.js(ground), screen.js(line)
    screen.js("document.querySelector('.theme').focus()")
    screen.press("Enter")
    assert screen.drawn() == opened
    assert all(one != other for one, other in zip(light, (screen.js(ground), screen.js(line)), strict=True))
    screen.press("Enter")
    assert screen.drawn() == opened
    clean(screen, page)


def test_the_filter_works_by_keyboard(screen: browser.Browser, page: Path, opened: int) -> None:
    screen.js("document.getElementById('find').focus()")
    screen.write("elu")
    assert set(screen.js(SHOWN)) == {"relu", "leaky_relu", "elu", "gelu"}
    assert screen.drawn() == opened - 3  # the heat maps of the three others
    texts = set(screen.js(TEXTS))
    assert {"relu", "gelu"} <= texts
    assert not texts & {"sigmoid", "tanh", "swish"}
    assert screen.js("document.querySelector('.filter output').textContent") == "4 of 7 shown"

    screen.press("Tab")  # to the first box that is left, which is relu's
    assert screen.js("document.activeElement.dataset.name") == "relu"
    outline = "getComputedStyle(document.activeElement.closest('.chip')).outlineStyle"
    assert screen.js(outline) == "solid"
    screen.press(" ")
    assert "relu" not in screen.js(SHOWN)
    screen.drawn()
    assert "relu" not in screen.js(TEXTS)
    rows = "[...document.querySelectorAll('details.data tr[data-name=relu]')]"
    assert screen.js(f"{rows}.length > 0 && {rows}.every((row) => row.hidden)")

    screen.press("Tab", shift=True)
    screen.press("Escape")
    assert screen.js("document.activeElement.id") == "find"
    assert len(screen.js(SHOWN)) == 6  # the text is gone, the box is still empty
    screen.js("document.querySelector('.chip.none').focus()")
    screen.press("Enter")
    screen.drawn()
    assert screen.js(SHOWN) == []
    screen.js("document.querySelector('.chip.all').focus()")
    screen.press("Enter")
    assert len(screen.js(SHOWN)) == 7
    assert screen.drawn() == opened
    clean(screen, page)


@pytest.mark.usefixtures("opened")
def test_the_table_is_sorted_by_keyboard(screen: browser.Browser) -> None:
    best = screen.js(SHOWN)
    head = "document.querySelector('.results th:nth-child(2)')"
    screen.js(f"{head}.querySelector('button').focus()")
    screen.press("Enter")
    assert screen.js(f"{head}.getAttribute('aria-sort')") == "ascending"
    assert screen.js(SHOWN) == best[::-1]
    screen.press("Enter")
    assert screen.js(SHOWN) == best


@pytest.mark.usefixtures("opened")
def test_a_press_on_a_name_brings_it_forward(screen: browser.Browser, page: Path) -> None:
    screen.js(
        "document.querySelector('[data-panel=learning-0]').scrollIntoView({behavior: 'instant', block: 'center'})"
    )
    place = screen.js(
        "(() => { const text = [...document.querySelectorAll('[data-panel=learning-0] svg text')]"
        ".find((t) => t.textContent === 'sigmoid').getBoundingClientRect();"
        "return [text.x + text.width / 2, text.y + text.height / 2]; })()"
    )
    screen.click(*place)
    away = "[...document.querySelectorAll('.results tr.away')].map((row) => row.dataset.name)"
    screen.until(f"{away}.length > 0")
    assert set(screen.js(away)) == set(made_up.SEVEN) - {"sigmoid"}
    clean(screen, page)


def test_hostile_names_are_drawn_as_text(screen: browser.Browser, hostile: Path) -> None:
    checked(screen, hostile)
    assert screen.js("document.title") == "Two activations on a subset of Fashion-MNIST · Triode"
    screen.js("document.getElementById('find').focus()")
    screen.write("</script")
    assert len(screen.js(SHOWN)) == 1
    screen.drawn()
    clean(screen, hostile)


@pytest.mark.parametrize(
    "settings",
    [
        {"activations": made_up.SEVEN, "seeds": 1, "epochs": 1, "hidden": (16,)},
        {"activations": made_up.TWELVE, "hidden": (32,) * 30, "epochs": 4},
        {"activations": ("relu", "gelu", "swish"), "task": "regression", "epochs": 2, "hidden": (8,)},
        {"activations": ("relu",), "protocol": "chapter", "epochs": 2, "hidden": (8,)},
    ],
    ids=["small", "deep and wide", "loss", "one"],
)
def test_other_shapes(screen: browser.Browser, tmp_path: Path, settings: dict[str, object]) -> None:
    page = written(made_up.results(tmp_path, **settings), tmp_path)  # type: ignore[arg-type]
    checked(screen, page)
    assert screen.js("document.documentElement.scrollWidth") <= 1280


def test_a_comparison_is_drawn_and_filtered(screen: browser.Browser, tmp_path: Path) -> None:
    runs = [
        (f"depth {d} <b>", made_up.results(tmp_path / str(d), hidden=(16,) * d, epochs=2, draw=d))
        for d in (5, 30)
    ]
    figures = [report.Published("depth 30 <b>", "swish", 0.81, "Somebody, <i>2019</i>")]
    page = report.compare(runs, tmp_path / "comparison.html", figures)
    checked(screen, page)
    texts = screen.js("[...document.querySelectorAll('[data-panel=sweep-0] text')].map((t) => t.textContent)")
    assert {"depth 5 <b>", "depth 30 <b>"} <= set(texts)
    screen.js("document.getElementById('find').focus()")
    screen.write("gelu")
    assert screen.js(SHOWN) == ["gelu"]
    screen.drawn()
    clean(screen, page)


def test_a_planted_broken_chart_is_caught(screen: browser.Browser, hostile: Path, tmp_path: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('"mark":{"type":"line"', '"mark":{"type":"lime"', 1), encoding="utf-8")
    with pytest.raises(AssertionError):
        checked(screen, broken)


def test_a_planted_request_is_caught(screen: browser.Browser, hostile: Path, tmp_path: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    asking = tmp_path / "asking.html"
    asking.write_text(text.replace("img-src data:", "img-src file: data:").replace(
        "<main>", "<main><img src='other.png' alt=''>"), encoding="utf-8")  # fmt: skip
    with pytest.raises(AssertionError):
        checked(screen, asking)
