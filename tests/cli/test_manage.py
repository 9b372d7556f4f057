"""Runs listed and deleted, a database migrated and rolled back, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evigraph.schema.database import REVISIONS, resolve
from tests.conftest import Cli
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow


@pytest.fixture
def two(cli: Cli, tmp_path: Path) -> Path:
    """A database of the runs `night` and `day`, published in that order."""
    for seed, name in enumerate(("night", "day")):
        synthetic_run(tmp_path / name, name=name, seed=seed, images=12)
        assert cli("publish", tmp_path / name, "--db", tmp_path / "e.duckdb", "--quiet").code == 0
    return tmp_path / "e.duckdb"


def test_runs_list(cli: Cli, two: Path) -> None:
    head, night, day = cli("runs", "list", "--db", two).stdout.splitlines()
    assert head.split() == ["name", "model", "dataset", "images", "edges", "accuracy", "created"]
    assert (night.split()[0], day.split()[0]) == ("night", "day")
    assert night.index("synthetic") == day.index("synthetic") == head.index("model")
    found = json.loads(cli("runs", "list", "--db", two, "--json").stdout)
    assert [run["name"] for run in found] == ["night", "day"]
    answer = json.loads(cli("query", "--db", two, '{ run(name: "day") { createdAt accuracy edgeCount } }').stdout)
    run = answer["data"]["run"]
    assert found[1]["edge_count"] == run["edgeCount"]
    assert found[1]["created_at"] == run["createdAt"]
    assert found[1]["accuracy"] == pytest.approx(run["accuracy"])


def test_delete_and_roll_back(cli: Cli, two: Path) -> None:
    deleted = cli("runs", "delete", "night", "--db", two)
    assert (deleted.code, deleted.stderr) == (0, "")
    assert f"deleted night from {two}, which holds day now" in deleted.stdout
    assert f"evigraph rollback --db {two}" in deleted.stdout
    assert cli("check", "--db", two, "--quiet").code == 0
    newer = resolve(two).name
    back = cli("rollback", "--db", two)
    assert back.code == 0
    assert f"is {resolve(two).name} now, with runs night, day; it was {newer}" in back.stdout
    again = cli("rollback", "--db", two)
    assert again.code == 1
    assert "nothing to go back to" in again.error
    assert json.loads(cli("rollback", "--forward", "--db", two, "--json").stdout)["runs"] == ["day"]


@pytest.mark.parametrize("what", [("profile",), ("graph", "--class", "0")])
def test_exports_say_which_of_several_runs_answers(cli: Cli, two: Path, what: tuple[str, ...], tmp_path: Path) -> None:
    """As an answer without a name is marked; not where a run was named, nor of a single one."""
    out = tmp_path / ("out.csv" if what[0] == "profile" else "out.json")
    words = ("export", *what, "--db", two)
    assert "note: no run was named: 'day' is the newest of 2 runs" in cli(*words, "--out", out).stdout
    piped = cli(*words, "--out", "-")
    assert "note" not in piped.stdout
    assert "note: no run was named: 'day'" in piped.stderr
    assert "note" not in cli(*words, "--out", out, "--run", "night").stdout
    assert cli("runs", "default", "night", "--db", two).code == 0
    assert "note: no run was named: 'night' is the default of 2 runs" in cli(*words, "--out", out).stdout
    assert cli("runs", "delete", "day", "--db", two).code == 0
    assert "note" not in cli(*words, "--out", out).stdout
    assert cli("runs", "delete", "night", "--db", two).code == 0
    refused = cli(*words, "--out", out)
    assert refused.code == 2
    assert "the database has no runs; publish one" in refused.stderr


def test_delete_the_last_runs(cli: Cli, two: Path) -> None:
    report = json.loads(cli("runs", "delete", "night", "day", "--db", two, "--json").stdout)
    assert (report["deleted"], report["kept"]) == (["night", "day"], [])
    assert "holds no runs; add one with" in cli("runs", "list", "--db", two).stdout
    assert cli("runs", "list", "--db", two, "--json").stdout == "[]\n"
    assert cli("check", "--db", two, "--quiet").code == 0


def test_wrong_names(cli: Cli, two: Path) -> None:
    outcome = cli("runs", "delete", "dya", "--db", two)
    assert outcome.code == 2
    assert f"no run 'dya'; did you mean 'day'? in {two}; `evigraph runs list" in outcome.error
    outcome = cli("runs", "delete", "--db", two)
    assert (outcome.code, outcome.error) == (
        2,
        "evigraph: Missing argument 'NAME...'; see evigraph runs delete --help",
    )
    outcome = cli("runs", "lst", "--db", two)
    assert outcome.code == 2
    assert outcome.error.endswith("see evigraph runs --help")
    assert cli("runs").code == 2


def test_migrate_what_is_up_to_date(cli: Cli, two: Path) -> None:
    before = resolve(two)
    outcome = cli("migrate", "--db", two)
    assert outcome.stdout == f"{two} is already at revision {REVISIONS[-1]}; nothing was changed\n"
    assert json.loads(cli("migrate", "--db", two, "--json").stdout)["changed"] is False
    assert cli("migrate", "--db", two, "--quiet").stdout == ""
    assert resolve(two) == before


def test_a_damaged_shard_is_refused_by_publish_and_made_again_by_index(
    cli: Cli, index_words: list[str], tmp_path: Path
) -> None:
    run, db = tmp_path / "run", tmp_path / "e.duckdb"
    words = [*index_words, "--run", run]
    assert cli(*words, "--quiet").code == 0
    whole = {path.name: path.read_bytes() for path in (run / "shards").iterdir()}
    for name, damaged in (
        ("00001.edge.parquet", whole["00001.edge.parquet"][:-7]),
        (
            "00002.decision.parquet",
            bytes([whole["00002.decision.parquet"][0] ^ 1]) + whole["00002.decision.parquet"][1:],
        ),
    ):
        (run / "shards" / name).write_bytes(damaged)
        outcome = cli("publish", run, "--db", db)
        assert outcome.code == 1
        assert name in outcome.error
        assert "run the same `evigraph index` command again to remake it" in outcome.error
        assert not db.exists()
        report = json.loads(cli(*words, "--json").stdout)
        assert report["new_image_count"] == 8  # one shard
        assert {path.name: path.read_bytes() for path in (run / "shards").iterdir()} == whole
    assert cli("publish", run, "--db", db, "--quiet").code == 0
