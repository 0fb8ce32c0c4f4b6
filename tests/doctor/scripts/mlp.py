# ruff: noqa
"""Classify handwritten digits with a multilayer perceptron."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, train=True):
        digits = load_digits()
        order = np.random.RandomState(0).permutation(len(digits.target))
        order = order[:1500] if train else order[1500:]
        self.images = digits.data[order].astype("float32") / 16.0
        self.labels = digits.target[order]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.from_numpy(self.images[index]), int(self.labels[index])


class MLP(nn.Module):
    def __init__(self, hidden=128, dropout=0.1):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 10)
        self.dropout = dropout

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.dropout(x, self.dropout, training=self.training)
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def train(model, loader, optimizer, args):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
        args.steps -= 1
        if args.steps == 0:
            break
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    correct = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=-1, help="stop after so many")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--start-method", default=None, help="fork or spawn")
    args = parser.parse_args()

    torch.manual_seed(0)
    train_loader = DataLoader(
        Digits(),
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        multiprocessing_context=args.start_method if args.workers else None,
    )
    test_loader = DataLoader(Digits(train=False), batch_size=256)

    model = MLP(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        loss = train(model, train_loader, optimizer, args)
        accuracy = evaluate(model, test_loader)
        print(f"epoch {epoch + 1}: loss {loss:.9g}, test accuracy {accuracy:.4f}")
        if args.steps == 0:
            break


if __name__ == "__main__":
    main()
