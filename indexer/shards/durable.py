"""Files that are either wholly there or not there at all.

A file is written under a temporary name in its own folder, flushed to the disk, renamed, and the rename is
flushed too: a machine that stops at any moment leaves the old file or the new one, never a part of one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path

TEMPORARY_SUFFIX = ".partial"
"""Ends the name of a file that is being written; such a file is never read and may be removed at any time."""


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `path` so that it survives a crash whole, replacing what was there.

    Raises:
        OSError: as the file system reports it; the temporary file is removed and `path` is as it was.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the folder's own entries: a rename or removal in it is on the disk afterwards."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush a file that another library wrote."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(path: Path, *, shared: bool = False) -> int | None:
    """Take an advisory lock that the kernel drops when its holder dies; the file itself stays.

    Args:
        path: the lock file. A shared lock needs it to exist, so that read-only folders can be read.
        shared: any number may hold a shared lock, but none beside an exclusive one.

    Returns:
        A descriptor that holds the lock until it is closed, or None where another process holds it.

    Raises:
        OSError: where the file cannot be opened, or the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return descriptor
