"""What people reported of networks that end in softmax or sigmoid, or in a single output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.roots import Decided, decide
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.settings import AttackSettings
from evigraph.schema.errors import ModelError
from tests.indexer.exactness import autograd_maps, engine_maps, everywhere
from tests.reports.table import report
from tests.support.heads import Ending, Untraceable, body, last_of

SIDE = 16


@dataclass(frozen=True)
class Seen:
    """A network that ends somehow, and what is made of three images."""

    network: Ending
    prepared: Network
    pixels: Tensor
    decided: Decided
    maps: Tensor
    expected: Tensor
    """Activation maps of every logit over the last layer, and those of float64 autograd from the logits of the body."""


def seen(end: Callable[[Tensor], Tensor], outputs: int, kind: type[Ending] = Ending, scale: float = 4) -> Seen:
    torch.manual_seed(1)
    network = kind(end, outputs).double().eval()
    with torch.no_grad():
        last_of(network).weight.mul_(scale)
    pixels = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    prepared = prepare(network, SIDE)
    with frozen(prepared.model):
        record = prepared.recorder.record(pixels)
        upper = network.body[:5](pixels).detach().requires_grad_()
        logits = network.body[5:](upper)
        logits = torch.cat([-logits, logits], 1) if outputs == 1 else logits
        decisions = everywhere(logits.detach())
        maps = engine_maps(record.segments[-1], decisions, upper.shape)
        expected = autograd_maps(upper, logits, decisions)
    torch.testing.assert_close(record.logits, logits.detach())
    probabilities = prepared.head.probabilities(record.logits)
    decided = decide(torch.arange(3), torch.full((3,), -1), record.logits, probabilities)
    return Seen(network, prepared, pixels, decided, maps, expected)


def sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(z)


def flat_sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(z).squeeze()


def logit(z: Tensor) -> Tensor:
    return z


def softmax(z: Tensor) -> Tensor:
    return z.softmax(1)


@pytest.mark.parametrize("kind", [Ending, Untraceable])
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(sigmoid, marks=report("jacobgil/pytorch-grad-cam#325", "two classes, negative and positive")),
        pytest.param(logit, marks=report("Project-MONAI/MONAI#5530", "two classes, of logits -z and z")),
        pytest.param(flat_sigmoid, marks=report("VisMIL/CAMERAS#6", "two classes, whatever the shape of the output")),
    ],
)
def test_one_output_is_two_classes(end: Callable[[Tensor], Tensor], kind: type[Ending]) -> None:
    found = seen(end, 1, kind)
    torch.testing.assert_close(found.maps, found.expected)
    positive = found.network.body(found.pixels)[:, 0].sigmoid()
    assert found.decided.predicted.tolist() == (positive > 0.5).long().tolist()
    torch.testing.assert_close(found.decided.probability, torch.maximum(positive, 1 - positive).detach())


@report("jacobgil/pytorch-grad-cam#428", "evidence of the negative class is of -z, which its decision is above 0 for")
@report("itdxer/neupy#246", "evidence of the negative class is what lowers the output")
def test_a_negative_answer_has_evidence_of_its_own() -> None:
    found = seen(sigmoid, 1)
    torch.testing.assert_close(found.maps[::2], -found.maps[1::2])
    assert bool((found.decided.logit > 0).all())


@pytest.mark.parametrize("kind", [Ending, Untraceable])
@pytest.mark.parametrize(
    ("end", "scale"),
    [
        pytest.param(softmax, 4, marks=report("jacobgil/pytorch-grad-cam#232", "the logits before softmax")),
        pytest.param(softmax, 1e4, marks=report("keras-team/keras#5881", "evidence also where softmax is saturated")),
        pytest.param(sigmoid, 1e4, marks=report("meta-pytorch/captum#91", "the logits, not a saturated sigmoid")),
        pytest.param(
            lambda z: nn.LogSoftmax(1)(z), 4, marks=report("albermax/innvestigate#168", "found without being told")
        ),
    ],
)
def test_the_logits_are_decomposed(end: Callable[[Tensor], Tensor], scale: float, kind: type[Ending]) -> None:
    found = seen(end, 4, kind, scale)
    torch.testing.assert_close(found.maps, found.expected)
    assert bool(found.maps.flatten(1).abs().amax(1).gt(0).all())
    assert any("the logits before it are decomposed" in note for note in found.prepared.notes)


@report("marcotcr/lime#374", "each class's probability is its own sigmoid; they need not add up to 1")
@report("meta-pytorch/captum#887", "a multi-label network is decomposed class by class")
@report("meta-pytorch/captum#171", "a multi-label network is decomposed class by class")
def test_many_labels() -> None:
    found = seen(sigmoid, 6)
    torch.testing.assert_close(found.maps, found.expected)
    torch.testing.assert_close(found.decided.probability, found.network(found.pixels).max(1).values.detach())
    assert any("need not add up to 1" in note for note in found.prepared.notes)


@report("fra31/auto-attack#102", "an average of softmaxes is probabilities; their logarithm is decomposed, and said")
def test_an_average_of_softmaxes() -> None:
    torch.manual_seed(1)
    network = Ending(lambda z: (z.softmax(1) + (-z).softmax(1)) / 2).double().eval()
    prepared = prepare(network, SIDE)
    pixels = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    with frozen(network):
        logits = prepared.recorder.record(pixels).logits
        torch.testing.assert_close(logits, network(pixels).log())
        torch.testing.assert_close(prepared.head.probabilities(logits), network(pixels))
    assert any("what is decomposed is their logarithm" in note for note in prepared.notes)


@report("falloutdurham/beginners-pytorch-deep-learning#7", "softmax over the images of a batch is refused by name")
def test_softmax_over_the_batch() -> None:
    with pytest.raises(ModelError, match="ends in softmax, but not over its classes"):
        prepare(Ending(lambda z: torch.softmax(z, 0)).eval(), SIDE)


@pytest.mark.parametrize(
    ("end", "outputs"),
    [
        pytest.param(softmax, 4, marks=report("bethgelab/foolbox#158", "the loss takes softmax once")),
        pytest.param(nn.LogSoftmax(1), 4, marks=report("bethgelab/foolbox#618", "attacks see logits")),
        pytest.param(sigmoid, 1, marks=report("cleverhans-lab/cleverhans#160", "attacks see the logits of one output")),
    ],
)
def test_attacks_see_logits(end: Callable[[Tensor], Tensor], outputs: int) -> None:
    """One step along the sign of the gradient of the label's negative log-probability, once taken."""
    torch.manual_seed(1)
    network = Ending(end, outputs).eval()
    prepared = prepare(network, SIDE)
    preprocessing = Preprocessing(None, SIDE, (0.5,) * 3, (0.25,) * 3)
    attacker = Attacker(
        prepared.model,
        AttackSettings(kind="fgsm", eps=0.01),
        preprocessing,
        prepared.class_count,
        sigmoid=prepared.head.sigmoid,
    )
    pixels = torch.rand(4, 3, SIDE, SIDE) * 0.8 + 0.1
    labels = torch.tensor([0, 1, 1, 0])
    with frozen(prepared.model):
        moved = attacker.attack((pixels - 0.5) / 0.25, range(4), labels, torch.float32) * 0.25 + 0.5
        leaf = pixels.clone().requires_grad_()
        z = network.body((leaf - 0.5) / 0.25)
        z = torch.cat([torch.zeros_like(z), z], 1) if outputs == 1 else z
        (-z.log_softmax(1).gather(1, labels[:, None])).sum().backward()
    assert leaf.grad is not None
    clear = leaf.grad.abs() > 1e-6 * leaf.grad.abs().max()
    torch.testing.assert_close(moved[clear], (pixels + 0.01 * leaf.grad.sign())[clear], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [Ending, Untraceable])
@pytest.mark.parametrize(
    "end",
    [
        lambda z: torch.log(torch.softmax(z, 1)),
        lambda z: z.sigmoid().log(),
        lambda z: z.softmax(1).clone(),
        lambda z: nn.functional.dropout(z.softmax(1), 0.5, False).cpu(),
        lambda z: nn.functional.logsigmoid(z).exp(),
        lambda z: (z, z.softmax(1)),
        lambda z: {"probabilities": z.sigmoid(), "scores": z},
    ],
)
def test_the_logits_are_found_in_other_spellings(end: Callable[[Tensor], Tensor], kind: type[Ending]) -> None:
    found = seen(end, 4, kind)
    torch.testing.assert_close(found.maps, found.expected)
    assert isinstance(found.prepared.recorder, WindowedRecorder) == (kind is Ending)


def test_the_logarithm_of_sigmoids_gives_their_probabilities() -> None:
    found = seen(lambda z: z.sigmoid().log(), 4)
    own = found.network(found.pixels).exp()
    torch.testing.assert_close(found.decided.probability, own.max(1).values.detach())


@pytest.mark.parametrize(
    "end", [lambda z: z - z.logsumexp(1, keepdim=True), lambda z: (z.softmax(1) + 1e-8).log()], ids=["lse", "eps"]
)
def test_log_probabilities_are_said(end: Callable[[Tensor], Tensor]) -> None:
    network = Ending(end).double().eval()
    prepared = prepare(network, SIDE)
    assert any("log-probabilities, which are decomposed as they are" in note for note in prepared.notes)
    assert prepared.head.to_json() == {
        "ends_in": None,
        "decomposed": "log-probability",
        "probability": "softmax",
        "one_logit": False,
    }


@pytest.mark.parametrize("end", [lambda z: 100 * z.softmax(1), lambda z: z.exp() * 4 / z.exp().sum(1, keepdim=True)])
def test_percentages_are_no_logits(end: Callable[[Tensor], Tensor]) -> None:
    network = Ending(end).eval()
    with pytest.raises(ModelError, match=r"adds up to (100|4) for every image.*no logits.*--output logits"):
        prepare(network, SIDE)
    assert prepare(network, SIDE, output="logits").class_count == 4


@report("layumi/Person_reID_baseline_pytorch#77", "a batch of one that squeeze flattens is one row of logits")
@pytest.mark.parametrize("before", [True, False])
def test_squeezed_batches_of_one(before: bool) -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = body()[:-2], nn.Linear(8, 4) if before else nn.Conv2d(8, 4, 1)

        def forward(self, pixels: Tensor) -> Tensor:
            value = self.body(pixels)
            logits: Tensor = self.last(value.squeeze()) if before else self.last(value).squeeze()
            return logits

    network = Squeezed().eval()
    prepared = prepare(network, SIDE)
    for count in (1, 3):
        pixels = torch.randn(count, 3, SIDE, SIDE)
        with frozen(prepared.model), torch.no_grad():
            own = network(pixels).view(count, 4)
            torch.testing.assert_close(prepared.recorder.record(pixels).logits, own)
