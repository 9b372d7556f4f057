"""A new version is published while requests run: none fails, none mixes two versions, the old one is closed."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.service.query import execute
from evigraph.graphapi.store.live import UnavailableError, Version
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from evigraph.schema.errors import DatabaseError
from tests.support import PATIENCE_S
from tests.support.synthetic import synthetic_run

IMAGES = {"a": 20, "b": 30, "c": 40}
# Each alias is a statement or more; a request that mixed versions would count differently in them.
QUERY = """{ run(name: "live") { imageCount first: images(first: 1) { totalCount }
    images(first: 100) { nodes { decisions { evidence(maxDepth: 1) { truncated } } } }
    skippedImages { totalCount } } }"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three run folders of the same name, told apart by their number of images."""
    folder = tmp_path_factory.mktemp("live")
    for seed, (name, images) in enumerate(IMAGES.items()):
        synthetic_run(folder / name, images=images, name="live", seed=seed)
    return {name: folder / name for name in IMAGES}


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Version]:
    """The versions that were closed, in order."""
    seen: list[Version] = []
    close = Version.close

    def note(version: Version) -> None:
        assert version.users == 0
        seen.append(version)
        close(version)

    monkeypatch.setattr(Version, "close", note)
    return seen


def _total(body: dict[str, Any]) -> int:
    """The number of listed images, after the checks that the answer is whole and of one version."""
    assert "errors" not in body, body
    run = body["data"]["run"]
    assert len(run["images"]["nodes"]) == run["first"]["totalCount"] == run["imageCount"]
    total: int = run["imageCount"] + run["skippedImages"]["totalCount"]
    return total


@pytest.mark.slow
def test_replaced_under_load(tmp_path: Path, versions: dict[str, Path], closed: list[Version]) -> None:
    """Four threads ask without pause while publish swaps twice."""
    pointer = tmp_path / "evidence.duckdb"
    publish([versions["a"]], pointer)
    service = Service(pointer, Settings())
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]
    failures: list[BaseException] = []

    def client(totals: list[int]) -> None:
        async def ask_until_stopped() -> None:
            while not stop.is_set():
                totals.append(_total((await service.answer(QUERY)).body))

        try:
            asyncio.run(ask_until_stopped())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(totals,)) for totals in seen]
    for thread in threads:
        thread.start()
    try:
        for name in ("b", "c"):
            _wait_until(lambda: all(totals for totals in seen) or failures != [])
            publish([versions[name]], pointer, replace_others=True)
            count = IMAGES[name]
            _wait_until(lambda count=count: all(totals[-1] == count for totals in seen) or failures != [])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    for totals in seen:
        assert totals == sorted(totals)  # never back to an older version
        assert set(totals) == set(IMAGES.values())
    assert len(closed) == 2
    service.close()
    assert len(closed) == 3


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_request_keeps_its_version(tmp_path: Path, versions: dict[str, Path], closed: list[Version]) -> None:
    """A request that began before the swap reads the old version to its end, though the file is gone."""
    pointer = tmp_path / "evidence.duckdb"
    publish([versions["a"]], pointer)
    service = Service(pointer, Settings())

    async def scenario() -> None:
        async with service.database.request() as old:
            publish([versions["b"]], pointer, replace_others=True)
            old.file.unlink(missing_ok=True)
            async with service.database.request() as new:
                assert new is not old
                assert new.runs[0].image_count > old.runs[0].image_count
            assert closed == []
            with old.engine.connect() as one, old.engine.connect() as other:
                for connection in (one, other):
                    count = connection.exec_driver_sql("SELECT count(*) FROM image").scalar()
                    assert count == old.runs[0].image_count
        assert closed == [old]

    asyncio.run(scenario())
    service.close()


def test_a_broken_version_is_not_served(
    tmp_path: Path, versions: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be opened is said in the log once; the old version answers, and the next good one takes over."""
    pointer = tmp_path / "evidence.duckdb"
    publish([versions["a"]], pointer)
    service = Service(pointer, Settings(retry_after_ms=1))

    def total() -> int:
        return _total(asyncio.run(service.answer(QUERY)).body)

    good = pointer.readlink()
    (tmp_path / "broken.duckdb").write_bytes(b"no database")
    pointer.unlink()
    assert total() == IMAGES["a"]  # the pointer is missing for a moment
    pointer.symlink_to("broken.duckdb")
    for _ in range(3):
        assert total() == IMAGES["a"]
    assert caplog.text.count("is not served") == 1
    pointer.unlink()
    pointer.symlink_to(good)
    publish([versions["c"]], pointer, replace_others=True)
    assert total() == IMAGES["c"]
    service.close()


@pytest.fixture
def plain(tmp_path: Path, versions: dict[str, Path]) -> dict[str, Path]:
    """A copy of a published file that is no version, to be served, and the files to put in its place."""
    files = {}
    for name in ("a", "b"):
        publish([versions[name]], tmp_path / name / "evidence.duckdb")
        files[name] = (tmp_path / name / "evidence.duckdb").resolve()
    return files | {"served": Path(shutil.copy(files["a"], tmp_path / "served.duckdb"))}


def _renamed(new: Path, served: Path) -> None:
    Path(shutil.copy(new, served.with_name("new"))).rename(served)


@pytest.mark.parametrize("put", [_renamed, shutil.copyfile], ids=["mv", "cp"])
def test_a_plain_file_is_replaced(plain: dict[str, Path], put: Callable[[Path, Path], object]) -> None:
    """The new content is served, whether another file takes the name or the same one is written over."""
    service = Service(plain["served"], Settings())
    for name in ("b", "a"):
        put(plain[name], plain["served"])
        assert _total(asyncio.run(service.answer(QUERY)).body) == IMAGES[name]
    service.close()


def test_a_plain_file_that_is_spoilt_is_unavailable(plain: dict[str, Path]) -> None:
    """Nothing of what DuckDB remembers is served as if it were still there; a whole file is served again."""
    served = plain["served"]
    with TestClient(create_app(served, settings=Settings(retry_after_ms=1))) as client:
        whole = served.read_bytes()
        served.write_bytes(whole[: len(whole) // 2])
        for path in ("/healthz", "/graphql?query={run{name}}"):
            answer = client.get(path)
            assert answer.status_code == 503
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "UNAVAILABLE"
            assert str(served) in error["message"]
        served.write_bytes(plain["b"].read_bytes())
        assert client.get("/healthz").json()["status"] == "ok"


def test_a_request_ends_where_its_file_is_written_over(plain: dict[str, Path]) -> None:
    """Statements after the change are refused, since the pages are no longer those that DuckDB knows of."""
    service = Service(plain["served"], Settings())

    async def scenario() -> None:
        async with service.database.request() as version:
            shutil.copyfile(plain["b"], plain["served"])
            with pytest.raises(UnavailableError, match="overwritten"), version.connection():
                pass

    asyncio.run(scenario())
    assert _total(asyncio.run(service.answer(QUERY)).body) == IMAGES["b"]
    service.close()


def test_what_cannot_be_opened_at_the_start(tmp_path: Path) -> None:
    """A missing or foreign file is an error before anything is served."""
    with pytest.raises(DatabaseError, match=r"no database .*evidence\.duckdb"):
        Service(tmp_path / "evidence.duckdb", Settings())
    (tmp_path / "notes.txt").write_text("no database")
    with pytest.raises(DatabaseError, match="not a DuckDB database"):
        execute(tmp_path / "notes.txt", "{ run { name } }")


def test_execute_in_process(database: Path) -> None:
    """`execute` answers with plain JSON types, from inside an event loop too."""
    query = "query ($n: Int) { run { createdAt edgeCount images(first: $n) { nodes { uri } } } }"
    body = execute(database, query, {"n": 2})
    assert isinstance(body["data"]["run"]["createdAt"], str)
    assert isinstance(body["data"]["run"]["edgeCount"], int)
    assert len(body["data"]["run"]["images"]["nodes"]) == 2

    async def inside() -> dict[str, Any]:
        return execute(database, query, {"n": 2})

    assert asyncio.run(inside()) == body
    assert execute(database, "{ nope }")["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
