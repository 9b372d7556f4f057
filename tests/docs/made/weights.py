"""Checkpoints as others write them, and photographs, for docs/weights.md.

    python -m tests.docs.made.weights ../shared/data

1. photos: the first 8 classes of the sample of ImageNet.
2. model_89.pth, as torchvision's training script saves: the network, its average, and the script's arguments.
3. mm.pth, as OpenMMLab's frameworks save: a backbone, and a head of other names.
4. scratch.pth: an inception_v3 of 8 classes that nobody trained.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file


def main(data: Path, to: Path) -> None:
    """Writes all four."""
    for folder in sorted(path for path in (data / "imagenet_sample1000").iterdir() if path.is_dir())[:8]:
        (to / "photos" / folder.name).mkdir(parents=True)
        for image in folder.iterdir():
            shutil.copyfile(image, to / "photos" / folder.name / image.name)
    stored = load_file(data / "mobilenet_v2" / "mobilenet_v2.safetensors")
    trained = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    average = {"n_averaged": torch.tensor(89), **{f"module.{name}": tensor for name, tensor in trained.items()}}
    arguments = argparse.Namespace(model="mobilenet_v2", epochs=90)
    torch.save({"model": trained, "epoch": 89, "args": arguments, "model_ema": average}, to / "model_89.pth")
    renamed = {f"backbone.{_in_head(name)}": tensor for name, tensor in trained.items()}
    torch.save({"meta": {"epoch": 89}, "state_dict": renamed}, to / "mm.pth")
    torch.manual_seed(0)
    untrained = torchvision.models.inception_v3(weights=None, init_weights=False, num_classes=8)
    torch.save(untrained.state_dict(), to / "scratch.pth")


def _in_head(name: str) -> str:
    return f"head.{name}" if name.startswith("classifier") else name


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path())
