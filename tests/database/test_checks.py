"""Each invariant is broken in turn, and it alone must notice."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from evigraph.schema.checks.checks import check_rollups, check_tables, run_checks
from evigraph.schema.checks.invariants import INVARIANTS
from evigraph.schema.ids import image_id_sql
from evigraph.schema.parts import parts
from evigraph.schema.rollups.filling import build_rollups
from evigraph.schema.tables import ROLLUP_TABLES, ROLLUPS
from evigraph.schema.tables.base import Base
from evigraph.schema.tables.selects import edges_of, whole

# A decomposition at the bottom of a hierarchy: nothing hangs on its edges.
LOWEST = "source_layer = 0"
A_ROOT = "(SELECT min(decision_id) FROM edge)"
ONE_EDGE = "rowid = (SELECT min(rowid) FROM edge WHERE {})"
WRONG = "(SELECT min(image_id) FROM image WHERE label_id <> predicted_id)"
RIGHT = "(SELECT min(image_id) FROM image WHERE label_id = predicted_id)"
COPY_EDGES = "INSERT INTO edge SELECT * REPLACE ({}) FROM edge WHERE {}"
WHOLE = f"""(
    SELECT rowid FROM edge JOIN (
        SELECT decision_id, target_channel, target_y, target_x FROM edge WHERE {LOWEST}
        GROUP BY ALL HAVING count(*) = 3 AND sum(share) + min(share) < 1 ORDER BY ALL LIMIT 1
    ) USING (decision_id, target_channel, target_y, target_x) WHERE {LOWEST} ORDER BY "rank" LIMIT 3)"""
"""The three edges of one decomposition into the lowest layer, by rank."""

OVERLAP = """
    INSERT INTO overlap
    SELECT 1, class_id, decision_id, layer_id, d.channel, y, x, e.channel, e.channel + 1,
           {} * exp(positive_log / 16384.0), {}
    FROM (SELECT *, evidence[1] AS e FROM decomposition
          WHERE overlap_count > 1 ORDER BY decision_id, layer_id LIMIT 1) AS d, range({})"""
"""Members of the group of one kept channel: their contribution as a part of all positive ones, IoU, and how many."""

# Name of the invariant to (statements that break it, and it alone).
BREAKS: dict[str, list[str]] = {
    "unique-run": ["INSERT INTO run SELECT * REPLACE ('twin' AS name) FROM run"],
    "unique-layer": ["INSERT INTO layer SELECT * FROM layer WHERE layer_id = 1"],
    "unique-class": [
        "INSERT INTO class SELECT * FROM class WHERE class_id = 1",
        "UPDATE layer SET channels = channels + 1 WHERE name = 'logits'",
    ],
    "unique-image": [f"INSERT INTO image SELECT * FROM image WHERE image_id = {RIGHT}"],
    "unique-skipped_image": ["INSERT INTO skipped_image SELECT * FROM skipped_image LIMIT 1"],
    "unique-decision": [
        "INSERT INTO decision SELECT * FROM decision WHERE decision_id = 2 * (SELECT min(image_id) FROM image)"
    ],
    "unique-decomposition": ["INSERT INTO decomposition SELECT * FROM decomposition WHERE rowid = 5"],
    "unique-overlap": [OVERLAP.format(1e-4, 0.95, 2)],
    "finite-overlap": [OVERLAP.format("'nan'::REAL", 0.95, 1)],
    "overlap": [OVERLAP.format(1e-4, 0.5, 1)],
    "overlap-count": [
        OVERLAP.format(1e-4, 0.95, 1),
        "UPDATE decomposition SET overlap_count = 0 WHERE decision_id = (SELECT decision_id FROM overlap)",
    ],
    "unique-image_tag": ["INSERT INTO image_tag VALUES (1, 0, 'sea'), (1, 0, 'sea')"],
    "unique-image_label": ["INSERT INTO image_label VALUES (1, 0, 2), (1, 0, 2)"],
    "unique-thumbnail": [f"INSERT INTO thumbnail SELECT 1, {RIGHT}, 'image/jpeg', 1, 1, 'x'::BLOB FROM range(2)"],
    "unique-activation_map": [
        "INSERT INTO activation_map SELECT 1, decision_id, target_layer, target_channel, target_y, target_x, "
        "source_channel, 0, 0, 1, 1, 'x'::BLOB FROM (FROM edge LIMIT 1), range(2)"
    ],
    "unique-guided_crop": [
        "INSERT INTO guided_crop SELECT 1, layer_id, channel, image_id, y, x, 'image/webp', 1, 1, 'x'::BLOB "
        "FROM (FROM channel_peak LIMIT 1), range(2)"
    ],
    "pictures": ["INSERT INTO thumbnail VALUES (1, 9999, 'image/jpeg', 1, 1, 'x'::BLOB)"],
    "unique-image_context": ["INSERT INTO image_context SELECT * FROM image_context LIMIT 1"],
    "finite-image_context": ["UPDATE image_context SET area = 'nan'::REAL WHERE rowid = 0"],
    "image-context": ["UPDATE image_context SET area = 1.5 WHERE rowid = 0"],
    "unique-verification": ["INSERT INTO verification SELECT * FROM verification LIMIT 1"],
    "finite-verification": ["UPDATE verification SET logit = 'nan'::REAL WHERE rowid = 0"],
    "verification-edge": ["UPDATE verification SET target_y = target_y + 1 WHERE rowid = 0"],
    "verification-control": [
        "UPDATE verification SET control_channel = source_channel WHERE rowid = "
        "(SELECT min(rowid) FROM verification WHERE control_channel IS NOT NULL)"
    ],
    "verification-fill": ["UPDATE verification SET control_area = area / 2 WHERE area < 0.5"],
    "verification-outcome": ["UPDATE verification SET method = 'paint' WHERE rowid = 0"],
    "unique-context_label": ["INSERT INTO context_label SELECT * FROM context_label LIMIT 1"],
    "of-a-run": ["INSERT INTO context_label VALUES (9, 1, 'sea')"],
    "finite-run": ["UPDATE run SET mask_threshold = 'inf'::REAL"],
    "finite-image": [f"UPDATE image SET probability = 'nan'::REAL WHERE image_id = {RIGHT}"],
    "finite-decision": [f"UPDATE decision SET logit = '-inf'::REAL WHERE decision_id = {A_ROOT}"],
    "finite-edge": [f"UPDATE edge SET feature = 'nan'::REAL WHERE {ONE_EDGE.format('TRUE')}"],
    "layer-order": ["UPDATE layer SET name = 'outputs' WHERE name = 'logits'"],
    "image-class": [
        "DELETE FROM verification",
        "UPDATE image SET label_id = 99 WHERE image_id = (SELECT min(image_id) FROM image WHERE label_id IS NULL)",
        "INSERT INTO decision SELECT run_id, decision_id + 1, image_id, 99, 'label', 0, 0, 0, 0 FROM decision "
        "JOIN image USING (run_id, image_id) WHERE label_id = 99",
    ],
    "image-or-skipped": ["UPDATE skipped_image SET image_id = 0 WHERE image_id = 3"],
    "probability": [f"UPDATE image SET probability = 1.5 WHERE image_id = {RIGHT}"],
    "decision-image": [
        f"DELETE FROM image_context WHERE image_id = {RIGHT}",
        f"DELETE FROM image WHERE image_id = {RIGHT}",
    ],
    "decision-id": [
        "DELETE FROM verification",
        f"UPDATE decision SET decision_id = 9001 WHERE decision_id = 2 * {RIGHT}",
        f"UPDATE edge SET decision_id = 9001 WHERE decision_id = 2 * {RIGHT}",
        f"UPDATE decomposition SET decision_id = 9001 WHERE decision_id = 2 * {RIGHT}",
    ],
    "decision-role": [
        f"INSERT INTO decision SELECT * REPLACE (2 * image_id + 1 AS decision_id, 'label' AS role) FROM decision "
        f"WHERE image_id = {RIGHT}"
    ],
    "decision-complete": [
        "DELETE FROM verification",
        f"DELETE FROM edge WHERE decision_id = 2 * {WRONG} + 1",
        f"DELETE FROM decomposition WHERE decision_id = 2 * {WRONG} + 1",
        f"DELETE FROM decision WHERE decision_id = 2 * {WRONG} + 1",
    ],
    "decomposition-class": [
        "DELETE FROM verification",
        f"UPDATE decomposition SET class_id = (class_id + 1) % 6 WHERE decision_id = {A_ROOT}",
    ],
    "positive-count": ["UPDATE decomposition SET overlap_count = positive_count + 1 WHERE rowid = 5"],
    "cut": [f"UPDATE decision SET cut_node_count = -1 WHERE decision_id = {A_ROOT}"],
    "cut-unbounded": [f"UPDATE decision SET cut_node_count = 1 WHERE decision_id = {A_ROOT}"],
    "edge-decision": [COPY_EDGES.format("9000 AS decision_id", f"decision_id = {A_ROOT}")],
    "edge-layers": [f"UPDATE edge SET source_layer = 2, source_y = 1, source_x = 1 WHERE {ONE_EDGE.format(LOWEST)}"],
    "edge-bounds": [f"UPDATE edge SET source_x = 32 WHERE {ONE_EDGE.format(LOWEST)}"],
    "root-target": [
        f"UPDATE edge SET target_channel = (target_channel + 1) % 6 WHERE target_layer = 3 AND decision_id = {A_ROOT}"
    ],
    "target-is-source": [
        COPY_EDGES.format("(target_y + 1) % 16 AS target_y", f"rowid IN {WHOLE}"),
    ],
    "max-nodes": ["UPDATE run SET settings = '{\"max_nodes\": 2}'"],
    "cut-evidence": [
        "UPDATE run SET settings = '{\"max_nodes\": 100}'",
        f"UPDATE decision SET cut_node_count = 100, cut_importance = 0.0001 WHERE decision_id = {A_ROOT}",
    ],
    "rank": [f'UPDATE edge SET "rank" = "rank" + 1 WHERE rowid IN {WHOLE} AND "rank" > 0'],
    "source-once": [
        f"UPDATE edge SET source_channel = (SELECT any_value(source_channel) FROM edge WHERE rowid IN {WHOLE} "
        f'AND "rank" = 0) WHERE rowid IN {WHOLE} AND "rank" = 1'
    ],
    "contribution": [
        f'UPDATE edge SET contribution = 9 - 3 * (2 - "rank"), share = 0.09 - 0.03 * (2 - "rank"), '
        f'importance = importance / share * (0.09 - 0.03 * (2 - "rank")) WHERE rowid IN {WHOLE}'
    ],
    "share": [
        f"UPDATE edge SET share = 0.5, contribution = 1, importance = importance / share * 0.5 WHERE rowid IN {WHOLE}"
    ],
    "share-ratio": [
        f'UPDATE edge SET share = share * 0.9, importance = importance * 0.9 WHERE rowid IN {WHOLE} AND "rank" = 0'
    ],
    "importance": [f"UPDATE edge SET importance = importance * 1.01 WHERE {ONE_EDGE.format(LOWEST)}"],
    "activation": [f"UPDATE edge SET activation = 0 WHERE {ONE_EDGE.format('TRUE')}"],
    "context-label": [f"UPDATE edge SET context_label_id = 77, context_iou = 0.5 WHERE {ONE_EDGE.format('TRUE')}"],
    "context-peak": [
        f"UPDATE edge SET context_peak_mass = 1.5 WHERE {ONE_EDGE.format('context_peak_mass IS NOT NULL')}"
    ],
    "unique-localization": ["INSERT INTO localization SELECT * FROM localization WHERE channel >= 0 LIMIT 1"],
    "finite-localization": ["UPDATE localization SET peak_low = 'nan'::REAL WHERE rowid = 0"],
    "localization": ["UPDATE localization SET mass_sum = edges + 1 WHERE rowid = 0"],
    "context-iou": [f"UPDATE edge SET context_label_id = 1, context_iou = NULL WHERE {ONE_EDGE.format('TRUE')}"],
    "run-counts": ["UPDATE run SET edge_count = edge_count + 1"],
}

COUNTS = """
    UPDATE run SET image_count = (SELECT count(*) FROM image), decision_count = (SELECT count(*) FROM decision),
        skipped_count = (SELECT count(*) FROM skipped_image),
        edge_count = (SELECT sum(len(evidence)) FROM decomposition),
        labelled_count = (SELECT count(label_id) FROM image),
        correct_count = (SELECT count(*) FROM image WHERE label_id = predicted_id)
"""


@pytest.fixture
def overlapping(writable: Connection) -> Connection:
    """The same with an overlap group, so that each rollup has rows."""
    writable.exec_driver_sql(OVERLAP.format(1e-4, 0.95, 1))
    build_rollups(writable, 1)
    return writable


def test_a_good_database_keeps_every_invariant(writable: Connection) -> None:
    seen: list[tuple[int, int]] = []
    results = run_checks(writable, lambda done, total: seen.append((done, total)))
    assert [(r.name, r.violations, r.detail) for r in results if not r.ok] == []
    assert len({r.name for r in results}) == len(results) == len(seen)
    assert seen[-1] == (len(results), len(results))


def test_every_invariant_is_broken_below() -> None:
    assert set(BREAKS) == {rule.name for rule in INVARIANTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_invariant_is_found_and_no_other(editable: Connection, name: str) -> None:
    for statement in BREAKS[name]:
        assert editable.exec_driver_sql(statement).rowcount != 0, statement
    if name != "run-counts":
        editable.exec_driver_sql(COUNTS)
    build_rollups(editable, 1)
    broken = [result for result in run_checks(editable) if not result.ok]
    assert [result.name for result in broken] == [name]
    assert broken[0].violations > 0
    assert broken[0].detail.startswith(f"{broken[0].violations} ")


@pytest.mark.parametrize(
    "change",
    [
        "control_predicted_id = NULL",
        "control_predicted_id = 999",
        "control_disturbance = NULL",
        "control_disturbance = -1",
        "control_logit_change = NULL",
        "control_label_logit_change = NULL",
        "control_corrected = NULL",
        "disturbance = NULL",
        "control_channel = NULL",
        "control_channel = 99",
        "control_channel = source_channel",
        "control_top = 1",
        "control_left = 1",
    ],
)
def test_a_control_told_of_in_part_or_of_evidence_is_found(writable: Connection, change: str) -> None:
    labelled = f"{image_id_sql('decision_id')} IN (SELECT image_id FROM image WHERE label_id IS NOT NULL)"
    one = f"(SELECT min(rowid) FROM verification WHERE control_channel IS NOT NULL AND {labelled})"
    assert writable.exec_driver_sql(f"UPDATE verification SET {change} WHERE rowid = {one}").rowcount == 1
    assert [result.name for result in check_tables(writable) if not result.ok] == ["verification-control"]


@pytest.mark.parametrize(
    "change",
    [
        "fill = 'paint'",
        "fill = 'image'",
        "fill_image_id = 0",
        f"fill = 'image', fill_image_id = {image_id_sql('decision_id')}",
        "empty_predicted_id = 999",
        "control_area = NULL",
        "control_shape = NULL",
        "control_shape = 'disc'",
        "method = 'remove', area = NULL, control_top = NULL, control_left = NULL, control_area = NULL, "
        "control_shape = NULL, control_channel = 99",
    ],
)
def test_an_unknown_filling_or_a_control_of_another_area_is_found(writable: Connection, change: str) -> None:
    one = "(SELECT min(rowid) FROM verification WHERE control_top IS NOT NULL)"
    assert writable.exec_driver_sql(f"UPDATE verification SET {change} WHERE rowid = {one}").rowcount == 1
    assert "verification-fill" in [result.name for result in check_tables(writable) if not result.ok]


@pytest.mark.slow
@pytest.mark.parametrize("table", ROLLUP_TABLES)
@pytest.mark.parametrize("change", ["lost", "doubled", "other"])
def test_a_wrong_rollup_is_found_and_no_other(overlapping: Connection, table: str, change: str) -> None:
    columns = [column.name for column in Base.metadata.tables[table].columns]
    numbers = ("decisions", "edges", "decompositions", "images", "tested", "image_count", "y")
    column = next(name for name in numbers if name in columns)
    first = f"rowid = (SELECT min(rowid) FROM {table})"
    overlapping.exec_driver_sql(
        {
            "lost": f"DELETE FROM {table} WHERE {first}",
            "doubled": f"INSERT INTO {table} SELECT * FROM {table} WHERE {first}",
            "other": f"UPDATE {table} SET {column} = {column} + 1 WHERE {first}",
        }[change]
    )
    broken = [result.name for result in run_checks(overlapping) if not result.ok]
    assert broken == [f"rollup-{table}"]


def test_channels_are_sampled_in_a_large_run(writable: Connection) -> None:
    """With one channel in n compared, a good database passes and a rollup that is wrong throughout does not."""
    assert all(result.ok for result in check_rollups(writable, sample_edges=300))
    writable.exec_driver_sql("UPDATE channel_peak SET x = x + 1")
    sampled, whole = (
        next(r for r in check_rollups(writable, sample_edges=limit) if r.name == "rollup-channel_peak")
        for limit in (300, 10**9)
    )
    assert 0 < sampled.violations < whole.violations


def test_rules_on_edges_hold_in_every_part(editable: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation counts once however the decisions are divided."""
    editable.exec_driver_sql(f"UPDATE edge SET activation = -1 WHERE {LOWEST}")
    whole = next(r for r in check_tables(editable) if r.name == "activation")
    monkeypatch.setattr("evigraph.schema.checks.checks.EDGES_PER_PART", 100)
    divided = next(r for r in check_tables(editable) if r.name == "activation")
    assert divided.violations == whole.violations > 100
    sampled = next(r for r in check_tables(editable, sample_edges=500) if r.name == "activation")
    assert 0 < sampled.violations < whole.violations


@pytest.mark.parametrize("size", [50, 300, 10**9])
def test_every_edge_is_in_one_part(writable: Connection, size: int) -> None:
    found = list(parts(writable, 1, size))
    rows = [
        row
        for part in found
        for row in writable.exec_driver_sql(
            f"SELECT decision_id, layer_id, channel, y, x, len(evidence) FROM decomposition WHERE {part.condition()}"
        )
    ]
    whole = writable.exec_driver_sql("SELECT decision_id, layer_id, channel, y, x, len(evidence) FROM decomposition")
    assert sorted(map(tuple, rows)) == sorted(map(tuple, whole))
    assert len(found) > 1 or size == 10**9


@pytest.mark.parametrize("edges", [120, 10**9])
@pytest.mark.parametrize("roots", [2, 64])
def test_rollups_are_the_same_in_however_many_parts_and_blocks(
    writable: Connection, monkeypatch: pytest.MonkeyPatch, edges: int, roots: int
) -> None:
    monkeypatch.setattr("evigraph.schema.rollups.filling.EDGES_AT_A_TIME", edges)
    monkeypatch.setattr("evigraph.schema.rollups.filling.ROOTS_IN_A_BLOCK", roots)
    assert (len(list(parts(writable, 1, edges))) > 8) == (edges == 120)
    most = writable.exec_driver_sql("SELECT max(n) FROM (SELECT count(*) AS n FROM decision GROUP BY run_id, class_id)")
    assert most.scalar_one() > 2 * 2, "some class has several blocks"
    build_rollups(writable, 1)
    assert [(r.name, r.detail) for r in check_rollups(writable) if not r.ok] == []


@pytest.mark.parametrize("table", ROLLUP_TABLES)
def test_rollups_have_a_select_each(overlapping: Connection, table: str) -> None:
    """It gives the table's columns in their order, and as many rows as are stored."""
    select = whole(ROLLUPS[table], f"({edges_of(1)})", 1)
    columns = overlapping.exec_driver_sql(f"DESCRIBE {select}").all()
    stored = overlapping.exec_driver_sql(f"DESCRIBE {table}").all()
    assert [row.column_name for row in columns] == [row.column_name for row in stored]
    counts = [overlapping.exec_driver_sql(f"SELECT count(*) FROM {rows}").scalar() for rows in (f"({select})", table)]
    assert counts[0] == counts[1] != 0
