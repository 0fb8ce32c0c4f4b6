"""The specification refuses what cannot run, before anything runs, and says it in one sentence."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from triode.bakeoff.plan import Trial, plan
from triode.bakeoff.spec import CHAPTER_SEVEN, Spec, split_activations
from triode.errors import TriodeError

OTHER: dict[str, Any] = {
    "activations": ("mish", "square=z * z"),
    "dataset": "digits",
    "hidden": (20, 10),
    "seeds": 5,
    "epochs": 7,
    "batch_size": 64,
    "learning_rate": 0.003,
    "optimizer": "sgd",
    "validation_share": 0.25,
    "initialisation": "he",
    "data_dir": Path("somewhere"),
    "jobs": 3,
    "out": Path("elsewhere"),
}


def test_the_default_is_the_chapters_bake_off() -> None:
    spec = Spec()
    assert spec.activations == CHAPTER_SEVEN
    assert spec.hidden == (512, 256, 128, 64)
    assert (spec.seeds, spec.batch_size, spec.learning_rate, spec.optimizer) == (3, 128, 1e-3, "adam")
    assert spec.train_size == 8500


def test_names_resolve_aliases() -> None:
    assert Spec(activations=("silu", "square = z * z")).names == ("swish", "square")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"activations": ()}, ["empty"]),
        ({"activations": ("swihs",)}, ["swihs", "swish"]),
        ({"activations": ("silu", "relu", "swish")}, ["swish twice", "'silu'"]),
        ({"activations": ("swiglu",)}, ["swiglu is gated"]),
        ({"activations": ("softmax",)}, ["softmax is normalising"]),
        ({"activations": ("bad=z * wrong(z)",)}, ["wrong"]),
        ({"activations": 5}, ["activations = 5"]),
        ({"dataset": "fashion"}, ["'fashion'", "did you mean 'fashion-"]),
        ({"optimizer": "adan"}, ["did you mean 'adam'"]),
        ({"initialisation": "pytorh"}, ["did you mean 'pytorch'"]),
        ({"hidden": ()}, ["hidden"]),
        ({"hidden": (512, 0)}, ["holds 0"]),
        ({"hidden": (512, 2.5)}, ["2.5"]),
        ({"hidden": (8,) * 201}, ["201 layers"]),
        ({"seeds": 0}, ["seeds = 0", "at least 1"]),
        ({"seeds": True}, ["seeds = True"]),
        ({"epochs": -1}, ["epochs = -1"]),
        ({"epochs": 2.5}, ["epochs = 2.5"]),
        ({"jobs": -1}, ["jobs = -1"]),
        ({"batch_size": 0}, ["batch_size = 0"]),
        ({"batch_size": 8501}, ["batch_size = 8,501", "8,500 training examples"]),
        ({"learning_rate": 0}, ["learning_rate = 0", "greater than 0"]),
        ({"learning_rate": float("nan")}, ["learning_rate = nan"]),
        ({"learning_rate": "fast"}, ["'fast'"]),
        ({"validation_share": 1.0}, ["validation_share = 1.0"]),
        ({"validation_share": 0.99999}, ["leaves nothing"]),
        ({"data_dir": 3}, ["data_dir = 3"]),
        ({"out": ""}, ["out = ''"]),
    ],
)
def test_what_cannot_run_is_refused(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(TriodeError) as refusal:
        Spec(**values)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_toml_round_trip_with_every_field_changed() -> None:
    assert set(OTHER) == {f.name for f in dataclasses.fields(Spec)}, "a new field needs a value here"
    spec = Spec(**OTHER)
    assert Spec.from_toml_text(spec.to_toml()) == spec
    assert Spec.from_toml_text(Spec().to_toml()) == Spec()
    for f in dataclasses.fields(Spec):
        assert f.metadata["help"] in spec.to_toml()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", ["'epoch'", "did you mean 'epochs'", "my.toml"]),
        ('activation = ["relu"]', ["did you mean 'activations'"]),
        ("epochs = ", ["my.toml is not valid TOML"]),
        ('epochs = "3"', ["epochs = '3'"]),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(TriodeError) as refusal:
        Spec.from_toml(path)
    for word in words:
        assert word in str(refusal.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TriodeError, match="cannot be read"):
        Spec.from_toml(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(TriodeError, match="not UTF-8"):
        Spec.from_toml(tmp_path / "binary.toml")


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_key_names_what_is_computed_and_nothing_else(name: str) -> None:
    base = plan(Spec(), "data")[0]
    changed = plan(Spec(**({name: OTHER[name]} | ({"batch_size": 64} if name == "dataset" else {}))), "data")[
        0
    ]
    if name == "dataset":
        base = plan(Spec(batch_size=64), "data")[0]
    decides = {f.name: f.metadata["decides"] for f in dataclasses.fields(Spec)}[name]
    # More seeds are more trials: the trials there were stay what they are.
    assert (changed.key != base.key) == (decides and name != "seeds")


def test_keys_know_the_data_and_the_formula() -> None:
    base = plan(Spec(), "data")[0]
    assert plan(Spec(), "other data")[0].key != base.key
    assert dataclasses.replace(base, formula="tanh(z)").key != base.key
    assert Trial.from_plain(base.to_plain()) == base
    with pytest.raises(TriodeError, match="another version"):
        Trial.from_plain(base.to_plain() | {"more": 1})


def test_aliases_and_spacing_do_not_make_another_trial() -> None:
    one, other = (plan(Spec(activations=(text,)), "data")[0] for text in ("silu", "swish"))
    assert one.key == other.key


def test_activations_split_at_commas_outside_parentheses() -> None:
    assert split_activations(" relu,capped=min(max(z, 0), 6) ,gelu,") == (
        "relu",
        "capped=min(max(z, 0), 6)",
        "gelu",
    )
    assert Spec(activations="relu, gelu").activations == ("relu", "gelu")  # type: ignore[arg-type]


def test_specifications_load_no_framework() -> None:
    code = "import sys, triode.bakeoff; triode.bakeoff.Spec(); sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
