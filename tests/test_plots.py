"""Pictures: every member can be drawn, kinks are marked with their limits, and names do not collide."""

from pathlib import Path

import numpy as np
import pytest

import triode
from triode import curves, plots
from triode.catalogue import is_curated
from triode.errors import TriodeError

CURATED = tuple(name for name in triode.names() if is_curated(name))
INTERVAL = (-5.0, 5.0)


@pytest.mark.parametrize("name", CURATED)
def test_every_member_is_drawn_alone(name: str, tmp_path: Path) -> None:
    plots.save(plots.figure(name), tmp_path / f"{name}.png")
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_all_members_get_a_panel_each() -> None:
    panels = [axes for axes in plots.figure(*CURATED).axes if axes.get_title()]
    assert len(panels) == len(CURATED)


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "relu6", "hard_tanh", "hard_sigmoid", "hard_swish", "selu"]
)
def test_a_kink_is_marked_with_its_limits_and_its_value(name: str) -> None:
    activation = triode.get(name)
    inside = [float(kink.at) for kink in activation.kinks if kink.order == 1 and abs(float(kink.at)) < 5]
    jumps = curves.sample(activation, INTERVAL, {}).derivative_jumps
    assert [jump.z for jump in jumps] == sorted(inside)
    for jump in jumps:
        assert jump.taken == activation.derivative(jump.z)
        assert jump.left == pytest.approx(activation.derivative(jump.z - 1e-9), abs=1e-8)
        assert jump.right == pytest.approx(activation.derivative(jump.z + 1e-9), abs=1e-8)
        assert jump.taken in (jump.left, jump.right)


def test_a_curve_is_broken_at_a_jump_and_only_there() -> None:
    curve = curves.sample(triode.relu, INTERVAL, {})
    assert curve.z[np.isnan(curve.derivative)].tolist() == [0.0]
    assert not np.isnan(curve.value).any()


def test_a_jump_appears_with_its_parameter() -> None:
    assert curves.sample(triode.elu, INTERVAL, {}).derivative_jumps == ()
    (jump,) = curves.sample(triode.elu, INTERVAL, {"alpha": 0.25}).derivative_jumps
    assert (jump.left, jump.taken, jump.right) == (0.25, 0.25, 1.0)


def test_softmax_is_the_score_of_one_class_of_two() -> None:
    curve = curves.sample(triode.softmax, INTERVAL, {"temperature": 2.0})
    np.testing.assert_allclose(curve.value, triode.sigmoid(curve.z / 2.0), rtol=1e-15, atol=0)
    np.testing.assert_allclose(curve.derivative, triode.sigmoid.derivative(curve.z / 2.0) / 2.0, rtol=4e-15)


def test_a_formula_of_ones_own_and_a_wild_one() -> None:
    drawn = plots.figure("plot_tower=exp(exp(z))", "tanhexp=z * tanh(exp(z))", high=20.0)
    assert all(np.isfinite(axes.get_ylim()).all() for axes in drawn.axes)


@pytest.mark.parametrize("suffix", plots.FORMATS)
def test_the_same_figure_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.save(plots.figure("gelu"), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_labels_keep_their_distance_and_their_order() -> None:
    places = plots._apart([0.0, 0.99, 1.0, 1.0, 1.0, 1.01], gap=0.1, low=0.0, high=1.1)
    assert places == sorted(places)
    assert min(np.diff(places)) > 0.1 * 0.98
    assert places[0] >= 0.0
    assert places[-1] <= 1.1


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"low": 2.0, "high": 2.0}, "low < high"),
        ({"low": float("-inf")}, "low < high"),
        ({"high": float("nan")}, "low < high"),
        ({"layout": "heap"}, "heap"),
        ({"parameters": {"beta": 1.0}}, "beta"),
    ],
)
def test_refusals(settings: dict[str, object], word: str) -> None:
    with pytest.raises(TriodeError, match=word):
        plots.figure("relu", **settings)  # type: ignore[arg-type]


def test_too_many_curves_in_one_panel_are_refused() -> None:
    with pytest.raises(TriodeError, match="grid"):
        plots.figure(*CURATED[:9], layout="together")
