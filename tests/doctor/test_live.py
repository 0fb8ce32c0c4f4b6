"""The panel stays in the terminal's last lines, and what the script prints goes on above it as if it were not there."""

import io
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from triode.doctor import live
from triode.doctor.history import History, Layer, Site, UnitFigures
from triode.doctor.live import Live, View

WIDTH, HEIGHT = 60, 16
SEQUENCE = re.compile(r"\x1b(?:([78D])|\[([\d;]*)([A-Za-z]))")


class Terminal(io.StringIO):
    """As much of a terminal as the panel needs; what scrolls off its top is kept."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""] * HEIGHT
        self.gone: list[str] = []
        self.row = self.column = 0
        self.bottom = HEIGHT - 1
        self.saved = (0, 0)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        place = 0
        while place < len(text):
            found = SEQUENCE.match(text, place)
            if found:
                self.obey(*found.groups())
                place = found.end()
                continue
            letter = text[place]
            assert letter != "\x1b", text[place : place + 9]
            if letter == "\n":
                self.down()
                self.column = 0
            elif letter == "\r":
                self.column = 0
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
                self.column += 1
                assert self.column <= WIDTH
            place += 1
        return len(text)

    def down(self) -> None:
        if self.row == self.bottom:
            self.gone.append(self.lines.pop(0))
            self.lines.insert(self.bottom, "")
        else:
            self.row = min(self.row + 1, HEIGHT - 1)

    def obey(self, single: str | None, numbers: str | None, letter: str | None) -> None:
        given = [int(number) for number in (numbers or "").split(";") if number]
        if single == "7":
            self.saved = (self.row, self.column)
        elif single == "8":
            self.row, self.column = self.saved
        elif single == "D":
            self.down()
        elif letter == "r":
            self.bottom = (given[1] if given else HEIGHT) - 1
            self.row = self.column = 0
        elif letter == "A":
            self.row -= given[0]
        elif letter == "H":
            self.row, self.column = given[0] - 1, given[1] - 1
        elif letter == "K":
            self.lines[self.row] = ""
        elif letter == "J":
            self.lines[self.row :] = [""] * (HEIGHT - self.row)
        else:
            assert letter == "m"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(live._Bottom, "size", lambda self: (WIDTH, HEIGHT))
    return Terminal()


def history(dead: float = 0.0, layers: int = 3) -> History:
    seen = History("net", losses=[3.0, 2.0, 1.0], epochs=[0, 0, 1], epochs_known=True)
    for k in range(layers):
        mask = np.arange(10) < 10 * (dead if k == layers - 1 else 0.0)
        figures = UnitFigures(8, True, mask, np.zeros(10, bool))
        seen.layers.append(
            Layer(f"fc{k}", "linear", k, 4, 10, (), True, activation="relu", gradient=[10.0**-k])
        )
        site = Site(f"fc{k}.relu", "relu", "hidden", k + 1, f"fc{k}", "", "", 10, False, True, False)
        site.passes.append(figures)
        seen.sites.append(site)
    return seen


def test_every_word_of_the_script_stays_in_its_place(terminal: Terminal) -> None:
    panel = Live(lambda: [history()], terminal)
    said: list[str] = []
    for k in range(50):
        said.append(f"line {k} of the script")
        terminal.write(f"line {k} ")
        if k % 3 == 0:  # also in the middle of a line
            panel.due = 0.0
            panel.tick()
        terminal.write("of the script\n" if k % 2 else "xx\rline {k} of the script\n".replace("{k}", str(k)))
    assert "triode doctor" in "".join(terminal.lines[-8:])
    assert [line for line in terminal.gone + terminal.lines[: terminal.bottom + 1] if line] == said
    panel.close()
    assert terminal.bottom == HEIGHT - 1
    terminal.write("after\n")
    assert [line for line in terminal.gone + terminal.lines if line] == [*said, "after"]


def test_the_panel_says_what_was_seen(terminal: Terminal) -> None:
    panel = Live(lambda: [history(dead=0.9)], terminal)
    panel.tick()
    shown = "\n".join(terminal.lines)
    assert re.search(r"net: step 3, epoch 2, loss 1, 90% of fc2's units dead", shown)
    assert re.search(r"fc0 +relu +0.0% dead +gradient 1.0e\+00", shown)
    assert re.search(r"fc2 +relu +90.0% dead !! +gradient 1.0e-02", shown)


def test_layers_that_are_ill_are_shown_first(terminal: Terminal) -> None:
    panel = Live(lambda: [history(dead=0.9, layers=30)], terminal)
    panel.tick()
    shown = "\n".join(terminal.lines)
    assert "fc29 " in shown
    assert "fc0 " in shown
    assert "fc20 " not in shown
    assert "more layers" in shown


def test_it_draws_about_once_a_second(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    read: list[float] = []

    def costly(seconds: float) -> Callable[[], list[History]]:
        def histories() -> list[History]:
            read.append(now[0])
            now[0] += seconds
            return [history()]

        return histories

    panel = Live(costly(0.0), terminal)
    for _ in range(100):
        now[0] += 0.1
        panel.tick()
    assert len(read) in (9, 10, 11)
    read.clear()
    panel.read = costly(0.3)  # a reading that is slow is made more seldom
    for _ in range(200):
        now[0] += 0.1
        panel.tick()
    assert len(read) * 0.3 <= 0.06 * 20


def test_without_a_terminal_it_is_a_line_now_and_then() -> None:
    stream = io.StringIO()
    panel = Live(lambda: [history(dead=0.5)], stream)
    panel.tick()
    assert stream.getvalue() == ""
    panel.due = 0.0
    panel.tick()
    panel.close()
    assert stream.getvalue() == "net: step 3, epoch 2, loss 1, 50% of fc2's units dead\n"


def test_a_layer_without_figures() -> None:
    seen = History("net", layers=[Layer("emb", "embedding", 0, 4, 10, (), True)])
    (row,) = View.of(seen).rows
    assert math.isnan(row.dead)
    assert math.isnan(row.gradient)
    assert View.of(seen).sentence() == "net: step 0"
