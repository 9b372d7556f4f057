"""ADE20K's scene parsing set and COCO-Stuff: a tree of images beside a tree of maps of the same names.

    ADEChallengeData2016/images/{training,validation}/NAME.jpg
    ADEChallengeData2016/annotations/{training,validation}/NAME.png   0 void, 1..150
    ADEChallengeData2016/objectInfo150.txt                            the 150 labels
    ADEChallengeData2016/sceneCategories.txt                          an image's scene: its tag

    coco/images/val2017/NAME.jpg
    coco/annotations/stuffthingmaps_trainval2017/val2017/NAME.png     0..181, 255 void
    coco/labels.txt                                                   1..182: a map holds one less
    coco/annotations/instances_val2017.json                           an image's things: its tags; may be missing

The full ADE20K, whose maps are coded in colours, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from evigraph.indexer.data.context_labels import ContextLabels, read_label_list, told_apart
from evigraph.indexer.data.formats import LeftOut
from evigraph.indexer.data.listing import FileNames, image_uris, subfolders
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout
from evigraph.indexer.data.tables import read_text, whole_number
from evigraph.schema.errors import DataError, NotFoundError

_COCO_MAPS = (
    "annotations/stuffthingmaps_trainval2017",
    "annotations",
    "stuffthingmaps_trainval2017",
    "stuffthingmaps",
)
"""Where the maps of COCO-Stuff are unpacked, relative to its folder."""


@layout("ade20k", "DIR", options=("split",))
def open_ade20k(request: DataRequest) -> DataSource:
    """List ADE20K's scene parsing set (ADEChallengeData2016); the option is split."""
    root = request.place
    if (root / "ADEChallengeData2016").is_dir():
        root = root / "ADEChallengeData2016"
    _refuse_full_ade20k(root)
    left_out = LeftOut()
    uris = _image_uris(root, request.options.get("split"), left_out)
    maps = FileNames(image_uris(root, "annotations", left_out=LeftOut()))
    scenes = _read_scenes(root / "sceneCategories.txt")
    labels = ContextLabels.of_values(_read_object_info(root / "objectInfo150.txt"), {0})
    tags = {uri: scenes.get(PurePosixPath(uri).stem, ()) for uri in uris}
    wanted = {uri: f"annotations/{_relative(uri)}" for uri in uris}
    return _source(request, root, wanted, maps, tags, labels, left_out)


@layout("coco-stuff", "DIR", options=("split",))
def open_coco_stuff(request: DataRequest) -> DataSource:
    """List COCO under COCO-Stuff's maps; the option is split."""
    root, left_out = request.place, LeftOut()
    uris = _image_uris(root, request.options.get("split"), left_out)
    splits = list(dict.fromkeys(_relative(uri).partition("/")[0] for uri in uris))
    folder = next((f for f in _COCO_MAPS if any((root / f / split).is_dir() for split in splits)), None)
    if folder is None:
        raise DataError(f"no folder {root / _COCO_MAPS[0] / splits[0]}; unpack stuffthingmaps_trainval2017.zip there")
    folders = [f"{folder}/{split}" for split in splits if (root / folder / split).is_dir()]
    maps = FileNames([uri for folder in folders for uri in image_uris(root, folder, left_out=LeftOut())])
    listed = next((p for p in (root / "labels.txt", root / "annotations" / "labels.txt") if p.is_file()), None)
    names, unnamed = read_label_list(listed or root / "labels.txt")
    lookup = tuple(number if number in names else 0 for number in range(1, max(names) + 1))
    labels = ContextLabels(names, lookup, frozenset({255} | {number - 1 for number in unnamed if number}))
    tags: dict[str, tuple[str, ...]] = {}
    for split in splits:
        tags.update(_read_instances(root / "annotations" / f"instances_{split}.json", f"images/{split}"))
    wanted = {uri: f"{folder}/{_relative(uri)}" for uri in uris}
    return _source(request, root, wanted, maps, tags, labels, left_out)


def _image_uris(root: Path, split: str | None, left_out: LeftOut) -> list[str]:
    splits = subfolders(root / "images")
    if split is not None and split not in splits:
        raise NotFoundError("split", split, splits, f"in {str(root / 'images')!r} (there are {', '.join(splits)})")
    folder = "images" if split is None else f"images/{split}"
    uris = [uri for uri in image_uris(root, folder, left_out=left_out) if "/" in _relative(uri)]
    if not uris:
        raise DataError(f"{str(root / folder)!r} holds no images of a split; unpack them into {root}/images/SPLIT/")
    return uris


def _source(
    request: DataRequest,
    root: Path,
    wanted: Mapping[str, str],
    maps: FileNames,
    tags: Mapping[str, tuple[str, ...]],
    labels: ContextLabels,
    left_out: LeftOut,
) -> DataSource:
    """The listing of `wanted`, the map uri without its suffix by image uri, of which those in `maps` are there."""
    found = {uri: maps.find(stem) for uri, stem in wanted.items()}
    if not any(found.values()):
        uri, stem = next(iter(wanted.items()))
        needed = f"{stem}.png"
        raise DataError(f"none of the {len(wanted)} images has a semantic map; {uri!r} needs {needed!r} in {root}")
    samples = []
    for uri, map_uri in found.items():
        own = tags.get(uri, ())
        samples.append(Sample(uri, request.label_ids(own), map_uri, own))
    return DataSource(
        request.spec,
        root,
        sorted_samples(samples),
        request.class_list,
        labels_by="tags",
        notes=(*maps.notes("semantic map"), *left_out.notes()),
        **labels.of_source(),
    )


def _relative(uri: str) -> str:
    """A uri without the first folder and the suffix."""
    path = PurePosixPath(uri)
    return str(PurePosixPath(*path.parts[1:]).with_name(path.stem))


def _refuse_full_ade20k(root: Path) -> None:
    within = [root, *(root / name for name in subfolders(root) if name.startswith("ADE20K_"))]
    for folder in within:
        for sign in ("index_ade20k.pkl", "index_ade20k.mat", "images/ADE"):
            if (folder / sign).exists():
                raise DataError(
                    f"{str(folder)!r} is the full ADE20K (it has {sign}), whose maps are coded in colours and are not "
                    "supported; give the scene parsing set, ADEChallengeData2016"
                )


def _read_object_info(path: Path) -> dict[int, str]:
    """Names by mask value: the first of the synonyms, or all of them where two labels share the first."""
    full: dict[int, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        # Idx, Ratio, Train, Val, Stuff, Name: tabs and spaces separate the columns, and names hold spaces
        cells = line.split(None, 5)
        if not cells or cells[0] == "Idx":
            continue
        if len(cells) < 6 or not 0 < (whole_number(cells[0]) or 0) <= 255:
            raise DataError(f"{path}, line {number}: {line.strip()!r} is not of the columns Idx ... Stuff Name")
        full[int(cells[0])] = cells[5].strip()
    if not full:
        raise DataError(f"{path} names no label; it must have the columns Idx Ratio Train Val Stuff Name")
    first = {value: name.partition(",")[0].strip() for value, name in full.items()}
    shared = list(first.values())
    return told_apart({value: name if shared.count(name) == 1 else full[value] for value, name in first.items()})


def _read_scenes(path: Path) -> dict[str, tuple[str, ...]]:
    """The scene of each image, by its name; none where there is no such file."""
    scenes: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(read_text(path).splitlines() if path.is_file() else (), 1):
        cells = line.split()
        if len(cells) not in (0, 2):
            raise DataError(f"{path}, line {number}: {line.strip()!r} is not an image's name and its scene")
        if cells:
            scenes[cells[0]] = (cells[1],)
    return scenes


def _read_instances(path: Path, folder: str) -> dict[str, tuple[str, ...]]:
    """The categories of each image's instances, by uri; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        content: dict[str, list[dict[str, Any]]] = json.loads(read_text(path))
        category = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        uri = {entry["id"]: f"{folder}/{entry['file_name']}" for entry in content["images"]}
        pairs = {(uri[entry["image_id"]], category[entry["category_id"]]) for entry in content["annotations"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is not a list of COCO instances ({type(error).__name__}: {error}); "
            "restore it, or remove it to index without labels"
        ) from None
    return _grouped(sorted(pairs))


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    tags: dict[str, tuple[str, ...]] = {}
    for uri, tag in pairs:
        tags[uri] = (*tags.get(uri, ()), tag)
    return tags
