"""A folder for each class, as torchvision reads it.

    DIR/CLASS/**/IMAGE    the label is the class whose key or name is CLASS

Only where neither classes nor folders have names in common are all folders taken for the classes, in sorted order.
"""

from __future__ import annotations

from pathlib import Path

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.data.listing import IMAGE_SUFFIXES, image_uris, subfolders
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout
from evigraph.schema.errors import DataError, near_matches


@layout("imagefolder", "DIR")
def open_imagefolder(request: DataRequest) -> DataSource:
    """List the images of class folders."""
    root = request.place
    folders = subfolders(root)
    uris = {folder: image_uris(root, folder, outside=(root,)) for folder in folders}
    if not any(uris.values()):
        lack = "no class folders" if not folders else f"no images in its {len(folders)} folders"
        raise DataError(
            f"{str(root)!r} has {lack}; images ({' '.join(sorted(IMAGE_SUFFIXES))}) must lie in {root}/CLASS/"
        )
    with_images = [folder for folder in folders if uris[folder]]
    class_list, label_ids, labels_by = _match_folders(root, folders, with_images, request.classes, request.class_count)
    samples = [Sample(uri, (label_ids[folder],)) for folder in with_images for uri in uris[folder]]
    return DataSource(request.spec, root, sorted_samples(samples), class_list, labels_by=labels_by)


def _match_folders(
    root: Path, folders: list[str], with_images: list[str], classes: ClassList | None, class_count: int
) -> tuple[ClassList, dict[str, int], str]:
    """The class of each folder: by key, by name, else all folders in sorted order, one for each output.

    Sorted order is what torchvision trains with. It is taken only where no class file was given and no folder
    has the name of a class, since it is a guess that nothing can check.
    """
    matched = {folder: classes.match(folder) for folder in with_images} if classes else {}
    label_ids = {folder: label for folder, label in matched.items() if label is not None}
    if classes and len(label_ids) == len(with_images):
        return classes, label_ids, "key or name"
    if not label_ids and len(folders) == class_count and (classes is None or classes.path is None):
        by_order = {folder: index for index, folder in enumerate(folders)}
        return classes or ClassList.from_names(folders), by_order, "sorted folders"
    unmatched = [folder for folder in with_images if folder not in label_ids]
    shown = ", ".join(map(repr, unmatched[:5])) + (f" and {len(unmatched) - 5} more" if len(unmatched) > 5 else "")
    if classes is None:
        raise DataError(
            f"{str(root)!r} has {len(folders)} class folders and the network {class_count} outputs; "
            f"say which is which with --classes FILE (folders: {shown})"
        )
    near = near_matches(unmatched[0], classes.known())
    raise DataError(
        f"{len(unmatched)} of {len(with_images)} folders in {str(root)!r} match no class: {shown}"
        + (f"; near {unmatched[0]!r}: {', '.join(map(repr, near))}" if near else "")
        + f"; rename them, or name the classes in output order with --classes FILE "
        f"(now {classes.path or 'the names that came with the weights'})"
    )
