"""A transformer: attention and a feed-forward layer with the activation, each beside a path around it.

The feed-forward layer is the plain one, W2 f(W1 x + b1) + b2 (Vaswani et al., 2017, arXiv:1706.03762), or the gated
one, W2 (f(V x) * W x), its inner width cut by a third so that it has as many parameters (Shazeer, GLU Variants Improve
Transformer, 2020, arXiv:2002.05202).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from triode.bakeoff.models.parts import TEXT, Model, Steps
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting

EXPANSION = 4
"""Inner width of the plain feed-forward layer over the width of the block."""


def gated_width(width: int) -> int:
    """Inner width of the gated feed-forward layer with the plain one's number of parameters, as near as rounding gets.

    With inner widths p = 4 w and g, weights and biases: 2 w p + p + w = 3 w g + 2 g + w.

    >>> gated_width(64)
    170
    """
    inner = EXPANSION * width
    return max(1, round((2 * width * inner + inner) / (3 * width + 2)))


class FeedForward(nn.Module):
    """W2 f(W1 x + b1) + b2, or gated: W2 (f(V x + c) * (W x + b)) + b2."""

    def __init__(self, width: int, gated: bool, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        inner = gated_width(width) if gated else EXPANSION * width
        self.inner = nn.Linear(width, inner)
        self.activation = activation()
        self.beside = nn.Linear(width, inner) if gated else None
        self.outer = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """The same width as `x`."""
        hidden = self.activation(self.inner(x))
        if self.beside is not None:
            hidden = hidden * self.beside(x)
        result: Tensor = self.outer(hidden)
        return result


class Attention(nn.Module):
    """Self-attention in up to four heads; causal: a step sees itself and those before it."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.heads = next(heads for heads in (4, 2, 1) if width % heads == 0)
        self.causal = causal
        self.wanted = nn.Linear(width, 3 * width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, steps, width) from the same."""
        n, steps, width = x.shape
        split = self.wanted(x).reshape(n, steps, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        result: Tensor = self.outer(mixed.transpose(1, 2).reshape(n, steps, width))
        return result


class Block(nn.Module):
    """Attention, then feed-forward; layer normalisation on the way into each, or after each sum."""

    def __init__(
        self, setting: Setting, width: int, causal: bool, activation: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.before = setting.normalise == "before"
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, causal)
        self.feed_forward = FeedForward(width, setting.feed_forward == "gated", activation)
        self.dropout = nn.Dropout(setting.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(n, steps, width) from the same."""
        if self.before:
            x = x + self.dropout(self.attention(self.norm1(x)))
            added: Tensor = x + self.dropout(self.feed_forward(self.norm2(x)))
            return added
        x = self.norm1(x + self.dropout(self.attention(x)))
        result: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return result


class Transformer(Model):
    """Steps with learned positions, a block for each width, layer normalisation, and a linear layer.

    A transformer always has layer normalisation: `normalisation` "none" and "layer" are the same here. Text is read
    causally and answered at each step; images and vectors are read in both directions and answered from the mean over
    the steps.
    """

    def __init__(self, setting: Setting, dataset: Dataset, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        if setting.normalisation == "batch":
            raise TriodeError(
                "normalisation = 'batch' is not for a transformer, whose steps are normalised one by one; choose layer."
            )
        self.causal = dataset.task == TEXT
        width = setting.hidden[0]
        self.steps = Steps(dataset, width, patches=True)
        self.position = nn.Embedding(setting.context if self.causal else self.steps.length, width)
        self.blocks = nn.ModuleList()
        for wide in setting.hidden:
            if wide != width:
                self.blocks.append(nn.Linear(width, wide))
            self.blocks.append(Block(setting, wide, self.causal, activation))
            width = wide
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dataset.outputs)

    def feeding(self) -> list[nn.Module]:
        """The inner layers of the feed-forward layers, the gate's included."""
        return [module.inner for module in self.modules() if isinstance(module, FeedForward)]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs), or (n, steps, outputs) for text."""
        x = self.steps(x)
        x = x + self.position(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        logits: Tensor = self.head(x if self.causal else x.mean(dim=1))
        return logits


MODELS = {"transformer": Transformer}
