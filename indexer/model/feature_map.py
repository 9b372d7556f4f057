"""A feature map of a network, which may be a layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import fx

from evigraph.indexer.model.geometry import Geometry
from evigraph.indexer.model.survey import Activation
from evigraph.schema.pictures import LayerGeometry


@dataclass(frozen=True)
class FeatureMap:
    """A feature map of a network: a candidate for a layer.

    Attributes:
        module: dotted path of the module whose output it is, or of the traced operation.
        name: what the field calls it.
        aliases: every path that stands for it.
        channels, height, width: its shape at the run's input size.
        post_activation: whether its values come out of an activation function.
        cut: whether all information from the input to the logits passes through it, and it is not the input itself.
        of_stage: whether a map of its resolution is a convolution's (or another product's with weights).
        class_map: whether its spatial mean or maximum is the logits.
        call: the module and which of its calls gives the map, from 0; ("", 0) where none does.
        node: the traced operation; None where the network could not be traced.
        geometry: where its places lie in the input; None likewise.
        learned: whether a product with weights is below it, or it is one itself.
        kind: what its values come out of: "after ReLU6", "linear", "pooled", "sum" ...
        activation: the function that they come out of, where it is known.
    """

    module: str
    name: str
    aliases: tuple[str, ...]
    channels: int
    height: int
    width: int
    post_activation: bool
    cut: bool
    class_map: bool = False
    of_stage: bool = True
    call: tuple[str, int] = ("", 0)
    node: fx.Node | None = field(default=None, compare=False)
    geometry: Geometry | None = None
    learned: bool = True
    kind: str = ""
    activation: Activation | None = field(default=None, compare=False)

    @property
    def stride(self) -> int | None:
        """In input pixels; None where the network could not be traced."""
        return None if self.geometry is None else self.geometry.stride

    @property
    def receptive_field(self) -> int | None:
        """In input pixels; None where the network could not be traced."""
        return None if self.geometry is None else self.geometry.receptive_field

    def crops(self, size: int | tuple[int, int]) -> LayerGeometry:
        """Where the places lie in an input of (height, width), or of a square one, for those who draw crops."""
        if self.geometry is not None:
            return self.geometry.crops()
        # Without a trace a place is taken to stand for the cell of the input that it would cover.
        height, width = (size, size) if isinstance(size, int) else size
        stride = (height / self.height, width / self.width)
        return LayerGeometry((stride[0] / 2, stride[1] / 2), stride, None)
