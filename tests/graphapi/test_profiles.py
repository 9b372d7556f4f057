"""Fig. 6 and the fall of shares with rank, for every layer, against plain SQL over decompositions and edges."""

from __future__ import annotations

from decimal import Decimal

import pytest

from evigraph.graphapi.questions.evidence import GraphNode
from evigraph.graphapi.questions.profiles import RankRow, profile
from evigraph.graphapi.questions.pyramid import Row
from tests.graphapi.conftest import ROOTS, Ask, Sql

OUTCOMES = [None, "CORRECT", "WRONG"]
POSITIVE = """decompositions barren meanPositive meanOverlapping
    positive { value decompositions } overlapping { value decompositions }"""


def where(role: str, outcome: str | None, class_id: int | None = None) -> str:
    """SQL for the roots that the arguments name."""
    wanted = f"role = '{role.lower()}'" + (f" AND outcome = '{outcome.lower()}'" if outcome else "")
    return wanted + (f" AND root.class_id = {class_id}" if class_id is not None else "")


def arguments(role: str, outcome: str | None, class_id: int | None = None) -> str:
    found = f"role: {role}" + (f", outcome: {outcome}" if outcome else "")
    return found + (f', class: "{class_id}"' if class_id is not None else "")


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("role", ["PREDICTED", "LABEL"])
def test_positive_channels(ask: Ask, sql: Sql, role: str, outcome: str | None) -> None:
    """(a) positive channels and (b) overlapping ones per decision; the run `plain` did not look for overlaps."""
    query = f"positiveProfile({arguments(role, outcome)}) {{ {POSITIVE} }}"
    answer = ask(f"{{ runs {{ nodes {{ name layers {{ index {query} }} }} }} }}")
    assert "errors" not in answer, answer
    compared = 0
    for run in answer["data"]["runs"]["nodes"]:
        run_id = {"scenes": 1, "plain": 2}[run["name"]]
        for layer in run["layers"]:
            rows = sql(
                f"""
                WITH root AS ({ROOTS})
                SELECT positive_count, overlap_count, len(evidence) AS evidence
                FROM decomposition JOIN root USING (run_id, decision_id)
                WHERE run_id = {run_id} AND layer_id = {layer["index"]} AND {where(role, outcome)}
                """
            )
            found = layer["positiveProfile"]
            assert found["decompositions"] == len(rows)
            assert found["barren"] == sum(row["evidence"] == 0 for row in rows)
            for kind, mean, column in (
                ("positive", "meanPositive", "positive_count"),
                ("overlapping", "meanOverlapping", "overlap_count"),
            ):
                values = [row[column] for row in rows if row[column] is not None]
                expected = [{"value": v, "decompositions": values.count(v)} for v in sorted(set(values))]
                assert found[kind] == expected
                assert found[mean] == (pytest.approx(sum(values) / len(values)) if values else None)
                compared += len(expected)
            if run["name"] == "plain":
                assert (found["overlapping"], found["meanOverlapping"]) == ([], None)
            if layer["index"] == 0:
                assert found["decompositions"] == 0
    # An image has a root of its label where the prediction is wrong alone.
    assert (compared > 10) == ((role, outcome) != ("LABEL", "CORRECT"))


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("class_id", [None, 1])
def test_shares_by_rank(ask: Ask, sql: Sql, class_id: int | None, outcome: str | None) -> None:
    query = f"profile({arguments('PREDICTED', outcome, class_id)}) {{ decompositions shares residual }}"
    answer = ask(f'{{ run(name: "scenes") {{ layers {{ index {query} }} }} }}')
    assert "errors" not in answer, answer
    compared = 0
    for layer in answer["data"]["run"]["layers"]:
        rows = sql(
            f"""
            WITH root AS ({ROOTS})
            SELECT rank, count(*) AS edges, sum(share::DOUBLE) AS shares FROM edge JOIN root USING (run_id, decision_id)
            WHERE run_id = 1 AND target_layer = {layer["index"]} AND {where("predicted", outcome, class_id)}
            GROUP BY rank ORDER BY rank
            """
        )
        found = layer["profile"]
        if not rows:
            assert found == {"decompositions": 0, "shares": [], "residual": None}
            continue
        assert found["decompositions"] == rows[0]["edges"]
        assert found["shares"] == pytest.approx([row["shares"] / rows[0]["edges"] for row in rows], abs=1e-6)
        assert found["residual"] == pytest.approx(1 - sum(row["shares"] for row in rows) / rows[0]["edges"], abs=1e-6)
        assert 0 < found["residual"] < 1
        compared += 1
    assert compared >= 3


def test_one_statement_each(ask: Ask, statements: list[str]) -> None:
    """For all layers of all runs."""
    answer = ask("{ runs { nodes { layers { profile { residual } positiveProfile { meanPositive } } } } }")
    assert "errors" not in answer
    assert len(statements) == 2


def test_an_unknown_class_is_named(ask: Ask) -> None:
    answer = ask('{ run(name: "scenes") { layers { profile(class: "zebra") { residual } } } }')
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


def test_what_is_left_is_never_below_zero() -> None:
    """Shares are stored rounded: three of a third each may add up to more than 1."""
    rows = [RankRow(1, 0, rank, 3, Decimal("1.0000001")) for rank in range(3)]
    assert profile(rows).residual == 0.0
    row = Row(None, [GraphNode((0, 0, 0, 0), 1.0, 0.7), GraphNode((0, 1, 0, 0), 1.0, 0.3000001)], [], 1.0)  # type: ignore[arg-type]
    assert (row.rest, row.not_drawn, row.not_kept) == (0.0, 0.0, 0.0)
