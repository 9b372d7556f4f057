"""A network in a wrapping. Apart from the tests, since pytest writes their assertions anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision import models


def resnet() -> models.ResNet:
    """A small ResNet whose blocks call one ReLU twice, as torchvision's do."""
    torch.manual_seed(0)
    network = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3)
    return network.eval()


class Wrapped(nn.Module):
    """A ResNet within another module."""

    def __init__(self) -> None:
        super().__init__()
        self.net = resnet()


def asserting() -> nn.Module:
    """One that asserts what it is given."""

    class Asserting(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            assert not bool(torch.isinf(x).any()), f"infinite: {x}"
            assert (x.abs() < 1e9).all()
            assert x.shape[1] == 3
            assert isinstance(x, Tensor)
            if not torch.isfinite(x).all().item() or x.numel() == 0:
                raise ValueError(f"not finite: {x.max()}")
            logits: Tensor = self.net(x)
            return logits

    return Asserting()
