"""Images, and one small run that several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny


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
    from evigraph.indexer.publish.publish import publish
    from evigraph.indexer.run.pipeline import index
    from evigraph.indexer.run.settings import Execution, IndexSettings

    folder = tmp_path_factory.mktemp("published")
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="random",
            data=f"scenes:{scenes}",
            classes=tiny.class_file(folder),
            run=folder / "run",
            execution=Execution(workers=0),
            preprocessing=tiny.PREPROCESSING,
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"
