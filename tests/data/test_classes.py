"""Class files and the names that folders and labels give to classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from evigraph.indexer.data.classes import ClassList, read_classes
from evigraph.schema.errors import AmbiguousError, DataError, NotFoundError

IMAGENET = Path(__file__).parents[3] / "shared" / "data" / "imagenet1000.csv"


def written(tmp_path: Path, text: str, name: str = "classes.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_names_one_a_line_keep_commas_and_order(tmp_path: Path) -> None:
    classes = read_classes(written(tmp_path, "tench, Tinca tinca\r\nBoot\n\n", "names.txt"), 2)
    assert [(entry.index, entry.key, entry.name) for entry in classes.entries] == [
        (0, "tench, Tinca tinca", "tench, Tinca tinca"),
        (1, "Boot", "Boot"),
    ]


def test_csv_is_put_in_index_order(tmp_path: Path) -> None:
    classes = read_classes(written(tmp_path, '\ufeffName,WNID,Index\n"b, c",n2,1\na,n1,0\n'), 2)
    assert [(entry.key, entry.name) for entry in classes.entries] == [("n1", "a"), ("n2", "b, c")]


def test_csv_without_the_suffix_is_known_by_its_header(tmp_path: Path) -> None:
    assert read_classes(written(tmp_path, "index,name\n0,a\n1,a\n", "list.txt")).entries[1].key == "a (1)"


def test_shared_names_are_ambiguous_but_keys_are_not() -> None:
    classes = ClassList.from_names(["crane", "boat", "crane"])
    assert classes.find("boat") == 1
    assert classes.find("crane (2)") == 2
    with pytest.raises(AmbiguousError, match=r"'crane \(0\)' \(index 0\), 'crane \(2\)' \(index 2\)"):
        classes.find("crane")


def test_key_goes_before_name_before_index() -> None:
    classes = ClassList.from_names(["1", "7", "zero"])
    assert [classes.find(text) for text in ("1", "7", "zero", "2")] == [0, 1, 2, 2]
    with pytest.raises(NotFoundError, match="no class 'zeros'; did you mean 'zero'"):
        classes.find("zeros")
    with pytest.raises(NotFoundError):
        classes.find("3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wnid,name\nn1,a\n", "no column 'index'"),
        ("index,wnid,name\n0,n1,a\n2,n2,b\n", "2 classes but no index 1"),
        ("index,wnid,name\n0,n1,a\n0,n2,b\n", "line 3: index 0 is given twice"),
        ("index,wnid,name\n0,n1,a\n1,n1,b\n", "key 'n1' to two classes"),
        ("index,wnid,name\nfirst,n1,a\n", "line 2: index 'first'"),
        ("index,wnid,name\n0,,a\n", "line 2: an empty 'wnid'"),
        ("index,wnid,name\n0,n1,tench, fish\n", "line 2: 4 cells where the header has 3"),
        ("index,index,name\n0,0,a\n", "column 'index' twice"),
        ('index,name\n0,"a\n', "line 2"),
        ("", "is empty"),
        ("index,wnid,name\n", "names no class"),
        ("index,wnid,name\n0,n1,a\n", "names 1 class, but the network has 7 outputs"),
    ],
)
def test_malformed_class_files_say_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_classes(written(tmp_path, text), 7)
    assert "\n" not in str(caught.value)
    assert "classes.csv" in str(caught.value)


def test_a_blank_line_among_names_would_shift_the_others(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: blank"):
        read_classes(written(tmp_path, "a\n\nb\n", "names.txt"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_classes(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_classes(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_classes(tmp_path / "latin.txt")


@pytest.mark.skipif(not IMAGENET.exists(), reason="../shared/data is not here")
def test_imagenet() -> None:
    classes = read_classes(IMAGENET, 1000)
    assert classes.find("n01440764") == 0
    assert classes.find("n02012849") != classes.find("n03126707")  # the bird and the machine
    with pytest.raises(AmbiguousError):
        classes.find("crane")
