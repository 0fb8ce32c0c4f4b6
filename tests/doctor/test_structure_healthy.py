"""Healthy networks that look sick: the rules about structure leave them in peace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from support import structure_parts as parts
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

HEALTHY: dict[str, Callable[[], Spec]] = {
    "attention": lambda: (
        Fn(parts.attention, embed=L(1, 8), qkv=L(8, 24), norm=nn.LayerNorm(8), out=L(8, 8), head=L(8, 3)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        table,
        classes,
    ),
    "attention pooling": lambda: (
        Fn(parts.pooled, embed=L(1, 8), score=L(8, 1), head=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "memory": lambda: (
        Fn(parts.memory, query=L(4, 5), slots=nn.Parameter(torch.randn(7, 5)), head=L(5, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "excitation": lambda: (
        Fn(parts.excited, stem=nn.Conv2d(1, 8, 3), down=L(8, 2), up=L(2, 8), head=L(8, 3)),
        F.cross_entropy,
        images,
        lambda: classes(3)[:16],
    ),
    "variational": lambda: (
        Fn(parts.vae, enc=L(4, 8), mean=L(8, 3), logvar=L(8, 3), dec=L(3, 4)),
        parts.vae_loss,
        lambda: labels(4),
        lambda: labels(4),
    ),
    "categorical code": lambda: (
        Fn(parts.categorical_vae, enc=mlp(L(6, 5)), dec=L(5, 4)),
        F.mse_loss,
        table,
        table,
    ),
    "bottleneck": lambda: (mlp(L(6, 2), L(2, 6), nn.Tanh(), L(6, 4)), F.mse_loss, table, table),
    "inverted residual": lambda: (
        Fn(
            parts.inverted,
            expand=nn.Conv2d(4, 12, 1),
            bn1=nn.BatchNorm2d(12),
            depthwise=nn.Conv2d(12, 12, 3, padding=1, groups=12),
            bn2=nn.BatchNorm2d(12),
            project=nn.Conv2d(12, 4, 1),
            bn3=nn.BatchNorm2d(4),
            expand2=nn.Conv2d(4, 16, 1),
            head=L(16, 3),
        ),
        F.cross_entropy,
        lambda: images(4),
        lambda: classes(3)[:16],
    ),
    "low rank": lambda: (
        Fn(parts.lora, base=L(4, 8), down=L(4, 1), up=L(1, 8), head=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "u-net": lambda: (
        Fn(
            parts.unet,
            down=nn.Conv2d(1, 4, 3, padding=1),
            mid=nn.Conv2d(4, 8, 3, padding=1),
            up=nn.ConvTranspose2d(8, 4, 2, 2),
            merge=nn.Conv2d(8, 4, 3, padding=1),
            out=nn.Conv2d(4, 1, 1),
        ),
        F.binary_cross_entropy_with_logits,
        images,
        lambda: (images() > 0).float(),
    ),
    "super-resolution": lambda: (
        Fn(
            parts.super_resolution,
            stem=nn.Conv2d(1, 8, 3, padding=1),
            up=nn.Conv2d(8, 32, 3, padding=1),
            out=nn.Conv2d(8, 1, 3, padding=1),
        ),
        F.l1_loss,
        images,
        lambda: images(1, 12),
    ),
    "decoder of convolutions": lambda: (
        Fn(
            parts.conv_vae,
            enc=L(36, 8),
            fc=L(8, 36),
            deconv=nn.ConvTranspose2d(4, 4, 2, 2),
            out=nn.Conv2d(4, 1, 3, padding=1),
        ),
        F.mse_loss,
        images,
        images,
    ),
    "two axes": lambda: (
        Fn(parts.mixer, embed=L(2, 6), tokens=L(4, 5), head=L(6, 3)),
        F.cross_entropy,
        lambda: table(8),
        classes,
    ),
    "tied": lambda: (Fn(parts.tied, layer=L(4, 6)), F.mse_loss, table, table),
    "contrastive": lambda: (Fn(parts.siamese, net=small(5)), parts.contrastive, table, labels),
    "linear probe": lambda: (
        Fn(parts.probe, body=mlp(L(6, 6)), head=L(6, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "recurrence by hand": lambda: (
        Fn(parts.gated_recurrence, z=L(6, 5), h=L(6, 5), head=L(5, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "probabilities for show": lambda: (
        Fn(parts.logs_probabilities, net=small()),
        F.cross_entropy,
        table,
        classes,
    ),
    "log_softmax and nll": lambda: (mlp(L(6, 3), nn.LogSoftmax(1)), nn.NLLLoss(), table, classes),
    "softmax and log by hand": lambda: (
        mlp(L(6, 3), nn.Softmax(1)),
        lambda p, y: F.nll_loss(torch.log(p + 1e-9), y),
        table,
        classes,
    ),
    "log-sum-exp by hand": lambda: (
        small(),
        lambda z, y: F.nll_loss(z - torch.logsumexp(z, 1, keepdim=True), y),
        table,
        classes,
    ),
    "temperature": lambda: (small(), lambda z, y: F.cross_entropy(z / 0.5, y), table, classes),
    "capped scores": lambda: (
        Fn(lambda m, x: 30 * torch.tanh(m.net(x) / 30), net=small()),
        F.cross_entropy,
        table,
        classes,
    ),
    "several labels": lambda: (mlp(L(6, 3), nn.Sigmoid()), nn.BCELoss(), table, lambda: labels(3)),
    "one-hot with binary loss": lambda: (mlp(L(6, 3), nn.Sigmoid()), nn.BCELoss(), table, onehot),
    "softmax and squares": lambda: (mlp(L(6, 3), nn.Softmax(1)), F.mse_loss, table, onehot),
    "squares of scores": lambda: (small(), F.mse_loss, table, onehot),
    "binary by hand": lambda: (mlp(L(6, 1), nn.Sigmoid()), manual_bce, table, labels),
    "focal": lambda: (small(1), parts.focal, table, labels),
    "focal from cross-entropy": lambda: (small(), parts.focal_from_ce, table, classes),
    "dice": lambda: (mlp(L(6, 1), nn.Sigmoid()), dice, table, labels),
    "distillation": lambda: (small(), parts.distil, table, simplex),
    "soft targets": lambda: (small(), F.cross_entropy, table, simplex),
    "policy gradient": lambda: (small(), parts.policy_gradient, table, lambda: table(1)),
    "clipped policy": lambda: (
        Fn(lambda m, x: (m.actor(x), m.critic(x)), actor=small(), critic=small(1)),
        parts.ppo,
        table,
        lambda: table(1),
    ),
    "hinge": lambda: (small(1), parts.hinge, table, labels),
    "mean and spread": lambda: (
        Fn(lambda m, x: (m.mean(x), F.softplus(m.spread(x)) + 1e-3), mean=small(1), spread=small(1)),
        parts.gaussian,
        table,
        lambda: table(1),
    ),
    "tanh in range": lambda: (mlp(L(6, 1), nn.Tanh()), F.mse_loss, table, lambda: table(1).tanh()),
    "positive and rectified": lambda: (
        mlp(L(6, 1), nn.ReLU()),
        F.mse_loss,
        table,
        lambda: 5 * table(1).abs(),
    ),
    "counts": lambda: (mlp(L(6, 1)), nn.PoissonNLLLoss(), table, lambda: table(1).abs().round()),
    "picture in the unit range": lambda: (
        mlp(L(6, 4), nn.Sigmoid()),
        F.mse_loss,
        lambda: labels(4) / 2,
        lambda: labels(4) / 2,
    ),
}
HEALTHY |= {
    "own loss": lambda: (parts.OwnLoss(), lambda out, y: out[0], table, classes),
    "attention over one": lambda: (
        Fn(parts.attention_over_one, embed=L(4, 8), qkv=L(8, 24), head=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "encoder": lambda: (
        Fn(
            parts.encoder,
            embed=L(1, 8),
            block=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            head=L(8, 3),
        ),
        F.cross_entropy,
        table,
        classes,
    ),
    "gated linear": lambda: (
        Fn(parts.gated_linear, a=L(4, 8), b=L(4, 8), out=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "cosine": lambda: (
        Fn(parts.cosine, a=L(4, 8), embed=L(8, 6), centres=nn.Parameter(torch.randn(3, 6))),
        F.cross_entropy,
        table,
        classes,
    ),
    "mixture": lambda: (
        Fn(parts.mixture, a=L(4, 8), share=L(8, 3), mean=L(8, 3), spread=L(8, 3)),
        parts.mixture_loss,
        table,
        lambda: table(1),
    ),
    "neighbours": lambda: (small(6), parts.info_nce, table, classes),
    "quantiles": lambda: (small(2), parts.quantiles, table, lambda: table(1)),
    "two classes from one": lambda: (
        mlp(L(6, 1), nn.Sigmoid()),
        parts.two_columns,
        table,
        lambda: classes(2),
    ),
    "squared activation": lambda: (
        Fn(lambda m, x: m.b(m.a(x) ** 2), a=L(4, 8), b=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "maxout": lambda: (
        Fn(lambda m, x: m.c(torch.max(m.a(x), m.b(x))), a=L(4, 8), b=L(4, 8), c=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "smoothed labels": lambda: (
        mlp(L(6, 3), nn.Sigmoid()),
        nn.BCELoss(),
        table,
        lambda: 0.9 * onehot() + 0.1 / 3,
    ),
}


@pytest.mark.parametrize("name", list(HEALTHY))
def test_a_healthy_network_that_looks_sick_is_left_in_peace(name: str) -> None:
    model, loss, x, y = HEALTHY[name]()
    diagnosis = examined(model, loss, x(), y())
    assert not structural(diagnosis), [(f.diagnosis, f.summary, f.evidence) for f in diagnosis.findings]
