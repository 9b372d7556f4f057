"""Every number of an answer against plain SQL over the base tables."""

from __future__ import annotations

from typing import Any

import pytest

from evigraph.schema.tables.rollups import SUM_OF_SHARES
from tests.graphapi.conftest import ROOTS, Ask, Sql

SUPPORT = "totalCount nodes { channel { index } class { index } decisions rate edges meanShare meanImportance }"
ROLES = ["PREDICTED", "LABEL"]
OUTCOMES = [None, "CORRECT", "WRONG"]


def _mean(value: float) -> Any:
    """A mean of a rollup's sums, which are rounded: those of shares to the fewest places."""
    return pytest.approx(value, abs=2 * 10.0 ** -(SUM_OF_SHARES.scale or 0))


def _where(role: str, outcome: str | None, class_id: int | None) -> str:
    condition = f"role = '{role.lower()}'"
    if outcome:
        condition += f" AND outcome = '{outcome.lower()}'"
    if class_id is not None:
        condition += f" AND class_id = {class_id}"
    return condition


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("class_id", [None, 0, 2, 5])
@pytest.mark.parametrize(("layer_id", "layer"), [(0, "conv1_2"), (1, "features.7"), (2, "conv3_3")])
def test_channel_support(
    run: Ask, sql: Sql, layer_id: int, layer: str, class_id: int | None, role: str, outcome: str | None
) -> None:
    """Counts, rates and means of every channel for one class or all."""
    arguments = f'layer: "{layer}", role: {role}, first: 100'
    arguments += f", outcome: {outcome}" if outcome else ""
    arguments += f', class: "index:{class_id}"' if class_id is not None else ""
    found = run(f"channelSupport({arguments}) {{ {SUPPORT} }}")["channelSupport"]
    where = _where(role, outcome, class_id)
    expected = sql(
        f"""
        WITH root AS ({ROOTS}), wanted AS (SELECT * FROM root WHERE run_id = 1 AND {where})
        SELECT source_channel AS channel, count(DISTINCT decision_id) AS decisions, count(*) AS edges,
               count(DISTINCT decision_id) / (SELECT count(*) FROM wanted) AS rate,
               avg(share::DOUBLE) AS mean_share,
               sum(importance::DOUBLE) / count(DISTINCT decision_id) AS mean_importance
        FROM edge JOIN wanted USING (run_id, decision_id) WHERE source_layer = {layer_id}
        GROUP BY source_channel ORDER BY decisions DESC, channel
        """
    )
    assert found["totalCount"] == len(expected)
    assert [row["channel"]["index"] for row in found["nodes"]] == [row["channel"] for row in expected]
    for node, row in zip(found["nodes"], expected, strict=True):
        assert node["class"] == (None if class_id is None else {"index": class_id})
        assert (node["decisions"], node["edges"]) == (row["decisions"], row["edges"])
        assert node["rate"] == pytest.approx(row["rate"])
        assert node["meanShare"] == _mean(row["mean_share"])
        assert node["meanImportance"] == _mean(row["mean_importance"])


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ("DECISIONS", "decisions"),
        ("RATE", "rate"),
        ("EDGES", "edges"),
        ("SHARE", "meanShare"),
        ("IMPORTANCE", "meanImportance"),
    ],
)
def test_orders(run: Ask, order: str, field: str) -> None:
    """Each order sorts by the field it names, largest first, then by channel or class."""
    by_channel = run(f'channelSupport(layer: "conv3_3", orderBy: {order}, first: 100) {{ {SUPPORT} }}')[
        "channelSupport"
    ]
    keys = [(-node[field], node["channel"]["index"]) for node in by_channel["nodes"]]
    assert keys == sorted(keys)
    assert len(keys) > 5
    by_class = run(f'channel(layer: "conv2_2", index: 1) {{ support(orderBy: {order}) {{ {SUPPORT} }} }}')
    keys = [(-node[field], node["class"]["index"]) for node in by_class["channel"]["support"]["nodes"]]
    assert keys == sorted(keys)
    assert len(keys) > 3


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_support_by_class(run: Ask, sql: Sql, role: str, outcome: str | None) -> None:
    """Channel.support: the same numbers, one row for each class."""
    arguments = f"role: {role}" + (f", outcome: {outcome}" if outcome else "")
    found = run(f'channel(layer: "conv2_2", index: 1) {{ support({arguments}) {{ {SUPPORT} }} }}')["channel"]["support"]
    where = _where(role, outcome, None)
    expected = sql(
        f"""
        WITH root AS ({ROOTS}), wanted AS (SELECT * FROM root WHERE run_id = 1 AND {where}),
             total AS (SELECT class_id, count(*) AS roots FROM wanted GROUP BY class_id)
        SELECT class_id, count(DISTINCT decision_id) AS decisions, count(*) AS edges,
               count(DISTINCT decision_id) / any_value(roots) AS rate
        FROM edge JOIN wanted USING (run_id, decision_id) JOIN total USING (class_id)
        WHERE source_layer = 1 AND source_channel = 1 GROUP BY class_id ORDER BY decisions DESC, class_id
        """
    )
    assert found["totalCount"] == len(expected)
    assert [
        (node["class"]["index"], node["decisions"], node["edges"], pytest.approx(node["rate"]))
        for node in found["nodes"]
    ] == [(row["class_id"], row["decisions"], row["edges"], row["rate"]) for row in expected]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("class_id", [None, 1])
def test_context_labels(run: Ask, sql: Sql, role: str, class_id: int | None) -> None:
    """Edges, rate over all edges (unlabelled ones too) and mean IoU of each label."""
    arguments = f"orderBy: EDGES, role: {role}" + (f', class: "index:{class_id}"' if class_id is not None else "")
    selection = f"contextLabels({arguments}) {{ totalCount nodes {{ label edges rate meanIou }} }}"
    found = run(f'channel(layer: "conv3_3", index: 4) {{ {selection} }}')["channel"]["contextLabels"]
    expected = sql(
        f"""
        WITH root AS ({ROOTS}), into_channel AS (
            SELECT e.* FROM edge e JOIN root USING (run_id, decision_id)
            WHERE run_id = 1 AND source_layer = 2 AND source_channel = 4 AND {_where(role, None, class_id)})
        SELECT name, count(*) AS edges, count(*) / (SELECT count(*) FROM into_channel) AS rate,
               avg(context_iou::DOUBLE) AS iou
        FROM into_channel e JOIN context_label l ON l.run_id = e.run_id AND l.label_id = e.context_label_id
        GROUP BY name, l.label_id ORDER BY edges DESC, l.label_id
        """
    )
    assert found["totalCount"] == len(expected)
    assert found["nodes"] == [
        {
            "label": row["name"],
            "edges": row["edges"],
            "rate": pytest.approx(row["rate"]),
            "meanIou": pytest.approx(row["iou"]),
        }
        for row in expected
    ]
    if role == "PREDICTED":
        assert len(expected) >= 2


@pytest.mark.parametrize(
    ("field", "end", "other"), [("supporters", "target", "source"), ("supports", "source", "target")]
)
@pytest.mark.parametrize("class_id", [None, 0])
@pytest.mark.parametrize("role", ROLES)
def test_channel_edges(run: Ask, sql: Sql, field: str, end: str, other: str, class_id: int | None, role: str) -> None:
    """Lower and upper neighbours of a channel, most decisions first."""
    arguments = f"first: 100, role: {role}" + (f', class: "index:{class_id}"' if class_id is not None else "")
    node = "channel { index layer { index } } source { index } target { index }"
    node += " decisions rate edges meanShare meanImportance"
    found = run(f'channel(layer: "conv2_2", index: 3) {{ {field}({arguments}) {{ totalCount nodes {{ {node} }} }} }}')
    where = _where(role, None, class_id)
    expected = sql(
        f"""
        WITH root AS ({ROOTS}), wanted AS (SELECT * FROM root WHERE run_id = 1 AND {where})
        SELECT {other}_layer AS layer, {other}_channel AS channel, count(DISTINCT decision_id) AS decisions,
               count(*) AS edges, count(DISTINCT decision_id) / (SELECT count(*) FROM wanted) AS rate,
               avg(share::DOUBLE) AS mean_share,
               sum(importance::DOUBLE) / count(DISTINCT decision_id) AS mean_importance
        FROM edge JOIN wanted USING (run_id, decision_id) WHERE {end}_layer = 1 AND {end}_channel = 3
        GROUP BY layer, channel ORDER BY decisions DESC, edges DESC, layer, channel
        """
    )
    connection = found["channel"][field]
    assert connection["totalCount"] == len(expected)
    assert connection["nodes"] == [
        {
            "channel": {"index": row["channel"], "layer": {"index": row["layer"]}},
            other: {"index": row["channel"]},
            end: {"index": 3},
            "decisions": row["decisions"],
            "edges": row["edges"],
            "rate": pytest.approx(row["rate"]),
            "meanShare": _mean(row["mean_share"]),
            "meanImportance": _mean(row["mean_importance"]),
        }
        for row in expected
    ]
    assert expected


def test_peaks(run: Ask, sql: Sql) -> None:
    """One row for each place, its largest contribution, over the roots of both roles."""
    node = "y x contribution share feature activation image { uri } decision { role class { index } logit }"
    found = run(f'channel(layer: "conv2_2", index: 2) {{ peaks(first: 30) {{ totalCount nodes {{ {node} }} }} }}')
    expected = sql(
        """
        SELECT uri, source_y AS y, source_x AS x, contribution, share, feature, activation, role, class_id, logit
        FROM edge JOIN decision USING (run_id, decision_id) JOIN image USING (run_id, image_id)
        WHERE run_id = 1 AND source_layer = 1 AND source_channel = 2
        QUALIFY row_number() OVER (PARTITION BY image_id, source_y, source_x
                                   ORDER BY contribution DESC, decision_id, target_channel) = 1
        ORDER BY contribution DESC
        """
    )
    connection = found["channel"]["peaks"]
    assert connection["totalCount"] == min(64, len(expected))
    assert [
        (n["image"]["uri"], n["y"], n["x"], n["contribution"], n["share"], n["feature"], n["activation"])
        for n in connection["nodes"]
    ] == [
        (r["uri"], r["y"], r["x"], r["contribution"], r["share"], r["feature"], r["activation"]) for r in expected[:30]
    ]
    assert [(n["decision"]["role"], n["decision"]["class"]["index"]) for n in connection["nodes"]] == [
        (r["role"].upper(), r["class_id"]) for r in expected[:30]
    ]


def test_discriminative_degree(run: Ask, sql: Sql) -> None:
    """D of every channel; null for one that supports nothing (those of `logits`)."""
    expected = sql(
        f"""
        WITH root AS ({ROOTS}), used AS (
            SELECT source_channel AS channel, label_id, count(*) AS n FROM edge JOIN root USING (run_id, decision_id)
            WHERE run_id = 1 AND source_layer = 2 AND rank < 3 AND role = 'predicted' AND label_id IS NOT NULL
            GROUP BY ALL)
        SELECT channel, max(n) / sum(n) AS degree FROM used GROUP BY channel ORDER BY channel
        """
    )
    fields = " ".join(f'c{c}: channel(layer: "conv3_3", index: {c}) {{ discriminativeDegree }}' for c in range(16))
    found = run(fields + ' top: channel(layer: "logits", index: 0) { discriminativeDegree }')
    assert found.pop("top") == {"discriminativeDegree": None}
    degrees = {row["channel"]: pytest.approx(row["degree"]) for row in expected}
    assert found == {f"c{c}": {"discriminativeDegree": degrees.get(c)} for c in range(16)}


def test_run_and_classes(run: Ask, sql: Sql) -> None:
    """What a run says of itself."""
    found = run(
        "name model dataset topN maskThreshold imageCount skippedCount decisionCount edgeCount accuracy createdAt "
        "layers { index name module channels height width stride receptiveField } "
        "classes { totalCount nodes { index key name imageCount accuracy } }"
    )
    (row,) = sql(
        """
        SELECT (SELECT count(*) FROM image WHERE run_id = 1) AS images,
               (SELECT count(*) FROM skipped_image WHERE run_id = 1) AS skipped,
               (SELECT count(*) FROM decision WHERE run_id = 1) AS decisions,
               (SELECT count(*) FROM edge WHERE run_id = 1) AS edges,
               (SELECT avg((label_id = predicted_id)::INT) FROM image WHERE run_id = 1) AS accuracy
        """
    )
    assert found["name"] == "scenes"
    assert (found["imageCount"], found["skippedCount"]) == (row["images"], row["skipped"])
    assert (found["decisionCount"], found["edgeCount"]) == (row["decisions"], row["edges"])
    assert found["accuracy"] == pytest.approx(row["accuracy"])
    assert (found["topN"], found["maskThreshold"]) == (3, 0.5)
    assert [layer["name"] for layer in found["layers"]] == ["conv1_2", "conv2_2", "conv3_3", "logits"]
    assert found["layers"][1] == {
        "index": 1, "name": "conv2_2", "module": "features.7", "channels": 12, "height": 16, "width": 16,
        "stride": 2, "receptiveField": 9,
    }  # fmt: skip
    classes = sql(
        """
        SELECT class_id AS index, key, name, count(image_id) AS images,
               avg((predicted_id = class_id)::INT) FILTER (image_id IS NOT NULL) AS accuracy
        FROM class c LEFT JOIN image i ON i.run_id = c.run_id AND i.label_id = c.class_id
        WHERE c.run_id = 1 GROUP BY ALL ORDER BY class_id
        """
    )
    assert found["classes"]["totalCount"] == 6
    assert found["classes"]["nodes"] == [
        {
            "index": row["index"],
            "key": row["key"],
            "name": row["name"],
            "imageCount": row["images"],
            "accuracy": None if row["accuracy"] is None else pytest.approx(row["accuracy"]),
        }
        for row in classes
    ]


@pytest.mark.parametrize(
    ("arguments", "condition"),
    [
        ("", "true"),
        ("outcome: CORRECT", "label_id = predicted_id"),
        ("outcome: WRONG", "label_id <> predicted_id"),
        ('label: "boat"', "label_id = 0"),
        ('predicted: "n00000001"', "predicted_id = 1"),
        ('label: "boat", predicted: "1"', "label_id = 0 AND predicted_id = 1"),
        ('label: "boat", outcome: CORRECT', "label_id = 0 AND predicted_id = 0"),
    ],
)
def test_images(run: Ask, sql: Sql, arguments: str, condition: str) -> None:
    """Images by label, prediction and outcome, with their decisions; an unlabelled one has no outcome."""
    node = "uri label { index } predicted { index } probability correct decisions { role class { index } logit }"
    found = run(f"images(first: 100 {arguments}) {{ totalCount nodes {{ {node} }} }}")["images"]
    expected = sql(f"SELECT * FROM image WHERE run_id = 1 AND {condition} ORDER BY image_id")
    assert found["totalCount"] == len(expected) > 0
    for image, row in zip(found["nodes"], expected, strict=True):
        assert image["uri"] == row["uri"]
        assert image["label"] == (None if row["label_id"] is None else {"index": row["label_id"]})
        assert image["predicted"] == {"index": row["predicted_id"]}
        assert image["correct"] == (None if row["label_id"] is None else row["label_id"] == row["predicted_id"])
        decisions = sql(
            "SELECT * FROM decision WHERE run_id = 1 AND image_id = $i ORDER BY decision_id", i=row["image_id"]
        )
        assert image["decisions"] == [
            {"role": d["role"].upper(), "class": {"index": d["class_id"]}, "logit": d["logit"]} for d in decisions
        ]


def test_confusions_and_skipped_images(run: Ask, sql: Sql) -> None:
    """Pairs of label and wrong prediction, and what could not be read."""
    found = run(
        "confusions { totalCount nodes { label { index } predicted { index } images rate } } "
        "skippedImages { totalCount nodes { uri reason } }"
    )
    expected = sql(
        """
        SELECT label_id, predicted_id, count(*) AS n,
               count(*) / (SELECT count(*) FROM image j WHERE j.run_id = 1 AND j.label_id = i.label_id) AS rate
        FROM image i WHERE run_id = 1 AND label_id <> predicted_id
        GROUP BY label_id, predicted_id ORDER BY n DESC, label_id, predicted_id
        """
    )
    assert found["confusions"]["totalCount"] == len(expected) > 2
    assert found["confusions"]["nodes"] == [
        {
            "label": {"index": row["label_id"]},
            "predicted": {"index": row["predicted_id"]},
            "images": row["n"],
            "rate": pytest.approx(row["rate"]),
        }
        for row in expected
    ]
    skipped = sql("SELECT uri, reason FROM skipped_image WHERE run_id = 1 ORDER BY image_id")
    assert found["skippedImages"] == {"totalCount": len(skipped), "nodes": skipped}


def test_newest_run_is_the_default(ask: Ask) -> None:
    """`run` without a name, and `runs`, begin with the newest."""
    answer = ask(
        "{ run { name channel(layer: 2, index: 0) { index } } runs { nodes { name } } }".replace("2,", '"conv2_2",')
    )
    assert answer["data"]["run"]["name"] == "plain"
    assert [node["name"] for node in answer["data"]["runs"]["nodes"]] == ["plain", "scenes"]


def test_no_semantic_maps(ask: Ask) -> None:
    """Without context labels the list is empty and edges have none."""
    answer = ask(
        '{ run(name: "plain") { channel(layer: "conv2_2", index: 1) { contextLabels { totalCount nodes { label } } }'
        " images(first: 1) { nodes { decisions { evidence { edges { contextLabel contextIou } } } } } } }"
    )
    assert "errors" not in answer
    assert answer["data"]["run"]["channel"]["contextLabels"] == {"totalCount": 0, "nodes": []}
    edges = answer["data"]["run"]["images"]["nodes"][0]["decisions"][0]["evidence"]["edges"]
    assert edges
    assert all(edge == {"contextLabel": None, "contextIou": None} for edge in edges)
