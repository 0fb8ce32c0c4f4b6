"""Imports point one way, and `import triode` costs next to nothing."""

import subprocess
import sys
from pathlib import Path

import triode
from support.imports import complaints, loaded_by_import

PACKAGE = Path(triode.__file__).parent
ALLOWED_SECONDS = 0.15


def test_imports_point_one_way_and_third_parties_stay_in_their_homes() -> None:
    assert complaints(PACKAGE) == []


def test_import_loads_nothing_heavy() -> None:
    assert loaded_by_import("triode", PACKAGE.parent) == []


def test_import_time_beside_numpy() -> None:
    # The least of several runs: the machine's other work only ever adds.
    seconds = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"

    def least(modules: str) -> float:
        command = [sys.executable, "-c", seconds.format(modules)]
        return min(
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(5)
        )

    assert least("numpy, triode") - least("numpy") <= ALLOWED_SECONDS
