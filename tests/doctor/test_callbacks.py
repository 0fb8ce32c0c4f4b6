"""The callbacks: what they see, that they do not disturb, and that they report however a fit ends."""

import functools
import importlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is first imported

from triode.doctor.callbacks._watching import Doctor, FitWatcher
from triode.errors import MissingExtra, TriodeError

# The frameworks warn of their own matters (workers of loaders, deprecations of libraries below them).
pytestmark = pytest.mark.filterwarnings("ignore")
EXAMPLES, BATCH, EPOCHS = 96, 16, 3


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, 8, generator=generator)
    return x, (x @ torch.randn(8, 3, generator=generator)).argmax(1)


def hooked() -> int:
    """How many things the doctor has left on PyTorch."""
    from torch.nn.modules import module
    from torch.optim import optimizer

    return (
        len(module._global_forward_hooks)
        + len(module._global_forward_pre_hooks)
        + len(optimizer._global_optimizer_pre_hooks)
        + len(optimizer._global_optimizer_post_hooks)
        + torch._C._len_torch_function_stack()
    )


class Fit(SimpleNamespace):
    """A training: its losses step by step, what it made of the weights, and the history that the doctor kept."""

    losses: list[float]
    weights: list[torch.Tensor]
    doctor: Any


# ---------------------------------------------------------------- Lightning


def lightning_fit(watch: bool, *, module: str = "lightning.pytorch", fail: Any = None, **options: Any) -> Fit:
    warnings.simplefilter("ignore")
    pl = pytest.importorskip(module, reason="the Lightning callback needs Lightning")
    from triode.doctor.callbacks.lightning import DoctorCallback

    losses: list[float] = []

    class Net(pl.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
            self.head = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            if fail is not None and len(losses) == 7:
                raise fail
            loss = nn.functional.cross_entropy(self.head(self.encoder(batch[0])), batch[1])
            losses.append(float(loss.detach()))
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.head(self.encoder(batch[0]))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    torch.manual_seed(3)
    net = Net()
    loader = DataLoader(TensorDataset(*examples()), BATCH, shuffle=True)
    doctor = DoctorCallback(report=None, **{k: options.pop(k) for k in ("html", "every") if k in options})
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        callbacks=[doctor] if watch else [],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    try:
        trainer.fit(net, loader, DataLoader(TensorDataset(*examples()), 32))
    finally:
        fit = Fit(losses=losses, weights=[p.detach() for p in net.parameters()], doctor=doctor)
        fit.again = lambda: trainer.fit(net, loader)
        fit.trainer = trainer
        lightning_fit.last = fit  # type: ignore[attr-defined]
    return fit


# ---------------------------------------------------------------- Hugging Face


def huggingface_fit(watch: bool, *, fail: Any = None, **options: Any) -> Fit:
    transformers = pytest.importorskip("transformers", reason="the Hugging Face callback needs transformers")
    pytest.importorskip("accelerate", reason="the Hugging Face callback needs accelerate")
    from triode.doctor.callbacks.huggingface import DoctorCallback

    transformers.logging.set_verbosity_error()
    losses: list[float] = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 3)
            self.drop = nn.Dropout(0.1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
            if fail is not None and len(losses) == 7:
                raise fail
            logits = self.last(self.drop(torch.relu(self.first(x))))
            loss = nn.functional.cross_entropy(logits.float(), labels)
            if self.training:
                losses.append(float(loss.detach()))
            return {"loss": loss, "logits": logits}

    torch.manual_seed(3)
    net = Net()
    x, y = examples()
    rows = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    doctor = DoctorCallback(report=None, **{k: options.pop(k) for k in ("html", "every") if k in options})
    arguments = transformers.TrainingArguments(
        output_dir=str(options.pop("folder", "unused")),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-2,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        eval_strategy="epoch",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=3,
        **options,
    )
    trainer = transformers.Trainer(
        net, arguments, train_dataset=rows, eval_dataset=rows, callbacks=[doctor] if watch else []
    )
    try:
        trainer.train()
    finally:
        fit = Fit(losses=losses, weights=[p.detach() for p in net.parameters()], doctor=doctor)
        fit.again, fit.trainer = trainer.train, trainer
        huggingface_fit.last = fit  # type: ignore[attr-defined]
    return fit


# ---------------------------------------------------------------- Keras


def keras_fit(watch: bool, *, fail: Any = None, accumulate: int | None = None, **options: Any) -> Fit:
    keras = pytest.importorskip("keras", reason="the Keras callback needs Keras 3")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras was loaded on another backend than PyTorch")
    from triode.doctor.callbacks.keras import DoctorCallback

    losses: list[float] = []

    class Record(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            losses.append(float(logs["loss"]))

    class Net(keras.Sequential):  # type: ignore[name-defined,misc]
        def train_step(self, data: Any) -> Any:
            if fail is not None and len(losses) == 7:
                raise fail
            return super().train_step(data)

    keras.utils.set_random_seed(3)
    policy = options.pop("policy", "float32")
    layers = keras.layers
    net = Net(
        [
            layers.Dense(32, "relu", name="first", dtype=policy),
            layers.BatchNormalization(name="norm", dtype=policy),
            layers.Dropout(0.1, dtype=policy),
            layers.Dense(16, "tanh", name="second", dtype=policy),
            layers.Dense(3, name="last", dtype=policy),
        ],
        name="patient",
    )
    optimizer = keras.optimizers.Adam(1e-2, gradient_accumulation_steps=accumulate)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0)
    net.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = (t.numpy() for t in examples())
    doctor = DoctorCallback(report=None, **{k: options.pop(k) for k in ("html", "every") if k in options})

    def fit_once() -> None:
        net.fit(
            x,
            y,
            batch_size=BATCH,
            epochs=EPOCHS,
            verbose=0,
            validation_data=(x, y),
            callbacks=[Record(), *([doctor] if watch else [])],
        )

    try:
        fit_once()
    finally:
        weights = [torch.as_tensor(np.asarray(w)) for w in net.get_weights()]
        fit = Fit(losses=losses, weights=weights, doctor=doctor, again=fit_once, net=net)
        keras_fit.last = fit  # type: ignore[attr-defined]
    return fit


FITS: dict[str, Callable[..., Fit]] = {
    "lightning": lightning_fit,
    "huggingface": huggingface_fit,
    "keras": keras_fit,
}


@functools.cache
def watched_once(framework: str) -> Fit:
    """A plain fit with the doctor, for those tests that only look at it."""
    return FITS[framework](True)


STEPS = EPOCHS * EXAMPLES // BATCH


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Frameworks write where they stand; and nothing of ours may stay behind on PyTorch."""
    monkeypatch.chdir(tmp_path)
    before = hooked()
    yield
    assert hooked() == before


@pytest.fixture(params=FITS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def same(one: Fit, other: Fit) -> None:
    assert one.losses
    assert one.losses == other.losses
    assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def test_training_is_the_same_to_the_last_bit_and_is_seen(framework: str) -> None:
    plain, watched = FITS[framework](False), watched_once(framework)
    same(plain, watched)
    diagnosis = watched.doctor.diagnosis
    (history,) = diagnosis.histories
    assert diagnosis.healthy, diagnosis.findings
    assert history.limits == []
    # A step for each update: neither evaluation nor a sanity check is counted.
    assert history.steps == STEPS
    assert history.epochs == [epoch for epoch in range(EPOCHS) for _ in range(STEPS // EPOCHS)]
    assert history.epochs_known
    assert history.trained
    assert history.optimizer in ("Adam", "AdamW")
    site = history.hidden()[0]
    assert site.function == "relu"
    assert site.units == 32
    assert [figures.examples for figures in site.passes] == [EXAMPLES] * EPOCHS
    # Seen before the first update: a step of Adam moves each weight by about the rate.
    first = history.weight_layers()[0]
    assert (first.fan_in, first.units, first.depth) == (8, 32, 0)
    assert 0.0 < first.update[0] < 1.0
    assert np.isfinite(first.initial_std)
    assert all(layer.gradient and max(layer.gradient) > 0 for layer in history.weight_layers())


def test_losses_seen_are_those_of_the_training(framework: str) -> None:
    watched = watched_once(framework)
    (history,) = watched.doctor.diagnosis.histories
    if framework == "keras":  # whose logs are running means over the pass
        means = np.cumsum(history.losses[:6]) / np.arange(1, 7)
        assert means == pytest.approx(watched.losses[:6], rel=1e-5)
    else:
        assert history.losses == pytest.approx(watched.losses, rel=1e-6)


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), KeyboardInterrupt()])
def test_a_broken_fit_is_reported(framework: str, error: BaseException) -> None:
    before = hooked()
    fit = FITS[framework]
    with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
        fit(True, fail=error)
    assert hooked() == before
    (history,) = fit.last.doctor._doctor._diagnosis.histories  # type: ignore[attr-defined]
    assert history.steps == 7
    assert ("out of luck" in history.exception) == isinstance(error, RuntimeError)


def test_a_second_fit_is_watched_anew(framework: str) -> None:
    watched = FITS[framework](True)
    first = watched.doctor.diagnosis
    if framework == "lightning":
        watched.trainer.fit_loop.max_epochs = 2 * EPOCHS
    watched.again()
    assert watched.doctor.diagnosis is not first
    assert watched.doctor.diagnosis.histories[0].steps == STEPS


def test_the_page_is_written_and_the_line_is_printed(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "doctor.html"
    watched = FITS[framework](True, html=page, every=2)
    assert "Triode doctor" in page.read_text(encoding="utf-8")
    assert "Triode doctor, 2 epochs" not in capsys.readouterr().out  # report=None: nothing is printed
    doctor = watched.doctor._doctor
    doctor.report = "terminal"
    doctor._line()
    doctor.begin(FitWatcher({}))
    doctor.end()
    out = capsys.readouterr().out
    assert out.startswith(f"Triode doctor, {EPOCHS} epochs: healthy so far")
    assert "What was checked" in out


# ---------------------------------------------------------------- accumulation, mixed precision, and the like

OPTIONS: list[tuple[str, dict[str, Any], int]] = [
    ("lightning", {"accumulate_grad_batches": 2}, STEPS // 2),
    ("lightning", {"precision": "bf16-mixed"}, STEPS),
    ("lightning", {"gradient_clip_val": 0.1, "val_check_interval": 0.5}, STEPS),
    ("huggingface", {"gradient_accumulation_steps": 2}, STEPS // 2),
    ("huggingface", {"bf16": True}, STEPS),
    ("keras", {"accumulate": 2}, STEPS // 2),
    ("keras", {"policy": "mixed_float16"}, STEPS),
    ("keras", {"policy": "mixed_bfloat16"}, STEPS),
]


@pytest.mark.parametrize(("framework", "options", "steps"), OPTIONS, ids=lambda value: str(value))
def test_accumulation_and_mixed_precision(framework: str, options: dict[str, Any], steps: int) -> None:
    run = FITS[framework]
    watched = run(True, **options)
    same(run(False, **options), watched)
    (history,) = watched.doctor.diagnosis.histories
    assert history.steps == steps
    assert len(history.hidden()[0].passes) == EPOCHS
    # The loss itself: neither scaled up for half precision nor divided by the batches that are accumulated.
    assert 0.7 < history.losses[0] < 2.0
    # And gradients that are not scaled either.
    assert 0.001 < history.weight_layers()[0].gradient[0] < 10.0
    assert watched.doctor.diagnosis.healthy, watched.doctor.diagnosis.findings


# ---------------------------------------------------------------- each framework's own


def test_both_names_of_lightning_take_the_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("lightning.pytorch", "pytorch_lightning"):
        pytest.importorskip(module, reason="Lightning's old name is a package of its own")
    # As if both had been imported before it.
    monkeypatch.delitem(sys.modules, "triode.doctor.callbacks.lightning", raising=False)
    for module in ("lightning.pytorch", "pytorch_lightning"):
        assert lightning_fit(True, module=module).doctor.diagnosis.histories[0].steps == STEPS


def test_lightning_layers_are_called_what_the_user_calls_them() -> None:
    (history,) = watched_once("lightning").doctor.diagnosis.histories
    assert history.name == "encoder + head"
    assert [layer.name for layer in history.weight_layers()] == ["encoder.0", "head.0", "head.2"]


def test_huggingface_model_that_computes_its_own_loss() -> None:
    watched = watched_once("huggingface")
    (history,) = watched.doctor.diagnosis.histories
    assert history.name == "Net"
    assert history.loss.family == "categorical"
    assert "training_step" not in vars(watched.trainer)


def test_keras_kernels_are_read_the_right_way_round() -> None:
    (history,) = watched_once("keras").doctor.diagnosis.histories
    assert history.framework == "keras"
    assert history.name == "patient"
    shape = {layer.name: (layer.kind, layer.fan_in, layer.units) for layer in history.layers}
    assert shape == {
        "first": ("linear", 8, 32),
        "norm": ("normalise", 0, 32),
        "second": ("linear", 32, 16),
        "last": ("linear", 16, 3),
    }
    assert [layer.depth for layer in history.weight_layers()] == [0, 1, 2]


def keras_convolutions() -> Any:
    keras = pytest.importorskip("keras", reason="the Keras callback needs Keras 3")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras was loaded on another backend than PyTorch")
    return keras


def test_keras_convolutions_and_nested_models() -> None:
    keras = keras_convolutions()
    from triode.doctor.callbacks.keras import DoctorCallback

    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((9, 9, 3))
    inner = keras.Sequential([layers.Conv2D(6, 3, activation="relu", name="conv")], name="inner")
    hidden = layers.Flatten()(layers.Conv2DTranspose(4, 2, activation="relu", name="up")(inner(inputs)))
    net = keras.Model(inputs, layers.Dense(1, name="out")(hidden))
    net.compile(keras.optimizers.SGD(1e-3), "mse")
    doctor = DoctorCallback(report=None)
    x = np.random.default_rng(0).normal(size=(32, 9, 9, 3)).astype("float32")
    net.fit(x, x.mean((1, 2, 3)), batch_size=16, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis is not None
    (history,) = doctor.diagnosis.histories
    found = {layer.name: (layer.kind, layer.fan_in, layer.units) for layer in history.layers}
    assert found == {"inner.conv": ("conv", 27, 6), "up": ("conv", 24, 4), "out": ("linear", 256, 1)}
    # A unit is a channel, wherever its axis stands.
    assert [site.units for site in history.hidden()] == [6, 4]


def test_a_dead_keras_network_is_found() -> None:
    keras = keras_convolutions()
    from triode.doctor.callbacks.keras import DoctorCallback

    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    net = keras.Sequential([dense(32, "relu", name="a"), dense(32, "relu", name="b"), dense(1)])
    net.compile(keras.optimizers.SGD(3.0), "mse")
    doctor = DoctorCallback(report=None)
    x, y = (t.numpy() for t in examples())
    net.fit(x, y.astype("float32"), batch_size=16, epochs=4, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis is not None
    assert not doctor.diagnosis.healthy


def test_keras_on_another_backend_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = keras_convolutions()
    from triode.doctor.callbacks.keras import DoctorCallback

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(TriodeError, match=r"Keras runs on jax.*KERAS_BACKEND=torch"):
        DoctorCallback()


def test_keras_whose_backend_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from triode.doctor.callbacks import keras

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(TriodeError, match=r"cannot load its backend .*tensorflow.*KERAS_BACKEND=torch"):
        keras._keras()


# ---------------------------------------------------------------- what they share


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"report": "html"}, "report is 'html'"),
        ({"every": 0}, "every is 0"),
        ({"every": True}, "every is True"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TriodeError, match=sentence):
        Doctor(**options)


def test_asking_after_a_fit_that_vanished_gives_what_was_seen() -> None:
    doctor = Doctor(report=None)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    doctor.begin(FitWatcher({id(net): "mine"}))
    net(torch.rand(16, 4)).square().mean().backward()
    optimizer.step()
    assert doctor.diagnosis is not None
    assert doctor.diagnosis.histories[0].name == "mine"
    doctor.end()
    assert hooked() == 0


def test_a_page_that_cannot_be_written_costs_no_training(capsys: pytest.CaptureFixture[str]) -> None:
    doctor = Doctor(report=None, html="missing/folder/doctor.html")
    doctor.begin(FitWatcher({}))
    doctor.end()
    assert "not written to missing/folder/doctor.html" in capsys.readouterr().err


def test_importing_the_folder_imports_no_framework() -> None:
    heavy = ("torch", "keras", "lightning", "transformers")
    code = f"import sys, triode.doctor.callbacks; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "hidden", "extra"),
    [
        ("lightning", ("lightning", "pytorch_lightning"), "lightning"),
        ("huggingface", ("transformers",), "huggingface"),
        ("keras", ("keras",), "keras"),
    ],
)
def test_a_missing_framework_names_its_extra(
    module: str, hidden: tuple[str, ...], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"triode.doctor.callbacks.{module}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        monkeypatch.delitem(sys.modules, name)
    for name in hidden:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=re.escape(f"triode[{extra}]")):
        importlib.import_module(f"triode.doctor.callbacks.{module}").DoctorCallback  # noqa: B018
