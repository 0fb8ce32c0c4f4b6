"""The specification refuses what cannot run, before anything runs, and says it in one sentence."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from triode.bakeoff.plan import Trial
from triode.bakeoff.protocol import wanted
from triode.bakeoff.setting import Setting
from triode.bakeoff.spec import CHAPTER_SEVEN, Spec, split_activations
from triode.errors import TriodeError

OTHER: dict[str, Any] = {
    "activations": ("mish", "square=z * z"),
    "baseline": "square",
    "dataset": "digits",
    "task": "classification",
    "context": 32,
    "model": "residual-mlp",
    "hidden": (20, 10),
    "normalisation": "batch",
    "normalise": "after",
    "dropout": 0.1,
    "feed_forward": "gated",
    "learn": True,
    "seeds": 5,
    "target": 0.8,
    "epochs": 7,
    "batch_size": 64,
    "learning_rate": 0.004,
    "weight_decay": 0.01,
    "optimizer": "sgd",
    "validation_share": 0.25,
    "initialisation": "he",
    "protocol": "chapter",
    "tuner": "optuna",
    "learning_rates": (0.002, 0.02),
    "weight_decays": (0.0, 0.1),
    "tuning_trials": 6,
    "tuning_seeds": 2,
    "tuning_epochs": 3,
    "data_dir": Path("somewhere"),
    "device": "cpu",
    "jobs": 3,
    "stack": 2,
    "attempts": 4,
    "dask": "local:2",
    "track": "tensorboard",
    "live": True,
    "out": Path("elsewhere"),
}
SETTING = {f.name for f in dataclasses.fields(Setting)}


def test_the_default_is_the_chapters_bake_off() -> None:
    spec = Spec()
    assert spec.activations == CHAPTER_SEVEN
    assert spec.hidden == (512, 256, 128, 64)
    assert (spec.seeds, spec.batch_size, spec.learning_rate, spec.optimizer) == (3, 128, 1e-3, "adam")
    assert spec.train_size == 8500
    assert (spec.baseline, spec.protocol, spec.initialisation) == ("relu", "tuned", "critical")
    assert Spec(protocol="chapter").initialisation == "pytorch"
    assert Spec(protocol="chapter", initialisation="he").initialisation == "he"
    assert Spec(activations=("mish", "gelu")).baseline == "mish"
    assert Spec(activations=("mish", "silu"), baseline="swish").baseline == "swish"


def test_each_model_has_widths_of_its_own() -> None:
    assert Spec(model="cnn").hidden == (16, 32, 64)
    assert Spec(model="mynets:small").hidden == (512, 256, 128, 64)
    assert Spec(model="cnn", hidden=(8,)).hidden == (8,)


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
        ({"hidden": 512}, ["hidden = 512"]),
        ({"model": "resnet"}, ["'resnet'", "module:factory"]),
        ({"task": "regresion"}, ["did you mean 'regression'"]),
        ({"baseline": "gelu", "activations": ("relu", "tanh")}, ["baseline = 'gelu'", "relu, tanh"]),
        ({"activations": ("no_such_module:Thing",)}, ["no_such_module", "cannot be imported"]),
        ({"activations": ("math:pi",)}, ["math:pi is float"]),
        ({"activations": ("math:gammma",)}, ["math has no gammma", "did you mean 'gamma'"]),
        ({"learning_rates": ()}, ["learning_rates is empty"]),
        ({"learning_rates": (0.1, 0.1)}, ["a number twice"]),
        ({"learning_rates": (0.1, -1)}, ["learning_rates = -1"]),
        ({"dropout": 1.0}, ["dropout = 1.0"]),
        ({"track": "tensorbord"}, ["did you mean 'tensorboard'"]),
        ({"device": "gpu"}, ["device = 'gpu'", "cpu, cuda, auto"]),
        ({"learn": "yes"}, ["learn = 'yes'"]),
        ({"attempts": 0}, ["attempts = 0"]),
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


def first(fingerprint: str = "data", **values: Any) -> Trial:
    """The first trial of a bake-off under the chapter's protocol."""
    return wanted(
        Spec(**({"protocol": "chapter", "batch_size": 32, "initialisation": "lecun"} | values)),
        fingerprint,
        {},
    )[0]


@pytest.mark.parametrize("name", sorted(set(OTHER) - {"protocol"}))
def test_a_key_names_what_is_computed_and_nothing_else(name: str) -> None:
    changed = {name: OTHER[name]} | ({"activations": OTHER["activations"]} if name == "baseline" else {})
    same = {"activations": OTHER["activations"]} if name == "baseline" else {}
    # More seeds are more trials: the trials there were stay what they are.
    assert (first(**changed).key != first(**same).key) == (name in SETTING or name == "activations")


def test_keys_know_the_data_and_the_formula() -> None:
    base = first()
    assert first("other data").key != base.key
    assert dataclasses.replace(base, formula="tanh(z)").key != base.key
    assert dataclasses.replace(base, purpose="tune").key != base.key
    assert Trial.from_plain(base.to_plain()) == base
    for more in ({"more": 1}, {"setting": base.setting.plain() | {"more": 1}}):
        with pytest.raises(TriodeError, match="another version"):
            Trial.from_plain(base.to_plain() | more)


def test_aliases_and_spacing_do_not_make_another_trial() -> None:
    assert first(activations=("silu",)).key == first(activations=("swish",)).key


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
