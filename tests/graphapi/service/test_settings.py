"""Every limit of the service is a setting with its help, or has its reason on the page; the process is the host's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evigraph.graphapi.store.settings import SETTINGS, Settings
from evigraph.schema.errors import NotFoundError, UsageError
from tests.support import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
TABLE, CONSTANTS = PAGE.split("## Numbers that no setting changes")


def test_every_setting_is_documented() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("| `")]
    shown = [(s.name, f"`{s.shown_default}`" if s.shown_default else "", s.shown_help) for s in SETTINGS]
    assert rows == [f"| `{name}` | {default} | {help_} |".replace("|  |", "| |") for name, default, help_ in shown]


def test_every_other_number_has_its_reason() -> None:
    """A limit that is written as a constant of a module would be one that nobody can set."""
    constants = {
        f"{path.parent.name}.{path.stem}.{name}"
        for path in (ROOT / "graphapi").rglob("*.py")
        for name in _numbers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert constants == set(re.findall(r"`(\w+\.\w+\.\w+)`", CONSTANTS))


def _numbers(module: ast.Module) -> list[str]:
    """Names of a module's constants that are numbers."""
    names = []
    for node in module.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        numeric = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop)
        parts = list(ast.walk(node.value))
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        if all(isinstance(part, numeric) for part in parts) and all(type(value) in (int, float) for value in values):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def test_a_constant_is_seen_however_it_is_written() -> None:
    source = "A = 1\nB: float = -0.5\nC = 2**31 - 1\nD = 'x'\nE = f(3)\nF = True\nG = (1, 2)\nH = 'a' + 'b'"
    assert _numbers(ast.parse(source)) == ["A", "B", "C"]


def test_settings_from_a_command_line() -> None:
    texts = ["max_page_size=500", "page_size = 7", "graphiql=off", "cors_origins=https://a, https://b", "page_size=8"]
    with pytest.raises(NotFoundError, match="no setting 'page_size '; did you mean 'page_size'"):
        Settings.from_texts(texts)
    texts.pop(1)
    wanted = Settings(page_size=8, max_page_size=500, graphiql=False, cors_origins=("https://a", "https://b"))
    assert Settings.from_texts(texts) == wanted
    assert Settings.from_texts([]) == Settings()
    defaults = [f"{setting.name}={setting.shown_default}" for setting in SETTINGS]
    assert Settings.from_texts(defaults) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_page_sise=1", "no setting 'max_page_sise'; did you mean 'max_page_size'"),
        ("max_depth", "setting 'max_depth' has no value; give it as NAME=VALUE"),
        ("max_depth=", "setting max_depth: '' is not a whole number; the default is 15"),
        ("max_depth=1.5", "setting max_depth: '1.5' is not a whole number"),
        ("max_depth=0", "setting max_depth: 0 is below 1"),
        ("max_depth=2147483648", "setting max_depth: 2147483648 is above 2147483647"),
        ("threads=13", "setting threads: 13 is above 12"),
        ("page_size=101", "setting page_size: 101 is above max_page_size 100"),
        ("graphiql=maybe", "setting graphiql: 'maybe' is neither on nor off"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Settings.from_texts([text])


def test_an_application_leaves_its_process_as_it_is(database: Path) -> None:
    """Others mount it: collection, switching of threads, paths, signals and logging are the host's."""
    code = f"""
import asyncio, gc, logging, signal, sys
from pathlib import Path

def process():
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    log = logging.getLogger()
    return (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled(), sys.getswitchinterval(), list(sys.path),
            list(log.handlers), log.level, handlers)

async def lived():
    async with app.router.lifespan_context(app):
        return process()

before = process()
from evigraph.graphapi.http.app import create_app
app = create_app(Path({str(database)!r}))
for now in (process(), asyncio.run(lived()), process()):
    assert now == before, (now, before)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=PATIENCE_S)
