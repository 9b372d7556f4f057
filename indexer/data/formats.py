"""Which files are images, by their name; what a walk passes over, and how that is counted and said.

Every type that Pillow decodes is an image, but for documents, films and stubs (`_NO_PHOTOS`). HEIC and HEIF are images
where pillow-heif is installed. Hidden files and folders, and what operating systems leave behind, are none.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from PIL import Image

_NO_PHOTOS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"})
"""Formats whose files Pillow names but does not decode by itself: EPS runs Ghostscript, WMF is of Windows."""

_BY_CONTENT = (
    *("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"),
    *("AVIF", "HEIF", "JPEG2000", "ICNS", "PSD", "QOI", "DDS"),
)
"""Formats that their first bytes give away, so that they are tried whatever the file is called."""

ARRAY_SUFFIX = ".npy"
_ARRAYS: ContextVar[bool] = ContextVar("arrays", default=False)

HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})

SYSTEM_FOLDERS = frozenset(
    {
        *("__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "#snapshot", "lost+found"),
        *("$recycle.bin", "system volume information"),
    }
)
"""What macOS's zip, Synology, QNAP, Windows and file systems leave beside data, in lower case."""

THUMBNAIL_FOLDERS = frozenset({"thumbs", "_thumbs", "thumbnails", "_thumbnails"})
"""Beside class folders, small copies and no class, in lower case."""

_SNIFFED_FILES = 500
"""Of how many files that are passed over the content is looked at."""

try:
    import_module("pillow_heif").register_heif_opener()
except ImportError:
    HAS_HEIF = False
else:
    HAS_HEIF = True

_SUFFIX_FORMATS = {
    suffix: name
    for suffix, name in Image.registered_extensions().items()
    if name in Image.OPEN and name not in _NO_PHOTOS
} | {".mpo": "JPEG"}
"""Pillow's format by suffix, in lower case with the dot. (Asking for it loads Pillow's decoders.) Pillow opens MPO,
JPEGs in a row, as JPEG."""

IMAGE_SUFFIXES = frozenset(_SUFFIX_FORMATS)
"""What counts as an image, by its name without case; other files are passed over, and counted."""

SUFFIXES_IN_WORDS = ".bmp .gif .jpg .png .tiff .webp and the others that Pillow reads"


def formats_of(path: Path) -> tuple[str, ...]:
    """Pillow's formats to try on a file: those known by content, and the one that its suffix names."""
    named = _SUFFIX_FORMATS.get(path.suffix.lower())
    by_content = tuple(name for name in _BY_CONTENT if name in Image.OPEN)
    return by_content if named is None or named in by_content else (*by_content, named)


def image_suffix(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files (macOS's ._x.jpg) are not."""
    suffix = suffix_of(name)
    return not name.startswith(".") and (suffix in IMAGE_SUFFIXES or (suffix == ARRAY_SUFFIX and _ARRAYS.get()))


@contextmanager
def arrays_listed(wanted: bool = True) -> Iterator[None]:
    """Within the block .npy files count as images: of networks of other channels than image files have."""
    token = _ARRAYS.set(wanted)
    try:
        yield
    finally:
        _ARRAYS.reset(token)


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in lower case with the dot; "" where it has none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is hidden or an operating system's own."""
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def composed(text: str) -> str:
    """Unicode's composed form (NFC): as most systems write an accent, where macOS writes letter and accent apart."""
    return unicodedata.normalize("NFC", text)


def is_heif(head: bytes) -> bool:
    """Whether a file's first bytes are those of HEIC or HEIF."""
    return head[4:8] == b"ftyp" and head[8:12] in {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}


def looks_like_image(head: bytes) -> bool:
    """Whether a file's first 16 bytes are those of a common type of image."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or head[4:12] in {b"ftypavif", b"jP  \r\n\x87\n"}
        or is_heif(head)
    )


@dataclass
class LeftOut:
    """What walks of folders passed over; several walks may add to one."""

    suffixes: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    classless: list[str] = field(default_factory=list)

    def add_file(self, name: str, uri: str, path: Path) -> None:
        """A file that is no image by its name; of some the content is looked at."""
        suffix = suffix_of(name)
        self.suffixes["hidden" if name.startswith(".") else suffix or "without suffix"] += 1
        if not name.startswith(".") and suffix not in HEIF_SUFFIXES and self.suffixes.total() <= _SNIFFED_FILES:
            try:
                if path.is_file():
                    with path.open("rb") as file:
                        if looks_like_image(file.read(16)):
                            self.images.append(uri)
            except OSError:
                pass  # it is left out either way

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of thing that was passed over."""
        told = []
        if count := self.suffixes.total():
            kinds = ", ".join(f"{number} {kind}" for kind, number in self.suffixes.most_common())
            told.append(f"{_files(count, 'is no image', 'are no images')} and {_was(count)} left out: {kinds}")
            if not HAS_HEIF and HEIF_SUFFIXES & self.suffixes.keys():
                told[-1] += "; HEIC is read where pillow-heif is installed (pip install pillow-heif)"
            if self.images:
                told[-1] += f"; by content {_some(self.images)} would be: give such files a suffix such as .jpg"
        if self.folders:
            folders = f"{len(self.folders)} folder{'' if len(self.folders) == 1 else 's'}"
            told.append(f"{folders} of the system or hidden {_was(len(self.folders))} left out: {_some(self.folders)}")
        if count := len(self.unnamed):
            named = _files(count, "has a name that is not UTF-8", "have names that are not UTF-8")
            told.append(f"{named} and {_was(count)} left out; rename: {_some(self.unnamed)}")
        if count := len(self.classless):
            lie = _files(count, "lies beside the class folders", "lie beside the class folders").replace(
                "file", "image"
            )
            told.append(f"{lie}, so without a class, and {_was(count)} left out: {_some(self.classless)}")
        return tuple(told)


def _files(count: int, one: str, more: str) -> str:
    return f"1 file {one}" if count == 1 else f"{count} files {more}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _some(names: Iterable[str]) -> str:
    """The first three of some names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(ascii(name) if not name.isprintable() else repr(name) for name in listed[:3]) + more
