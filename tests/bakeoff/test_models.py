"""The networks: shapes, what each promises about its parameters, and a user's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.networks import HIDDEN, pictures, setting, text, vectors

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import triode  # noqa: E402
from triode.bakeoff import models  # noqa: E402
from triode.bakeoff.models import build, count_parameters  # noqa: E402
from triode.bakeoff.models.transformer import gated_width  # noqa: E402
from triode.bakeoff.setting import DEFAULT_HIDDEN  # noqa: E402
from triode.bakeoff.training.examples import part  # noqa: E402
from triode.bakeoff.training.watch import activation_sites  # noqa: E402
from triode.errors import TriodeError  # noqa: E402

torch.set_num_threads(1)


def gelu() -> nn.Module:
    return triode.torch.GELU()


def test_the_files_and_the_settings_know_the_same_models() -> None:
    assert set(models.names()) == set(DEFAULT_HIDDEN)


@pytest.mark.parametrize("model", sorted(HIDDEN))
@pytest.mark.parametrize("kind", ["pictures", "colour", "vectors", "text"])
def test_every_model_answers_every_kind_of_data_that_suits_it(model: str, kind: str) -> None:
    data = {
        "pictures": pictures(),
        "colour": pictures(channels=3, side=9),
        "vectors": vectors(features=70, task="regression"),
        "text": text(),
    }[kind]
    chosen = setting(model=model)
    if ("cnn" in model and kind in ("vectors", "text")) or (kind == "text" and "mlp" in model):
        with pytest.raises(TriodeError, match=r"images|order"):
            build(chosen, data, gelu)
        return
    network = build(chosen, data, gelu)
    x = part(data, chosen, "train").inputs(slice(0, 6))
    expected = (6, 8, 5) if kind == "text" else (6, data.outputs)
    assert network(x).shape == expected
    assert len(activation_sites(network)) >= len(HIDDEN[model])


@pytest.mark.parametrize("model", ["mlp", "cnn", "residual-mlp", "residual-cnn"])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_normalisation_stands_on_the_side_that_was_asked_for(model: str, side: str, kind: str) -> None:
    network = build(setting(model=model, normalisation=kind, normalise=side), pictures(), gelu)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    order: list[str] = []
    for module in network.modules():
        if isinstance(module, norms):
            module.register_forward_hook(lambda m, i, o: order.append("norm"))
        elif isinstance(module, triode.torch.Activation):
            module.register_forward_hook(lambda m, i, o: order.append("act"))
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda m, i, o: order.append("layer"))
    network(torch.randn(5, 1, 8, 8))
    assert order.count("norm") == order.count("act")
    pair = ("norm", "act")
    if "residual" not in model:
        pair = pair if side == "before" else pair[::-1]
        assert order[:3] == ["layer", *pair]
    elif side == "before":  # pre-activated: the way around stays clean, and the last word is an activation's
        assert order[-3:] == ["norm", "act", "layer"]
        assert order[0] == "layer"
    else:
        assert order[:3] == ["layer", "norm", "act"]


def test_a_pre_activated_block_passes_its_input_on_untouched() -> None:
    network = build(setting(model="residual-mlp", hidden=(6, 6)), vectors(), gelu)
    block = network.blocks[0]  # type: ignore[union-attr, index]
    x = -torch.rand(3, 6)
    with torch.no_grad():
        block.layer2.weight.zero_()
        block.layer2.bias.zero_()
        torch.testing.assert_close(block(x), x, rtol=0, atol=0)


@pytest.mark.parametrize("width", [16, 24, 64, 100, 256])
def test_gated_feed_forward_has_as_many_parameters(width: int) -> None:
    counts = [
        count_parameters(
            build(setting(model="transformer", hidden=(width,), feed_forward=form), pictures(), gelu)
        )
        for form in ("plain", "gated")
    ]
    assert counts[1] == pytest.approx(counts[0], rel=0.01)
    assert gated_width(width) == pytest.approx(8 * width / 3, abs=1)


@pytest.mark.parametrize("form", ["plain", "gated"])
def test_feed_forward_is_the_formula(form: str) -> None:
    network = build(setting(model="transformer", feed_forward=form), pictures(), gelu)
    layer = network.blocks[0].feed_forward  # type: ignore[union-attr, index]
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    w = {name: p.detach().double() for name, p in layer.named_parameters()}
    hidden = nn.functional.gelu(x @ w["inner.weight"].T + w["inner.bias"])
    if form == "gated":
        hidden = hidden * (x @ w["beside.weight"].T + w["beside.bias"])
    expected = hidden @ w["outer.weight"].T + w["outer.bias"]
    torch.testing.assert_close(layer(x.float()).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_no_character_sees_those_after_it(model: str) -> None:
    network = build(setting(model=model), text(), gelu).eval()
    x = torch.randint(0, 5, (4, 8))
    other = x.clone()
    other[:, 5] = (other[:, 5] + 1) % 5
    with torch.no_grad():
        one, two = network(x), network(other)
    torch.testing.assert_close(one[:, :5], two[:, :5], rtol=0, atol=0)
    assert (one[:, 5:] != two[:, 5:]).any(dim=2).all()  # and every later one sees it


def test_attention_over_an_image_looks_both_ways() -> None:
    network = build(setting(model="transformer"), pictures(), gelu).eval()
    attention = network.blocks[0].attention  # type: ignore[union-attr, index]
    x = torch.randn(1, 4, 8)
    other = x.clone()
    other[0, 3] += 1
    assert (attention(x)[0, 0] != attention(other)[0, 0]).any()


def test_patches_are_squares_of_the_image() -> None:
    network = build(setting(model="transformer"), pictures(), gelu)
    steps = network.steps
    with torch.no_grad():
        steps.project.weight.zero_()  # type: ignore[union-attr, operator]
        steps.project.bias.zero_()  # type: ignore[union-attr, operator]
        steps.project.weight[0] = 1.0  # type: ignore[union-attr, index, operator]
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 0:4, 4:8] = 1.0  # the upper right quarter
    assert steps(image)[0, :, 0].tolist() == [0.0, 16.0, 0.0, 0.0]  # type: ignore[operator]


def test_the_lstm_with_tanh_is_pytorchs() -> None:
    chosen = setting(model="lstm", hidden=(6,))
    network = build(chosen, text(), triode.torch.Tanh)
    layer = network.layers[0]  # type: ignore[union-attr, index]
    theirs = nn.LSTM(6, 6, batch_first=True)
    rows = torch.tensor([*range(12), *range(18, 24), *range(12, 18)])  # their i f g o in our order i f o g
    with torch.no_grad():
        layer.input.weight.copy_(theirs.weight_ih_l0[rows])
        layer.input.bias.copy_((theirs.bias_ih_l0 + theirs.bias_hh_l0)[rows])
        layer.recurrent.weight.copy_(theirs.weight_hh_l0[rows])
        x = torch.randn(3, 8, 6)
        torch.testing.assert_close(layer(x), theirs(x)[0], rtol=1e-5, atol=1e-6)


def test_the_lstms_activation_stands_at_the_candidate_and_at_the_output() -> None:
    network = build(
        setting(model="lstm", hidden=(4,)), text(), lambda: triode.torch.Activation("double=2 * z")
    )
    layer = network.layers[0]  # type: ignore[union-attr, index]
    x = torch.randn(3, 1, 4)
    with torch.no_grad():
        i, _, o, candidate = (x[:, 0] @ layer.input.weight.T + layer.input.bias).chunk(4, dim=1)
        cell = torch.sigmoid(i) * 2 * candidate
        torch.testing.assert_close(layer(x)[:, 0], torch.sigmoid(o) * 2 * cell)


def test_dropout_drops_in_training_only() -> None:
    for model in HIDDEN:
        network = build(setting(model=model, dropout=0.5), pictures(), gelu)
        x = torch.randn(20, 1, 8, 8)
        assert not torch.equal(network(x), network(x)), model
        network.eval()
        assert torch.equal(network(x), network(x)), model


def test_batch_normalisation_is_refused_over_steps() -> None:
    for model in ("transformer", "lstm"):
        with pytest.raises(TriodeError, match=r"'batch'.*layer"):
            build(setting(model=model, normalisation="batch"), pictures(), gelu)


OWN = """
import torch
from torch import nn

def plain(activation):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), activation(), nn.Linear(6, 4))

def informed(activation, dataset, setting):
    widths = [64, *setting.hidden, dataset.outputs]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, widths[1]), activation(), nn.Linear(widths[1], widths[-1]))

def broken(activation):
    raise KeyError("no such layer")

def wrong(activation):
    return "a network"

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    sys.modules.pop("own_networks", None)


@pytest.mark.usefixtures("own")
def test_a_network_of_ones_own() -> None:
    made = []

    def factory() -> nn.Module:
        made.append(gelu())
        return made[-1]

    network = build(setting(model="own_networks:plain"), pictures(), factory)
    assert network[2] is made[0]  # type: ignore[index]
    informed = build(setting(model="own_networks:informed", hidden=(11,)), pictures(), gelu)
    assert informed(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert informed[1].out_features == 11  # type: ignore[index]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "raised KeyError: 'no such layer'"),
        ("wrong", "gave str; a torch.nn.Module"),
        ("number", "is int; a function"),
        ("plian", "did you mean 'plain'"),
    ],
)
def test_a_factory_that_fails_is_one_sentence(name: str, words: str) -> None:
    with pytest.raises(TriodeError) as caught:
        build(setting(model=f"own_networks:{name}"), pictures(), gelu)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parameters_are_counted_with_the_activations_own() -> None:
    relu = build(setting(), vectors(), triode.torch.ReLU)
    prelu = build(setting(), vectors(), triode.torch.PReLU)
    assert count_parameters(relu) == 5 * 9 + 9 + 9 * 7 + 7 + 7 * 2 + 2
    assert count_parameters(prelu) == count_parameters(relu) + 2
