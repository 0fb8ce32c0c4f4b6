"""Time an epoch of Fashion-MNIST: the chapter's script, a plain loop, Triode's, and the matrix products alone.

    python benchmarks/bakeoff.py [--activations relu,gelu,sigmoid] [--turns 5] [--threads 1] [--stack 1]

The ways to train the same five-layer network take turns in one process with the same threads, so that a change of the
machine's mood meets all of them; medians are printed, with the range, and the ratio to the floor:

- chapter: a `Dataset` that turns one image at a time into a PIL image, a tensor and its normalised form, through a
  `DataLoader` with batches of 128, PyTorch's own activation module, and the chapter's sum of gradient norms.
  torchvision is not needed: the conversions are written out here as it makes them;
- plain: all images in memory as float32, batches by index, PyTorch's own module, automatic differentiation, Adam;
- ours: what `triode bakeoff` runs, every diagnosis of the report included;
- unwatched: the same without any diagnosis: the difference is what they cost;
- validated: ours with the pass over 9,000 validation images that follows each epoch;
- floor: the matrix products of the network, forward and backward, and nothing else;
- floor+adam: and one sweep of Adam over the parameters, which no training can do without.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from triode.bakeoff.data import load
from triode.bakeoff.protocol import wanted
from triode.bakeoff.spec import Spec
from triode.bakeoff.training import stacked, stacked_buffers

WIDTHS = (784, 512, 256, 128, 64, 10)
BATCH = 128
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
    """Images converted one by one when they are asked for, as torchvision's dataset, ToTensor and Normalize do."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        """Keep the images (n, 28, 28) and classes (n,)."""
        self.images, self.labels = torch.from_numpy(np.array(images)), torch.from_numpy(np.array(labels))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index].numpy())
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        image = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        mean, deviation = torch.tensor([0.5]), torch.tensor([0.5])
        return image.clone().sub_(mean[:, None, None]).div_(deviation[:, None, None]), int(self.labels[index])


def network(activation: Callable[[], nn.Module]) -> nn.Module:
    """The chapter's network."""
    layers: list[nn.Module] = []
    for fan_in, out in pairwise(WIDTHS):
        layers += [nn.Linear(fan_in, out), activation()]
    return nn.Sequential(*layers[:-1])


def chapter(model: nn.Module, loader: DataLoader[Any]) -> Callable[[], None]:
    """One epoch as the chapter describes it: loss, accuracy and the sum of gradient norms at every step."""
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

    def epoch() -> None:
        total, right = 0.0, 0
        for images, labels in loader:
            logits = model(images.view(-1, 784))
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            sum(p.grad.norm().item() for p in model.parameters() if p.grad is not None)
            optimizer.step()
            total += loss.item()
            right += int((logits.argmax(1) == labels).sum().item())

    return epoch


def plain(model: nn.Module, inputs: Tensor, labels: Tensor) -> Callable[[], None]:
    """One epoch with everything in memory."""
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

    def epoch() -> None:
        total = 0.0
        for rows in torch.randperm(len(inputs)).split(BATCH):
            loss = criterion(model(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def floor(images: int, adam: bool) -> Callable[[], None]:
    """The products of one epoch: z = a W^T, dW = dz^T a, da = dz W; no product for the gradient of the input."""
    weights = [torch.randn(out, fan_in) / fan_in**0.5 for fan_in, out in pairwise(WIDTHS)]
    size = sum(w.numel() for w in weights)
    block = [torch.zeros(size) for _ in range(4)]
    step = torch.zeros(())
    gradients = [torch.empty_like(w) for w in weights]

    def products(batch: int) -> Callable[[], None]:
        a = [torch.randn(batch, width) for width in WIDTHS]
        d = [torch.randn(batch, width) for width in WIDTHS]

        def run() -> None:
            for layer, weight in enumerate(weights):
                torch.mm(a[layer], weight.t(), out=a[layer + 1])
            for layer in reversed(range(len(weights))):
                torch.mm(d[layer + 1].t(), a[layer], out=gradients[layer])
                if layer:
                    torch.mm(d[layer + 1], weights[layer], out=d[layer])

        return run

    whole, rest = products(BATCH), products(images % BATCH or BATCH)

    def epoch() -> None:
        steps = -(-images // BATCH)
        for number in range(steps):
            (whole if number < steps - 1 else rest)()
            if adam:
                torch._fused_adam_(
                    block[:1], block[1:2], block[2:3], block[3:], [], [step], lr=1e-3, beta1=0.9, beta2=0.999,
                    weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
                )  # fmt: skip

    return epoch


def unwatched(training: stacked.StackedTraining) -> Callable[[], float]:
    """Seconds of an epoch in which nothing is watched."""

    def epoch() -> float:
        kept = stacked_buffers.Alive.see, stacked_buffers.Tally.see
        stacked_buffers.Alive.see = stacked_buffers.Tally.see = lambda *given: None  # type: ignore[assignment, method-assign]
        try:
            return _seconds(training)
        finally:
            stacked_buffers.Alive.see, stacked_buffers.Tally.see = kept  # type: ignore[method-assign]

    return epoch


def _seconds(training: stacked.StackedTraining) -> float:
    """Seconds of one network's training steps in an epoch, what is watched in them included."""
    return next(record.seconds for record in training.epoch() if record is not None)


def measure(activation: str, options: argparse.Namespace) -> None:
    """Print the table of one activation."""
    data = load("fashion-mnist")
    spec = Spec(
        dataset="fashion-mnist",
        protocol="chapter",
        activations=(activation,),
        seeds=1,
        initialisation="pytorch",
    )
    trial = wanted(spec, data.fingerprint, {})[0]
    ours, bare = (stacked.StackedTraining([trial] * options.stack, data) for _ in range(2))
    n = len(ours.training)
    images, labels = data.train_inputs[:n], torch.from_numpy(np.array(data.train_targets[:n], np.int64))
    inputs = torch.from_numpy(np.array(images)).view(n, -1).float().div_(127.5).sub_(1.0)
    loader = DataLoader(OneAtATime(images[:, 0], data.train_targets[:n]), batch_size=BATCH, shuffle=True)
    own = TORCH_OWN[activation]
    validation: list[float] = []

    def clocked(way: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            begun = time.perf_counter()
            way()
            return time.perf_counter() - begun

        return run

    def whole() -> float:
        begun = time.perf_counter()
        record = next(r for r in ours.epoch() if r is not None)
        validation.append((time.perf_counter() - begun) / options.stack)
        return record.seconds

    ways: dict[str, Callable[[], float]] = {
        "chapter": clocked(chapter(network(own), loader)),
        "plain": clocked(plain(network(own), inputs, labels)),
        "ours": whole,
        "unwatched": unwatched(bare),
        "floor+adam": clocked(floor(n, adam=True)),
        "floor": clocked(floor(n, adam=False)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.turns):
        for name, way in ways.items():
            times[name].append(way())
    times["validated"] = validation
    least = statistics.median(times["floor"])
    print(
        f"\n{activation}: {n:,} images, {options.threads} thread(s), stack of {options.stack}; seconds a model-epoch"
    )
    for name, spent in times.items():
        middle = statistics.median(spent)
        print(
            f"{name:11} {middle:6.2f}  ({min(spent):.2f} to {max(spent):.2f})  {middle / least:5.2f} x floor"
        )
    middle = {name: statistics.median(spent) for name, spent in times.items()}
    print(
        f"ours is {middle['chapter'] / middle['ours']:.1f} x as fast as the chapter's script and "
        f"{middle['plain'] / middle['ours']:.2f} x as fast as the plain loop; diagnosis costs "
        f"{(middle['ours'] - middle['unwatched']) / middle['ours']:.0%} of the epoch"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--activations", default="relu,gelu,sigmoid")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stack", type=int, default=1, help="networks trained as one by ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for activation in options.activations.split(","):
        measure(activation, options)


if __name__ == "__main__":
    main()
