"""PASCAL VOC (2007 to 2012) and PASCAL-Context, whose maps lie over VOC's images.

    VOC2012/JPEGImages/NAME.jpg
    VOC2012/Annotations/NAME.xml                 objects: the image's tags
    VOC2012/SegmentationClass/NAME.png           indices in a palette: 0 background, 1..20, 255 void
    VOC2012/ImageSets/{Main,Segmentation}/SPLIT.txt

    PASCAL-Context/labels.txt, trainval/NAME.mat              459 labels: the matrix LabelMap, 0 void
    PASCAL-Context/59_labels.txt, 59_context_labels/NAME.png  59 labels, 0 void

A set of one's own in VOC's layout names the values of its maps in VOC2012/classes.csv, as `scenes:` has it, or their
colours in labelmap.txt, as CVAT exports them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from evigraph.indexer.data.context_labels import ContextLabels, has_labels, labels_of_folder, read_label_list
from evigraph.indexer.data.formats import LeftOut
from evigraph.indexer.data.listing import FileNames, file_uris, image_uris, subfolders
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout
from evigraph.indexer.data.tables import read_text
from evigraph.schema.errors import AmbiguousError, DataError, NotFoundError, UsageError

VOC_LABELS = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""By mask value."""

_IMAGES = "JPEGImages"


@dataclass(frozen=True)
class _ContextSet:
    """One of the two forms of PASCAL-Context: the list of its labels and the folders its maps may lie in."""

    labels: str
    folders: tuple[str, ...]


_CONTEXT_SETS = {
    "459": _ContextSet("labels.txt", ("trainval", "459_context_labels")),
    "59": _ContextSet("59_labels.txt", ("59_context_labels",)),
}


@layout("voc", "DIR", options=("split", "year"))
def open_voc(request: DataRequest) -> DataSource:
    """List a VOC folder; options are year and split."""
    root, left_out = _find_root(request.place, request.options.get("year")), LeftOut()
    uris = _select(root, request.options.get("split"), (root / "ImageSets",), left_out)
    labels, maps = None, FileNames([])
    if (root / "SegmentationClass").is_dir():
        labels = _voc_labels(root)
        maps = FileNames(image_uris(root, "SegmentationClass", left_out=LeftOut()))
    return _source(request, root, uris, (maps, "SegmentationClass"), labels, None, left_out)


def _voc_labels(root: Path) -> ContextLabels:
    """Those of a list of one's own, classes.csv or CVAT's labelmap.txt, else VOC's."""
    if has_labels(root):
        own = labels_of_folder(root)
        return own if own.colours or 255 in own.names else replace(own, voids=own.voids | {255})
    return ContextLabels.of_values(dict(enumerate(VOC_LABELS)), {255})


@layout("pascal-context", "DIR", options=("images", "labels", "split", "year"))
def open_pascal_context(request: DataRequest) -> DataSource:
    """List VOC's images under PASCAL-Context's maps; options are images, labels, year and split."""
    images, left_out = Path(request.options.get("images", request.place)).expanduser(), LeftOut()
    root = _find_root(images, request.options.get("year"))
    context = _context_set(request)
    folder = next((name for name in context.folders if (request.place / name).is_dir()), None)
    if folder is None:
        wanted = " or ".join(str(request.place / name) for name in context.folders)
        raise DataError(f"no folder {wanted}; unpack the maps there")
    files = file_uris(request.place, folder, frozenset({".mat", ".png"}))
    maps = FileNames(files, ".mat" if all(file.endswith(".mat") for file in files) else ".png")
    split = request.options.get("split")
    uris = _select(root, split, (root / "ImageSets", request.place), left_out)
    if split is None:
        uris = [uri for uri in uris if maps.find(f"{folder}/{_stem(uri, _IMAGES)}")]
        maps.loose = 0  # they are found once more below
    names, unnamed = read_label_list(request.place / context.labels)
    labels = ContextLabels.of_values(names, unnamed | {0})
    source = _source(request, root, uris, (maps, folder), labels, request.place, left_out)
    if not any(sample.map_uri for sample in source.samples):
        raise DataError(
            f"no image of {str(root / _IMAGES)!r} has a map in {str(request.place / folder)!r}; "
            "give the VOC images (2010) that the maps were drawn on, as ?images=VOCdevkit/VOC2010"
        )
    return source


def _context_set(request: DataRequest) -> _ContextSet:
    given = request.options.get("labels")
    if given is not None:
        if given not in _CONTEXT_SETS:
            raise UsageError(f"data {request.spec!r}: unknown labels={given}; give {' or '.join(_CONTEXT_SETS)}")
        return _CONTEXT_SETS[given]
    present = [name for name, context in _CONTEXT_SETS.items() if (request.place / context.labels).is_file()]
    if not present:
        raise DataError(f"{str(request.place)!r} has neither labels.txt (459 labels) nor 59_labels.txt; add the list")
    if len(present) > 1:
        raise UsageError(f"{str(request.place)!r} holds 459 and 59 labels; add ?labels=459 or ?labels=59")
    return _CONTEXT_SETS[present[0]]


def _find_root(place: Path, year: str | None) -> Path:
    """The folder of one year: `place` itself, or one in it or in its VOCdevkit."""
    if (place / _IMAGES).is_dir():
        if year is not None and place.resolve().name != f"VOC{year}":
            raise UsageError(f"{str(place)!r} holds one year's {_IMAGES} itself; leave out year={year}")
        return place
    within = [place, place / "VOCdevkit"]
    roots = [
        folder / name
        for folder in within
        if folder == place or folder.is_dir()
        for name in subfolders(folder)
        if name.startswith("VOC") and (folder / name / _IMAGES).is_dir()
    ]
    years = [folder.name.removeprefix("VOC") for folder in roots]
    if not roots:
        raise DataError(f"{str(place)!r} holds no VOC20xx/{_IMAGES}; give the folder VOCdevkit, or one year's in it")
    if year is None and len(roots) > 1:
        raise UsageError(f"{str(place)!r} holds {' and '.join(years)}; add ?year={years[-1]}")
    if year is not None and year not in years:
        raise NotFoundError("year", year, years, f"in {str(place)!r} (there are {', '.join(years)})")
    return roots[0] if year is None else roots[years.index(year)]


def _select(root: Path, split: str | None, folders: Iterable[Path], left_out: LeftOut) -> list[str]:
    """The uris of a split, or of all images. A name without a file is kept, to be skipped with its reason."""
    uris = image_uris(root, _IMAGES, left_out=left_out)
    if not uris:
        raise DataError(f"{str(root / _IMAGES)!r} holds no images; unpack them there")
    if split is None:
        return uris
    path = _split_file(split, folders)
    images = FileNames(uris, ".jpg")
    found: dict[str, str | None] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.strip()
        uri = images.find(f"{_IMAGES}/{name}") if name else None
        if uri is None and len(name.split()) > 1:
            raise DataError(
                f"{path}, line {number}: {name!r} is not just an image name; lists of one class tell "
                "what is in an image, give one of images, such as split=Main/val"
            )
        if name:
            found[name] = uri
    if not any(found.values()):
        raise DataError(f"none of the {len(found)} images that {path} names is in {str(root / _IMAGES)!r}; check both")
    return list(dict.fromkeys(uri or f"{_IMAGES}/{name}.jpg" for name, uri in found.items()))


def _split_file(split: str, folders: Iterable[Path]) -> Path:
    """The list of a split: "Main/val", or "val" where only one folder has such a list."""
    known: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            known.update((uri.removesuffix(".txt"), folder / uri) for uri in file_uris(folder, "", frozenset({".txt"})))
    if split in known:
        return known[split]
    matches = [name for name in known if PurePosixPath(name).name == split]
    if len(matches) > 1:
        raise AmbiguousError("split", split, matches)
    if not matches:
        where = " or ".join(str(folder) for folder in folders)
        raise NotFoundError("split", split, known, f"in {where}; leave split out to take every image")
    return known[matches[0]]


def _source(
    request: DataRequest,
    root: Path,
    uris: Iterable[str],
    maps: tuple[FileNames, str],
    labels: ContextLabels | None,
    map_root: Path | None,
    left_out: LeftOut,
) -> DataSource:
    """The listing of `uris`, whose maps are among those names, in that folder."""
    samples, (files, folder) = [], maps
    for uri in uris:
        stem = _stem(uri, _IMAGES)
        tags = read_objects(root / "Annotations" / f"{stem}.xml")
        samples.append(Sample(uri, request.label_ids(tags), files.find(f"{folder}/{stem}"), tags))
    return DataSource(
        request.spec,
        root,
        sorted_samples(samples),
        request.class_list,
        labels_by="tags",
        map_root=map_root,
        notes=(*files.notes("semantic map"), *left_out.notes()),
        **(labels or ContextLabels({}, ())).of_source(),
    )


def read_objects(path: Path) -> tuple[str, ...]:
    """The classes of an annotation's objects, difficult ones too, sorted, each once; none where there is no file.

    Parts (a person's head) are no objects.

    Raises:
        DataError: the file is not an annotation.
    """
    try:
        annotation = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path} is damaged XML ({error}); restore it, or remove it to index without labels") from None
    names = {(element.findtext("name") or "").strip() for element in annotation.findall("object")}
    if annotation.tag != "annotation" or "" in names:
        what = "an object without a name" if annotation.tag == "annotation" else f"<{annotation.tag}>, no <annotation>"
        raise DataError(f"{path} holds {what}; restore it, or remove it to index without labels")
    return tuple(sorted(names))


def _stem(uri: str, folder: str) -> str:
    """A uri without its folder and suffix; a name may hold dots of its own."""
    path = PurePosixPath(uri)
    return str(path.relative_to(folder).with_name(path.stem))
