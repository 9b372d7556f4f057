"""Walks of image folders that end, whatever links lie in them, and list the same files in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from evigraph.indexer.data.channels import ARRAY_SUFFIX
from evigraph.schema.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp"})
"""What counts as an image, by its name without case; other files are passed over."""


def image_suffix(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files (macOS's ._x.jpg) are not."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    wanted = suffix in IMAGE_SUFFIXES or (suffix == ARRAY_SUFFIX and _ARRAYS.get())
    return not name.startswith(".") and wanted


_ARRAYS: ContextVar[bool] = ContextVar("arrays", default=False)


@contextmanager
def arrays_listed(wanted: bool = True) -> Iterator[None]:
    """Within the block .npy files count as images: of networks of other channels than image files have."""
    token = _ARRAYS.set(wanted)
    try:
        yield
    finally:
        _ARRAYS.reset(token)


def subfolders(root: Path) -> list[str]:
    """Names of the folders in `root`, in code point order.

    Links to folders count, but not hidden folders, nor links to `root` itself.
    """
    folders = [entry for entry in _scan(root) if _is_folder(entry) and not entry.name.startswith(".")]
    return sorted(entry.name for entry in folders if _identity(root / entry.name) != _identity(root))


def image_uris(root: Path, folder: str, outside: Collection[Path] = ()) -> list[str]:
    """Image files anywhere under `root / folder`.

    Every folder is visited once, so that a link to a folder above it cannot make the walk endless; nor are
    the folders of `outside` entered. Files are not opened: a dangling link is listed, to be skipped later.

    Returns:
        Posix paths relative to `root`, in code point order.

    Raises:
        DataError: a folder that cannot be read, or a file name that is not UTF-8 and so cannot be stored.
    """
    visited = {_identity(path) for path in outside}
    return sorted(_walk(root / folder, folder, visited, image_suffix))


def some_image_uris(root: Path, folder: str) -> list[str]:
    """As `image_uris`, of a folder that must hold images.

    Raises:
        DataError: likewise, or there are none.
    """
    uris = image_uris(root, folder)
    if not uris:
        raise DataError(f"{str(root / folder)!r} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
    return uris


def file_uris(root: Path, folder: str, suffixes: Collection[str]) -> list[str]:
    """As `image_uris`, for files of these suffixes (lower case, with the dot)."""

    def wanted(name: str) -> bool:
        return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122

    return sorted(_walk(root / folder, folder, set(), wanted))


def _walk(path: Path, uri: str, visited: set[tuple[int, int]], wanted: Callable[[str], bool]) -> Iterator[str]:
    pending = [(path, uri)]
    while pending:
        path, uri = pending.pop()
        entries = sorted(_scan(path), key=lambda entry: entry.name)
        identity = _identity(path)
        if identity in visited:
            continue
        visited.add(identity)
        for entry in entries:
            name = f"{uri}/{entry.name}" if uri else entry.name
            if _is_folder(entry):
                if not entry.name.startswith("."):
                    pending.append((path / entry.name, name))
            elif wanted(entry.name):
                _check_text(name)
                yield name


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError:
        raise DataError(f"no folder {str(path)!r}; check the path") from None
    except NotADirectoryError:
        raise DataError(f"{str(path)!r} is not a folder; give a folder") from None
    except OSError as error:
        raise DataError(f"folder {str(path)!r} cannot be read: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _check_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the file name {name!a} is not UTF-8; rename the file") from None
