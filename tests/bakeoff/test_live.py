"""The table on the terminal: what it says, that it fits, and that it is drawn in place."""

from __future__ import annotations

import dataclasses
import io
import math
import time

import pytest
from rich.console import Console

from triode.bakeoff.plan import Trial
from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.running.live import BLOCKS, LETTERS, Board, draw, live, spark
from triode.bakeoff.running.progress import Status, display, one_line
from triode.bakeoff.setting import Setting

LONG = "a_name_of_one_s_own_choice"


def trial(activation: str = "relu", seed: int = 0, purpose: str = "final", rate: float = 1e-3) -> Trial:
    return Trial(activation, activation, "f", seed, purpose, "data", Setting(epochs=12, learning_rate=rate))


def record(epoch: int, loss: float = 0.5, accuracy: float = 0.8) -> EpochRecord:
    return EpochRecord(
        epoch, loss, accuracy, loss, accuracy, (0.01, 0.5), (0.25, 0.0), (0.0,), (0.0,), (1.0,)
    )


def status(
    news: list[tuple[Trial, EpochRecord]], latest: tuple[TrialResult, ...] = (), done: int = 30
) -> Status:
    return Status(42, 0, 9, done, 504, (), latest, 75.0, tuple(news), "tuning")


def result(of: Trial, records: tuple[EpochRecord, ...]) -> TrialResult:
    return TrialResult(
        of.key, of.activation, of.specification, of.seed, of.purpose, of.setting.learning_rate, {}, 10, ("a", "b"),
        ("c", "d"), (4, 4), records, math.nan, math.nan, False, 1.0,
    )  # fmt: skip


def board(*statuses: Status) -> Board:
    made = Board()
    for one in statuses:
        made.take(one)
    return made


def text(drawn: object, width: int, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    console.print(drawn)
    return console.export_text()


def test_a_text_is_judged_by_its_loss_as_in_the_report() -> None:
    of = trial()
    of = dataclasses.replace(of, setting=dataclasses.replace(of.setting, task="next-character"))
    (row,) = board(status([(of, record(1, loss=2.5))])).rows()
    assert (row.validation, row.is_accuracy) == (2.5, False)
    finished = result(of, (record(1, loss=2.5),))
    assert "80.00% of the validation" in one_line(finished, 1, 2, "classification")
    assert "validation loss 2.5000" in one_line(finished, 1, 2, "next-character")


def test_a_tuning_trial_names_its_weight_decay_where_that_is_tuned() -> None:
    finished = result(trial(purpose="tune"), (record(1),))
    assert "weight decay" not in one_line(finished, 1, 2)
    finished = dataclasses.replace(finished, tuned={"learning_rate": 1e-3, "weight_decay": 0.01})
    assert "rate 0.001, weight decay 0.01: " in one_line(finished, 1, 2)


def test_final_figures_are_means_over_the_seeds() -> None:
    news = [(trial(seed=s), record(e, loss=1 / e, accuracy=0.8 + 0.1 * s)) for s in (0, 1) for e in (1, 2, 4)]
    (row,) = board(status(news, (result(trial(seed=1), (record(4),)),))).rows()
    assert (row.finished, row.running, row.epoch, row.epochs) == (1, 1, 4, 12)
    assert row.validation == pytest.approx(0.85)
    assert row.dead == pytest.approx(0.125)
    assert (row.first, row.last) == (0.01, 0.5)
    assert row.losses == pytest.approx((1, 1 / 2, 1 / 4))


def test_tuning_shows_the_best_rate_so_far() -> None:
    rates = {3e-4: 0.7, 1e-3: 0.9, 3e-3: 0.2}
    news = [
        (trial(seed=10**6, purpose="tune", rate=rate), record(3, accuracy=a)) for rate, a in rates.items()
    ]
    (row,) = board(status(news)).rows()
    assert (row.phase, row.rate, row.validation) == ("tuning", 1e-3, 0.9)
    lost = (trial(seed=10**6, purpose="tune", rate=1e-2), record(3, math.nan, math.nan))
    assert board(status([*news, lost])).rows()[0].rate == 1e-3


def test_a_trial_that_begins_again_counts_once() -> None:
    first = [(trial(), record(e, loss=9.0)) for e in (0, 1, 2)]
    again = [(trial(), record(e, loss=1.0)) for e in (0, 1)]
    (row,) = board(status(first), status(again)).rows()
    assert row.losses == (1.0, 1.0)


@pytest.mark.parametrize("width", [30, 50, 80, 132])
def test_it_fits_whatever_the_width(width: int) -> None:
    names = ("relu", "sigmoid", LONG)
    news = [(trial(name), record(e, loss=3 - e / 10)) for name in names for e in range(12)]
    now = status(news)
    shown = text(draw(now, board(now).rows(), width, 24), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "9/42 trials" in shown or width < 40
    assert "80.00%" in shown
    if width >= 50:
        assert BLOCKS[-1] in shown
    if width >= 132:
        assert "1.0e-2/5.0e-1" in shown
        assert LONG in shown
        assert "12.5%" in shown


def test_more_activations_than_lines_are_counted() -> None:
    now = status([(trial(f"own_{k}"), record(1)) for k in range(40)])
    shown = text(draw(now, board(now).rows(), 80, 24), 80)
    assert len(shown.splitlines()) <= 24
    assert "and 22 more" in shown


def test_a_task_without_classes_shows_its_loss() -> None:
    now = status([(trial(), record(2, loss=0.1234, accuracy=math.nan))])
    assert "0.1234" in text(draw(now, board(now).rows(), 80, 24), 80)
    lost = status([(trial(), record(2, math.nan, math.nan))])
    assert "diverged" in text(draw(lost, board(lost).rows(), 80, 24), 80)


def test_sparklines() -> None:
    assert spark([]) == spark([math.nan]) == ""
    assert spark([1.0, 1.0]) == BLOCKS[0] * 2
    assert spark([2.0, math.inf, 1.0]) == f"{BLOCKS[-1]}!{BLOCKS[0]}"
    assert len(spark(list(map(float, range(1000))), 12)) == 12
    assert spark(list(map(float, range(1000))), 12)[-1] == BLOCKS[-1]


def test_it_draws_in_place_and_seldom() -> None:
    written = io.StringIO()
    console = Console(width=80, height=24, file=written, force_terminal=True)
    with live(console) as show:
        for number in range(200):
            show(dataclasses.replace(status([(trial(), record(number % 12))]), epochs_done=number))
    out = written.getvalue()
    assert 1 <= out.count("tuning  9/42") <= 6
    assert "\x1b[2J" not in out  # never the whole screen
    assert out.endswith("\x1b[?25h")  # the cursor is back


def test_letters_where_the_terminal_has_no_blocks() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(width=80, height=24, file=file, force_terminal=True)
    with live(console) as show:
        show(status([(trial(), record(e, loss=float(e))) for e in range(8)]))
    file.seek(0)
    assert LETTERS in file.read()


def test_where_there_is_no_terminal_it_is_lines() -> None:
    written = io.StringIO()
    with display(Console(file=written, width=80), live=True) as show:
        show(status([(trial(), record(1))], (result(trial(), (record(12),)),)))
    assert written.getvalue().count("\n") == 1
    assert "relu, seed 0: 80.00%" in written.getvalue()


def test_it_costs_little() -> None:
    news = [(trial(name), record(e)) for name in ("relu", "gelu", "elu") for e in range(12)]
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    with live(console) as show:
        show(status(news))
        begun = time.process_time()
        for number in range(100):
            show(status([(trial(), record(12 + number))]))
        # Two drawings at most; a hundred would take longer by far than what is allowed for all.
        assert time.process_time() - begun < 0.2
