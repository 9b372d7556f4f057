"""`evigraph index` on JPEG files against a plain DataLoader and inference on the same files with as many workers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.index.inputs import draw_jpegs
from benchmarks.index.kernels import LAYOUTS
from benchmarks.index.timing import Clock
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.run.cores import cores_for
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings

_GUIDED = 4
"""Peaks of each channel that guided pictures are made of."""


@dataclass(frozen=True)
class EndToEnd:
    """Images a second, the best of the repeats; none counts loading the network.

    `guided_images_per_s` is that of `evigraph index --guided 4`, which makes the pictures after the rows.

    The files have no labels, so that one class an image is explained: the predicted one.
    `evigraph index` is timed from opening the run folder to the finished run, as its report says.
    """

    plain_images_per_s: float
    index_images_per_s: float
    guided_images_per_s: float
    images: int
    workers: int


def measure(
    name: str,
    model: nn.Module,
    images: int,
    batch: int,
    top_n: int,
    layout: str,
    device: Literal["cpu", "cuda"],
    repeats: int,
) -> EndToEnd:
    """All on the same drawn files, turn by turn.

    Args:
        name: Torchvision's of the network.
        model: The network, with the weights to use.
        images: How many files to draw.
        batch: Images a batch, of both.
        top_n: Channels kept of each decomposition.
        layout: Memory layout of plain inference, the faster one.
        device: Of both.
        repeats: How often each is run.
    """
    workers = cores_for(Execution()).workers
    clock = Clock(torch.device(device))
    plain_s: list[float] = []
    index_s: list[float] = []
    guided_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="evigraph-benchmark-") as temporary:
        folder = Path(temporary)
        paths = draw_jpegs(folder / "images", images)
        weights = folder / "weights.safetensors"
        safetensors.torch.save_file(model.state_dict(), weights)
        laid_out = model.to(device).to(memory_format=LAYOUTS[layout])
        for repeat in range(repeats):
            plain_s.append(clock.time(lambda: _infer(laid_out, paths, batch, workers, layout, device)))
            settings = IndexSettings(
                model=name,
                weights=str(weights),
                data=f"list:{folder / 'images' / 'list.csv'}",
                run=folder / f"run{repeat}",
                method=Method(top_n=top_n),
                # As plain inference has it, whatever the architecture's published weights take.
                preprocessing=PreprocessingOptions(resize=256, crop=224, interpolation="bilinear"),
                execution=Execution(device="cuda" if device == "cuda" else "cpu", workers=workers, batch_size=batch),
            )
            guided = replace(settings, run=folder / f"guided{repeat}", pictures=PictureOptions(guided=_GUIDED))
            for asked, seconds in ((settings, index_s), (guided, guided_s)):
                report = index(asked)
                if report.new_image_count != images or report.skipped:
                    raise RuntimeError(f"{report.new_image_count} of {images} images were indexed; {report.skipped}")
                seconds.append(report.seconds)
    plain, indexed, with_guided = (images / min(seconds) for seconds in (plain_s, index_s, guided_s))
    return EndToEnd(plain, indexed, with_guided, images, workers)


def _infer(model: nn.Module, paths: list[Path], batch: int, workers: int, layout: str, device: str) -> None:
    """The loop that everybody writes."""
    cuda = device == "cuda"
    loader = DataLoader(_Files(paths), batch_size=batch, num_workers=workers, pin_memory=cuda)
    with torch.inference_mode():
        for pixels in loader:
            moved = pixels.to(device, non_blocking=True).contiguous(memory_format=LAYOUTS[layout])
            model(moved).argmax(1).cpu()


class _Files(Dataset[Tensor]):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.preprocess = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        with Image.open(self.paths[row]) as image:
            pixels: Tensor = self.preprocess(image.convert("RGB"))
        return pixels
