"""Pictures of evidence: what is in them, that it is theirs, and that names are text."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageFont

from evigraph.graphapi.files import raster, svg
from evigraph.graphapi.files.canvas import Box, Curve, Photo, Sheet, Text, counted, percent, shortened, text_width
from evigraph.graphapi.files.panel_sheet import panel_sheet
from evigraph.graphapi.files.panel_sheet import places_of as panel_places
from evigraph.graphapi.files.patches import Patches, Place, patches
from evigraph.graphapi.files.profile_sheet import layer_profiles, profile_csv, profile_sheet
from evigraph.graphapi.files.pyramid_sheet import places_of, pyramid_sheet
from evigraph.graphapi.questions.panel import Panel, panel
from evigraph.graphapi.questions.pyramid import Pyramid, pyramid
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.session import Session
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.local import asked
from evigraph.outputs import size_text
from tests.conftest import Cli
from tests.graphapi.conftest import Ask
from tests.support import tiny

SVG = "{http://www.w3.org/2000/svg}"
URI = "ant/0000.png"
Drawn = tuple[RunInfo, Pyramid, Panel, Patches]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of a run with thumbnails and maps."""
    folder = tmp_path_factory.mktemp("pictures")
    images = tiny.draw_images(folder / "set", 8)
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="random",
            data=f"imagefolder:{images}",
            run=folder / "run",
            layers=["0", "3", "6"],
            execution=Execution(workers=0),
            preprocessing=tiny.PREPROCESSING,
            pictures=PictureOptions(thumbnails=32, maps=True),
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def drawn(shown: Path) -> Drawn:
    """The pyramid of an image and the panel of its class, with their patches."""

    async def ask(session: Session) -> Drawn:
        run = session.runs[0]
        answer = await pyramid(session, run, URI, "predicted", top=None, depth=None, nodes=5)
        name = f"index:{answer.image.predicted_id}"
        rows = await panel(session, run, name, "3", "predicted", top=3, peaks=4, own_peaks=False)
        places = [*places_of(answer), *panel_places(rows)]
        return run, answer, rows, await patches(session, run, places, list(run.classes), True)

    return asked(shown, ask)


def sheets(drawn: Drawn) -> list[Sheet]:
    run, answer, rows, kept = drawn
    bare = Patches(replace(run, pictures=None), {}, {})
    no_rows = replace(rows, rows=[])
    barren = replace(answer, rows=[answer.rows[0], *(replace(row, nodes=[], links=[]) for row in answer.rows[1:])])
    return [
        pyramid_sheet(run, answer, kept, 2), pyramid_sheet(run, answer, bare, None),
        pyramid_sheet(run, barren, kept, None), panel_sheet(run, rows, kept, False),
        panel_sheet(run, rows, bare, True), panel_sheet(run, no_rows, kept, False),
    ]  # fmt: skip


def test_nothing_leaves_the_sheet_or_lies_over_text(drawn: Drawn) -> None:
    """With names of any length; lines of text, each as wide as it is drawn, keep clear of one another."""
    run, answer, rows, kept = drawn
    names = {index: replace(entry, name="a very long name, " * 20) for index, entry in run.classes.items()}
    long = replace(run, name="r" * 300, classes=names)
    rows = replace(rows, of_class=names[rows.of_class.class_id])
    image = answer.image._replace(uri="folder/" * 60 + "x.png")
    for sheet in [*sheets(drawn), *sheets((long, replace(answer, image=image), rows, kept))]:
        texts = []
        for item in sheet.items:
            if isinstance(item, Box | Photo):
                edges = (item.x, item.y, item.x + item.width, item.y + item.height)
            elif isinstance(item, Text):
                width = text_width(item.text, item.size, item.bold)
                left = item.x - width * {"start": 0, "middle": 0.5, "end": 1}[item.anchor]
                edges = (left, item.y - 0.7 * item.size, left + width, item.y)
                texts.append((edges, item.text))
            else:
                edges = (min(item.x0, item.x1), item.y0, max(item.x0, item.x1), item.y1)
            assert min(edges) >= 0, item
            assert edges[2] <= sheet.width, item
            assert edges[3] <= sheet.height, item
        for place, ((left, top, right, bottom), text) in enumerate(texts):
            for (other_left, other_top, other_right, other_bottom), other in texts[place + 1 :]:
                apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
                assert apart, (text, other)


def test_a_pyramid_as_svg(drawn: Drawn) -> None:
    """A card each node with its patch, a curve each link, a rest each row; photos are within the file."""
    run, answer, _, kept = drawn
    text = svg.svg_text(pyramid_sheet(run, answer, kept, None))
    root = ElementTree.fromstring(text)
    nodes = [node for row in answer.rows[1:] for node in row.nodes]
    pictures = root.findall(f"{SVG}image")
    assert len(pictures) == 1 + len(nodes) > 5
    for picture in pictures:
        head, data = picture.attrib["href"].split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as photo:
            assert photo.format == "JPEG"
    assert len(root.findall(f"{SVG}path")) == sum(len(row.links) for row in answer.rows)
    texts = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
    for row in answer.rows[1:]:
        assert percent(row.rest) in texts
        assert f"not kept {percent(row.not_kept)}" in texts
    dashed = [box for box in root.findall(f"{SVG}rect") if "stroke-dasharray" in box.attrib]
    assert len(dashed) == len(answer.rows) - 1
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text)


def test_names_are_text(drawn: Drawn) -> None:
    run, answer, _, kept = drawn
    name = "<script>alert(\"1\")</script> & 'x' \x07 \ufffe \n y"
    named = replace(run, name=name, classes={i: replace(c, name=name) for i, c in run.classes.items()})
    sheet = pyramid_sheet(named, answer, kept, None)
    root = ElementTree.fromstring(svg.svg_text(sheet))
    assert root.find(f".//{SVG}script") is None
    assert "<script" not in svg.html_text(sheet)
    assert "<script>alert(\"1\")</script> & 'x' \ufffd \ufffd" in str(root.findtext(f"{SVG}title"))
    assert raster.png_bytes(sheet)


def test_patches_are_of_their_places(drawn: Drawn, shown: Path) -> None:
    """The receptive field, cut from the image; grey and hot where there is a map over it."""
    _, answer, _, kept = drawn
    images = shown.parent / "set"
    for row in answer.rows[1:]:
        for node in row.nodes:
            place = Place(answer.decision.decision_id, *node.key)
            known, content = kept.box(place), kept.patch(place)
            assert known is not None
            assert content is not None
            box, size = known
            assert size == (32, 32)
            with Image.open(io.BytesIO(content)) as patch, Image.open(images / URI) as original:
                assert max(patch.size) <= 192
                plain = original.convert("RGB").crop((box.left, box.top, box.right, box.bottom))
                small = np.asarray(patch.resize(plain.size, Image.Resampling.BOX), float)
                difference = np.abs(small - np.asarray(plain, float)).mean()
            if row.layer.name == "6":  # of all colours those of the map are left, and lie at the peak
                layer_y, layer_x = (4 * node.key[2] + 2 - box.top, 4 * node.key[3] + 2 - box.left)
                saturation = small.max(2) - small.min(2)
                assert saturation[max(0, layer_y - 2) : layer_y + 2, max(0, layer_x - 2) : layer_x + 2].max() > 80
                assert saturation.min() < 40
                assert difference > 20
            else:  # fields of 3 and 8 pixels, over which no map is drawn
                assert difference < 14
    whole = kept.whole(answer.image.image_id)
    assert whole is not None
    with Image.open(io.BytesIO(whole)) as patch, Image.open(images / URI) as original:
        small = np.asarray(patch.resize((32, 32), Image.Resampling.BOX), float)
        assert np.abs(small - np.asarray(original.convert("RGB"), float)).mean() < 6


def test_png_is_the_same_picture(drawn: Drawn) -> None:
    """Twice as large as the layout, and each box where the layout has it; a huge one is drawn smaller."""
    sheet = Sheet(200, 100, "t")
    sheet.add(Box(10, 20, 30, 40, "#ff0000"), Box(100, 20, 50, 40, None, "#0000ff", dashed=True), Text(10, 90, "Łódź"))
    sheet.add(Curve(60, 10, 90, 90, 6, "#000000"))
    with Image.open(io.BytesIO(raster.png_bytes(sheet))) as picture:
        assert picture.size == (400, 200)
        assert picture.getpixel((50, 80)) == (255, 0, 0)
        assert picture.getpixel((90, 80)) == (255, 255, 255)
        middle = picture.getpixel((150, 100))
        assert isinstance(middle, tuple)
        assert middle[0] == pytest.approx(255 * 0.55, abs=3)
    assert _size(raster.png_bytes(Sheet(6000, 4000, "huge"))) == (6000, 4000)
    assert _size(raster.png_bytes(sheets(drawn)[0])) == tuple(
        round(2 * length) for length in (sheets(drawn)[0].width, sheets(drawn)[0].height)
    )


def _size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size


@pytest.mark.parametrize("name", [None, "boat"])
def test_profile(database: Path, run: Ask, name: str | None) -> None:
    """As GraphQL has it, in the picture and in the table."""

    async def ask(session: Session) -> tuple[str, Sheet]:
        of = next(run for run in session.runs if run.name == "scenes")
        answer = await layer_profiles(session, of, name, "predicted")
        return profile_csv(of, answer), profile_sheet(of, answer)

    table, sheet = asked(database, ask)
    given = "" if name is None else f'(class: "{name}")'
    layers = run(f"layers {{ name profile{given} {{ decompositions shares residual }} }}")["layers"]
    rows = list(csv.DictReader(io.StringIO(table)))
    expected = [
        (layer["name"], rank, share, layer["profile"]["residual"], layer["profile"]["decompositions"])
        for layer in reversed(layers)
        if layer["profile"]
        for rank, share in enumerate(layer["profile"]["shares"])
    ]
    found = [
        (row["target_layer"], int(row["rank"]), float(row["mean_share"]), float(row["residual"]),
         int(row["decompositions"]))
        for row in rows
    ]  # fmt: skip
    assert found == expected
    assert {row["class"] for row in rows} == {name or ""}
    texts = [item.text for item in sheet.items if isinstance(item, Text)]
    for _, _, share, residual, _ in expected:
        assert percent(share) in texts
        assert percent(residual) in texts
    assert sum(isinstance(item, Box) and item.dashed for item in sheet.items) == 3


def test_commands(cli: Cli, shown: Path, database: Path, tmp_path: Path) -> None:
    asked_for = {
        "pyramid": ("--image", URI), "panel": ("--class", "index:0", "--layer", "3"), "profile": (),
    }  # fmt: skip
    for command, words in asked_for.items():
        for ending, begin in (("svg", b"<svg"), ("png", b"\x89PNG"), ("html", b"<!doctype html>")):
            out = tmp_path / f"{command}.{ending}"
            outcome = cli("export", command, "--db", shown, *words, "--out", out)
            assert outcome.code == 0, outcome.stderr
            assert outcome.stdout == f"wrote {out}: {size_text(out.stat().st_size)} as {ending}\n"
            assert out.read_bytes().startswith(begin)
    assert cli("export", "profile", "--db", shown, "--out", "-", "--quiet").stdout.startswith("run,class,role,")
    outcome = cli("export", "pyramid", "--db", shown, "--image", URI, "--out", tmp_path / "p.jpg")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "the ending '.jpg' says no format; give one of .svg, .png, .html" in outcome.stderr
    bare = ("--run", "scenes", "--image", "images/00007.png", "--out", tmp_path / "bare.svg")
    assert cli("export", "pyramid", "--db", database, *bare).code == 0
    assert "keeps no thumbnails" in (tmp_path / "bare.svg").read_text()


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0.5, "50 %"), (0.0996, "10 %"), (0.0994, "9.9 %"), (0.01, "1.0 %"), (0.0012, "0.12 %"), (0.0, "0 %"),
        (1e-5, "< 0.01 %"), (-1e-7, "0 %"), (0.9957, "99.57 %"), (0.998, "99.8 %"), (1.0, "100 %"), (-0.02, "-2.0 %"),
        (0.99999, "100 %"), (0.099999, "10 %"),
    ],
)  # fmt: skip
def test_percent(part: float, text: str) -> None:
    assert percent(part) == text


@pytest.mark.parametrize("bold", [False, True])
def test_widths_are_those_of_the_font(bold: bool) -> None:
    """Never less than it draws, so that no name runs over what is beside it."""
    font = raster._font(bold, 100)
    if not isinstance(font, ImageFont.FreeTypeFont) or font.getname()[0] != "DejaVu Sans":
        pytest.skip("DejaVu Sans is not here")
    for name in ("hammerhead, hammerhead shark", "MOMMA", "goldfish, Carassius auratus", "conv4_3", "99.57 %", "Łódź"):
        assert 0.98 * font.getlength(name) <= text_width(name, 100, bold) <= 1.3 * font.getlength(name)


def test_words() -> None:
    assert [counted(n, "edge") for n in (0, 1, 1200)] == ["0 edges", "1 edge", "1,200 edges"]
    assert shortened("goldfish", 10, 100) == "goldfish"
    assert shortened("goldfish, Carassius auratus", 10, 100) == "goldfish, Caras\u2026"
    assert text_width("金魚", 10) == 20
