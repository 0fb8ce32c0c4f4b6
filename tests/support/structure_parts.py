"""Losses and forward passes of healthy networks that look sick."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from support.structure import classes, small

F = nn.functional


# ---------------------------------------------------------------- losses as people write them


def focal(z: Any, y: Any) -> Any:
    p = torch.sigmoid(z).clamp(1e-6, 1 - 1e-6)
    there = -y * (1 - p) ** 2 * torch.log(p)
    return (there - (1 - y) * p**2 * torch.log(1 - p)).mean()


def focal_from_ce(z: Any, y: Any) -> Any:
    ce = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


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


class OwnLoss(nn.Module):
    """A model that computes its loss itself, and returns probabilities to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Any) -> Any:
        z = self.net(x)
        return F.cross_entropy(z, classes()), F.softmax(z, 1)


def attention_over_one(m: Any, x: Any) -> Any:
    q, k, v = m.qkv(torch.tanh(m.embed(x.unsqueeze(1)))).chunk(3, -1)
    return m.head((torch.softmax(q @ k.transpose(-2, -1), -1) @ v).mean(1))


def encoder(m: Any, x: Any) -> Any:
    return m.head(m.block(m.embed(x.unsqueeze(-1))).mean(1))


def gated_linear(m: Any, x: Any) -> Any:
    return m.out(F.silu(m.a(x)) * m.b(x))


def cosine(m: Any, x: Any) -> Any:
    return 16 * F.linear(F.normalize(m.embed(torch.relu(m.a(x)))), F.normalize(m.centres))


def mixture(m: Any, x: Any) -> Any:
    h = torch.tanh(m.a(x))
    return F.log_softmax(m.share(h), 1), m.mean(h), m.spread(h).exp()


def mixture_loss(out: Any, y: Any) -> Any:
    share, mean, spread = out
    return -torch.logsumexp(share + torch.distributions.Normal(mean, spread).log_prob(y), 1).mean()


def info_nce(e: Any, y: Any) -> Any:
    return F.cross_entropy(e @ e.roll(1, 0).T / 0.1, torch.arange(32))


def quantiles(z: Any, y: Any) -> Any:
    return torch.max(0.1 * (y - z), -0.9 * (y - z)).mean()


def two_columns(p: Any, y: Any) -> Any:
    return F.nll_loss(torch.log(torch.stack([1 - p[:, 0], p[:, 0]], 1)), y)
