"""What notebooks draw: pictures are those of the service, names are text, and nothing fails where nothing is kept."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from starlette.testclient import TestClient

import evigraph
from evigraph.graphapi.http.app import create_app
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.reading import Answer, Database, Run
from evigraph.schema.errors import UsageError
from tests.support import tiny

NASTY = "<b>ant & co</b>"
JPEG = re.compile(r'src="data:image/jpeg;base64,([\w+/=]+)"')


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of a run with pictures of each kind, of whose classes one has markup for a name."""
    folder = tmp_path_factory.mktemp("drawn")
    images = tiny.draw_images(folder / "set", 8)
    keys = sorted(path.name for path in images.iterdir())
    names = [NASTY, *keys[1:]]
    rows = [f"{place},{key},{name}" for place, (key, name) in enumerate(zip(keys, names, strict=True))]
    (folder / "classes.csv").write_text("\n".join(["index,key,name", *rows]))
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="random",
            data=f"imagefolder:{images}",
            classes=folder / "classes.csv",
            run=folder / "run",
            layers=["0", "3", "6"],
            execution=Execution(workers=0),
            preprocessing=tiny.PREPROCESSING,
            pictures=PictureOptions(thumbnails=32, maps=True, guided=2),
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def opened(shown: Path) -> Iterator[Database]:
    with evigraph.open(shown) as one:
        yield one


@pytest.fixture(scope="module")
def run(opened: Database) -> Run:
    return opened.run()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def test_pictures_are_those_that_the_service_sends(shown: Path, opened: Database, run: Run) -> None:
    uri = run.images(limit=1)["uri"][0]
    graph = run.evidence(uri)
    channel = run.channel("3", run.channel_support("3", limit=1)["channel"][0])
    peaks = channel.peaks(limit=1)
    addresses = [
        run.images(limit=1)["thumbnail_url"][0],
        peaks["crop_url"][0],
        peaks["guided_url"][0],
        next(edge["map_url"] for *_, edge in graph.edges(data=True) if edge["map_url"]),
    ]
    with TestClient(create_app(shown)) as client:
        for address in addresses:
            sent, own = client.get(address), opened.picture(address)
            assert (own.media_type, own.content) == (sent.headers["content-type"], sent.content)
        wrong = [addresses[0] + "9", addresses[0][:-1] + "999999", "/media/x", "images", addresses[1] + "/1"]
        for address in wrong:
            assert client.get(f"/{address.lstrip('/')}").status_code == 404
            with pytest.raises(evigraph.NotFoundError, match="URL fields"):
                opened.picture(address)


def test_a_table_draws_its_pictures_small(run: Run) -> None:
    images = run.images(limit=3)
    html = images._repr_html_()
    found = JPEG.findall(html)
    assert len(found) == 3
    assert max(Image.open(io.BytesIO(base64.b64decode(found[0]))).size) <= 96
    assert "thumbnail_url" not in html  # its head is the picture's name
    assert len(JPEG.findall(run.channel("3", 0)._repr_html_())) > 0
    assert "data:image/" in run.database.picture(images["thumbnail_url"][0])._repr_html_()


def test_names_are_text(opened: Database, run: Run) -> None:
    assert NASTY in run.classes()["name"]
    drawn = [
        run.classes()._repr_html_(),
        run.images()._repr_html_(),
        run.channel_support("3", NASTY)._repr_html_(),
        run.confusions()._repr_html_(),
        run._repr_html_(),
        opened._repr_html_(),
        opened.runs._repr_html_(),
    ]
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "caption", "img", "p", "br", "b"}
    assert {tag for html in drawn for tag in parsed(html).tags} <= allowed
    tables = drawn[:4]
    assert all(NASTY in parsed(html).text for html in tables[:2])
    assert all("b" not in parsed(html).tags for html in tables)
    table = run.classes().table
    nasty = Answer(table.rename_columns([NASTY, *table.schema.names[1:]]), {NASTY: NASTY})
    assert parsed(nasty._repr_html_()).tags <= allowed - {"b"}


def test_graphs_and_drawings_are_svg(run: Run, tmp_path: Path) -> None:
    uri = run.images(limit=1)["uri"][0]
    evidence = run.evidence(uri)
    for drawn in (evidence._repr_svg_(), run.panel(NASTY, "3")._repr_svg_(), run.profile()._repr_svg_()):
        assert drawn is not None
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
    run.panel(NASTY, "3").save(tmp_path / "panel.svg")
    assert NASTY in "".join(ElementTree.parse(tmp_path / "panel.svg").getroot().itertext())
    assert evidence.subgraph([0, 1]).copy()._repr_svg_() is None
    assert "nodes" in str(evidence)
    assert NASTY in repr(run.panel(NASTY, "3"))
    with pytest.raises(UsageError, match="40"):
        evidence.draw(nodes=400)


def test_a_run_without_pictures_is_drawn_without(database: Path) -> None:
    with evigraph.open(database) as plain:
        run = plain.run("plain")
        assert "<img" not in run.images()._repr_html_()
        channel = run.channel(run.layers[-2], run.channel_support(run.layers[-2], limit=1)["channel"][0])
        assert "<img" not in channel._repr_html_()
        assert "<svg" in str(run.evidence(run.images(limit=1)["uri"][0])._repr_svg_())


def test_a_table_outlives_its_database(shown: Path) -> None:
    with evigraph.open(shown) as short:
        run = short.run()
        images, channel = run.images(limit=2), run.channel("3", 0)
        evidence = run.evidence(images["uri"][0])
    html = images._repr_html_()
    assert "<img" not in html
    assert images["thumbnail_url"][0] in html
    assert "closed" in channel._repr_html_()
    assert evidence._repr_svg_() is None
    assert evidence.number_of_edges() > 0
