"""The distribution of the discriminative degree against plain SQL over the edges."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from tests.graphapi.conftest import ROOTS, Ask, Sql

FIELDS = "count mean median quantiles above histogram"


def _degrees(sql: Sql, layer_id: int, run_id: int, min_edges: int = 1) -> list[float]:
    rows = sql(
        f"""
        WITH root AS ({ROOTS}), n AS (
            SELECT source_channel, label_id, count(*) AS edges FROM edge JOIN root USING (run_id, decision_id)
            WHERE run_id = {run_id} AND source_layer = {layer_id} AND rank < 3 AND role = 'predicted'
              AND label_id IS NOT NULL GROUP BY ALL)
        SELECT max(edges) / sum(edges) AS degree FROM n GROUP BY source_channel HAVING sum(edges) >= {min_edges}
        """
    )
    return sorted(row["degree"] for row in rows)


@pytest.mark.parametrize(("bins", "threshold", "min_edges"), [(10, 0.5, 1), (4, 0.25, 8), (1, 0.0, 1)])
def test_of_two_runs_at_once(ask: Ask, sql: Sql, bins: int, threshold: float, min_edges: int) -> None:
    """Every layer of every run in one query, as Fig. 14 draws several networks."""
    arguments = f"bins: {bins}, threshold: {threshold}, minEdges: {min_edges}, quantiles: [0, 0.3, 1]"
    answer = ask(
        f"{{ runs {{ nodes {{ name layers {{ index discriminativeDegree({arguments}) {{ {FIELDS} }} }} }} }} }}"
    )
    runs = {run["name"]: run["layers"] for run in answer["data"]["runs"]["nodes"]}
    for run_id, name in ((1, "scenes"), (2, "plain")):
        for layer in runs[name]:
            expected = _degrees(sql, layer["index"], run_id, min_edges)
            found = layer["discriminativeDegree"]
            assert found["count"] == len(expected)
            if not expected:
                assert found == {
                    "count": 0, "mean": None, "median": None, "quantiles": [], "above": 0, "histogram": [0] * bins
                }  # fmt: skip
                continue
            assert found["mean"] == pytest.approx(statistics.mean(expected))
            assert found["median"] == pytest.approx(statistics.median(expected))
            assert found["quantiles"] == pytest.approx(np.quantile(expected, [0, 0.3, 1]).tolist())
            assert found["above"] == sum(np.float32(degree) > threshold for degree in expected)
            assert found["histogram"] == np.histogram(np.array(expected, np.float32), bins, (0, 1))[0].tolist()
        assert runs[name][0]["discriminativeDegree"]["count"] > 3
        assert runs[name][-1]["discriminativeDegree"]["count"] == 0  # the logits


def test_one_statement(ask: Ask, statements: list[str]) -> None:
    """For all layers of all runs."""
    answer = ask("{ runs { nodes { layers { discriminativeDegree { mean } } } } }")
    assert "errors" not in answer
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("bins: 0", "bins: 0"),
        ("bins: 101", "within 1 and 100"),
        ("quantiles: [0.5, 1.5]", "quantiles: 1.5"),
        ("threshold: -0.1", "threshold: -0.1"),
        ("minEdges: 0", "minEdges: 0"),
        (f"quantiles: [{', '.join(['0.5'] * 21)}]", "number of quantiles: 21 is not within 0 and 20"),
    ],
)
def test_refused(ask: Ask, arguments: str, said: str) -> None:
    answer = ask(f"{{ run {{ layers {{ discriminativeDegree({arguments}) {{ mean }} }} }} }}")
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert said in answer["errors"][0]["message"]
