"""Walks of image folders that end, whatever links lie in them, and the files that lists name; always in one order."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from evigraph.indexer.data.formats import (
    SUFFIXES_IN_WORDS,
    LeftOut,
    composed,
    image_suffix,
    is_system_folder,
    suffix_of,
)
from evigraph.indexer.data.tables import Row, Table
from evigraph.schema.errors import DataError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


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


class ListPaths:
    """The uris of a table's rows.

    Args:
        table: of the list.
        column: that holds the paths.
        inside: uris of the images that there are, relative to the table's folder; those of "images" may leave that out.
            None where the files themselves say which there are.

    Attributes:
        root: the folder that uris are relative to: the table's, or the one that absolute paths share.
    """

    def __init__(self, table: Table, column: str, inside: Collection[str] | None = None) -> None:
        self._table, self._column = table, column
        self._inside = inside
        self._composed = {composed(uri): uri for uri in sorted(inside or ())}
        self._folders: dict[Path, dict[str, list[str]]] = {}
        self._loose = 0
        self.root = table.path.parent
        texts = [self._local(row) for row in table.rows]
        absolute = [text for text in texts if text.startswith("/")]
        self._base = posixpath.normpath(os.path.abspath(self.root).replace(os.sep, "/"))  # noqa: PTH100
        if absolute and len(absolute) == len(texts) and inside is None:
            folders = {posixpath.dirname(posixpath.normpath(text)) for text in absolute}
            if not all(_below(self._base, folder) for folder in folders):
                self._base = posixpath.commonpath(folders)
                self.root = Path(self._base)
        self._moved = self.root != table.path.parent

    def uri(self, row: Row) -> str:
        """The uri of a row's image.

        Raises:
            DataError: the cell is empty, an address, or lies outside the list's folder.
        """
        given, text = row.cells[self._column], self._local(row)
        if text.startswith("/"):
            normal = posixpath.normpath(text)
            text = posixpath.relpath(normal, self._base) if _below(self._base, normal) else normal
        uri = posixpath.normpath(text)
        if not text or uri == ".":
            raise self._table.error(row, "an empty uri")
        if uri.startswith(("/", "../")) or uri == "..":
            where = str(self.root)
            raise self._table.error(row, f"uri {given!r} lies outside {where!r}; give a path relative to it")
        return self._listed(uri) if self._inside is not None else self._found(uri)

    def exists(self, uri: str) -> bool:
        """Whether there is anything at a uri."""
        try:
            return os.path.lexists(self.root / uri)
        except ValueError:  # a NUL
            return False

    def notes(self) -> tuple[str, ...]:
        """How paths were read other than as they are written, a sentence each."""
        told = []
        if self._moved:
            told.append(f"the list's paths are absolute, so images are named relative to {str(self.root)!r}")
        if self._loose:
            counted = f"{self._loose} path{'' if self._loose == 1 else 's'} of the list"
            told.append(f"found by a name that differs in case or Unicode form: {counted}")
        return tuple(told)

    def _local(self, row: Row) -> str:
        """A cell as a path with slashes.

        Raises:
            DataError: it is an address or a path of Windows.
        """
        text = row.cells[self._column]
        scheme = _SCHEME.match(text)
        if scheme and scheme[1].lower() == "file":
            return unquote(urlsplit(text).path)
        if scheme:
            raise self._table.error(row, f"uri {text!r} is an address; download the image and give the file's path")
        if _DRIVE.match(text):
            raise self._table.error(row, f"uri {text!r} is a path of Windows; give one relative to the list's folder")
        if "\\" in text and not os.path.lexists(self._table.path.parent / text):
            return text.replace("\\", "/")
        return text

    def _listed(self, uri: str) -> str:
        """Among the images that there are; one that is not there keeps its name."""
        for name in (uri, f"images/{uri}"):
            if name in (self._inside or ()):
                return name
        for name in (composed(uri), composed(f"images/{uri}")):
            if name in self._composed:
                self._loose += 1
                return self._composed[name]
        return f"images/{uri}"

    def _found(self, uri: str) -> str:
        """As the file is called; a uri without a file is kept, to be skipped with that reason."""
        if self.exists(uri) or "\0" in uri:
            return uri
        found = ""
        for part in uri.split("/"):
            names = self._names(self.root / found).get(composed(part).casefold(), [])
            exact = [name for name in names if composed(name) == composed(part)]
            chosen = exact or names
            if len(chosen) != 1:
                return uri
            found = f"{found}/{chosen[0]}" if found else chosen[0]
        self._loose += 1
        return found

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Names in a folder, by their form without case; none where it cannot be read."""
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(folder)):  # noqa: PTH208
                    names.setdefault(composed(name).casefold(), []).append(name)
            except OSError:
                pass  # what it should hold is then skipped, with the reason
            self._folders[folder] = names
        return self._folders[folder]


def _below(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
