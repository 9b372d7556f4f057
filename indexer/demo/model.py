"""A narrow VGG-16: its 13 convolutions in five stages, so that conv1_2 ... conv5_3 are there, with few channels."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from torchvision.models import VGG
from torchvision.models.vgg import make_layers

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.demo.canvas import SIDE
from evigraph.indexer.demo.scenes import CLASSES

STAGES = ((8, 2), (16, 2), (32, 3), (48, 3), (48, 3))
"""(channels, convolutions) of each stage; VGG-16 has 64 to 512 channels."""
OPTIONS = PreprocessingOptions(resize=0, crop=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Scenes go in as they are, scaled to -1..1."""
PREPROCESSING = Preprocessing().with_options(OPTIONS)
WEIGHTS = Path(__file__).with_name("narrow_vgg16.safetensors")
"""Trained by `python -m evigraph.indexer.demo.train`."""


def narrow_vgg16(num_classes: int = len(CLASSES)) -> VGG:
    """The network, with random weights.

    Its `features` are laid out as torchvision's vgg16, five max pools included; a global average and one linear
    layer take the place of VGG-16's three.

    Args:
        num_classes: outputs.

    Returns:
        A network from (images, 3, height, width) float32, 32 pixels or more each way, to (images, num_classes).
    """
    plan: list[str | int] = []
    for channels, convolutions in STAGES:
        plan += [channels] * convolutions + ["M"]
    network = VGG(make_layers(plan), num_classes=1, init_weights=False)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(nn.Linear(STAGES[-1][0], num_classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return network
