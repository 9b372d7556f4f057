"""A network's own way from an image to its input: `--transform package.module:function`.

1. The function is imported by name: anything that takes a PIL image (of .npy files an array) and gives a float tensor
   (channels, height, width), so also a transform of torchvision.
2. It is called on drawn images of two sizes, and several times on the same one: an answer that changes is refused, and
   the shape of the answer is the network's input. One that follows the image's size needs --crop HEIGHT,WIDTH.
3. Its name and a digest of its source are part of the run's description.

What it does to places is not known, so no semantic map can follow it; nor, unless --mean and --std say how it
normalises, which pixels an input was made of.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evigraph.indexer.data.channels import load_channels
from evigraph.indexer.data.images import MAX_PIXELS, Decoded, SkippedImage
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.settings import PreprocessingOptions, Size, numbers_of
from evigraph.schema.errors import NotFoundError, UsageError, raised_by_user

Transform = Callable[[Any], Tensor]
CALLS = 6
"""On one drawn image: a flip of even chance is seen in 31 of 32 cases, anything of more outcomes nearly always."""
_DRAWN = ((320, 256), (300, 420))
"""Width and height of the drawn images: what is cut or resized is larger than most inputs."""
_TRIED = 16
"""Images of the data that are looked at until one can be decoded."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_AT_RANDOM = frozenset({"ColorJitter", "AutoAugment", "AugMix", "TrivialAugmentWide", "GaussianNoise", "Dropout"})


@dataclass(frozen=True)
class OwnTransform(Preprocessing):
    """A preprocessing that a function of the user's does.

    Attributes:
        name: package.module:function.
        digest: of its source.
        decoded_channels: of the images that it takes.
        normalises: whether `mean` and `std` are known to be what it normalises by.
    """

    name: str = ""
    digest: str = ""
    decoded_channels: int = 3
    normalises: bool = False

    @property
    def image_channels(self) -> int:
        return self.decoded_channels

    @property
    def gives_pixels(self) -> bool:
        return self.normalises

    def image(self, image: Decoded, max_pixels: int = MAX_PIXELS) -> Tensor:
        """What the function makes of an image: (channels, *size) float32.

        Raises:
            SkippedImage: it fails, or gives another shape or values that are not finite.
        """
        del max_pixels
        try:
            made = _result(self.name, named_transform(self.name)(image))
        except UsageError as error:
            raise SkippedImage(str(error)) from error
        except (Exception, SystemExit) as error:  # a user's function may raise anything
            raise SkippedImage(f"the transform failed, {type(error).__name__}") from error
        wanted = (self.channels, *self.size)
        if tuple(made.shape) != wanted:
            raise SkippedImage(f"the transform gives {tuple(made.shape)}, not {wanted}")
        if not bool(made.isfinite().all()):
            raise SkippedImage("the transform gives values that are not finite")
        return made

    def enlargement(self, size: Size) -> float | None:
        del size
        return None

    def described(self) -> str:
        return f"--transform {self.name}, {' x '.join(map(str, (self.channels, *self.size)))}"

    def map(self, semantic_map: Image.Image, max_pixels: int = MAX_PIXELS) -> Tensor:
        """Semantic maps cannot follow it.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"semantic maps cannot follow --transform {self.name}")

    def to_settings(self) -> dict[str, Any]:
        told = {"transform": self.name, "transform_sha256": self.digest, "image_channels": self.decoded_channels}
        shape = {"channels": self.channels, "crop": list(self.size)}
        if not self.normalises:
            return told | shape
        undone = {"channel_order": self.channel_order, "pixel_scale": self.pixel_scale}
        return told | shape | {"mean": list(self.mean), "std": list(self.std)} | undone


def own_transform(options: PreprocessingOptions) -> OwnTransform:
    """Find a network's own transform, and what it gives.

    Raises:
        UsageError: it cannot be imported, fails on a drawn image, gives no float tensor of three dimensions, another
            one each time, or one whose size follows the image's where no size is given.
    """
    name = options.transform or ""
    function = named_transform(name)
    _refuse_random(name, function)
    channels = options.channels or 3
    shapes = {_shape_on(name, function, _drawn(channels, size)) for size in _DRAWN}
    depths = {shape[0] for shape in shapes}
    if len(depths) > 1:
        raise UsageError(
            f"--transform {name} gives {sorted(depths)} channels, by the image; give one that keeps to one"
        )
    if options.size_of_input is not None:
        size = options.size_of_input
    elif len(shapes) > 1:
        raise UsageError(
            f"--transform {name} gives an input of the image's own size ({', '.join(map(str, sorted(shapes)))}); say "
            "the network's with --crop HEIGHT,WIDTH, or let the transform resize"
        )
    else:
        size = next(iter(shapes))[1:]
    (depth,) = depths
    normalises = options.mean is not None
    return OwnTransform(
        resize=None,
        crop=size[0] if size[0] == size[1] else size,
        mean=numbers_of("mean", options.mean or (0.0,) * depth, depth),
        std=numbers_of("std", options.std or (1.0,) * depth, depth),
        channel_order=options.channel_order or "rgb",
        pixel_scale=options.pixel_scale or 1,
        name=name,
        digest=_digest(name, function),
        decoded_channels=channels,
        normalises=normalises,
    )


def check_on_data(transform: OwnTransform, source: DataSource) -> None:
    """Try a transform on the first image of the data that can be decoded.

    Raises:
        UsageError: the data has semantic maps, or the transform fails, gives another shape than it did, another input
            each time, or one whose pixels are not what --mean and --std say.
    """
    if source.has_maps:
        raise UsageError(
            f"--transform {transform.name}: the data {source.spec!r} has semantic maps, which cannot follow it: edges "
            "would get the labels of other places; say the transform with --resize, --crop, --mean and --std, or give "
            "the images as folder:, imagefolder: or list:"
        )
    function = named_transform(transform.name)
    for sample in source.samples[:_TRIED]:
        try:
            image = load_channels(source.path(sample.uri), transform.image_channels)
        except SkippedImage:
            continue
        shape = _shape_on(transform.name, function, image, sample.uri)
        if shape != (transform.channels, *transform.size):
            raise UsageError(
                f"--transform {transform.name} gives {shape} of {sample.uri}, not "
                f"{(transform.channels, *transform.size)}; let it resize, or say its size with --crop HEIGHT,WIDTH"
            )
        _check_pixels(transform, transform.image(image), sample.uri)
        return


@functools.cache
def named_transform(name: str) -> Transform:
    """What `package.module:attribute` names.

    Raises:
        UsageError: it cannot be imported, or is nothing that is called with an image.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise UsageError(f"--transform {name!r} names no function; give package.module:function")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise UsageError(f"--transform {name}: cannot import {module_name!r}: {raised_by_user(error)}") from error
    found = getattr(module, attribute, None)
    if found is None:
        offered = [known for known, value in vars(module).items() if callable(value)]
        raise NotFoundError("transform", attribute, offered, f"in {module_name}")
    if inspect.isclass(found) or not callable(found):
        raise UsageError(
            f"--transform {name} is a {type(found).__name__}; give a function of an image, or a transform that was made"
        )
    transform: Transform = found
    return transform


def _shape_on(name: str, function: Transform, image: Decoded, what: str = "a drawn image") -> tuple[int, int, int]:
    """The shape of what a transform gives, which must be the same every time."""
    made: list[Tensor] = []
    for _ in range(CALLS):
        try:
            made.append(_result(name, function(image.copy())))
        except UsageError:
            raise
        except (Exception, SystemExit) as error:  # a user's function may raise anything
            raise UsageError(f"--transform {name} fails on {what}: {raised_by_user(error)}") from error
    first, *others = made
    if not all(bool(one.isfinite().all()) for one in made):
        raise UsageError(f"--transform {name} gives values that are not finite of {what}; mend it")
    if not all(first.shape == other.shape and torch.equal(first, other) for other in others):
        raise UsageError(
            f"--transform {name} gives another input each time it is given {what}; take out what is drawn at random"
        )
    return first.shape[0], first.shape[1], first.shape[2]


def _result(name: str, made: Any) -> Tensor:
    if not isinstance(made, Tensor):
        raise UsageError(f"--transform {name} gives {type(made).__name__}; it must give a torch tensor")
    if made.ndim != 3 or not made.is_floating_point() or not made.numel():
        raise UsageError(
            f"--transform {name} gives {tuple(made.shape)} of {made.dtype}; it must give floating point of "
            "(channels, height, width)"
        )
    return made.detach().as_subclass(Tensor).to("cpu", torch.float32).contiguous()


def _drawn(channels: int, size: tuple[int, int]) -> Decoded:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    if channels not in _MODES:
        return values
    return Image.fromarray(values[:, :, 0] if channels == 1 else values)


def _refuse_random(name: str, function: Any) -> None:
    for step in _steps(function):
        kind = type(step).__name__
        if kind in _AT_RANDOM or kind.startswith("Random"):
            raise UsageError(f"--transform {name} holds {kind}, which draws at random; give the one for evaluation")


def _steps(function: Any) -> Iterator[Any]:
    """A transform and those that it is composed of."""
    yield function
    inner = list(function) if isinstance(function, torch.nn.Sequential) else getattr(function, "transforms", ())
    for step in inner if isinstance(inner, (list, tuple, torch.nn.ModuleList)) else ():
        yield from _steps(step)


def _check_pixels(transform: OwnTransform, made: Tensor, uri: str) -> None:
    if not transform.normalises:
        return
    mean, std = transform.per_channel()
    pixels = (made * std + mean) / transform.pixel_scale
    low, high = float(pixels.min()), float(pixels.max())
    if low < -0.01 or high > 1.01:
        raise UsageError(
            f"--mean and --std do not undo --transform {transform.name}: of {uri} they give pixels from {low:.3g} to "
            f"{high:.3g}, not 0 to 1; give those that it normalises by, or leave both out"
        )


def _digest(name: str, function: Any) -> str:
    """SHA-256 of a transform's source: of the module that names it and of the one that defines it, and its repr."""
    modules = {name.partition(":")[0], getattr(function, "__module__", None) or type(function).__module__}
    digest = hashlib.sha256(b"evigraph transform 1\n")
    for module in sorted(modules):
        try:
            digest.update(inspect.getsource(importlib.import_module(module)).encode())
        except (OSError, TypeError, ImportError):  # of what was not written in Python
            digest.update(module.encode())
    shown = repr(function)
    if " at 0x" not in shown:  # an address is another in every process
        digest.update(shown.encode())
    return digest.hexdigest()
