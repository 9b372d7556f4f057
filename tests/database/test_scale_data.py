"""The drawn run of the scale benchmarks: valid as a real one, the same whenever it is made, and long-tailed."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from benchmarks import database_scale
from benchmarks.scale import data as scale_data
from benchmarks.scale import server as scale_server
from benchmarks.scale.levels import LEVELS
from benchmarks.scale.rows import Scale
from benchmarks.scale.trees import TOP_N
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.shards.folder import RunFolder
from evigraph.schema.checks.checks import run_checks
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import RunFolderError
from evigraph.schema.ids import image_id_sql

IMAGES = 200


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 200 images, one for every fifth class."""
    return scale_data.make(IMAGES, out=tmp_path_factory.mktemp("scale") / "run")


@pytest.fixture(scope="module")
def rows(run_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Views of its tables."""
    connection = duckdb.connect()
    for table in ("image", "decision", "edge"):
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{run_dir}/shards/*.{table}.parquet')")
    yield connection
    connection.close()


@pytest.mark.slow
def test_every_invariant_holds(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "scale.duckdb"
    report = publish([run_dir], db)
    assert report.image_count == IMAGES
    engine = open_read_only(db)
    with engine.connect() as connection:
        broken = [result for result in run_checks(connection) if not result.ok]
    engine.dispose()
    assert broken == []


def test_a_shard_is_the_same_whenever_it_is_made(run_dir: Path) -> None:
    with RunFolder.open_for_reading(run_dir) as folder:
        scale = Scale(IMAGES, 0)
        again = scale.shard(1, folder.image_range(1))
        assert again["edge"].equals(Scale(IMAGES, 0).shard(1, folder.image_range(1))["edge"])
        assert not again["edge"].equals(Scale(IMAGES, 1).shard(1, folder.image_range(1))["edge"])
        files = {shard: folder.manifest(shard) for shard in range(folder.shard_count)}
    assert scale_data.make(IMAGES, out=run_dir) == run_dir
    (run_dir / "shards" / "00001.edge.parquet").write_bytes(b"damaged")
    scale_data.make(IMAGES, out=run_dir)
    with RunFolder.open_for_reading(run_dir) as folder:
        assert {shard: folder.manifest(shard) for shard in range(folder.shard_count)} == files


def test_a_folder_of_another_run_is_refused(run_dir: Path) -> None:
    with pytest.raises(RunFolderError, match="was made with"):
        scale_data.make(IMAGES, seed=1, out=run_dir)


def test_peaks_lie_in_the_window_of_their_target(rows: duckdb.DuckDBPyConnection) -> None:
    """One place of a layer sees 2 * place + 1 +- half the window of the layer below, as VGG's convolutions do."""
    for layer, level in enumerate(LEVELS[:-1]):
        for axis in "yx":
            low, high = rows.execute(
                f"SELECT min(source_{axis} - 2 * target_{axis}), max(source_{axis} - 2 * target_{axis}) "
                "FROM edge WHERE source_layer = ?", [layer],
            ).fetchall()[0]  # fmt: skip
            assert -level.window // 2 < low < 0 < high <= level.window // 2


def test_a_node_is_one_node_in_both_roots_of_an_image(rows: duckdb.DuckDBPyConnection) -> None:
    """Its feature, and what it is decomposed into, depend on the image alone; many nodes are in both."""
    node = f"{image_id_sql('decision_id')}, target_layer, target_channel, target_y, target_x"
    found = rows.execute(
        f"""SELECT count(*) FILTER (roots = 2), count(*) FILTER (kinds > 1) FROM (
                SELECT count(DISTINCT decision_id) AS roots,
                       count(DISTINCT (source_channel, source_y, source_x, contribution, share, activation)) AS kinds
                FROM edge, (SELECT max(target_layer) AS logits FROM edge) WHERE target_layer < logits
                GROUP BY {node}, "rank")"""
    ).fetchall()[0]
    assert found[0] > 1000
    assert found[1] == 0
    place = f"{image_id_sql('decision_id')}, source_layer, source_channel, source_y, source_x"
    nodes, with_feature = rows.execute(
        f"SELECT count(DISTINCT ({place})), count(DISTINCT ({place}, feature)) FROM edge"
    ).fetchall()[0]
    assert nodes == with_feature


def test_it_looks_like_a_dataset(rows: duckdb.DuckDBPyConnection) -> None:
    """Accuracy, roots, shared nodes, kept shares, recurring pairs of channels, context labels at two layers."""
    wrong, images = rows.execute("SELECT count(*) FILTER (label_id <> predicted_id), count(*) FROM image").fetchall()[0]
    assert images == IMAGES
    assert 0.15 < wrong / images < 0.35
    roots, edges = rows.execute("SELECT count(DISTINCT decision_id), count(*) FROM edge").fetchall()[0]
    assert roots == images + wrong
    assert 300 < edges / roots < 360
    by_layer = rows.execute(
        """SELECT source_layer, count(*), count(DISTINCT (target_channel, source_channel)),
                  TOP_N * avg(share), count(context_label_id) / count(*)
           FROM edge GROUP BY ALL ORDER BY ALL""".replace("TOP_N", str(TOP_N))
    ).fetchall()
    for layer, count, pairs, kept, with_context in by_layer:
        assert 0.1 < kept < 0.5
        assert (with_context > 0) == (LEVELS[layer].context_iou > 0)
        assert with_context < 1
        if layer == 0:
            assert pairs < count / 10
    labels = rows.execute("SELECT count(*) FROM edge WHERE context_label_id IS NOT NULL GROUP BY context_label_id")
    counts = sorted((count for (count,) in labels.fetchall()), reverse=True)
    assert len(counts) > 30
    assert sum(counts[:10]) > 0.4 * sum(counts)


@pytest.mark.slow
def test_the_benchmark_measures_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tiny run, where the figures mean nothing; a second call measures the databases that were kept."""
    small = ["--edges", "8000", "--questions", "4", "--warm-up", "1", "--clients", "2", "--seconds", "0.2"]
    arguments = ["database_scale", *small, "--json", "-", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert database_scale.main() == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    kinds = ("channelSupport", "contextLabels", "evidence", "confusions", "supporters", "supports", "peaks")
    assert figures.keys() >= {f"{kind}.{part}" for kind in kinds for part in ("p50_ms", "p95_ms", "growth")}
    assert figures.keys() >= {f"{kind}.over_sql" for kind in kinds[:2]}
    assert figures.keys() >= {"publish.edges_per_s", "disk.bytes_per_edge", "served.p99_ms", "adding.over_empty"}
    assert figures["served.requests_per_s"]["requests"] > 0
    assert figures["served.errors"]["value"] == 0
    assert sum(figures["disk.bytes_per_edge"]["by_table"].values()) == pytest.approx(
        figures["disk.bytes_per_edge"]["value"]
    )
    monkeypatch.setattr(sys, "argv", [*arguments, "--skip-publish", "--skip-latency", "--skip-load"])
    assert database_scale.main() == 0
    assert json.loads(capsys.readouterr().out)["figures"].keys() == {"disk.bytes_per_edge"}


@pytest.mark.slow
def test_a_server_ends_with_its_block(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "scale.duckdb"
    publish([run_dir], db)
    ports = []
    with suppress(KeyboardInterrupt), scale_server.serving(db) as port:
        ports.append(port)
        socket.create_connection(("127.0.0.1", port), 5).close()
        raise KeyboardInterrupt
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]), 5)
    (tmp_path / "broken.duckdb").write_bytes(b"no database")
    with pytest.raises(RuntimeError, match="not a DuckDB database"), scale_server.serving(tmp_path / "broken.duckdb"):
        pass
