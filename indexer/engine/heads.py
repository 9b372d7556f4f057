"""How a network's output becomes logits: what is decomposed, and which probability is stored.

1. The network is run on two images, and its last calls are watched (`trail`): does its output come out of softmax,
   log_softmax, sigmoid or logsigmoid, with nothing behind it but changes of shape?
2. Then the input of that call is the logits, whether the network can be traced or not. They are decomposed, since where
   a probability is near 0 or 1 its own gradient is next to nothing, and the probability stored is the network's output.
3. An output that is a probability by its values, without such a call, is decomposed as its logarithm.
4. A single logit z is two classes: the logit of class 1 is z, that of class 0 is -z.

`--output` says what the output is where the network itself does not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from evigraph.indexer.engine.trail import Trail
from evigraph.schema.errors import ModelError, UsageError

Output = Literal["auto", "logits", "probabilities", "sigmoid"]

_SLACK = {torch.float64: 1e-6, torch.float32: 1e-4}
"""By which probabilities may differ that are computed twice; 0.03 in coarser types."""


@dataclass(frozen=True)
class Head:
    """How an output of a network becomes logits.

    Attributes:
        outputs: values of an image.
        ends_in: the function of `trail.FUNCTIONS` whose input is the logits; None where the output itself is taken.
        inverse: "log" or "logit": the output is a probability and the logits this function of it; None else.
        sigmoid: whether the probability of a class is the sigmoid of its own logit, not a softmax over all.
        shaped: whether the output is of shape (batch, outputs).
        log: whether the output, taken as it is, is log-probabilities.
    """

    outputs: int
    ends_in: str | None = None
    inverse: str | None = None
    sigmoid: bool = False
    shaped: bool = True
    log: bool = False

    @property
    def one_logit(self) -> bool:
        """Whether a single output decides between two classes."""
        return self.outputs == 1

    @property
    def class_count(self) -> int:
        """Classes that the network tells apart."""
        return 2 if self.one_logit else self.outputs

    @property
    def is_plain(self) -> bool:
        """Whether logits are the output as it is, and probabilities their softmax."""
        return self == Head(self.outputs) and not self.one_logit

    @property
    def gives_logits(self) -> bool:
        """Whether the network's output is logits (batch, outputs) as it is."""
        return self.ends_in is None and self.inverse is None and self.shaped

    def probabilities(self, logits: Tensor) -> Tensor:
        """The network's probabilities, (batch, classes), of logits (batch, classes)."""
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)

    def to_json(self) -> dict[str, Any] | None:
        """As JSON values, for the run's settings; None where rows are as they are of any other network."""
        if replace(self, shaped=True).is_plain:
            return None
        return {
            "ends_in": self.ends_in,
            "decomposed": {
                None: "log-probability" if self.log else "logit",
                "log": "log-probability",
                "logit": "log-odds",
            }[self.inverse],
            "probability": "sigmoid" if self.sigmoid else "softmax",
            "one_logit": self.one_logit,
        }

    def notes(self) -> tuple[str, ...]:
        """What the user should know of it, a sentence each."""
        said = []
        if self.ends_in:
            said.append(
                f"the network ends in {self.ends_in}: the logits before it are decomposed, and the probabilities "
                "stored are the network's own"
            )
        elif self.inverse:
            said.append(
                "the network's output is probabilities, and the logits that they come from cannot be found: what is "
                f"decomposed is {'their logarithm' if self.inverse == 'log' else 'their log-odds'}"
            )
        elif self.log:
            said.append("the network's output is log-probabilities, which are decomposed as they are")
        if self.one_logit:
            said.append(
                "the network has one output, z: class 1 has the logit z and class 0 the logit -z, so the evidence for "
                "class 0 is what lowers z"
            )
        elif self.sigmoid:
            said.append("each class's probability is the sigmoid of its own logit: they need not add up to 1")
        return tuple(said)


class LogitNetwork(nn.Module):
    """A network that gives logits (batch, outputs), whatever its forward gives; it shares all with the user's."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs)."""
        head = head_of(self)
        if head.ends_in is None:
            output: Tensor = super().__call__(pixels)
        else:
            with Trail() as trail:
                output = super().__call__(pixels)
            name, output = trail.beneath(output)
            if name != head.ends_in:
                raise ModelError(
                    f"{type(self).__name__} ended in {head.ends_in} when it was looked at, and does not now; give a "
                    "network that ends the same way for every image"
                )
        return inverted(output.reshape(len(pixels), head.outputs), head.inverse)


class TwoClasses(LogitNetwork):
    """The logits of a network of one output, as those of two classes: (batch, 2)."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 2)."""
        return two_classes(super().__call__(pixels))


def head_of(model: LogitNetwork) -> Head:
    """How its output becomes logits."""
    head: Head = vars(model)["_head"]
    return head


def two_classes(logit: Tensor) -> Tensor:
    """(batch, 1) -> (batch, 2): -z and z."""
    return torch.cat([-logit, logit], 1)


def inverted(output: Tensor, inverse: str | None) -> Tensor:
    """Logits of probabilities: their logarithm ("log") or log-odds ("logit"); None leaves them as they are."""
    if inverse is None:
        return output
    least = torch.finfo(output.dtype).tiny
    log = output.clamp(min=least).log()
    return log if inverse == "log" else log - (1 - output).clamp(min=torch.finfo(output.dtype).eps).log()


def logit_network(model: nn.Module, head: Head) -> nn.Module:
    """A network that gives logits (batch, outputs): itself where it does so already."""
    return model if head.gives_logits else _sharing(model, LogitNetwork, head)


def two_class_network(model: nn.Module, head: Head) -> nn.Module:
    """A network of one output that gives the logits of two classes, (batch, 2)."""
    return _sharing(model, TwoClasses, head)


def _sharing(model: nn.Module, kind: type[LogitNetwork], head: Head) -> nn.Module:
    """A copy that shares modules, parameters and forward, and is of the network's class too."""
    made = copy.copy(model)
    made.__class__ = type(type(model).__name__, (kind, type(model)), {"__module__": type(model).__module__})
    vars(made)["_head"] = head
    return made


@torch.no_grad()
def find_head(model: nn.Module, pixels: Tensor, output: Output = "auto") -> Head:
    """What the output of a network is.

    Args:
        model: in evaluation mode.
        pixels: (2, channels, height, width), two different images.
        output: what the user says of it.

    Raises:
        ModelError: it is not softmax over the classes, or may be logits or probabilities and nothing tells which.
        UsageError: it is not what the user says.
    """
    try:
        given, trail = _watched(model, pixels)
    except Exception:  # said by who runs the network next, with what can be done
        return Head(0)
    if not isinstance(given, Tensor) or given.ndim not in (1, 2, 3, 4) or len(given) != len(pixels):
        return Head(0)
    values = given.flatten(1) if given.ndim > 1 else given[:, None]
    if values.shape[1] != (given.shape[1] if given.ndim > 1 else 1):
        return Head(0)  # a map of classes, say
    head = Head(values.shape[1], shaped=given.ndim == 2, sigmoid=values.shape[1] == 1)
    if output == "logits":
        return head
    name, beneath = trail.beneath(given)
    if name is not None:
        return _checked(replace(head, ends_in=name, sigmoid=name in ("sigmoid", "logsigmoid")), beneath, values, output)
    if output == "sigmoid":
        return replace(head, sigmoid=True)
    found = _by_values(head, model, pixels, values, output)
    if found is None and not trail.is_affine(given):
        raise ModelError(
            "the network's output may be logits or probabilities: it lies within 0 and 1 for all that was tried; say "
            "which it is with --output logits or --output probabilities"
        )
    return found or head


def _watched(model: nn.Module, pixels: Tensor) -> tuple[Any, Trail]:
    """The output of a network, and how it came about; nothing of that where the network does not run while watched."""
    try:
        with Trail() as trail:
            return model(pixels), trail
    except Exception:  # a compiled network, say: its values tell what they can
        return model(pixels), Trail()


def _checked(head: Head, beneath: Tensor, output: Tensor, said: Output) -> Head:
    """A head, if the network's output is what it should be of the logits."""
    if said == "sigmoid" and not head.sigmoid:
        raise UsageError(f"--output sigmoid is given, but the network ends in {head.ends_in}; leave --output out")
    if head.one_logit and not head.sigmoid:
        raise ModelError(
            f"the network ends in {head.ends_in} over a single output, which is the same for every image; give it "
            "without that, or take the output as it is with --output logits"
        )
    probability = head.probabilities(beneath.reshape(output.shape).float())
    own = output.float().exp() if head.ends_in in ("log_softmax", "logsigmoid") else output.float()
    if float((probability - own).abs().max()) > _SLACK.get(output.dtype, 0.03):
        if _within(own) and _add_up(own):  # its classes were put into another order, say
            return replace(head, ends_in=None, inverse=None if head.ends_in == "log_softmax" else "log")
        raise ModelError(
            f"the network ends in {head.ends_in}, but not over its classes (dimension 1 of its output): each image's "
            "probabilities would depend on others; mend its dim, or take the output as it is with --output logits"
        )
    return head


def _by_values(head: Head, model: nn.Module, pixels: Tensor, values: Tensor, said: Output) -> Head | None:
    """What an output is that no known function made; None where it may be either."""
    seen = [values]
    parts = head.outputs > 1 and _parts_of(values) is not None
    logarithms = head.outputs > 1 and _add_up(values.float().exp())
    if _within(values) or said == "probabilities" or parts or logarithms:
        drawn = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(1)).to(pixels)
        for more in (drawn, pixels * 100, -10 * pixels):
            try:
                seen.append(model(more).reshape(values.shape))
            except Exception:
                continue
    if logarithms and all(_add_up(one.float().exp()) for one in seen):
        return replace(head, log=True)
    probable = all(_within(one) for one in seen)
    if probable and head.outputs > 1 and all(_add_up(one) for one in seen):
        return replace(head, inverse="log")
    if said == "probabilities":
        if not probable:
            low, high = float(torch.cat(seen).min()), float(torch.cat(seen).max())
            raise UsageError(f"--output probabilities is given, but the output runs from {low:.3g} to {high:.3g}")
        return replace(head, inverse="logit", sigmoid=True)
    total = _parts_of(torch.cat(seen)) if parts else None
    if total is not None and len(seen) > 1:
        raise ModelError(
            f"the network's output adds up to {total:.4g} for every image: its values are parts of that and no logits; "
            f"divide them by {total:.4g} in a module around the network, or take them as they are with --output logits"
        )
    if probable and len(seen) > 1 and float((torch.cat(seen) - seen[0][:1]).abs().max()) > 1e-6:
        return None
    return head


def _add_up(values: Tensor) -> bool:
    """Whether the values of each image add up to 1."""
    return bool(((values.float().sum(1) - 1).abs() < 10 * _SLACK.get(values.dtype, 0.03)).all())


def _parts_of(values: Tensor) -> float | None:
    """What the values of each image add up to, where none is below 0 and the sum is the same for all; None else."""
    sums = values.float().sum(1)
    total = float(sums.mean())
    alike = bool(((sums - total).abs() <= 10 * _SLACK.get(values.dtype, 0.03) * total).all())
    return total if total > 0 and alike and bool((values >= 0).all()) else None


def _within(values: Tensor) -> bool:
    """Whether all values may be probabilities."""
    return bool(((values >= 0) & (values <= 1)).all())
