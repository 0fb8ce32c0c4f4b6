"""Structure seen in real networks: what must be found, and what looks like it and is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from triode.doctor.diagnosis import Diagnosis

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional

STRUCTURE = {
    "softmax_single_unit",
    "missing_softmax",
    "softmax_before_ce",
    "sigmoid_output_multiclass",
    "relu_output",
    "output_range_mismatch",
    "softmax_hidden",
    "missing_activation",
}


class Fn(nn.Module):
    """Layers by name, and the forward pass as a function of them and the input."""

    def __init__(self, forward: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._forward = forward

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


def L(inputs: int, units: int, **options: Any) -> Any:  # noqa: N802 - the layer, in tables of nets
    return nn.Linear(inputs, units, **options)


def mlp(*rest: Any, units: int = 6) -> Any:
    """Four inputs, a hidden layer of tanh, and then what is given."""
    return nn.Sequential(L(4, units), nn.Tanh(), *rest)


def table(columns: int = 4) -> Any:
    return torch.randn(32, columns, generator=torch.Generator().manual_seed(1))


def classes(n: int = 3) -> Any:
    return torch.arange(32) % n


def labels(columns: int = 1) -> Any:
    return (table(columns) > 0).float()


def onehot(n: int = 3) -> Any:
    return F.one_hot(classes(n), n).float()


def simplex(n: int = 3) -> Any:
    return torch.softmax(table(n), 1)


def images(channels: int = 1, side: int = 6) -> Any:
    return torch.randn(16, channels, side, side, generator=torch.Generator().manual_seed(2))


def examined(model: Any, loss: Any, x: Any, y: Any) -> Diagnosis:
    import triode.doctor

    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return triode.doctor.examine(model, [(x, y)] * 3, loss, optimizer=optimizer)


def structural(diagnosis: Diagnosis) -> set[str]:
    return {finding.diagnosis for finding in diagnosis.findings if not finding.follows} & STRUCTURE


# ---------------------------------------------------------------- losses as people write them


def manual_bce(p: Any, y: Any) -> Any:
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def focal(z: Any, y: Any) -> Any:
    p = torch.sigmoid(z).clamp(1e-6, 1 - 1e-6)
    there = -y * (1 - p) ** 2 * torch.log(p)
    return (there - (1 - y) * p**2 * torch.log(1 - p)).mean()


def focal_from_ce(z: Any, y: Any) -> Any:
    ce = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def dice(p: Any, y: Any) -> Any:
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def distil(z: Any, teacher: Any) -> Any:
    return F.kl_div(F.log_softmax(z / 4, dim=1), teacher, reduction="batchmean") * 16


def policy_gradient(z: Any, advantage: Any) -> Any:
    chosen = torch.distributions.Categorical(logits=z)
    return -(chosen.log_prob(classes(3)) * advantage.squeeze(1)).mean() - 0.01 * chosen.entropy().mean()


def ppo(out: Any, y: Any) -> Any:
    z, value = out
    new = F.log_softmax(z, 1).gather(1, classes(3)[:, None])
    ratio = torch.exp(new - new.detach())
    clipped = ratio.clamp(0.8, 1.2)
    entropy = -(F.softmax(z, 1) * F.log_softmax(z, 1)).sum(1).mean()
    return -torch.min(ratio * y, clipped * y).mean() + 0.5 * (value - y).pow(2).mean() - 0.01 * entropy


def vae_loss(out: Any, x: Any) -> Any:
    recon, mean, logvar = out
    kl = -0.5 * (1 + logvar - mean**2 - logvar.exp()).mean()
    return F.binary_cross_entropy(recon, x) + kl


def contrastive(pair: Any, y: Any) -> Any:
    d = (pair[0] - pair[1]).pow(2).sum(1).add(1e-6).sqrt()
    return ((1 - y.squeeze(1)) * d**2 + y.squeeze(1) * torch.clamp(1 - d, min=0) ** 2).mean()


def hinge(z: Any, y: Any) -> Any:
    return torch.relu(1 - (2 * y - 1) * z).mean()


def gaussian(out: Any, y: Any) -> Any:
    mean, spread = out
    return (torch.log(spread) + 0.5 * ((y - mean) / spread) ** 2).mean()


# ---------------------------------------------------------------- networks


def attention(m: Any, x: Any) -> Any:
    h = m.embed(x.unsqueeze(-1))
    q, k, v = m.qkv(m.norm(h)).chunk(3, -1)
    weights = F.dropout(torch.softmax(q @ k.transpose(-2, -1) / 2, -1), 0.1, m.training)
    return m.head((h + m.out(weights @ v)).mean(1))


def pooled(m: Any, x: Any) -> Any:
    h = torch.tanh(m.embed(x.unsqueeze(-1)))
    return m.head((torch.softmax(m.score(h), 1) * h).sum(1))


def memory(m: Any, x: Any) -> Any:
    return m.head(torch.softmax(m.query(x) @ m.slots.T, -1) @ m.slots)


def excited(m: Any, x: Any) -> Any:
    h = torch.relu(m.stem(x))
    scale = torch.sigmoid(m.up(torch.relu(m.down(h.mean((2, 3))))))
    return m.head((h * scale[:, :, None, None]).mean((2, 3)))


def vae(m: Any, x: Any) -> Any:
    h = torch.tanh(m.enc(x))
    mean, logvar = m.mean(h), m.logvar(h)
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
    return torch.sigmoid(m.dec(z)), mean, logvar


def categorical_vae(m: Any, x: Any) -> Any:
    return m.dec(F.gumbel_softmax(m.enc(x), tau=1.0))


def inverted(m: Any, x: Any) -> Any:
    h = F.relu6(m.bn1(m.expand(x)))
    h = m.bn3(m.project(F.relu6(m.bn2(m.depthwise(h)))))
    return m.head(F.relu6(m.expand2(h)).mean((2, 3)))


def lora(m: Any, x: Any) -> Any:
    h = torch.relu(m.base(x) + m.up(m.down(x)))
    return m.head(h)


def unet(m: Any, x: Any) -> Any:
    a = torch.relu(m.down(x))
    b = torch.relu(m.mid(F.max_pool2d(a, 2)))
    return m.out(torch.relu(m.merge(torch.cat([a, m.up(b)], 1))))


def super_resolution(m: Any, x: Any) -> Any:
    return m.out(F.pixel_shuffle(m.up(torch.relu(m.stem(x))), 2))


def conv_vae(m: Any, x: Any) -> Any:
    return m.out(torch.relu(m.deconv(m.fc(torch.relu(m.enc(x.flatten(1)))).view(-1, 4, 3, 3))))


def mixer(m: Any, x: Any) -> Any:
    h = m.embed(x.view(len(x), 4, 2))
    return m.head(m.tokens(h.transpose(1, 2)).mean(2))


def tied(m: Any, x: Any) -> Any:
    return F.linear(F.linear(x, m.layer.weight), m.layer.weight.t())


def siamese(m: Any, x: Any) -> Any:
    return m.net(x), m.net(x.flip(0))


def probe(m: Any, x: Any) -> Any:
    return m.head(m.body(x).detach())


def gated_recurrence(m: Any, x: Any) -> Any:
    h = torch.zeros(len(x), 5)
    for t in range(4):
        both = torch.cat([x[:, t : t + 1], h], 1)
        z = torch.sigmoid(m.z(both))
        h = (1 - z) * h + z * torch.tanh(m.h(both))
    return m.head(h)


def logs_probabilities(m: Any, x: Any) -> Any:
    z = m.net(x)
    m.shown = F.softmax(z, dim=1).detach()
    return z


def small(k: int = 3) -> Any:
    return mlp(L(6, k))


Spec = tuple[Any, Any, Callable[[], Any], Callable[[], Any]]

HEALTHY: dict[str, Callable[[], Spec]] = {
    "attention": lambda: (
        Fn(attention, embed=L(1, 8), qkv=L(8, 24), norm=nn.LayerNorm(8), out=L(8, 8), head=L(8, 3)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        table,
        classes,
    ),
    "attention pooling": lambda: (
        Fn(pooled, embed=L(1, 8), score=L(8, 1), head=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "memory": lambda: (
        Fn(memory, query=L(4, 5), slots=nn.Parameter(torch.randn(7, 5)), head=L(5, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "excitation": lambda: (
        Fn(excited, stem=nn.Conv2d(1, 8, 3), down=L(8, 2), up=L(2, 8), head=L(8, 3)),
        F.cross_entropy,
        images,
        lambda: classes(3)[:16],
    ),
    "variational": lambda: (
        Fn(vae, enc=L(4, 8), mean=L(8, 3), logvar=L(8, 3), dec=L(3, 4)),
        vae_loss,
        lambda: labels(4),
        lambda: labels(4),
    ),
    "categorical code": lambda: (
        Fn(categorical_vae, enc=mlp(L(6, 5)), dec=L(5, 4)),
        F.mse_loss,
        table,
        table,
    ),
    "bottleneck": lambda: (mlp(L(6, 2), L(2, 6), nn.Tanh(), L(6, 4)), F.mse_loss, table, table),
    "inverted residual": lambda: (
        Fn(
            inverted,
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
        Fn(lora, base=L(4, 8), down=L(4, 1), up=L(1, 8), head=L(8, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "u-net": lambda: (
        Fn(
            unet,
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
            super_resolution,
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
            conv_vae,
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
        Fn(mixer, embed=L(2, 6), tokens=L(4, 5), head=L(6, 3)),
        F.cross_entropy,
        lambda: table(8),
        classes,
    ),
    "tied": lambda: (Fn(tied, layer=L(4, 6)), F.mse_loss, table, table),
    "contrastive": lambda: (Fn(siamese, net=small(5)), contrastive, table, labels),
    "linear probe": lambda: (Fn(probe, body=mlp(L(6, 6)), head=L(6, 3)), F.cross_entropy, table, classes),
    "recurrence by hand": lambda: (
        Fn(gated_recurrence, z=L(6, 5), h=L(6, 5), head=L(5, 3)),
        F.cross_entropy,
        table,
        classes,
    ),
    "probabilities for show": lambda: (Fn(logs_probabilities, net=small()), F.cross_entropy, table, classes),
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
    "focal": lambda: (small(1), focal, table, labels),
    "focal from cross-entropy": lambda: (small(), focal_from_ce, table, classes),
    "dice": lambda: (mlp(L(6, 1), nn.Sigmoid()), dice, table, labels),
    "distillation": lambda: (small(), distil, table, simplex),
    "soft targets": lambda: (small(), F.cross_entropy, table, simplex),
    "policy gradient": lambda: (small(), policy_gradient, table, lambda: table(1)),
    "clipped policy": lambda: (
        Fn(lambda m, x: (m.actor(x), m.critic(x)), actor=small(), critic=small(1)),
        ppo,
        table,
        lambda: table(1),
    ),
    "hinge": lambda: (small(1), hinge, table, labels),
    "mean and spread": lambda: (
        Fn(lambda m, x: (m.mean(x), F.softplus(m.spread(x)) + 1e-3), mean=small(1), spread=small(1)),
        gaussian,
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


@pytest.mark.parametrize("name", list(HEALTHY))
def test_a_healthy_network_that_looks_sick_is_left_in_peace(name: str) -> None:
    model, loss, x, y = HEALTHY[name]()
    diagnosis = examined(model, loss, x(), y())
    assert not structural(diagnosis), [(f.diagnosis, f.summary, f.evidence) for f in diagnosis.findings]


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
