"""A tiny network and images drawn by the tests: what the command line is tried on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from evigraph.indexer.data.settings import PreprocessingOptions
from tests.support import PATIENCE_S

MODEL = "tests.support.tiny:network"
SIDE = 32
CLASSES = ("ant", "bee", "cat", "dog")
ROOT = Path(__file__).parents[2]
PREPROCESSING = PreprocessingOptions(resize=0, crop=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""For images of the network's own size."""
INPUT = ["--resize", "0", "--crop", str(SIDE), "--mean", ".5,.5,.5", "--std", ".5,.5,.5"]
"""The same as options of `index`."""


def network(num_classes: int = len(CLASSES)) -> nn.Sequential:
    """Three stages of one convolution each: maps of 32, 16 and 8 pixels a side, `0`, `3` and `6`."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 10, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, num_classes),
    )


def broken() -> nn.Module:
    """A factory with a mistake in it."""
    raise KeyError("no such width")


class Nan(nn.Module):
    """The tiny network, whose output is not finite for images that are bright in the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        # exp(100) is more than float32 holds; for other images it is exp(0).
        excess = (pixels.mean((1, 2, 3), keepdim=True) - 0.5).clamp(min=0)
        logits: Tensor = self.network(pixels * torch.exp(200 * excess))
        return logits


class Untraceable(nn.Module):
    """The tiny network behind a question that only an image answers, and that decides what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        if pixels.isnan().any():
            pixels = pixels.nan_to_num()
        logits: Tensor = self.network(pixels)
        return logits


def draw_images(root: Path, count: int = 24, seed: int = 0) -> Path:
    """Class folders of seeded noise images, as `imagefolder:` reads them."""
    random = np.random.default_rng(seed)
    for index in range(count):
        folder = root / CLASSES[index % len(CLASSES)]
        folder.mkdir(parents=True, exist_ok=True)
        _noise(random).save(folder / f"{index:04d}.png")
    return root


def draw_scenes(root: Path, count: int = 12, seed: int = 0) -> Path:
    """Images with semantic maps and labels, as `scenes:` reads them: sky over sea, a void border."""
    random = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.csv").write_text("mask_value,name\n0,void\n1,sky\n2,sea\n")
    lines = ["uri,label"]
    for index in range(count):
        horizon = int(random.integers(8, 24))
        labels = np.full((SIDE, SIDE), 1, dtype=np.uint8)
        labels[horizon:] = 2
        labels[:, :2] = 0
        _noise(random).save(root / "images" / f"{index:04d}.png")
        Image.fromarray(labels).save(root / "masks" / f"{index:04d}.png")
        lines.append(f"images/{index:04d}.png,{CLASSES[index % len(CLASSES)]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def class_file(folder: Path) -> Path:
    """A file that names the classes."""
    path = folder / "classes.txt"
    path.write_text("\n".join(CLASSES) + "\n")
    return path


def _noise(random: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def evigraph(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd, env=environment(), check=False
    )


def command(*arguments: str | Path) -> list[str]:
    """The words of a command line."""
    return [sys.executable, "-m", "evigraph", *map(str, arguments)]


def environment() -> dict[str, str]:
    """The environment of a process that imports this repository's packages from any folder."""
    return os.environ | {"PYTHONPATH": str(ROOT)}
