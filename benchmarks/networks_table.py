"""Writes docs/networks.md: how every convolutional classifier of torchvision is indexed.

    python -m benchmarks.networks_table > docs/networks.md

Each is traced with random weights at the size of its own weights' preprocessing; nothing is timed.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torchvision import models

from evigraph.indexer.engine.network import prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.engine.windows import Frame
from evigraph.indexer.model.graph import frozen

FAMILIES = {
    "AlexNet": ["alexnet"],
    "VGG": ["vgg16", "vgg16_bn"],
    "SqueezeNet": ["squeezenet1_0", "squeezenet1_1"],
    "ResNet": ["resnet18", "resnet50"],
    "Wide-ResNet": ["wide_resnet50_2"],
    "ResNeXt": ["resnext50_32x4d"],
    "DenseNet": ["densenet121"],
    "GoogLeNet": ["googlenet"],
    "Inception": ["inception_v3"],
    "MobileNet": ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"],
    "ShuffleNet": ["shufflenet_v2_x1_0"],
    "MnasNet": ["mnasnet1_0"],
    "EfficientNet": ["efficientnet_b0", "efficientnet_v2_s"],
    "RegNet": ["regnet_x_400mf", "regnet_y_400mf"],
    "ConvNeXt": ["convnext_tiny"],
}

HEADING = """# Networks and how their segments are decomposed

A segment is the part of a network between two neighbouring layers. Where every operation in it has a rule, its
decisions are pulled back together on *windows*, the part of the lower map that one decision can depend on. Where one
has none (it is not local: squeeze-and-excitation looks at the whole map; or it is not known), that segment alone
*falls back* to batched autograd over whole maps. Both are exact; a fallback costs more. `evigraph index` names the
fallbacks of a run.

The layers are the default ones; sizes are of the lower layer's map and of the window of one decision in it ("map" where
the window is the whole map). Written by `python -m benchmarks.networks_table > docs/networks.md`; do not edit.

The same is tested against float64 autograd in `tests/indexer/engine/test_families.py`.

What else a network may do (write in place, have a backward pass of its own, lie in a wrapping, answer with an object),
and what becomes of it, is in [explained.md](explained.md).
"""


def main() -> None:
    out = [HEADING]
    totals = []
    for family, names in FAMILIES.items():
        for name in names:
            print(name, file=sys.stderr)
            rows, windowed = _segments(name)
            totals.append(f"| {family} | [{name}](#{name}) | {windowed} | {len(rows) - windowed} |")
            out += [f"\n## {name}\n", "| segment | map | window | how |", "|---|---|---|---|", *rows]
    summary = ["| family | network | segments on windows | that fall back |", "|---|---|---|---|", *totals]
    print("\n".join([out[0], *summary, *out[1:]]))


def _segments(name: str) -> tuple[list[str], int]:
    """A row of the table for each segment, the highest first, and how many run on windows."""
    size = models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    options: dict[str, Any] = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    torch.manual_seed(0)
    model = models.get_model(name, weights=None, **options).eval()
    with frozen(model):
        network = prepare(model, size)
    recorder = network.recorder
    if not isinstance(recorder, WindowedRecorder):
        raise TypeError(f"{name} was not traced: {network.fallbacks[0]}")
    uppers = [*(layer.name for layer in network.layers[1:]), "logits"]
    rows = []
    for layer, upper, plan, why in zip(network.layers, uppers, recorder.plans, network.fallbacks, strict=True):
        window = "map" if plan is None else _window(plan.boundary, plan.frames[plan.end])
        rows.append(f"| {upper} -> {layer.name} | {layer.height} x {layer.width} | {window} | {why or 'windows'} |")
    return rows[::-1], sum(why is None for why in network.fallbacks)


def _window(boundary: Any, frame: Frame) -> str:
    """The size of a decision's window in the lower layer, through the pooling that A is formed behind, if any."""
    frame = frame if boundary is None else boundary.grown(frame)
    return "map" if frame.whole else f"{frame.size[0]} x {frame.size[1]}"


if __name__ == "__main__":
    main()
