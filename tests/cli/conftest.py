"""The command line in process, and one small run that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evigraph.cli import main
from tests.support import tiny


@dataclass(frozen=True)
class Outcome:
    """What a command gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line on standard error; fails where there is not just one, or it is a traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("evigraph: "), self.stderr
        return lines[0]


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `evigraph` with these words, in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["evigraph", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images in four class folders."""
    return tiny.draw_images(tmp_path_factory.mktemp("images") / "set")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 images with semantic maps and labels."""
    return tiny.draw_scenes(tmp_path_factory.mktemp("scenes") / "set")


@pytest.fixture
def index_words(images: Path) -> list[str]:
    """A right `index` command, less `--run`; later options take the place of earlier ones."""
    return [
        "index",
        *("--model", tiny.MODEL, "--weights", "random", "--data", f"imagefolder:{images}"),
        *tiny.INPUT,
        *("--workers", "0", "--shard-size", "8"),
    ]


@pytest.fixture(scope="session")
def published(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of one run over the scenes; not to be changed."""
    from indexer.pipeline import IndexSettings, index
    from indexer.publish import publish

    folder = tmp_path_factory.mktemp("published")
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="random",
            data=f"scenes:{scenes}",
            classes=tiny.class_file(folder),
            run=folder / "run",
            workers=0,
            preprocessing={"resize": 0, "crop": tiny.SIDE, "mean": ".5,.5,.5", "std": ".5,.5,.5"},
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"
