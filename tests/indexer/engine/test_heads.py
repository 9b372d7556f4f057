"""Networks that end in a probability, in one logit or in another shape: their edges against float64 autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evigraph.indexer.engine.heads import Output
from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.evidence.hierarchy import explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import Roots, decide
from evigraph.indexer.model.graph import frozen
from evigraph.schema.errors import ModelError, UsageError
from tests.indexer.exactness import autograd_maps, engine_maps, everywhere
from tests.support.heads import Ending, FullyConvolutional, Untraceable, body, last_of

SIDE = 16


@dataclass(frozen=True)
class Case:
    """An end of a network, and what is right: its logits are those of the body, its probabilities as they say."""

    end: Callable[[Tensor], Tensor]
    outputs: int = 4
    sigmoid: bool = False
    own: Callable[[Tensor], Tensor] = lambda output: output
    """Probabilities of the output."""


ENDS = {
    "softmax": Case(lambda z: F.softmax(z, 1)),
    "method": Case(lambda z: z.softmax(-1)),
    "temperature 1": Case(lambda z: torch.softmax(z, dim=1).view(-1, 4)),
    "log_softmax": Case(lambda z: F.log_softmax(z, dim=1), own=torch.exp),
    "exp of log_softmax": Case(lambda z: F.log_softmax(z, dim=1).exp()),
    "sigmoids": Case(torch.sigmoid, sigmoid=True),
    "in place": Case(lambda z: z.sigmoid_(), sigmoid=True),
    "logsigmoid": Case(F.logsigmoid, sigmoid=True, own=torch.exp),
    "one sigmoid": Case(torch.sigmoid, 1, sigmoid=True),
    "one sigmoid, flat": Case(lambda z: torch.sigmoid(z).squeeze(1), 1, sigmoid=True),
    "flat, one sigmoid": Case(lambda z: z.squeeze().sigmoid(), 1, sigmoid=True),
    "one logit": Case(lambda z: z, 1, sigmoid=True, own=torch.sigmoid),
    "one logit, flat": Case(lambda z: z[:, 0], 1, sigmoid=True, own=torch.sigmoid),
}


def network_of(kind: type[Ending], case: Case) -> Ending:
    torch.manual_seed(1)
    network = kind(case.end, case.outputs).double().eval()
    with torch.no_grad():
        last_of(network).weight.mul_(4)  # so that probabilities are of any size
    return network


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def expected_logits(network: Ending, pixels: Tensor) -> Tensor:
    logits: Tensor = network.body(pixels)
    return torch.cat([-logits, logits], 1) if logits.shape[1] == 1 else logits


@pytest.mark.parametrize("kind", [Ending, Untraceable])
@pytest.mark.parametrize("name", ENDS)
def test_the_logits_beneath_are_decomposed(name: str, kind: type[Ending]) -> None:
    case = ENDS[name]
    network, pixels = network_of(kind, case), images()
    prepared = prepare(network, SIDE)
    assert prepared.class_count == max(2, case.outputs)
    assert [layer.module for layer in prepared.layers] == ["body.1", "body.4"]
    assert prepared.head.sigmoid == case.sigmoid
    with frozen(prepared.model):
        record = prepared.recorder.record(pixels)
        upper = network.body[:5](pixels).detach().requires_grad_()
        logits = network.body[5:](upper)
        logits = torch.cat([-logits, logits], 1) if case.outputs == 1 else logits
        torch.testing.assert_close(record.logits, logits.detach())
        torch.testing.assert_close(prepared.model(pixels), logits.detach())
        torch.testing.assert_close(
            prepared.recorder.logits_from(1, record.features[1].detach(), pixels), logits.detach()
        )
        decisions = everywhere(logits.detach())
        found = engine_maps(record.segments[-1], decisions, upper.shape)
        torch.testing.assert_close(found, autograd_maps(upper, logits, decisions))
        own = case.own(network(pixels)).reshape(len(pixels), case.outputs)
    own = torch.cat([1 - own, own], 1) if case.outputs == 1 else own
    torch.testing.assert_close(prepared.head.probabilities(record.logits), own)
    decided = decide(torch.arange(3), torch.tensor([-1] * 3), record.logits, prepared.head.probabilities(record.logits))
    torch.testing.assert_close(decided.probability, own.max(1).values)
    assert (prepared.fallbacks[-1] is None) == (kind is Ending)


@pytest.mark.parametrize("kind", [Ending, Untraceable])
def test_evidence_of_class_0_is_what_lowers_the_one_logit(kind: type[Ending]) -> None:
    prepared = prepare(network_of(kind, ENDS["one sigmoid"]), SIDE)
    pixels = images(2)
    with frozen(prepared.model):
        record = prepared.recorder.record(pixels)
        roots = Roots(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
        level = explain(record, roots, Method(8))[0]
    z = record.logits[:, 1]
    channels = [set(level.evidence.channel[level.target.root[level.node] == root].tolist()) for root in range(4)]
    assert channels[0].isdisjoint(channels[1])  # a channel either lowers it or raises it
    assert channels[2].isdisjoint(channels[3])
    # All contributions add up to what they are of, less its bias.
    total = torch.zeros(4, dtype=torch.float64)
    total.index_add_(0, level.target.root[level.node], level.evidence.contribution.double())
    bias = last_of(prepared.model).bias.item()
    area = SIDE * SIDE / 4  # of the upper map, over which a contribution is a mean
    torch.testing.assert_close((total[1::2] - total[::2]) * area, z - bias, rtol=1e-4, atol=1e-4)
    said = "the network has one output, z: class 1 has the logit z and class 0 the logit -z"
    assert any(said in note for note in prepared.notes)


@pytest.mark.parametrize(
    ("end", "outputs", "shape"),
    [
        (lambda z: z, 4, (2, 4)),
        (lambda z: F.softmax(z, 1), 4, (2, 4)),
        (nn.Softmax2d(), 4, (2, 4)),
        (lambda z: z.sigmoid().squeeze(), 1, (2, 2)),
        (lambda z: z.squeeze(3), 4, (2, 4)),
    ],
    ids=["logits", "softmax", "softmax module", "one sigmoid", "three dimensions"],
)
def test_fully_convolutional_heads(end: Callable[[Tensor], Tensor], outputs: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = FullyConvolutional(end, outputs).double().eval()
    prepared = prepare(network, SIDE)
    pixels = images(2)
    with frozen(prepared.model):
        record = prepared.recorder.record(pixels)
        upper = record.features[-1].detach().requires_grad_()
        logits = network.last(network.body[5:](upper)).flatten(1)
        logits = torch.cat([-logits, logits], 1) if outputs == 1 else logits
        assert tuple(record.logits.shape) == shape
        torch.testing.assert_close(record.logits, logits.detach())
        decisions = everywhere(logits.detach())
        found = engine_maps(record.segments[-1], decisions, upper.shape)
        torch.testing.assert_close(found, autograd_maps(upper, logits, decisions))


PROBABILITIES = {
    "softmax by hand": (lambda z: z.exp() / z.exp().sum(1, keepdim=True), 4),
    "two columns of one sigmoid": (lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1),
    "in another order": (lambda z: z.softmax(1)[:, [2, 0, 3, 1]], 4),
    "mean of two": (lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2, 4),
}


@pytest.mark.parametrize("kind", [Ending, Untraceable])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_without_logits_are_decomposed_as_their_logarithm(name: str, kind: type[Ending]) -> None:
    end, outputs = PROBABILITIES[name]
    network, pixels = network_of(kind, Case(end, outputs)), images()
    prepared = prepare(network, SIDE)
    with frozen(prepared.model):
        record = prepared.recorder.record(pixels)
        upper = network.body[:5](pixels).detach().requires_grad_()
        logits = network.end(network.body[5:](upper)).log()
        torch.testing.assert_close(record.logits, logits.detach())
        decisions = everywhere(logits.detach())
        found = engine_maps(record.segments[-1], decisions, upper.shape)
        torch.testing.assert_close(found, autograd_maps(upper, logits, decisions))
        torch.testing.assert_close(prepared.head.probabilities(record.logits), network(pixels))
    assert any("the network's output is probabilities" in note for note in prepared.notes)


def by_hand(z: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-z))


@pytest.mark.parametrize("outputs", [1, 3])
def test_what_may_be_either_is_asked_for(outputs: int) -> None:
    network = network_of(Ending, Case(by_hand, outputs))
    with pytest.raises(ModelError, match="say which it is with --output logits or --output probabilities"):
        prepare(network, SIDE)
    pixels = images()
    with frozen(network):
        prepared = prepare(network, SIDE, output="probabilities")
        logits = expected_logits(network, pixels)
        torch.testing.assert_close(prepared.recorder.record(pixels).logits, logits)
        torch.testing.assert_close(prepared.head.probabilities(logits), logits.sigmoid())
        assert prepare(network, SIDE, output="logits").head.inverse is None


def test_logits_within_0_and_1_are_logits() -> None:
    """A linear layer above bounded features gives what it gives."""
    network = nn.Sequential(*body()[:-3], nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        last_of(network).weight.mul_(0.1)
        last_of(network).bias.fill_(0.5)
    assert prepare(network, SIDE).head.is_plain


@pytest.mark.parametrize(
    ("end", "outputs", "output", "message"),
    [
        (lambda z: F.softmax(z, 0), 4, "auto", "ends in softmax, but not over its classes"),
        (lambda z: F.softmax(z, 1), 1, "auto", "softmax over a single output, which is the same for every image"),
        (lambda z: F.softmax(z, 1), 4, "sigmoid", "--output sigmoid is given, but the network ends in softmax"),
        (lambda z: z, 4, "probabilities", "--output probabilities is given, but the output runs from -"),
        (lambda z: z[:, :, None, None].expand(-1, -1, 5, 5), 4, "auto", r"output is \(1, 4, 5, 5\)"),
    ],
)
def test_ends_that_are_refused(end: Callable[[Tensor], Tensor], outputs: int, output: Output, message: str) -> None:
    with pytest.raises((ModelError, UsageError), match=message):
        prepare(network_of(Ending, Case(end, outputs)), SIDE, output=output)


def test_what_the_output_is_can_be_said() -> None:
    network, pixels = network_of(Ending, Case(lambda z: z)), images()
    many = prepare(network, SIDE, output="sigmoid")
    logits = many.recorder.record(pixels).logits
    torch.testing.assert_close(many.head.probabilities(logits), logits.sigmoid())
    kept = prepare(network_of(Ending, ENDS["softmax"]), SIDE, output="logits")
    with frozen(kept.model):
        torch.testing.assert_close(kept.recorder.record(pixels).logits, network.body(pixels).softmax(1).detach())


def test_plain_networks_are_told_nothing_new() -> None:
    prepared: Network = prepare(network_of(Ending, Case(lambda z: z)), SIDE)
    assert prepared.head.is_plain
    assert prepared.head.to_json() is None
    assert prepared.head.notes() == ()


def test_gates_are_no_heads() -> None:
    """Sigmoids and softmaxes within a network are its own affair, however many there are."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body()

        def forward(self, pixels: Tensor) -> Tensor:
            logits: Tensor = self.body(pixels * pixels.mean((2, 3), keepdim=True).sigmoid())
            return logits * logits.softmax(1)

    torch.manual_seed(0)
    assert prepare(Gated().eval(), SIDE).head.is_plain


def test_a_module_of_the_network_keeps_its_path() -> None:
    network = nn.Sequential(*body(), nn.Softmax(1)).eval()
    prepared = prepare(network, SIDE, ["1", "4"])
    assert prepared.model.get_submodule("4") is network[4]
    hooked = prepare(network_of(Untraceable, ENDS["softmax"]).float(), SIDE, ["body.4"])
    assert isinstance(hooked.recorder, HookedRecorder)
    assert type(hooked.model).__name__ == "Untraceable"
