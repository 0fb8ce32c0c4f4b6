"""Time an epoch of Fashion-MNIST: the chapter's way of feeding a network beside Triode's.

    python benchmarks/epoch_time.py [--activation relu] [--repeats 5] [--threads 1] [--images 60000]

Three ways to train the same network, with the same batches, optimiser and number of threads:

- chapter: a `Dataset` that gives one image at a time, converted to a tensor and normalised, through a `DataLoader` with
  batches of 128, PyTorch's own activation module, and the chapter's sum of gradient norms;
- bare: `triode.bakeoff`'s epoch without any diagnosis;
- whole: the same with gradient norms, and after it the full pass that finds dead units, saturation, means and spreads,
  and the validation pass.

The ways take turns, so that a change of the machine's mood meets all of them; medians are printed. Without torchvision
(which Triode does not need) the conversion is written out here: what `ToTensor` and `Normalize` do to an array, without
the detour through a PIL image that torchvision makes, so the chapter's script itself takes longer than shown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from triode.bakeoff import Spec
from triode.bakeoff.data import Dataset, load
from triode.bakeoff.diagnose import evaluate, survey
from triode.bakeoff.plan import plan
from triode.bakeoff.train import build, examples, make_optimizer, train_epoch

TORCH_OWN: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
}


class OneAtATime(TorchDataset[tuple[Tensor, int]]):
    """Images converted one by one when they are asked for, as torchvision's datasets do."""

    def __init__(self, data: Dataset) -> None:
        """Keep the training part."""
        self.images = torch.tensor(data.train_images).view(-1, 28, 28)
        self.labels = torch.tensor(data.train_labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index].unsqueeze(0).to(torch.float32).div(255)
        mean, deviation = torch.tensor([0.5]), torch.tensor([0.5])
        return image.sub_(mean[:, None, None]).div_(deviation[:, None, None]), int(self.labels[index])


def chapter_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[tuple[Tensor, int]]
) -> None:
    """One epoch as the chapter describes it: loss, accuracy and the sum of gradient norms at every step."""
    criterion = nn.CrossEntropyLoss()
    total, right = 0.0, 0
    for images, labels in loader:
        logits = network(images.view(-1, 784))
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        sum(parameter.grad.norm().item() for parameter in network.parameters() if parameter.grad is not None)
        optimizer.step()
        total += loss.item()
        right += int((logits.argmax(1) == labels).sum().item())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--activation", default="relu", choices=sorted(TORCH_OWN))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=60_000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    full = load("fashion-mnist")
    data = replace(
        full,
        train_images=full.train_images[: options.images],
        train_labels=full.train_labels[: options.images],
    )
    trial = plan(Spec(dataset="fashion-mnist", activations=(options.activation,)), data.fingerprint)[0]
    training = examples(data.train_images, data.train_labels, data)
    validation = examples(data.test_images[:9000], data.test_labels[:9000], data)
    order = torch.Generator().manual_seed(0)

    theirs = build(trial, data)
    theirs.activation = nn.ModuleList(TORCH_OWN[options.activation]() for _ in theirs.activation)
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    loader = DataLoader(OneAtATime(data), batch_size=128, shuffle=True)
    ours, watched = build(trial, data), build(trial, data)
    our_optimizer, watched_optimizer = make_optimizer(trial, ours), make_optimizer(trial, watched)

    def whole() -> None:
        train_epoch(watched, watched_optimizer, training, 128, order)
        survey(watched, training)
        evaluate(watched, validation)

    ways: dict[str, Callable[[], object]] = {
        "chapter": lambda: chapter_epoch(theirs, their_optimizer, loader),
        "bare": lambda: train_epoch(ours, our_optimizer, training, 128, order, watch=False),
        "whole": whole,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begun)
    print(f"{options.activation}, {len(training):,} images, {options.threads} thread(s), seconds an epoch")
    for name, measured in times.items():
        middle = statistics.median(measured)
        print(f"{name:8} {middle:6.2f}  ({min(measured):.2f} to {max(measured):.2f})")
    bare, whole_time = statistics.median(times["bare"]), statistics.median(times["whole"])
    print(f"diagnosis: {(whole_time - bare) / whole_time:.0%} of the whole")


if __name__ == "__main__":
    main()
