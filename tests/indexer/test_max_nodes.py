"""The bound on the nodes of a layer, against sorted dictionaries and the hierarchy without a bound."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from evigraph.indexer.evidence.hierarchy import LevelEdges, Nodes, bounded, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import Roots
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.checks.checks import check_tables
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import UsageError
from tests.indexer.agreement import roots_of
from tests.indexer.networks import Prepared, prepare
from tests.support import tiny

Place = tuple[int, int, int]
"""Channel, y, x."""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


def nodes_of(rows: list[tuple[int, int, int, int, float]], device: str = "cpu") -> Nodes:
    """Nodes from (root, channel, y, x, importance), which are sorted."""
    assert rows == sorted(rows)
    columns = list(zip(*rows, strict=True)) or [()] * 5
    root, channel, y, x = (torch.tensor(c, dtype=torch.int64, device=device) for c in columns[:4])
    return Nodes(root, channel, y, x, torch.tensor(columns[4], dtype=torch.float64, device=device))


def rows_of(nodes: Nodes) -> list[tuple[int, int, int, int, float]]:
    return list(zip(*(column.tolist() for column in astuple(nodes)), strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("max_nodes", [1, 2, 3, 7, 50])
def test_the_largest_of_each_root(max_nodes: int, device: str) -> None:
    """Random nodes with few distinct importances, so that most of them tie; root 3 has no node."""
    generator = torch.Generator().manual_seed(max_nodes)
    places = torch.randint(0, 4, (160, 4), generator=generator)
    places[:, 0] += (places[:, 0] >= 3).long()
    distinct = sorted({tuple(place) for place in places.tolist()})
    importances = (torch.randint(1, 4, (len(distinct),), generator=generator) / 8).tolist()
    rows = [(*place, importance) for place, importance in zip(distinct, importances, strict=True)]

    kept, cut = bounded(nodes_of(rows, device), max_nodes, 6)

    expected, counts, sums = [], [0] * 6, [0.0] * 6
    for root in range(6):
        own = sorted((row for row in rows if row[0] == root), key=lambda row: (-row[4], row[1:4]))
        expected += sorted(own[:max_nodes])
        counts[root] = len(own[max_nodes:])
        sums[root] = sum(row[4] for row in own[max_nodes:])
    assert rows_of(kept) == expected
    assert cut.node_count.tolist() == counts
    assert cut.importance.tolist() == sums


def test_ties_go_to_the_lower_channel_then_the_first_place() -> None:
    rows = [(0, 1, 0, 5, 0.25), (0, 2, 0, 9, 0.25), (0, 2, 1, 0, 0.25), (0, 7, 0, 0, 0.5)]
    kept, cut = bounded(nodes_of(rows), 3, 1)
    assert rows_of(kept) == [rows[0], rows[1], rows[3]]
    assert (cut.node_count.tolist(), cut.importance.tolist()) == ([1], [0.25])


@pytest.mark.parametrize("max_nodes", [None, 3])
def test_no_nodes(max_nodes: int | None) -> None:
    """Roots whose hierarchy has ended above."""
    kept, cut = bounded(nodes_of([]), max_nodes, 2)
    assert len(kept) == 0
    assert (cut.node_count.tolist(), cut.importance.tolist()) == ([0, 0], [0.0, 0.0])


@pytest.fixture(scope="module")
def network() -> Prepared:
    return prepare("vgg16", size=32)


def hierarchy(network: Prepared, top_n: int, max_nodes: int | None) -> tuple[list[LevelEdges], Roots]:
    with frozen(network.model):
        record = network.recorder.record(network.pixels)
        roots = roots_of(record.logits)
        return explain(record, roots, Method(top_n, max_nodes=max_nodes)), roots


def edges_of(level: LevelEdges) -> dict[tuple[int, Place], list[tuple[Place, float, float, float]]]:
    """(root, target) -> by rank (source, share, contribution, importance)."""
    target = list(zip(*(column.tolist() for column in astuple(level.target)[:4]), strict=True))
    e = level.evidence
    found = defaultdict(list)
    columns = (level.node, e.channel, e.y, e.x, e.share.double(), e.contribution, level.importance)
    for node, channel, y, x, share, contribution, importance in zip(*(c.tolist() for c in columns), strict=True):
        root, *place = target[node]
        found[root, tuple(place)].append(((channel, y, x), share, contribution, importance))
    return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize(("top_n", "max_nodes"), [(3, 1), (3, 5), (5, 20)])
def test_against_dictionaries(network: Prepared, top_n: int, max_nodes: int) -> None:
    """The bound, derived from the edges without one: a decomposition does not depend on what else is decomposed."""
    everything, roots = hierarchy(network, top_n, None)
    levels, _ = hierarchy(network, top_n, max_nodes)
    importance: dict[int, dict[Place, float]] = {
        root: {(class_id, 0, 0): 1.0} for root, class_id in enumerate(roots.class_id.tolist())
    }
    widest = cut_nodes = 0
    cut, residual = [0.0] * len(roots.image), [0.0] * len(roots.image)
    for level, whole in zip(levels, everything, strict=True):
        known, stored = edges_of(whole), edges_of(level)
        decomposed = set(zip(*(column.tolist() for column in astuple(level.target)[:4]), strict=True))
        below: dict[int, dict[Place, float]] = {root: defaultdict(float) for root in importance}
        for root, nodes in importance.items():
            order = sorted(nodes, key=lambda place: (-nodes[place], place))
            kept, left = order[:max_nodes], order[max_nodes:]
            assert {place[1:] for place in decomposed if place[0] == root} == set(kept)
            assert int(level.cut.node_count[root]) == len(left)
            assert float(level.cut.importance[root]) == pytest.approx(sum(nodes[place] for place in left), abs=1e-12)
            cut[root] += float(level.cut.importance[root])
            widest, cut_nodes = max(widest, len(kept)), cut_nodes + len(left)
            for place in sorted(kept):
                expected, found = known.get((root, place), []), stored.get((root, place), [])
                residual[root] += nodes[place] * (1 - sum(share for _, share, *_ in found))
                assert [source for source, *_ in found] == [source for source, *_ in expected]
                for (source, share, alpha, flow), (_, known_share, known_alpha, _) in zip(found, expected, strict=True):
                    assert (share, alpha) == pytest.approx((known_share, known_alpha), rel=1e-4)
                    assert flow == pytest.approx(nodes[place] * share, rel=1e-9)
                    below[root][source] += nodes[place] * share
        importance = {root: dict(nodes) for root, nodes in below.items()}
    assert widest == max_nodes
    assert cut_nodes > 0
    # All of a root's importance reaches the lowest layer, is cut, or is the residual of a decomposition.
    for root, nodes in importance.items():
        assert sum(nodes.values()) + cut[root] + residual[root] == pytest.approx(1, abs=1e-9)


def test_a_bound_above_every_layer_changes_nothing(network: Prepared) -> None:
    everything, _ = hierarchy(network, 3, None)
    levels, _ = hierarchy(network, 3, max(len(level.target) for level in everything))
    for level, whole in zip(levels, everything, strict=True):
        assert edges_of(level) == edges_of(whole)
        assert not level.cut.node_count.any()
        assert not level.cut.importance.any()


def published(tmp_path: Path, max_nodes: int | None) -> Path:
    """The database of a tiny network's run with top 5."""
    data = tiny.draw_images(tmp_path / "images", 8)
    settings = IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"imagefolder:{data}",
        run=tmp_path / "run",
        method=Method(top_n=5, max_nodes=max_nodes),
        execution=Execution(workers=0, batch_size=3, shard_size=5),
        preprocessing=tiny.PREPROCESSING,
    )
    index(settings)
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    return tmp_path / "evidence.duckdb"


def test_a_published_run(tmp_path: Path) -> None:
    """Invariants hold; what was cut is what the edges show as left undecomposed, and `settings` says the bound."""
    bound = 3
    engine = open_read_only(published(tmp_path, bound))
    with engine.connect() as connection:
        assert [result for result in check_tables(connection) if not result.ok] == []
        assert connection.exec_driver_sql("SELECT settings->>'max_nodes' FROM run").scalar_one() == str(bound)
        columns = "decision_id, target_layer, target_channel, target_y, target_x, source_layer, source_channel, "
        edges = connection.exec_driver_sql(f"SELECT {columns} source_y, source_x, importance FROM edge").all()
        decisions = connection.exec_driver_sql("SELECT decision_id, cut_node_count, cut_importance FROM decision").all()
    engine.dispose()
    nodes: dict[tuple[int, int], dict[Place, float]] = defaultdict(lambda: defaultdict(float))
    targets: dict[tuple[int, int], set[Place]] = defaultdict(set)
    for decision, target_layer, tc, ty, tx, source_layer, sc, sy, sx, importance in edges:
        targets[decision, target_layer].add((tc, ty, tx))
        nodes[decision, source_layer][sc, sy, sx] += importance
    assert len(decisions) >= 8
    for decision, count, importance in decisions:
        cut: list[float] = []
        for layer in (1, 2):
            own = nodes[decision, layer]
            order = sorted(own, key=lambda place: (-own[place], place))
            assert targets[decision, layer] <= set(order[:bound])
            cut += [own[place] for place in order[bound:]]
        assert count == len(cut)
        assert importance == pytest.approx(sum(cut), rel=1e-4)
    assert max(count for _, count, _ in decisions) > 0


def test_a_run_without_a_bound_cuts_nothing(tmp_path: Path) -> None:
    engine = open_read_only(published(tmp_path, None))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT settings->>'max_nodes' FROM run").scalar_one() is None
        cut = connection.exec_driver_sql("SELECT DISTINCT cut_node_count, cut_importance FROM decision").all()
    engine.dispose()
    assert [tuple(row) for row in cut] == [(0, 0.0)]


def test_too_small_a_bound() -> None:
    with pytest.raises(UsageError, match="--max-nodes 0 is too small; give 1 or more"):
        Method(max_nodes=0)
