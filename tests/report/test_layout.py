"""Colours that stay apart for every kind of sight, labels that do not overlap, axes that one outlier does not ruin."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triode.bakeoff import report
from triode.bakeoff.records import TrialResult
from triode.bakeoff.report import palette
from triode.bakeoff.report.panels import LABEL_GAP, PANEL_HEIGHT, Panel, focused, spread
from triode.bakeoff.report.summary import summarise
from triode.bakeoff.report.views import charts

Array = npt.NDArray[np.float64]

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", IEEE TVCG,
# 2009: severity 1.0, in linear light.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> Array:
    """Linear light of `#rrggbb`."""
    s = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def oklab(light: Array) -> Array:
    """B. Ottosson, "A perceptual color space for image processing", 2020."""
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab: Array = to_lab @ np.cbrt(to_cones @ np.clip(light, 0, 1))
    return lab


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of relative luminances."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK])
def test_colours_stay_apart(sight: str, colours: tuple[str, ...]) -> None:
    seen = [oklab(SIGHT[sight] @ linear(colour)) for colour in colours]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest >= 0.07  # measured: the nearest two of all are 0.072 apart


@pytest.mark.parametrize(("theme", "colours"), [("light", palette.LIGHT), ("dark", palette.DARK)])
def test_colours_and_texts_stand_out_from_the_page(theme: str, colours: tuple[str, ...]) -> None:
    card = palette.THEMES[theme]["card"]
    assert min(contrast(colour, card) for colour in colours) >= 2.9
    for text, ground in (
        ("ink", "card"),
        ("muted", "card"),
        ("muted", "page"),
        ("accent", "soft"),
        ("warn", "warn-soft"),
        ("good", "soft"),
        ("good", "card"),
        ("bad", "soft"),
        ("bad", "card"),
    ):
        assert contrast(palette.THEMES[theme][text], palette.THEMES[theme][ground]) >= 4.5


@pytest.mark.parametrize("sight", SIGHT)
def test_more_is_lighter_on_the_scale_of_heat_maps(sight: str) -> None:
    lightness = [float(oklab(SIGHT[sight] @ linear(colour))[0]) for colour in palette.HEAT]
    assert all(b - a > 0.03 for a, b in itertools.pairwise(lightness))


def test_an_activation_keeps_its_colour_whoever_else_is_there() -> None:
    alone = palette.styles(["gelu"])["gelu"]
    assert palette.styles(["zebra", *made_up.SEVEN])["gelu"] == alone
    looks = palette.styles([*made_up.SEVEN, "zebra"])
    assert len({look.light for look in looks.values()}) == 8
    assert len({look.shape for look in looks.values()}) == 8
    many = palette.styles([f"name{i}" for i in range(16)])
    assert len({(look.light, look.shape) for look in many.values()}) == 16


@given(st.lists(st.floats(-20, PANEL_HEIGHT + 20), max_size=18))
def test_labels_never_overlap_and_stay_in_place(heights: list[float]) -> None:
    placed = spread(heights, LABEL_GAP, PANEL_HEIGHT)
    order = sorted(placed)
    assert all(b - a >= LABEL_GAP - 1e-6 for a, b in itertools.pairwise(order))
    assert all(-LABEL_GAP / 2 - 1e-6 <= p <= PANEL_HEIGHT + LABEL_GAP / 2 + 1e-6 for p in placed)
    assert [placed[i] for i in sorted(range(len(heights)), key=lambda i: heights[i])] == order


def test_an_outlier_is_written_at_the_edge_and_the_others_keep_their_room() -> None:
    rows = tuple(
        {"activation": name, "mean": m, "low": m - 0.01, "high": m + 0.01, "n": 3}
        for name, m in zip("abcd", (0.9, 0.89, 0.88, 0.1), strict=True)
    )
    domain = focused([(row["low"], row["high"]) for row in rows])
    panel = Panel("dots", "", "", "", rows, domain=domain, percent=True)
    assert domain == pytest.approx((0.868, 0.912), abs=0.002)
    assert [(row["activation"], row["label"]) for row in panel.outside] == [("d", "◀ 10.0%")]


def test_logarithmic_ticks_are_round_and_inside() -> None:
    for domain in ((1e-9, 2.0), (0.15, 2.5), (0.8, 1.3), (1e-30, 1e3)):
        ticks = Panel("lines", "", "", "", (), domain=domain, log=True).ticks
        assert 2 <= len(ticks) <= 12
        assert all(domain[0] <= tick <= domain[1] for tick in ticks)


def test_a_deep_network_has_every_layer_in_chart_and_table() -> None:
    deep = made_up.results(Path("nowhere"), ("relu", "gelu"), hidden=(32,) * 30, epochs=2)
    shown = {chart.id: chart for chart in charts(summarise(deep))}
    assert {row["x"] for row in shown["dead"].panels[1].rows} == set(range(1, 31))
    assert {row["y"] for row in shown["gradients"].panels[0].rows} == set(range(1, 32))
    assert len(shown["dead"].table.columns) == 2 + 30
    assert not shown["layers"].panels[0].points  # thirty points a line would be a caterpillar


def test_gradients_of_exactly_zero_are_said_and_kept_in_the_table() -> None:
    made = made_up.results(Path("nowhere"), ("relu", "gelu"), epochs=2)
    dead = tuple(
        replace(t, epochs=tuple(replace(r, gradient_norm=(0.0,) * 5) if r.epoch else r for r in t.epochs))
        if t.activation == "relu"
        else t
        for t in made.trials
    )
    shown = {chart.id: chart for chart in charts(summarise(replace(made, trials=dead)))}
    lines = shown["layers"]
    assert "10 points with a norm of exactly 0" in lines.caption
    assert {row["activation"] for panel in lines.panels for row in panel.rows} == {"gelu"}
    assert any(row[0] == "relu" and row[2] == 0.0 for row in lines.table.rows)
    heat = shown["gradients"]
    assert "Grey cells: a norm of exactly 0." in heat.caption
    assert {row["value"] for row in heat.panels[0].rows} == {None}
    assert heat.panels[0].domain[0] > 0


def test_a_gradient_that_vanishes_beyond_the_smallest_float_still_has_an_axis() -> None:
    made = made_up.results(Path("nowhere"), ("relu", "gelu"), epochs=1)
    tiny = tuple(
        replace(
            t, epochs=(t.epochs[0], replace(t.epochs[1], gradient_norm=(5e-324, 1e-200, 1e-100, 1.0, 1e200)))
        )
        for t in made.trials
    )
    shown = {chart.id: chart for chart in charts(summarise(replace(made, trials=tiny)))}
    low, high = shown["layers"].panels[0].domain
    assert 0 <= low < high < float("inf")
    assert shown["gradients"].panels[0].domain[1] <= 1e200


def test_an_activation_that_never_reaches_the_target_says_so() -> None:
    made = made_up.results(Path("nowhere"), ("relu", "sigmoid"), epochs=4)
    shown = next(chart for chart in charts(summarise(made)) if chart.id == "speed")
    assert [row["label"] for row in shown.panels[0].outside] == ["never ▶"]
    assert "Never: not in half of the seeds." in shown.caption
    assert [row[1] for row in shown.table.rows if row[0] == "sigmoid"] == [float("inf")]


def test_a_target_that_nobody_gave_is_on_the_way_to_the_baselines_best_epoch() -> None:
    path = (0.1, 0.6, 0.9, 0.5)

    def change(t: TrialResult) -> TrialResult:
        told = [replace(r, validation_accuracy=v) for r, v in zip(t.epochs, path, strict=True)]
        return replace(t, epochs=tuple(told))

    made = made_up.results(Path("nowhere"), ("gelu", "relu"), epochs=3, change=change)
    assert summarise(made).target == pytest.approx(0.1 + 0.9 * (0.9 - 0.1))


def test_a_given_target_is_used_as_it_is() -> None:
    made = made_up.results(Path("nowhere"), ("relu", "gelu"), target=0.5, epochs=4)
    summary = summarise(made)
    assert summary.target == 0.5
    trial = summary.arm("relu").trials[0]
    first = next(r.epoch for r in trial.epochs if r.validation_accuracy >= 0.5)
    assert summary.times(summary.arm("relu"))[trial.seed] == first


def test_a_report_without_any_trial_can_be_written(tmp_path: Path) -> None:
    page = report.write(made_up.results(tmp_path, ("relu", "gelu"), change=lambda trial: None))
    assert "No trial has finished yet" in page.read_text(encoding="utf-8")
