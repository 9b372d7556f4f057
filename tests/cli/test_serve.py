"""`evigraph serve`: its settings, its address, and what it does to its process."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from evigraph.commands.serve import _address, _tuned_process
from evigraph.graphapi.store.settings import SETTINGS
from tests.conftest import Cli
from tests.support import PATIENCE_S, tiny


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::]:8000"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, address: str) -> None:
    assert _address(host, 8000) == address


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here"))]
)
def test_settings_act_and_the_printed_address_answers(published: Path, host: str) -> None:
    command = tiny.command("serve", "--db", published, "--port", "0", "--host", host)
    command += ["--setting", "max_page_size=2", "--setting", "page_size=1", "--setting", "graphiql=off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tiny.ROOT) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split(" at ")[1].split(" ")[0]
            answer = httpx.post(url, json={"query": "{ run { images(first: 3) { totalCount } } }"}, timeout=PATIENCE_S)
            (error,) = answer.json()["errors"]
            assert error["message"] == "first: 3 is not within 0 and 2; page on with `after`"
            editor = httpx.get(url, headers={"accept": "text/html"}, timeout=PATIENCE_S)
            assert editor.status_code == 406
        finally:
            server.terminate()


def test_settings_are_listed(cli: Cli) -> None:
    outcome = cli("serve", "--help-settings")
    assert outcome.code == 0
    for setting in SETTINGS:
        assert f"  {setting.name}={setting.shown_default} " in outcome.stdout
        assert setting.shown_help in outcome.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_page=9", "no setting 'max_page'; did you mean 'max_page_size'"),
        ("threads=many", "setting threads: 'many' is not a whole number; the default is 4"),
        ("threads=13", "setting threads: 13 is above 12"),
    ],
)
def test_a_wrong_setting_is_refused(cli: Cli, published: Path, text: str, said: str) -> None:
    outcome = cli("serve", "--db", published, "--port", "0", "--setting", text)
    assert outcome.code == 2
    assert said in outcome.error


def test_a_query_without_a_server_takes_settings_too(cli: Cli, published: Path) -> None:
    question = "{ run { images(first: 3) { totalCount } } }"
    assert cli("query", "--db", published, question).code == 0
    limited = ("--setting", "max_page_size=2", "--setting", "page_size=1")
    outcome = cli("query", "--db", published, question, *limited)
    assert outcome.code == 1
    assert "first: 3 is not within 0 and 2" in outcome.stdout
    assert cli("query", "--db", published, question, "--setting", "max_page=9").code == 2


def test_the_process_is_tuned_only_while_it_serves() -> None:
    before = (sys.getswitchinterval(), gc.get_freeze_count())
    with _tuned_process():
        assert sys.getswitchinterval() < before[0]
        assert gc.get_freeze_count() > before[1]
    assert (sys.getswitchinterval(), gc.get_freeze_count()) == before
