"""`module:loader`: what a user's function may return, and what is said when it returns something else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from triode.bakeoff import data
from triode.errors import TriodeError

HEAD = """
import numpy as np
import triode
from triode.bakeoff.data import Dataset, from_arrays
x = np.random.default_rng(0).normal(size=(50, 2)); y = np.arange(50) % 3
a, b, c, d = x[:40], y[:40], x[40:], y[40:]
"""


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module with a function `load` of this body into the current folder, and names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # restores the path afterwards
    before = set(sys.modules)

    def write(body: str) -> str:
        name = f"written_{len(list(tmp_path.glob('*.py')))}_{tmp_path.name}"
        text = body if body.startswith("def ") else f"def load():\n    {body}"
        (tmp_path / f"{name}.py").write_text(HEAD + text + "\n")
        return f"{name}:load"

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("written_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    "body",
    [
        "return a, b, c, d",
        "return [a, b, c, d]",
        "return (a, b), (c, d)",
        "return dict(x_train=a, y_train=b, x_test=c, y_test=d)",
        "return dict(train_inputs=a, train_targets=b, test_inputs=c, test_targets=d, comment='hers')",
        "return a.tolist(), b.tolist(), c.tolist(), d.tolist()",
        "import torch; return tuple(map(torch.as_tensor, (a, b, c, d)))",
        "import torch; return torch.tensor(a, requires_grad=True), b, c, d",
        "return from_arrays('hers', a, b, c, d)",
    ],
)
def test_every_form_gives_the_same_data(loader: Callable[[str], str], body: str) -> None:
    if "torch" in body:
        pytest.importorskip("torch")
    found = data.load(loader(body))
    plain = data.load(loader("return a, b, c, d"))
    assert found.fingerprint == plain.fingerprint
    assert (found.task, found.outputs, found.shape) == ("classification", 3, (2,))


def test_a_loader_that_takes_the_data_folder_gets_it(loader: Callable[[str], str], tmp_path: Path) -> None:
    name = loader("def load(data_dir=None):\n    return np.full((40, 2), len(str(data_dir))) * a, b, c, d")
    one, two = data.load(name), data.load(name, tmp_path)
    np.testing.assert_allclose(one.train_inputs / 4, two.train_inputs / len(str(tmp_path)), rtol=1e-6)


def test_a_data_set_of_its_own_without_a_fingerprint_gets_one_of_all_that_counts(
    loader: Callable[[str], str],
) -> None:
    form = "return Dataset('hers', 'classification', x.astype('f4'), y, x.astype('f4'), y, (2,), 3, shift={})"
    prints = {data.load(loader(form.format(shift))).fingerprint for shift in (0.0, 1.0)}
    assert len(prints) == 2
    assert all(len(text) == 64 for text in prints)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "returned NoneType; a Dataset, "),
        ("return 'data.csv'", "returned str"),
        ("return a, b", "returned 2 things"),
        ("return a, b, c, None", "y_test is NoneType; an array or a tensor was expected"),
        ("return a, b, c, 'd'", "y_test is str"),
        ("return a, b, c, [[1, 2], [3]]", r"y_test \(list\) cannot be turned into an array"),
        ("return dict(weights=a)", "holds weights; train_inputs"),
        ("return a, b, c, d[:-1]", "the test part has 10 inputs and 9 targets"),
        ("return a, b, c[:, :1], d", r"shape \(1,\), and \(2,\) was expected"),
        ("return a, b[:, None] == np.arange(3), c, d", "whole number a row|targets have the shape"),
        ("return a * np.nan, b, c, d", r"training inputs hold nan in row 0, column 0 .*80 numbers"),
        ("return a.astype(str), b, c, d", "training inputs are of type <U"),
        ("return a.astype(object), b, c, d", "type object; an array of objects"),
        ("raise RuntimeError('no disk')", "raised RuntimeError: no disk"),
        ("return x[:0], y[:0], c, d", "the training part is empty"),
        ("return Dataset('h', 'classification', 1, b, c, d, (2,), 3)", "whose train_inputs is int"),
        ("return Dataset('h', 'sorting', a, b, c, d, (2,), 3)", "the task 'sorting' is not one of"),
        ("return Dataset('h', 'classification', a, b, c, d, (2,), 3, scale=0)", "scale must be positive"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(loader: Callable[[str], str], body: str, words: str) -> None:
    name = loader(body)
    with pytest.raises(TriodeError, match=words) as refusal:
        data.load(name)
    assert "\n" not in str(refusal.value)


def test_a_wrong_name_and_something_that_is_no_function_are_refused(loader: Callable[[str], str]) -> None:
    module = loader("return a, b, c, d").partition(":")[0]
    with pytest.raises(TriodeError, match="has no laod; did you mean 'load'"):
        data.load(f"{module}:laod")
    with pytest.raises(TriodeError, match="is ndarray, not a function"):
        data.load(f"{module}:x")
    with pytest.raises(TriodeError, match="no_such_module cannot be imported"):
        data.load("no_such_module:load")


def test_tensors_are_read_without_importing_their_framework(loader: Callable[[str], str]) -> None:
    class Tensor:
        """As much of a tensor as is asked for."""

        def detach(self) -> Tensor:
            return self

        cpu = detach

        def numpy(self) -> object:
            return np.arange(50) % 3

    sys.modules["written_tensor"] = type(sys)("written_tensor")
    sys.modules["written_tensor"].Tensor = Tensor  # type: ignore[attr-defined]
    name = loader("from written_tensor import Tensor; return x, Tensor(), x, Tensor()")
    assert data.load(name).train_targets.tolist() == (np.arange(50) % 3).tolist()


def test_a_task_that_the_loader_does_not_return_is_refused(loader: Callable[[str], str]) -> None:
    name = loader("return from_arrays('hers', a, b, c, d)")
    with pytest.raises(TriodeError, match="'regression' does not fit"):
        data.load(name, task="regression")
    assert data.load(loader("return a, b, c, d"), task="regression").task == "regression"
