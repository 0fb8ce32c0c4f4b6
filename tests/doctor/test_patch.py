"""The patch changes the call that is meant and nothing else, still parses, and does what the treatment does."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from triode.doctor.diagnosis import Prescription
from triode.doctor.examination import examine
from triode.doctor.history import History
from triode.doctor.patch import code
from triode.doctor.remedies import REMEDIES
from triode.doctor.remedies._program import Program

HEAD = """import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
"""
TAIL = """

def loader():
    for _ in range(3):
        yield torch.randn(16, 4), torch.randint(2, (16,))


model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-1, betas=(0.8, 0.9))


def train():
    for x, y in loader():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
FUNCTIONAL = '''

class Net(nn.Module):
    """Größe: ein Netz."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        x = F.relu(self.fc2(F.relu(self.fc1(x))))  # zwei auf einer Zeile: größer
        return F.softmax(self.out(x), dim=1)
'''
MODULES = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Sequential(
            nn.Linear(8, 6),
            nn.ReLU(),
            nn.Linear(6, 2),
            nn.Softmax(dim=1),
        )

    def forward(self, x):
        x = self.act(self.fc1(x))
        return self.body(x)
"""
METHOD = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        x = self.fc1(x).relu()
        x = torch.clamp(self.fc2(x), min=0)
        return torch.log_softmax(self.out(x), dim=-1)
"""
LOOP = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.out(x)
"""


def run(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(path: Path) -> tuple[History, list[str]]:
    """The history of the script's training, and the functions that its model calls."""
    script = run(path)
    found = examine(script.model, script.loader, script.criterion, script.optimizer, 1)
    history = found.histories[0]
    names = [o.name for o in history.graph if o.kind in ("activation", "softmax", "normalise") and o.in_model]
    return history, names


def script(folder: Path, body: str, tail: str = TAIL) -> Path:
    path = folder / f"train_{abs(hash(body)) % 10**8}.py"
    path.write_text(HEAD + body + tail, encoding="utf-8")
    return path


def apply(path: Path, patch: str) -> Path:
    """What `patch` makes of the file, as another file."""
    assert patch.startswith("--- a/"), patch
    other = path.with_name(path.stem + "_patched.py")
    subprocess.run(
        ["patch", "--quiet", "-o", str(other), str(path)],
        input=patch,
        text=True,
        check=True,
        capture_output=True,
    )
    ast.parse(other.read_text(encoding="utf-8"))
    return other


def cured(
    folder: Path, body: str, kind: str, tail: str = TAIL, **parameters: Any
) -> tuple[str, list[str], str]:
    torch.set_num_threads(1)
    path = script(folder, body, tail)
    before = path.read_bytes()
    history, _ = watched(path)
    patch = code(history, Prescription(kind, parameters))
    assert path.read_bytes() == before
    other = apply(path, patch)
    return patch, watched(other)[1], other.read_text(encoding="utf-8")


def added(patch: str) -> list[str]:
    return [
        line[1:].strip() for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++")
    ]


@pytest.mark.parametrize(
    "body", [FUNCTIONAL, MODULES, METHOD, LOOP], ids=["functional", "modules", "method", "loop"]
)
def test_all_hidden_activations(tmp_path: Path, body: str) -> None:
    _, names, _ = cured(tmp_path, body, "replace_activation", function="leaky_relu")
    assert [name for name in names if "softmax" not in name] == ["leaky_relu", "leaky_relu"]


def test_one_of_two_calls_on_a_line(tmp_path: Path) -> None:
    patch, names, _ = cured(
        tmp_path, FUNCTIONAL, "replace_activation", function="leaky_relu", sites=("fc1.relu",)
    )
    assert names == ["leaky_relu", "relu", "softmax"]
    assert added(patch) == [
        "x = F.relu(self.fc2(F.leaky_relu(self.fc1(x), 0.01)))  # zwei auf einer Zeile: größer"
    ]


def test_the_outer_call_around_a_replaced_one(tmp_path: Path) -> None:
    patch, names, _ = cured(
        tmp_path, FUNCTIONAL, "replace_activation", function="leaky_relu", sites=("fc2.relu",)
    )
    assert names == ["relu", "leaky_relu", "softmax"]
    assert len(added(patch)) == 1


def test_a_line_that_serves_other_sites_too_is_left_alone(tmp_path: Path) -> None:
    history, _ = watched(script(tmp_path, LOOP))
    text = code(history, Prescription("replace_activation", {"function": "elu", "sites": ("layers.0.relu",)}))
    assert not text.startswith("---")
    assert "F.elu(x)" in text


@pytest.mark.parametrize("body", [FUNCTIONAL, MODULES, METHOD], ids=["functional", "modules", "method"])
def test_output_activation_removed(tmp_path: Path, body: str) -> None:
    _, names, _ = cured(tmp_path, body, "remove_output_activation")
    assert names == ["relu", "relu"]


@pytest.mark.parametrize("body", [FUNCTIONAL, MODULES], ids=["functional", "modules"])
def test_output_activation_replaced(tmp_path: Path, body: str) -> None:
    _, names, _ = cured(tmp_path, body, "replace_output_activation", function="sigmoid")
    assert names == ["relu", "relu", "sigmoid"]


@pytest.mark.parametrize("body", [METHOD, MODULES], ids=["method", "modules"])
def test_batch_normalisation(tmp_path: Path, body: str) -> None:
    _, names, text = cured(tmp_path, body, "insert_batch_norm")
    assert names[:4] == ["batch_norm", "relu", "batch_norm", "relu"]
    assert "nn.BatchNorm1d(8)" in text
    assert "nn.BatchNorm1d(6)" in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch.optim.Adam(model.parameters(), lr=1e-1, betas=(0.8, 0.9))", "lr=0.01, betas=(0.8, 0.9)"),
        (
            "torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)",
            "SGD(model.parameters(), 0.05, momentum=0.9)",
        ),
        ("torch.optim.AdamW(model.parameters())", "AdamW(model.parameters(), lr=0.0001)"),
        ("torch.optim.Adam(model.parameters(), lr=RATE)", "lr=RATE / 10)"),
        ("torch.optim.Adam(model.parameters(), lr=RATE * 2,)", "lr=(RATE * 2) / 10,)"),
    ],
)
def test_rate(tmp_path: Path, line: str, expected: str) -> None:
    old = "torch.optim.Adam(model.parameters(), lr=1e-1, betas=(0.8, 0.9))"
    tail = TAIL.replace(old, line).replace("model = Net()", "RATE = 0.1\nmodel = Net()")
    patch, _, _ = cured(tmp_path, FUNCTIONAL, "lower_rate", tail, factor=10.0)
    assert added(patch) == [
        f"optimizer = {line[: line.index('(')]}" + added(patch)[0].partition(line[: line.index("(")])[2]
    ]
    assert expected in added(patch)[0]


def test_loss_with_what_it_contains(tmp_path: Path) -> None:
    tail = TAIL.replace("nn.CrossEntropyLoss()", "nn.NLLLoss()")
    _, names, text = cured(tmp_path, METHOD, "change_loss", tail, to="cross_entropy")
    assert names == ["relu", "relu"]
    assert "criterion = nn.CrossEntropyLoss()" in text


@pytest.mark.parametrize(("body", "after"), [(METHOD, "out"), (MODULES, "body.0")], ids=["call", "element"])
def test_an_activation_after_a_layer(tmp_path: Path, body: str, after: str) -> None:
    _, names, _ = cured(tmp_path, body, "insert_activation", function="tanh", after=after)
    assert names.count("tanh") == 1


def test_initial_weights_and_optimiser(tmp_path: Path) -> None:
    patch, _, text = cured(tmp_path, FUNCTIONAL, "initialise", scheme="he")
    assert added(patch)[0] == "for layer in model.modules():"
    assert text.index("model = Net()") < text.index("kaiming_normal_") < text.index("criterion =")
    patch, _, _ = cured(tmp_path, FUNCTIONAL, "change_optimizer", to="SGD")
    assert added(patch) == ["optimizer = torch.optim.SGD(model.parameters(), lr=0.01)"]


def test_clipping_stands_before_the_step(tmp_path: Path) -> None:
    path = script(tmp_path, FUNCTIONAL)
    history, _ = watched(path)
    # Who examines makes the steps itself; a script's own loop is what this remedy changes.
    text = apply(path, code(history, Prescription("clip_gradients", {"norm": 2.0}))).read_text(
        encoding="utf-8"
    )
    assert "loss.backward()\n        torch.nn.utils.clip_grad_norm_(" in text
    assert text.index("clip_grad_norm_") < text.index("optimizer.step()")


def test_two_optimisers_are_not_guessed_between(tmp_path: Path) -> None:
    tail = TAIL + "\n\nother = torch.optim.Adam(model.parameters(), lr=3.0)\n"
    history, _ = watched(script(tmp_path, FUNCTIONAL, tail))
    assert not code(history, Prescription("lower_rate")).startswith("---")


def test_an_import_is_added_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bare.py"
    body = METHOD.replace("torch.clamp(self.fc2(x), min=0)", "self.fc2(x).relu()").replace(
        "torch.log_softmax(self.out(x), dim=-1)", "self.out(x)"
    )
    tail = "\n\nmodel = Net()\n"
    path.write_text("from torch import nn\n" + body + tail, encoding="utf-8")
    module = run(path)
    x, y = torch.randn(8, 4), torch.zeros(8).long()
    optimizer = torch.optim.Rprop(module.model.parameters())
    history = examine(module.model, [(x, y)], torch.nn.CrossEntropyLoss(), optimizer, 1).histories[0]
    other = run(apply(path, code(history, Prescription("replace_activation", {"function": "gelu"}))))
    assert other.model(x).shape == (8, 2)


def test_every_remedy_has_a_snippet_that_parses() -> None:
    for kind, remedy in REMEDIES.items():
        given = {"to": "mse"} if kind == "change_loss" else {}
        text = code(None, Prescription(kind, given))
        body = "def f(self, x):\n" + "".join(f"    {line}\n" for line in text.splitlines())
        if not text.startswith("nn.Linear"):
            ast.parse(body)
        assert remedy.words(None, Prescription(kind, given)).endswith(".")


def test_a_change_that_would_not_parse_gives_the_snippet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = watched(script(tmp_path, FUNCTIONAL))

    def planted(program: Program, prescription: Prescription, history: History) -> None:
        source, call = program.constructor((history.optimizer,))
        source.replace(call, "torch.optim.Adam(((")

    monkeypatch.setitem(REMEDIES, "lower_rate", _with(REMEDIES["lower_rate"], planted))
    assert (
        code(history, Prescription("lower_rate"))
        == "optimizer = torch.optim.Adam(model.parameters(), lr=0.01)"
    )


def _with(remedy: Any, edit: Any) -> Any:
    from dataclasses import replace

    return replace(remedy, edit=edit)


def test_source_that_is_gone_gives_the_snippet(tmp_path: Path) -> None:
    path = script(tmp_path, FUNCTIONAL)
    history, _ = watched(path)
    path.unlink()
    assert "was relu(x)" in code(history, Prescription("replace_activation", {"function": "elu"}))
