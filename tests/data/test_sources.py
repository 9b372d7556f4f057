"""Listings: their order, their labels and maps, and the errors of folders and files that cannot be used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from evigraph.indexer.data.classes import ClassEntry, ClassList
from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.data.sources import layout, layouts, open_source
from evigraph.schema.errors import DataError, UsageError
from tests.support.refusals import refusal_of

CLASSES = ClassList(
    (ClassEntry(0, "n01", "boat"), ClassEntry(1, "n02", "crane"), ClassEntry(2, "n03", "crane")),
    Path("classes.csv"),
)
MSRC = Path(__file__).parents[3] / "shared" / "data" / "msrc_v2"


def picture(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 3)).save(path)


def labels(source: DataSource) -> list[tuple[str, int | None]]:
    return [(sample.uri, sample.label_id) for sample in source.samples]


def error(spec: str, classes: ClassList | None = CLASSES, class_count: int = 3) -> str:
    return refusal_of(lambda: open_source(spec, classes, class_count))


class TestImageFolder:
    def test_folders_are_matched_by_key_then_name(self, tmp_path: Path) -> None:
        for name in ("n03/b.png", "boat/nested/deep/a.JPG", "boat/nested-/a.png", "n03/notes.txt", "n03/.hid.png"):
            picture(tmp_path / "x.png")
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "x.png", tmp_path / name)
        (tmp_path / "thumbnails").mkdir()
        source = open_source(f"imagefolder:{tmp_path}", CLASSES, 3)
        assert labels(source) == [("boat/nested-/a.png", 0), ("boat/nested/deep/a.JPG", 0), ("n03/b.png", 2)]
        assert (source.class_list, source.labels_by, source.has_maps) == (CLASSES, "key or name", False)

    def test_order_is_that_of_code_points_over_the_whole_uri(self, tmp_path: Path) -> None:
        for name in ("n02/Z.png", "n02/a.png", "n02/é.png", "n02/a/1.png", "n02/a-1.png", "n02/😀.png"):
            picture(tmp_path / name)
        uris = [sample.uri for sample in open_source(f"imagefolder:{tmp_path}", CLASSES, 3).samples]
        assert uris == sorted(uris)
        assert uris == [f"n02/{name}.png" for name in ("Z", "a-1", "a", "a/1", "é", "😀")]

    def test_without_classes_folders_are_the_classes_in_sorted_order(self, tmp_path: Path) -> None:
        for name in ("10", "9", "a"):
            picture(tmp_path / name / "1.png")
        source = open_source(f"imagefolder:{tmp_path}", None, 3)
        assert labels(source) == [("10/1.png", 0), ("9/1.png", 1), ("a/1.png", 2)]
        assert [entry.key for entry in source.class_list.entries] == ["10", "9", "a"]
        assert source.labels_by == "sorted folders"

    def test_names_that_are_known_never_give_way_to_sorted_folders(self, tmp_path: Path) -> None:
        for name in ("n1", "n2", "n3"):
            picture(tmp_path / name / "1.png")
        names = ClassList.from_names(["tench", "shark", "ray"])
        message = error(f"imagefolder:{tmp_path}", names)
        assert "3 of 3 folders" in message
        assert "--classes FILE (now the names that came with the weights)" in message
        given = ClassList(names.entries, Path("mine.txt"))
        assert "3 of 3 folders" in error(f"imagefolder:{tmp_path}", given)

    def test_folders_that_match_no_class(self, tmp_path: Path) -> None:
        for name in ("n01", "n04", "boats"):
            picture(tmp_path / name / "1.png")
        message = error(f"imagefolder:{tmp_path}")
        assert "2 of 3 folders" in message
        assert "'boats', 'n04'; near 'boats': 'boat'" in message
        assert "--classes FILE (now classes.csv)" in message
        assert "3 class folders and the network 9 outputs" in error(f"imagefolder:{tmp_path}", None, 9)

    def test_shared_names_are_refused(self, tmp_path: Path) -> None:
        picture(tmp_path / "crane" / "1.png")
        assert "class name 'crane' is ambiguous" in error(f"imagefolder:{tmp_path}")

    def test_missing_and_empty(self, tmp_path: Path) -> None:
        assert "no folder" in error(f"imagefolder:{tmp_path / 'absent'}")
        assert "has no class folders" in error(f"imagefolder:{tmp_path}")
        picture(tmp_path / "1.png")
        assert "has no class folders" in error(f"imagefolder:{tmp_path}")
        assert "is not a folder" in error(f"imagefolder:{tmp_path / '1.png'}")
        (tmp_path / "n01").mkdir()
        assert "no images in its 1 folders" in error(f"imagefolder:{tmp_path}")

    def test_links(self, tmp_path: Path) -> None:
        root = tmp_path / "data"
        picture(root / "n01" / "1.png")
        picture(tmp_path / "elsewhere" / "2.png")
        (root / "n02").symlink_to(tmp_path / "elsewhere")
        (root / "n01" / "up").symlink_to(root)
        (root / "n01" / "self").symlink_to(root / "n01")
        (root / "again").symlink_to(root)
        (root / "n01" / "dangling.png").symlink_to(tmp_path / "absent.png")
        (root / "n01" / "circle").symlink_to(root / "n01" / "circle")
        source = open_source(f"imagefolder:{root}", CLASSES, 3)
        assert labels(source) == [("n01/1.png", 0), ("n01/dangling.png", 0), ("n02/2.png", 1)]
        assert len(source.digest()) == 64

    def test_names_that_are_not_utf8(self, tmp_path: Path) -> None:
        picture(tmp_path / "n01" / "1.png")
        (tmp_path / "n01" / os.fsdecode(b"caf\xe9.png")).touch()
        source = open_source(f"imagefolder:{tmp_path}", CLASSES, 3)
        assert labels(source) == [("n01/1.png", 0)]
        said = "1 file has a name that is not UTF-8 and was left out; rename: 'n01/caf\\udce9.png'"
        assert source.notes == (said,)
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
        assert "is not UTF-8; rename the folder" in error(f"imagefolder:{tmp_path}")

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", refuse)
        assert "cannot be read: Permission denied" in error(f"imagefolder:{tmp_path}")


class TestList:
    def written(self, tmp_path: Path, text: str) -> str:
        (tmp_path / "a.png").touch()
        (tmp_path / "list.csv").write_text(text, encoding="utf-8")
        return f"list:{tmp_path / 'list.csv'}"

    def test_labels_by_key_name_or_index(self, tmp_path: Path) -> None:
        spec = self.written(tmp_path, "Label,URI\nn02,b/2.png\nboat,./b/1.png\n2,a.png\n\n,c.png\n")
        source = open_source(spec, CLASSES, 3)
        assert labels(source) == [("a.png", 2), ("b/1.png", 0), ("b/2.png", 1), ("c.png", None)]
        assert source.path("a.png") == tmp_path / "a.png"

    @pytest.mark.parametrize(
        "text",
        [
            "uri,label\na.png,boat;n02\nb.png,2\nc.png,\n",
            "uri,label\na.png, 1 | 0 ;\nb.png,n03\nc.png,\n".replace(" ;", ""),
            'uri;label\na.png;"boat;1"\nb.png;2\nc.png;\n',
            "uri,label,label\na.png,boat,n02\nb.png,2,\nc.png,,\n",
            "uri,label1,label2,label3\na.png,1,boat,0\nb.png,,n03,\nc.png,,,\n",
            "file,class,class\na.png,boat,1\nb.png,2,2\nc.png,,\n",
            "uri,labels\na.png,boat;1\nb.png,2;\nc.png,\n",
            "a.png,boat;1\nb.png,2\nc.png,\n",
            "a.png,boat,1\nb.png,2\nc.png\n",
        ],
    )
    def test_several_right_classes(self, tmp_path: Path, text: str) -> None:
        """In one cell or in several columns, by index, name or key in one list."""
        source = open_source(self.written(tmp_path, text), CLASSES, 3)
        assert {sample.uri: sample.label_ids for sample in source.samples} == {
            "a.png": (0, 1),
            "b.png": (2,),
            "c.png": (),
        }
        assert "1 of 3 images have several right classes" in " ".join(source.notes)

    def test_a_name_with_a_separator_is_one_class(self, tmp_path: Path) -> None:
        classes = ClassList((ClassEntry(0, "n01", "boat;ship"), ClassEntry(1, "n02", "boat"), ClassEntry(2, "", "sea")))
        source = open_source(self.written(tmp_path, 'uri,label\na.png,"boat;ship"\nb.png,boat;sea\n'), classes, 3)
        assert [sample.label_ids for sample in source.samples] == [(0,), (1, 2)]

    @pytest.mark.parametrize("text", ["uri\na.png\nb.png\n", "a.png\nb.png\n", "path\nb.png\na.png\n"])
    def test_a_list_of_paths_is_unlabelled(self, tmp_path: Path, text: str) -> None:
        source = open_source(self.written(tmp_path, text), CLASSES, 3)
        assert labels(source) == [("a.png", None), ("b.png", None)]

    def test_without_classes_labels_are_indices(self, tmp_path: Path) -> None:
        assert labels(open_source(self.written(tmp_path, "uri,label\na.png,2\n"), None, 3)) == [("a.png", 2)]
        message = error(self.written(tmp_path, "uri,label\na.png,boat\n"), None)
        assert "line 2: label: no class 'boat'" in message
        assert "--classes FILE, or give indices" in message

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("where,label\na.png,0\n", "no column 'uri'"),
            ("uri,species\na.png,boat\n", "no column 'label'"),
            ("uri,uri\na.png,b.png\n", "the column 'uri' twice"),
            ("uri,label\na.png,boat;boot\n", "line 2: label: no class 'boot'; did you mean 'boat'"),
            ("uri,label\na.png,0;7\n", "line 2: label: no class '7'"),
            ("a.png\nboat\n", "line 2: 'boat' is not the path of an image"),
            ("uri,label\n", "lists no images"),
            ("uri,label\nb/a.png,0\nc.png,1\n", "none of the 2 images that"),
            ("uri,label\na.png,0\n\n./a.png,1\n", "line 4: uri 'a.png' is given twice"),
            ("uri,label\na.png,3\n", "line 2: label: no class '3'"),
            ("uri,label\na.png,boot\n", "line 2: label: no class 'boot'; did you mean 'boat'"),
            ("uri,label\na.png,crane\n", "line 2: label: class name 'crane' is ambiguous"),
            ("uri,label\na/../../b.png,0\n", "line 2: uri 'a/../../b.png' lies outside"),
            ("uri,label\n/etc/b.png,0\na.png,0\n", "line 2: uri '/etc/b.png' lies outside"),
            ("uri,label\n,0\n", "line 2: an empty uri"),
            ("uri,label\na.png\n", "line 2: 1 cells"),
        ],
    )
    def test_errors_name_the_line(self, tmp_path: Path, text: str, message: str) -> None:
        assert message in error(self.written(tmp_path, text))

    def test_missing_file(self, tmp_path: Path) -> None:
        assert "no file" in error(f"list:{tmp_path / 'absent.csv'}")


class TestScenes:
    def scenes(self, tmp_path: Path, classes: str = "mask_value,name,kind\n0,void,\n5,sea,stuff\n7,void,\n") -> str:
        for name in ("a.png", "sub/b.jpg"):
            picture(tmp_path / "images" / name)
        picture(tmp_path / "masks" / "sub" / "b.png", "L")
        (tmp_path / "classes.csv").write_text(classes)
        return f"scenes:{tmp_path}"

    def test_maps_are_found_by_stem_and_may_be_missing(self, tmp_path: Path) -> None:
        source = open_source(self.scenes(tmp_path), CLASSES, 3)
        assert source.samples == (
            Sample("images/a.png"),
            Sample("images/sub/b.jpg", map_uri="masks/sub/b.png"),
        )
        assert source.context_labels == {5: "sea"}
        assert source.map_lookup == (0, 0, 0, 0, 0, 5)

    def test_a_label_stored_as_0_gets_another_id(self, tmp_path: Path) -> None:
        source = open_source(self.scenes(tmp_path, "mask_value,name\n0,sky\n1,sea\n255,void\n"), CLASSES, 3)
        assert source.context_labels == {1: "sea", 2: "sky"}
        assert source.map_lookup == (2, 1)

    @pytest.mark.parametrize("column", ["uri,label", "label,file"])
    def test_labels(self, tmp_path: Path, column: str) -> None:
        spec = self.scenes(tmp_path)
        rows = {"images/a.png": "boat", "sub/b.jpg": "n02", "gone.png": "2"}
        lines = [f"{u},{c}" if column.startswith("uri") else f"{c},{u}" for u, c in rows.items()]
        (tmp_path / "labels.csv").write_text("\n".join([column, *lines]))
        assert labels(open_source(spec, CLASSES, 3)) == [("images/a.png", 0), ("images/sub/b.jpg", 1)]

    def test_tags_are_kept_and_those_that_name_a_class_are_labels(self, tmp_path: Path) -> None:
        spec = self.scenes(tmp_path)
        (tmp_path / "labels.csv").write_text("file,labels(;-separated)\na.png,sea; boat;n02;crane;sea\nsub/b.jpg,\n")
        source = open_source(spec, CLASSES, 3)
        assert source.samples == (
            Sample("images/a.png", (0, 1), None, ("boat", "crane", "n02", "sea")),
            Sample("images/sub/b.jpg", (), "masks/sub/b.png", ()),
        )
        assert [sample.label_id for sample in source.samples] == [None, None]
        assert source.labels_by == "tags"
        # without names of classes no tag can be one
        assert [sample.label_ids for sample in open_source(spec, None, 3).samples] == [(), ()]

    def test_a_label_column_comes_before_tags(self, tmp_path: Path) -> None:
        spec = self.scenes(tmp_path)
        (tmp_path / "labels.csv").write_text("file,label,labels\na.png,n02,boat;sea\nsub/b.jpg,,boat\n")
        source = open_source(spec, CLASSES, 3)
        assert [(s.label_ids, s.tags) for s in source.samples] == [((1,), ("boat", "sea")), ((), ("boat",))]
        assert source.labels_by == "label"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,labels\na.png,sea;;sky\n", "line 2: labels 'sea;;sky' has an empty label"),
            ("label\nboat\n", "no column 'uri' or 'file'"),
            ("uri,label\na.png,0\nimages/a.png,1\n", "line 3: image 'images/a.png' is given twice"),
            ("uri,label\na.png,boot\n", "line 2: label: no class 'boot'"),
            ("uri,label\nc.png,boat\n", "names no image of"),
        ],
    )
    def test_wrong_labels(self, tmp_path: Path, text: str, message: str) -> None:
        spec = self.scenes(tmp_path)
        (tmp_path / "labels.csv").write_text(text)
        assert message in error(spec)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("value,name\n1,sea\n", "no column 'mask_value'"),
            ("mask_value,name\n65536,sea\n", "line 2: mask_value '65536'"),
            ("mask_value,name\n1,sea\n1,sky\n", "line 3: mask_value 1 is given twice"),
            ("mask_value,name\n1,sea\n2,sea\n", "line 3: name 'sea' is given twice"),
            ("mask_value,name\n1,\n", "line 2: name '' is empty"),
            ("mask_value,name\n0,void\n", "names no label"),
        ],
    )
    def test_wrong_classes(self, tmp_path: Path, text: str, message: str) -> None:
        assert message in error(self.scenes(tmp_path, text))

    def test_missing_parts(self, tmp_path: Path) -> None:
        spec = self.scenes(tmp_path)
        (tmp_path / "masks" / "sub" / "b.png").unlink()
        assert "none of the 2 images has a semantic map; 'images/a.png' needs 'masks/a.png'" in error(spec)
        (tmp_path / "classes.csv").unlink()
        assert "no file" in error(spec)
        shutil.rmtree(tmp_path / "masks")
        assert "no folder" in error(spec)
        assert "no folder" in error(f"scenes:{tmp_path / 'absent'}")

    @pytest.mark.skipif(not MSRC.exists(), reason="../shared/data is not here")
    def test_msrc(self) -> None:
        source = open_source(f"scenes:{MSRC}", None, 1000)
        assert len(source.samples) == 591
        assert all(sample.map_uri and not sample.label_ids and sample.tags for sample in source.samples)
        assert source.samples[0].tags == ("flower",)
        assert (len(source.context_labels), source.context_labels[10]) == (23, "water")


def test_unknown_kinds() -> None:
    kinds = ", ".join(f"{kind}:{one.place}" for kind, one in layouts().items())
    assert {"imagefolder", "list", "scenes", "voc", "pascal-context", "ade20k", "coco-stuff"} <= set(layouts())
    for spec in ("photos", "zip:data.zip", ""):
        with pytest.raises(UsageError, match=f"unknown kind of data '{spec}'; give one of {kinds}$"):
            open_source(spec, CLASSES, 3)
    for spec in ("imagefolder", "imagefolder:", "voc:?split=val"):
        with pytest.raises(UsageError, match=r"names no place; give (imagefolder|voc):DIR$"):
            open_source(spec, CLASSES, 3)


def test_a_kind_is_of_one_layout() -> None:
    with pytest.raises(ValueError, match="two layouts are registered as 'voc'"):
        layout("voc", "DIR")(layouts()["voc"].open)


def test_classes_of_another_network() -> None:
    assert "3 classes, but the network has 5 outputs" in error("imagefolder:anywhere", CLASSES, 5)


def test_digest_notices_names_sizes_labels_and_maps(tmp_path: Path) -> None:
    spec = TestScenes().scenes(tmp_path)
    (tmp_path / "labels.csv").write_text("uri,label\na.png,boat\n")
    seen = [open_source(spec, CLASSES, 3).digest()]
    assert open_source(spec, CLASSES, 3).digest() == seen[0]
    moved = shutil.copytree(tmp_path, tmp_path.parent / "moved")
    assert open_source(f"scenes:{moved}", CLASSES, 3).digest() == seen[0]

    def change(what: str) -> None:
        seen.append(open_source(spec, CLASSES, 3).digest())
        assert len(set(seen)) == len(seen), what

    (tmp_path / "labels.csv").write_text("uri,label\na.png,n02\nsub/b.jpg,n01\n")
    change("another label")
    (tmp_path / "labels.csv").write_text("uri,label,labels\na.png,n02,\nsub/b.jpg,n01,sea\n")
    change("a tag")
    picture(tmp_path / "masks" / "a.png", "L")
    change("a new map")
    with (tmp_path / "masks" / "a.png").open("ab") as file:
        file.write(b"0")
    change("a longer map")
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "A.png")
    change("a new name")
    (tmp_path / "images" / "A.png").write_bytes(b"")
    change("an emptied image")
    (tmp_path / "classes.csv").write_text("mask_value,name\n5,ocean\n")
    change("another name of a context label")


def test_problems_are_data_errors_not_tracebacks(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        open_source(f"list:{tmp_path}", CLASSES, 3)
