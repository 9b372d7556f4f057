"""Fields of settings classes as options of the command line."""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import typer.main

from evigraph.cli import app
from evigraph.indexer.explain.settings import ExplainSettings
from evigraph.indexer.options import Option, Settings, like, names, option, options_of, part, settings_from
from evigraph.indexer.run.settings import IndexSettings
from evigraph.schema.errors import UsageError
from tests.support import tiny


@dataclass(frozen=True)
class Noise(Settings):
    kind: Literal["salt", "pepper"] = option("Which grain.", flag="--noise")
    amount: int = option("How much.", default=2, least=0, most=9)


@dataclass(frozen=True)
class Grind(Settings):
    coarse: bool = option("Leave grains whole.", default=False)
    layers: tuple[str, ...] | None = option("Names.", default=None, parse=names)


@dataclass(frozen=True)
class Kitchen(Settings):
    run: Path = option("Where.")
    share: float = option("Of all.", default=0.5, above=0, below=1, hint="as .25")
    grind: Grind = part(Grind)
    noise: Noise | None = part(Noise, optional=True)


def given(**changed: object) -> dict[str, object]:
    by_default: dict[str, object] = {o.flag: None if o.is_required else o.default for o in options_of(Kitchen)}
    return by_default | {f"--{name}": value for name, value in changed.items()}


def test_options_come_in_the_order_of_the_fields() -> None:
    listed = options_of(Kitchen)
    assert [o.flag for o in listed] == ["--run", "--share", "--coarse", "--layers", "--noise", "--amount"]
    assert [o.needs for o in listed] == [None] * 5 + ["--noise"]
    assert [o.is_required for o in listed] == [True] + [False] * 5
    assert listed[4].choices == ("salt", "pepper")
    assert Option("", type=Literal["a"] | None).choices == ("a",)


def test_settings_are_made_of_given_values() -> None:
    made = settings_from(Kitchen, given(run=Path("x"), layers="a, b"))
    assert made == Kitchen(Path("x"), grind=Grind(layers=("a", "b")))
    assert made.noise is None
    assert settings_from(Kitchen, given(run=Path("x"), noise="salt")).noise == Noise("salt")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise": "sugar"}, "unknown noise 'sugar'; give one of salt, pepper"),
        ({"noise": "salt", "amount": 10}, "--amount 10 is out of range; give 0 or more and at most 9"),
        ({"share": 1.0}, "--share 1.0 is out of range; give more than 0 and less than 1, as .25"),
        ({"share": float("nan")}, "--share nan is out of range"),
        ({"layers": "a,,b"}, "--layers 'a,,b' has an empty name"),
    ],
)
def test_what_cannot_be_used_is_named(changed: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings_from(Kitchen, given(run=Path("x"), **changed))


def test_a_default_can_be_used_and_is_said_once() -> None:
    """Settings made in Python, and by the command line when only what must be given is given, are the same."""
    listed = options_of(IndexSettings)
    required = {"--model": "m", "--weights": "w", "--data": "d", "--run": Path("r")}
    assert {o.flag for o in listed if o.is_required} == required.keys()
    defaults = {o.flag: o.default for o in listed if not o.is_required}
    assert settings_from(IndexSettings, required | defaults) == IndexSettings("m", "w", "d", Path("r"))


def test_every_option_is_on_the_command_line() -> None:
    listed = options_of(IndexSettings)
    assert max(Counter(o.flag for o in listed).values()) == 1
    assert {o.needs for o in listed} - {None} <= {o.flag for o in listed}
    command = typer.main.get_command(app).commands["index"]  # type: ignore[attr-defined]
    shown = [p.opts[0] for p in command.params]
    assert shown == [*(o.flag for o in listed), "--quiet", "--json"]


def test_settings_load_no_torch() -> None:
    code = "import evigraph.indexer.run.settings, sys; assert not {'torch', 'numpy', 'PIL'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tiny.ROOT)


@dataclass(frozen=True)
class Pantry(Settings):
    run: Path | None = like(Kitchen, "run", default=None)
    many: int = like(Noise, "amount", help="Of all.", most=4)
    layers: tuple[str, ...] | None = like(Grind, "layers")


def test_an_option_like_one_of_another_class() -> None:
    """Its flag, bounds and parser are the other's, unless they are said."""
    run, many, layers = options_of(Pantry)
    assert (run.flag, run.is_required, run.help, run.type) == ("--run", False, "Where.", Path | None)
    assert (many.flag, many.default, many.help, many.least, many.most) == ("--amount", 2, "Of all.", 0, 4)
    assert layers.parse is names
    assert options_of(Kitchen)[0].is_required
    with pytest.raises(UsageError, match="--amount 5 is out of range; give 0 or more and at most 4"):
        Pantry(many=5)


def test_explain_takes_what_determines_a_decision() -> None:
    """All options of `index`, but for what is of many images, or kept beside the decisions."""
    index, explain = ({o.flag: o for o in options_of(one)} for one in (IndexSettings, ExplainSettings))
    of_many = {"--name", "--limit", "--workers", "--batch-size", "--shard-size"}
    kept = {"--context-layers", "--overlaps", "--thumbnails", "--maps", "--max-maps", "--guided"}
    tried = {flag for flag in index if flag.startswith(("--verify", "--attack"))} | {"--occlude", "--eps"}
    assert index.keys() - explain.keys() == of_many | kept | tried
    assert explain.keys() - index.keys() == {"--image"}
    for flag in index.keys() & explain.keys() - {"--run", "--data"}:
        own, other = index[flag], explain[flag]
        for name in ("least", "above", "most", "below", "parse", "choices"):
            assert getattr(own, name) == getattr(other, name), (flag, name)
