"""A folder for each class, as torchvision reads it.

DIR/CLASS/**/IMAGE    the label is the class that the folder is matched to (`labels`)
"""

from __future__ import annotations

import re

from evigraph.indexer.data.formats import SUFFIXES_IN_WORDS, THUMBNAIL_FOLDERS, LeftOut
from evigraph.indexer.data.labels import match_folders
from evigraph.indexer.data.listing import image_uris, subfolders
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout
from evigraph.schema.errors import DataError

_BESIDE = r"(?:[\W\d_]|set|data|images?|imgs?|seg|split|folder|samples?)*"
_SPLIT = re.compile(rf"{_BESIDE}(train|val|dev|eval|test)(?:ing|id|idation|uation)?{_BESIDE}")
"""Folders, in lower case, that hold class folders rather than being some: "val", "training_set", "seg_test"."""


@layout("imagefolder", "DIR", names_classes=True)
def open_imagefolder(request: DataRequest) -> DataSource:
    """List the images of class folders."""
    root, left_out = request.place, LeftOut()
    folders = _class_folders(request, left_out)
    left_out.classless = image_uris(root, "", left_out=left_out, deep=False)
    uris = {folder: image_uris(root, folder, outside=(root,), left_out=left_out) for folder in folders}
    used = [folder for folder in folders if uris[folder]]
    if not used:
        lack = "no class folders" if not folders else f"no images in its {len(folders)} folders"
        found = "".join(f"; {note}" for note in left_out.notes())
        raise DataError(f"{str(root)!r} has {lack}; images ({SUFFIXES_IN_WORDS}) must lie in {root}/CLASS/{found}")
    splits = {folder: match[1] for folder in used if (match := _SPLIT.fullmatch(folder.casefold()))}
    if (len(splits) == len(used) or len({*splits.values()}) > 1) and not _are_classes(request, used):
        raise DataError(
            f"{str(root)!r} holds the splits {', '.join(map(repr, splits))} and no class folders; give one split, "
            f"such as imagefolder:{root}/{[*splits][-1]}, or --classes FILE if they are classes"
        )
    matched = match_folders(root, folders, used, request.classes, request.class_count)
    samples = [Sample(uri, (matched.label_ids[folder],)) for folder in used for uri in uris[folder]]
    return DataSource(
        request.spec,
        root,
        sorted_samples(samples),
        matched.classes,
        labels_by=matched.labels_by,
        notes=(*matched.notes, *left_out.notes()),
    )


def _are_classes(request: DataRequest, folders: list[str]) -> bool:
    return request.classes is not None and all(request.classes.match_only(folder) is not None for folder in folders)


def _class_folders(request: DataRequest, left_out: LeftOut) -> list[str]:
    """The folders that are classes: not those of small copies, unless a class is called that."""
    folders = []
    for folder in subfolders(request.place, left_out):
        of_copies = folder.casefold() in THUMBNAIL_FOLDERS
        if of_copies and not (request.classes and request.classes.match(folder) is not None):
            left_out.folders.append(folder)
        else:
            folders.append(folder)
    return folders
