"""What may import what: schema <- indexer, graphapi, migrations; evigraph alone puts them together.

Asked twice: of the source, by its import statements, and of a fresh process, by what is loaded in the end.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer.main

from evigraph.cli import app

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schema", "migrations", "indexer", "graphapi", "evigraph")
# The other packages lie in evigraph/ as links, and are themselves beside it.
MODULES = sorted({path.resolve() for package in PACKAGES for path in (ROOT / package).rglob("*.py")})

OURS = {
    "schema": {"schema"},
    "migrations": {"migrations", "schema"},
    # `publish` brings a database to the newest revision.
    "indexer": {"indexer", "schema", "migrations"},
    "graphapi": {"graphapi", "schema"},
    "evigraph": {"evigraph", "schema", "indexer", "graphapi"},
}
"""The packages of this repository that each may import."""

ROOMS: dict[str, dict[str, set[str]]] = {
    "indexer": {
        "": set(),  # options.py, the floor: settings as data
        "data": {""},
        "evidence": {""},
        "shards": set(),
        "model": set(),
        "weights": {"model", "data"},
        "engine": {"model", "evidence"},
        "verify": {"", "engine", "model", "evidence", "data", "shards"},
        "pictures": {"", "engine", "model", "evidence", "data", "shards"},
        "run": {"", "data", "model", "weights", "evidence", "engine", "shards", "verify", "pictures"},
        "explain": {
            *("", "data", "model", "weights", "evidence", "engine", "shards", "verify", "pictures", "run"),
        },
        "publish": {"shards"},
        "demo": {"data"},
    },
    "graphapi": {
        "store": set(),
        "questions": {"store"},
        "files": {"questions", "store"},
        "types": {"files", "questions", "store"},
        "service": {"types", "files", "questions", "store"},
        "http": {"service", "types", "files", "questions", "store"},
    },
    "schema": {
        "tables": {""},
        "rollups": {"tables", ""},
        "checks": {"rollups", "tables", ""},
        "": {"tables"},
    },
    "evigraph": {
        "reading": set(),
        "commands": {"", "explained", "reading"},
        "explained": {""},
        "": {"commands", "reading"},
    },
    "migrations": {"versions": set(), "": set()},
}
"""Which rooms of its own package each room may import; "" are the modules beside the rooms."""

ONLY = {
    "torch": {"indexer"},
    "torchvision": {"indexer"},
    "timm": {"indexer"},
    "safetensors": {"indexer"},
    "PIL": {"indexer", "graphapi"},
    "pandas": {"evigraph"},
    "pyarrow": {"indexer", "graphapi", "evigraph"},
    "strawberry": {"graphapi/types", "graphapi/service", "graphapi/http"},
    "graphql": {"graphapi"},
    "starlette": {"graphapi/http"},
    "uvicorn": {"evigraph"},
    "typer": {"evigraph"},
    "rich": {"evigraph"},
    "alembic": {"migrations"},
}
"""The packages, or rooms of one, that may import these libraries; nobody else."""

TORCH_FREE = ("indexer/shards", "indexer/publish")
"""Rooms of the indexer without torch: a database is published and read where there is none."""

MOST_MODULES = 20
"""In one folder, the package's own __init__ not counted."""
MOST_LINES = 350
"""In one module."""
MOST_PARAMETERS = 15
"""Of one function."""


def imported(path: Path) -> set[str]:
    """Dotted names of all that a module imports, anywhere in it; of ours without `evigraph.`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the package"
            # `from evigraph.indexer import engine` imports a room, `from .. import durable` a module.
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def of_ours(name: str) -> tuple[str, str] | None:
    """(package, room) of an imported name of this repository; None of another's."""
    first, _, rest = name.partition(".")
    if first != "evigraph":
        assert first not in PACKAGES, f"{name}: the import name is evigraph.{first}"
        return None
    package, *words = rest.split(".")
    if package in OURS:
        return (package, words[0] if words and words[0] in ROOMS[package] else "")
    return ("evigraph", package if package in ROOMS["evigraph"] else "")


def room_of(path: Path) -> tuple[str, str]:
    package, *folders = path.relative_to(ROOT).parts[:-1]
    return package, folders[0] if folders else ""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_the_right_way(path: Path) -> None:
    package, room = room_of(path)
    names = imported(path)
    ours = {found for found in map(of_ours, names) if found}
    assert {other for other, _ in ours} <= OURS[package]
    if (package, room) != (package, "") or "" in ROOMS[package]:
        of_package = {other for name, other in ours if name == package}
        assert of_package - {room} <= ROOMS[package][room]
    tops = {name.split(".")[0] for name in names}
    places = {package, f"{package}/{room}"}
    assert {top for top in tops if top in ONLY and not ONLY[top] & places} == set()
    if f"{package}/{room}" in TORCH_FREE:
        assert "torch" not in tops


def test_rooms_import_each_other_in_no_circle() -> None:
    """Every table above can be put in an order; modules beside the rooms are nobody's floor."""
    for package, rooms in ROOMS.items():
        order = graphlib.TopologicalSorter({room: below - {""} for room, below in rooms.items() if room})
        assert set(order.static_order()) >= {room for room in rooms if room}, package


def test_no_room_is_a_corridor() -> None:
    folders = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {relative(folder): count for folder, count in folders.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    counts = {
        node.name: len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs) for node in functions
    }
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("graphapi.http.app graphapi.service.query graphapi.service.schema", {"torch", "evigraph.indexer"}),
        (
            "schema.tables.base schema.database schema.checks.checks",
            {"torch", "strawberry", "evigraph.indexer", "evigraph.graphapi"},
        ),
        (
            "indexer.shards.folder indexer.publish.publish",
            {"torch", "strawberry", "starlette", "evigraph.graphapi"},
        ),
        ("indexer.run.settings", {"torch", "PIL", "numpy", "typer"}),
        ("indexer.run.pipeline", {"strawberry", "starlette", "evigraph.graphapi"}),
        ("cli", {"torch", "strawberry", "sqlalchemy", "pyarrow", "evigraph.indexer", "evigraph.graphapi"}),
        ("indexer.demo", {"torch", "PIL"}),
    ],
)
def test_importing_loads_no_more_than_it_may(modules: str, absent: set[str]) -> None:
    statement = "import " + ", ".join(f"evigraph.{module}" for module in modules.split())
    assert loaded_after(statement) & absent == set()


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "explain",
        "index",
        "publish",
        "migrate",
        "runs",
        "rollback",
        "serve",
        "query",
        "export",
        "check",
        "schema",
    ],
)
def test_help_loads_no_torch(command: str) -> None:
    """Fast, as a shell's completion or a person waits for it."""
    words = ["evigraph", command, "--help"] if command else ["evigraph", "--help"]
    statement = f"import sys; sys.argv = {words!r}\nfrom evigraph.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_after(statement) & {"torch", "strawberry", "sqlalchemy", "pyarrow"} == set()


def loaded_after(statement: str) -> set[str]:
    """Names of the modules that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys; print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split("LOADED ")[1].split())


def test_every_command_shows_an_example() -> None:
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("runs", "export"):
        commands |= {f"{group} {name}": command for name, command in commands[group].commands.items()}
    assert set(commands) == {
        *("demo", "index", "publish", "migrate", "rollback", "serve", "query", "check", "schema"),
        *(
            "runs",
            "runs list",
            "runs delete",
            "export",
            "export edges",
            "export graph",
            "export panel",
            "export pyramid",
            "export profile",
            "runs default",
            "explain",
            "extend",
            "layers",
        ),
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
    found = {relative(path.parent).replace("/", ".") for path in MODULES}
    assert sorted(listed) == sorted(name if name.startswith("evigraph") else f"evigraph.{name}" for name in found)
