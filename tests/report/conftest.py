"""Made-up results, and reports written from them once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import made_up

from triode.bakeoff import report
from triode.bakeoff.records import Results, TrialResult


def mishaps(trial: TrialResult) -> TrialResult | None:
    """One trial diverges, one is missing."""
    if (trial.activation, trial.seed) == ("elu", 2):
        return None
    return made_up.broken(trial) if (trial.activation, trial.seed) == ("tanh", 1) else trial


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Seven activations, three seeds; one trial diverged and one is missing."""
    return made_up.results(tmp_path_factory.mktemp("bakeoff"), change=mishaps)


@pytest.fixture(scope="session")
def page(results: Results) -> Path:
    """The report of `results`, written."""
    return report.write(results)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose names and texts try to become markup, script, a path of Vega, mathematics or TeX."""
    honest = made_up.results(tmp_path_factory.mktemp("hostile"), ("relu", "gelu"), epochs=2, hidden=(16, 8))
    return report.write(made_up.hostile(honest))
