"""A small convolutional network: 3 x 3 convolutions, pooling between them, the mean over places, a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from triode.bakeoff.models.parts import Model, activated, image_norm, image_shape

if TYPE_CHECKING:
    from triode.bakeoff.data import Dataset
    from triode.bakeoff.setting import Setting


class Convolutional(Model):
    """For each width a stage: 3 x 3 convolution -> [normalisation] -> activation -> [dropout], halved by max pooling.

    Pooling stops when a side is shorter than 2 places. Dropout drops whole channels.
    """

    def __init__(self, setting: Setting, dataset: Dataset, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        channels, height, width = image_shape("cnn", dataset)
        self.stages = nn.ModuleList()
        for wide in setting.hidden:
            stage = [
                nn.Conv2d(channels, wide, 3, padding=1),
                *activated(
                    setting,
                    activation(),
                    image_norm(setting.normalisation, wide),
                    nn.Dropout2d(setting.dropout) if setting.dropout else None,
                ),
            ]
            if min(height, width) >= 2:
                stage.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            self.stages.append(nn.Sequential(*stage))
            channels = wide
        self.head = nn.Linear(channels, dataset.outputs)

    def feeding(self) -> list[nn.Module]:
        """Every convolution."""
        return [module for module in self.stages.modules() if isinstance(module, nn.Conv2d)]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) of images (n, channels, height, width)."""
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


MODELS = {"cnn": Convolutional}
