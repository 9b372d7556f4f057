"""PASCAL VOC (2007 to 2012) and PASCAL-Context, whose maps lie over VOC's images.

    VOC2012/JPEGImages/NAME.jpg
    VOC2012/Annotations/NAME.xml                 objects: the image's tags
    VOC2012/SegmentationClass/NAME.png           indices in a palette: 0 background, 1..20, 255 void
    VOC2012/ImageSets/{Main,Segmentation}/SPLIT.txt

    PASCAL-Context/labels.txt, trainval/NAME.mat              459 labels: the matrix LabelMap, 0 void
    PASCAL-Context/59_labels.txt, 59_context_labels/NAME.png  59 labels, 0 void

A set of one's own in VOC's layout names the values of its maps in VOC2012/classes.csv, as `scenes:` has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from evigraph.indexer.data.context_labels import ContextLabels, read_class_file, read_label_list
from evigraph.indexer.data.listing import file_uris, image_uris, subfolders
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
    root = _find_root(request.place, request.options.get("year"))
    uris = _select(root, request.options.get("split"), (root / "ImageSets",))
    labels, maps = None, {}
    if (root / "SegmentationClass").is_dir():
        own = root / "classes.csv"
        labels = read_class_file(own) if own.is_file() else ContextLabels.of_values(dict(enumerate(VOC_LABELS)))
        maps = _by_stem("SegmentationClass", image_uris(root, "SegmentationClass"))
    return _source(request, root, uris, maps, labels, None)


@layout("pascal-context", "DIR", options=("images", "labels", "split", "year"))
def open_pascal_context(request: DataRequest) -> DataSource:
    """List VOC's images under PASCAL-Context's maps; options are images, labels, year and split."""
    images = Path(request.options.get("images", request.place)).expanduser()
    root = _find_root(images, request.options.get("year"))
    context = _context_set(request)
    folder = next((name for name in context.folders if (request.place / name).is_dir()), None)
    if folder is None:
        wanted = " or ".join(str(request.place / name) for name in context.folders)
        raise DataError(f"no folder {wanted}; unpack the maps there")
    maps = _by_stem(folder, file_uris(request.place, folder, frozenset({".mat", ".png"})))
    split = request.options.get("split")
    uris = _select(root, split, (root / "ImageSets", request.place))
    if split is None:
        uris = [uri for uri in uris if _stem(uri, _IMAGES) in maps]
    labels = ContextLabels.of_values(read_label_list(request.place / context.labels))
    source = _source(request, root, uris, maps, labels, request.place)
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


def _select(root: Path, split: str | None, folders: Iterable[Path]) -> list[str]:
    """The uris of a split, or of all images. A name without a file is kept, to be skipped with its reason."""
    uris = image_uris(root, _IMAGES)
    if not uris:
        raise DataError(f"{str(root / _IMAGES)!r} holds no images; unpack them there")
    if split is None:
        return uris
    path = _split_file(split, folders)
    names = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if len(line.split()) > 1:
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} is not just an image name; lists of one class tell "
                "what is in an image, give one of images, such as split=Main/val"
            )
        names.extend(line.split())
    by_stem = _by_stem(_IMAGES, uris)
    if not any(name in by_stem for name in names):
        raise DataError(f"none of the {len(names)} images that {path} names is in {str(root / _IMAGES)!r}; check both")
    return list(dict.fromkeys(by_stem.get(name, f"{_IMAGES}/{name}.jpg") for name in names))


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
    maps: dict[str, str],
    labels: ContextLabels | None,
    map_root: Path | None,
) -> DataSource:
    samples = []
    for uri in uris:
        stem = _stem(uri, _IMAGES)
        tags = read_objects(root / "Annotations" / f"{stem}.xml")
        samples.append(Sample(uri, request.label_ids(tags), maps.get(stem), tags))
    return DataSource(
        request.spec,
        root,
        sorted_samples(samples),
        request.class_list,
        context_labels=labels.names if labels else {},
        map_lookup=labels.lookup if labels else (),
        labels_by="tags",
        map_root=map_root,
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


def _by_stem(folder: str, uris: Iterable[str]) -> dict[str, str]:
    return {_stem(uri, folder): uri for uri in uris}


def _stem(uri: str, folder: str) -> str:
    """A uri without its folder and suffix; a name may hold dots of its own."""
    path = PurePosixPath(uri)
    return str(path.relative_to(folder).with_name(path.stem))
