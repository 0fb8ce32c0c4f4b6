"""Networks that are wrong by their structure: each is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from support.structure import (
    Fn,
    L,
    Spec,
    classes,
    dice,
    examined,
    images,
    labels,
    manual_bce,
    mlp,
    onehot,
    simplex,
    small,
    structural,
    table,
)

F = nn.functional

SICK: dict[str, tuple[str, Callable[[], Spec]]] = {
    "one unit": ("softmax_single_unit", lambda: (mlp(L(6, 1), nn.Softmax(1)), nn.BCELoss(), table, labels)),
    "one unit, functional": (
        "softmax_single_unit",
        lambda: (
            Fn(lambda m, x: F.log_softmax(m.net(x), dim=-1), net=small(1)),
            F.mse_loss,
            table,
            lambda: table(1),
        ),
    ),
    "one unit over the batch": (
        "softmax_single_unit",
        lambda: (mlp(L(6, 1), nn.Softmax(0)), nn.BCELoss(), table, labels),
    ),
    "twice": ("softmax_before_ce", lambda: (mlp(L(6, 3), nn.Softmax(1)), F.cross_entropy, table, classes)),
    "twice, outside the model": (
        "softmax_before_ce",
        lambda: (small(), lambda z, y: F.cross_entropy(z.softmax(-1), y), table, classes),
    ),
    "sigmoid twice": (
        "softmax_before_ce",
        lambda: (mlp(L(6, 1), nn.Sigmoid()), nn.BCEWithLogitsLoss(), table, labels),
    ),
    "scores to nll": ("missing_softmax", lambda: (small(), nn.NLLLoss(), table, classes)),
    "probabilities to nll": (
        "missing_softmax",
        lambda: (mlp(L(6, 3), nn.Softmax(1)), nn.NLLLoss(), table, classes),
    ),
    "scores to bce": ("missing_softmax", lambda: (small(1), nn.BCELoss(), table, labels)),
    "log of scores": ("missing_softmax", lambda: (small(1), manual_bce, table, labels)),
    "log of scores, picked": (
        "missing_softmax",
        lambda: (small(), lambda p, y: -torch.log(p[range(32), y]).mean(), table, classes),
    ),
    "scores to divergence": (
        "missing_softmax",
        lambda: (small(), nn.KLDivLoss(reduction="batchmean"), table, simplex),
    ),
    "sigmoids for classes": (
        "sigmoid_output_multiclass",
        lambda: (mlp(L(6, 3), nn.Sigmoid()), F.cross_entropy, table, classes),
    ),
    "log of sigmoids": (
        "sigmoid_output_multiclass",
        lambda: (mlp(L(6, 3), nn.Sigmoid()), lambda p, y: -(y * p.log()).sum(1).mean(), table, onehot),
    ),
    "sigmoids for shares": (
        "sigmoid_output_multiclass",
        lambda: (mlp(L(6, 3), nn.Sigmoid()), F.l1_loss, table, simplex),
    ),
    "rectified scores": ("relu_output", lambda: (mlp(L(6, 3), nn.ReLU()), F.cross_entropy, table, classes)),
    "rectified mask": ("relu_output", lambda: (mlp(L(6, 1), nn.ReLU()), dice, table, labels)),
    "rectified regression": (
        "relu_output",
        lambda: (mlp(L(6, 1), nn.ReLU()), nn.L1Loss(), table, lambda: table(1)),
    ),
    "sigmoid for miles": (
        "output_range_mismatch",
        lambda: (mlp(L(6, 1), nn.Sigmoid()), F.mse_loss, table, lambda: 20 + table(1)),
    ),
    "squares by hand": (
        "output_range_mismatch",
        lambda: (mlp(L(6, 1), nn.Tanh()), lambda p, y: ((y - p) ** 2).mean(), table, lambda: 20 + table(1)),
    ),
    "labels 1 and 2": (
        "output_range_mismatch",
        lambda: (small(1), nn.BCEWithLogitsLoss(), table, lambda: labels() + 1),
    ),
    "standardised picture": (
        "output_range_mismatch",
        lambda: (mlp(L(6, 4), nn.Sigmoid()), F.mse_loss, table, table),
    ),
    "bounded scores": (
        "output_range_mismatch",
        lambda: (mlp(L(6, 3), nn.Tanh()), F.cross_entropy, table, classes),
    ),
    "softmax inside": (
        "softmax_hidden",
        lambda: (nn.Sequential(L(4, 6), nn.Softmax(1), L(6, 3)), F.cross_entropy, table, classes),
    ),
    "softmax of channels": (
        "softmax_hidden",
        lambda: (
            nn.Sequential(
                nn.Conv2d(1, 4, 3),
                nn.Softmax2d(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 4, 2),
                nn.ReLU(),
                nn.Flatten(),
                L(4, 3),
            ),
            F.cross_entropy,
            images,
            lambda: classes(3)[:16],
        ),
    ),
    "linear twice": ("missing_activation", lambda: (mlp(L(6, 8), L(8, 3)), F.cross_entropy, table, classes)),
    "linear with dropout": (
        "missing_activation",
        lambda: (
            nn.Sequential(L(4, 8), nn.Dropout(0.2), L(8, 8), nn.ReLU(), L(8, 1)),
            F.mse_loss,
            table,
            lambda: table(1),
        ),
    ),
    "convolutions": (
        "missing_activation",
        lambda: (
            nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), L(16, 3)
            ),
            F.cross_entropy,
            images,
            lambda: classes(3)[:16],
        ),
    ),
    "convolution and head": (
        "missing_activation",
        lambda: (
            nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Flatten(), L(288, 3)),
            F.cross_entropy,
            images,
            lambda: classes(3)[:16],
        ),
    ),
}

SICK |= {
    "one score": ("softmax_single_unit", lambda: (small(1), F.cross_entropy, table, lambda: classes(1))),
    "one score, refused": (
        "softmax_single_unit",
        lambda: (small(1), F.cross_entropy, table, lambda: classes(2)),
    ),
    "over the batch, nll": (
        "missing_softmax",
        lambda: (mlp(L(6, 3), nn.LogSoftmax(0)), nn.NLLLoss(), table, classes),
    ),
    "over the batch, squares": (
        "output_range_mismatch",
        lambda: (mlp(L(6, 3), nn.Softmax(0)), F.mse_loss, table, onehot),
    ),
    "sigmoids to nll": (
        "sigmoid_output_multiclass",
        lambda: (mlp(L(6, 3), nn.Sigmoid()), nn.NLLLoss(), table, classes),
    ),
    "rectified to nll": ("relu_output", lambda: (mlp(L(6, 3), nn.ReLU()), nn.NLLLoss(), table, classes)),
    "tanh to bce": ("missing_softmax", lambda: (mlp(L(6, 1), nn.Tanh()), nn.BCELoss(), table, labels)),
    "rectified to bce": ("relu_output", lambda: (mlp(L(6, 1), nn.ReLU()), nn.BCELoss(), table, labels)),
}


@pytest.mark.parametrize("name", list(SICK))
def test_a_sick_network_is_found_and_nothing_else_is(name: str) -> None:
    expected, factory = SICK[name]
    model, loss, x, y = factory()
    diagnosis = examined(model, loss, x(), y())
    found = structural(diagnosis)
    assert found == {expected}, [(f.diagnosis, f.summary, f.evidence) for f in diagnosis.findings]
    first = next(finding for finding in diagnosis.findings if finding.diagnosis == expected)
    assert first.summary.endswith(".")
    assert first.evidence
    assert first.prescriptions
