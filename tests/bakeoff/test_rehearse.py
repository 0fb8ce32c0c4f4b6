"""The rehearsal: what would fail for every trial is one clear sentence, and what would not passes."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.networks import HIDDEN, pictures, setting, text, vectors

torch = pytest.importorskip("torch")

from triode.bakeoff.data import Dataset  # noqa: E402
from triode.bakeoff.training.rehearse import rehearse  # noqa: E402
from triode.errors import TriodeError  # noqa: E402

torch.set_num_threads(1)


@pytest.mark.parametrize("model", sorted(HIDDEN))
def test_what_can_be_trained_passes(model: str) -> None:
    rehearse(setting(model=model), ("gelu", "relu"), pictures())
    if model in ("transformer", "lstm"):
        rehearse(setting(model=model), ("tanh",), text())
    if "cnn" not in model:
        rehearse(setting(model=model), ("swish",), vectors(task="regression"))


OWN = """
import torch
from torch import nn
import triode

def net(*middle, outputs=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), *middle, nn.Linear(6, outputs))

def good(activation): return net(activation())
def outputs(activation): return net(activation(), outputs=7)
def ignores(activation): return net(nn.ReLU())
def other(activation): return net(triode.torch.GELU())

class Unused(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.act, self.body = activation(), net(nn.ReLU())
    def forward(self, x): return self.body(x)

class Detached(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.body = net(activation())
    def forward(self, x): return self.body(x).detach()

class Pair(Detached):
    def forward(self, x): return self.body(x), x

def width(activation): return nn.Sequential(nn.Flatten(), nn.Linear(65, 4), activation())

class Huge(Detached):
    def forward(self, x): return self.body(x) * float("inf")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    sys.modules.pop("own_nets", None)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("outputs", r"shape \(16, 7\) for a batch of 16 examples; \(16, 4\) was expected.*has 4 classes"),
        ("ignores", "ignores the activation: it never called"),
        ("other", "ignores the activation: it never called"),
        ("Unused", "ignores the activation: the modules that it was given were never used"),
        ("Detached", "depends on no parameter"),
        ("Pair", "gave tuple for a batch"),
        ("width", r"raised RuntimeError on a batch of shape \(16, 1, 8, 8\)"),
        ("Huge", "loss of model own_nets:Huge on the first batch of pictures is (nan|inf)"),
    ],
)
def test_a_model_that_cannot_take_part_is_one_sentence(name: str, words: str) -> None:
    rehearse(setting(model="own_nets:good"), ("gelu",), pictures())
    with pytest.raises(TriodeError, match=words) as caught:
        rehearse(setting(model=f"own_nets:{name}"), ("gelu", "relu"), pictures())
    assert "\n" not in str(caught.value)


def spoiled(data: Dataset, field: str, place: int, value: float) -> Dataset:
    array = getattr(data, field).copy()
    array[place] = value
    changes: dict[str, Any] = {field: array}
    return dataclasses.replace(data, **changes)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            spoiled(pictures(), "train_targets", 5, 4),
            "target 5 of the training part of pictures is 4; classes from 0 to 3",
        ),
        (spoiled(pictures(), "test_targets", 2, 9), "target 2 of the test part"),
        (spoiled(vectors(), "train_targets", 3, -1), "is -1; classes from 0 to 1"),
        (spoiled(vectors(task="regression"), "train_targets", 0, np.inf), "finite numbers were expected"),
        (spoiled(vectors(), "train_inputs", slice(0, 40), np.nan), "the inputs of vectors hold nan"),  # type: ignore[arg-type]
        (spoiled(text(), "test_targets", 1, 77), "is 77; characters from 0 to 4"),
    ],
)
def test_data_that_cannot_be_trained_on(data: Dataset, words: str) -> None:
    model = "lstm" if data.task == "next-character" else "mlp"
    with pytest.raises(TriodeError, match=words):
        rehearse(setting(model=model), ("relu",), data)


def test_a_text_without_a_single_window() -> None:
    with pytest.raises(TriodeError, match="the test part of text has no windows of 300 characters"):
        rehearse(setting(model="lstm", context=300, validation_share=0.5), ("relu",), text(700))
    with pytest.raises(TriodeError, match="the train part of text has no windows"):
        rehearse(setting(model="lstm", context=400), ("relu",), text(500))


def test_an_activation_that_gives_no_number_is_a_result_and_no_fault_of_the_data() -> None:
    rehearse(setting(), ("bad=log(0 - 1 - z ** 2)", "relu"), pictures())


def test_it_leaves_no_trace_in_the_global_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    rehearse(setting(dropout=0.5), ("rrelu",), pictures())
    assert torch.equal(torch.rand(1), expected)


OWN_ACTIVATIONS = """
import torch
from torch import nn

class Good(nn.Module):
    def forward(self, z): return torch.sin(z)

class Half(nn.Module):
    def forward(self, z): return z[..., ::2]

def plain(z): return torch.sin(z)
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Half", "model mlp with the activation own_bends:Half raised RuntimeError on a batch"),
        ("plain", "own_bends:plain raised TypeError when called without arguments .* write name=formula"),
    ],
)
def test_an_activation_of_ones_own_is_tried_wherever_it_stands(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_bends.py").write_text(OWN_ACTIVATIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "own_bends", raising=False)
    rehearse(setting(), ("relu", "own_bends:Good"), pictures())
    with pytest.raises(TriodeError, match=words):
        rehearse(setting(), ("relu", f"own_bends:{name}"), pictures())
