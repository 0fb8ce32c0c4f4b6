"""The import checkers are checked: each planted fault must be found, and an innocent import must not be."""

import shutil
from pathlib import Path

import pytest

import triode
from support.imports import complaints, loaded_by_import


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's code, free to be spoilt."""
    package = tmp_path / "triode"
    shutil.copytree(
        Path(triode.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.npz", "*.js")
    )
    return package


def plant(path: Path, line: str) -> None:
    text = path.read_text(encoding="utf-8")
    marker = "from __future__ import annotations\n"
    assert marker in text
    path.write_text(text.replace(marker, f"{marker}{line}\n", 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "line", "word"),
    [
        ("expr.py", "from triode.catalogue import get", "expr must not import catalogue"),
        ("expr.py", "from triode import catalogue", "expr must not import catalogue"),
        ("expr.py", "from . import catalogue", "expr must not import catalogue"),
        ("expr.py", "from .catalogue import get", "expr must not import catalogue"),
        ("expr.py", "import triode.cli", "expr must not import cli"),
        (
            "calculus.py",
            "try:\n    import triode.bakeoff\nexcept ImportError:\n    pass",
            "calculus must not import bakeoff",
        ),
        ("catalogue.py", "import torch", "torch may be imported at module level only in"),
        ("errors.py", "import requests", "requests has no home"),
        ("bakeoff/spec.py", "from ..cli import main", "bakeoff must not import cli"),
    ],
)
def test_a_planted_import_is_found(copy: Path, module: str, line: str, word: str) -> None:
    before = complaints(copy)
    plant(copy / module, line)
    new = [sentence for sentence in complaints(copy) if sentence not in before and word in sentence]
    assert len(new) == 1
    assert module in new[0]


@pytest.mark.parametrize(
    "line",
    [
        "import math",
        "import numpy as np",
        "def lazy() -> None:\n    import torch",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
    ],
)
def test_an_innocent_import_is_not_found(copy: Path, line: str) -> None:
    plant(copy / "expr.py", line)
    assert [sentence for sentence in complaints(copy) if "expr.py" in sentence] == []


def test_a_module_without_a_place_is_found(copy: Path) -> None:
    (copy / "novelty.py").write_text("from triode import errors\n", encoding="utf-8")
    assert any("'novelty' has no place" in sentence for sentence in complaints(copy))


def test_an_eager_heavy_import_is_found(copy: Path) -> None:
    plant(copy / "errors.py", "import rich")
    assert loaded_by_import("triode.errors", copy.parent, ("rich", "torch")) == ["rich"]
