"""Files: every image is read, what is left out is counted, and lists and masks are read as people have them."""

from __future__ import annotations

import io
import json
import os
import struct
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from evigraph.indexer.data import formats, images
from evigraph.indexer.data.classes import ClassList, read_classes
from evigraph.indexer.data.images import SkippedImage, load_image
from evigraph.indexer.data.loader import Batch, iterate_batches, unnamed_note
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.sources import open_source
from evigraph.schema.errors import EvidenceError
from tests.conftest import Cli
from tests.reports.table import report
from tests.support import tiny
from tests.support.refusals import refusal_of

CLASSES = ClassList.from_names(["ant", "bee", "cat"])
SIDE = 8


def noise(seed: int = 0, mode: str = "RGB") -> Image.Image:
    shape = (SIDE, SIDE, 3) if mode == "RGB" else (SIDE, SIDE)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def put(path: Path, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        noise().save(path, format="PNG")
    else:
        path.write_bytes(content)
    return path


def uris(source: DataSource) -> list[str]:
    return [sample.uri for sample in source.samples]


def refusal(spec: str, classes: ClassList | None = CLASSES, count: int = 3) -> str:
    return refusal_of(lambda: open_source(spec, classes, count))


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            pytest.param("a.JPEG", "JPEG", marks=report("pytorch/vision#446", "upper case is indexed")),
            pytest.param("a.TIFF", "TIFF", marks=report("pytorch/vision#724", ".tiff is indexed as .tif is")),
            pytest.param("a.jfif", "JPEG", marks=report("supervisely/supervisely#839", ".jfif is a JPEG")),
            pytest.param("a.avif", "AVIF", marks=report("Nerogar/OneTrainer#1065", "AVIF is indexed")),
            pytest.param(
                "a.mpo", "MPO", marks=report("python-pillow/Pillow#822", ".mpo is indexed by its first picture")
            ),
            ("b.MPO", "JPEG"),
            ("a.jpe", "JPEG"),
            ("a.jp2", "JPEG2000"),
            ("a.J2K", "JPEG2000"),
            ("a.tga", "TGA"),
            ("a.ico", "ICO"),
            ("a.pcx", "PCX"),
            ("a.sgi", "SGI"),
            ("a.DIB", "DIB"),
            ("a.qoi", "QOI"),
            ("a.apng", "PNG"),
            ("a.icns", "PNG"),
            ("a.jpg", "WEBP"),
        ],
    )
    def test_what_pillow_reads_is_indexed(self, tmp_path: Path, name: str, kind: str) -> None:
        if kind not in Image.SAVE:
            pytest.skip(f"this Pillow has no {kind}")
        options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "ICO": {"sizes": [(SIDE, SIDE)]}}
        noise().save(tmp_path / name, format=kind, **options.get(kind, {}))
        source = open_source(f"folder:{tmp_path}", None, 3)
        assert uris(source) == [name]
        with Image.open(tmp_path / name) as stored:
            expected = np.asarray(stored.convert("RGB"))
        assert (np.asarray(load_image(tmp_path / name)) == expected).all()

    def test_decoders_without_a_signature_are_not_tried_on_others(self, tmp_path: Path) -> None:
        noise().save(tmp_path / "a.tga")
        (tmp_path / "a.tga").rename(tmp_path / "a.png")
        with pytest.raises(SkippedImage, match="not an image"):
            load_image(tmp_path / "a.png")

    @report("python-pillow/Pillow#2806", "without pillow-heif HEIC is counted, with what to install")
    def test_heic_without_its_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(formats, "HAS_HEIF", False)
        monkeypatch.setattr(formats, "_SUFFIX_FORMATS", {})
        monkeypatch.setattr(formats, "IMAGE_SUFFIXES", formats.IMAGE_SUFFIXES - formats.HEIF_SUFFIXES)
        monkeypatch.setattr(images, "formats_of", lambda _: ("PNG",))
        content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99
        for name in ("a.png", "IMG_1.HEIC", "IMG_2.heif"):
            put(tmp_path / name, content)
        source = open_source(f"folder:{tmp_path}", None, 3)
        assert uris(source) == ["a.png"]
        assert "1 .heic, 1 .heif; HEIC is read where pillow-heif is installed" in source.notes[0]
        with pytest.raises(SkippedImage, match="HEIC, which needs pillow-heif"):
            load_image(tmp_path / "a.png")

    @pytest.mark.skipif(not formats.HAS_HEIF, reason="pillow-heif is not installed")
    def test_heic_with_its_library(self, tmp_path: Path) -> None:
        noise().save(tmp_path / "a.heic", quality=-1)
        assert uris(open_source(f"folder:{tmp_path}", None, 3)) == ["a.heic"]
        assert np.abs(np.asarray(load_image(tmp_path / "a.heic")).astype(int) - np.asarray(noise())).max() < 60


class TestPngTexts:
    def chunk(self, kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
        found = zlib.crc32(kind + data) if checksum is None else checksum
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)

    def png(self, before: bytes = b"", behind: bytes = b"") -> bytes:
        buffer = io.BytesIO()
        noise().save(buffer, format="PNG")
        content = buffer.getvalue()
        return content[:33] + before + content[33:-12] + behind + content[-12:]

    @pytest.mark.parametrize(
        ("place", "kind", "data", "checksum"),
        [
            pytest.param(
                "before",
                b"iCCP",
                b"icc\0\0" + zlib.compress(b"\0" * 2_000_000),
                None,
                marks=report("python-pillow/Pillow#2445", "a long profile is no damage"),
            ),
            pytest.param(
                "before",
                b"zTXt",
                b"notes\0\0" + zlib.compress(b"x" * 3_000_000),
                None,
                marks=report("python-pillow/Pillow#8363", "a long text is no damage"),
            ),
            pytest.param(
                "behind",
                b"zTXt",
                b"notes\0\0" + zlib.compress(b"x" * 3_000_000),
                None,
                marks=report("kornelski/pngquant#357", "nor is one behind the pixels"),
            ),
            pytest.param(
                "before",
                b"iCCP",
                b"icc\0\0" + zlib.compress(b"profile"),
                1,
                marks=report("python-pillow/Pillow#5631", "a wrong checksum of a profile is no damage"),
            ),
            pytest.param(
                "before",
                b"iCCP",
                b"icc\0\1" + zlib.compress(b"profile"),
                None,
                marks=report("python-pillow/Pillow#7817", "nor an unknown compression of one"),
            ),
            pytest.param(
                "before",
                b"pHYs",
                bytes(9),
                7,
                marks=report("python-pillow/Pillow#5978", "nor a wrong checksum of a resolution"),
            ),
        ],
    )
    def test_what_is_no_pixel_is_no_damage(
        self, tmp_path: Path, place: str, kind: bytes, data: bytes, checksum: int | None
    ) -> None:
        path = put(tmp_path / "a.png", self.png(**{place: self.chunk(kind, data, checksum)}))
        assert (np.asarray(load_image(path)) == np.asarray(noise())).all()

    def test_orientation_is_kept(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        texts = PngImagePlugin.PngInfo()
        texts.add_text("notes", "x" * 3_000_000, zip=True)
        noise().crop((0, 0, 8, 4)).save(tmp_path / "a.png", exif=exif, pnginfo=texts)
        assert load_image(tmp_path / "a.png").size == (4, 8)

    def test_damaged_pixels_are_damage(self, tmp_path: Path) -> None:
        content = self.png()
        for damaged in (content[:-40], content.replace(b"IDAT", b"IDAX"), content[:60] + b"\0\0\0\0" + content[64:]):
            with pytest.raises(SkippedImage):
                load_image(put(tmp_path / "a.png", damaged))


class TestLeftOut:
    @pytest.mark.parametrize(
        "junk",
        [
            pytest.param(
                [".ipynb_checkpoints/a.png"], marks=report("open-mmlab/mmpretrain#507", "a dot folder is no class")
            ),
            pytest.param([".git/a.png", ".thumbs/b.png"], marks=report("pytorch/vision#2831", "and that is said")),
            pytest.param(["__MACOSX/ant/._1.png", "__MACOSX/a.png"]),
            pytest.param(["@eaDir/a.png", "lost+found/b.png", "$RECYCLE.BIN/c.png"]),
            pytest.param(["thumbs/a.png", "Thumbnails/b.png"]),
        ],
    )
    def test_folders_of_the_system_are_no_classes(self, tmp_path: Path, junk: Sequence[str]) -> None:
        for name in ("ant/1.png", "bee/1.png", *junk):
            put(tmp_path / name)
        for known, count in ((CLASSES, 3), (None, 2)):
            source = open_source(f"imagefolder:{tmp_path}", known, count)
            assert [(s.uri, s.label_id) for s in source.samples] == [("ant/1.png", 0), ("bee/1.png", 1)]
            folders = {name.partition("/")[0] for name in junk}
            assert f"{len(folders)} folder" in source.notes[-1]
            assert all(repr(folder) in source.notes[-1] for folder in folders)

    def test_a_class_may_be_called_thumbs(self, tmp_path: Path) -> None:
        put(tmp_path / "thumbs" / "1.png")
        assert uris(open_source(f"imagefolder:{tmp_path}", ClassList.from_names(["thumbs", "toes"]), 2)) == [
            "thumbs/1.png"
        ]

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            pytest.param(
                ["Thumbs.db", "b/Thumbs.db", "desktop.ini"],
                "3 files are no images and were left out: 2 .db, 1 .ini",
                marks=report("meetps/pytorch-semseg#83", "Thumbs.db is no image, and counted"),
            ),
            pytest.param(
                [".DS_Store"],
                "1 file is no image and was left out: 1 hidden",
                marks=report("lengstrom/fast-style-transfer#6", ".DS_Store is no image"),
            ),
            pytest.param(
                ["._1.png", "b/._2.jpg"],
                "2 files are no images and were left out: 2 hidden",
                marks=report("jurplel/qView#651", "macOS's ._ files are no images"),
            ),
            (
                ["README", "a.txt", "b.TXT", "c.mp4"],
                "4 files are no images and were left out: 2 .txt, 1 without suffix",
            ),
            (["a.eps", "a.h5", "a.mpg"], "3 files are no images and were left out"),
        ],
    )
    def test_what_is_no_image_is_counted_by_type(self, tmp_path: Path, names: Sequence[str], said: str) -> None:
        put(tmp_path / "1.png")
        for name in names:
            put(tmp_path / name, b"no image")
        source = open_source(f"folder:{tmp_path}", None, 3)
        assert uris(source) == ["1.png"]
        assert said in source.notes[0]

    def test_images_by_content_are_pointed_out(self, tmp_path: Path) -> None:
        for name in ("1.png", "IMG_0001", "x.jpg_large"):
            put(tmp_path / name)
        os.mkfifo(tmp_path / "pipe")
        (note,) = open_source(f"folder:{tmp_path}", None, 3).notes
        assert "by content 'IMG_0001', 'x.jpg_large' would be: give such files a suffix such as .jpg" in note

    def test_images_beside_the_class_folders(self, tmp_path: Path) -> None:
        for name in ("ant/1.png", "a.png", "b.png"):
            put(tmp_path / name)
        source = open_source(f"imagefolder:{tmp_path}", CLASSES, 3)
        assert uris(source) == ["ant/1.png"]
        assert source.notes == (
            "2 images lie beside the class folders, so without a class, and were left out: 'a.png', 'b.png'",
        )

    def test_a_folder_of_nothing_else_says_what_it_has(self, tmp_path: Path) -> None:
        put(tmp_path / "a.txt", b"")
        assert "holds no images (.bmp .gif" in refusal(f"folder:{tmp_path}")
        assert "1 file is no image and was left out: 1 .txt" in refusal(f"folder:{tmp_path}")

    def test_it_is_printed(self, tmp_path: Path, cli: Cli) -> None:
        data = tiny.draw_images(tmp_path / "da ta?x=1#y", 8)
        (data / "ant" / "Thumbs.db").touch()
        run = ("index", "--model", tiny.MODEL, "--weights", "random", *tiny.INPUT, "--run", tmp_path / "run")
        shown = cli(*run, "--data", f"imagefolder:{data}")
        assert shown.code == 0, shown.stderr
        assert "note: 1 file is no image and was left out: 1 .db" in " ".join(shown.stdout.split())


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("who?.png", marks=report("mickael-kerjean/filestash#157", "a name with ? is read")),
            pytest.param("9534280P_#1.png", marks=report("imgproxy/imgproxy#385", "a name with # is read")),
            *(
                "50%20.png",
                "it's.png",
                'say "x".png',
                "two\nlines.png",
                "a\\b.png",
                " lead.png",
                "日本.png",
                "a;b,c.png",
            ),
        ],
    )
    def test_any_name_works(self, tmp_path: Path, name: str) -> None:
        put(tmp_path / "what?" / name)
        source = open_source(f"folder:{tmp_path}", None, 3)
        (batch,) = iterate_batches(source, Preprocessing(None, SIDE), [0])
        assert uris(source) == [f"what?/{name}"]
        assert batch.image_ids.tolist() == [0]

    @report("unmade/shelf-back#50", "a folder that macOS wrote is the class that the file names")
    def test_unicode_is_compared_composed(self, tmp_path: Path) -> None:
        parts, whole = unicodedata.normalize("NFD", "Übung"), unicodedata.normalize("NFC", "Übung")
        for on_disk, known in ((parts, whole), (whole, parts)):
            root = tmp_path / str(on_disk == parts)
            put(root / on_disk / "1.png")
            source = open_source(f"imagefolder:{root}", ClassList.from_names(["x", known]), 2)
            assert [(s.uri, s.label_id) for s in source.samples] == [(f"{on_disk}/1.png", 1)]
            assert source.labels_by == "key or name"
            (tmp_path / "classes.txt").write_text(f"x\n{known}\n")
            assert read_classes(tmp_path / "classes.txt").match(on_disk) == 1

    def test_a_place_with_a_question_mark_may_have_options(self, tmp_path: Path) -> None:
        for year in ("2007", "2012"):
            put(tmp_path / "dir?with?mark" / f"VOC{year}" / "JPEGImages" / f"{year}.jpg")
        assert "add ?year=2012" in refusal(f"voc:{tmp_path}/dir?with?mark")
        assert uris(open_source(f"voc:{tmp_path}/dir?with?mark?year=2012", None, 3)) == ["JPEGImages/2012.jpg"]
        assert "no folder" in refusal("folder:~nobody-of-that-name/x")


class TestLists:
    def listed(self, tmp_path: Path, content: str | bytes, name: str = "list.csv") -> DataSource:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return open_source(f"list:{tmp_path / name}", CLASSES, 3)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(
                "uri,label\nmy images/a b.png,bee\n".encode("utf-16"),
                marks=report("HKUDS/Vibe-Trading#862", "UTF-16, as Excel writes it, is read"),
            ),
            pytest.param(
                "uri,label\nmy images/a b.png,bee\n".encode("utf-8-sig"),
                marks=report("ome/omero-metadata#39", "a byte order mark is no part of the header"),
            ),
            pytest.param(
                b"uri,label\r\nmy images\\a b.png,bee\r\n",
                marks=report("roboflow/supervision#2581", "backslashes are read as Windows means them"),
            ),
            pytest.param(
                b"my images/a b.png bee\n",
                marks=report("emedvedev/attention-ocr#65", "a path and a label on each line, without a header"),
            ),
            b"uri;label\nmy images/a b.png;bee\n",
            b"label\turi\nbee\tmy images/a b.png\n",
            "uri,label\nmy images/a b.png,bee\n".encode("utf-16-le"),
            b"URI,Label\rMY IMAGES/A b.PNG,Bee\r",
            b"my images/a b.png\t1\n",
            b'"uri";"label"\n"my images/a b.png";"1"\n',
        ],
    )
    def test_shapes(self, tmp_path: Path, content: bytes) -> None:
        put(tmp_path / "my images" / "a b.png")
        source = self.listed(tmp_path, content)
        assert [(sample.uri, sample.label_id) for sample in source.samples] == [("my images/a b.png", 1)]

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param(
                "filename,class",
                marks=report(
                    "EdjeElectronics/TensorFlow-Object-Detection-API-Tutorial-Train-Multiple-Objects-Windows-10#33",
                    "a column may be called filename, and its label class",
                ),
            ),
            pytest.param("filepath,label", marks=report("mlfoundations/open_clip#144", "or filepath")),
            "Image_Path,target",
        ],
    )
    def test_columns_by_other_names(self, tmp_path: Path, header: str) -> None:
        put(tmp_path / "a.png")
        source = self.listed(tmp_path, f"{header}\na.png,bee\n")
        assert [(sample.uri, sample.label_id) for sample in source.samples] == [("a.png", 1)]

    def test_none_is_there(self, tmp_path: Path) -> None:
        put(tmp_path / "images" / "a.png")
        for text in (
            "a.png,bee\n",
            "/home/me/images/a.png,bee\n",
            "0,images/a.png,bee\n",
            "image_id,label\nimages/a,bee\n",
        ):
            (tmp_path / "list.csv").write_text(text)
            message = refusal(f"list:{tmp_path / 'list.csv'}")
            assert "none of the 1 images that" in message
            assert "would be" in message

    def test_absolute_paths(self, tmp_path: Path) -> None:
        first, second = put(tmp_path / "else" / "x y" / "a.png"), put(tmp_path / "else" / "z" / "b%.png")
        (tmp_path / "lists").mkdir()
        source = self.listed(tmp_path / "lists", f"uri,label\n{first},ant\n{second.as_uri()},bee\n")
        assert [(s.uri, s.label_id) for s in source.samples] == [("x y/a.png", 0), ("z/b%.png", 1)]
        assert [source.path(uri) for uri in uris(source)] == [first, second]
        assert source.notes == (
            f"the list's paths are absolute, so images are named relative to {str(tmp_path / 'else')!r}",
        )
        # below the list's folder they are as relative ones
        source = self.listed(tmp_path, f"uri,label\n{first},ant\nelse/z/b%.png,bee\n")
        assert uris(source) == ["else/x y/a.png", "else/z/b%.png"]

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("https://example.org/a.png", "is an address; download the image"),
            ("s3://bucket/a.png", "is an address"),
            ("C:\\data\\a.png", "is a path of Windows"),
            ("../a.png", "lies outside"),
        ],
    )
    def test_what_is_no_file_here(self, tmp_path: Path, uri: str, said: str) -> None:
        (tmp_path / "list.csv").write_text(f"uri,label\n{uri},ant\n")
        message = refusal(f"list:{tmp_path / 'list.csv'}")
        assert "line 2: uri" in message
        assert said in message

    @report("codeforbirmingham/Open-Disclosure#7", "another encoding is named, with how to change it")
    def test_latin_1(self, tmp_path: Path) -> None:
        (tmp_path / "list.csv").write_bytes("uri,label\nnaïve.png,ant\n".encode("latin-1"))
        message = refusal(f"list:{tmp_path / 'list.csv'}")
        assert "is not UTF-8 (byte 12; it may be Latin-1 or Windows-1252); save it as UTF-8" in message
        (tmp_path / "list.csv").write_bytes(b"\0\1\2uri,label\n")
        assert "is not text" in refusal(f"list:{tmp_path / 'list.csv'}")

    def test_names_that_differ_in_form(self, tmp_path: Path) -> None:
        put(tmp_path / unicodedata.normalize("NFD", "é") / "a.JPG")
        source = self.listed(tmp_path, "uri,label\né/A.jpg,ant\ngone.png,bee\n")
        assert uris(source) == [unicodedata.normalize("NFD", "é") + "/a.JPG", "gone.png"]
        assert source.notes == ("found by a name that differs in case or Unicode form: 1 path of the list",)


WNIDS = ("n01440764", "n01443537", "n01484850")
NAMES = ("tench", "goldfish", "great white shark")


class TestClassFiles:
    @pytest.mark.parametrize(
        ("name", "text", "keyed"),
        [
            pytest.param(
                "imagenet_class_index.json",
                json.dumps({str(i): [k, n] for i, (k, n) in enumerate(zip(WNIDS, NAMES, strict=True))}),
                True,
                marks=report("fchollet/deep-learning-models#44", "Keras' index is read with its ids"),
            ),
            pytest.param(
                "imagenet1000_clsidx_to_labels.txt",
                "{0: 'tench',\n 1: 'goldfish',\n 2: \"great white shark\"}\n",
                False,
                marks=report("hysts/pytorch_image_classification#10", "a Python dict is read"),
            ),
            pytest.param(
                "index_to_name.json",
                '{"2": "great white shark", "0": "tench", "1": "goldfish"}',
                False,
                marks=report("louisoutin/yolov5_torchserve#3", "JSON by index is read in order of the index"),
            ),
            pytest.param(
                "labels.txt",
                "0:tench\n1:goldfish\n2:great white shark\n",
                False,
                marks=report("tensorflow/lucid#65", "numbered lines are read by their number"),
            ),
            pytest.param(
                "class_to_idx.json",
                '{"goldfish": 1, "great white shark": 2, "tench": 0}',
                False,
                marks=report("pytorch/vision#208", "class_to_idx is read by index"),
            ),
            ("config.json", '{"id2label": {"0": "tench", "1": "goldfish", "2": "great white shark"}, "a": 1}', False),
            ("label2id.json", '{"label2id": {"goldfish": 1, "great white shark": 2, "tench": 0}}', False),
            ("list.json", '["tench", "goldfish", "great white shark"]', False),
            ("coco.json", '{"categories": [{"id": 2, "name": "great white shark"}, {"id": 0, "name": "tench"}, '
             '{"id": 1, "name": "goldfish"}]}', False),
            ("synset_words.txt", "\n".join(f"{k} {n}" for k, n in zip(WNIDS, NAMES, strict=True)), True),
            ("LOC.csv", "wnid;index;name\n" + "\n".join(f"{WNIDS[i]};{i};{NAMES[i]}" for i in (2, 0, 1)), True),
            ("categories_places365.txt", "/t/tench 0\n/g/goldfish 1\n/g/great white shark 2\n", False),
            ("tabs.txt", "0\ttench\n2\tgreat white shark\n1\tgoldfish\n", False),
            ("keyed.txt", "\n".join(f"{i} {WNIDS[i]} {NAMES[i]}" for i in range(3)), True),
            ("headless.csv", '1,goldfish\n0,tench\n2,"great white shark"\n', False),
            ("code.py", "CLASSES = ['tench', 'goldfish', 'great white shark']\n", False),
            ("data.yaml", "a: x\nnames:\n  0: tench # fish\n  1: 'goldfish'\n  2: great white shark\nnc: 3\n", False),
            ("coco.yml", "nc: 3\nnames: ['tench', goldfish,\n  \"great white shark\"]\n", False),
            pytest.param(
                "labels.txt",
                "tench,goldfish,great white shark\n",
                False,
                marks=report("wkentaro/labelme#1326", "names on one line, with commas between, are read"),
            ),
            pytest.param(
                "labels.csv",
                "\n'tench'\n'goldfish'\n'great white shark'\n",
                False,
                marks=report("appvision-ai/fast-bert#142", "quotes around each name are no part of it"),
            ),
            ("quoted.txt", '"tench",\n"goldfish",\n"great white shark"\n', False),
            ("one.txt", 'tench; goldfish; "great white shark"', False),
            ("one.csv", "class_name\ntench\ngoldfish\ngreat white shark\n", False),
            ("bare.csv", "tench\ngoldfish\ngreat white shark\n", False),
            ("columns.csv", "class_id,label,wnid\n" + "\n".join(f"{i},{NAMES[i]},{WNIDS[i]}" for i in (1, 0, 2)), True),
            ("pandas.csv", ",name,wnid\n" + "\n".join(f"{i},{NAMES[i]},{WNIDS[i]}" for i in (1, 0, 2)), True),
            ("wnids.csv", "\n".join(f'{WNIDS[i]},"{NAMES[i]}"' for i in range(3)), True),
            ("between.txt", "\n".join(f"{WNIDS[i]} {i} {NAMES[i]}" for i in (2, 0, 1)), True),
            ("dots.txt", "0. tench\n1. goldfish\n2. great white shark\n", False),
            ("brackets.txt", "(0) tench\n(1) goldfish\n(2) great white shark\n", False),
            ("arrows.txt", "0 => tench\n2 => great white shark\n1 => goldfish\n", False),
            ("back.txt", "tench -> 0\ngreat white shark -> 2\ngoldfish -> 1\n", False),
            ("tuple.py", "# the classes\nclasses = ('tench', 'goldfish',\n  'great white shark')\n", False),
            ("ordered.py", "from collections import OrderedDict\nNAMES = OrderedDict({\n"
             + "".join(f"  '{WNIDS[i]}': '{NAMES[i]}',\n" for i in range(3)) + "})\n", True),
            ("strings.json", '{"goldfish": "1", "great white shark": "2", "tench": "0"}', False),
            ("lines.jsonl", "".join(f'{{"id": {i}, "name": "{NAMES[i]}"}}\n' for i in (2, 0, 1)), False),
            ("info.json", json.dumps({"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}), False),
            ("records.json", json.dumps([{"id": WNIDS[i], "name": NAMES[i]} for i in range(3)]), True),
            ("windows.txt", "\ufefftench\r\ngoldfish\r\ngreat white shark\r\n", False),
        ],
    )  # fmt: skip
    def test_shapes(self, tmp_path: Path, name: str, text: str, keyed: bool) -> None:
        for encoding in ("utf-8", "utf-16"):
            (tmp_path / name).write_bytes(text.encode(encoding))
            classes = read_classes(tmp_path / name, 3, NAMES)
            assert tuple(entry.name for entry in classes.entries) == NAMES
            assert tuple(entry.key for entry in classes.entries) == (WNIDS if keyed else NAMES)
            assert classes.notes == ()

    def test_comments_are_left_out_and_said(self, tmp_path: Path) -> None:
        (tmp_path / "classes.txt").write_text("# fish\ntench\n#1 pet\n")
        classes = read_classes(tmp_path / "classes.txt", 2)
        assert [entry.name for entry in classes.entries] == ["tench", "#1 pet"]
        assert "begin with # were left out ('# fish')" in classes.notes[0]

    def test_lines_numbered_from_1_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "classes.txt").write_text("1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n")
        classes = read_classes(tmp_path / "classes.txt", 2)
        assert [entry.name for entry in classes.entries] == ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
        put(tmp_path / "data" / "001.Black_footed_Albatross" / "1.png")
        source = open_source(f"imagefolder:{tmp_path / 'data'}", classes, 2)
        assert "numbers its lines from 1" in source.notes[0]

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("a.json", '{"0": "a", "2": "b", "3": "c"}', "no index 1"),
            ("a.json", '{"1": "a", "2": "b", "3": "c"}', "number the classes from 0"),
            ("a.json", '{"0": "a", "0": "b", "1": "c"}', "index 0 twice"),
            ("a.json", '{"a": 0, "b": 0, "c": 1}', "index 0 twice"),
            ("a.json", '{"0": "a", "1": "b", "x": "c"}', "names 'x', which is no output's index"),
            ("a.json", '[1, 2, 3]', "where a class's name is expected"),
            ("a.json", "[[[", "neither"),
            ("a.json", '{"fine": {"names": ["a", "b", "c"]}, "coarse": {"names": ["d", "e", "f"]}}', "several times"),
            ("a.json", '{"n00000002": "a", "n00000001": "b", "n00000003": "c"}', "which is no output's index"),
            ("a.csv", "id,wnid,name\n1,x,a\n2,y,b\n3,z,c\n", "number the classes from 0"),
            ("a.txt", "class\na\nb\nc\n", "the first of it is 'class': if that is a header, remove it"),
            ("a.json", '{"a": "b"', "neither"),
            ("a.py", "{0: 1, 1: 2, 2: 0}", "maps numbers to numbers"),
            ("a.yaml", "nc: 3\n", "has no names:"),
            ("a.yaml", "names:\n  a: b: c\n", "under names:"),
            ("a.txt", "2 a\n1 b\n3 c\n", "numbers its classes from 1"),
            ("a.txt", "1: a\n2: b\n90: c\n", "numbers that are not 0 to 2"),
            ("a.txt", "n02119789 1 kit_fox\nn02100735 2 setter\nn02110185 3 husky\n", "devkit numbers its classes"),
            ("a.txt", "a\nb\n", "where the first output is a background"),
        ],
    )  # fmt: skip
    def test_an_order_is_never_guessed(self, tmp_path: Path, name: str, text: str, said: str) -> None:
        (tmp_path / name).write_text(text)
        assert said in refusal_of(lambda: read_classes(tmp_path / name, 3))


class TestMasks:
    def scenes(
        self, tmp_path: Path, mask: np.ndarray, name: str, labels: str, listed: str = "classes.csv"
    ) -> DataSource:
        put(tmp_path / "images" / "a.JPG")
        (tmp_path / "masks").mkdir()
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / name, format="PNG")
        (tmp_path / listed).write_text(labels)
        return open_source(f"scenes:{tmp_path}", None, 3)

    def batch(self, source: DataSource) -> Batch:
        (batch,) = iterate_batches(source, Preprocessing(None, SIDE), range(len(source.samples)))
        assert not batch.skipped
        assert batch.maps is not None
        return batch

    @pytest.mark.parametrize("name", ["a.PNG", "A.png", "A.Png", "a.bmp"])
    @report("alicevision/AliceVision#1517", "a mask of the same name in any case, and any lossless suffix, is found")
    def test_names_in_any_case(self, tmp_path: Path, name: str) -> None:
        source = self.scenes(tmp_path, np.full((SIDE, SIDE), 1), name, "mask_value,name\n1,sky\n")
        assert source.samples[0].map_uri == f"masks/{name}"
        assert source.notes == (
            "found by a name that differs in case, suffix or Unicode form: 1 semantic map",
        )  # fmt: skip

    @report("histocartography/seg-gini#2", "a mask in JPEG, whose values are blurred, is none")
    def test_jpeg_is_no_mask(self, tmp_path: Path) -> None:
        with pytest.raises(EvidenceError, match="none of the 1 images has a semantic map"):
            self.scenes(tmp_path, np.full((SIDE, SIDE), 1), "a.jpg", "mask_value,name\n1,sky\n")

    def test_two_masks_of_one_image_are_refused(self, tmp_path: Path) -> None:
        self.scenes(tmp_path, np.full((SIDE, SIDE), 1), "A.png", "mask_value,name\n1,sky\n")
        put(tmp_path / "masks" / "a.PNG").rename(tmp_path / "masks" / "A.PNG")
        assert "may both belong to 'masks/a'" in refusal(f"scenes:{tmp_path}")

    @report("CAMMA-public/Endoscapes#5", "values that no list names are void, and counted")
    def test_values_that_no_list_names(self, tmp_path: Path) -> None:
        mask = np.full((SIDE, SIDE), 1)
        mask[0, 0], mask[1], mask[2] = 0, 7, 255
        source = self.scenes(tmp_path, mask, "a.png", "mask_value,name\n0,void\n1,sky\n")
        batch = self.batch(source)
        assert dict(batch.unnamed) == {7: 1, 255: 1}
        note = unnamed_note({7: 3, 255: 9}, source)
        assert note == "mask values that no list names were taken for void: 255 (in 9 images), 7 (in 3 images)"
        assert unnamed_note({}, source) is None
        (tmp_path / "classes.csv").write_text("mask_value,name\n0,void\n1,sky\n7,sea\n255,void\n")
        assert self.batch(open_source(f"scenes:{tmp_path}", None, 3)).unnamed == ()

    @report("huggingface/transformers#27224", "of a mask of 0 and 255 the label is 255, if the list says so")
    def test_255_may_be_a_label(self, tmp_path: Path) -> None:
        mask = np.zeros((SIDE, SIDE))
        mask[:, 4:] = 255
        source = self.scenes(tmp_path, mask, "a.png", "mask_value,name\n0,skin\n255,lesion\n")
        maps = self.batch(source).maps
        assert maps is not None
        assert [source.context_labels[i] for i in maps[0, 0].tolist()] == ["skin"] * 4 + ["lesion"] * 4

    def test_unnamed_values_are_printed(self, tmp_path: Path, cli: Cli) -> None:
        data = tiny.draw_scenes(tmp_path / "data", 4)
        (data / "classes.csv").write_text("mask_value,name\n0,void\n1,sky\n")
        run = ("index", "--model", tiny.MODEL, "--weights", "random", *tiny.INPUT, "--run", tmp_path / "run", "--json")
        shown = cli(*run, "--data", f"scenes:{data}", "--classes", tiny.class_file(tmp_path))
        assert shown.code == 0, shown.stderr
        assert (
            "mask values that no list names were taken for void: 2 (in 4 images)" in json.loads(shown.stdout)["notes"]
        )

    CVAT = "# label:color_rgb:parts:actions\nCat:48,112,32::\nbackground:0,0,0::\nDog:176,112,32::\n"

    @pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
    @report("cvat-ai/cvat#2032", "masks in CVAT's colours are labels by their colour, whatever the order of lines")
    def test_colours_of_cvat(self, tmp_path: Path, kind: str) -> None:
        colours = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        colours[:, 2:4], colours[:, 4:6], colours[:, 6:] = (48, 112, 32), (176, 112, 32), (1, 2, 3)
        for name in ("a", "b"):
            put(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "SegmentationClass").mkdir()
        mask = Image.fromarray(colours)
        mask = mask.quantize(8) if kind == "P" else mask.convert(kind)
        mask.save(tmp_path / "SegmentationClass" / "a.png")
        (tmp_path / "labelmap.txt").write_text(self.CVAT)
        source = open_source(f"voc:{tmp_path}", None, 3)
        batch = self.batch(source)
        assert batch.maps is not None
        names = [source.context_labels.get(i) for i in batch.maps[0, 3].tolist()]
        assert names == ["background"] * 2 + ["Cat"] * 2 + ["Dog"] * 2 + [None] * 2
        assert not batch.maps[1].any()
        assert unnamed_note(dict(batch.unnamed), source) == (
            "mask values that no list names were taken for void: colour 1,2,3 (in 1 image)"
        )
        assert source.digest() != open_source(f"folder:{tmp_path}", None, 3).digest()

    CAMVID = "name,r,g,b,class_11\nBicyclist, 48, 112, 32,1\nVoid,0,0,0,0\nCar,176,112,32,1\n"

    @pytest.mark.parametrize("name", ["class_dict.csv", "classes.csv"])
    @report("ooooverflow/BiSeNet#26", "class_dict.csv names the colours of CamVid's masks")
    def test_class_dict_of_camvid(self, tmp_path: Path, name: str) -> None:
        mask = np.zeros((SIDE, SIDE, 3))
        mask[:, :4], mask[:, 4:6] = (176, 112, 32), (48, 112, 32)
        batch = self.batch(source := self.scenes(tmp_path, mask, "a.png", self.CAMVID, name))
        assert batch.maps is not None
        assert [source.context_labels.get(i) for i in batch.maps[0, 0].tolist()] == (
            ["Car"] * 4 + ["Bicyclist"] * 2 + [None] * 2
        )
        assert batch.unnamed == ()
        (tmp_path / name).write_text("name,r,g,b\nsky,1,2,256\n")
        assert "line 2: not a name and r, g, b from 0 to 255" in refusal(f"scenes:{tmp_path}")

    def test_void_in_any_case(self, tmp_path: Path) -> None:
        source = self.scenes(tmp_path, np.full((SIDE, SIDE), 1), "a.png", "mask_value,name\n0,VOID\n1,sky\n255,Void\n")
        assert source.context_labels == {1: "sky"}
        assert source.map_voids == {0, 255}

    def test_labelmap_of_a_generic_folder(self, tmp_path: Path) -> None:
        mask = np.zeros((SIDE, SIDE, 3))
        mask[:4] = (48, 112, 32)
        source = self.scenes(tmp_path, mask, "a.png", self.CVAT + "void:9,9,9::\n", "labelmap.txt")
        maps = self.batch(source).maps
        assert maps is not None
        assert [source.context_labels[i] for i in maps[0, :, 0].tolist()] == ["Cat"] * 4 + ["background"] * 4
        Image.new("L", (SIDE, SIDE)).save(tmp_path / "masks" / "a.png")
        (batch,) = iterate_batches(source, Preprocessing(None, SIDE), [0])
        assert batch.skipped == ((0, "semantic map: not in colours, as its list of labels is"),)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Cat:48,112\n", "line 1: 'Cat:48,112' is no label"),
            ("Cat:48,112,256::\n", "line 1"),
            ("Cat:1,2,3::\nDog:1,2,3::\n", "line 2: 'Dog:1,2,3::' repeats a name or a colour"),
            ("# nothing\n", "names no label"),
        ],
    )
    def test_malformed_labelmaps(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises(EvidenceError) as caught:
            self.scenes(tmp_path, np.zeros((SIDE, SIDE, 3)), "a.png", text, "labelmap.txt")
        assert said in str(caught.value)
