"""Overlap groups against sets of cells and one candidate after the other, alone, in hierarchies and in a whole run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

import evigraph.indexer.evidence.groups
from evigraph.indexer.engine.hooked import AutogradSegment, HookedRecorder
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.decisions import WholeMaps
from evigraph.indexer.evidence.groups import overlap_groups, suppress
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.overlaps import GroupObserver
from evigraph.indexer.evidence.record import Recorder
from evigraph.indexer.evidence.roots import Roots
from evigraph.indexer.model.graph import frozen, trace
from evigraph.indexer.model.layers import choose_layers, feature_maps
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.checks.checks import check_rollups, check_tables
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import RunFolderError
from tests.indexer.agreement import roots_of
from tests.indexer.engine.test_engine import gated
from tests.indexer.engine.test_rules import conv
from tests.indexer.networks import Function
from tests.indexer.reference import Reference
from tests.support import tiny

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Plain:
    """One decision, the slow way; `of` gives each positive channel its representative and their IoU."""

    alpha: list[float]
    of: dict[int, tuple[int, Fraction]]

    @property
    def duplicates(self) -> list[int]:
        return [channel for channel, (representative, _) in self.of.items() if representative != channel]

    def kept(self, top_n: int, merge: bool) -> list[int]:
        """The kept channels by rank; `of` is in order of contribution."""
        return [channel for channel in self.of if not merge or self.of[channel][0] == channel][:top_n]

    def stored(self, kept: Sequence[int]) -> set[tuple[int, int]]:
        """(representative, member) of the groups of kept channels."""
        return {(self.of[member][0], member) for member in self.duplicates if self.of[member][0] in kept}


def plain(maps: Tensor, threshold: float) -> Plain:
    """Group the channels of whole activation maps (channels, height, width)."""
    alpha = [float(a.mean()) for a in maps]
    masks: dict[int, set[int]] = {}
    groups: dict[int, tuple[int, Fraction]] = {}
    for channel in sorted((k for k, a in enumerate(alpha) if a > 0), key=lambda k: (-alpha[k], k)):
        values = maps[channel].flatten().tolist()
        mask = {cell for cell, value in enumerate(values) if value > threshold * max(values)}
        groups[channel] = (channel, Fraction(1))
        for representative, other in masks.items():
            iou = Fraction(len(mask & other), len(mask | other))
            if iou > Fraction(9, 10):
                groups[channel] = (representative, iou)
                break
        else:
            masks[channel] = mask
    return Plain(alpha, groups)


def blocks(decisions: int, channels: int, height: int, width: int) -> Tensor:
    """Maps of one rectangle each with few borders, so that many are alike, and small noise; some are negative."""
    random = torch.Generator().manual_seed(decisions * channels + height)
    maps = torch.rand(decisions, channels, height, width, generator=random) * 0.2 - 0.1
    top, left = (torch.randint(0, 2, (decisions, channels), generator=random) for _ in range(2))
    bottom, right = (torch.randint(0, 2, (decisions, channels), generator=random) for _ in range(2))
    scale = torch.rand(decisions, channels, generator=random) - 0.2
    for d in range(decisions):
        for k in range(channels):
            rectangle = maps[d, k, top[d, k] : height - bottom[d, k], left[d, k] : width - right[d, k]]
            rectangle += scale[d, k] * torch.randint(1, 3, (), generator=random)
    return maps


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk", [1, 20_000, 1 << 24])
@pytest.mark.parametrize(("size", "threshold"), [((1, 1), 0.5), ((2, 3), 0.5), ((14, 13), 0.5), ((20, 20), 0.0)])
def test_groups_equal_the_plain_ones(
    size: tuple[int, int], threshold: float, chunk: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions one at a time, some at a time, all at once; the last one has no positive channel."""
    monkeypatch.setitem(evigraph.indexer.evidence.groups.CHUNK_BYTES, device, chunk)
    maps = blocks(7, 40, *size)
    maps[-1] = -maps[-1].abs() - 0.1
    part = WholeMaps(torch.arange(7, device=device), maps.to(device))
    groups = overlap_groups(part, part.sums / (size[0] * size[1]), threshold)
    ious = set()
    for decision, found in enumerate(maps.double()):
        expected = plain(found, threshold)
        for channel in range(40):
            representative, iou = expected.of.get(channel, (-1, Fraction(0)))
            assert int(groups.representative[decision, channel]) == representative
            assert float(groups.iou[decision, channel]) == pytest.approx(float(iou), rel=1e-6)
            ious.add(iou)
        assert sorted(torch.nonzero(groups.is_duplicate[decision])[:, 0].tolist()) == sorted(expected.duplicates)
    assert Fraction(0) in ious
    if size[0] > 10:
        assert any(Fraction(9, 10) < iou < 1 for iou in ious)


def candidates(*masks: range) -> Tensor:
    """(1, masks, 100) of masks given as ranges of cells."""
    found = torch.zeros(1, len(masks), 100)
    for k, cells in enumerate(masks):
        found[0, k, cells.start : cells.stop] = 1
    return found


def test_a_duplicate_suppresses_nothing() -> None:
    """The second overlaps the first, and the third the second but not the first: it represents itself."""
    masks = candidates(range(100), range(92), range(85), range(86, 100))
    place, iou = suppress(masks, torch.ones(1, 4, dtype=torch.bool))
    assert place.tolist() == [[0, 0, 2, 3]]
    assert iou[0].tolist() == pytest.approx([1, 0.92, 1, 1])


def test_nine_tenths_is_no_overlap_and_the_first_representative_has_the_member() -> None:
    """The fourth overlaps the second more than the first, but the first comes first."""
    assert suppress(candidates(range(100), range(90)), torch.ones(1, 2, dtype=torch.bool))[0].tolist() == [[0, 1]]
    masks = candidates(range(100), range(90), range(5), range(95))
    assert suppress(masks, torch.ones(1, 4, dtype=torch.bool))[0].tolist() == [[0, 1, 2, 0]]


class Staged(nn.Module):
    """Windows with pooling at their end, a stage that is not local, windows that stick out, a head; 12 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 12), nn.ReLU())
        self.first = nn.Sequential(nn.MaxPool2d(2), conv(12, 12), nn.ReLU())
        self.gate = Function(gated, nn.Conv2d(12, 12, 1))
        self.last = nn.Sequential(conv(12, 12), nn.ReLU(), conv(12, 12), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.last(self.gate(self.first(self.stem(pixels)))))
        return logits


STAGES = ["stem", "first", "gate", "last"]


@pytest.fixture(scope="module")
def network() -> tuple[Staged, Tensor]:
    torch.manual_seed(3)
    return Staged().double().eval(), torch.randn(2, 3, 20, 20).double()


@pytest.fixture(scope="module")
def references(network: tuple[Staged, Tensor]) -> list[Reference]:
    return [Reference(network[0], STAGES, pixels) for pixels in network[1]]


def recorder(network: Staged, pixels: Tensor, *, hooked: bool) -> Recorder:
    with frozen(network):
        graph = trace(network)
        layers = choose_layers(feature_maps(graph, network, pixels[:1]), STAGES)
        return HookedRecorder(network, layers) if hooked else WindowedRecorder(graph, layers, pixels[:1])


def duplicates_of(level: LevelEdges) -> dict[int, dict[tuple[int, int], tuple[float, float]]]:
    """Node -> (representative, member) -> (contribution, IoU)."""
    d = level.noted.rows["overlap"]
    found: dict[int, dict[tuple[int, int], tuple[float, float]]] = defaultdict(dict)
    columns = (d[name] for name in ("target", "representative", "member", "contribution", "iou"))
    for node, representative, member, contribution, iou in zip(*(c.tolist() for c in columns), strict=True):
        found[node][representative, member] = (contribution, iou)
    return found


def assert_levels_are_plain(
    levels: list[LevelEdges], roots: Roots, references: list[Reference], top_n: int, threshold: float, merge: bool
) -> tuple[int, int]:
    """Assert every decomposition of a hierarchy; return how many duplicates were counted and how many stored."""
    counted = stored = 0
    for level in levels:
        own, t = duplicates_of(level), level.target
        nodes = level.noted.rows["overlap"]["target"].tolist()
        assert nodes == sorted(nodes)
        for node, (root, *place) in enumerate(
            zip(t.root.tolist(), t.channel.tolist(), t.y.tolist(), t.x.tolist(), strict=True)
        ):
            maps = references[int(roots.image[root])].activation_maps(level.source_layer, *place)
            expected = plain(maps, threshold)
            kept = expected.kept(top_n, merge)
            rows = torch.nonzero(level.node == node)[:, 0]
            assert level.evidence.channel[rows].tolist() == kept
            assert int(level.positive_count[node]) == len(expected.of)
            positive = sum(a for a in expected.alpha if a > 0)
            assert float(level.positive_sum[node]) == pytest.approx(positive, rel=1e-4)
            shares = [expected.alpha[k] / positive for k in kept]
            assert level.evidence.share[rows].tolist() == pytest.approx(shares, rel=1e-4)
            assert int(level.noted.target["overlap_count"][node]) == len(expected.duplicates)
            assert set(own[node]) == expected.stored(kept)
            for (representative, member), (contribution, iou) in own[node].items():
                assert contribution == pytest.approx(expected.alpha[member], rel=1e-4)
                assert iou == pytest.approx(float(expected.of[member][1]), rel=1e-6)
                assert representative in kept
            counted, stored = counted + len(expected.duplicates), stored + len(own[node])
    return counted, stored


@pytest.mark.slow
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("hooked", "threshold", "max_nodes"), [(False, 0.5, None), (True, 0.5, 4), (False, 0.0, 3)])
def test_hierarchies_equal_the_plain_ones(
    network: tuple[Staged, Tensor],
    references: list[Reference],
    hooked: bool,
    threshold: float,
    max_nodes: int | None,
    merge: bool,
) -> None:
    """On windows, by autograd in between, and by hooks throughout; whole maps give the same groups as windows."""
    model, pixels = network
    maker = recorder(model, pixels, hooked=hooked)
    with frozen(model):
        record = maker.record(pixels)
        fallbacks = [isinstance(segment, AutogradSegment) for segment in record.segments]
        assert fallbacks == ([True] * 4 if hooked else [False, True, False, False])
        roots = roots_of(record.logits)
        method = Method(3, threshold, max_nodes, overlaps=True, merge_overlaps=merge)
        levels = explain(record, roots, method, [[GroupObserver()]] * 4)
        other = explain(record, roots, Method(3, threshold, max_nodes))
    counted, stored = assert_levels_are_plain(levels, roots, references, 3, threshold, merge)
    assert counted > stored > 0
    kept, without = ([level.evidence.channel.tolist() for level in found] for found in (levels, other))
    assert (kept == without) != merge
    assert all(not level.noted.target and not level.noted.rows for level in other)


def wide_network(num_classes: int = 4) -> nn.Module:
    """Many channels on small windows, so that some of those kept peak at one place."""
    layers = [layer for channels in (3, 24, 24) for layer in (conv(channels, 24), nn.ReLU(), nn.MaxPool2d(2))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, num_classes))


def settings_of(folder: Path, **options: object) -> IndexSettings:
    if not (folder / "images").exists():
        tiny.draw_images(folder / "images", 12)
    options = {
        "model": f"{__name__}:wide_network",
        "weights": "random",
        "data": f"imagefolder:{folder / 'images'}",
        "method": Method(top_n=4),
        "execution": Execution(workers=0, batch_size=5, shard_size=7),
        "preprocessing": tiny.PREPROCESSING,
    } | options
    return IndexSettings(**options)  # type: ignore[arg-type]


def table(run: Path, name: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted((run / "shards").glob(f"*.{name}.parquet"))])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `plain`, `stored` and `merged` of the same images, and a database of them."""
    folder = tmp_path_factory.mktemp("overlaps")
    index(settings_of(folder, run=folder / "plain"))
    index(settings_of(folder, run=folder / "stored", method=Method(top_n=4, overlaps=True)))
    index(settings_of(folder, run=folder / "merged", method=Method(top_n=4, merge_overlaps=True)))
    publish([folder / name for name in ("plain", "stored", "merged")], folder / "evidence.duckdb")
    return folder


def test_overlaps_add_to_a_run_and_change_nothing_else(runs: Path) -> None:
    assert not list((runs / "plain" / "shards").glob("*.overlap.parquet"))
    assert table(runs / "plain", "edge") == table(runs / "stored", "edge")
    without, counted = table(runs / "plain", "decomposition"), table(runs / "stored", "decomposition")
    assert without["overlap_count"].null_count == without.num_rows
    assert without["positive_count"].null_count == counted["overlap_count"].null_count == 0
    assert without.drop_columns(["overlap_count"]) == counted.drop_columns(["overlap_count"])
    assert table(runs / "merged", "edge") != table(runs / "stored", "edge")


def test_a_published_run_holds_the_groups_of_its_shards(runs: Path) -> None:
    engine = open_read_only(runs / "evidence.duckdb")
    with engine.connect() as connection:
        broken = [result for result in (*check_tables(connection), *check_rollups(connection)) if not result.ok]
        assert broken == []
        run_ids = {row.name: row.run_id for row in connection.exec_driver_sql("SELECT name, run_id FROM run")}
        asked = connection.exec_driver_sql(
            "SELECT name, settings->>'overlaps', settings->>'merge_overlaps' FROM run ORDER BY run_id"
        )
        flags = [("plain", "false", "false"), ("stored", "true", "false"), ("merged", "true", "true")]
        assert [tuple(row) for row in asked] == flags
        for name in ("stored", "merged"):
            rows = connection.exec_driver_sql(
                "SELECT * EXCLUDE (run_id) FROM overlap WHERE run_id = $run_id ORDER BY ALL", {"run_id": run_ids[name]}
            ).all()
            shards = sorted(tuple(row.values()) for row in table(runs / name, "overlap").to_pylist())
            assert [tuple(row) for row in rows] == shards
            assert len(shards) > 0
        # Merged, no two channels of one decomposition are in one group.
        twice = """
            SELECT count(*) FROM edge AS e JOIN overlap AS o
            ON o.run_id = e.run_id AND o.decision_id = e.decision_id AND o.layer_id = e.target_layer
               AND o.channel = e.target_channel AND o.y = e.target_y AND o.x = e.target_x
               AND o.member = e.source_channel
            WHERE e.run_id = $run_id
        """
        found = {name: connection.exec_driver_sql(twice, {"run_id": run_ids[name]}).scalar_one() for name in run_ids}
        assert found["merged"] == 0
        assert found["stored"] > 0
    engine.dispose()


def test_every_node_has_a_decomposition(runs: Path) -> None:
    """Also a node that no channel supports: a count of 0, and no edges."""
    for name in ("plain", "merged"):
        edge, decomposition = table(runs / name, "edge").to_pylist(), table(runs / name, "decomposition").to_pylist()
        key = ("decision_id", "target_layer", "target_channel", "target_y", "target_x")
        shares: dict[tuple[int, ...], list[dict[str, float]]] = defaultdict(list)
        nodes = {(row["decision_id"], 3, row["class_id"], 0, 0) for row in table(runs / name, "decision").to_pylist()}
        for row in edge:
            shares[tuple(row[k] for k in key)].append(row)
            if row["source_layer"]:
                nodes.add(tuple(row[k.replace("target", "source")] for k in key))
        assert {tuple(row[k] for k in key) for row in decomposition} == nodes
        assert len(decomposition) == len(nodes)
        for row in decomposition:
            own = shares[tuple(row[k] for k in key)]
            # Merged, as many are kept as there are representatives.
            candidates = row["positive_count"] - (row["overlap_count"] or 0)
            assert row["evidence_count"] == len(own) == min(4, candidates)
            assert (row["positive_sum"] > 0) == (len(own) > 0) == (row["positive_count"] > 0)
            for e in own:
                assert e["share"] * row["positive_sum"] == pytest.approx(e["contribution"], rel=1e-5)
                assert e["share"] * row["importance"] == pytest.approx(e["importance"], rel=1e-5)


def dead_network(num_classes: int = 4) -> nn.Module:
    """Half of the channels of the middle layer live on their bias alone: nothing below supports them."""
    model = tiny.network(num_classes)
    with torch.no_grad():
        model.get_parameter("3.weight")[::2] = 0
        model.get_parameter("3.bias")[::2] = 1
    return model


def test_nodes_without_evidence_are_decompositions_too(tmp_path: Path) -> None:
    method = Method(top_n=4, overlaps=True)
    report = index(settings_of(tmp_path, model=f"{__name__}:dead_network", run=tmp_path / "run", method=method))
    decomposition = table(tmp_path / "run", "decomposition").to_pylist()
    barren = [row for row in decomposition if row["evidence_count"] == 0]
    assert report.barren_count == len(barren) > 0
    assert report.node_count == len(decomposition)
    for row in barren:
        assert (row["positive_sum"], row["positive_count"], row["overlap_count"]) == (0, 0, 0)
        assert row["importance"] > 0
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    engine = open_read_only(tmp_path / "evidence.duckdb")
    with engine.connect() as connection:
        empty = connection.exec_driver_sql(
            "SELECT count(*), count(positive_log), sum(positive_count) FROM decomposition WHERE len(evidence) = 0"
        ).one()
        assert tuple(empty) == (len(barren), 0, 0)
    engine.dispose()


def test_overlap_settings_are_part_of_the_run(tmp_path: Path) -> None:
    index(settings_of(tmp_path, run=tmp_path / "run", limit=3))
    with pytest.raises(RunFolderError, match="overlaps"):
        index(settings_of(tmp_path, run=tmp_path / "run", limit=3, method=Method(top_n=4, overlaps=True)))
