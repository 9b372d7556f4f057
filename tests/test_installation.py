"""What an installation puts where: the wheel holds everything, under the one name evigraph, beside PyPI's `schema`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.tiny import ROOT

pytestmark = pytest.mark.slow

PACKAGES = ("evigraph", "schema", "migrations", "indexer", "graphapi")
BESIDE_MODULES = {
    "evigraph/py.typed",
    "evigraph/graphapi/schema.graphql",
    "evigraph/graphapi/http/static/explorer/pages/runs/page.js",
    "evigraph/graphapi/http/static/explorer/vendor/d3.min.js",
    "evigraph/graphapi/http/static/graphiql/graphiql.min.js",
    "evigraph/migrations/alembic.ini",
    "evigraph/migrations/script.py.mako",
    "evigraph/indexer/demo/narrow_vgg16.safetensors",
}
"""One file of each kind that is no module."""


def run(*words: str | Path, cwd: Path) -> str:
    """Output of a Python command that only sees what is installed."""
    done = subprocess.run(
        [sys.executable, "-I", *map(str, words)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(source: Path, folder: Path) -> Path:
    """The wheel of a source tree or sdist, built with the setuptools that is here."""
    folder.mkdir()
    pip = ("-m", "pip", "--no-input", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files_of(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, links as links, without what an earlier build left beside them."""
    tree = tmp_path_factory.mktemp("source") / "evigraph"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tree, tmp_path_factory.mktemp("wheel") / "dist")


def test_the_wheel_holds_every_file_under_one_name(tree: Path, wheel: Path) -> None:
    files = files_of(wheel)
    tops = {name.split("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"evigraph"}
    expected = {
        f"{'' if package == 'evigraph' else 'evigraph/'}{path.relative_to(tree).as_posix()}"
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file()
    }
    assert {name for name in files if name.startswith("evigraph/")} == expected
    assert expected >= BESIDE_MODULES


def test_an_sdist_gives_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    run("-c", f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})", cwd=tree)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert files_of(built(sdist, tmp_path / "dist")) == files_of(wheel)


def test_it_lives_beside_the_other_schema(wheel: Path, tmp_path: Path) -> None:
    """A module `schema` as PyPI's package of that name installs it."""
    run("-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps", "--target", tmp_path, wheel,
        cwd=tmp_path)  # fmt: skip
    (tmp_path / "schema.py").write_text("class Schema: ...\n")
    modules = "evigraph.schema.tables.base, evigraph.graphapi.http.app, evigraph.indexer.shards.folder, evigraph.cli"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import schema, {modules}; "
    printed = run("-c", code + "print(schema.Schema.__module__, schema.__file__, evigraph.__file__)", cwd=tmp_path)
    assert printed.split() == ["schema", str(tmp_path / "schema.py"), str(tmp_path / "evigraph" / "__init__.py")]
