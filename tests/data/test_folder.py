"""`folder:DIR`, images without labels: which files it lists, in which order, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.data.samples import Sample
from evigraph.indexer.data.sources import open_source
from evigraph.schema.errors import DataError


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)


def test_every_image_below_it_is_listed_without_a_label(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "boat/1.png", "boat/deeper/2.PNG", ".hidden/3.png", "._b.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "boat" / "back").symlink_to(tmp_path)
    # "boat" is a class of the network, and a folder's name all the same.
    classes = ClassList.from_names(["boat", "crane"])
    source = open_source(f"folder:{tmp_path}", classes, 2)
    assert source.samples == tuple(map(Sample, ("a.jpg", "b.png", "boat/1.png", "boat/deeper/2.PNG")))
    assert (source.root, source.class_list, source.has_maps) == (tmp_path, classes, False)
    assert source.path(source.samples[2].uri).is_file()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"holds no images \(\.bmp "):
        open_source(f"folder:{tmp_path}", None, 2)
    with pytest.raises(DataError, match=r"no folder '.*missing'; check the path"):
        open_source(f"folder:{tmp_path / 'missing'}", None, 2)
