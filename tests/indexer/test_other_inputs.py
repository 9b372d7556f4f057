"""Whole runs over inputs that are not square RGB, and of networks that end in probabilities: indexed and published."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

from evigraph.graphapi.http.app import create_app
from evigraph.indexer.data.channels import load_channels
from evigraph.indexer.data.images import load_image
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.inputs import notes_of
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import AttackSettings, Execution, IndexSettings
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.indexer.weights.published import ABOUT_PREPROCESSING
from evigraph.schema.errors import UsageError
from tests.indexer.reference import Reference
from tests.support import heads, tiny

PLACE = "tests.support.heads:"
PICTURES = PictureOptions(thumbnails=64, maps=True, guided=1)
HEIGHT, WIDTH = 24, 40


def settings_of(folder: Path, data: str, model: str, **given: Any) -> IndexSettings:
    return IndexSettings(
        model=PLACE + model,
        weights="random",
        data=data,
        run=folder / f"run-{model}-{len(list(folder.iterdir()))}",
        **{"execution": Execution(workers=0, shard_size=4)} | given,
    )


def draw(folder: Path, kind: str, count: int = 8) -> str:
    """Images of 50 x 30 in four class folders: "L", "RGB", "RGBA" or "npy" of six channels."""
    random = np.random.default_rng(3)
    for i in range(count):
        place = folder / tiny.CLASSES[i % 4]
        place.mkdir(parents=True, exist_ok=True)
        channels = {"L": 1, "RGB": 3, "RGBA": 4, "npy": 6}[kind]
        coarse = random.integers(0, 256, (5, 8, channels), dtype=np.uint8)
        values = np.repeat(np.repeat(coarse, 6, 0), 7, 1)[:, :50]
        if kind == "npy":
            np.save(place / f"{i}.npy", values)
        else:
            Image.fromarray(values[:, :, 0] if channels == 1 else values).save(place / f"{i}.png")
    return f"imagefolder:{folder}"


def network_of(model: str) -> nn.Module:
    """As `index` makes it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = getattr(heads, model)()
    return made.eval()


Sql = Callable[[str], list[tuple[Any, ...]]]


def indexed(settings: IndexSettings) -> Sql:
    """Index only; gives a way to ask the shards."""
    index(settings)
    database = duckdb.connect()
    for table in {path.name.split(".")[1] for path in (settings.run / "shards").glob("*.parquet")}:
        files = settings.run / "shards" / f"*.{table}.parquet"
        database.execute(f"CREATE VIEW {table} AS FROM read_parquet('{files}')")
    return lambda statement: database.execute(statement).fetchall()


def published(settings: IndexSettings, folder: Path) -> Sql:
    """Index and publish; gives a way to ask the database, whose invariants `publish` has checked."""
    index(settings)
    publish([settings.run], folder / "evidence.duckdb")

    def sql(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(folder / "evidence.duckdb"), read_only=True) as database:
            return database.execute(statement).fetchall()

    return sql


def assert_edges(sql: Sql, model: nn.Module, modules: list[str], input_of: Callable[[str], Tensor]) -> None:
    """Every decomposition of every image is that of float64 autograd."""
    rows = sql(
        "SELECT uri, target_layer, target_channel, target_y, target_x, "
        "source_channel, source_y, source_x, contribution "
        "FROM edge JOIN decision USING (run_id, decision_id) JOIN image USING (run_id, image_id) "
        "ORDER BY decision_id, target_layer DESC, target_channel, target_y, target_x, rank"
    )
    assert len(rows) > 20
    references: dict[str, Reference] = {}
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[:5], []).append(row[5:])
    for (uri, layer, channel, y, x), edges in found.items():
        if uri not in references:
            references[uri] = Reference(model, modules, input_of(uri))
        expected = references[uri].edges(layer - 1, channel, y, x, 3)
        # Two decisions may share a target; its edges are then there twice.
        assert [edge[:3] for edge in edges[: len(expected)]] == [(e.channel, e.y, e.x) for e in expected], (uri, layer)
        for edge, right in zip(edges, expected, strict=False):
            assert edge[3] == pytest.approx(right.contribution, rel=1e-3, abs=1e-7)


def assert_served(database: Path) -> None:
    """Crops of receptive fields and heat maps have the proportions of the input."""
    peaks = "peaks(first: 3) { nodes { y x cropUrl guidedUrl image { index thumbnailUrl } } }"
    query = f"""{{ run {{
        low: channel(layer: "1", index: 0) {{ {peaks} }} high: channel(layer: "4", index: 0) {{ {peaks} }}
        images(first: 2) {{ nodes {{ decisions {{ evidence {{ edges {{ mapUrl }} }} }} }} }} }} }}"""
    with TestClient(create_app(database)) as client:
        run = client.post("/graphql", json={"query": query}).json()["data"]["run"]

        def size(url: str) -> tuple[int, int]:
            answer = client.get(url)
            assert answer.status_code == 200, url
            return Image.open(io.BytesIO(answer.content)).size

        for name, field, stride in (("low", 3, 1), ("high", 8, 2)):
            for peak in run[name]["peaks"]["nodes"]:
                width, height = size(peak["cropUrl"])
                top = peak["y"] * stride - (1 if stride == 1 else 3)
                left = peak["x"] * stride - (1 if stride == 1 else 3)
                rows = min(HEIGHT, top + field) - max(0, top)
                columns = min(WIDTH, left + field) - max(0, left)
                assert width / height == columns / rows, (name, peak)
        (url, *_) = [
            edge["mapUrl"]
            for image in run["images"]["nodes"]
            for decision in image["decisions"]
            for edge in decision["evidence"]["edges"]
            if edge["mapUrl"]
        ]
        assert size(url) == (WIDTH, HEIGHT)
        assert size(url + "?overlay=false") == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("kind", "model", "channels"), [("L", "grey", 1), ("RGBA", "rgba", 4), ("npy", "bands", 6)])
def test_channels_and_sides_through_everything(tmp_path: Path, kind: str, model: str, channels: int) -> None:
    """The channels are the network's; verification, pictures and the published crops go with height and width."""
    root = tmp_path / "images"
    options = PreprocessingOptions(resize=28, crop=(HEIGHT, WIDTH), mean=(0.5,) * channels, std=(0.25,) * channels)
    settings = settings_of(
        tmp_path, draw(root, kind), model, preprocessing=options, verify=VerifySettings("all"), pictures=PICTURES
    )
    sql = published(settings, tmp_path)
    preprocessing = Preprocessing(28, (HEIGHT, WIDTH), (0.5,) * channels, (0.25,) * channels)

    def input_of(uri: str) -> Tensor:
        return preprocessing.image(load_channels(root / uri, channels))

    assert sql("SELECT image_count, skipped_count FROM run") == [(8, 0)]
    assert_edges(sql, network_of(model), ["1", "4"], input_of)
    assert sql("SELECT height, width FROM layer ORDER BY layer_id") == [(24, 40), (12, 20), (1, 1)]
    assert sql("SELECT stride, receptive_field FROM layer WHERE name = 'logits'") == [(WIDTH, WIDTH)]
    ((described,),) = sql("SELECT settings FROM run")
    described = json.loads(described)
    assert described["preprocessing"]["crop"] == [HEIGHT, WIDTH]
    assert described["pictures"]["side"] == [HEIGHT, WIDTH]
    for content, uri in sql("SELECT content, uri FROM thumbnail JOIN image USING (run_id, image_id)"):
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == (WIDTH, HEIGHT)
            shown = input_of(uri) * 0.25 + 0.5
            shown = (shown[:3] if channels > 1 else shown.expand(3, -1, -1)) * 255
            difference = np.abs(np.asarray(picture.convert("RGB")).astype(float) - shown.permute(1, 2, 0).numpy())
            assert difference.mean() < 12
    ((tests, taken),) = sql("SELECT count(*), sum(area) FROM verification WHERE method = 'occlude'")
    assert tests > 8
    assert 0 < taken / tests <= 1
    assert sql("SELECT count(*) FROM verification WHERE control_top >= 24 OR control_left >= 40") == [(0,)]
    ((guided, tallest, widest),) = sql("SELECT count(*), max(height), max(width) FROM guided_crop")
    assert guided > 4
    assert_served(tmp_path / "evidence.duckdb")
    assert tallest <= HEIGHT
    assert widest <= WIDTH


def test_semantic_maps_go_with_height_and_width(tmp_path: Path) -> None:
    scenes = tiny.draw_scenes(tmp_path / "scenes", 6)
    options = PreprocessingOptions(resize=(30, 44), crop=(HEIGHT, WIDTH))
    classes = tiny.class_file(tmp_path)
    settings = settings_of(tmp_path, f"scenes:{scenes}", "softmax", preprocessing=options, classes=classes)
    sql = indexed(settings)
    assert sql("SELECT count(*) FROM image_context") >= [(12,)]
    for uri, label, area in sql(
        "SELECT uri, c.label_id, area FROM image_context c JOIN image USING (image_id) ORDER BY ALL"
    ):
        with Image.open(scenes / uri.replace("images", "masks")) as image:
            resized = np.asarray(image.resize((44, 30), Image.Resampling.NEAREST))[3:27, 2:42]
        assert area == pytest.approx(float((resized == label).mean()), abs=1e-6)


@pytest.mark.parametrize("kind", ["fgsm", "pgd", "noise"])
def test_attacks_of_other_inputs_stay_in_their_box(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "images"
    options = PreprocessingOptions(resize=0, crop=(30, 50), mean=(0.3,), std=(0.2,))
    attack = AttackSettings(kind=kind, eps=16 / 255)  # type: ignore[arg-type]
    given = {"preprocessing": options, "pictures": PictureOptions(thumbnails=64)}
    data = draw(root, "L")
    (tmp_path / "clean").mkdir()
    (tmp_path / "moved").mkdir()
    clean = indexed(settings_of(tmp_path / "clean", data, "grey", **given))
    moved = indexed(settings_of(tmp_path / "moved", data, "grey", attack=attack, **given))
    pictures = [
        [
            np.asarray(Image.open(io.BytesIO(c)).convert("L")).astype(int)
            for (c,) in sql("SELECT content FROM thumbnail")
        ]
        for sql in (clean, moved)
    ]
    changes = [np.abs(a - b) for a, b in zip(*pictures, strict=True)]
    assert max(float(np.quantile(change, 0.95)) for change in changes) <= 16 + 8  # JPEG
    assert min(float(change.mean()) for change in changes) > 2


@pytest.mark.parametrize("model", ["softmax", "log_softmax", "many_sigmoids", "one_sigmoid"])
def test_stored_probabilities_are_the_networks(tmp_path: Path, model: str) -> None:
    root = tmp_path / "images"
    data = draw(root, "RGB")
    options = PreprocessingOptions(resize=28, crop=(HEIGHT, WIDTH))
    binary = model == "one_sigmoid"
    settings = settings_of(
        tmp_path, f"folder:{root}" if binary else data, model, preprocessing=options, verify=VerifySettings("all")
    )
    sql = published(settings, tmp_path) if binary else indexed(settings)
    assert any("are decomposed" in note for note in index(settings).notes)
    network, preprocessing = network_of(model), Preprocessing(28, (HEIGHT, WIDTH))
    if binary:
        assert sql("SELECT name FROM class ORDER BY class_id") == [("negative",), ("positive",)]
    rows = sql("SELECT uri, d.class_id, role, logit, d.probability FROM decision d JOIN image USING (image_id)")
    assert len(rows) >= 8
    for uri, class_id, role, logit, probability in rows:
        with torch.no_grad():
            output = network(preprocessing.image(load_image(root / uri))[None]).double()
        own = output.exp() if model == "log_softmax" else output
        own = torch.stack([1 - own[0], own[0]])[None] if binary else own
        assert probability == pytest.approx(float(own[0, class_id]), abs=1e-6)
        assert role == "label" or class_id == int(own.argmax())
        if model in ("many_sigmoids", "one_sigmoid"):
            assert probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    # What a test says of a logit is of the same logits.
    for logit, change, before in sql(
        "SELECT v.logit, logit_change, d.logit FROM verification v JOIN decision d USING (decision_id)"
    ):
        assert logit - change == pytest.approx(before, abs=1e-5)


def test_two_folders_are_the_classes_of_one_output(tmp_path: Path) -> None:
    """A folder is class 0 or 1 in sorted order, as ImageFolder has it; an attack on either moves it to the other."""
    for name in ("cats", "dogs"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            values = np.random.default_rng(i + 10 * (name == "dogs")).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "images" / name / f"{i}.png")
    options = PreprocessingOptions(resize=0, crop=32)
    attack = AttackSettings(kind="pgd", eps=0.3, target=1)
    data = f"imagefolder:{tmp_path / 'images'}"
    sql = published(settings_of(tmp_path, data, "one_sigmoid", preprocessing=options, attack=attack), tmp_path)
    assert [row for (row,) in sql("SELECT name FROM class ORDER BY class_id")] == ["cats", "dogs"]
    assert {row for (row,) in sql("SELECT predicted_id FROM image")} == {1}
    for target, sign in ((0, -1), (1, 1)):
        attack = AttackSettings(kind="fgsm", eps=0.1, target=target)
        given = {"preprocessing": options, "attack": attack}
        (tmp_path / str(target)).mkdir()
        moved = indexed(settings_of(tmp_path / str(target), data, "one_sigmoid", **given))
        (tmp_path / f"clean{target}").mkdir()
        clean = indexed(settings_of(tmp_path / f"clean{target}", data, "one_sigmoid", preprocessing=options))
        ask = "SELECT sum(CASE WHEN class_id = 1 THEN logit ELSE -logit END) FROM decision WHERE role = 'predicted'"
        assert sign * (moved(ask)[0][0] - clean(ask)[0][0]) > 0


def test_an_own_transform_through_everything(tmp_path: Path) -> None:
    """The same rows as what says the same in options, but for what cannot be known of a function."""
    data = draw(tmp_path / "images", "RGB")
    known = PreprocessingOptions(resize=(HEIGHT, WIDTH), crop=(HEIGHT, WIDTH), mean=heads.MEAN, std=heads.STD)
    own = PreprocessingOptions(transform=PLACE + "wide")
    told = PreprocessingOptions(transform=PLACE + "WIDE", mean=heads.MEAN, std=heads.STD)
    rows = []
    for name, options in (("known", known), ("own", own), ("told", told)):
        (tmp_path / name).mkdir()
        attack = AttackSettings(kind="fgsm") if name == "told" else None
        settings = settings_of(
            tmp_path / name,
            data,
            "many_sigmoids",
            preprocessing=options,
            pictures=PICTURES,
            verify=VerifySettings("all"),
            attack=attack,
            execution=Execution(workers=1, shard_size=4),
        )
        sql = indexed(settings)
        rows.append(sql("FROM edge ORDER BY ALL"))
        assert sql("SELECT count(*) FROM thumbnail WHERE width = 40 AND height = 24") == [(8,)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    with pytest.raises(UsageError, match="how large --eps is in an input of --transform is not known"):
        index(settings_of(tmp_path / "own", data, "softmax", preprocessing=own, attack=AttackSettings(kind="fgsm")))


def test_what_was_done_is_said(tmp_path: Path) -> None:
    data = draw(tmp_path / "images", "L", 4)
    report = index(settings_of(tmp_path, data, "grey", preprocessing=PreprocessingOptions(crop=(HEIGHT, WIDTH))))
    said = " | ".join(report.notes)
    assert "the network's input has 1 channel: images are made grey" in said
    assert "no --mean and --std are given: pixels are 0 to 1, as they are" in said
    own = PreprocessingOptions(transform=PLACE + "wide")
    report = index(
        settings_of(tmp_path, data, "softmax", preprocessing=own, pictures=PICTURES, verify=VerifySettings("all"))
    )
    said = " | ".join(report.notes)
    assert "the input, 3 x 24 x 40, is what --transform tests.support.heads:wide makes of each image" in said
    assert "thumbnails show the network's input, stretched from black to white" in said
    assert "hides regions by 0 in the network's input" in said


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("grey", {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}, "mean has 3 numbers where 1 is needed"),
        ("grey", {"channels": 3}, r"cannot run on an input of \(1, 3, 224, 224\).*--channels"),
        ("rgba", {}, "none of the 8 images .* RGB image, where the network takes 4 channels"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, model: str, options: dict[str, Any], message: str) -> None:
    settings = settings_of(
        tmp_path, draw(tmp_path / "images", "RGB"), model, preprocessing=PreprocessingOptions(**options)
    )
    with pytest.raises(Exception, match=message) as raised:
        index(settings)
    assert not re.search(r"\n", str(raised.value))


@pytest.mark.parametrize("transform", [None, "tests.indexer.test_other_inputs:transform"])
def test_options_that_change_the_preprocessing_of_the_weights_are_said(transform: str | None) -> None:
    """A note of the weights must not stand alone where the run has another preprocessing."""
    of_weights = (f"{ABOUT_PREPROCESSING}that of A (resize 256, crop 224)", "cast float16 to float32")
    options = PreprocessingOptions(crop=200, transform=transform)
    settings = IndexSettings("a", "b", "folder:c", Path("run"), preprocessing=options)
    notes = notes_of(settings, Preprocessing(crop=200), of_weights)
    if transform:
        assert notes == of_weights[1:]
    else:
        assert notes == (*of_weights, "the options set it otherwise: crop 200")
    plain = IndexSettings("a", "b", "folder:c", Path("run"))
    assert notes_of(plain, Preprocessing(), of_weights) == of_weights
