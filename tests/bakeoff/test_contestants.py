"""What can take part: names, formulas, and objects of the user's own, by a text that any process understands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from triode.bakeoff.contestants import contestant
from triode.bakeoff.spec import Spec
from triode.errors import TriodeError

SOURCE = """
import torch, triode
from torch import nn

wavy = triode.Activation("wavy", "z + sin(b * z) / b", title="Wavy", summary="A wave.",
    parameters=(triode.activation.Parameter("b", 2.0, "Frequency.", learnable=True, learned=True),))

class Root(nn.Module):
    def forward(self, x):
        return x.sign() * x.abs().sqrt()

def not_a_module():
    return 3

number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "contestants_of_mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "contestants_of_mine"
    sys.modules.pop("contestants_of_mine", None)


def test_an_activation_object_takes_part_with_its_learned_parameter(module: str) -> None:
    pytest.importorskip("torch")
    who = contestant(f"{module}:wavy")
    assert (who.name, who.learnable) == ("wavy", ("b",))
    assert "b=2.0" in who.formula
    made = who.module()
    assert [name for name, _ in made.named_parameters()] == ["b"]
    assert made.contestant == "wavy"
    assert Spec(activations=(f"{module}:wavy", "relu")).names == ("wavy", "relu")


def test_a_module_class_takes_part_and_its_source_is_part_of_its_name(module: str) -> None:
    torch = pytest.importorskip("torch")
    who = contestant(f"{module}:Root")
    assert who.activation is None
    assert torch.equal(who.module()(torch.tensor([4.0, -9.0])), torch.tensor([2.0, -3.0]))
    assert who.formula.startswith("Root with source ")


def test_a_module_of_ones_own_can_be_the_baseline(module: str) -> None:
    spec = Spec(activations=(f"{module}:Root", "gelu"))
    assert spec.baseline == "Root"
    assert Spec.from_toml_text(spec.to_toml()) == spec


def test_what_is_no_module_is_refused(module: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TriodeError, match="number is int"):
        contestant(f"{module}:number")
    with pytest.raises(TriodeError, match="gave int when called"):
        contestant(f"{module}:not_a_module").module()


def test_learn_asks_for_every_learnable_parameter() -> None:
    pytest.importorskip("torch")
    assert not list(contestant("swish").module().parameters())
    assert [n for n, _ in contestant("swish").module(learn=True).named_parameters()] == ["beta"]
    assert not list(contestant("relu").module(learn=True).parameters())
    assert [n for n, _ in contestant("prelu").module().named_parameters()] == ["alpha"]


def test_a_module_that_breaks_on_import_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_when_imported.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(TriodeError, match="importing breaks_when_imported raised ZeroDivisionError"):
        contestant("breaks_when_imported:thing")
