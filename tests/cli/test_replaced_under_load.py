"""A server under load moves to each new version: no response fails, none mixes two versions, old files are let go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.manage import delete_runs, rollback
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from tests.cli.test_commands import serving
from tests.support import PATIENCE_S
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow

CLIENTS = 6
# Many statements over many tables: the answers of two versions differ in every part of it.
QUERY = """{ run(name: "live") { imageCount edgeCount datasetSha256 confusions(first: 5) { totalCount nodes { images } }
    images(first: 8) { totalCount nodes { uri decisions { logit evidence { edges { share } } } } }
    channelSupport(layer: "conv3_3", first: 10) { nodes { decisions meanShare } }
    channel(layer: "conv2_2", index: 1) { peaks(first: 5) { nodes { contribution } } }
    skippedImages { totalCount } } }"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two run folders of the same run's name and other rows."""
    folder = tmp_path_factory.mktemp("load")
    for seed, (name, images) in enumerate({"a": 10, "b": 22}.items()):
        synthetic_run(folder / name, images=images, name="live", seed=seed)
    return {name: folder / name for name in "ab"}


@pytest.fixture(scope="module")
def answers(runs: dict[str, Path]) -> dict[str, Any]:
    """What each of them answers, from a database of its own."""
    found = {}
    for name, run in runs.items():
        publish([run], run.with_name(f"{name}.duckdb"))
        found[name] = execute(run.with_name(f"{name}.duckdb"), QUERY)
        assert "errors" not in found[name]
    assert found["a"]["data"]["run"].keys() == found["b"]["data"]["run"].keys()
    assert all(found["a"]["data"]["run"][key] != found["b"]["data"]["run"][key] for key in found["a"]["data"]["run"])
    return found


@dataclass
class Client:
    """One client that asks without pause, and what it was answered."""

    address: str
    answers: dict[str, Any]
    seen: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask_until(self, stop: threading.Event) -> None:
        """Each answer must be wholly that of one version."""
        with httpx.Client(timeout=PATIENCE_S) as http:
            while not stop.is_set():
                try:
                    response = http.post(f"{self.address}/graphql", json={"query": QUERY})
                    body = response.json()
                except (httpx.HTTPError, ValueError) as error:
                    self.failures.append(repr(error))
                    continue
                whole = [name for name, answer in self.answers.items() if body == answer]
                if response.status_code != 200 or len(whole) != 1:
                    self.failures.append(f"{response.status_code}: {response.text[:200]}")
                else:
                    self.seen.append(whole[0])


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _open_versions(pid: int, folder: Path) -> set[str]:
    """Names of the database files that a process has open or mapped; a removed one's ends with (deleted)."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except FileNotFoundError:  # closed in the meantime
            continue
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found.add(line.split(maxsplit=5)[-1])
    return {Path(name).name for name in found if name.startswith(str(folder)) and ".duckdb" in name}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="open files are seen in /proc only")
@pytest.mark.timeout(900)
def test_replaced_under_load(tmp_path: Path, runs: dict[str, Path], answers: dict[str, Any]) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([runs["a"]], db, replace_others=True)
    swaps: list[tuple[str, Callable[[], object]]] = [
        *((name, lambda name=name: publish([runs[name]], db, replace_others=True)) for name in "babab"),
        ("a", lambda: rollback(db)),
        ("b", lambda: rollback(db, forward=True)),
        ("a", lambda: publish([runs["a"]], db, replace_others=True)),
    ]
    with serving(db) as (server, address):
        _wait(lambda: _healthy(address), "the server answers")
        clients = [Client(address, answers) for _ in range(CLIENTS)]
        stop = threading.Event()
        threads = [threading.Thread(target=client.ask_until, args=(stop,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            for name, swap in swaps:
                before = [len(client.seen) for client in clients]
                swap()
                _wait(
                    lambda name=name, before=before: (  # type: ignore[misc]
                        any(client.failures for client in clients)
                        or all(
                            client.seen[count:].count(name) >= 3 for client, count in zip(clients, before, strict=True)
                        )
                    ),
                    f"every client sees {name} three times",
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert [failure for client in clients for failure in client.failures] == []
        for client in clients:
            # From one version to the next and never back: as many changes as swaps.
            changes = sum(one != other for one, other in zip(client.seen, client.seen[1:], strict=False))
            assert changes == len(swaps)
        _wait(lambda: _open_versions(server.pid, tmp_path) == {resolve(db).name}, "the old files are let go")


def _healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="open files are seen in /proc only")
def test_a_server_without_requests_lets_go_too(tmp_path: Path, runs: dict[str, Path]) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([runs["a"]], db, replace_others=True)
    with serving(db) as (server, address):
        _wait(lambda: _healthy(address), "the server answers")
        old = resolve(db).name
        assert _open_versions(server.pid, tmp_path) == {old}
        publish([runs["b"]], db, replace_others=True)
        _wait(lambda: _open_versions(server.pid, tmp_path) == {resolve(db).name}, "the old file is let go")
        delete_runs(["live"], db)
        _wait(lambda: _open_versions(server.pid, tmp_path) == {resolve(db).name}, "the old file is let go")
        assert not (tmp_path / old).exists()
        assert httpx.post(f"{address}/graphql", json={"query": "{ run { name } }"}, timeout=PATIENCE_S).json() == {
            "data": {"run": None}
        }
