"""Sweeps: every preset is a sweep that could run, and what is no sweep is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.trainings import Pretending
from triode.bakeoff import Interrupted, Spec, load
from triode.bakeoff.plan import Trial
from triode.bakeoff.protocol import expected_trials
from triode.bakeoff.running.engine import TrialsFailed
from triode.bakeoff.sweep import Sweep, preset, presets, run
from triode.errors import TriodeError


def test_the_published_settings_are_there() -> None:
    assert {"case-study", "depth", "transformer", "width"} <= set(presets())


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_can_be_read(name: str) -> None:
    sweep = preset(name)
    assert sweep.title
    assert sweep.summary
    assert len(sweep.runs) > 1
    assert sweep.trials == sum(expected_trials(spec) for _, spec in sweep.runs)
    for figure in sweep.published:
        spec = dict(sweep.runs)[figure.run]
        assert figure.activation in spec.names
        assert figure.source
        assert 0 < figure.value < 1


def test_the_depth_sweep_is_one_of_depth_alone() -> None:
    sweep = preset("depth", {"seeds": 1})
    assert [len(spec.hidden) for _, spec in sweep.runs] == [5, 10, 15, 20, 25, 30]
    assert {(spec.seeds, spec.names, spec.initialisation) for _, spec in sweep.runs} == {
        (1, ("sigmoid", "relu", "swish", "mish"), "pytorch")
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"runs": {}}, "has no runs"),
        ({"run": {"a": {}}}, "did you mean 'runs'"),
        ({"runs": {"../up": {}}}, "cannot name a run"),
        ({"runs": {"a": {"epoch": 3}}}, "mine, run a has a field 'epoch'"),
        (
            {
                "runs": {"a": {}},
                "published": [{"run": "b", "activation": "relu", "value": 0.5, "source": "x"}],
            },
            "'b'",
        ),
        ({"runs": {"a": {}}, "published": [{"run": "a", "value": 0.5}]}, "not understood"),
    ],
)
def test_what_is_no_sweep_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(TriodeError, match=words):
        Sweep.from_mapping(values, "mine")


def test_figures_of_activations_that_the_user_leaves_out_are_left_out_too() -> None:
    sweep = preset("depth", {"activations": ("relu", "mish")})
    assert {figure.activation for figure in sweep.published} == {"mish"}
    values = {
        "runs": {"a": {"activations": ["relu", "tanh"]}},
        "published": [{"run": "a", "activation": "tahn", "value": 0.5, "source": "x"}],
    }
    with pytest.raises(TriodeError, match="takes no part in the run 'a'; did you mean 'tanh'"):
        Sweep.from_mapping(values, "mine")


def test_an_unknown_preset_names_the_others() -> None:
    with pytest.raises(TriodeError, match="did you mean 'depth'"):
        preset("deph")


def test_a_run_with_a_failure_does_not_cost_the_others(small: Callable[..., Spec], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    base = small(protocol="chapter", seeds=1, stack=1)

    def raising(trials: tuple[Trial, ...], epoch: int) -> None:
        if trials[0].activation == "relu" and trials[0].setting.hidden == (9,):
            raise RuntimeError("no")

    sweep = Sweep("Two", "", (("a", replace(base, hidden=(9,))), ("b", base)))
    with pytest.raises(TrialsFailed, match=r"Run a: 1 of 2 trials failed.*Comparison of what there is: "):
        run(sweep, tmp_path / "sweep", Pretending(raising), progress=False)
    assert [len(load(tmp_path / "sweep" / name).trials) for name in ("a", "b")] == [1, 2]
    assert (tmp_path / "sweep" / "report.html").is_file()


def test_a_stopped_sweep_says_how_the_whole_goes_on(small: Callable[..., Spec], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    base = small(protocol="chapter", seeds=1, stack=1)

    def stop(trials: tuple[Trial, ...], epoch: int) -> None:
        raise KeyboardInterrupt

    sweep = Sweep("Two", "", (("a", base), ("b", base)))
    with pytest.raises(Interrupted, match=r"Stopped in run a, number 1 of 2; .* the same command again"):
        run(sweep, tmp_path / "sweep", Pretending(stop), progress=False)
