"""Random networks: each is decomposed exactly (float64) or refused in one line, and its boxes hold what matters.

A failure names its seed: `EVIGRAPH_FUZZ=200 pytest "tests/fuzz/test_networks.py::test_network[123]"` runs it alone, and
`python -m tests.fuzz.test_networks 123` prints the network.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, fx, nn

from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.decisions import Decisions
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.model.graph import frozen, trace
from evigraph.indexer.model.layers import choose_layers, feature_maps
from evigraph.schema.errors import EvidenceError
from tests.fuzz.networks import draw
from tests.indexer.exactness import engine_maps
from tests.support import FUZZ

DECISIONS, PLACES, INPUTS = 24, 5, 3
_OUTCOMES: Counter[str] = Counter()

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture(scope="module", autouse=True)
def outcomes() -> Iterator[None]:
    """Most networks are decomposed, and most of their segments on windows."""
    _OUTCOMES.clear()
    yield
    for name, count in sorted(_OUTCOMES.items()):
        print(f"\n{count:5d} {name}", end="")
    print()
    total, refused = _OUTCOMES["networks"], sum(n for name, n in _OUTCOMES.items() if name.startswith("refused"))
    if total >= 50:
        assert refused < total / 3
        assert _OUTCOMES["segments on windows"] > total / 2


def prepared(network: nn.Module, side: int, seed: int) -> Network | None:
    """The network ready to be decomposed, every other one over layers drawn among its maps; None where refused."""
    layers = None
    if seed % 2:
        layers = drawn_layers(network, side, seed)
    _OUTCOMES["networks"] += 1
    try:
        return prepare(network, side, layers)
    except EvidenceError as error:
        message = str(error)
    assert "\n" not in message
    assert "unexpected" not in message
    _OUTCOMES[f"refused: {' '.join(message.split()[-6:])}"] += 1
    return None


def drawn_layers(network: nn.Module, side: int, seed: int) -> list[str] | None:
    """Up to three maps, each of which depends on the one before."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(1, 3, side, side, dtype=torch.float64)
    try:
        with frozen(network):
            maps = feature_maps(trace(network), network, pixels)
    except EvidenceError:
        return None
    chosen = sorted(torch.randperm(len(maps), generator=generator)[:3].tolist())
    names: list[str] = []
    for index in chosen:
        try:
            choose_layers(maps, [*names, maps[index].module])
        except EvidenceError:
            continue
        names.append(maps[index].module)
    return names or None


@pytest.mark.parametrize("seed", range(FUZZ))
def test_network(seed: int) -> None:
    network, side = draw(seed)
    untouched = copy.deepcopy(network)
    pixels = torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = untouched(pixels.clone())
    made = prepared(network, side, seed)
    if made is None:
        return
    assert [m.training for m in network.modules()] == [m.training for m in untouched.modules()]
    with frozen(network):
        record = made.recorder.record(pixels.clone())
        close(record.logits, logits)
        if isinstance(made.recorder, WindowedRecorder):
            _OUTCOMES["segments on windows"] += made.fallbacks.count(None)
            _OUTCOMES["segments by autograd"] += len(made.fallbacks) - made.fallbacks.count(None)
            check_maps(made.recorder, record, pixels, seed)
        else:
            _OUTCOMES["networks by hooks"] += 1
        for level in range(len(made.layers)):
            check_boxes(made, level, side, seed)


def check_maps(recorder: WindowedRecorder, record: Record, pixels: Tensor, seed: int) -> None:
    """Assert that activation maps of some decisions of every segment are autograd's.

    Which of equal values is the maximum may be a matter of rounding, and that one of how maps lie in memory: each lie
    counts.
    """
    lies = [ends(recorder, pixels.clone(memory_format=lie)) for lie in (torch.channels_last, torch.contiguous_format)]
    for level, segment in enumerate(record.segments):
        (source, target), other = ((sources[level], targets[level]) for sources, targets in lies)
        close(record.features[level], source.detach())
        decisions = some(target.detach(), seed)
        found = engine_maps(segment, decisions, source.shape, of_sums=1e-5)
        try:
            close(found, by_autograd(source, target, decisions))
        except AssertionError:
            close(found, by_autograd(*other, decisions))


def close(found: Tensor, right: Tensor) -> None:
    """Assert that values are those of float64 but for rounding."""
    largest = float(right.detach().abs().max()) if right.numel() else 0.0
    torch.testing.assert_close(found.double(), right.detach(), rtol=1e-7, atol=1e-9 * max(1.0, largest))


def ends(recorder: WindowedRecorder, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The lower end of each segment, a leaf, and the upper one, computed from it by the traced operations."""
    leaves: dict[fx.Node, Tensor] = {}
    values: dict[fx.Node, Tensor] = {}

    def cut(node: fx.Node, value: Tensor) -> Tensor:
        if node not in recorder.nodes:
            return value
        values[node], leaves[node] = value, value.detach().clone().requires_grad_()
        return leaves[node]

    logits = recorder.graph.execute(pixels, cut)
    return [leaves[node] for node in recorder.nodes], [*(values[node] for node in recorder.nodes[1:]), logits]


def some(value: Tensor, seed: int) -> Decisions:
    """Some values of a map or of logits, sorted by image: the corners and others."""
    whole = value if value.ndim == 4 else value[:, :, None, None]
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randint(whole.numel(), (DECISIONS,), generator=generator)
    flat = torch.tensor(sorted({*flat.tolist(), 0, whole.shape[3] - 1, whole.numel() - 1}))
    image, channel, y, x = torch.unravel_index(flat, whole.shape)
    sign = torch.where((whole.flatten()[flat] < 0) & (value.ndim == 4), -1, 1)
    return Decisions(image, channel, y, x, sign)


def by_autograd(source: Tensor, target: Tensor, decisions: Decisions) -> Tensor:
    """The same, one decision at a time."""
    target = target if target.ndim == 4 else target[:, :, None, None]
    maps = []
    for image, channel, y, x, sign in zip(
        *(getattr(decisions, name).tolist() for name in ("image", "channel", "y", "x", "sign")), strict=True
    ):
        (gradient,) = torch.autograd.grad(
            sign * target[image, channel, y, x], source, retain_graph=True, materialize_grads=True
        )
        maps.append((gradient * source)[image].detach())
    return torch.stack(maps)


def check_boxes(made: Network, level: int, side: int, seed: int) -> None:
    """Assert that no pixel which a value depends on, in any of some inputs, lies outside of its box."""
    generator = torch.Generator().manual_seed(seed + level)
    layer = made.layers[level]
    y = torch.randint(layer.height, (PLACES,), generator=generator)
    x = torch.randint(layer.width, (PLACES,), generator=generator)
    y[0], x[0], y[1], x[1] = 0, 0, layer.height - 1, layer.width - 1
    pixels = torch.randn(INPUTS, 3, side, side, dtype=torch.float64, generator=generator, requires_grad=True)
    channel = torch.randint(layer.channels, (PLACES,), generator=generator)
    weights = torch.rand(layer.channels, dtype=torch.float64, generator=generator) + 0.5
    with torch.enable_grad():
        features = made.recorder.features_at(level, pixels)
    for image in range(INPUTS):
        boxes = made.recorder.receptive_fields(level, pixels, torch.full((PLACES,), image), channel, y, x)
        for box, row, column, k in zip(boxes, y.tolist(), x.tolist(), channel.tolist(), strict=True):
            own = features[image, :, row, column] * (weights if layer.geometry else torch.eye(len(weights))[k])
            (gradient,) = torch.autograd.grad(own.sum(), pixels, retain_graph=True, materialize_grads=True)
            outside = gradient[image].clone()
            outside[:, box[0] : box[1], box[2] : box[3]] = 0
            assert not outside.any(), (layer.module, row, column, box)
    if layer.geometry is not None:
        assert layer.stride is None or 0 < layer.stride <= 4 * side
        assert layer.receptive_field is not None
        assert layer.receptive_field > 0


@pytest.mark.parametrize("seed", range(FUZZ))
def test_boxes_of_local_operations(seed: int) -> None:
    """Where all operations are local a box is at most a stride larger than what the gradient reaches."""
    network, side = draw(seed, linear=True)
    pixels = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    with frozen(network):
        graph = trace(network)
        maps = feature_maps(graph, network, pixels.detach())
        kept: dict[fx.Node, Tensor] = {}
        graph.execute(pixels, lambda node, value: kept.setdefault(node, value))
    for layer in maps:
        geometry, node = layer.geometry, layer.node
        assert geometry is not None
        assert node is not None
        step = max(layer.stride or 1, geometry.columns.stride if not geometry.columns.vague else 1)
        for axis, count in enumerate((layer.height, layer.width)):
            seen = 1 - axis if geometry.turned else axis
            for place in {0, count // 2, count - 1}:
                values = kept[node][0].select(axis + 1, place)
                (gradient,) = torch.autograd.grad(values.sum(), pixels, retain_graph=True)
                reached = torch.nonzero((gradient[0] != 0).any(0).any(1 - seen))[:, 0].tolist()
                if not reached:
                    continue  # all padding
                box = geometry.box(*((place, 0) if axis == 0 else (0, place)))
                begin, end = box[2 * seen : 2 * seen + 2]
                where = (layer.module, "yx"[axis], place, (begin, end), reached)
                assert begin <= reached[0] <= reached[-1] < end, where
                assert end - begin <= reached[-1] + 1 - reached[0] + step, where


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(*draw(int(argument)), sep="\nside ")
