"""Small networks with other inputs and other ends than the tiny one: of any channels, ending in a probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2


def body(outputs: int = 4, channels: int = 3) -> nn.Sequential:
    """Two stages, maps `1` and `4`, and logits (batch, outputs)."""
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, outputs),
    )


def last_of(network: nn.Module) -> nn.Linear:
    """The linear layer that gives the logits."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


class Ending(nn.Module):
    """The body with a function behind it."""

    def __init__(self, end: Callable[[Tensor], Tensor], outputs: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.body, self.end = body(outputs, channels), end

    def forward(self, pixels: Tensor) -> Tensor:
        return self.end(self.body(pixels))


class Untraceable(Ending):
    """The same behind a question that only an image answers."""

    def forward(self, pixels: Tensor) -> Tensor:
        found = super().forward(pixels)
        return found * 2 if pixels.mean() > 1e6 else found


class FullyConvolutional(nn.Module):
    """Logits of shape (batch, outputs, 1, 1), or what a function makes of them."""

    def __init__(self, end: Callable[[Tensor], Tensor], outputs: int = 4) -> None:
        super().__init__()
        self.body, self.last, self.end = body()[:-2], nn.Conv2d(8, outputs, 1), end

    def forward(self, pixels: Tensor) -> Tensor:
        return self.end(self.last(self.body(pixels)))


def grey() -> nn.Module:
    """A network of one channel."""
    return body(channels=1)


def rgba() -> nn.Module:
    """A network of four channels."""
    return body(channels=4)


def bands() -> nn.Module:
    """A network of six channels."""
    return body(channels=6)


def softmax() -> nn.Module:
    """A network that ends in softmax."""
    return nn.Sequential(*body(), nn.Softmax(1))


def one_sigmoid() -> nn.Module:
    """A network of one output, a sigmoid, of shape (batch,)."""
    return Ending(lambda z: torch.sigmoid(z).squeeze(1), 1)


def many_sigmoids() -> nn.Module:
    """A network whose classes each have a probability of their own."""
    return Ending(torch.sigmoid)


def hidden_sigmoid() -> nn.Module:
    """Probabilities by arithmetic that no function names."""
    return Ending(lambda z: 1 / (1 + torch.exp(-z)))


def log_softmax() -> nn.Module:
    """A network that ends in log_softmax."""
    return Ending(lambda z: F.log_softmax(z, dim=1))


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
WIDE = v2.Compose(
    [
        v2.Resize((24, 40), antialias=True),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
)
"""A transform that was made; 24 pixels high and 40 wide."""
RANDOM = v2.Compose([v2.RandomHorizontalFlip(), v2.Resize((24, 40)), v2.ToImage(), v2.ToDtype(torch.float32)])
SEQUENCE = nn.Sequential(
    v2.PILToTensor(), v2.RandomHorizontalFlip(0.01), v2.Resize((24, 40)), v2.ToDtype(torch.float32)
)
UNSIZED = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def wide(image: Image.Image) -> Tensor:
    """The same as a function."""
    made: Tensor = WIDE(image)
    return made


def noisy(image: Image.Image) -> Tensor:
    """Another input each time."""
    return wide(image) + torch.rand(())


def not_finite(image: Image.Image) -> Tensor:
    """As where it divides by 0."""
    return wide(image) * float("nan")


def exiting(image: Image.Image) -> Tensor:
    """As of a module that is a program."""
    raise SystemExit(3 + 0 * image.width)


def whole_numbers(image: Image.Image) -> Any:
    """Bytes."""
    return torch.from_numpy(np.array(image.resize((40, 24)))).permute(2, 0, 1)


def array(image: Image.Image) -> Any:
    """No tensor."""
    return np.array(image)


def failing(image: Image.Image) -> Tensor:
    """A mistake."""
    raise KeyError(f"no such size, {image.width}")
