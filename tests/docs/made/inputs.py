"""Digits and a LeNet that tells them apart, for docs/inputs.md, which shows `my/nets.py`.

    python -m tests.docs.made.inputs

1. mnist/0 to mnist/9: 6 grey pictures of 28 x 28 pixels each, a digit at a place of its own and noise.
2. lenet.pth: the state dict of the page's network, trained on those same pictures.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

SIDE, EACH, STEPS = 28, 6, 60
MEAN, STD = 0.1307, 0.3081


def main(to: Path) -> None:
    """Writes both."""
    random = np.random.default_rng(0)
    drawn = [(digit, _digit(digit, random)) for digit in range(10) for _ in range(EACH)]
    for number, (digit, image) in enumerate(drawn):
        (to / "mnist" / str(digit)).mkdir(parents=True, exist_ok=True)
        image.save(to / "mnist" / str(digit) / f"{number:02}.png")
    pixels = torch.tensor(np.stack([np.asarray(image) for _, image in drawn]), dtype=torch.float32)[:, None] / 255
    labels = torch.tensor([digit for digit, _ in drawn])
    torch.manual_seed(0)
    network = importlib.import_module("my.nets").lenet()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(network((pixels - MEAN) / STD), labels))
        optimizer.step()
    torch.save(network.state_dict(), to / "lenet.pth")


def _digit(digit: int, random: np.random.Generator) -> Image.Image:
    image = Image.fromarray(random.integers(0, 40, (SIDE, SIDE), dtype=np.uint8))
    left, top = (int(place) for place in random.integers(5, 10, 2))
    ImageDraw.Draw(image).text((left, top), str(digit), fill=255, font=ImageFont.load_default(18))
    return image


if __name__ == "__main__":
    main(Path())
