"""Published databases: what is replaced is said, and paths and addresses are taken as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evigraph.commands.serve import _address
from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only
from tests.conftest import Cli
from tests.reports.table import report
from tests.support.synthetic import synthetic_run


@report("clearml/clearml#338", "a run of the same name from other data takes the old one's place only by --replace")
def test_a_name_that_is_used_again(tmp_path: Path, cli: Cli) -> None:
    db = tmp_path / "evidence.duckdb"
    for seed, folder in enumerate(("first", "second")):
        synthetic_run(tmp_path / folder, name="run", seed=seed, images=10 + seed)
    assert cli("publish", tmp_path / "first", "--db", db, "--quiet").code == 0
    refused = cli("publish", tmp_path / "second", "--db", db)
    assert refused.code != 0
    assert "'run'" in refused.error
    assert "--replace" in refused.error
    assert _total(db) == 10
    said = cli("publish", tmp_path / "second", "--db", db, "--replace").stdout
    assert "run run replaces one made from" in said
    assert _total(db) == 11


def _total(db: Path) -> int:
    run = execute(db, "{ run { imageCount skippedImages { totalCount } } }")["data"]["run"]
    return int(run["imageCount"] + run["skippedImages"]["totalCount"])


@report("duckdb/duckdb#13472", "a question mark in a path is a sign of the path")
def test_a_question_mark_in_a_path(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "is it?" / "what?mode=rw"
    folder.mkdir(parents=True)
    synthetic_run(folder / "run", images=4)
    db = folder / "e?.duckdb"
    for _ in range(2):
        assert cli("publish", folder / "run", "--db", db, "--quiet").code == 0
    assert json.loads(cli("query", "--db", db, "{ run { name } }").stdout)["data"] == {"run": {"name": "synthetic"}}
    engine = open_read_only(db)
    with engine.connect() as connection, pytest.raises(Exception, match="disabled by configuration"):
        connection.exec_driver_sql("FROM read_text('/etc/hostname')").all()
    engine.dispose()


@report("duckdb/duckdb#15722", "a path of *, ? or [ is that path, and no pattern that fits other folders")
@pytest.mark.parametrize("name", ["a*", "a?", "[ab]*"])
def test_a_path_is_no_pattern(tmp_path: Path, name: str) -> None:
    synthetic_run(tmp_path / "ab" / "run", name="other", seed=1, images=8)
    synthetic_run(tmp_path / name / "run", name="mine", images=4)
    db = tmp_path / name / "e.duckdb"
    for _ in range(2):
        publish([tmp_path / name / "run"], db)
    assert _total(db) == 4


@report("duckdb/duckdb#15912", "a file that was replaced is opened anew")
def test_a_file_that_is_replaced_while_it_is_open(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        synthetic_run(tmp_path / f"run_{name}", name=name, seed=seed, images=4)
        publish([tmp_path / f"run_{name}"], tmp_path / name / "evidence.duckdb")
    served = tmp_path / "served.duckdb"
    for name in "aba":
        shutil.copyfile((tmp_path / name / "evidence.duckdb").resolve(), served)
        assert execute(served, "{ run { name } }") == {"data": {"run": {"name": name}}}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("::1", "http://[::1]:80", marks=report("jupyter-server/jupyter_server#652", "http://[::1]:80")),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_addresses(host: str, address: str) -> None:
    assert _address(host, 80) == address
