# ruff: noqa
"""A generative adversarial network on a ring of Gaussians: two networks, two optimisers."""

import argparse
import math

import torch
from torch import nn, optim

p = argparse.ArgumentParser()
p.add_argument("--steps", type=int, default=300)
p.add_argument("--batch", type=int, default=64)
opt = p.parse_args()

torch.manual_seed(7)
latent = 8


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(latent, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 2)
        )

    def forward(self, z):
        return self.model(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )

    def forward(self, x):
        return self.model(x)


def real_samples(n):
    angle = torch.randint(0, 8, (n,)) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(n, 2)


generator, discriminator = Generator(), Discriminator()
adversarial_loss = nn.BCEWithLogitsLoss()
optimizer_G = optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizer_D = optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
valid, fake = torch.ones(opt.batch, 1), torch.zeros(opt.batch, 1)

for i in range(opt.steps):
    # -- discriminator
    optimizer_D.zero_grad()
    gen = generator(torch.randn(opt.batch, latent))
    d_loss = adversarial_loss(discriminator(real_samples(opt.batch)), valid)
    d_loss = (d_loss + adversarial_loss(discriminator(gen.detach()), fake)) / 2
    d_loss.backward()
    optimizer_D.step()

    # -- generator
    optimizer_G.zero_grad()
    g_loss = adversarial_loss(discriminator(gen), valid)
    g_loss.backward()
    optimizer_G.step()

    if i % 25 == 0:
        print("[%d/%d] D %.9g  G %.9g" % (i, opt.steps, d_loss.item(), g_loss.item()), flush=True)
