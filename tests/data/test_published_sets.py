"""Small trees in the layouts of PASCAL VOC, PASCAL-Context, ADE20K and COCO-Stuff, drawn here; and wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.data.loader import iterate_batches
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.data.voc import VOC_LABELS
from tests.support.refusals import refusal_of

CLASSES = ClassList.from_names(["boat", "dog", "kitchen", "person", "umbrella"])
WIDTH, HEIGHT = 12, 8


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path)


def values(left: int, right: int) -> np.ndarray:
    """A map of two halves."""
    drawn = np.full((HEIGHT, WIDTH), left, dtype=np.uint16)
    drawn[:, WIDTH // 2 :] = right
    return drawn


def grey(path: Path, drawn: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn.astype(np.uint8)).save(path)


def palette(path: Path, drawn: np.ndarray) -> None:
    """Indices in a palette whose colours are nothing like the indices, as VOC's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(drawn.astype(np.uint8)).convert("L")
    image.putpalette([(37 * number + 11) % 256 for number in range(768)])
    image.save(path)
    with Image.open(path) as written:
        assert written.mode == "P"


def matrix(path: Path, drawn: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"LabelMap": drawn.astype(np.uint16)})


def halves(source: DataSource) -> list[tuple[str | None, str | None]]:
    """Per image, the names of the labels in the left and right half of its map as the loader gives it; None is void."""
    (batch,) = iterate_batches(source, Preprocessing(None, HEIGHT), range(len(source.samples)), batch_size=99)
    assert not batch.skipped
    assert batch.maps is not None
    found = [(int(m[:, 0].unique()), int(m[:, -1].unique())) for m in batch.maps]
    return [(source.context_labels.get(left), source.context_labels.get(right)) for left, right in found]


def error(spec: str) -> str:
    return refusal_of(lambda: open_source(spec, CLASSES, len(CLASSES)))


def opened(spec: str) -> DataSource:
    return open_source(spec, CLASSES, len(CLASSES))


def annotation(*names: str) -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{i % 2}</difficult><part><name>head</name></part></object>"
        for i, name in enumerate(names)
    )
    return f"<annotation><folder>VOC2012</folder>{objects}<segmented>1</segmented></annotation>"


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """Three images of 2012: a boat with persons; a dog, without a map; and one that has neither map nor annotation."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_000032", "2007_000033", "2007_000.9"):
        picture(root / "JPEGImages" / f"{name}.jpg")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "2007_000032.xml").write_text(annotation("person", "boat", "person"))
    (root / "Annotations" / "2007_000033.xml").write_text(annotation("dog", "pottedplant"))
    palette(root / "SegmentationClass" / "2007_000032.png", values(4, 255))
    for folder, split, names in (
        ("Main", "val", ["2007_000032", "2007_000033"]),
        ("Main", "train", ["2007_000.9"]),
        ("Main", "dog_val", ["2007_000032 -1", "2007_000033  1"]),
        ("Segmentation", "val", ["2007_000032"]),
        ("Segmentation", "gone", ["2008_1", "2007_000032"]),
        ("Segmentation", "none", ["2008_1"]),
    ):
        (root / "ImageSets" / folder).mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    return tmp_path / "VOCdevkit"


class TestVoc:
    def test_objects_are_tags_and_the_classes_they_name_labels(self, devkit: Path) -> None:
        source = opened(f"voc:{devkit}")
        assert source.samples == (
            Sample("JPEGImages/2007_000.9.jpg"),
            Sample("JPEGImages/2007_000032.jpg", (0, 3), "SegmentationClass/2007_000032.png", ("boat", "person")),
            Sample("JPEGImages/2007_000033.jpg", (1,), None, ("dog", "pottedplant")),
        )
        assert (source.root, source.labels_by) == (devkit / "VOC2012", "tags")

    def test_palettes_are_read_as_indices_and_255_is_void(self, devkit: Path) -> None:
        source = opened(f"voc:{devkit}")
        assert halves(source) == [(None, None), ("boat", None), (None, None)]
        assert [source.context_labels[i] for i in range(1, 21)] == list(VOC_LABELS[1:])
        palette(devkit / "VOC2012" / "SegmentationClass" / "2007_000033.png", values(0, 20))
        assert halves(opened(f"voc:{devkit}"))[2] == ("background", "tvmonitor")

    def test_the_folder_may_be_any_of_three(self, devkit: Path) -> None:
        samples = opened(f"voc:{devkit}").samples
        for place in (devkit.parent, devkit / "VOC2012"):
            assert opened(f"voc:{place}").samples == samples

    def test_splits(self, devkit: Path) -> None:
        def uris(split: str) -> list[str]:
            return [s.uri.removeprefix("JPEGImages/") for s in opened(f"voc:{devkit}?split={split}").samples]

        assert uris("Main/val") == ["2007_000032.jpg", "2007_000033.jpg"]
        assert uris("Segmentation/val") == ["2007_000032.jpg"]
        assert uris("train") == ["2007_000.9.jpg"]
        assert uris("gone") == ["2007_000032.jpg", "2008_1.jpg"]

    def test_a_split_may_name_images_with_spaces(self, devkit: Path) -> None:
        picture(devkit / "VOC2012" / "JPEGImages" / "my boat 1.JPG")
        (devkit / "VOC2012" / "ImageSets" / "Main" / "own.txt").write_text("my boat 1\n2007_000033\n")
        source = opened(f"voc:{devkit}?split=own")
        assert [s.uri for s in source.samples] == ["JPEGImages/2007_000033.jpg", "JPEGImages/my boat 1.JPG"]

    def test_years(self, devkit: Path) -> None:
        picture(devkit / "VOC2007" / "JPEGImages" / "000001.jpg")
        assert "holds 2007 and 2012; add ?year=2012" in error(f"voc:{devkit}")
        assert [s.uri for s in opened(f"voc:{devkit}?year=2007").samples] == ["JPEGImages/000001.jpg"]
        assert "no year '2006'; did you mean '2007'? in" in error(f"voc:{devkit}?year=2006")
        assert "leave out year=2007" in error(f"voc:{devkit / 'VOC2012'}?year=2007")
        assert len(opened(f"voc:{devkit / 'VOC2012'}?year=2012").samples) == 3

    def test_without_maps_there_are_tags(self, devkit: Path) -> None:
        (devkit / "VOC2012" / "SegmentationClass" / "2007_000032.png").unlink()
        (devkit / "VOC2012" / "SegmentationClass").rmdir()
        source = opened(f"voc:{devkit}")
        assert not source.has_maps
        assert source.samples[2].tags == ("dog", "pottedplant")

    def test_labels_of_ones_own(self, devkit: Path) -> None:
        (devkit / "VOC2012" / "classes.csv").write_text("mask_value,name\n0,void\n4,sea\n255,frame\n")
        assert halves(opened(f"voc:{devkit}"))[1] == ("sea", "frame")

    def test_a_map_of_another_size_skips_its_image(self, devkit: Path) -> None:
        picture(devkit / "VOC2012" / "JPEGImages" / "2007_000032.jpg", (WIDTH + 1, HEIGHT))
        (batch,) = iterate_batches(opened(f"voc:{devkit}?split=gone"), Preprocessing(None, HEIGHT), [0, 1])
        assert batch.skipped == ((0, "semantic map: not of the image's size"), (1, "no such file"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("<annotation><object>", "is damaged XML (no element found"),
            ("", "is damaged XML (no element found"),
            ("<?xml version='1.0' encoding='utf-99'?><annotation/>", "is damaged XML (unknown encoding"),
            ("<annotation><object><pose/></object></annotation>", "holds an object without a name"),
            ("<svg/>", "holds <svg>, no <annotation>"),
        ],
    )
    def test_damaged_annotations_are_named(self, devkit: Path, text: str, said: str) -> None:
        path = devkit / "VOC2012" / "Annotations" / "2007_000033.xml"
        path.write_text(text)
        message = error(f"voc:{devkit}")
        assert f"{path} {said}" in message
        assert "restore it, or remove it" in message

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("split=val", "split 'val' is ambiguous: it may be Main/val, Segmentation/val"),
            ("split=Main/vall", "no split 'Main/vall'; did you mean 'Main/val'"),
            ("split=test2012", "leave split out to take every image"),
            ("split=dog_val", "line 1: '2007_000032 -1' is not just an image name"),
            ("split=none", "none of the 1 images that"),
            ("splt=val", "no data option 'splt'; did you mean 'split'?"),
            ("split", "'split' is not an option; give ?NAME=VALUE"),
            ("split=train&split=gone", "gives split twice"),
        ],
    )
    def test_wrong_options(self, devkit: Path, options: str, said: str) -> None:
        assert said in error(f"voc:{devkit}?{options}")

    def test_wrong_folders(self, devkit: Path, tmp_path: Path) -> None:
        assert "no folder" in error(f"voc:{tmp_path / 'absent'}")
        (tmp_path / "empty").mkdir()
        assert "holds no VOC20xx/JPEGImages; give the folder VOCdevkit" in error(f"voc:{tmp_path / 'empty'}")
        (tmp_path / "empty" / "JPEGImages").mkdir()
        assert "holds no images" in error(f"voc:{tmp_path / 'empty'}")
        (devkit / "VOC2012" / "ImageSets").rename(tmp_path / "ImageSets")
        assert "no split 'Main/val' in" in error(f"voc:{devkit}?split=Main/val")


@pytest.fixture
def context(devkit: Path) -> Path:
    """459 labels of which three are named here, over two images of the devkit."""
    root = devkit.parent / "PASCAL-Context"
    matrix(root / "trainval" / "2007_000032.mat", values(459, 308))
    matrix(root / "trainval" / "2007_000.9.mat", values(0, 431))
    (root / "labels.txt").write_text("1: accordion\n308: sea \n431: unknown\n459: wood\n")
    return root


class TestPascalContext:
    def test_459_labels(self, devkit: Path, context: Path) -> None:
        source = opened(f"pascal-context:{context}?images={devkit}")
        assert source.samples == (
            Sample("JPEGImages/2007_000.9.jpg", (), "trainval/2007_000.9.mat"),
            Sample("JPEGImages/2007_000032.jpg", (0, 3), "trainval/2007_000032.mat", ("boat", "person")),
        )
        assert source.context_labels == {1: "accordion", 308: "sea", 459: "wood"}
        assert halves(source) == [(None, None), ("wood", "sea")]
        assert not [note for note in source.notes if "differs" in note]  # .mat is the suffix of the published ones

    @pytest.mark.parametrize("suffix", ["png", "mat"])
    def test_59_labels(self, devkit: Path, context: Path, suffix: str) -> None:
        draw = palette if suffix == "png" else matrix
        draw(context / "59_context_labels" / f"2007_000033.{suffix}", values(59, 0))
        (context / "59_labels.txt").write_text(" 1 : aeroplane\n59: wood\n")
        spec = f"pascal-context:{context}?images={devkit}"
        assert "holds 459 and 59 labels; add ?labels=459 or ?labels=59" in error(spec)
        source = opened(f"{spec}&labels=59")
        assert [s.uri for s in source.samples] == ["JPEGImages/2007_000033.jpg"]
        assert halves(source) == [("wood", None)]
        assert len(opened(f"{spec}&labels=459").samples) == 2
        assert "unknown labels=33; give 459 or 59" in error(f"{spec}&labels=33")

    def test_splits_keep_images_without_a_map(self, devkit: Path, context: Path) -> None:
        spec = f"pascal-context:{context}?images={devkit}"
        assert [bool(s.map_uri) for s in opened(f"{spec}&split=Main/val").samples] == [True, False]
        (context / "test.txt").write_text("2007_000.9\n")
        assert [s.map_uri for s in opened(f"{spec}&split=test").samples] == ["trainval/2007_000.9.mat"]

    def test_the_digest_tells_maps_but_not_places(self, devkit: Path, context: Path) -> None:
        spec = f"pascal-context:{context}?images={devkit}"
        first = opened(spec).digest()
        moved = context.rename(context.with_name("moved"))
        assert opened(f"pascal-context:{moved}?images={devkit}").digest() == first
        with (moved / "trainval" / "2007_000032.mat").open("ab") as file:
            file.write(b"0")
        assert opened(f"pascal-context:{moved}?images={devkit}").digest() != first

    def test_what_is_wrong(self, devkit: Path, context: Path, tmp_path: Path) -> None:
        spec = f"pascal-context:{context}?images={devkit}"
        assert "give the folder VOCdevkit" in error(f"pascal-context:{context}")
        picture(tmp_path / "other" / "JPEGImages" / "1.jpg")
        assert "give the VOC images (2010)" in error(f"pascal-context:{context}?images={tmp_path / 'other'}")
        for text, said in (
            ("1: sea\n1: sky\n", "line 2: label 1 is given twice"),
            ("1 sea\n", "line 1: '1 sea' is not a label; write lines such as '12: grass'"),
            ("0: background\n431: unknown\n", "names no label"),
        ):
            (context / "labels.txt").write_text(text)
            assert said in error(spec)
        (context / "labels.txt").write_text("1: sea\n2: sea\n")
        assert opened(spec).context_labels == {1: "sea (1)", 2: "sea (2)"}
        (context / "trainval").rename(context / "maps")
        assert "unpack the maps there" in error(spec)
        (context / "labels.txt").unlink()
        assert "neither labels.txt (459 labels) nor 59_labels.txt" in error(spec)


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    """Two images for training, of which one has no map, and one for validation."""
    root = tmp_path / "ADEChallengeData2016"
    for name in ("training/ADE_train_00000001", "training/ADE_train_00000002", "validation/ADE_val_00000001"):
        picture(root / "images" / f"{name}.jpg")
    grey(root / "annotations" / "training" / "ADE_train_00000001.png", values(1, 150))
    grey(root / "annotations" / "validation" / "ADE_val_00000001.png", values(0, 2))
    (root / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1576\t11664\t 1172\t1\twall\n"
        "2\t0.1072\t 6046\t  612\t1\tbuilding, edifice\n3\t0.01\t1\t1\t0\tscreen, silver screen\n"
        "4\t0.01\t1\t1\t0\tscreen, CRT screen\n150\t0.0000\t  31\t   5\t0\tflag\n"
    )
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 kitchen\nADE_val_00000001 misc\n")
    return root


class TestAde20k:
    def test_scenes_are_tags_and_0_is_void(self, ade: Path) -> None:
        source = opened(f"ade20k:{ade}")
        assert source.samples == (
            Sample(
                "images/training/ADE_train_00000001.jpg",
                (2,),
                "annotations/training/ADE_train_00000001.png",
                ("kitchen",),
            ),
            Sample("images/training/ADE_train_00000002.jpg"),
            Sample(
                "images/validation/ADE_val_00000001.jpg",
                (),
                "annotations/validation/ADE_val_00000001.png",
                ("misc",),
            ),
        )
        assert halves(source) == [("wall", "flag"), (None, None), (None, "building")]
        names = {1: "wall", 2: "building", 3: "screen, silver screen", 4: "screen, CRT screen", 150: "flag"}
        assert source.context_labels == names

    def test_splits(self, ade: Path) -> None:
        assert opened(f"ade20k:{ade.parent}?split=validation").samples == opened(f"ade20k:{ade}").samples[2:]
        assert "no split 'val'; did you mean 'validation'? in" in error(f"ade20k:{ade}?split=val")

    @pytest.mark.parametrize("sign", ["index_ade20k.pkl", "images/ADE/training/1_seg.png"])
    def test_the_full_set_is_refused_by_name(self, tmp_path: Path, sign: str) -> None:
        full = tmp_path / "ADE20K_2021_17_01"
        (full / sign).parent.mkdir(parents=True)
        (full / sign).touch()
        for place in (full, tmp_path):
            message = error(f"ade20k:{place}")
            assert "is the full ADE20K" in message
            assert "not supported; give the scene parsing set, ADEChallengeData2016" in message

    def test_what_is_wrong(self, ade: Path) -> None:
        (ade / "sceneCategories.txt").write_text("ADE_train_00000001\n")
        assert "sceneCategories.txt, line 1: 'ADE_train_00000001' is not" in error(f"ade20k:{ade}")
        (ade / "sceneCategories.txt").unlink()
        assert not any(sample.tags for sample in opened(f"ade20k:{ade}").samples)
        (ade / "objectInfo150.txt").write_text("Idx Ratio Train Val Stuff Name\n1 wall\n")
        assert "objectInfo150.txt, line 2: '1 wall' is not of the columns" in error(f"ade20k:{ade}")
        (ade / "objectInfo150.txt").unlink()
        assert "no file" in error(f"ade20k:{ade}")
        assert "no folder" in error(f"ade20k:{ade.parent / 'absent'}")


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two images of val2017; the second's map is of void alone."""
    root = tmp_path / "coco"
    maps = root / "annotations" / "stuffthingmaps_trainval2017" / "val2017"
    for name, drawn in (("000000000139", values(0, 181)), ("000000000285", values(255, 255))):
        picture(root / "images" / "val2017" / f"{name}.jpg")
        grey(maps / f"{name}.png", drawn)
    (root / "labels.txt").write_text("0: unlabeled\n1: person\n28: umbrella\n182: wood\n")
    instances = {
        "images": [{"id": 139, "file_name": "000000000139.jpg"}, {"id": 285, "file_name": "000000000285.jpg"}],
        "annotations": [{"image_id": 139, "category_id": 28}, {"image_id": 139, "category_id": 1}] * 2,
        "categories": [{"id": 1, "name": "person"}, {"id": 28, "name": "umbrella"}],
    }
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    return root


class TestCocoStuff:
    def test_a_map_holds_one_less_than_the_label_and_255_is_void(self, coco: Path) -> None:
        source = opened(f"coco-stuff:{coco}")
        maps = "annotations/stuffthingmaps_trainval2017/val2017"
        assert source.samples == (
            Sample("images/val2017/000000000139.jpg", (3, 4), f"{maps}/000000000139.png", ("person", "umbrella")),
            Sample("images/val2017/000000000285.jpg", (), f"{maps}/000000000285.png"),
        )
        assert halves(source) == [("person", "wood"), (None, None)]
        assert source.context_labels == {1: "person", 28: "umbrella", 182: "wood"}

    def test_maps_may_lie_beside(self, coco: Path) -> None:
        expected = halves(opened(f"coco-stuff:{coco}"))
        (coco / "annotations" / "stuffthingmaps_trainval2017").rename(coco / "stuffthingmaps_trainval2017")
        assert halves(opened(f"coco-stuff:{coco}?split=val2017")) == expected
        (coco / "stuffthingmaps_trainval2017" / "val2017").rename(coco / "annotations" / "val2017")
        assert halves(opened(f"coco-stuff:{coco}")) == expected

    def test_what_is_wrong(self, coco: Path) -> None:
        spec = f"coco-stuff:{coco}"
        assert "no split 'val2071'; did you mean 'val2017'?" in error(f"{spec}?split=val2071")
        for text in ("{", "[]", '{"images": [], "categories": [], "annotations": [{}]}'):
            (coco / "annotations" / "instances_val2017.json").write_text(text)
            assert "instances_val2017.json is not a list of COCO instances" in error(spec)
        (coco / "annotations" / "instances_val2017.json").unlink()
        assert not any(sample.tags for sample in opened(spec).samples)
        maps = coco / "annotations" / "stuffthingmaps_trainval2017" / "val2017"
        for path in maps.iterdir():
            path.rename(path.with_name(f"{path.stem}_labelTrainIds.png"))
        assert "none of the 2 images has a semantic map" in error(spec)
        maps.rename(coco / "elsewhere")
        assert "unpack stuffthingmaps_trainval2017.zip there" in error(spec)
        (coco / "images" / "val2017").rename(coco / "val2017")
        assert "holds no images of a split" in error(spec)
