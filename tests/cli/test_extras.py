"""What works without the libraries of the extras, and the one line that the rest says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evigraph.schema.extras import EXTRAS
from tests.conftest import Cli
from tests.support import tiny

MISSING = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {libraries!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["evigraph", *{words!r}]
from evigraph.cli import main
main()
"""


def without(libraries: set[str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process where these libraries are not installed."""
    code = MISSING.format(libraries=libraries, words=[str(word) for word in words])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tiny.ROOT, check=False)


@pytest.mark.parametrize("words", [["index"], ["demo", "--dir", "DEMO"]], ids=lambda words: words[0])
def test_indexing_without_torch_says_what_to_install(words: list[str], index_words: list[str], tmp_path: Path) -> None:
    given: list[str | Path] = (
        [*index_words, "--run", tmp_path / "run"] if words == ["index"] else ["demo", "--dir", tmp_path / "demo"]
    )
    done = without({"torch"}, *given)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "evigraph: this needs torch, which is not installed; pip install 'evigraph[index]' installs it\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_timm_network_without_timm_says_what_to_install(
    cli: Cli, index_words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    outcome = cli(*index_words, "--model", "timm:resnet18", "--run", tmp_path / "run")
    assert outcome.code == 1
    assert outcome.error == (
        "evigraph: this needs timm, which is not installed; pip install 'evigraph[timm]' installs it"
    )


@pytest.mark.slow
def test_a_database_is_made_checked_and_asked_without_any_extra(published: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    done = without(set(EXTRAS), "publish", published.parent / "run", "--db", db, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert without(set(EXTRAS), "check", "--db", db, "--quiet").returncode == 0
    done = without(set(EXTRAS), "query", "--db", db, "{ run { name imageCount } }")
    assert json.loads(done.stdout) == {"data": {"run": {"name": "run", "imageCount": 12}}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("libraries", "field"),
    [
        ({"sklearn"}, 'failureModes(layer: "7") { failures }'),
        ({"scipy"}, 'contrast(layer: "7", a: {outcome: CORRECT}, b: {outcome: WRONG}) { totalCount }'),
    ],
)
def test_a_question_that_needs_an_extra_says_so_in_its_answer(published: Path, libraries: set[str], field: str) -> None:
    done = without(libraries, "query", "--db", published, f"{{ run {{ {field} }} }}")
    (error,) = json.loads(done.stdout)["errors"]
    (library,) = libraries
    assert error["extensions"] == {"code": "NOT_INSTALLED"}
    assert (
        error["message"]
        == f"this needs {library}, which is not installed; pip install 'evigraph[statistics]' installs it"
    )
    assert (done.returncode, done.stderr) == (1, "")
