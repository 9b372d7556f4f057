"""Whether rows that are computed again are the stored ones, so that what is added to them is theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evigraph.schema.errors import RunFolderError

COMPARED = ("image", "decision", "decomposition", "edge")
"""The tables that every run has."""
RELATIVE, ABSOLUTE = 1e-2, 1e-4
"""What another order of summation may change: of the value, and of the column's largest. In float32 a positive sum
of SqueezeNet 1.1 was seen to differ by 9e-4 between batches of 16 images and of 4; the bounds are a choice."""


def require_same(run: Path, shard: int, stored: Mapping[str, pa.Table], fresh: Mapping[str, pa.Table]) -> None:
    """Compare the tables of a shard: what is whole numbers or text exactly, and floats within what summation changes.

    Columns that are null in what is stored are not compared: they are what may be added.

    Raises:
        RunFolderError: they differ; the message names the first column that does.
    """
    for table in COMPARED:
        found = difference(stored[table], fresh[table])
        if found is not None:
            raise RunFolderError(
                f"run folder {run}: {table} rows of shard {shard} come out otherwise than they are stored "
                f"({found}), so nothing was added; give the --batch-size, --device and versions that it was "
                "indexed with, or index into a new folder"
            )


def difference(stored: pa.Table, fresh: pa.Table) -> str | None:
    """How rows differ from the stored ones, in words; None where they do not, but for what summation may change.

    Columns that are null in what is stored are not compared.
    """
    if stored.num_rows != fresh.num_rows:
        return f"{fresh.num_rows} rows, not {stored.num_rows}"
    for field in stored.schema:
        old, new = (table[field.name].combine_chunks() for table in (stored, fresh))
        held = np.flatnonzero(pc.is_valid(old).to_numpy(zero_copy_only=False))
        old, new = old.take(pa.array(held)), new.take(pa.array(held))
        if not pa.types.is_floating(field.type):
            if not old.equals(new):
                return f"another {field.name}"
            continue
        if new.null_count or not _close(old.to_numpy(), new.to_numpy()):
            return f"{field.name} differs by {_largest(old, new):.3g}"
    return None


def _close(old: NDArray[Any], new: NDArray[Any]) -> bool:
    scale = float(np.abs(old).max()) if len(old) else 0.0
    return bool(np.allclose(old, new, rtol=RELATIVE, atol=ABSOLUTE * scale))


def _largest(old: pa.Array, new: pa.Array) -> float:
    if new.null_count:
        return float("nan")
    return float(np.abs(old.to_numpy() - new.to_numpy()).max())


def filled(stored: pa.Table, fresh: pa.Table) -> pa.Table:
    """The stored rows, every value as it is; what is null in them is taken from the fresh ones."""
    for index, field in enumerate(stored.schema):
        if field.nullable and stored[field.name].null_count:
            values = pc.coalesce(stored[field.name], fresh[field.name].cast(field.type))
            stored = stored.set_column(index, field, values)
    return stored
