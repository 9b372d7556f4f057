"""Tables of any length as Parquet, CSV or Arrow: each batch is written and handed on before the next is read.

pyarrow is loaded when the first export begins, so that a service without exports does without.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Protocol

MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "feather": "application/vnd.apache.arrow.file",
}
"""Formats by name: arrow is Arrow's IPC stream, which can be read while it is written; feather its IPC file."""

ENDINGS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv",),
    "arrow": (".arrows", ".arrow"),
    "feather": (".feather", ".arrow"),
}
"""Endings of the names of files in a format, the usual one first. `.arrow` is registered for the IPC file, and used for
streams as well."""


class Batches(Protocol):
    """A pyarrow RecordBatchReader, or what can stand for one."""

    @property
    def schema(self) -> Any:
        """A pyarrow Schema."""

    def read_next_batch(self) -> Any:
        """The next batch; StopIteration after the last."""

    def close(self) -> None:
        """Let go of what the batches are read from."""


def encoded(reader: Batches, format_name: str) -> Iterator[bytes]:
    """The bytes of a file of the format in parts: its head, each batch, its end.

    Args:
        reader: The rows; read to the end.
        format_name: One of MEDIA_TYPES.
    """
    sink = _Drain()
    with _writer(sink, reader.schema, format_name) as writer:
        yield sink.take()
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


class _Drain(io.RawIOBase):
    """A file that is written to, and whose bytes are taken out in between."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """As `io` asks before it writes."""
        return True

    def write(self, part: Any) -> int:
        """Keep a part until it is taken."""
        self._parts.append(bytes(part))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        """Bytes written so far, taken or not."""
        return self._written

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _writer(sink: _Drain, schema: Any, format_name: str) -> Any:
    import pyarrow.csv
    import pyarrow.ipc
    import pyarrow.parquet

    if format_name == "csv":
        return pyarrow.csv.CSVWriter(sink, schema)
    if format_name == "parquet":
        return pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")
    return pyarrow.ipc.new_file(sink, schema) if format_name == "feather" else pyarrow.ipc.new_stream(sink, schema)
