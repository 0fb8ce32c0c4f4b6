"""Sweeps: every preset is a sweep that could run, and what is no sweep is refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from triode.bakeoff.protocol import expected_trials
from triode.bakeoff.sweep import Sweep, preset, presets
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


def test_an_unknown_preset_names_the_others() -> None:
    with pytest.raises(TriodeError, match="did you mean 'depth'"):
        preset("deph")
