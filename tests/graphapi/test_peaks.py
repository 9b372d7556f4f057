"""Pictures of peaks: the map of the strongest edge into the place, and the box of its receptive field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask
from tests.support import tiny

PEAKS = """query ($layer: String!, $index: Int!, $class: String) { run { channel(layer: $layer, index: $index) {
    peaks(class: $class, first: 100) { nodes { y x contribution mapUrl box { x y width height }
    decision { class { index } image { index } role } } } } } }"""
NODES = """{ run { images(first: 1) { nodes { decisions { evidence {
    nodes { layer y x box { x y width height } } } } } } } }"""
BOX = {"0": (3, 1, 0.5), "3": (8, 2, 1.0), "6": (18, 4, 2.0)}
"""Length of a receptive field, stride, and middle of the first one, of the tiny network's layers by hand."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps 12 maps of each decision, which are not all."""
    folder = tmp_path_factory.mktemp("peaks")
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="random",
            data=f"imagefolder:{tiny.draw_images(folder / 'set', 8)}",
            run=folder / "run",
            layers=list(BOX),
            execution=Execution(workers=0),
            preprocessing=tiny.PREPROCESSING,
            pictures=PictureOptions(thumbnails=32, maps=True, max_maps=12),
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def asked(shown: Path, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    return make_ask(shown, Settings())


@pytest.mark.parametrize("of_class", [False, True])
def test_the_map_is_of_the_strongest_edge_that_has_one(shown: Path, asked: Ask, of_class: bool) -> None:
    engine = open_read_only(shown)
    with engine.connect() as connection:
        maps = {
            tuple(row)
            for row in connection.exec_driver_sql(
                "SELECT decision_id, target_layer, target_channel, target_y, target_x, source_channel "
                "FROM activation_map"
            )
        }
        edges = connection.exec_driver_sql("SELECT * FROM edge ORDER BY contribution DESC").mappings().all()
    engine.dispose()  # fmt: skip
    with_map = without = 0
    for layer_id, layer in enumerate(BOX):
        for channel in range(6):
            for class_ in range(4) if of_class else [None]:
                name = None if class_ is None else str(class_)
                answer = asked(PEAKS, layer=layer, index=channel, **{"class": name})
                assert "errors" not in answer, answer
                for peak in answer["data"]["run"]["channel"]["peaks"]["nodes"]:
                    image, role = peak["decision"]["image"]["index"], peak["decision"]["role"]
                    place = (2 * image + (role == "LABEL"), layer_id, channel, peak["y"], peak["x"])
                    wanted = None
                    for edge in edges:
                        of = (
                            edge["decision_id"],
                            edge["source_layer"],
                            edge["source_channel"],
                            edge["source_y"],
                            edge["source_x"],
                        )
                        target = (edge["target_layer"], edge["target_channel"], edge["target_y"], edge["target_x"])
                        if of == place and (edge["decision_id"], *target, channel) in maps:
                            wanted = "/".join(map(str, (edge["decision_id"], *target, channel)))
                            break
                    assert (peak["mapUrl"] and peak["mapUrl"].split("/maps/")[1]) == wanted
                    with_map, without = with_map + (wanted is not None), without + (wanted is None)
    assert with_map > 10
    assert without > 10  # fmt: skip


def test_boxes(asked: Ask) -> None:
    """Of peaks and of nodes of evidence, in parts of the image."""

    def wanted(layer: str, y: int, x: int) -> dict[str, float]:
        field, stride, first = BOX[layer]
        top, left = (first + stride * at - field / 2 for at in (y, x))
        bottom, right = (min(32, start + field) for start in (top, left))
        top, left = max(0, top), max(0, left)
        return {"x": left / 32, "y": top / 32, "width": (right - left) / 32, "height": (bottom - top) / 32}

    seen = set()
    for layer in BOX:
        answer = asked(PEAKS, layer=layer, index=2)
        for peak in answer["data"]["run"]["channel"]["peaks"]["nodes"]:
            assert peak["box"] == wanted(layer, peak["y"], peak["x"])
            seen.add((layer, tuple(peak["box"].values())))
    assert len(seen) > 5
    answer = asked(NODES)["data"]["run"]["images"]["nodes"][0]
    nodes = answer["decisions"][0]["evidence"]["nodes"]
    assert nodes[0]["box"] is None
    assert len(nodes) > 5
    for node in nodes[1:]:
        assert node["box"] == wanted(node["layer"], node["y"], node["x"])


def test_one_statement_for_all_maps(asked: Ask, statements: list[str]) -> None:
    asked(PEAKS, layer="3", index=2)
    assert len(statements) == 5, "\n\n".join(statements)  # peaks, their decisions and images, maps, edges


def test_a_run_without_pictures_has_neither(run: Ask) -> None:
    answer = run('channel(layer: "conv3_3", index: 0) { peaks(first: 1) { nodes { mapUrl box { x } } } }')
    assert answer["channel"]["peaks"]["nodes"] == [{"mapUrl": None, "box": None}]
