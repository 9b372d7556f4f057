"""Networks and pictures for the benchmarks: made from a seed, so that neither a network nor data is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from evigraph.indexer.weights.loading import load_model


def pictures(count: int, side: int, seed: int = 0) -> Tensor:
    """Smooth random fields with a spectrum like that of photographs, normalised: (count, 3, side, side) float32.

    Noise of several scales is added up, each octave with half the amplitude of the coarser one.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, side, side)
    cells, amplitude = 2, 1.0
    while cells <= side:
        noise = torch.randn(count, 3, cells, cells, generator=generator)
        total += amplitude * F.interpolate(noise, size=(side, side), mode="bilinear", align_corners=False)
        cells, amplitude = cells * 2, amplitude / 2
    return (total - total.mean((2, 3), keepdim=True)) / total.std((2, 3), keepdim=True)


def draw_jpegs(folder: Path, count: int, side: int = 256, seed: int = 0) -> list[Path]:
    """Such fields as JPEG files, with a `list.csv` that names them; returns their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        field = pictures(1, side, seed + index)[0].permute(1, 2, 0).numpy()
        pixels = np.clip(127.5 + 60 * field, 0, 255).astype(np.uint8)
        paths.append(folder / f"{index:05d}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    (folder / "list.csv").write_text("uri,label\n" + "".join(f"{path.name},\n" for path in paths))
    return paths


def network(name: str, weights: Path | None, side: int, batch: int = 8) -> tuple[nn.Module, str]:
    """A torchvision network in evaluation mode, and where its weights are from.

    Random weights come from a seed; then every normalisation is given the statistics of a batch, since values would
    grow or vanish through the layers otherwise, and the tree of decisions with them.

    Args:
        name: a torchvision name.
        weights: a folder with a state dict called after the network, in it or one folder down; None for random ones.
        side: Pixels of the input that the normalisations see.
        batch: How many pictures they see.
    """
    file = None if weights is None else _weights_of(name, weights)
    model = load_model(name, "random" if file is None else str(file)).model
    if file is not None:
        return model, file.name
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if norms:
        with torch.inference_mode(False), torch.no_grad(), _statistics_of_one_batch(norms):
            model(pictures(batch, side, seed=1))
    return model, "random"


@contextmanager
def _statistics_of_one_batch(norms: list[nn.BatchNorm2d]) -> Iterator[None]:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _weights_of(name: str, folder: Path) -> Path | None:
    files = [p for p in sorted(folder.rglob(f"{name}*")) if p.suffix in {".safetensors", ".pth", ".pt"}]
    return files[0] if files else None
