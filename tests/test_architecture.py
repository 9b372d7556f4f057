"""What may import what: schema <- indexer, graphapi, migrations; evigraph alone puts them together.

Asked twice: of the source, by its import statements, and of a fresh process, by what is loaded in the end.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from evigraph.cli import app

ROOT = Path(__file__).parents[1]
PACKAGES = ("schema", "migrations", "indexer", "graphapi", "evigraph")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

OURS = {
    "schema": {"schema"},
    "migrations": {"migrations", "schema"},
    # `publish` brings a database to the newest revision.
    "indexer": {"indexer", "schema", "migrations"},
    "graphapi": {"graphapi", "schema"},
    "evigraph": {"evigraph", "schema", "indexer", "graphapi"},
}
"""The packages of this repository that each may import."""

ONLY = {
    "torch": {"indexer"},
    "torchvision": {"indexer"},
    "timm": {"indexer"},
    "safetensors": {"indexer"},
    "PIL": {"indexer", "graphapi"},
    "pyarrow": {"indexer", "graphapi"},
    "strawberry": {"graphapi"},
    "graphql": {"graphapi"},
    "starlette": {"graphapi"},
    "uvicorn": {"evigraph"},
    "typer": {"evigraph"},
    "rich": {"evigraph"},
    "alembic": {"migrations"},
}
"""Who may import these libraries; nobody else."""


def imported(path: Path) -> set[str]:
    """Dotted names of all that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the package"
            names.add(str(node.module))
    return names


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_the_right_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    tops = {name.split(".")[0] for name in imported(path)}
    assert tops & set(PACKAGES) <= OURS[package]
    assert {top for top in tops if package not in ONLY.get(top, {package})} == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import graphapi.app, graphapi.query, graphapi.schema", {"torch", "indexer"}),
        ("import schema.tables, schema.database, schema.checks", {"torch", "strawberry", "indexer", "graphapi"}),
        ("import indexer.shards, indexer.publish", {"torch", "strawberry", "starlette", "graphapi"}),
        ("import indexer.pipeline", {"strawberry", "starlette", "graphapi"}),
        ("import evigraph.cli", {"torch", "strawberry", "sqlalchemy", "pyarrow", "indexer", "graphapi"}),
        ("import indexer.demo", {"torch", "PIL"}),
    ],
)
def test_importing_loads_no_more_than_it_may(statement: str, absent: set[str]) -> None:
    assert loaded_after(statement) & absent == set()


@pytest.mark.parametrize(
    "command",
    ["", "demo", "index", "publish", "migrate", "runs", "rollback", "serve", "query", "export", "check", "schema"],
)
def test_help_loads_no_torch(command: str) -> None:
    """Fast, as a shell's completion or a person waits for it."""
    words = ["evigraph", command, "--help"] if command else ["evigraph", "--help"]
    statement = f"import sys; sys.argv = {words!r}\nfrom evigraph.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_after(statement) & {"torch", "strawberry", "sqlalchemy", "pyarrow"} == set()


def loaded_after(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys; print('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split("LOADED ")[1].split())


def test_every_command_shows_an_example() -> None:
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("runs", "export"):
        commands |= {f"{group} {name}": command for name, command in commands[group].commands.items()}
    assert set(commands) == {
        *("demo", "index", "publish", "migrate", "rollback", "serve", "query", "check", "schema"),
        *("runs", "runs list", "runs delete", "export", "export edges", "export graph"),
    }
    for name, command in commands.items():
        assert f"\n  evigraph {name}" in command.epilog, name
        assert command.help, name
        undocumented = [p.name for p in command.params if not getattr(p, "help", None)]
        assert undocumented == [], name


def test_every_folder_of_code_is_installed() -> None:
    """A package that pyproject.toml does not list works from a checkout and is missing once installed."""
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in MODULES}
    assert sorted(listed) == sorted(found)
