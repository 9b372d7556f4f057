"""Walks of image folders that end, whatever links lie in them, and list the same files in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath

from evigraph.indexer.data.formats import (
    SUFFIXES_IN_WORDS,
    LeftOut,
    composed,
    image_suffix,
    is_system_folder,
    suffix_of,
)
from evigraph.schema.errors import DataError


def subfolders(root: Path, left_out: LeftOut | None = None) -> list[str]:
    """Names of the folders in `root`, in code point order.

    Links to folders count, but not folders that are hidden or the system's, nor links to `root` itself.

    Raises:
        DataError: `root` cannot be read, or the name of a folder is not UTF-8.
    """
    folders = []
    for entry in _scan(root):
        if not _is_folder(entry):
            continue
        if is_system_folder(entry.name):
            if left_out is not None:
                left_out.folders.append(entry.name)
        elif _identity(root / entry.name) != _identity(root):
            if not _is_text(entry.name):
                raise DataError(f"the folder name {entry.name!a} in {str(root)!r} is not UTF-8; rename the folder")
            folders.append(entry.name)
    return sorted(folders)


def image_uris(
    root: Path, folder: str, outside: Collection[Path] = (), left_out: LeftOut | None = None, *, deep: bool = True
) -> list[str]:
    """Image files anywhere under `root / folder`, or in it alone where `deep` is false.

    Every folder is visited once, so that a link to a folder above it cannot make the walk endless; nor are
    the folders of `outside` entered. Files are not opened: a dangling link is listed, to be skipped later.
    What is passed over is added to `left_out`, files whose name is not UTF-8, and so cannot be stored, among it.

    Returns:
        Posix paths relative to `root`, in code point order.

    Raises:
        DataError: a folder that cannot be read.
    """
    visited = {_identity(path) for path in outside}
    return sorted(_walk(root / folder, folder, visited, image_suffix, left_out, deep))


def some_image_uris(root: Path, folder: str, left_out: LeftOut | None = None) -> list[str]:
    """As `image_uris`, of a folder that must hold images.

    Raises:
        DataError: likewise, or there are none.
    """
    left_out = LeftOut() if left_out is None else left_out
    uris = image_uris(root, folder, (), left_out)
    if not uris:
        found = "; ".join(left_out.notes())
        raise DataError(f"{str(root / folder)!r} holds no images ({SUFFIXES_IN_WORDS}){f'; {found}' if found else ''}")
    return uris


def file_uris(root: Path, folder: str, suffixes: Collection[str]) -> list[str]:
    """As `image_uris`, for files of these suffixes (lower case, with the dot)."""

    def wanted(name: str) -> bool:
        return not name.startswith(".") and suffix_of(name) in suffixes

    return sorted(_walk(root / folder, folder, set(), wanted))


class FileNames:
    """Files of one listing by name without suffix: as it is, else without regard to case and Unicode's form.

    A file is found by the exact stem and a preferred suffix, by the exact stem, or by one that differs in case alone.
    """

    def __init__(self, uris: Collection[str], suffix: str = ".png") -> None:
        self._suffix = suffix
        self._uris = frozenset(uris)
        self._folded: dict[str, list[str]] = {}
        for uri in sorted(uris):
            self._folded.setdefault(_folded_stem(uri), []).append(uri)
        self.loose = 0
        """How many were found by another name than the exact one."""

    def find(self, stem: str) -> str | None:
        """The uri of the file whose path without suffix is `stem`; None where there is none.

        Raises:
            DataError: there are several that differ in case, or in their suffix.
        """
        if f"{stem}{self._suffix}" in self._uris:
            return f"{stem}{self._suffix}"
        found = self._folded.get(_folded(stem), [])
        exact = [uri for uri in found if uri.rpartition(".")[0] == stem]
        found = exact or found
        if len(found) > 1:
            raise DataError(f"{found[0]!r} and {found[1]!r} may both belong to {stem!r}; keep one, or rename it")
        if not found:
            return None
        self.loose += 1
        return found[0]

    def notes(self, what: str) -> tuple[str, ...]:
        """How many `what` were found by another name, as a sentence."""
        if not self.loose:
            return ()
        counted = f"{self.loose} {what}{'' if self.loose == 1 else 's'}"
        return (f"found by a name that differs in case, suffix or Unicode form: {counted}",)


def _folded_stem(uri: str) -> str:
    path = PurePosixPath(uri)
    return _folded(str(path.with_name(path.stem)))


def _folded(text: str) -> str:
    return composed(text).casefold()


def _walk(
    path: Path,
    uri: str,
    visited: set[tuple[int, int]],
    wanted: Callable[[str], bool],
    left_out: LeftOut | None = None,
    deep: bool = True,
) -> Iterator[str]:
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
                if not deep:
                    continue
                if not is_system_folder(entry.name):
                    pending.append((path / entry.name, name))
                elif left_out is not None:
                    left_out.folders.append(name)
            elif not wanted(entry.name):
                if left_out is not None:
                    left_out.add_file(entry.name, name, path / entry.name)
            elif _is_text(name):
                yield name
            elif left_out is not None:
                left_out.unnamed.append(name)
            else:
                raise DataError(f"the file name {name!a} is not UTF-8; rename the file")


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError:
        raise DataError(f"no folder {str(path)!r}; check the path") from None
    except NotADirectoryError:
        raise DataError(f"{str(path)!r} is not a folder; give a folder") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"folder {str(path)!r} cannot be read: {reason}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
