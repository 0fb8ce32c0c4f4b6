# ruff: noqa
"""A small convolutional network in bfloat16, compiled, with gradient accumulation."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--steps", type=int, default=10**9)
parser.add_argument("--accumulate", type=int, default=2)
parser.add_argument("--compile", default="eager", help="backend of torch.compile; none for not at all")
args = parser.parse_args()

torch.manual_seed(3)
rng = np.random.default_rng(3)
X, y = load_digits(return_X_y=True)
X = torch.tensor(X / 16.0 - 0.3, dtype=torch.float32).view(-1, 1, 8, 8)
y = torch.tensor(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm = nn.GroupNorm(4, 32)
        self.head = nn.Linear(32 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.silu(self.conv1(x)), 2)
        x = F.max_pool2d(F.silu(self.norm(self.conv2(x))), 2)
        return self.head(x.flatten(1))


model = Net()
for parameter in model.conv1.parameters():
    parameter.requires_grad_(False)  # frozen
net = model if args.compile == "none" else torch.compile(model, backend=args.compile)
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=2e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=200)

steps = 0
for epoch in range(args.epochs):
    model.train()
    order = rng.permutation(1500)
    for k, start in enumerate(range(0, 1500 - 31, 32)):
        batch = torch.as_tensor(order[start : start + 32])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(net(X[batch]), y[batch]) / args.accumulate
        loss.backward()
        if (k + 1) % args.accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            steps += 1
            if steps % 10 == 0:
                print(f"{steps} loss {loss.item():.9g}")
            if steps == args.steps:
                break
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        hits = (net(X[1500:]).argmax(1) == y[1500:]).float().mean()
    print(f"epoch {epoch}: accuracy {hits:.4f}")
    if steps == args.steps:
        break
