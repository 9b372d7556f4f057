"""Pictures: their addresses in GraphQL, fetched; headers; what is not there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from evigraph.graphapi.files.drawing import StoredMap, _colours, heat_map
from evigraph.graphapi.http.app import create_app
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.pictures import LayerGeometry, encoded_map
from tests.support import tiny

QUERY = """{ run(name: "shown") {
    images(first: 30) { nodes { index uri thumbnailUrl decisions {
        evidence { nodes { layer channel y x cropUrl box { x y width height } }
                   edges { source importance activation mapUrl } } } } }
    layers { name channels }
    a: channel(layer: "6", index: 0) { ...peaks }  b: channel(layer: "0", index: 1) { ...peaks }
} }
fragment peaks on Channel { peaks(first: 5) { nodes { y x cropUrl guidedUrl image { index } } } }"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.draw_images(tmp_path_factory.mktemp("shown") / "set", 10)


@pytest.fixture(scope="module")
def client(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service over a run with pictures and one without."""
    folder = tmp_path_factory.mktemp("media")
    shown = PictureOptions(thumbnails=32, maps=True, max_maps=6, guided=2)
    for name, pictures in (("bare", PictureOptions()), ("shown", shown)):
        index(
            IndexSettings(
                model=tiny.MODEL,
                weights="random",
                data=f"imagefolder:{images}",
                run=folder / name,
                layers=["0", "3", "6"],
                execution=Execution(workers=0),
                preprocessing=tiny.PREPROCESSING,
                pictures=pictures,
            )
        )
    publish([folder / "bare", folder / "shown"], folder / "evidence.duckdb")
    with TestClient(create_app(folder / "evidence.duckdb")) as found:
        yield found


@pytest.fixture(scope="module")
def answer(client: TestClient) -> dict[str, Any]:
    body = client.post("/graphql", json={"query": QUERY}).json()
    assert "errors" not in body, body["errors"]
    found: dict[str, Any] = body["data"]["run"]
    return found


def opened(client: TestClient, url: str) -> Image.Image:
    """The picture at an address, with the headers that every picture has."""
    response = client.get(url)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["etag"].startswith('"')
    with Image.open(io.BytesIO(response.content)) as picture:
        assert response.headers["content-type"] == Image.MIME[str(picture.format)]
        picture.load()
        return picture


def test_thumbnails(client: TestClient, answer: dict[str, Any], images: Path) -> None:
    nodes = answer["images"]["nodes"]
    assert len({node["thumbnailUrl"] for node in nodes}) == len(nodes) == 10
    for node in nodes:
        shown = opened(client, node["thumbnailUrl"])
        with Image.open(images / node["uri"]) as original:
            assert np.abs(np.asarray(shown, float) - np.asarray(original.convert("RGB"), float)).mean() < 3


def test_crops_and_guided_crops(client: TestClient, answer: dict[str, Any], images: Path) -> None:
    """A crop is the receptive field: here of 3 x 3 pixels around the place, enlarged."""
    uris = {node["index"]: node["uri"] for node in answer["images"]["nodes"]}
    for peak in answer["b"]["peaks"]["nodes"]:
        crop = opened(client, peak["cropUrl"])
        with Image.open(images / uris[peak["image"]["index"]]) as original:
            box = [max(0, peak["x"] - 1), max(0, peak["y"] - 1), min(32, peak["x"] + 2), min(32, peak["y"] + 2)]
            plain = original.convert("RGB").crop(box)  # type: ignore[arg-type]
        assert min(crop.size) >= 96
        assert crop.width * plain.height == crop.height * plain.width
        small = np.asarray(crop.resize(plain.size, Image.Resampling.NEAREST), float)
        assert np.abs(small - np.asarray(plain, float)).mean() < 12
    for channel in ("a", "b"):
        urls = [peak["guidedUrl"] for peak in answer[channel]["peaks"]["nodes"]]
        assert [url is not None for url in urls] == [place < 2 for place in range(len(urls))]
        for peak in answer[channel]["peaks"]["nodes"][:2]:
            assert opened(client, peak["guidedUrl"]).size == opened(client, peak["cropUrl"]).size


def test_boxes_are_what_crops_show(client: TestClient, answer: dict[str, Any]) -> None:
    """Cutting the thumbnail at a node's box gives the node's crop; at layer 0 a box is of 3 x 3 pixels of 32."""
    node = answer["images"]["nodes"][0]
    thumbnail = opened(client, node["thumbnailUrl"]).convert("RGB")
    root, *below = node["decisions"][0]["evidence"]["nodes"]
    assert root["box"] is None
    for one in below:
        left, top, width, height = (one["box"][name] for name in ("x", "y", "width", "height"))
        cut = thumbnail.crop(tuple(round(part * 32) for part in (left, top, left + width, top + height)))
        crop = opened(client, one["cropUrl"])
        assert (np.asarray(crop.resize(cut.size, Image.Resampling.NEAREST)) == np.asarray(cut)).all()
        if one["layer"] == "0":
            middle = (one["y"] + 0.5) / 32, (one["x"] + 0.5) / 32
            assert top == max(0, middle[0] - 1.5 / 32)
            assert left + width == min(1, middle[1] + 1.5 / 32)


def test_maps(client: TestClient, answer: dict[str, Any]) -> None:
    """The most important edges of a decision have one, brightest at the edge's peak."""
    sides = {"0": 32, "3": 16, "6": 8}
    brightness = _colours().astype(float).sum(1)
    assert (np.diff(brightness) > -3).all()
    for node in answer["images"]["nodes"][:3]:
        for decision in node["decisions"]:
            edges = sorted(decision["evidence"]["edges"], key=lambda edge: -edge["importance"])
            assert [edge["mapUrl"] is not None for edge in edges].count(True) == 6
            assert all(edge["mapUrl"] for edge in edges if edge["importance"] > edges[5]["importance"])
            for edge in [edge for edge in edges if edge["mapUrl"]][:4]:
                assert opened(client, edge["mapUrl"]).size == (32, 32)
                heat = np.asarray(opened(client, edge["mapUrl"] + "?overlay=false"), float)
                assert heat.shape == (32, 32, 4)
                source = decision["evidence"]["nodes"][edge["source"]]
                cell = 32 // sides[source["layer"]]
                y, x = source["y"] * cell, source["x"] * cell
                # Of all places the peak's own is the brightest, to within the steps between two pixels.
                assert heat[y : y + cell, x : x + cell, 3].max() >= heat[..., 3].max() - 60
                assert heat[y : y + cell, x : x + cell, :3].sum(2).max() >= heat[..., :3].sum(2).max() * 0.6


def test_heat_map_of_a_layer_that_is_upside_down() -> None:
    """Where each row of places has a field of its own, a place is drawn where its own lies."""
    spans = (((8, 12), (4, 8), (0, 4)), ((0, 6), (6, 12)))
    values = np.array([[255, 0], [0, 0], [0, 0]], np.uint8)
    stored = StoredMap(encoded_map(values), 0, 0, 3, 2, 3, 2)
    geometry = LayerGeometry((2.0, 3.0), (4.0, 6.0), 6, spans)
    with Image.open(io.BytesIO(heat_map(stored, geometry, (12, 12), None))) as picture:
        opaque = np.asarray(picture)[..., 3]
    assert opaque[11, 0] == opaque.max() > 0
    assert opaque[0, 0] == opaque[11, 11] == 0


def test_a_map_lies_where_its_fields_are() -> None:
    """One bright place of a layer of stride 8 is brightest at the middle of its field, and half as bright half way."""
    values = np.zeros((1, 1), np.uint8) + 255
    stored = StoredMap(encoded_map(values), 1, 2, 1, 1, 4, 4)
    picture = heat_map(stored, LayerGeometry((4.0, 4.0), (8.0, 8.0), 9), (32, 32), None)
    alpha = np.asarray(Image.open(io.BytesIO(picture)))[..., 3].astype(float)
    assert alpha[8:16, 16:24].min() > 0
    assert alpha[:4].max() == 0
    assert np.array_equal(alpha[:, 20:32], alpha[:, 8:20][:, ::-1])  # around the middle of the field of column 2
    assert np.array_equal(alpha[12:24], alpha[:12][::-1])
    rows = np.flatnonzero(alpha.max(1))
    columns = np.flatnonzero(alpha.max(0))
    assert (rows[0] + rows[-1] + 1) / 2 == 12
    assert (columns[0] + columns[-1] + 1) / 2 == 20


def test_not_modified(client: TestClient, answer: dict[str, Any]) -> None:
    """An address that a client holds is not sent again; tags differ from address to address."""
    urls = [node["thumbnailUrl"] for node in answer["images"]["nodes"]] + [answer["a"]["peaks"]["nodes"][0]["cropUrl"]]
    tags = [client.get(url).headers["etag"] for url in urls]
    assert len(set(tags)) == len(urls)
    for given in (tags[0], f'"other", {tags[0]}', f"W/{tags[0]}", "*"):
        response = client.get(urls[0], headers={"If-None-Match": given})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tags[0])
        assert "immutable" in response.headers["cache-control"]
    assert client.get(urls[0], headers={"If-None-Match": tags[1]}).status_code == 200
    head = client.head(urls[0])
    assert (head.status_code, head.content) == (200, b"")


def test_what_is_not_there(client: TestClient, answer: dict[str, Any]) -> None:
    """404 in the shape of every other error, also for numbers that no database holds."""
    shown = answer["images"]["nodes"][0]["thumbnailUrl"].rsplit("/", 2)[0]
    for path in (
        f"{shown}/images/99",
        f"{shown}/images/x",
        f"{shown}/images/-1",
        f"{shown}/images/99999999999999999999",
        f"{shown}/images/4294967296",
        f"{shown}/crops/0/0/32/0",
        f"{shown}/crops/0/3/0/0",
        f"{shown}/crops/99/0/0/0",
        f"{shown}/guided/0/0/0/0/99",
        f"{shown}/maps/0/1/0/0/0/999",
        f"{shown}/nothing/0",
        "/media/0123456789abcdef/images/0",
        "/media",
    ):
        response = client.get(path, headers={"If-None-Match": "*"})
        assert response.status_code == 404, path
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "NOT_FOUND"
        assert "immutable" not in response.headers.get("cache-control", "")
    assert client.post(f"{shown}/images/0").status_code == 405


def test_a_run_without_pictures_has_no_addresses(client: TestClient) -> None:
    query = QUERY.replace("shown", "bare")
    body = client.post("/graphql", json={"query": query}).json()
    assert "errors" not in body, body["errors"]
    run = body["data"]["run"]
    assert {node["thumbnailUrl"] for node in run["images"]["nodes"]} == {None}
    edges = [edge for node in run["images"]["nodes"] for d in node["decisions"] for edge in d["evidence"]["edges"]]
    assert {edge["mapUrl"] for edge in edges} == {None}
    assert {peak[url] for peak in run["a"]["peaks"]["nodes"] for url in ("cropUrl", "guidedUrl")} == {None}
